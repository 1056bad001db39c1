/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "codec/h1.h"

size_t h1_end(const uint8_t *buf, size_t n, size_t *from)
{
	size_t at = *from;

	while (at < n) {
		const uint8_t *lf = memchr(buf + at, '\n', n - at);

		if (!lf)
			break;
		at = (size_t)(lf - buf) + 1;
		if (at == 1 || (at == 2 && buf[0] == '\r'))
			return at; /* an empty line at once: of trailers */
		if (at < n && buf[at] == '\n')
			return at + 1;
		if (at + 1 < n && buf[at] == '\r' && buf[at + 1] == '\n')
			return at + 2;
		if (at + 1 >= n) { /* the next line may be the empty one */
			*from = at - 1;
			return 0;
		}
	}
	*from = n;
	return 0;
}

size_t h1_blank(const uint8_t *buf, size_t n)
{
	size_t at = 0;

	while (at + 1 < n && buf[at] == '\r' && buf[at + 1] == '\n')
		at += 2;
	return at;
}

/* --- reading --- */

/* What is left of a head. */
struct cursor {
	uint8_t *p, *end;
};

/* A line without its end; a fault of that is told. */
static enum http_fault take_line(struct cursor *c, struct text *ret)
{
	uint8_t *lf = memchr(c->p, '\n', (size_t)(c->end - c->p));
	size_t n;

	if (!lf) /* the last line has its end: h1_end() found it */
		return HTTP_FAULT_BARE_CR;
	n = (size_t)(lf - c->p);
	if (n == 0 || lf[-1] != '\r')
		return HTTP_FAULT_BARE_LF;
	*ret = text_of((const char *)c->p, n - 1);
	c->p = lf + 1;
	return HTTP_FINE;
}

/* Lower case in place, up to what is no character of a token. */
static size_t lower_token(uint8_t *p, const uint8_t *end)
{
	uint8_t *at = p;

	for (; at < end && (http_chars[*at] & HTTP_IS_TCHAR); at++) {
		if (*at >= 'A' && *at <= 'Z')
			*at |= 0x20;
	}
	return (size_t)(at - p);
}

static enum http_fault bad_value(uint8_t c)
{
	return c == '\r' ? HTTP_FAULT_BARE_CR : HTTP_FAULT_FIELD_VALUE;
}

/* field-name ":" OWS field-value OWS (RFC 9112 5) */
static enum http_fault read_field(struct text line, struct http_field *f)
{
	uint8_t *p = (uint8_t *)(uintptr_t)line.p, *end = p + line.n;
	size_t name = lower_token(p, end);
	uint8_t *v = p + name + 1;

	if (*p == ' ' || *p == '\t')
		return HTTP_FAULT_FOLDING;
	if (!name || name > UINT16_MAX || p + name == end || p[name] != ':')
		return HTTP_FAULT_FIELD_NAME;
	while (v < end && (*v == ' ' || *v == '\t'))
		v++;
	while (end > v && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	for (const uint8_t *at = v; at < end; at++) {
		if (!(http_chars[*at] & HTTP_IS_VALUE))
			return bad_value(*at);
	}
	*f = (struct http_field){ .name = (char *)p,
				  .name_n = (uint16_t)name,
				  .value = (char *)v,
				  .value_n = (uint32_t)(end - v),
				  .id = (uint8_t)http_field_id((char *)p, name) };
	return HTTP_FINE;
}

static enum http_fault read_fields(struct cursor *c, unsigned max, struct http_head *h)
{
	enum http_fault fault = HTTP_FINE;
	struct text line;

	h->n = 0;
	while (!fault) {
		fault = take_line(c, &line);
		if (fault || !line.n)
			return fault;
		if (h->n == max || h->n == HTTP_FIELDS_MAX)
			return HTTP_FAULT_FIELDS_TOO_MANY;
		fault = read_field(line, &h->fields[h->n++]);
	}
	return fault;
}

/* "HTTP/" DIGIT "." DIGIT */
static enum http_fault read_version(struct text t, struct http_head *h)
{
	if (t.n != 8 || memcmp(t.p, "HTTP/", 5) != 0 || t.p[6] != '.' || t.p[5] < '0' ||
	    t.p[5] > '9' || t.p[7] < '0' || t.p[7] > '9')
		return HTTP_FAULT_REQUEST_LINE;
	h->major = (uint8_t)(t.p[5] - '0');
	h->minor = (uint8_t)(t.p[7] - '0');
	return h->major == 1 && h->minor <= 1 ? HTTP_FINE : HTTP_FAULT_VERSION;
}

static bool cut_prefix(struct text *t, struct text prefix)
{
	if (t->n < prefix.n || !text_is_nocase(text_of(t->p, prefix.n), prefix))
		return false;
	t->p += prefix.n;
	t->n -= prefix.n;
	return true;
}

/* http://authority/path: all of it the message's own (RFC 9112 3.2.2) */
static enum http_fault read_absolute(struct text target, struct http_head *h)
{
	size_t n = 0;

	h->scheme = TEXT("http");
	if (!cut_prefix(&target, TEXT("http://"))) {
		h->scheme = TEXT("https");
		if (!cut_prefix(&target, TEXT("https://")))
			return HTTP_FAULT_TARGET;
	}
	while (n < target.n && target.p[n] != '/' && target.p[n] != '?')
		n++;
	h->absolute = true;
	h->authority = text_of(target.p, n);
	h->path = text_of(target.p + n, target.n - n);
	if (!http_is_authority(h->authority) || !http_is_path(h->path))
		return HTTP_FAULT_TARGET;
	if (!h->path.n)
		h->path = h->method == HTTP_METHOD_OPTIONS ? TEXT("*") : TEXT("/");
	/* a query without a path would be one of another name when it is sent on */
	return h->path.p[0] == '?' ? HTTP_FAULT_TARGET : HTTP_FINE;
}

static enum http_fault read_target(struct text target, struct http_head *h)
{
	if (target.n > H1_TARGET_MAX)
		return HTTP_FAULT_TARGET_TOO_LONG;
	if (!target.n)
		return HTTP_FAULT_REQUEST_LINE;
	if (h->method == HTTP_METHOD_CONNECT) {
		h->authority = target;
		h->absolute = true;
		/* with a port, and not an empty one (RFC 9110 9.3.6) */
		return http_is_authority(target) && http_host(target).n + 1 < target.n
			       ? HTTP_FINE
			       : HTTP_FAULT_TARGET;
	}
	if (target.p[0] == '/') {
		h->path = target;
		return http_is_path(target) ? HTTP_FINE : HTTP_FAULT_TARGET;
	}
	if (text_is(target, TEXT("*"))) {
		h->path = target;
		return h->method == HTTP_METHOD_OPTIONS ? HTTP_FINE : HTTP_FAULT_TARGET;
	}
	return read_absolute(target, h);
}

/* method SP request-target SP HTTP-version (RFC 9112 3) */
static enum http_fault read_request_line(struct text line, struct http_head *h)
{
	const char *space = memchr(line.p, ' ', line.n), *last;
	enum http_fault fault;

	if (!space)
		return HTTP_FAULT_REQUEST_LINE;
	h->method_name = text_of(line.p, (size_t)(space - line.p));
	if (!http_is_token(h->method_name) || h->method_name.n > 32)
		return HTTP_FAULT_REQUEST_LINE;
	h->method = (uint8_t)http_method(h->method_name);
	last = memrchr(line.p, ' ', line.n);
	if (last == space) /* HTTP/0.9 */
		return HTTP_FAULT_REQUEST_LINE;
	fault = read_version(text_of(last + 1, line.n - (size_t)(last + 1 - line.p)), h);
	if (fault)
		return fault;
	return read_target(text_of(space + 1, (size_t)(last - space - 1)), h);
}

/* HTTP-version SP 3DIGIT [SP reason] (RFC 9112 4) */
static enum http_fault read_status_line(struct text line, struct http_head *h)
{
	const char *s = line.p + 9;

	if (line.n < 12 || line.p[8] != ' ' ||
	    read_version(text_of(line.p, 8), h) != HTTP_FINE)
		return HTTP_FAULT_STATUS_LINE;
	for (int i = 0; i < 3; i++) {
		if (s[i] < '0' || s[i] > '9')
			return HTTP_FAULT_STATUS_LINE;
	}
	h->status = (uint16_t)((s[0] - '0') * 100 + (s[1] - '0') * 10 + s[2] - '0');
	if (h->status < 100 || h->status > 599 || (line.n > 12 && line.p[12] != ' '))
		return HTTP_FAULT_STATUS_LINE;
	h->reason = line.n > 13 ? text_of(line.p + 13, line.n - 13) : TEXT("");
	return http_is_value(h->reason) ? HTTP_FINE : HTTP_FAULT_STATUS_LINE;
}

/* --- what the fields say of the message --- */

/* chunked, and nothing else (RFC 9112 6.1) */
static enum http_fault read_coding(struct http_head *h, struct text v)
{
	struct text last = v, first;

	if (h->minor == 0)
		return HTTP_FAULT_CODING_IN_1_0;
	if (h->has_length)
		return HTTP_FAULT_LENGTH_AND_CODING;
	if (h->body == HTTP_BODY_CHUNKED)
		return HTTP_FAULT_CODING_INVALID; /* a second one */
	if (text_is_nocase(v, TEXT("chunked"))) {
		h->body = HTTP_BODY_CHUNKED;
		return HTTP_FINE;
	}
	first = text_cut(&last, ',');
	if (!http_is_token(first) || text_is_nocase(first, TEXT("chunked")) ||
	    text_is_nocase(first, TEXT("identity")))
		return HTTP_FAULT_CODING_INVALID;
	while (last.n)
		first = text_cut(&last, ',');
	return text_is_nocase(first, TEXT("chunked")) ? HTTP_FAULT_CODING_UNKNOWN
						      : HTTP_FAULT_CODING_INVALID;
}

/* What was met of fields that count together. */
struct met {
	bool upgrade; /* an Upgrade field */
	unsigned hosts;
	bool keep_alive;
};

static void read_connection(struct http_head *h, struct text v, struct met *met)
{
	while (v.n) {
		struct text t = text_cut(&v, ',');

		if (text_is_nocase(t, TEXT("close")))
			h->close = true;
		else if (text_is_nocase(t, TEXT("keep-alive")))
			met->keep_alive = true;
		else if (text_is_nocase(t, TEXT("upgrade")))
			h->upgrade = true;
	}
}

/*
 * What others may speak behind us; h2c by Upgrade is nobody's to ask for (RFC 9113 3.1).
 * Of several there is no saying which it will be: then none.
 */
static void read_upgrade(struct http_head *h, struct text v)
{
	while (v.n) {
		struct text t = text_cut(&v, ',');

		if (!t.n || text_is_nocase(t, TEXT("h2c")))
			continue;
		h->several |= h->protocol.n > 0;
		h->protocol = t;
	}
}

static enum http_fault read_host(struct http_head *h, struct text v, struct met *met)
{
	if (met->hosts++)
		return HTTP_FAULT_HOST_TWICE;
	if (!http_is_authority(v))
		return HTTP_FAULT_HOST_INVALID;
	if (h->absolute && !text_is_nocase(v, h->authority))
		return HTTP_FAULT_HOST_MISMATCH;
	h->authority = v;
	return HTTP_FINE;
}

static enum http_fault read_known(struct http_head *h, const struct http_field *f,
				  struct met *met)
{
	struct text v = http_value(f), rest;

	switch (f->id) {
	case HTTP_HOST:
		return h->status ? HTTP_FINE : read_host(h, v, met);
	case HTTP_CONTENT_LENGTH:
		if (h->has_length)
			return HTTP_FAULT_LENGTH_TWICE;
		if (h->body == HTTP_BODY_CHUNKED)
			return HTTP_FAULT_LENGTH_AND_CODING;
		h->has_length = true;
		return http_length(v, &h->length);
	case HTTP_TRANSFER_ENCODING:
		return read_coding(h, v);
	case HTTP_CONNECTION:
		read_connection(h, v, met);
		return HTTP_FINE;
	case HTTP_UPGRADE:
		met->upgrade = true;
		read_upgrade(h, v);
		return HTTP_FINE;
	case HTTP_EXPECT:
		h->expects = text_is_nocase(v, TEXT("100-continue"));
		return h->expects || h->status ? HTTP_FINE : HTTP_FAULT_EXPECTATION;
	case HTTP_TE:
		while (v.n) {
			rest = text_cut(&v, ',');
			h->trailers |= text_is_nocase(rest, TEXT("trailers"));
		}
		return HTTP_FINE;
	default:
		return HTTP_FINE;
	}
}

static enum http_fault read_meaning(struct http_head *h)
{
	enum http_fault fault = HTTP_FINE;
	struct met met = { 0 };

	for (unsigned i = 0; i < h->n && !fault; i++) {
		if (h->fields[i].id != HTTP_OTHER_FIELD)
			fault = read_known(h, &h->fields[i], &met);
	}
	if (fault)
		return fault;
	if (!h->status && !met.hosts && h->minor > 0)
		return HTTP_FAULT_HOST_MISSING;
	/* "close" counts more than "keep-alive", in any order (RFC 9112 9.3) */
	h->close |= h->minor == 0 && !met.keep_alive;
	if (h->has_length)
		h->body = h->length ? HTTP_BODY_LENGTH : HTTP_BODY_NONE;
	met.upgrade = met.upgrade && h->upgrade && h->minor > 0;
	h->upgrade = met.upgrade && h->protocol.n && !h->several;
	fault = http_mark_hops(h);
	if (fault)
		return fault;
	http_remove(h, HTTP_HOST);
	http_remove(h, HTTP_CONTENT_LENGTH);
	http_remove(h, HTTP_TRANSFER_ENCODING);
	if (h->minor == 0) { /* nobody waits for a 100 in 1.0 (RFC 9110 10.1.1) */
		h->expects = false;
		http_remove(h, HTTP_EXPECT);
	}
	/* what comes behind the body would be another protocol's (RFC 9110 7.8) */
	if (!h->status && met.upgrade && h->body != HTTP_BODY_NONE)
		return HTTP_FAULT_UPGRADE_INVALID;
	return HTTP_FINE;
}

static void clear(struct http_head *h)
{
	memset(h, 0, offsetof(struct http_head, fields));
	h->scheme = h->authority = h->path = h->protocol = h->reason = TEXT("");
}

enum http_fault h1_read(enum h1_kind kind, uint8_t *buf, size_t n, unsigned fields_max,
			struct http_head *ret)
{
	struct cursor c = { buf, buf + n };
	enum http_fault fault;
	struct text line;

	clear(ret);
	fault = take_line(&c, &line);
	if (!fault && memchr(line.p, '\r', line.n))
		fault = HTTP_FAULT_BARE_CR;
	if (!fault)
		fault = kind == H1_REQUEST ? read_request_line(line, ret)
					   : read_status_line(line, ret);
	if (!fault)
		fault = read_fields(&c, fields_max, ret);
	return fault ? fault : read_meaning(ret);
}

enum http_fault h1_read_trailers(uint8_t *buf, size_t n, unsigned fields_max,
				 struct http_head *ret)
{
	struct cursor c = { buf, buf + n };
	enum http_fault fault;

	clear(ret);
	fault = read_fields(&c, fields_max, ret);
	if (!fault)
		fault = http_mark_hops(ret);
	if (fault)
		return fault;
	for (unsigned i = 0; i < ret->n; i++) {
		if (http_is_late(&ret->fields[i]))
			return HTTP_FAULT_TRAILER;
	}
	return HTTP_FINE;
}

void h1_body_of(struct http_head *r, enum http_method asked)
{
	bool tunnel = asked == HTTP_METHOD_CONNECT && r->status / 100 == 2;

	/* these may not say one (RFC 9110 8.6, 9.3.6): it is not to be passed on */
	if (tunnel || r->status < 200 || r->status == 204)
		r->has_length = false;
	if (tunnel || asked == HTTP_METHOD_HEAD || r->status < 200 || r->status == 204 ||
	    r->status == 304)
		r->body = HTTP_BODY_NONE;
	else if (!r->has_length && r->body == HTTP_BODY_NONE)
		r->body = HTTP_BODY_CLOSE;
	if (r->status < 200 || r->status == 204) /* RFC 9110 8.6 */
		r->has_length = false;
}

/* --- writing --- */

struct writer_of_text {
	uint8_t *p, *end;
	bool full;
};

static void put(struct writer_of_text *w, struct text t)
{
	if ((size_t)(w->end - w->p) < t.n) {
		w->full = true;
		return;
	}
	memcpy(w->p, t.p, t.n);
	w->p += t.n;
}

static void put_field(struct writer_of_text *w, struct text name, struct text value)
{
	size_t n = name.n + 2 + value.n + 2;

	if ((size_t)(w->end - w->p) < n) {
		w->full = true;
		return;
	}
	memcpy(w->p, name.p, name.n);
	w->p += name.n;
	*w->p++ = ':';
	*w->p++ = ' ';
	memcpy(w->p, value.p, value.n);
	w->p += value.n;
	*w->p++ = '\r';
	*w->p++ = '\n';
}

static void put_fields(struct writer_of_text *w, const struct http_head *h)
{
	for (unsigned i = 0; i < h->n; i++) {
		const struct http_field *f = &h->fields[i];

		if (!f->hop)
			put_field(w, text_of(f->name, f->name_n), http_value(f));
	}
}

static void put_start(struct writer_of_text *w, const struct http_head *h)
{
	char digits[TEXT_NUMBER];

	if (!h->status) {
		put(w, h->method_name);
		put(w, TEXT(" "));
		put(w, h->method == HTTP_METHOD_CONNECT ? h->authority : h->path);
		put(w, TEXT(" HTTP/1.1\r\n"));
		put_field(w, TEXT("host"), h->authority);
		return;
	}
	put(w, TEXT("HTTP/1.1 "));
	put(w, text_number(digits, h->status));
	put(w, TEXT(" "));
	put(w, h->reason);
	put(w, TEXT("\r\n"));
}

size_t h1_write(uint8_t *buf, size_t cap, const struct http_head *h,
		struct text connection)
{
	struct writer_of_text w = { buf, buf + cap, false };
	char digits[TEXT_NUMBER];

	if (!h->status && !h->authority.n)
		return 0; /* RFC 9112 3.2: whoever sends it on says whose it is */
	put_start(&w, h);
	put_fields(&w, h);
	if (h->body == HTTP_BODY_CHUNKED)
		put_field(&w, TEXT("transfer-encoding"), TEXT("chunked"));
	else if (h->has_length)
		put_field(&w, TEXT("content-length"), text_number(digits, h->length));
	if (connection.n)
		put_field(&w, TEXT("connection"), connection);
	put(&w, TEXT("\r\n"));
	return w.full ? 0 : (size_t)(w.p - buf);
}

size_t h1_write_trailers(uint8_t *buf, size_t cap, const struct http_head *h)
{
	struct writer_of_text w = { buf, buf + cap, false };

	put_fields(&w, h);
	put(&w, TEXT("\r\n"));
	return w.full ? 0 : (size_t)(w.p - buf);
}
