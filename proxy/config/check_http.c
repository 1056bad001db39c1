/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of what listeners and routes say of HTTP, and the derived forms. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/util.h"
#include "codec/path.h"
#include "config/check.h"
#include "config/http.h"
#include "config/identity.h"
#include "config/pattern.h"
#include "config/value.h"
#include "config/where.h"

/* --- a listener --- */

int config_check_http(struct where *w, struct config *c, struct listener *l)
{
	struct http_listener *h;
	unsigned at;
	int err = 0;

	if (!l->serves) {
		where_enter_key(w, "http");
		if (l->http && !where_lost(w, 1, "routes"))
			return where_wrong(w, "no route of listener '%s' has 'http'",
					   l->name);
		where_leave(w, 1);
		return 0;
	}
	if (!l->http && !(l->http = calloc(1, sizeof(*l->http))))
		return -ENOMEM;
	h = l->http;
	h->head_bytes = h->head_bytes ? h->head_bytes : HTTP_HEAD_BYTES;
	h->fields = h->fields ? h->fields : HTTP_FIELDS_DEFAULT;
	where_enter_key(w, "http");
	at = w->depth;
	where_enter_key(w, "head_bytes");
	if (h->head_bytes < 1024 || h->head_bytes > HTTP_HEAD_BYTES_MAX)
		err = where_wrong(w, "%u is outside 1024 to %u", h->head_bytes,
				  HTTP_HEAD_BYTES_MAX);
	where_leave(w, 1);
	where_enter_key(w, "fields");
	if (h->fields > HTTP_FIELDS_READ)
		err = where_wrong(w, "%u is more than %d", h->fields, HTTP_FIELDS_READ);
	where_leave(w, 1);
	err = where_also(w, at, err,
			 value_prefixes(w, "trusted", h->trusted, h->trusted_count,
					&h->trusted_prefixes));
	err = where_also(
		w, at, err,
		value_duration(w, "head_timeout", h->head_timeout, 10000, &h->head_ms));
	err = where_also(
		w, at, err,
		value_duration(w, "body_timeout", h->body_timeout, 30000, &h->body_ms));
	err = where_also(w, at, err,
			 value_duration(w, "keep_alive_timeout", h->keep_alive_timeout,
					60000, &h->keep_alive_ms));
	err = where_also(w, at, err,
			 config_check_pages(w, c, h->error_pages, h->error_pages_count));
	where_leave(w, 1);
	return err;
}

/* --- queries --- */

/* "name=value" or "name" */
static int read_queries(struct where *w, struct http_route *h)
{
	int err = 0;

	h->queries = calloc(h->query_count ? h->query_count : 1, sizeof(*h->queries));
	if (!h->queries)
		return -ENOMEM;
	where_enter_key(w, "query");
	for (unsigned i = 0; i < h->query_count; i++) {
		struct text value = text_of_string(h->query[i]);
		bool has = memchr(value.p, '=', value.n) != NULL;

		h->queries[i].name = text_cut(&value, '=');
		if (has)
			h->queries[i].value = value;
		if (h->queries[i].name.n)
			continue;
		where_enter_index(w, i);
		err = where_wrong(w, "'%s' is not \"name\" or \"name=value\"",
				  h->query[i]);
		where_leave(w, 1);
	}
	where_leave(w, 1);
	return err;
}

/* --- what a request must be --- */

static int read_methods(struct where *w, struct http_route *h)
{
	int err = 0;

	where_enter_key(w, "method");
	for (unsigned i = 0; i < h->method_count; i++) {
		enum http_method m = http_method(text_of_string(h->method[i]));

		where_enter_index(w, i);
		if (!m)
			err = where_wrong(w,
					  "'%s' is not GET, HEAD, POST, PUT, DELETE, "
					  "PATCH, OPTIONS, CONNECT or TRACE, in capitals",
					  h->method[i]);
		h->methods |= 1u << m;
		where_leave(w, 1);
	}
	where_leave(w, 1);
	return err;
}

static int check_path(struct where *w, const char *path)
{
	struct text t = text_of_string(path), normal;
	char buf[512];
	size_t n = t.n;

	if (path[0] != '/')
		return where_wrong(w,
				   "'%s' is not \"/path\", \"/prefix/*\" or "
				   "\"~expression\"",
				   path);
	if (n >= 2 && strcmp(path + n - 2, "/*") == 0)
		t.n -= n > 2 ? 2 : 1;
	if (t.n < n && strstr(path, "/:"))
		return where_wrong(w,
				   "'%s': names of segments and '/*' do not go together; "
				   "an expression does both",
				   path);
	if (memchr(t.p, '*', t.n))
		return where_wrong(w, "'%s': '*' stands at the end only, behind '/'",
				   path);
	if (memchr(t.p, '?', t.n))
		return where_wrong(w, "'%s': what is behind '?' goes to 'query'", path);
	if (!path_normal(t, buf, &normal) || !text_is(normal, t))
		return where_wrong(w,
				   "'%s' is not in normal form, in which paths are "
				   "compared (RFC 3986 6.2.2): no request is like it",
				   path);
	return 0;
}

static int check_paths(struct where *w, struct config *c, struct http_route *h)
{
	unsigned at = w->depth + 1;
	int err = 0;

	h->path_patterns =
		calloc(h->path_count ? h->path_count : 1, sizeof(struct pattern *));
	if (!h->path_patterns)
		return -ENOMEM;
	where_enter_key(w, "path");
	for (unsigned i = 0; i < h->path_count; i++) {
		where_enter_index(w, i);
		err = where_also(
			w, at, err,
			h->path[i][0] == '~'
				? value_pattern(w, c, h->path[i], &h->path_patterns[i])
				: check_path(w, h->path[i]));
	}
	where_leave(w, 1);
	return err;
}

/* --- what becomes of it --- */

static int check_answer(struct where *w, struct config *c, struct http_route *h)
{
	struct http_redirect *d = h->redirect;
	struct http_respond *r = h->respond;
	int err;

	if (d && r)
		return where_wrong(w, "has both 'redirect' and 'respond'");
	if (d) {
		where_enter_key(w, "redirect");
		d->status = d->status ? d->status : 308;
		where_enter_key(w, "status");
		if (d->status < 301 || d->status > 308 || d->status == 304 ||
		    d->status == 305 || d->status == 306)
			return where_wrong(w, "%u is not 301, 302, 303, 307 or 308",
					   d->status);
		where_leave(w, 1);
		where_enter_key(w, "to");
		err = config_check_template(w, text_of_string(d->to), &d->where);
		if (err)
			return err;
		where_leave(w, 2);
	}
	return r ? config_check_respond(w, c, r) : 0;
}

static int check_prefix(struct where *w, const char *key, char *text)
{
	struct text normal, t;
	char buf[1024 + 1];
	size_t n = text ? strlen(text) : 0;

	if (!text)
		return 0;
	where_enter_key(w, key);
	while (n > 1 && text[n - 1] == '/') /* whole segments */
		text[--n] = '\0';
	t = text_of(text, n);
	if (text[0] != '/' || n < 2 || !path_normal(t, buf, &normal) ||
	    !text_is(normal, t))
		return where_wrong(w, "'%s' is not \"/prefix\" in normal form", text);
	where_leave(w, 1);
	return 0;
}

static const char *const protocols[] = { "h2", "http/1.1" };

static int check_tls(struct where *w, const struct listener *l, struct route *r)
{
	if (l->tls && r->tls == TLS_PASSTHROUGH && !r->http->internal)
		return where_wrong(w, "requests of a listener of TLS can be read where "
				      "it ends only: tls: terminate or reencrypt");
	if (!l->tls && r->tls == TLS_REENCRYPT)
		return where_wrong(w, "tls: reencrypt is for listeners of TLS");
	if (l->tls && r->alpn_count)
		return where_wrong(w, "'alpn' is the gate's own where it reads HTTP");
	r->protocols = protocols + l->http->h1_only;
	r->protocols_count = ARRAY_SIZE(protocols) - l->http->h1_only;
	return 0;
}

static int check_rules(struct where *w, struct config *c, struct http_route *h)
{
	unsigned at = w->depth;
	int err = read_methods(w, h);

	err = where_also(w, at, err, check_paths(w, c, h));
	err = where_also(w, at, err,
			 config_check_fields(w, "header", h->header, h->header_count,
					     RULE_HAS, &h->headers));
	err = where_also(w, at, err, read_queries(w, h));
	err = where_also(w, at, err,
			 identity_read(w, c, h->certificate, h->certificate_count,
				       &h->identities));
	err = where_also(w, at, err, config_check_edits(w, "request", &h->request));
	err = where_also(w, at, err, config_check_edits(w, "response", &h->response));
	err = where_also(w, at, err, check_answer(w, c, h));
	err = where_also(w, at, err, check_prefix(w, "strip", h->strip));
	return where_also(w, at, err, check_prefix(w, "prefix", h->prefix));
}

/* What is for backends does nothing where the route itself is the answer. */
static int check_unused(struct where *w, const struct route *r)
{
	const struct http_route *h = r->http;
	const struct {
		bool is;
		const char *key;
	} keys[] = {
		{ r->backend_names_count > 0, "backends" },
		{ r->health != NULL, "health" },
		{ r->queue != NULL, "queue" },
		{ r->ejection != NULL, "ejection" },
		{ r->send_proxy != 0, "send_proxy" },
		{ r->backend_tls != NULL, "backend_tls" },
		{ r->source != NULL, "source" },
		{ r->retries != NULL, "retries" },
		{ r->slow_start != NULL, "slow_start" },
		{ h->protocol != PROTOCOL_H1, "protocol" },
		{ h->strip || h->prefix, "strip' and 'prefix" },
		{ h->normalize, "normalize" },
		{ h->sticky != NULL, "sticky" },
		{ h->client_cert, "client_cert" },
		{ h->internal, "internal" },
		{ h->hash != NULL, "hash" },
		{ h->pool != NULL, "pool" },
		{ h->head_timeout != NULL, "head_timeout" },
		{ h->retry_budget != NULL, "retry_budget" },
		{ h->request.set_count + h->request.add_count + h->request.remove_count >
			  0,
		  "request" },
		{ h->response.set_count + h->response.add_count +
				  h->response.remove_count >
			  0,
		  "response" },
	};

	for (size_t i = 0; config_answers(r) && i < ARRAY_SIZE(keys); i++) {
		if (keys[i].is)
			return where_wrong(w,
					   "'%s' is for routes with backends, and route "
					   "'%s' answers itself",
					   keys[i].key, r->name);
	}
	return 0;
}

/* And what is for those who find it where nobody does. */
static int check_internal(struct where *w, const struct listener *l,
			  const struct route *r)
{
	const struct http_route *h = r->http;
	const struct {
		bool is;
		const char *key;
	} keys[] = {
		{ r->sni_count > 0, "sni" },
		{ r->from_count > 0, "from" },
		{ r->priority != 0, "priority" },
		{ r->client_certificates != NULL, "client_certificates" },
		{ r->limits.connections || r->limits.per_source || r->limits.per_prefix ||
			  r->limits.rate_text || r->limits.source_rate_text ||
			  r->limits.prefix_rate_text,
		  "limits" },
		{ h->host_count + h->path_count + h->method_count + h->header_count +
				  h->query_count + h->certificate_count >
			  0,
		  "host', 'path', 'method', 'header', 'query' and 'certificate" },
		{ h->early_data != EARLY_PASS, "early_data" },
		{ h->body_bytes > 0, "body_bytes" },
		{ h->cors != NULL, "cors" },
		{ h->basic_auth != NULL, "basic_auth" },
		{ h->jwt != NULL, "jwt" },
		{ h->rate != NULL, "rate" },
		{ h->client_cert, "client_cert" },
		{ h->sticky != NULL, "sticky" },
		{ r == l->fallback_route, "fallback" },
	};

	for (size_t i = 0; h->internal && i < ARRAY_SIZE(keys); i++) {
		if (keys[i].is)
			return where_wrong(w,
					   "'%s' is for routes that requests find, and "
					   "route '%s' is internal",
					   keys[i].key, r->name);
	}
	return 0;
}

int config_check_http_route(struct where *w, struct config *c, const struct listener *l,
			    struct route *r)
{
	struct http_route *h = r->http;
	unsigned at;
	int err;

	if (!h && l->serves && !l->tls)
		return where_wrong(w,
				   "listener '%s' has routes with 'http', and route '%s' "
				   "has none: without TLS nothing tells them apart",
				   l->name, r->name);
	r->protocols = (const char *const *)r->alpn;
	r->protocols_count = r->alpn_count;
	if (!h)
		return 0;
	where_enter_key(w, "http");
	at = w->depth;
	err = check_tls(w, l, r);
	err = where_also(
		w, at, err,
		value_names(w, c, "host", h->host, h->host_count, &h->host_patterns));
	err = where_also(w, at, err, check_rules(w, c, h));
	err = where_also(
		w, at, err,
		value_duration(w, "head_timeout", h->head_timeout, 60000, &h->head_ms));
	if (!err)
		config_warn_of_user(w, c, h);
	h->pool_max = h->pool ? *h->pool : HTTP_POOL_DEFAULT;
	h->budget = h->retry_budget ? *h->retry_budget : HTTP_BUDGET;
	if (h->budget > 100)
		err = where_wrong(w, "retry_budget: %u is more than 100 in 100",
				  h->budget);
	if (h->pool && (h->protocol == PROTOCOL_H2 || r->send_proxy))
		err = where_wrong(w, "'pool' is for backends of HTTP/1.1 without "
				     "'send_proxy'");
	err = where_also(w, at, err, check_unused(w, r));
	err = where_also(w, at, err, check_internal(w, l, r));
	err = where_also(w, at, err, config_check_policy(w, c, r));
	where_leave(w, 1);
	return err;
}

/* --- all of a listener's --- */

struct warner {
	struct where *w;
	struct config *c;
};

static void warn(const struct route *r, const struct route *by, void *arg)
{
	const struct warner *x = arg;

	where_warn(x->w, &x->c->warnings,
		   "no request can come to route '%s': route '%s' is before it with all "
		   "of them",
		   r->name, by->name);
}

int config_check_requests(struct where *w, struct config *c, struct listener *l)
{
	struct warner warner = { w, c };
	unsigned second;
	int err;

	if (!l->serves)
		return 0;
	for (unsigned i = 0; i < l->routes_count; i++) {
		const struct http_route *h = l->routes[i].http;

		l->http->asks_identity |= h && h->certificate_count;
	}
	err = request_index_build(l, &l->http->index, &second);
	if (err == -E2BIG)
		return where_wrong(w,
				   "routes: hosts times paths of all of them are more "
				   "than %d",
				   HTTP_RULES_MAX);
	if (err == -EEXIST) {
		where_enter_key(w, "routes");
		where_enter_index(w, second);
		return where_wrong(w, "an earlier route asks for the same already");
	}
	if (err)
		return err;
	request_each_shadowed(l->http->index, warn, &warner);
	return config_check_askers(w, l);
}
