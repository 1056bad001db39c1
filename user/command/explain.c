/* SPDX-License-Identifier: Apache-2.0 */
/* tollgate explain: what a request would meet. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "book/ends.h"
#include "bpf/abi.h"
#include "codec/h1.h"
#include "command/explain.h"
#include "decide/request.h"

#define TEXT_MAX 32768

/* The request as a client would write it: its length, 0 if it is too long. */
static size_t write_request(char *buf, const char *authority, const char *path,
			    const struct options *o)
{
	int n = snprintf(buf, TEXT_MAX, "%s %s HTTP/1.1\r\nHost: %s\r\n",
			 o->method ? o->method : "GET", path, authority);

	for (unsigned i = 0; i < o->headers_n && n > 0 && n < TEXT_MAX; i++)
		n += snprintf(buf + n, (size_t)(TEXT_MAX - n), "%s\r\n", o->headers[i]);
	if (n > 0 && n < TEXT_MAX)
		n += snprintf(buf + n, (size_t)(TEXT_MAX - n), "\r\n");
	return n > 0 && n < TEXT_MAX ? (size_t)n : 0;
}

static const char *const faults[] = { "",
#define X(name, status) #name,
				      HTTP_FAULTS(X)
#undef X
};

/* "https://www.example.org/path" */
static int read_url(const char *url, const struct options *o, char *buf,
		    struct http_head *ret)
{
	const char *host = strstr(url, "://"), *path;
	char authority[300];
	enum http_fault f;
	size_t n;

	host = host ? host + 3 : url;
	path = strchr(host, '/');
	n = path ? (size_t)(path - host) : strlen(host);
	if (!n || n >= sizeof(authority)) {
		log_error("explain: '%s' is not http://HOST/PATH or https://HOST/PATH",
			  url);
		return EXIT_USAGE;
	}
	memcpy(authority, host, n);
	authority[n] = '\0';
	n = write_request(buf, authority, path ? path : "/", o);
	if (!n) {
		log_error("explain: that is too long");
		return EXIT_USAGE;
	}
	f = h1_read(H1_REQUEST, (uint8_t *)buf, n, HTTP_FIELDS_MAX - 16, ret);
	if (!f)
		return EXIT_OK;
	printf("every listener: %u, for it is no request of RFC 9112 (%s)\n",
	       http_fault_status(f), faults[f]);
	return EXIT_BAD;
}

static void show_route(const struct route *r)
{
	const struct http_route *h = r->http;

	printf("route %s, ", r->name);
	if (h->redirect) {
		printf("%u to %s", h->redirect->status, h->redirect->to);
		return;
	}
	if (h->respond) {
		printf("answered %u", h->respond->status);
		return;
	}
	printf("to a backend of");
	for (unsigned i = 0; i < r->backend_names_count; i++)
		printf("%s %s", i ? "," : "", r->backends[i].name);
	printf(" by %s", h->protocol == PROTOCOL_H2 ? "h2" : "http/1.1");
	if (h->strip)
		printf(", without %s", h->strip);
	if (h->prefix)
		printf(", behind %s", h->prefix);
	if (h->body_bytes)
		printf(", a body of at most %llu bytes",
		       (unsigned long long)h->body_bytes);
	if (r->limits.connections || r->limits.rate_text || r->limits.per_source ||
	    r->limits.source_rate_text)
		printf(", unless over its limits (429)");
}

int explain_show(const struct config *c, const char *url, const struct options *o)
{
	static char buf[TEXT_MAX];
	static struct http_head head;
	bool listened = false, found = false;
	struct addr client = { .port = 0 };
	int err = read_url(url, o, buf, &head);

	if (err)
		return err;
	memcpy(client.ip, o->flows.ip, sizeof(client.ip));
	for (unsigned i = 0; i < c->listeners_count; i++) {
		const struct listener *l = &c->listeners[i];
		struct verdict v;

		if (!l->serves ||
		    (o->flows.listener && strcmp(o->flows.listener, l->name) != 0))
			continue;
		listened = true;
		decide_request(l, NULL, &client, &head, &v);
		printf("listener %s: ", l->name);
		if (v.status)
			printf("%u, %s%s", v.status, tg_request_names[v.reason],
			       v.route ? ", by " : "");
		if (v.route)
			show_route(v.route);
		putchar('\n');
		found |= v.route && !v.status;
	}
	if (!listened)
		log_error("explain: no listener%s%s has routes with 'http'",
			  o->flows.listener ? " of the name " : "",
			  o->flows.listener ? o->flows.listener : "");
	return found ? EXIT_OK : EXIT_BAD;
}
