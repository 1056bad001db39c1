/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/util.h"
#include "tls/cert_files.h"
#include "tls/certs.h"

#define FILE_MAX  (1u << 20)
#define CHAIN_MAX 10
#define WARN_DAYS 14

/* Who is loading, for messages. */
struct loading {
	struct config *config;
	const struct listener *listener;
	const struct route *route; /* NULL: of the listener's own */
	const char *what;	   /* of the route: the key in the configuration */
	unsigned index;		   /* of its certificates */
	char *why;
};

static int __attribute__((format(printf, 3, 4)))
wrong(const struct loading *l, const char *file, const char *fmt, ...)
{
	char text[256];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (l->route)
		(void)snprintf(l->why, CONFIG_ERROR_MAX,
			       "listener '%s', route '%s', %s: %.200s: %s",
			       l->listener->name, l->route->name, l->what, file, text);
	else
		(void)snprintf(l->why, CONFIG_ERROR_MAX,
			       "listener '%s', certificates[%u]: %.200s: %s",
			       l->listener->name, l->index, file, text);
	ERR_clear_error();
	return -EINVAL;
}

/* OpenSSL's own words for what it refused last. */
static const char *said(void)
{
	const char *text = ERR_reason_error_string(ERR_peek_last_error());

	return text ? text : "not PEM";
}

/* Was that no more than the end of the file? */
static bool is_end(void)
{
	unsigned long err = ERR_peek_last_error();

	return ERR_GET_LIB(err) == ERR_LIB_PEM &&
	       ERR_GET_REASON(err) == PEM_R_NO_START_LINE;
}

static void warn(const struct loading *l, const char *file, const char *fmt, ...)
{
	struct config *c = l->config;
	size_t had = c->warnings ? strlen(c->warnings) : 0;
	char text[512], line[1024], *all;
	va_list args;
	int n;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (l->route)
		n = snprintf(line, sizeof(line),
			     "listener '%s', route '%s': %.300s: %s\n", l->listener->name,
			     l->route->name, file, text);
	else
		n = snprintf(line, sizeof(line),
			     "listener '%s', certificates[%u]: %.300s: %s\n",
			     l->listener->name, l->index, file, text);
	all = realloc(c->warnings, had + (size_t)n + 1);
	if (!all)
		return;
	memcpy(all + had, line, (size_t)n + 1);
	c->warnings = all;
}

/* On the main thread. */
static uint64_t next_generation(void)
{
	static uint64_t generation;

	return ++generation;
}

/* --- a certificate's file --- */

static void erase(char *text)
{
	if (text)
		OPENSSL_cleanse(text, strlen(text));
	free(text);
}

static void cert_done(struct cert *c)
{
	for (unsigned i = 0; i < c->names_n; i++)
		free(c->names[i]);
	free(c->names);
	erase(c->chain); /* the key may be in the same file */
	erase(c->key);
}

static int add_name(struct cert *c, const ASN1_STRING *s)
{
	int n = ASN1_STRING_length(s);
	const unsigned char *data = ASN1_STRING_get0_data(s);
	char **names = realloc(c->names, (c->names_n + 1) * sizeof(*names));
	char *name;

	if (!names)
		return -ENOMEM;
	c->names = names;
	name = strndup((const char *)data, (size_t)n);
	if (!name)
		return -ENOMEM;
	for (char *p = name; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	c->names[c->names_n++] = name;
	return 0;
}

/* Its DNS names (RFC 6125 6.4.4: the common name only if there is none). */
static int read_names(struct cert *c, X509 *x)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
	X509_NAME *subject = X509_get_subject_name(x);
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1), err = 0;

	for (int i = 0; i < sk_GENERAL_NAME_num(names) && !err; i++) {
		const GENERAL_NAME *n = sk_GENERAL_NAME_value(names, i);

		if (n->type == GEN_DNS)
			err = add_name(c, n->d.dNSName);
	}
	if (!err && !c->names_n && !names && at >= 0)
		err = add_name(
			c, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
	GENERAL_NAMES_free(names);
	return err;
}

static time_t time_of(const ASN1_TIME *t)
{
	struct tm tm = { 0 };

	return ASN1_TIME_to_tm(t, &tm) ? timegm(&tm) : 0;
}

static void check_times(const struct loading *l, const struct cert *c)
{
	time_t now = time(NULL);
	long days = (long)((c->not_after - now) / 86400);

	if (c->not_before > now)
		warn(l, c->file, "is not valid yet: in %ld days",
		     (long)((c->not_before - now) / 86400) + 1);
	else if (c->not_after <= now)
		warn(l, c->file, "has expired %ld days ago", -days);
	else if (days < WARN_DAYS)
		warn(l, c->file, "expires in %ld days", days);
}

/* Each signed by the next (RFC 8446 4.4.2). */
static int check_order(const struct loading *l, const struct cert *c, X509 *const *chain,
		       unsigned n)
{
	for (unsigned i = 0; i + 1 < n; i++) {
		if (X509_check_issued(chain[i + 1], chain[i]) != X509_V_OK)
			return wrong(l, c->file,
				     "certificate %u is not of the issuer of number %u: "
				     "the chain is in the wrong order, or lacks one",
				     i + 2, i + 1);
	}
	return 0;
}

static int check_key(const struct loading *l, const char *file, struct cert *c,
		     X509 *leaf)
{
	BIO *bio = BIO_new_mem_buf(c->key, -1);
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, (void *)"") : NULL;
	int err = 0;

	BIO_free(bio);
	if (!key)
		return wrong(l, file, "no private key without a passphrase: %s", said());
	if (X509_check_private_key(leaf, key) != 1)
		err = wrong(l, file, "is not the key of %s", c->file);
	c->is_rsa = EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA;
	EVP_PKEY_free(key);
	return err;
}

static int read_chain(const struct loading *l, struct cert *c, const char *key_file)
{
	X509 *chain[CHAIN_MAX + 1];
	BIO *bio = BIO_new_mem_buf(c->chain, -1);
	unsigned n = 0;
	int err = 0;

	while (bio && n <= CHAIN_MAX &&
	       (chain[n] = PEM_read_bio_X509(bio, NULL, NULL, NULL)))
		n++;
	BIO_free(bio);
	if (!n)
		return wrong(l, c->file, "no certificate is in it: %s", said());
	if (n > CHAIN_MAX)
		err = wrong(l, c->file, "a chain of more than %d", CHAIN_MAX);
	else if (!is_end())
		err = wrong(l, c->file, "certificate %u is damaged: %s", n + 1, said());
	ERR_clear_error();
	c->not_before = time_of(X509_get0_notBefore(chain[0]));
	c->not_after = time_of(X509_get0_notAfter(chain[0]));
	if (!err)
		err = read_names(c, chain[0]);
	if (!err && !c->names_n && !l->route) /* who we are to a backend may be anybody */
		err = wrong(l, c->file, "has no DNS name");
	if (!err)
		err = check_key(l, key_file, c, chain[0]);
	if (!err)
		err = check_order(l, c, chain, n);
	if (!err)
		check_times(l, c);
	while (n > 0)
		X509_free(chain[--n]);
	return err;
}

static int read_text(const struct loading *l, const char *file, char **ret)
{
	size_t len;
	int err = util_read_file(file, FILE_MAX, ret, &len);

	return err ? wrong(l, file, "cannot be read: %s", strerror(-err)) : 0;
}

static int cert_load(const struct loading *l, const struct certificate *from,
		     struct cert *ret)
{
	const char *key_file = from->key ? from->key : from->certificate;
	struct stat st;
	int err;

	*ret = (struct cert){ .file = from->certificate, .is_default = from->is_default };
	err = read_text(l, from->certificate, &ret->chain);
	if (!err)
		err = read_text(l, key_file, &ret->key);
	if (!err && stat(key_file, &st) == 0 && st.st_mode & 077)
		warn(l, key_file, "others may read this key (mode %o)",
		     st.st_mode & 0777);
	return err ? err : read_chain(l, ret, key_file);
}

/* --- of backends --- */

static void trust_free(struct trust *t)
{
	if (!t)
		return;
	cert_done(&t->own);
	free(t->ca);
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
		err = wrong(l, file, "no certificate is in it: %s", said());
	else if (!is_end())
		err = wrong(l, file, "certificate %u is damaged: %s", n + 1, said());
	ERR_clear_error();
	BIO_free(bio);
	return err;
}

static int load_trust(struct config *c, const struct listener *ls, struct route *r,
		      char *why)
{
	struct loading l = {
		.config = c, .listener = ls, .route = r, .what = "backend_tls", .why = why
	};
	const struct backend_tls *b = r->backend_tls;
	struct certificate own;
	int err = 0;

	r->trust = calloc(1, sizeof(*r->trust));
	if (!r->trust)
		return -ENOMEM;
	r->trust->generation = next_generation();
	r->trust->insecure = b && b->insecure;
	if (b && b->ca)
		err = read_text(&l, b->ca, &r->trust->ca);
	if (!err && b && b->ca)
		err = check_ca(&l, b->ca, r->trust->ca);
	if (!err && b && b->certificate) {
		own = (struct certificate){ .certificate = b->certificate,
					    .key = b->key };
		r->trust->has_own = true;
		err = cert_load(&l, &own, &r->trust->own);
	}
	if (!err && b && b->insecure)
		warn(&l, r->name, "its backends may be anybody (insecure: true)");
	return err;
}

static int load_clients(struct config *c, const struct listener *ls, struct route *r,
			char *why)
{
	struct loading l = { .config = c,
			     .listener = ls,
			     .route = r,
			     .what = "client_certificates",
			     .why = why };
	int err;

	r->clients = calloc(1, sizeof(*r->clients));
	if (!r->clients)
		return -ENOMEM;
	r->clients->generation = next_generation();
	err = read_text(&l, r->client_certificates->ca, &r->clients->ca);
	return err ? err : check_ca(&l, r->client_certificates->ca, r->clients->ca);
}

/* --- of all listeners --- */

static void certs_free(struct certs *s)
{
	for (unsigned i = 0; s && i < s->n; i++)
		cert_done(&s->list[i]);
	if (s)
		free(s->list);
	free(s);
}

static void release(struct config *c, void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < c->listeners_count; i++) {
		certs_free(c->listeners[i].certs);
		c->listeners[i].certs = NULL;
		for (unsigned k = 0; k < c->listeners[i].routes_count; k++) {
			trust_free(c->listeners[i].routes[k].trust);
			c->listeners[i].routes[k].trust = NULL;
			trust_free(c->listeners[i].routes[k].clients);
			c->listeners[i].routes[k].clients = NULL;
		}
	}
}

static bool has_name(const struct certs *s, const char *name)
{
	struct cert_pair pair;

	return certs_find(s, name, &pair);
}

/* A name of a route that terminates, and no certificate for it. */
static void check_routes(const struct loading *l)
{
	const struct listener *ls = l->listener;

	for (unsigned i = 0; i < ls->routes_count; i++) {
		const struct route *r = &ls->routes[i];

		for (unsigned k = 0; r->tls != TLS_PASSTHROUGH && k < r->sni_count; k++) {
			const char *name = r->sni[k];

			/* of a wildcard any name: one that has no certificate of its own
			 */
			if (name[0] != '~' && strcmp(name, "*") != 0 &&
			    !has_name(ls->certs, name))
				warn(l, name,
				     "route '%s' terminates TLS for it, and no certificate "
				     "has this name: its clients get an alert",
				     r->name);
		}
	}
}

static bool has_ciphers(SSL_CTX *ctx, const char *list)
{
	return !list || SSL_CTX_set_cipher_list(ctx, list) == 1;
}

static bool has_groups(SSL_CTX *ctx, const char *list)
{
	return !list || SSL_CTX_set1_groups_list(ctx, list) == 1;
}

/* What OpenSSL would refuse for each connection. */
static int check_options(const struct listener *ls, char *why)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	int err = ctx ? 0 : -ENOMEM;

	for (unsigned i = 0; i < ls->routes_count && !err; i++) {
		const struct route *r = &ls->routes[i];
		bool ciphers = has_ciphers(ctx, r->ciphers);

		if (ciphers && has_groups(ctx, r->groups))
			continue;
		(void)snprintf(
			why, CONFIG_ERROR_MAX,
			"listener '%s', route '%s': %s: OpenSSL has none of '%.200s'",
			ls->name, r->name, ciphers ? "groups" : "ciphers",
			ciphers ? r->groups : r->ciphers);
		err = -EINVAL;
	}
	SSL_CTX_free(ctx);
	ERR_clear_error();
	return err;
}

static int load_listener(struct config *c, struct listener *ls, char *why)
{
	struct loading l = { .config = c, .listener = ls, .why = why };
	int err = 0;

	ls->certs = calloc(1, sizeof(*ls->certs));
	if (!ls->certs)
		return -ENOMEM;
	ls->certs->list = calloc(ls->certificates_count, sizeof(*ls->certs->list));
	if (!ls->certs->list)
		return -ENOMEM;
	ls->certs->generation = next_generation();
	for (unsigned i = 0; i < ls->certificates_count && !err; i++) {
		l.index = i;
		err = cert_load(&l, &ls->certificates[i], &ls->certs->list[i]);
		ls->certs->n = i + 1; /* freed as far as it came */
	}
	l.index = 0;
	if (!err)
		check_routes(&l);
	return err;
}

static int add_mark(void *arg, const char *path)
{
	uint64_t *mark = arg;

	*mark = cert_files_mark(*mark, path);
	return 0;
}

static int load_route(struct config *c, const struct listener *ls, struct route *r,
		      char *why)
{
	int err = r->tls == TLS_REENCRYPT ? load_trust(c, ls, r, why) : 0;

	return !err && r->client_certificates ? load_clients(c, ls, r, why) : err;
}

int certs_load(struct config *c, char why[CONFIG_ERROR_MAX])
{
	int err = 0;

	why[0] = '\0';
	c->files_mark = 0;
	(void)cert_files_each(c, add_mark, &c->files_mark); /* before they are read */
	config_on_release(c, release, NULL);
	for (unsigned i = 0; i < c->listeners_count && !err; i++) {
		if (c->listeners[i].certificates_count)
			err = load_listener(c, &c->listeners[i], why);
		if (!err)
			err = check_options(&c->listeners[i], why);
		for (unsigned k = 0; k < c->listeners[i].routes_count && !err; k++)
			err = load_route(c, &c->listeners[i], &c->listeners[i].routes[k],
					 why);
	}
	if (err && !why[0])
		(void)snprintf(why, CONFIG_ERROR_MAX, "certificates: %s", strerror(-err));
	return err;
}

time_t certs_expire(const struct certs *certs)
{
	time_t first = 0;

	for (unsigned i = 0; certs && i < certs->n; i++) {
		if (!first || certs->list[i].not_after < first)
			first = certs->list[i].not_after;
	}
	return first;
}

/* --- choosing --- */

/* "*.example.org" has a.example.org, and neither a.b.example.org nor example.org. */
static bool wildcard_has(const char *pattern, const char *name)
{
	const char *dot = strchr(name, '.');

	return pattern[0] == '*' && pattern[1] == '.' && dot && dot > name &&
	       strcmp(pattern + 1, dot) == 0;
}

static bool cert_has(const struct cert *c, const char *name, bool exact)
{
	for (unsigned i = 0; i < c->names_n; i++) {
		if (exact ? strcmp(c->names[i], name) == 0
			  : wildcard_has(c->names[i], name))
			return true;
	}
	return false;
}

static void take(struct cert_pair *pair, const struct cert *c)
{
	const struct cert **at = c->is_rsa ? &pair->rsa : &pair->other;

	if (!*at)
		*at = c;
}

bool certs_find(const struct certs *certs, const char *name, struct cert_pair *ret)
{
	*ret = (struct cert_pair){ NULL, NULL };
	for (int pass = 0; pass < 3 && !ret->rsa && !ret->other; pass++) {
		for (unsigned i = 0; certs && i < certs->n; i++) {
			const struct cert *c = &certs->list[i];

			if (pass == 2 ? c->is_default
				      : name[0] && cert_has(c, name, pass == 0))
				take(ret, c);
		}
	}
	return ret->rsa || ret->other;
}
