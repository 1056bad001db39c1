/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "http/access.h"

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

/* --- what there is to say --- */

enum kind { NOTHING, STRING, NUMBER, FLAG };

struct value {
	enum kind kind;
	struct text text;
	size_t most; /* bytes of it that are told */
	uint64_t number;
	char own[ADDR_STR_MAX + 32]; /* of texts that are made */
};

static void say_text(struct value *v, struct text t, size_t most)
{
	if (!t.p || !t.n)
		return;
	v->kind = STRING;
	v->text = t;
	v->most = most;
}

static void say_string(struct value *v, const char *s)
{
	say_text(v, text_of_string(s), 300);
}

static void say_number(struct value *v, uint64_t n)
{
	v->kind = NUMBER;
	v->number = n;
}

static void say_flag(struct value *v, bool is)
{
	v->kind = FLAG;
	v->number = is;
}

static struct text field(const struct http_head *h, enum http_field_id id)
{
	int at = -1;
	const struct http_field *f = http_find(h, id, &at);

	return f ? http_value(f) : text_of(NULL, 0);
}

static struct text named(const struct http_head *h, struct text name)
{
	const struct http_field *f = http_find_named(h, name);

	return f ? http_value(f) : text_of(NULL, 0);
}

/* RFC 3339, or as the Common Log Format has it. */
static void say_time(struct value *v, bool is_common)
{
	struct timespec now;
	struct tm tm;
	size_t n;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	(void)gmtime_r(&now.tv_sec, &tm);
	if (is_common) {
		(void)strftime(v->own, sizeof(v->own), "%d/%b/%Y:%H:%M:%S +0000", &tm);
	} else {
		n = strftime(v->own, sizeof(v->own), "%Y-%m-%dT%H:%M:%S", &tm);
		(void)snprintf(v->own + n, sizeof(v->own) - n, ".%03ldZ",
			       now.tv_nsec / 1000000);
	}
	say_string(v, v->own);
}

/* "192.0.2.1:5", "[2001:db8::1]:5"; the address or the port alone. */
static void say_client(struct value *v, const struct access *a, enum access_field what)
{
	char *port;

	(void)addr_format(http_client_addr(a->client), v->own);
	port = strrchr(v->own, ':');
	say_string(v, v->own);
	if (!port || what == ACCESS_CLIENT)
		return;
	if (what == ACCESS_PORT) {
		say_string(v, port + 1);
	} else {
		bool v6 = v->own[0] == '[';

		v->text = text_of(v->own + v6, (size_t)(port - v->own) - 2 * v6);
	}
}

static void say_protocol(struct value *v, const struct http_head *h)
{
	(void)snprintf(v->own, sizeof(v->own), "HTTP/%u.%u", h->major, h->minor);
	say_string(v, v->own);
}

/* Of the request's head. */
static void say_asked(struct value *v, const struct http_head *h,
		      const struct access_part *p)
{
	switch (p->field) {
	case ACCESS_METHOD:
		say_text(v, h->method_name, 32);
		break;
	case ACCESS_HOST:
		say_text(v, h->authority, 255);
		break;
	case ACCESS_PATH:
		say_text(v, h->path, 1024);
		break;
	case ACCESS_PROTOCOL:
		say_protocol(v, h);
		break;
	case ACCESS_USER_AGENT:
		say_text(v, field(h, HTTP_USER_AGENT), 256);
		break;
	case ACCESS_REFERER:
		say_text(v, named(h, TEXT("referer")), 256);
		break;
	case ACCESS_TRACEPARENT:
		say_text(v, field(h, HTTP_TRACEPARENT), 64);
		break;
	default:
		say_text(v, named(h, p->text), 1024);
	}
}

/* Of what became of it. */
static void say_result(struct value *v, const struct access *a, enum access_field what)
{
	if (what == ACCESS_STATUS && a->status)
		say_number(v, a->status);
	else if (what == ACCESS_REASON)
		say_string(v, a->reason);
	else if (what == ACCESS_RX_BODY)
		say_number(v, a->rx_body_bytes);
	else if (what == ACCESS_TX_BODY)
		say_number(v, a->tx_body_bytes);
	else if (what == ACCESS_DURATION)
		say_number(v, a->duration_us);
	else if (what == ACCESS_FIRST_BYTE && a->first_byte_us)
		say_number(v, a->first_byte_us);
	else if (what == ACCESS_REUSED && a->backend)
		say_flag(v, a->reused);
	else if (what == ACCESS_RETRIES && a->backend)
		say_number(v, a->retries);
	else if (what == ACCESS_SAMPLE && a->sample)
		say_number(v, a->sample);
}

/* ACCESS_REQUEST is several of them, see put_text(). */
static void say(struct value *v, const struct access *a, const struct access_part *p)
{
	v->kind = NOTHING;
	switch (p->field) {
	case ACCESS_TIME:
		say_time(v, false);
		break;
	case ACCESS_TIME_COMMON:
		say_time(v, true);
		break;
	case ACCESS_LISTENER:
		say_string(v, a->client->listener->name);
		break;
	case ACCESS_ROUTE:
		say_string(v, a->route ? a->route->name : NULL);
		break;
	case ACCESS_BACKEND:
		say_string(v, a->backend ? a->backend->name : NULL);
		break;
	case ACCESS_CLIENT:
	case ACCESS_ADDRESS:
	case ACCESS_PORT:
		say_client(v, a, (enum access_field)p->field);
		break;
	case ACCESS_TLS:
		say_flag(v, a->client->conn->layer != NULL);
		break;
	case ACCESS_USER:
		say_string(v, a->user);
		break;
	case ACCESS_REQUEST_ID:
		say_string(v, a->id);
		break;
	case ACCESS_METHOD:
	case ACCESS_HOST:
	case ACCESS_PATH:
	case ACCESS_PROTOCOL:
	case ACCESS_USER_AGENT:
	case ACCESS_REFERER:
	case ACCESS_TRACEPARENT:
	case ACCESS_HEADER:
		if (a->head)
			say_asked(v, a->head, p);
		break;
	default:
		say_result(v, a, (enum access_field)p->field);
	}
}

/* --- a line --- */

struct line {
	char text[ACCESS_LINE_MAX];
	size_t n;
	bool full; /* something did not fit */
};

static void put_bytes(struct line *l, const char *p, size_t n)
{
	if (n > sizeof(l->text) - l->n) {
		l->full = true;
		return;
	}
	memcpy(l->text + l->n, p, n);
	l->n += n;
}

static void put_string(struct line *l, const char *s)
{
	put_bytes(l, s, strlen(s));
}

static void put_number(struct line *l, uint64_t n)
{
	char digits[TEXT_NUMBER];
	struct text t = text_number(digits, n);

	put_bytes(l, t.p, t.n);
}

/* Hex, behind "\u00" of JSON or "\x". */
static void put_hex(struct line *l, const char *before, uint8_t c)
{
	const char *digits = "0123456789abcdef";
	const char hex[2] = { digits[c >> 4], digits[c & 15] };

	put_string(l, before);
	put_bytes(l, hex, 2);
}

/*
 * At most so many bytes of it; what is not ASCII, or would end it, is escaped byte by
 * byte: of JSON (RFC 8259 7) as Latin-1, else as \xHH.
 */
static void put_escaped(struct line *l, struct text t, size_t most, bool is_json)
{
	size_t n = t.n < most ? t.n : most, from = 0;

	for (size_t i = 0; i < n; i++) {
		uint8_t c = (uint8_t)t.p[i];

		if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\')
			continue;
		put_bytes(l, t.p + from, i - from);
		from = i + 1;
		if (!is_json)
			put_hex(l, "\\x", c);
		else if (c == '"' || c == '\\')
			put_bytes(l, (const char[]){ '\\', (char)c }, 2);
		else
			put_hex(l, "\\u00", c);
	}
	put_bytes(l, t.p + from, n - from);
}

static void put_json(struct line *l, const struct access *a)
{
	static const char *const keys[] = {
#define X(id, name) ",\"" #name "\":",
		ACCESS_FIELDS(X)
#undef X
	};
	struct value v;

	for (unsigned f = 0; f <= ACCESS_SAMPLE; f++) {
		say(&v, a, &(struct access_part){ .field = (uint8_t)f });
		if (v.kind == NOTHING)
			continue;
		put_string(l, l->n ? keys[f] : "{\"time\":");
		if (v.kind == NUMBER) {
			put_number(l, v.number);
		} else if (v.kind == FLAG) {
			put_string(l, v.number ? "true" : "false");
		} else {
			put_string(l, "\"");
			put_escaped(l, v.text, v.most, true);
			put_string(l, "\"");
		}
	}
	put_string(l, "}\n");
}

/* What is not there is "-". */
static void put_value(struct line *l, const struct value *v)
{
	if (v->kind == NOTHING)
		put_string(l, "-");
	else if (v->kind == NUMBER)
		put_number(l, v->number);
	else if (v->kind == FLAG)
		put_string(l, v->number ? "true" : "false");
	else
		put_escaped(l, v->text, v->most, false);
}

static void put_field(struct line *l, const struct access *a, enum access_field what)
{
	struct value v;

	say(&v, a, &(struct access_part){ .field = (uint8_t)what });
	put_value(l, &v);
}

/* Its first line, as it came but for the version. */
static void put_request(struct line *l, const struct access *a)
{
	if (!a->head) {
		put_string(l, "-");
		return;
	}
	put_field(l, a, ACCESS_METHOD);
	put_string(l, " ");
	put_field(l, a, a->head->path.n ? ACCESS_PATH : ACCESS_HOST);
	put_string(l, " ");
	put_field(l, a, ACCESS_PROTOCOL);
}

static void put_text(struct line *l, const struct access *a)
{
	const struct access_settings *s = a->settings;
	struct value v;

	for (unsigned i = 0; i < s->parts_n; i++) {
		const struct access_part *p = &s->parts[i];

		if (p->field == ACCESS_TEXT) {
			put_bytes(l, p->text.p, p->text.n);
		} else if (p->field == ACCESS_REQUEST) {
			put_request(l, a);
		} else {
			say(&v, a, p);
			put_value(l, &v);
		}
	}
	put_string(l, "\n");
}

void access_write(struct access_ring *r, const struct access *a)
{
	struct line l;

	l.n = 0;
	l.full = false;
	if (a->settings && a->settings->parts_n)
		put_text(&l, a);
	else
		put_json(&l, a);
	if (!l.full)
		put(r, l.text, l.n);
	else /* it did not fit */
		__atomic_fetch_add(&r->lost, 1, __ATOMIC_RELAXED);
}
