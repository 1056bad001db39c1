/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "tls/context.h"
#include "tls/peer.h"
#include "tls/probe.h"

struct tls_probe {
	SSL *ssl;
	bool done;
};

/* SSL_CTX_sess_set_new_cb(3) */
static int keep_none(SSL *ssl, SSL_SESSION *session)
{
	(void)ssl;
	(void)session;
	return 0;
}

int tls_probe_new(struct worker *w, const struct stream_target *t, struct text protocol,
		  int fd, struct tls_probe **ret)
{
	SSL_CTX *ctx = context_to(w, t->route->trust, keep_none);
	struct tls_probe *p = ctx ? calloc(1, sizeof(*p)) : NULL;
	int err = 0;

	if (!p)
		return ctx ? -ENOMEM : -EINVAL;
	p->ssl = SSL_new(ctx);
	if (!p->ssl || !SSL_set_fd(p->ssl, fd) ||
	    (t->sni[0] && !SSL_set_tlsext_host_name(p->ssl, t->sni)))
		err = -ENOMEM;
	else if (!t->route->trust->insecure && t->name[0])
		err = peer_must_be(p->ssl, t->name, t->addr);
	if (!err && protocol.n)
		err = peer_offer(p->ssl, protocol);
	if (err) {
		tls_probe_free(p);
		return err;
	}
	SSL_set_connect_state(p->ssl);
	*ret = p;
	return 0;
}

static const char *why_not(const SSL *ssl)
{
	long result = SSL_get_verify_result(ssl);
	const char *text = ERR_reason_error_string(ERR_peek_error());

	if (result != X509_V_OK)
		return X509_verify_cert_error_string(result);
	return text ? text : "it closed the connection";
}

int tls_probe_step(struct tls_probe *p, bool *writes, const char **why)
{
	int n, err;

	ERR_clear_error();
	n = SSL_do_handshake(p->ssl);
	p->done = n == 1;
	if (p->done)
		return 0;
	err = SSL_get_error(p->ssl, n);
	*writes = err == SSL_ERROR_WANT_WRITE;
	if (*writes || err == SSL_ERROR_WANT_READ)
		return -EAGAIN;
	*why = why_not(p->ssl);
	ERR_clear_error();
	return -EPROTO;
}

/* Of SSL_read(3) or SSL_write(3) that did not do all. */
static ssize_t result(const struct tls_probe *p, int n, bool *writes)
{
	int err = SSL_get_error(p->ssl, n);

	ERR_clear_error();
	*writes = err == SSL_ERROR_WANT_WRITE;
	if (*writes || err == SSL_ERROR_WANT_READ)
		return -EAGAIN;
	return err == SSL_ERROR_ZERO_RETURN ? 0 : -EPROTO;
}

ssize_t tls_probe_write(struct tls_probe *p, const void *buf, size_t n, bool *writes)
{
	int k;

	ERR_clear_error();
	k = SSL_write(p->ssl, buf, (int)n);
	return k > 0 ? k : result(p, k, writes);
}

ssize_t tls_probe_read(struct tls_probe *p, void *buf, size_t n, bool *writes)
{
	int k;

	ERR_clear_error();
	k = SSL_read(p->ssl, buf, (int)n);
	return k > 0 ? k : result(p, k, writes);
}

void tls_probe_free(struct tls_probe *p)
{
	if (!p)
		return;
	if (p->done)
		(void)SSL_shutdown(p->ssl);
	ERR_clear_error();
	SSL_free(p->ssl);
	free(p);
}
