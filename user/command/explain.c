/* SPDX-License-Identifier: Apache-2.0 */
/* tollgate explain: what a request would meet. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"
#include "book/book.h"
#include "book/ends.h"
#include "bpf/abi.h"
#include "codec/h1.h"
#include "codec/hello.h"
#include "command/check.h"
#include "command/explain.h"
#include "config/identity.h"
#include "config/match.h"
#include "decide/request.h"
#include "tls/certs.h"

#define TEXT_MAX      65536
#define AUTHORITY_MAX 300

enum scheme { ANY, PLAIN, TLS };

static const char *const schemes[] = {
	[ANY] = "", [PLAIN] = " without TLS", [TLS] = " of TLS"
};

/* What is asked, and who asks. */
struct asked {
	enum scheme scheme;
	char authority[AUTHORITY_MAX];
	const char *path; /* and query */
	size_t bytes;	  /* of its head as HTTP/1.1 */
	struct http_head head;
	struct hello hello;
	struct addr client;
	struct identity *who; /* NULL: without a certificate */
};

/* --- the request --- */

/* "https://www.example.org/path"; without a scheme, either. */
static int read_url(const char *url, struct asked *ret)
{
	const char *host = url;
	size_t n;

	if (strncasecmp(url, "http://", 7) == 0) {
		ret->scheme = PLAIN;
		host += 7;
	} else if (strncasecmp(url, "https://", 8) == 0) {
		ret->scheme = TLS;
		host += 8;
	}
	n = strcspn(host, "/?#");
	if (!n || n >= sizeof(ret->authority) || !http_is_authority(text_of(host, n))) {
		log_error("explain: '%s' is not http://HOST/PATH or https://HOST/PATH",
			  url);
		return EXIT_USAGE;
	}
	memcpy(ret->authority, host, n);
	ret->authority[n] = '\0';
	ret->path = host + n;
	return EXIT_OK;
}

/* The request's line as a client would write it, with an end as of snprintf. */
static int write_line(char *buf, const struct asked *a, const char *method)
{
	int n = (int)strcspn(a->path, "#"); /* what is behind stays with the client */

	if (strcmp(method, "CONNECT") == 0)
		return snprintf(buf, TEXT_MAX, "CONNECT %s HTTP/1.1\r\n", a->authority);
	return snprintf(buf, TEXT_MAX, "%s %s%.*s HTTP/1.1\r\n", method,
			n && a->path[0] == '/' ? "" : "/", n, a->path);
}

/* One that is asked for on the connection of another, as curl -H does. */
static bool has_host(const struct options *o)
{
	for (unsigned i = 0; i < o->headers_n; i++) {
		if (strncasecmp(o->headers[i], "host:", 5) == 0)
			return true;
	}
	return false;
}

/* Its length, 0 if it is too long. */
static size_t write_request(char *buf, const struct asked *a, const struct options *o)
{
	int n = write_line(buf, a, o->method ? o->method : "GET");

	if (n > 0 && n < TEXT_MAX && !has_host(o))
		n += snprintf(buf + n, (size_t)(TEXT_MAX - n), "Host: %s\r\n",
			      a->authority);
	for (unsigned i = 0; i < o->headers_n && n > 0 && n < TEXT_MAX; i++)
		n += snprintf(buf + n, (size_t)(TEXT_MAX - n), "%s\r\n", o->headers[i]);
	if (n > 0 && n < TEXT_MAX)
		n += snprintf(buf + n, (size_t)(TEXT_MAX - n), "\r\n");
	return n > 0 && n < TEXT_MAX ? (size_t)n : 0;
}

/* CONNECT names a port in any case (RFC 9110 9.3.6). */
static void add_port(struct asked *a)
{
	const char *port = a->scheme == PLAIN ? ":80" : ":443";
	size_t n = strlen(a->authority);

	if (http_host(text_of(a->authority, n)).n == n && n + 5 <= sizeof(a->authority))
		memcpy(a->authority + n, port, strlen(port) + 1);
}

/* The hello that comes before it: the name, if it is one, and the protocols of a browser.
 */
static void make_hello(struct asked *a)
{
	static const uint8_t alpn[] = "\x02h2\x08http/1.1";
	struct text host = http_host(text_of(a->authority, strlen(a->authority)));
	char name[HELLO_NAME_MAX + 1];
	uint8_t ip[16];

	a->hello.has_alpn = true;
	a->hello.alpn_len = sizeof(alpn) - 1;
	memcpy(a->hello.alpn, alpn, sizeof(alpn) - 1);
	a->hello.version = 0x0304;
	if (host.n && host.p[host.n - 1] == '.')
		host.n--;
	if (!host.n || host.n > HELLO_NAME_MAX || host.p[0] == '[')
		return;
	for (size_t i = 0; i < host.n; i++)
		name[i] = host.p[i] >= 'A' && host.p[i] <= 'Z' ? (char)(host.p[i] | 0x20)
							       : host.p[i];
	name[host.n] = '\0';
	if (addr_parse_ip(name, ip) == 0)
		return;
	a->hello.has_sni = true;
	memcpy(a->hello.sni, name, host.n + 1);
}

static int read_request(const char *url, const struct options *o, struct asked *ret)
{
	static char buf[TEXT_MAX];
	enum http_fault f;
	int err = read_url(url, ret);

	if (err)
		return err;
	if (o->method && strcmp(o->method, "CONNECT") == 0)
		add_port(ret);
	ret->bytes = write_request(buf, ret, o);
	if (!ret->bytes) {
		log_error("explain: that is too long");
		return EXIT_USAGE;
	}
	make_hello(ret);
	if (o->flows.by_ip)
		memcpy(ret->client.ip, o->flows.ip, sizeof(ret->client.ip));
	f = h1_read(H1_REQUEST, (uint8_t *)buf, ret->bytes, HTTP_FIELDS_READ, &ret->head);
	if (!f)
		return EXIT_OK;
	printf("every listener: %u, for it is no request of RFC 9112 (%s)\n",
	       http_fault_status(f), tg_request_names[decide_fault(f)]);
	return EXIT_BAD;
}

/* --- what it meets --- */

static void show_backends(const struct route *r)
{
	printf("to a backend of");
	for (unsigned i = 0; i < r->backend_names_count; i++)
		printf("%s %s", i ? "," : "", r->backends[i].name);
}

static bool has_limits(const struct limits *l)
{
	return l->connections || l->per_source || l->per_prefix || l->rate_text ||
	       l->source_rate_text || l->prefix_rate_text;
}

/* Which, why, and what it does. */
static void show_route(const struct route *r)
{
	const struct http_route *h = r->http;

	printf("route %s", r->name);
	check_show_conditions(r);
	printf(": ");
	if (h->redirect) {
		printf("%u to %s", h->redirect->status, h->redirect->to);
	} else if (h->respond) {
		printf("answered %u", h->respond->status);
	} else {
		show_backends(r);
		printf(" by %s%s", config_protocol(h),
		       r->tls_to_backends ? " over TLS" : "");
	}
	if (h->strip)
		printf(", without %s", h->strip);
	if (h->prefix)
		printf(", behind %s", h->prefix);
	if (h->basic_auth)
		printf(", for who is in %s (else 401)", h->basic_auth->file);
	if (h->jwt)
		printf(", with a token by a key of %s (else 401, 403)", h->jwt->keys);
	if (h->forward_auth)
		printf(", if route %s says so", h->forward_auth->route);
	if (h->body_bytes)
		printf(", a body of at most %llu bytes",
		       (unsigned long long)h->body_bytes);
	if (has_limits(&r->limits))
		printf(", unless over its limits (429)");
}

/* A route that looks into no request has it; true, for it leads somewhere. */
static bool show_tunnel(const struct route *r)
{
	printf("route %s by the ClientHello: %s, ", r->name,
	       r->tls == TLS_PASSTHROUGH ? "TLS is passed on"
					 : "what is in TLS is passed on");
	show_backends(r);
	putchar('\n');
	return true;
}

/*
 * The TLS before it.  True: a route of HTTP has ended it, *ret; else it has been said
 * what became of the connection, and *found is whether it leads somewhere.
 */
static bool meet_tls(const struct listener *l, const struct asked *a,
		     const struct route **ret, bool *found)
{
	struct cert_pair pair;
	bool undecided;
	const struct route *r = route_find(l, &a->hello, &a->client, &undecided);

	if (!r && !undecided)
		r = l->fallback_route;
	if (!r) {
		printf("refused in TLS, %s\n",
		       tg_end_names[undecided	       ? TG_END_EXPRESSION
				    : a->hello.has_sni ? TG_END_NO_ROUTE
						       : TG_END_NO_SNI]);
		return false;
	}
	if (r->tls == TLS_PASSTHROUGH || !r->http) {
		*found |= show_tunnel(r);
		return false;
	}
	if (!certs_find(l->certs, a->hello.has_sni ? a->hello.sni : "", &pair)) {
		printf("refused in TLS by route %s, %s\n", r->name,
		       tg_end_names[TG_END_TLS_NAME]);
		return false;
	}
	*ret = r;
	return true;
}

/* Of the size that this listener takes? */
static bool fits(const struct listener *l, const struct asked *a)
{
	const struct http_listener *h = l->http;

	if (a->bytes <= h->head_bytes && a->head.n <= h->fields)
		return true;
	printf("431, %s\n",
	       tg_request_names[a->bytes > h->head_bytes ? TG_REQUEST_HEAD_TOO_LARGE
							 : TG_REQUEST_FIELDS_TOO_MANY]);
	return false;
}

/* True if it leads somewhere. */
static bool meet(const struct listener *l, const struct asked *a)
{
	const struct route *connection = NULL;
	struct asker asker = { .client = &a->client, .who = a->who };
	struct verdict v;
	bool found = false;

	printf("listener %s: ", l->name);
	if ((l->tls && !meet_tls(l, a, &connection, &found)) || !fits(l, a))
		return found;
	asker.connection = connection;
	decide_request(l, &asker, &a->head, &v);
	if (v.status)
		printf("%u, %s%s", v.status, tg_request_names[v.reason],
		       v.route ? ", by " : "");
	if (v.route)
		show_route(v.route);
	if (connection && connection->client_certificates)
		printf("; the client %s a certificate",
		       connection->client_certificates->optional ? "may show" : "shows");
	putchar('\n');
	return v.route && (!v.status || v.reason == TG_REQUEST_PREFLIGHT);
}

static bool is_asked(const struct listener *l, const struct asked *a,
		     const struct options *o)
{
	return l->serves && (!o->flows.listener || !strcmp(o->flows.listener, l->name)) &&
	       (a->scheme == ANY || (a->scheme == TLS) == l->tls);
}

static bool asks_who(const struct listener *l)
{
	for (unsigned i = 0; i < l->routes_count; i++) {
		if (l->routes[i].from_count)
			return true;
	}
	return false;
}

/* As if it had shown one of that name, or with that digest. */
static struct identity *identity_of(const char *name)
{
	struct identity *who = calloc(1, sizeof(*who) + sizeof(struct identity_name));
	char digest[3 * IDENTITY_DIGEST_HEX];

	if (!who)
		return NULL;
	who->n = 1;
	who->names[0].text = text_of_string(name);
	who->names[0].is_host = !strpbrk(name, "@/:");
	(void)snprintf(digest, sizeof(digest), "%s", name);
	if (identity_read_digest(digest))
		memcpy(who->sha256, digest, IDENTITY_DIGEST_HEX);
	return who;
}

int explain_show(const struct config *c, const char *url, const struct options *o)
{
	static struct asked a;
	bool listened = false, found = false, unknown = false, nameless = false;
	int err = read_request(url, o, &a);

	if (err)
		return err;
	if (o->certificate && !(a.who = identity_of(o->certificate))) {
		log_error("explain: no memory");
		return EXIT_BAD;
	}
	for (unsigned i = 0; i < c->listeners_count; i++) {
		const struct listener *l = &c->listeners[i];

		if (!is_asked(l, &a, o))
			continue;
		listened = true;
		unknown |= !o->flows.by_ip && asks_who(l);
		nameless |= !o->certificate && l->http->asks_identity;
		found |= meet(l, &a);
	}
	free(a.who);
	if (nameless)
		log_warn("explain: as if no certificate were shown (--certificate)");
	if (unknown)
		log_warn("explain: who asks is not known (--address): routes with 'from' "
			 "were passed over");
	if (!listened)
		log_error("explain: no listener%s%s%s has routes with 'http'",
			  o->flows.listener ? " of the name " : "",
			  o->flows.listener ? o->flows.listener : "", schemes[a.scheme]);
	return found ? EXIT_OK : EXIT_BAD;
}
