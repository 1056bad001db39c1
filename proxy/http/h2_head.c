/* SPDX-License-Identifier: Apache-2.0 */
/* From fields as HPACK has them to a head, and what of it nghttp2 does not look at. */
#include <stdlib.h>
#include <string.h>

#include "codec/h1.h"
#include "http/h2_own.h"

bool h2_text_grow(struct h2_stream *s, size_t n)
{
	size_t cap = s->text_cap;
	char *more;

	if (s->text_n + n <= cap)
		return true;
	while (cap < s->text_n + n)
		cap *= 2;
	more = malloc(cap);
	if (!more)
		return false;
	memcpy(more, s->text, s->text_n);
	if (s->text != s->own_text)
		free(s->text);
	s->text = more;
	s->text_cap = (uint32_t)cap;
	return true;
}

uint32_t h2_text_keep(struct h2_stream *s, const uint8_t *p, size_t n)
{
	uint32_t at = s->text_n;

	memcpy(s->text + at, p, n);
	s->text_n += (uint32_t)n;
	return at;
}

static void set_pseudo(struct http_head *head, struct text name, struct text value)
{
	if (text_is(name, TEXT(":method"))) {
		head->method_name = value;
		head->method = (uint8_t)http_method(value);
	} else if (text_is(name, TEXT(":path"))) {
		head->path = value;
	} else if (text_is(name, TEXT(":authority"))) {
		head->authority = value;
	} else if (text_is(name, TEXT(":scheme"))) {
		head->scheme = value;
	} else if (text_is(name, TEXT(":protocol"))) {
		head->protocol = value;
	} else if (text_is(name, TEXT(":status")) && value.n == 3) {
		head->status = (uint16_t)((value.p[0] - '0') * 100 +
					  (value.p[1] - '0') * 10 + value.p[2] - '0');
	}
}

static enum http_fault set_known(struct http_head *head, const struct http_field *f)
{
	struct text v = http_value(f), part;

	switch (f->id) {
	case HTTP_CONTENT_LENGTH:
		if (head->has_length)
			return HTTP_FAULT_LENGTH_TWICE;
		head->has_length = true;
		return http_length(v, &head->length);
	case HTTP_HOST:
		if (head->status)
			return HTTP_FINE;
		if (head->authority.n && !text_is_nocase(head->authority, v))
			return HTTP_FAULT_HOST_MISMATCH;
		head->authority = v;
		return HTTP_FINE;
	case HTTP_EXPECT:
		head->expects = text_is_nocase(v, TEXT("100-continue"));
		return head->expects || head->status ? HTTP_FINE : HTTP_FAULT_EXPECTATION;
	case HTTP_TE:
		while (v.n) {
			part = text_cut(&v, ',');
			head->trailers |= text_is_nocase(part, TEXT("trailers"));
		}
		return HTTP_FINE;
	default:
		return HTTP_FINE;
	}
}

/* RFC 9113 8.2.3: crumbs are one field, for who knows no crumbs. */
static void join_crumbs(struct h2_stream *s, struct http_head *head)
{
	uint32_t from = s->text_n;
	unsigned n = 0, first = 0;
	bool secret = false;
	size_t total = 0;

	for (unsigned i = 0; i < head->n; i++) {
		if (head->fields[i].id != HTTP_COOKIE)
			continue;
		first = n++ ? first : i;
		secret |= head->fields[i].secret;
		total += head->fields[i].value_n + 2u;
	}
	if (n < 2 || s->text_n + total > s->text_cap)
		return; /* h2_make_head() has made room */
	for (unsigned i = 0; i < head->n; i++) {
		const struct http_field *f = &head->fields[i];

		if (f->id != HTTP_COOKIE)
			continue;
		if (i != first)
			(void)h2_text_keep(s, (const uint8_t *)"; ", 2);
		(void)h2_text_keep(s, (const uint8_t *)f->value, f->value_n);
	}
	http_remove(head, HTTP_COOKIE);
	(void)http_add(head, HTTP_COOKIE, TEXT(""),
		       text_of(s->text + from, s->text_n - from));
	head->fields[head->n - 1].secret = secret;
}

static void clear(struct http_head *head)
{
	memset(head, 0, offsetof(struct http_head, fields));
	head->scheme = head->authority = head->path = head->protocol = head->reason =
		head->method_name = TEXT("");
	head->major = 2;
}

static size_t crumbs_of(const struct h2_stream *s)
{
	size_t n = 0;

	for (unsigned i = 0; i < s->items_n; i++) {
		if (s->items[i].name_n == 6 &&
		    memcmp(s->text + s->items[i].name, "cookie", 6) == 0)
			n += s->items[i].value_n + 2u;
	}
	return n;
}

enum http_fault h2_make_head(struct h2_stream *s, struct http_head *head)
{
	enum http_fault fault = HTTP_FINE;

	clear(head);
	if (!h2_text_grow(s, crumbs_of(s)))
		return HTTP_FAULT_HEAD_TOO_LARGE;
	for (unsigned i = 0; i < s->items_n && !fault; i++) {
		const struct h2_item *it = &s->items[i];
		struct text name = text_of(s->text + it->name, it->name_n);
		struct text value = text_of(s->text + it->value, it->value_n);
		enum http_field_id id;

		if (name.n && name.p[0] == ':') {
			set_pseudo(head, name, value);
			continue;
		}
		if (head->n >= s->h2->fields_max)
			return HTTP_FAULT_FIELDS_TOO_MANY;
		id = http_field_id(name.p, name.n);
		(void)http_add(head, id, name, value);
		head->fields[head->n - 1].secret = it->secret;
		fault = set_known(head, &head->fields[head->n - 1]);
	}
	if (fault)
		return fault;
	fault = http_mark_hops(head);
	if (fault)
		return fault;
	http_remove(head, HTTP_HOST);
	http_remove(head, HTTP_CONTENT_LENGTH);
	join_crumbs(s, head);
	return HTTP_FINE;
}

/* What nghttp2 does not look at. */
enum http_fault h2_check_request(const struct http_head *h)
{
	if (!http_is_token(h->method_name) || h->method_name.n > 32)
		return HTTP_FAULT_REQUEST_LINE;
	if (!h->authority.n)
		return HTTP_FAULT_HOST_MISSING;
	if (!http_is_authority(h->authority))
		return HTTP_FAULT_HOST_INVALID;
	if (h->method == HTTP_METHOD_CONNECT && !h->protocol.n)
		return HTTP_FINE;
	if (h->path.n > H1_TARGET_MAX)
		return HTTP_FAULT_TARGET_TOO_LONG;
	if (!http_is_path(h->path) ||
	    (h->path.p[0] != '/' &&
	     !(h->method == HTTP_METHOD_OPTIONS && text_is(h->path, TEXT("*")))))
		return HTTP_FAULT_TARGET;
	return HTTP_FINE;
}

void h2_set_body(struct http_head *head, bool last)
{
	if (last || head->extended)
		head->body = HTTP_BODY_NONE;
	else if (head->has_length)
		head->body = head->length ? HTTP_BODY_LENGTH : HTTP_BODY_NONE;
	else
		head->body = HTTP_BODY_CHUNKED;
}

/* What has none by its status, or by what was asked, ends with its head (RFC 9110 6.4.1).
 */
bool h2_set_answer(const struct h2_stream *s, struct http_head *head, bool last)
{
	bool none = s->asked == HTTP_METHOD_HEAD || head->status == 204 ||
		    head->status == 304;

	if (head->status < 200 || head->status == 204)
		head->has_length = false;
	h2_set_body(head, last || none || head->status < 200);
	return head->status >= 200 && (last || none);
}

/* As a client of HTTP/1.1 would have asked (RFC 8441 5, RFC 6455 4.1). */
enum http_fault h2_extend(struct http_head *head, bool last)
{
	if (!text_is(head->protocol, TEXT("websocket")) || last)
		return HTTP_FAULT_UPGRADE_INVALID;
	head->method = HTTP_METHOD_GET;
	head->method_name = TEXT("GET");
	head->upgrade = head->extended = true;
	return HTTP_FINE;
}
