/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "tls/cert.h"
#include "tls/cert_files.h"
#include "config/document.h"
#include "config/files.h"
#include "config/faults.h"
#include "config/http.h"
#include "tls/certs.h"
#include "tls/jwks.h"
#include "tls/tickets.h"
#include "tls/trust.h"

static void certs_free(struct certs *s)
{
	for (unsigned i = 0; s && i < s->n; i++)
		cert_done(&s->list[i]);
	if (s) {
		free(s->list);
		free(s->names);
	}
	free(s);
}

static void release_keys(struct http_jwt *t)
{
	jwks_free(t->keys_set);
	t->keys_set = NULL;
}

static void release(struct config *c, void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < c->listeners_count; i++) {
		certs_free(c->listeners[i].certs);
		c->listeners[i].certs = NULL;
		certs_free(c->listeners[i].challenges);
		c->listeners[i].challenges = NULL;
		for (unsigned k = 0; k < c->listeners[i].routes_count; k++) {
			trust_free(c->listeners[i].routes[k].trust);
			c->listeners[i].routes[k].trust = NULL;
			trust_free(c->listeners[i].routes[k].clients);
			c->listeners[i].routes[k].clients = NULL;
			if (c->listeners[i].routes[k].http &&
			    c->listeners[i].routes[k].http->jwt)
				release_keys(c->listeners[i].routes[k].http->jwt);
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
				loading_warn(
					l, name,
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

static const char *groups = "X25519:P-256:P-384";

static void try_groups(void)
{
	static const char hybrid[] = "X25519MLKEM768:X25519:P-256:P-384";
	SSL_CTX *ctx = SSL_CTX_new(TLS_method());

	if (ctx && has_groups(ctx, hybrid))
		groups = hybrid;
	SSL_CTX_free(ctx);
	ERR_clear_error();
}

const char *certs_groups(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	(void)pthread_once(&once, try_groups);
	return groups;
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

/* Of the last n, which is one or none: does it have each name? */
static bool has_all(const struct certificate *from, const struct certs *s, size_t n)
{
	const struct cert *c = n ? &s->list[s->n - 1] : NULL;
	unsigned found = 0;

	for (unsigned i = 0; c && i < from->acme_count; i++) {
		for (unsigned k = 0; k < c->names_n; k++) {
			if (strcmp(from->acme[i], c->names[k]) == 0) {
				found++;
				break;
			}
		}
	}
	return found == from->acme_count;
}

/* All that an entry of the configuration has by now. */
static int load_entry(const struct loading *l, const struct certificate *from,
		      struct certs *to)
{
	struct cert_paths paths;
	struct cert *list;
	int err = cert_paths_find(from, &paths);

	if (err && (from->directory || from->acme))
		err = loading_wrong(l, from->directory ? from->directory : from->state,
				    "cannot be read: %s", strerror(-err));
	else if (!err && to->n + paths.n > CONFIG_CERTIFICATES_MAX)
		err = loading_wrong(l, paths.all->chain,
				    "more than %d certificates of a listener",
				    CONFIG_CERTIFICATES_MAX);
	list = err ? NULL : realloc(to->list, (to->n + paths.n + 1) * sizeof(*list));
	if (list)
		to->list = list;
	else if (!err)
		err = -ENOMEM;
	for (size_t i = 0; i < paths.n && !err; i++)
		err = cert_load(l, &paths.all[i], &to->list[to->n++]);
	if (!err && from->acme)
		to->missing += !has_all(from, to, paths.n);
	if (!err && !paths.n && from->acme)
		loading_warn(l, from->acme[0],
			     "has no certificate yet: 'tollgate acme' asks for one");
	else if (!err && !paths.n)
		loading_warn(l, from->directory, "has no certificate");
	cert_paths_free(&paths);
	return err;
}

static int by_name(const void *a, const void *b)
{
	const struct cert_name *x = a, *y = b;
	int order = strcmp(x->name, y->name);

	/* of one name the first in the file */
	return order ? order : x->cert < y->cert ? -1 : x->cert > y->cert;
}

static void take(struct cert_pair *pair, const struct cert *c)
{
	const struct cert **at = c->is_rsa ? &pair->rsa : &pair->other;

	if (!*at)
		*at = c;
}

/* Whom a name is looked up by: a hello should not cost more where there are many. */
static int index_names(struct certs *s)
{
	size_t n = 0;

	for (unsigned i = 0; i < s->n; i++)
		n += s->list[i].names_n;
	s->names = calloc(n + 1, sizeof(*s->names));
	if (!s->names)
		return -ENOMEM;
	for (unsigned i = 0; i < s->n; i++) {
		const struct cert *c = &s->list[i];

		for (unsigned k = 0; k < c->names_n; k++)
			s->names[s->names_n++] = (struct cert_name){ c->names[k], c };
		if (c->is_default)
			take(&s->fallback, c);
	}
	qsort(s->names, s->names_n, sizeof(*s->names), by_name);
	return 0;
}

/*
 * What challenges are answered with.  One that cannot be read is being written, or not
 * for us: whoever asks for it gets the alert of a name that nobody has.
 */
static int load_challenges(struct listener *ls, const char *state)
{
	char why[CONFIG_ERROR_MAX];
	struct config warnings = { .warnings = NULL };
	struct loading l = { .config = &warnings, .listener = ls, .why = why };
	struct certs *s = calloc(1, sizeof(*s));
	struct cert_paths paths;
	int err = s ? cert_paths_challenges(state, &paths) : -ENOMEM;

	if (!s)
		return err;
	ls->challenges = s;
	s->generation = loading_generation();
	s->list = err ? NULL : calloc(paths.n + 1, sizeof(*s->list));
	for (size_t i = 0; s->list && i < paths.n; i++) {
		if (cert_load(&l, &paths.all[i], &s->list[s->n]) == 0)
			s->n++;
		else
			cert_done(&s->list[s->n]);
	}
	cert_paths_free(&paths);
	free(warnings.warnings);
	return index_names(s);
}

static int load_listener(struct config *c, struct listener *ls, char *why)
{
	struct loading l = { .config = c, .listener = ls, .why = why };
	int err = 0;

	ls->certs = calloc(1, sizeof(*ls->certs));
	if (!ls->certs)
		return -ENOMEM;
	ls->certs->generation = loading_generation();
	for (unsigned i = 0; i < ls->certificates_count && !err; i++) {
		l.index = i;
		err = load_entry(&l, &ls->certificates[i], ls->certs);
	}
	l.index = 0;
	if (!err)
		err = index_names(ls->certs);
	for (unsigned i = 0; i < ls->certificates_count && !err; i++) {
		if (ls->certificates[i].acme && !ls->challenges)
			err = load_challenges(ls, ls->certificates[i].state);
	}
	if (!err)
		check_routes(&l);
	return err;
}

static int load_keys(struct http_jwt *t, char *why)
{
	char what[160];
	int err = jwks_read(t->text->text, t->text->len, &t->keys_set, what);

	if (err == -EINVAL)
		(void)snprintf(why, CONFIG_ERROR_MAX, "%.300s: %s", t->keys, what);
	return err;
}

static int load_route(struct config *c, const struct listener *ls, struct route *r,
		      char *why)
{
	struct loading l = { .config = c, .listener = ls, .why = why };
	int err = r->tls_to_backends ? trust_load_backends(&l, r) : 0;

	if (!err && r->client_certificates)
		err = trust_load_clients(&l, r);
	return !err && r->http && r->http->jwt ? load_keys(r->http->jwt, why) : err;
}

int certs_load(struct config *c, char why[CONFIG_ERROR_MAX])
{
	struct loading whole = { .config = c, .why = why };
	int err = 0;

	why[0] = '\0';
	c->files_mark = cert_files_mark(c); /* before they are read */
	config_on_release(c, release, NULL);
	err = config_files_read(c, why);
	if (!err)
		err = tickets_load(&whole, c);
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

/* All that have it, of each kind the first. */
static void find(const struct certs *s, const char *name, struct cert_pair *ret)
{
	size_t from = 0, to = s->names_n;

	while (from < to) {
		size_t middle = from + (to - from) / 2;

		if (strcmp(s->names[middle].name, name) < 0)
			from = middle + 1;
		else
			to = middle;
	}
	for (; from < s->names_n && strcmp(s->names[from].name, name) == 0; from++)
		take(ret, s->names[from].cert);
}

/* "*.example.org" has a.example.org, and neither a.b.example.org nor example.org. */
static void find_wildcard(const struct certs *s, const char *name, struct cert_pair *ret)
{
	const char *dot = strchr(name, '.');
	char pattern[256];

	if (!dot || dot == name)
		return;
	if ((size_t)snprintf(pattern, sizeof(pattern), "*%s", dot) < sizeof(pattern))
		find(s, pattern, ret);
}

bool certs_find(const struct certs *certs, const char *name, struct cert_pair *ret)
{
	*ret = (struct cert_pair){ NULL, NULL };
	if (!certs)
		return false;
	if (name[0])
		find(certs, name, ret);
	if (name[0] && !ret->rsa && !ret->other)
		find_wildcard(certs, name, ret);
	if (!ret->rsa && !ret->other)
		*ret = certs->fallback;
	return ret->rsa || ret->other;
}

int certs_read_config(const char *path, const char *text, struct config **ret,
		      char **resolved, struct document *kept, struct faults *f)
{
	char why[CONFIG_ERROR_MAX], *whole = NULL;
	char **keep = resolved ? &whole : NULL; /* theirs stays as it is, if this fails */
	struct document d = { .root = NULL };
	struct config *c = NULL;
	int err = text ? config_read_kept(path, text, strlen(text), &c, keep,
					  kept ? &d : NULL, f)
		       : config_read_file(path, &c, keep, f);

	if (err)
		return err;
	err = certs_load(c, why);
	if (err) {
		faults_add_file(f, path, "%s", why);
		config_put(c);
		free(whole);
		document_free(&d);
		return err;
	}
	*ret = c;
	if (resolved)
		*resolved = whole;
	if (kept)
		*kept = d;
	return 0;
}
