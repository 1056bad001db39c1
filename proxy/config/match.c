/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The index has one rule for each name of each route: exact names and suffixes (with
 * their dot) in a hash table, so that a connection looks up its name once for each label;
 * expressions, "*" and routes by no name in a list.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "config/http.h"
#include "config/match.h"
#include "config/pattern.h"

/* How specific a name is; a suffix counts SUFFIX and its length. */
enum { BY_NO_NAME = 0, ANY = 1, EXPRESSION = 2, SUFFIX = 3, EXACT = 1000 };

struct rule {
	struct rule *next;
	const char *key; /* the name, ".suffix", or NULL in the list */
	struct route *route;
	const struct pattern *pattern;
	unsigned rank;
	unsigned order; /* of the route in the file */
};

struct route_index {
	struct rule *others;
	size_t mask;
	struct rule *rules; /* storage of all */
	struct rule *buckets[];
};

static size_t hash(const char *s)
{
	return (size_t)util_hash(s, strlen(s));
}

static void rule_init(struct rule *r, struct route *route, unsigned order, unsigned i)
{
	const char *name = route->sni_count ? route->sni[i] : NULL;

	*r = (struct rule){ .route = route, .order = order };
	if (!name) {
		r->rank = BY_NO_NAME;
	} else if (strcmp(name, "*") == 0) {
		r->rank = ANY;
	} else if (route->patterns[i]) {
		r->rank = EXPRESSION;
		r->pattern = route->patterns[i];
	} else if (name[0] == '*') {
		r->key = name + 1;
		r->rank = SUFFIX + (unsigned)strlen(r->key);
	} else {
		r->key = name;
		r->rank = EXACT;
	}
}

static bool same_list(char *const *a, unsigned a_n, char *const *b, unsigned b_n)
{
	if (a_n != b_n)
		return false;
	for (unsigned i = 0; i < a_n; i++) {
		if (strcmp(a[i], b[i]) != 0)
			return false;
	}
	return true;
}

/* Nothing tells them apart. */
static bool same_conditions(const struct rule *a, const struct rule *b)
{
	const struct route *x = a->route, *y = b->route;

	return a->rank == b->rank && a->rank != EXPRESSION &&
	       x->priority == y->priority &&
	       (a->key ? strcmp(a->key, b->key) == 0 : true) &&
	       same_list(x->alpn, x->alpn_count, y->alpn, y->alpn_count) &&
	       same_list(x->from, x->from_count, y->from, y->from_count);
}

/* Requests of one name may be several routes': the first is the connection's. */
static int rule_add(struct route_index *x, struct rule *r, bool serves)
{
	struct rule **head = r->key ? &x->buckets[hash(r->key) & x->mask] : &x->others;

	for (struct rule *o = *head; o; o = o->next) {
		if ((r->key == NULL) == (o->key == NULL) && same_conditions(o, r))
			return serves && o->route->http && r->route->http ? 0 : -EEXIST;
	}
	r->next = *head;
	*head = r;
	return 0;
}

static size_t rules_of(const struct route *r)
{
	return r->sni_count ? r->sni_count : 1;
}

int route_index_build(const struct listener *l, struct route_index **ret,
		      unsigned *second, const char **name)
{
	size_t n = 0, buckets = 16, at = 0;
	struct route_index *x;

	for (unsigned i = 0; i < l->routes_count; i++)
		n += rules_of(&l->routes[i]);
	while (buckets < n * 2)
		buckets *= 2;
	x = calloc(1, sizeof(*x) + buckets * sizeof(*x->buckets));
	if (x)
		x->rules = calloc(n, sizeof(*x->rules));
	if (!x || !x->rules) {
		free(x);
		return -ENOMEM;
	}
	x->mask = buckets - 1;
	for (unsigned i = 0; i < l->routes_count; i++) {
		struct route *r = &l->routes[i];

		if (r->http && r->http->internal)
			continue;
		if (r == l->fallback_route && !r->sni_count && !r->alpn_count &&
		    !r->from_count)
			continue; /* only for what nothing else is for */
		for (unsigned k = 0; k < rules_of(r); k++) {
			rule_init(&x->rules[at], r, i, k);
			if (rule_add(x, &x->rules[at++], l->serves) == 0)
				continue;
			*second = i;
			*name = r->sni_count ? r->sni[k] : NULL;
			route_index_free(x);
			return -EEXIST;
		}
	}
	*ret = x;
	return 0;
}

void route_index_free(struct route_index *x)
{
	if (!x)
		return;
	free(x->rules);
	free(x);
}

/* --- looking --- */

/* The best so far. */
struct choice {
	const struct hello *hello;
	const struct addr *client;
	const struct rule *rule;
	unsigned bits;	/* of its source prefix, plus one */
	bool undecided; /* its expression came to its bounds: perhaps it is none */
};

/* Bits of the longest prefix that has the client, plus one; 0: the route asks for none.
 */
static int source_bits(const struct route *r, const struct addr *client, unsigned *ret)
{
	*ret = 0;
	for (unsigned i = 0; i < r->from_count; i++) {
		if (prefix_has(&r->sources[i], client->ip) &&
		    r->sources[i].bits + 1u > *ret)
			*ret = r->sources[i].bits + 1u;
	}
	return r->from_count == 0 || *ret ? 0 : -ENOENT;
}

static bool offers_any(const struct route *r, const struct hello *h)
{
	for (unsigned i = 0; i < r->alpn_count; i++) {
		if (h && hello_offers(h, r->alpn[i]))
			return true;
	}
	return r->alpn_count == 0;
}

static bool is_better(const struct rule *r, unsigned bits, const struct choice *c)
{
	const struct rule *best = c->rule;

	if (!best)
		return true;
	if (r->route->priority != best->route->priority)
		return r->route->priority > best->route->priority;
	if (r->rank != best->rank)
		return r->rank > best->rank;
	if (bits != c->bits)
		return bits > c->bits;
	if (!r->route->alpn_count != !best->route->alpn_count)
		return r->route->alpn_count > 0;
	return r->order < best->order;
}

static void consider(struct choice *c, const struct rule *r)
{
	unsigned bits;
	int match = 1;

	if (source_bits(r->route, c->client, &bits) < 0 || !is_better(r, bits, c) ||
	    !offers_any(r->route, c->hello))
		return;
	if (r->pattern && (!c->hello || !c->hello->has_sni))
		return;
	if (r->pattern)
		match = pattern_matches(r->pattern, c->hello->sni, strlen(c->hello->sni));
	if (!match)
		return;
	c->rule = r;
	c->bits = bits;
	c->undecided = match < 0;
}

static void look_up(struct choice *c, const struct route_index *x, const char *key)
{
	for (const struct rule *r = x->buckets[hash(key) & x->mask]; r; r = r->next) {
		if (strcmp(r->key, key) == 0)
			consider(c, r);
	}
}

struct route *route_find(const struct listener *l, const struct hello *h,
			 const struct addr *client, bool *ret_undecided)
{
	struct choice c = { .hello = h, .client = client };
	const struct route_index *x = l->index;

	if (h && h->has_sni) {
		if (h->sni[0] != '.') /* that would be a suffix */
			look_up(&c, x, h->sni);
		/* "*.a" is for "x.a", not for "a" */
		for (const char *dot = strchr(h->sni, '.'); dot;
		     dot = strchr(dot + 1, '.')) {
			if (dot > h->sni)
				look_up(&c, x, dot);
		}
	}
	for (const struct rule *r = x->others; r; r = r->next)
		consider(&c, r);
	*ret_undecided = c.undecided;
	return c.rule && !c.undecided ? c.rule->route : NULL;
}
