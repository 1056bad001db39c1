/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "tls/cert.h"
#include "tls/trust.h"

void trust_free(struct trust *t)
{
	if (!t)
		return;
	cert_done(&t->own);
	free(t->ca);
	free(t->crl);
	free(t);
}

static int check_ca(const struct loading *l, const char *file, const char *text)
{
	BIO *bio = BIO_new_mem_buf(text, -1);
	unsigned n = 0;
	X509 *x;
	int err = 0;

	while (bio && (x = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
		X509_free(x);
		n++;
	}
	if (!n)
		err = loading_wrong(l, file, "no certificate is in it: %s",
				    loading_said());
	else if (!loading_is_end())
		err = loading_wrong(l, file, "certificate %u is damaged: %s", n + 1,
				    loading_said());
	ERR_clear_error();
	BIO_free(bio);
	return err;
}

static int check_crl(const struct loading *l, const char *file, const char *text)
{
	BIO *bio = BIO_new_mem_buf(text, -1);
	const ASN1_TIME *until;
	unsigned n = 0;
	X509_CRL *x;
	int err = 0;

	while (bio && (x = PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL))) {
		until = X509_CRL_get0_nextUpdate(x);
		if (until && X509_cmp_current_time(until) < 0)
			loading_warn(l, file,
				     "list %u is out of date: nobody of its issuer is "
				     "trusted",
				     n + 1);
		X509_CRL_free(x);
		n++;
	}
	if (!n)
		err = loading_wrong(l, file,
				    "no list of revoked certificates is in it: %s",
				    loading_said());
	else if (!loading_is_end())
		err = loading_wrong(l, file, "list %u is damaged: %s", n + 1,
				    loading_said());
	ERR_clear_error();
	BIO_free(bio);
	return err;
}

static int read_checked(const struct loading *l, const char *file, char **ret,
			int (*check)(const struct loading *l, const char *file,
				     const char *text))
{
	size_t len;
	int err = file ? loading_read(l, file, ret, &len) : 0;

	return file && !err ? check(l, file, *ret) : err;
}

int trust_load_backends(struct loading *l, struct route *r)
{
	const struct backend_tls *b = r->backend_tls;
	struct trust *t = r->trust = calloc(1, sizeof(*t));
	int err;

	if (!t)
		return -ENOMEM;
	l->route = r;
	l->what = "backend_tls";
	t->generation = loading_generation();
	t->insecure = b && b->insecure;
	err = read_checked(l, b ? b->ca : NULL, &t->ca, check_ca);
	if (!err && b && b->certificate) {
		const struct cert_path own = { .chain = b->certificate, .key = b->key };

		t->has_own = true;
		err = cert_load(l, &own, &t->own);
	}
	if (!err && t->insecure)
		loading_warn(l, r->name, "its backends may be anybody (insecure: true)");
	return err;
}

int trust_load_clients(struct loading *l, struct route *r)
{
	const struct client_certificates *c = r->client_certificates;
	struct trust *t = r->clients = calloc(1, sizeof(*t));
	int err;

	if (!t)
		return -ENOMEM;
	l->route = r;
	l->what = "client_certificates";
	t->generation = loading_generation();
	t->depth = c->depth ? *c->depth : CONFIG_DEPTH;
	err = read_checked(l, c->ca, &t->ca, check_ca);
	return err ? err : read_checked(l, c->crl, &t->crl, check_crl);
}
