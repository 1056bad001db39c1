/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "decide/cors.h"
#include "codec/h1.h"
#include "codec/path.h"
#include "http/forward.h"
#include "http/worker.h"
#include "net/sock.h"

#define VIA "tollgate"

/* --- texts --- */

static bool keep(struct forward_texts *t, struct text what)
{
	if (what.n > sizeof(t->bytes) - t->n)
		return false;
	memcpy(t->bytes + t->n, what.p, what.n);
	t->n += what.n;
	return true;
}

static struct text kept(const struct forward_texts *t, size_t from)
{
	return text_of(t->bytes + from, t->n - from);
}

__attribute__((format(printf, 2, 3))) static struct text print(struct forward_texts *t,
							       const char *fmt, ...)
{
	size_t room = sizeof(t->bytes) - t->n, from = t->n;
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(t->bytes + from, room, fmt, args);
	va_end(args);
	if (n < 0 || (size_t)n >= room)
		return text_of(NULL, 0);
	t->n += (size_t)n;
	return kept(t, from);
}

static struct text scheme_of(const struct http_client *c)
{
	return c->who.conn->layer ? TEXT("https") : TEXT("http");
}

static struct text normal_path(const struct http_head *h, struct forward_texts *t,
			       struct text *query)
{
	struct text path = path_split(h->path, query), normal;

	if (sizeof(t->bytes) - t->n < path.n ||
	    !path_normal(path, t->bytes + t->n, &normal))
		return path; /* "*", which has one form only */
	t->n += normal.n;
	return normal;
}

static struct text variable(const struct forward_request *r, uint8_t v)
{
	struct text query, path;

	switch (v) {
	case VAR_CLIENT:
		return text_of_string(r->client->address);
	case VAR_HOST:
		return http_host(r->head->authority);
	case VAR_METHOD:
		return r->head->method_name;
	case VAR_PATH:
		path = path_split(r->head->path, &query);
		return path;
	case VAR_QUERY:
		(void)path_split(r->head->path, &query);
		return query.p ? query : TEXT("");
	case VAR_REQUEST_ID:
		return text_of_string(r->id);
	case VAR_SCHEME:
		return scheme_of(r->client);
	case VAR_USER:
		return r->user ? text_of_string(r->user) : TEXT("");
	default:
		return r->head->path;
	}
}

struct text forward_template(const struct forward_request *r,
			     const struct http_template *t, struct forward_texts *texts)
{
	struct text parts[HTTP_TEMPLATE_PARTS];
	size_t from;

	if (t->n == 1 && t->parts[0].variable == VAR_TEXT)
		return t->parts[0].text;
	for (unsigned i = 0; i < t->n; i++)
		parts[i] = t->parts[i].variable == VAR_TEXT
				   ? t->parts[i].text
				   : variable(r, t->parts[i].variable);
	from = texts->n;
	for (unsigned i = 0; i < t->n; i++) {
		if (!parts[i].p || !keep(texts, parts[i]))
			return text_of(NULL, 0);
	}
	return kept(texts, from);
}

/* --- edits of the configuration --- */

/* However it is spelled: what is set is not to be said by somebody else, too. */
static void remove_named(struct http_head *h, struct text name)
{
	unsigned n = 0;

	for (unsigned i = 0; i < h->n; i++) {
		if (!http_is_alike(text_of(h->fields[i].name, h->fields[i].name_n), name))
			h->fields[n++] = h->fields[i];
	}
	h->n = n;
}

static bool put_rules(const struct forward_request *r, const struct http_rule *rules,
		      unsigned n, bool sets, struct forward_texts *texts,
		      struct http_head *h)
{
	for (unsigned i = 0; i < n; i++) {
		struct text value = forward_template(r, &rules[i].what, texts);

		if (!value.p)
			return rules[i].what.n == 0;
		if (sets)
			remove_named(h, rules[i].name);
		if (rules[i].id == HTTP_HOST && !http_is_authority(value))
			return false; /* what is written would be refused */
		if (rules[i].id == HTTP_HOST)
			h->authority = value;
		else if (!http_add(h, rules[i].id, rules[i].name, value))
			return false;
	}
	return true;
}

static bool edit(const struct forward_request *r, const struct http_edits *e,
		 struct forward_texts *texts, struct http_head *h)
{
	for (unsigned i = 0; i < e->remove_count; i++)
		remove_named(h, e->remove_rules[i].name);
	return put_rules(r, e->set_rules, e->set_count, true, texts, h) &&
	       put_rules(r, e->add_rules, e->add_count, false, texts, h);
}

/* --- a request --- */

/* Of a client that is not trusted, what only a proxy may say; of any, what only we may.
 */
static bool is_dropped(const struct http_field *f, bool trusted)
{
	switch (f->id) {
	case HTTP_CLIENT_CERT:
	case HTTP_CLIENT_CERT_CHAIN:
	case HTTP_X_FORWARDED_FOR: /* written anew, as is the id */
	case HTTP_X_REQUEST_ID:
		return true;
	case HTTP_FORWARDED:
	case HTTP_X_FORWARDED_HOST:
	case HTTP_X_FORWARDED_PORT:
	case HTTP_X_FORWARDED_PROTO:
	case HTTP_X_REAL_IP:
		return !trusted;
	default:
		return f->hop;
	}
}

/* "x_forwarded_for" becomes the same variable of CGI as "x-forwarded-for". */
static bool is_lookalike(const struct http_field *f)
{
	char name[32];

	if (f->name_n >= sizeof(name) || !memchr(f->name, '_', f->name_n))
		return false;
	for (size_t i = 0; i < f->name_n; i++)
		name[i] = f->name[i] == '_' ? '-' : f->name[i];
	switch (http_field_id(name, f->name_n)) {
	case HTTP_OTHER_FIELD:
		return false;
	default:
		return true;
	}
}

static bool copy_fields(const struct forward_request *r, struct http_head *ret)
{
	const struct http_head *h = r->head;
	bool drops = r->client->listener->http->underscores == UNDERSCORES_DROP;

	memcpy(ret, h, offsetof(struct http_head, fields));
	ret->n = 0;
	for (unsigned i = 0; i < h->n; i++) {
		const struct http_field *f = &h->fields[i];

		if (is_dropped(f, r->client->trusted) || is_lookalike(f) ||
		    (drops && memchr(f->name, '_', f->name_n)))
			continue;
		ret->fields[ret->n++] = *f;
	}
	return true;
}

static bool has(const struct http_head *h, enum http_field_id id)
{
	int at = -1;

	return http_find(h, id, &at) != NULL;
}

static bool add_if_missing(struct http_head *h, enum http_field_id id, struct text value)
{
	return !value.p || has(h, id) || http_add(h, id, TEXT(""), value);
}

/* Those of before, if they are believed, and the client that we see. */
static bool add_forwarded_for(const struct forward_request *r, struct text client,
			      struct forward_texts *texts, struct http_head *ret)
{
	const struct http_field *f;
	size_t from = texts->n;
	int at = -1;

	while (r->client->trusted &&
	       (f = http_find(r->head, HTTP_X_FORWARDED_FOR, &at))) {
		if (!keep(texts, http_value(f)) || !keep(texts, TEXT(", ")))
			return false;
	}
	if (texts->n > from) {
		if (!keep(texts, client))
			return false;
		client = kept(texts, from);
	}
	return http_add(ret, HTTP_X_FORWARDED_FOR, TEXT(""), client);
}

/* RFC 7239 */
static bool add_forwarded(const struct forward_request *r, struct text client,
			  struct forward_texts *texts, struct http_head *ret)
{
	bool v4 = addr_is_v4(http_client_addr(r->client)->ip);
	struct text scheme = scheme_of(r->client), host = r->head->authority, value;

	value = print(texts,
		      v4 ? "for=%.*s;host=\"%.*s\";proto=%.*s"
			 : "for=\"[%.*s]\";host=\"%.*s\";proto=%.*s",
		      (int)client.n, client.p, (int)host.n, host.p, (int)scheme.n,
		      scheme.p);
	return value.p && http_add(ret, HTTP_FORWARDED, TEXT(""), value);
}

static struct text local_port(const struct http_client *c, struct forward_texts *texts)
{
	char digits[TEXT_NUMBER];
	size_t from = texts->n;

	if (c->listener->path ||
	    !keep(texts, text_number(digits, ntohs(c->listener->addr.port))))
		return text_of(NULL, 0);
	return kept(texts, from);
}

static bool add_client(const struct forward_request *r, struct forward_texts *texts,
		       struct http_head *ret)
{
	const struct http_client *c = r->client;
	struct text client;

	if (c->listener->path && !c->header.known)
		return true; /* nobody knows where it comes from */
	client = text_of_string(c->address);
	if (!add_forwarded_for(r, client, texts, ret))
		return false;
	if (c->listener->http->forwarded && !add_forwarded(r, client, texts, ret))
		return false;
	return add_if_missing(ret, HTTP_X_REAL_IP, client);
}

/* The path is what was asked for, unless the route says otherwise. */
static bool rewrite(const struct forward_request *r, struct forward_texts *texts,
		    struct http_head *ret)
{
	const struct http_route *h = r->route->http;
	struct text query, path;
	size_t from;

	if ((!h->strip && !h->prefix && !h->normalize) || r->head->path.p[0] != '/')
		return true;
	path = normal_path(r->head, texts, &query);
	if (h->strip && path_begins(path, text_of_string(h->strip))) {
		path.p += strlen(h->strip);
		path.n -= strlen(h->strip);
	}
	from = texts->n;
	if (h->prefix && !keep(texts, text_of_string(h->prefix)))
		return false;
	if (!path.n && !keep(texts, TEXT("/")))
		return false;
	if (!keep(texts, path) ||
	    (query.p && (!keep(texts, TEXT("?")) || !keep(texts, query))))
		return false;
	ret->path = kept(texts, from);
	return ret->path.n <= H1_TARGET_MAX;
}

static bool add_via(const struct http_listener *l, const struct http_head *from,
		    struct http_head *ret)
{
	return !l->via || http_add(ret, HTTP_VIA, TEXT(""),
				   from->major == 2   ? TEXT("2.0 " VIA)
				   : from->minor == 0 ? TEXT("1.0 " VIA)
						      : TEXT("1.1 " VIA));
}

/*
 * W3C Trace Context: what came is passed on; where nothing came, a trace begins here, of
 * which the request's id is the number, so that a line of the access log leads to it.
 */
static bool add_trace(const struct forward_request *r, struct forward_texts *texts,
		      struct http_head *ret)
{
	struct text value;

	if (!r->client->listener->http->traceparent || has(ret, HTTP_TRACEPARENT) ||
	    strlen(r->id) != WORKER_ID_LEN)
		return true;
	value = print(texts, "00-%s-%.16s-01", r->id, r->id);
	return value.p && http_add(ret, HTTP_TRACEPARENT, TEXT(""), value);
}

/* RFC 9440: of the connection's route, which had it verified. */
static bool add_certificate(const struct forward_request *r, struct http_head *ret)
{
	const struct http_client *c = r->client;

	return !r->route->http->client_cert || !c->certificate ||
	       http_add(ret, HTTP_CLIENT_CERT, TEXT(""), text_of_string(c->certificate));
}

bool forward_request(const struct forward_request *r, struct forward_texts *texts,
		     struct http_head *ret)
{
	const struct http_client *c = r->client;
	const struct http_listener *l = c->listener->http;

	copy_fields(r, ret);
	ret->close = false;
	ret->expects = false;
	ret->upgrade = r->head->upgrade;
	if (!ret->authority.n) /* of 1.0, which needs none; RFC 9112 3.2 wants one */
		ret->authority = r->backend;
	return add_client(r, texts, ret) &&
	       add_if_missing(ret, HTTP_X_FORWARDED_PROTO, scheme_of(c)) &&
	       (!r->head->authority.n ||
		add_if_missing(ret, HTTP_X_FORWARDED_HOST, r->head->authority)) &&
	       add_if_missing(ret, HTTP_X_FORWARDED_PORT, local_port(c, texts)) &&
	       http_add(ret, HTTP_X_REQUEST_ID, TEXT(""), text_of_string(r->id)) &&
	       add_certificate(r, ret) && add_via(l, r->head, ret) &&
	       add_trace(r, texts, ret) && rewrite(r, texts, ret) &&
	       edit(r, &r->route->http->request, texts, ret);
}

/* --- a response --- */

static bool add_cookie(const struct forward_request *r, struct forward_texts *texts,
		       struct http_head *ret)
{
	struct text value = print(texts, "%s%s", r->cookie,
				  r->client->who.conn->layer ? "; Secure" : "");

	return value.p && http_add(ret, HTTP_SET_COOKIE, TEXT(""), value);
}

bool forward_response(const struct forward_request *r, const struct http_head *from,
		      struct forward_texts *texts, struct http_head *ret)
{
	const struct http_listener *l = r->client->listener->http;
	const struct http_cors *cors = r->route->http->cors;

	memcpy(ret, from, offsetof(struct http_head, fields));
	ret->n = 0;
	for (unsigned i = 0; i < from->n; i++) {
		if (!from->fields[i].hop)
			ret->fields[ret->n++] = from->fields[i];
	}
	ret->close = false;
	if (from->status < 200 && from->status != 101)
		return true;
	if (from->status >= 200 && !has(ret, HTTP_DATE) &&
	    !http_add(ret, HTTP_DATE, TEXT(""),
		      text_of(http_date(r->client->worker), HTTP_DATE_LEN)))
		return false;
	if (r->cookie && from->status >= 200 && !add_cookie(r, texts, ret))
		return false;
	if (cors && from->status >= 200 &&
	    !cors_put(cors, cors_origin(cors, r->head), false, ret))
		return false;
	return add_via(l, from, ret) && edit(r, &r->route->http->response, texts, ret);
}

/* --- trailers --- */

static bool names(const struct http_rule *rules, unsigned n, struct text name)
{
	for (unsigned i = 0; i < n; i++) {
		if (http_is_alike(rules[i].name, name))
			return true;
	}
	return false;
}

/* Does the gate say what that field is, or that it is not? */
static bool is_said(const struct http_route *h, struct text name)
{
	const struct http_edits *e = &h->request;

	for (unsigned i = 0; h->forward_auth && i < h->forward_auth->fields_count; i++) {
		if (http_is_alike(text_of_string(h->forward_auth->fields[i]), name))
			return true;
	}
	return names(e->set_rules, e->set_count, name) ||
	       names(e->remove_rules, e->remove_count, name);
}

const struct http_head *forward_trailers(const struct route *r,
					 const struct http_head *from,
					 struct http_head *buf)
{
	if (!from)
		return NULL;
	memcpy(buf, from, offsetof(struct http_head, fields));
	buf->n = 0;
	for (unsigned i = 0; i < from->n; i++) {
		const struct http_field *f = &from->fields[i];

		if (!http_is_late(f) && !is_lookalike(f) && f->id != HTTP_EARLY_DATA &&
		    f->id != HTTP_X_REQUEST_ID &&
		    !(r && is_said(r->http, text_of(f->name, f->name_n))))
			buf->fields[buf->n++] = *f;
	}
	return buf->n ? buf : NULL;
}

/* --- an id --- */

static bool is_id(struct text t)
{
	return t.n > 0 && t.n <= FORWARD_ID_MAX && http_is_token(t);
}

void forward_id(struct worker *w, const struct http_client *c, const struct http_head *h,
		char ret[FORWARD_ID_MAX + 1])
{
	const struct http_field *f;
	int at = -1;

	f = c->trusted ? http_find(h, HTTP_X_REQUEST_ID, &at) : NULL;
	if (!f || !is_id(http_value(f))) {
		worker_unique_id(w, ret);
		return;
	}
	memcpy(ret, f->value, f->value_n);
	ret[f->value_n] = '\0';
}
