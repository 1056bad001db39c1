/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `defaults`: what each route has that does not say otherwise, where it can have it.  It
 * is put into the document, so that whatever reads a route finds it there.
 */
#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "config/schema.h"
#include "config/schema_own.h"

static bool has_word(const char *const *words, size_t n, const char *word)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(words[i], word) == 0)
			return true;
	}
	return false;
}

#define HAS(words, word) has_word(words, ARRAY_SIZE(words), word)

/* Which connections or requests it takes, and what becomes of them. */
static const char *const own[] = {
	"name", "sni", "alpn", "from", "priority", "backends"
};
static const char *const own_http[] = { "host",	    "path",    "method",
					"header",   "query",   "certificate",
					"redirect", "respond", "internal" };

/* What a route that answers itself cannot have (check_http.c). */
static const char *const of_backends[] = { "health",	 "queue",      "ejection",
					   "send_proxy", "balance",    "source",
					   "retries",	 "slow_start", "backend_tls" };
static const char *const of_backends_http[] = {
	"protocol", "strip",	    "prefix",	    "normalize", "sticky",   "hash",
	"pool",	    "head_timeout", "retry_budget", "request",	 "response", "client_cert"
};
/* And what one whose TLS does not end here. */
static const char *const of_tls[] = { "min_version", "ciphers", "groups",
				      "client_certificates" };

bool schema_is_own(const char *key, bool http)
{
	return http ? HAS(own_http, key) : HAS(own, key);
}

static bool answers(const struct node *route)
{
	const struct node *http = node_get(route, "http");

	return http && (node_get(http, "redirect") || node_get(http, "respond"));
}

static bool ends_tls(const struct node *route, const char *how)
{
	const struct node *tls = node_get(route, "tls");

	return tls && tls->kind == NODE_TEXT &&
	       (strcmp(tls->text, "reencrypt") == 0 || strcmp(tls->text, how) == 0);
}

/* May the route have it, of what there is in it already? */
static bool takes(const struct node *listener, const struct node *route, const char *key)
{
	if (strcmp(key, "http") == 0)
		return node_get(route, "http") != NULL;
	if (strcmp(key, "tls") == 0)
		return node_get(listener, "certificates") != NULL;
	if (HAS(of_tls, key))
		return ends_tls(route, "terminate");
	if (strcmp(key, "backend_tls") == 0 && !ends_tls(route, "reencrypt"))
		return false;
	return !HAS(of_backends, key) || !answers(route);
}

static bool takes_http(const struct node *route, const struct node *http, const char *key)
{
	if (strcmp(key, "basic_auth") == 0 || strcmp(key, "jwt") == 0)
		return !node_get(http, "basic_auth") && !node_get(http, "jwt");
	return !HAS(of_backends_http, key) || !answers(route);
}

static void put(struct checker *c, struct node *into, const struct node *from);

static void put_one(struct checker *c, struct node *into, const struct node *n)
{
	struct node *has = node_get(into, n->key), *copy;

	if (has && has->kind == NODE_MAP && n->kind == NODE_MAP) {
		put(c, has, n);
		return;
	}
	copy = has ? NULL : document_copy(c->d, n);
	if (copy)
		node_append(into, copy);
	c->no_memory |= !has && !copy;
}

static void put(struct checker *c, struct node *into, const struct node *from)
{
	for (const struct node *n = from->first; n && !c->no_memory; n = n->next) {
		if (!n->left_out)
			put_one(c, into, n);
	}
}

static void put_http(struct checker *c, struct node *route, const struct node *from)
{
	struct node *into = node_get(route, "http");

	for (const struct node *n = from->first; n && into->kind == NODE_MAP;
	     n = n->next) {
		if (!n->left_out && takes_http(route, into, n->key))
			put_one(c, into, n);
	}
}

static void put_into(struct checker *c, const struct node *listener, struct node *route,
		     const struct node *defaults)
{
	/* what other keys depend on goes first */
	const struct node *tls = node_get(defaults, "tls");

	if (tls && takes(listener, route, "tls"))
		put_one(c, route, tls);
	for (const struct node *n = defaults->first; n && !c->no_memory; n = n->next) {
		if (n->left_out || n == tls || !takes(listener, route, n->key))
			continue;
		if (strcmp(n->key, "http") == 0)
			put_http(c, route, n);
		else
			put_one(c, route, n);
	}
}

/* Tells of what is a route's own, and leaves it out. */
static void check_own(struct checker *c, struct node *map, bool http)
{
	for (struct node *n = map->first; n; n = n->next) {
		if (n->left_out || !schema_is_own(n->key, http))
			continue;
		where_enter_key(c->w, n->key);
		(void)where_wrong_key(c->w, n, "is each route's own");
		where_leave(c->w, 1);
		n->left_out = true;
	}
}

static void put_all(struct checker *c, struct node *defaults)
{
	const struct node *listeners = node_get(c->d->root, "listeners"), *routes;

	for (const struct node *l = listeners ? listeners->first : NULL; l; l = l->next) {
		routes = node_get(l, "routes");
		for (struct node *r = routes ? routes->first : NULL; r; r = r->next) {
			if (r->kind == NODE_MAP)
				put_into(c, l, r, defaults);
		}
	}
}

int schema_put_defaults(struct where *w, struct document *d)
{
	struct checker c = { .w = w, .d = d };
	struct node *defaults = d->root ? node_get(d->root, "defaults") : NULL, *http;

	if (!defaults)
		return 0;
	where_enter_key(w, "defaults");
	if (defaults->kind == NODE_MAP)
		(void)schema_check_fields(&c, schema_route, defaults, false);
	else
		(void)where_wrong_shape(w, "has keys of its own, those of a route");
	check_own(&c, defaults, false);
	http = node_get(defaults, "http");
	if (http) {
		where_enter_key(w, "http");
		check_own(&c, http, true);
		where_leave(w, 1);
	}
	where_leave(w, 1);
	defaults->left_out = true;
	put_all(&c, defaults);
	return c.no_memory ? -ENOMEM : 0;
}
