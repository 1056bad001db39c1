/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/ssl.h>

#include "tls/staple.h"

struct staple {
	uint8_t *data;
	size_t n;
	time_t until; /* 0: always */
};

/* By the kind of the certificate that it is about. */
struct staples {
	struct staple rsa, other;
};

static int place = -1; /* in a context's own data */

static void on_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl,
		    void *argp)
{
	struct staples *s = ptr;

	(void)parent;
	(void)ad;
	(void)idx;
	(void)argl;
	(void)argp;
	if (!s)
		return;
	free(s->rsa.data);
	free(s->other.data);
	free(s);
}

static void make_place(void)
{
	place = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, on_free);
}

/* SSL_CTX_set_tlsext_status_cb(3): OpenSSL frees what it is given. */
static int on_status(SSL *ssl, void *arg)
{
	const struct staples *all = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), place);
	const X509 *shown = SSL_get_certificate(ssl);
	const struct staple *s;
	uint8_t *data;

	(void)arg;
	if (!shown)
		return SSL_TLSEXT_ERR_NOACK;
	s = EVP_PKEY_get_base_id(X509_get0_pubkey(shown)) == EVP_PKEY_RSA ? &all->rsa
									  : &all->other;
	if (!s->data || (s->until && s->until <= time(NULL)))
		return SSL_TLSEXT_ERR_NOACK;
	data = OPENSSL_memdup(s->data, s->n);
	if (!data)
		return SSL_TLSEXT_ERR_NOACK;
	SSL_set_tlsext_status_ocsp_resp(ssl, data, (long)s->n);
	return SSL_TLSEXT_ERR_OK;
}

static int take(struct staple *to, const struct cert *from)
{
	if (!from || !from->staple)
		return 0;
	*to = (struct staple){ .data = malloc(from->staple_n),
			       .n = from->staple_n,
			       .until = from->staple_until };
	if (!to->data)
		return -ENOMEM;
	memcpy(to->data, from->staple, from->staple_n);
	return 0;
}

int staple_set(SSL_CTX *ctx, const struct cert_pair *pair)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct staples *s;

	if (!(pair->rsa && pair->rsa->staple) && !(pair->other && pair->other->staple))
		return 0;
	(void)pthread_once(&once, make_place);
	s = calloc(1, sizeof(*s));
	if (!s || !SSL_CTX_set_ex_data(ctx, place, s)) {
		free(s);
		return -ENOMEM;
	}
	SSL_CTX_set_tlsext_status_cb(ctx, on_status);
	return take(&s->rsa, pair->rsa) || take(&s->other, pair->other) ? -ENOMEM : 0;
}
