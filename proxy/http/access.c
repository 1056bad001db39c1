/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "http/access.h"
#include "tls/stream.h"

/* --- the ring --- */

static void put(struct access_ring *r, const char *line, size_t n)
{
	uint64_t tail = __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE);
	size_t at = r->head % ACCESS_RING_BYTES, first = ACCESS_RING_BYTES - at;

	if (r->head - tail + n > ACCESS_RING_BYTES) {
		__atomic_fetch_add(&r->lost, 1, __ATOMIC_RELAXED);
		return;
	}
	first = first < n ? first : n;
	memcpy(r->bytes + at, line, first);
	memcpy(r->bytes, line + first, n - first);
	__atomic_store_n(&r->head, r->head + n, __ATOMIC_RELEASE);
}

size_t access_take(struct access_ring *r, char *buf, size_t n)
{
	uint64_t head = __atomic_load_n(&r->head, __ATOMIC_ACQUIRE);
	size_t has = (size_t)(head - r->tail), at = r->tail % ACCESS_RING_BYTES, first;

	n = n < has ? n : has;
	first = ACCESS_RING_BYTES - at < n ? ACCESS_RING_BYTES - at : n;
	memcpy(buf, r->bytes + at, first);
	memcpy(buf + first, r->bytes, n - first);
	while (n && buf[n - 1] != '\n') /* lines stay whole */
		n--;
	__atomic_store_n(&r->tail, r->tail + n, __ATOMIC_RELEASE);
	return n;
}

/* --- a line --- */

struct line {
	char text[ACCESS_LINE_MAX];
	size_t n;
	bool full; /* something did not fit */
};

__attribute__((format(printf, 2, 3))) static void add(struct line *l, const char *fmt,
						      ...)
{
	size_t room = sizeof(l->text) - l->n;
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(l->text + l->n, room, fmt, args);
	va_end(args);
	if (n < 0 || (size_t)n >= room)
		l->full = true;
	else
		l->n += (size_t)n;
}

/* A string of JSON (RFC 8259 7), of at most so many bytes of it; what is not ASCII is
 * escaped byte by byte, as Latin-1. */
static void add_text(struct line *l, const char *key, struct text t, size_t most)
{
	if (!t.p || !t.n)
		return;
	add(l, ",\"%s\":\"", key);
	for (size_t i = 0; i < t.n && i < most; i++) {
		uint8_t c = (uint8_t)t.p[i];

		if (c == '"' || c == '\\')
			add(l, "\\%c", c);
		else if (c < 0x20 || c >= 0x7f)
			add(l, "\\u%04x", c);
		else if (l->n + 1 < sizeof(l->text))
			l->text[l->n++] = (char)c;
		else
			l->full = true;
	}
	add(l, "\"");
}

static void add_string(struct line *l, const char *key, const char *s)
{
	if (s)
		add_text(l, key, text_of(s, strlen(s)), 300);
}

static struct text field(const struct http_head *h, enum http_field_id id)
{
	int at = -1;
	const struct http_field *f = http_find(h, id, &at);

	return f ? http_value(f) : text_of(NULL, 0);
}

static void add_time(struct line *l)
{
	struct timespec now;
	struct tm tm;
	char text[32];

	(void)clock_gettime(CLOCK_REALTIME, &now);
	(void)gmtime_r(&now.tv_sec, &tm);
	(void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	add(l, "{\"time\":\"%s.%03ldZ\"", text, now.tv_nsec / 1000000);
}

static void add_request(struct line *l, const struct http_head *h)
{
	const struct http_field *f = http_find_named(h, TEXT("referer"));

	add_text(l, "method", h->method_name, 32);
	add_text(l, "host", h->authority, 255);
	add_text(l, "path", h->path, 1024);
	add(l, ",\"protocol\":\"HTTP/%u.%u\"", h->major, h->minor);
	add_text(l, "user_agent", field(h, HTTP_USER_AGENT), 256);
	if (f)
		add_text(l, "referer", http_value(f), 256);
	add_text(l, "traceparent", field(h, HTTP_TRACEPARENT), 64);
}

void access_write(struct access_ring *r, const struct access *a)
{
	const struct addr *client = http_client_addr(a->client);
	char at[ADDR_STR_MAX];
	struct line l;

	l.n = 0;
	l.full = false;
	add_time(&l);
	add_string(&l, "listener", a->client->listener->name);
	add_string(&l, "route", a->route ? a->route->name : NULL);
	add_string(&l, "backend", a->backend ? a->backend->name : NULL);
	add_string(&l, "client", addr_format(client, at));
	add(&l, ",\"tls\":%s", a->client->conn->layer ? "true" : "false");
	if (a->head)
		add_request(&l, a->head);
	if (a->status)
		add(&l, ",\"status\":%u", a->status);
	add(&l,
	    ",\"reason\":\"%s\",\"request_body_bytes\":%" PRIu64
	    ",\"response_body_bytes\":%" PRIu64 ",\"duration_us\":%" PRIu64,
	    a->reason, a->rx_body_bytes, a->tx_body_bytes, a->duration_us);
	if (a->first_byte_us)
		add(&l, ",\"first_byte_us\":%" PRIu64, a->first_byte_us);
	if (a->backend)
		add(&l, ",\"reused\":%s,\"retries\":%u", a->reused ? "true" : "false",
		    a->retries);
	if (a->user)
		add_string(&l, "user", a->user);
	add_string(&l, "request_id", a->id);
	add(&l, "}\n");
	if (!l.full)
		put(r, l.text, l.n);
	else /* it did not fit */
		__atomic_fetch_add(&r->lost, 1, __ATOMIC_RELAXED);
}
