/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "bpf/abi.h"
#include "codec/h1.h"
#include "codec/path.h"
#include "decide/cors.h"
#include "decide/request.h"
#include "tls/certs.h"

#define HOST_MAX 255

enum tg_request decide_fault(enum http_fault f)
{
	switch (f) {
#define X(name, status)         \
	case HTTP_FAULT_##name: \
		return TG_REQUEST_##name;
		HTTP_FAULTS(X)
#undef X
	default:
		return TG_REQUEST_REQUEST_LINE;
	}
}

static struct verdict answer(uint16_t status, enum tg_request reason)
{
	return (struct verdict){ .status = status, .reason = (uint8_t)reason };
}

/* Lower case, without port and the root's dot. */
static struct text host_of(struct text authority, char buf[HOST_MAX + 1])
{
	struct text host = http_host(authority);

	if (host.n > HOST_MAX)
		host.n = HOST_MAX;
	for (size_t i = 0; i < host.n; i++)
		buf[i] = host.p[i] >= 'A' && host.p[i] <= 'Z' ? (char)(host.p[i] | 0x20)
							      : host.p[i];
	if (host.n && buf[host.n - 1] == '.')
		host.n--;
	buf[host.n] = '\0';
	return text_of(buf, host.n);
}

static bool has_underscore(const struct http_head *h)
{
	for (unsigned i = 0; i < h->n; i++) {
		if (memchr(h->fields[i].name, '_', h->fields[i].name_n))
			return true;
	}
	return false;
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

/* Would its TLS have been the same? */
bool decide_same_policy(const struct route *a, const struct route *b)
{
	const struct client_certificates *x = a->client_certificates,
					 *y = b->client_certificates;

	return a->min_tls == b->min_tls && same_text(a->ciphers, b->ciphers) &&
	       same_text(a->groups, b->groups) && !x == !y &&
	       (!x || (same_text(x->ca, y->ca) && same_text(x->crl, y->crl) &&
		       x->optional == y->optional));
}

/*
 * RFC 9110 7.4: a connection serves what its certificate is for, under the conditions
 * that it was agreed on by.
 */
static bool is_misdirected(const struct listener *l, const struct route *connection,
			   const struct route *r, const char *host)
{
	struct cert_pair pair;

	return connection && connection != r &&
	       (!decide_same_policy(connection, r) || !certs_find(l->certs, host, &pair));
}

/* CONNECT is passed on as HTTP/1.1 has it, to who speaks that. */
static bool may_tunnel(const struct http_head *h, const struct route *r)
{
	return h->method != HTTP_METHOD_CONNECT || h->extended ||
	       (!config_answers(r) && h->major == 1 && r->http->protocol == PROTOCOL_H1);
}

/*
 * RFC 8470 5.1: one that an intermediary before us had in TLS's early data, and that may
 * be another's, sent again; whatever the field says (5.1: its value is "1").
 */
static bool is_too_early(const struct http_head *h, const struct http_route *r)
{
	int at = -1;

	if (r->early_data == EARLY_PASS ||
	    (r->early_data == EARLY_SAFE && http_is_safe(h->method)))
		return false;
	return http_find(h, HTTP_EARLY_DATA, &at) != NULL;
}

static void say(struct verdict *v, uint16_t status, enum tg_request reason)
{
	v->status = status;
	v->reason = (uint8_t)reason;
}

/* What its route does not take, or answers before anything else. */
static void judge(const struct http_head *h, struct verdict *v)
{
	const struct http_route *r = v->route->http;

	if (is_too_early(h, r))
		say(v, 425, TG_REQUEST_EARLY_DATA);
	else if (!may_tunnel(h, v->route))
		say(v, 405, TG_REQUEST_METHOD);
	else if (r->cors && cors_is_preflight(h) && cors_origin(r->cors, h).n)
		say(v, 204, TG_REQUEST_PREFLIGHT);
	else if (r->cors && cors_is_preflight(h))
		say(v, 403, TG_REQUEST_ORIGIN);
	else if (r->body_bytes && h->body == HTTP_BODY_LENGTH &&
		 h->length > r->body_bytes)
		say(v, 413, TG_REQUEST_BODY_TOO_LARGE);
}

void decide_request(const struct listener *l, const struct asker *a,
		    const struct http_head *h, struct verdict *ret)
{
	char host[HOST_MAX + 1], normal[H1_TARGET_MAX];
	struct request_facts f = { .head = h, .client = a->client, .who = a->who };
	bool undecided;

	if ((h->method == HTTP_METHOD_CONNECT || h->method == HTTP_METHOD_TRACE) &&
	    !l->http->proxy_requests) {
		*ret = answer(405, TG_REQUEST_METHOD);
		return;
	}
	if (l->http->underscores == UNDERSCORES_REFUSE && has_underscore(h)) {
		*ret = answer(400, TG_REQUEST_UNDERSCORE);
		return;
	}
	f.host = host_of(h->authority, host);
	f.path = path_split(h->path, &f.query);
	if (f.path.n && f.path.p[0] == '/' &&
	    (f.path.n > sizeof(normal) || !path_normal(f.path, normal, &f.path))) {
		*ret = answer(400, TG_REQUEST_PATH);
		return;
	}
	*ret = (struct verdict){ .route = request_find(l->http->index, &f, &undecided) };
	if (undecided)
		*ret = answer(400, TG_REQUEST_EXPRESSION);
	else if (!ret->route)
		*ret = answer(404, TG_REQUEST_NO_ROUTE);
	else if (is_misdirected(l, a->connection, ret->route, host))
		*ret = answer(421, TG_REQUEST_MISDIRECTED);
	else
		judge(h, ret);
}
