/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The index has one rule for each host and path of each route, in chains by the host's
 * name, and in each chain in the order of preference: the first that fits is the chain's.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "codec/path.h"
#include "config/http.h"
#include "config/identity.h"
#include "config/pattern.h"

/* How specific a host is; a suffix counts SUFFIX and its length. */
enum { ANY_HOST = 1, HOST_EXPRESSION = 2, HOST_SUFFIX = 3, HOST_EXACT = 1000 };

/* And a path: a kind, and within it the length of what is literal. */
enum path_kind { PATH_ANY, PATH_EXPRESSION, PATH_PREFIX, PATH_FORM, PATH_EXACT };

struct rule {
	struct rule *next;
	struct text key; /* the host, ".suffix"; n 0: none */
	struct route *route;
	const struct pattern *host_pattern, *path_pattern;
	struct text path;
	uint8_t kind; /* enum path_kind */
	unsigned host_rank, path_rank, conditions, order;
};

struct request_index {
	struct rule *rules;
	size_t rules_n;
	struct rule *others;
	size_t mask;
	struct rule *buckets[];
};

/* Its own, or those of its TLS. */
static unsigned hosts_of(const struct route *r)
{
	return r->http->host_count ? r->http->host_count : r->sni_count;
}

static void set_host(struct rule *r, const struct route *route, unsigned i)
{
	const struct http_route *h = route->http;
	char *const *hosts = h->host_count ? h->host : route->sni;
	struct pattern *const *patterns =
		h->host_count ? h->host_patterns : route->patterns;
	const char *name = hosts_of(route) ? hosts[i] : "*";

	if (hosts_of(route) && patterns[i]) {
		r->host_pattern = patterns[i];
		r->host_rank = HOST_EXPRESSION;
	} else if (strcmp(name, "*") == 0) {
		r->host_rank = ANY_HOST;
	} else if (name[0] == '*') {
		r->key = text_of_string(name + 1);
		r->host_rank = HOST_SUFFIX + (unsigned)r->key.n;
	} else {
		r->key = text_of_string(name);
		r->host_rank = HOST_EXACT;
	}
}

static void set_path(struct rule *r, const struct http_route *h, unsigned i)
{
	const char *path = h->path_count ? h->path[i] : "/*";
	size_t n = strlen(path);

	r->path = text_of(path, n);
	if (h->path_count && h->path_patterns[i]) {
		r->path_pattern = h->path_patterns[i];
		r->kind = PATH_EXPRESSION;
	} else if (strcmp(path, "/*") == 0) {
		r->kind = PATH_ANY;
	} else if (n >= 2 && strcmp(path + n - 2, "/*") == 0) {
		r->kind = PATH_PREFIX;
		r->path.n = n - 2;
	} else {
		r->kind = strstr(path, "/:") ? PATH_FORM : PATH_EXACT;
	}
	/* how long an expression or a name is says nothing of what it takes */
	r->path_rank = (unsigned)r->kind << 16;
	if (r->kind != PATH_EXPRESSION && r->kind != PATH_FORM)
		r->path_rank |= (unsigned)r->path.n;
}

/* 1 if a goes before b. */
static bool is_before(const struct rule *a, const struct rule *b)
{
	if (a->route->priority != b->route->priority)
		return a->route->priority > b->route->priority;
	if (a->host_rank != b->host_rank)
		return a->host_rank > b->host_rank;
	if (a->path_rank != b->path_rank)
		return a->path_rank > b->path_rank;
	if (a->conditions != b->conditions)
		return a->conditions > b->conditions;
	return a->order < b->order;
}

static struct rule **chain_of(struct request_index *x, struct text key)
{
	return key.n ? &x->buckets[util_hash(key.p, key.n) & x->mask] : &x->others;
}

static int add_rule(struct request_index *x, struct rule *r)
{
	struct rule **at = chain_of(x, r->key);

	while (*at && is_before(*at, r)) {
		const struct rule *o = *at;

		if (!r->conditions && !o->conditions && text_is(o->key, r->key) &&
		    o->host_rank == r->host_rank && !r->host_pattern &&
		    !r->path_pattern && o->kind == r->kind && text_is(o->path, r->path) &&
		    o->route->priority == r->route->priority)
			return -EEXIST;
		at = &(*at)->next;
	}
	r->next = *at;
	*at = r;
	return 0;
}

static unsigned conditions(const struct route *r)
{
	const struct http_route *h = r->http;

	return (h->method_count > 0) + h->header_count + h->query_count +
	       (r->from_count > 0) + (h->certificate_count > 0);
}

static size_t rules_of(const struct route *r)
{
	if (r->http->internal)
		return 0;
	return (size_t)(hosts_of(r) ? hosts_of(r) : 1) *
	       (r->http->path_count ? r->http->path_count : 1);
}

static int add_route(struct request_index *x, struct route *r, unsigned order)
{
	const struct http_route *h = r->http;
	unsigned paths = h->path_count ? h->path_count : 1;

	for (unsigned i = 0; i < rules_of(r); i++) {
		struct rule *rule = &x->rules[x->rules_n++];

		*rule = (struct rule){ .key = TEXT(""),
				       .route = r,
				       .conditions = conditions(r),
				       .order = order };
		set_host(rule, r, i / paths);
		set_path(rule, h, i % paths);
		if (add_rule(x, rule) < 0)
			return -EEXIST;
	}
	return 0;
}

int request_index_build(const struct listener *l, struct request_index **ret,
			unsigned *second)
{
	size_t n = 0, buckets = 16;
	struct request_index *x;

	for (unsigned i = 0; i < l->routes_count; i++)
		n += l->routes[i].http ? rules_of(&l->routes[i]) : 0;
	if (n > HTTP_RULES_MAX)
		return -E2BIG;
	while (buckets < n * 2)
		buckets *= 2;
	x = calloc(1, sizeof(*x) + buckets * sizeof(struct rule *));
	if (x)
		x->rules = calloc(n ? n : 1, sizeof(*x->rules));
	if (!x || !x->rules) {
		free(x);
		return -ENOMEM;
	}
	x->mask = buckets - 1;
	for (unsigned i = 0; i < l->routes_count; i++) {
		if (!l->routes[i].http || add_route(x, &l->routes[i], i) == 0)
			continue;
		*second = i;
		request_index_free(x);
		return -EEXIST;
	}
	*ret = x;
	return 0;
}

void request_index_free(struct request_index *x)
{
	if (!x)
		return;
	free(x->rules);
	free(x);
}

/* --- looking --- */

static bool value_fits(const struct http_rule *r, struct text value)
{
	return !r->value.p || text_is(r->value, value);
}

static bool has_header(const struct http_head *h, const struct http_rule *r)
{
	for (unsigned i = 0; i < h->n; i++) {
		const struct http_field *f = &h->fields[i];

		if (text_is(text_of(f->name, f->name_n), r->name) &&
		    value_fits(r, http_value(f)))
			return true;
	}
	return false;
}

/* a=b&c: as they came */
static bool has_query(struct text query, const struct http_rule *r)
{
	while (query.n) {
		struct text value = text_cut(&query, '&');
		struct text name = text_cut(&value, '=');

		if (text_is(name, r->name) && value_fits(r, value))
			return true;
	}
	return false;
}

static bool has_source(const struct route *r, const struct addr *client)
{
	for (unsigned i = 0; i < r->from_count; i++) {
		if (prefix_has(&r->sources[i], client->ip))
			return true;
	}
	return r->from_count == 0;
}

/* 1, 0, or < 0 if nobody knows */
static int others_fit(const struct route *r, const struct request_facts *f)
{
	const struct http_route *h = r->http;

	if (h->methods && !(h->methods & 1u << f->head->method))
		return 0;
	for (unsigned i = 0; i < h->header_count; i++) {
		if (!has_header(f->head, &h->headers[i]))
			return 0;
	}
	for (unsigned i = 0; i < h->query_count; i++) {
		if (!has_query(f->query, &h->queries[i]))
			return 0;
	}
	if (!has_source(r, f->client))
		return 0;
	return h->certificate_count
		       ? identity_fits(h->identities, h->certificate_count, f->who)
		       : 1;
}

/* 1, 0, or < 0 if nobody knows */
static int path_matches(const struct rule *r, struct text path)
{
	switch (r->kind) {
	case PATH_EXACT:
		return text_is(r->path, path);
	case PATH_FORM:
		return path_fits(path, r->path);
	case PATH_PREFIX:
		return path_begins(path, r->path);
	case PATH_EXPRESSION:
		return pattern_matches(r->path_pattern, path.p, path.n);
	default:
		return 1;
	}
}

static int matches(const struct rule *r, const struct request_facts *f)
{
	int match = 1;

	if (r->host_pattern)
		match = pattern_matches(r->host_pattern, f->host.p, f->host.n);
	if (match > 0)
		match = path_matches(r, f->path);
	return match > 0 ? others_fit(r->route, f) : match;
}

struct choice {
	const struct rule *rule;
	bool undecided;
};

static void look_in(struct choice *c, const struct rule *r, struct text key,
		    const struct request_facts *f)
{
	for (; r; r = r->next) {
		int match;

		if (!text_is(r->key, key))
			continue;
		if (c->rule && !is_before(r, c->rule))
			return;
		match = matches(r, f);
		if (!match)
			continue;
		c->rule = r;
		c->undecided = match < 0;
		return;
	}
}

struct route *request_find(const struct request_index *x, const struct request_facts *f,
			   bool *ret_undecided)
{
	struct choice c = { NULL, false };
	struct text key = f->host;

	if (key.n && key.p[0] != '.') /* that would be a suffix */
		look_in(&c, x->buckets[util_hash(key.p, key.n) & x->mask], key, f);
	for (size_t i = 1; i < f->host.n; i++) {
		if (f->host.p[i] != '.')
			continue;
		key = text_of(f->host.p + i, f->host.n - i);
		look_in(&c, x->buckets[util_hash(key.p, key.n) & x->mask], key, f);
	}
	look_in(&c, x->others, text_of("", 0), f);
	*ret_undecided = c.undecided;
	return c.rule && !c.undecided ? c.rule->route : NULL;
}

/* --- what can never be reached --- */

static bool ends_with(struct text t, struct text end)
{
	return t.n > end.n && memcmp(t.p + t.n - end.n, end.p, end.n) == 0;
}

static bool host_covers(const struct rule *a, const struct rule *b)
{
	if (a->host_rank == ANY_HOST)
		return true;
	if (a->host_pattern || b->host_pattern || b->host_rank == ANY_HOST)
		return false;
	if (a->host_rank == HOST_EXACT || text_is(a->key, b->key))
		return text_is(a->key, b->key);
	return ends_with(b->key, a->key);
}

static bool path_covers(const struct rule *a, const struct rule *b)
{
	if (a->kind == PATH_ANY)
		return true;
	if (a->kind == PATH_PREFIX && b->kind >= PATH_PREFIX)
		return path_begins(b->path, a->path);
	return a->kind == b->kind && a->kind != PATH_EXPRESSION &&
	       text_is(a->path, b->path);
}

/* Chains are sorted: the first that is not before b ends the look. */
static const struct rule *cover_in(const struct rule *a, const struct rule *b)
{
	for (; a && is_before(a, b); a = a->next) {
		if (a->route != b->route && !a->conditions && host_covers(a, b) &&
		    path_covers(a, b))
			return a;
	}
	return NULL;
}

/* Of the same key, of each suffix of it, or of none. */
static const struct rule *shadow_of(const struct request_index *x, const struct rule *b)
{
	const struct rule *a = NULL;

	for (size_t i = 0; !a && i < b->key.n; i++) {
		struct text key = text_of(b->key.p + i, b->key.n - i);

		if (!i || key.p[0] == '.')
			a = cover_in(x->buckets[util_hash(key.p, key.n) & x->mask], b);
	}
	return a ? a : cover_in(x->others, b);
}

void request_each_shadowed(const struct request_index *x,
			   void (*fn)(const struct route *r, const struct route *by,
				      void *arg),
			   void *arg)
{
	for (size_t i = 0; i < x->rules_n;) {
		const struct route *r = x->rules[i].route;
		const struct rule *by = NULL;
		bool all = true;

		for (; i < x->rules_n && x->rules[i].route == r; i++) {
			const struct rule *a = all ? shadow_of(x, &x->rules[i]) : NULL;

			all = all && a;
			by = a ? a : by;
		}
		if (all && by)
			fn(r, by->route, arg);
	}
}
