/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `defaults`: what each route has that does not say otherwise, where it can have it.  It
 * is put into the document, so that whatever reads a route finds it there.
 */
#include <errno.h>
#include <string.h>
#include <strings.h>

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

/* What a route that answers itself cannot have (check_http.c: check_unused()). */
static const char *const of_backends[] = { "health",	 "queue",      "ejection",
					   "send_proxy", "balance",    "source",
					   "retries",	 "slow_start", "backend_tls" };
static const char *const of_backends_http[] = {
	"protocol", "strip",	    "prefix",	    "normalize", "sticky",   "hash",
	"pool",	    "head_timeout", "retry_budget", "request",	 "response", "client_cert"
};
/* And what an internal one (check_internal()). */
static const char *const of_clients[] = { "limits",  "client_certificates",
					  "tls",     "min_version",
					  "ciphers", "groups" };
static const char *const of_clients_http[] = {
	"early_data", "body_bytes",  "cors",   "basic_auth",  "jwt",
	"rate",	      "client_cert", "sticky", "forward_auth"
};
/* And what one whose TLS does not end here (check_route.c: check_tls()). */
static const char *const of_tls[] = { "min_version", "ciphers", "groups",
				      "client_certificates" };

bool schema_is_own(const char *key, bool http)
{
	return http ? HAS(own_http, key) : HAS(own, key);
}

static const struct node *in_http(const struct node *route, const char *key)
{
	const struct node *http = node_get(route, "http");

	return http ? node_get(http, key) : NULL;
}

static bool is_word(const struct node *n, const char *word)
{
	return n && n->kind == NODE_TEXT && strcmp(n->text, word) == 0;
}

static bool answers(const struct node *route)
{
	return in_http(route, "redirect") || in_http(route, "respond");
}

/* Truth is made plain later (schema_shape.c). */
static bool is_internal(const struct node *route)
{
	const struct node *n = in_http(route, "internal");

	return n && n->kind == NODE_TEXT && n->text[0] && !strchr("fFnN0", n->text[0]) &&
	       strcasecmp(n->text, "off") != 0;
}

static bool ends_tls(const struct node *route, const char *how)
{
	const struct node *tls = node_get(route, "tls");

	return is_word(tls, "reencrypt") || is_word(tls, how);
}

/* A header for each connection and connections that are kept do not go together. */
static bool sends_proxy(const struct node *route)
{
	const struct node *n = node_get(route, "send_proxy");

	return n && !is_word(n, "none");
}

/* May the route have it, of what there is in it already? */
static bool takes(const struct node *listener, const struct node *route, const char *key)
{
	if (is_internal(route) && HAS(of_clients, key))
		return false;
	if (answers(route) && HAS(of_backends, key))
		return false;
	if (strcmp(key, "http") == 0)
		return node_get(route, "http") != NULL;
	if (strcmp(key, "tls") == 0)
		return node_get(listener, "certificates") != NULL;
	if (HAS(of_tls, key))
		return ends_tls(route, "terminate");
	if (strcmp(key, "backend_tls") == 0)
		return ends_tls(route, "reencrypt");
	if (strcmp(key, "balance") == 0)
		return !in_http(route, "hash");
	return strcmp(key, "send_proxy") != 0 || !in_http(route, "pool");
}

/* Browsers ask by OPTIONS first, without fields (check_policy.c: check_cors()). */
static bool takes_preflights(const struct node *http)
{
	const struct node *method = node_get(http, "method");
	bool has = !method;

	for (const struct node *n = method ? method->first : NULL; n; n = n->next)
		has |= is_word(n, "OPTIONS");
	return has && !node_get(http, "header");
}

static bool takes_http(const struct node *route, const struct node *http,
		       const struct node *n)
{
	const struct node *to = n->kind == NODE_MAP && strcmp(n->key, "forward_auth") == 0
					? node_get(n, "route")
					: NULL;
	const struct node *name = node_get(route, "name");

	if (is_internal(route) && HAS(of_clients_http, n->key))
		return false;
	if (answers(route) && HAS(of_backends_http, n->key))
		return false;
	if (to && to->kind == NODE_TEXT && is_word(name, to->text))
		return false; /* who is asked */
	if (strcmp(n->key, "basic_auth") == 0)
		return !node_get(http, "jwt");
	if (strcmp(n->key, "jwt") == 0)
		return !node_get(http, "basic_auth");
	if (strcmp(n->key, "client_cert") == 0)
		return node_get(route, "client_certificates") != NULL;
	if (strcmp(n->key, "cors") == 0)
		return takes_preflights(http);
	if (strcmp(n->key, "hash") == 0)
		return !node_get(route, "balance");
	return strcmp(n->key, "pool") != 0 ||
	       (!sends_proxy(route) && !is_word(node_get(http, "protocol"), "h2"));
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
		if (!n->left_out && takes_http(route, into, n))
			put_one(c, into, n);
	}
}

/* Of `ejection` what is for requests is for routes that have them. */
static void put_ejection(struct checker *c, struct node *route, const struct node *n)
{
	struct node *into;

	put_one(c, route, n);
	into = node_get(route, "ejection");
	for (struct node *i = into ? into->first : NULL; i; i = i->next) {
		if (strcmp(i->key, "status") == 0 && !node_get(route, "http"))
			i->left_out = true;
	}
}

/* What others depend on goes first: tls, and what is not of http. */
static void put_into(struct checker *c, const struct node *listener, struct node *route,
		     const struct node *defaults)
{
	const struct node *tls = node_get(defaults, "tls");
	const struct node *http = node_get(defaults, "http");

	if (tls && takes(listener, route, "tls"))
		put_one(c, route, tls);
	for (const struct node *n = defaults->first; n && !c->no_memory; n = n->next) {
		if (n->left_out || n == tls || n == http ||
		    !takes(listener, route, n->key))
			continue;
		if (strcmp(n->key, "ejection") == 0)
			put_ejection(c, route, n);
		else
			put_one(c, route, n);
	}
	if (http && takes(listener, route, "http"))
		put_http(c, route, http);
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

/* Of `http`: what is a route's own, and what cannot be both. */
static void check_http(struct checker *c, struct node *http)
{
	where_enter_key(c->w, "http");
	check_own(c, http, true);
	if (node_get(http, "basic_auth") && node_get(http, "jwt"))
		(void)where_wrong_shape(c->w, "has both 'basic_auth' and 'jwt'");
	where_leave(c->w, 1);
}

int schema_put_defaults(struct where *w, struct document *d)
{
	struct checker c = { .w = w, .d = d, .partial = true };
	struct node *defaults = d->root ? node_get(d->root, "defaults") : NULL, *http;

	if (!defaults)
		return 0;
	where_enter_key(w, "defaults");
	if (defaults->kind == NODE_MAP) {
		(void)schema_check_fields(&c, schema_route, defaults, false);
		check_own(&c, defaults, false);
		http = node_get(defaults, "http");
		if (http)
			check_http(&c, http);
	} else {
		(void)where_wrong_shape(w, "has keys of its own, those of a route");
	}
	where_leave(w, 1);
	defaults->left_out = true;
	if (defaults->kind == NODE_MAP)
		put_all(&c, defaults);
	return c.no_memory ? -ENOMEM : 0;
}
