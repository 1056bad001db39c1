/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "codec/http.h"

#define DIGITS_MAX 19 /* of a length */

struct text text_number(char buf[TEXT_NUMBER], uint64_t n)
{
	size_t at = TEXT_NUMBER;

	do {
		buf[--at] = (char)('0' + n % 10);
		n /= 10;
	} while (n);
	return text_of(buf + at, TEXT_NUMBER - at);
}

bool text_is(struct text a, struct text b)
{
	return a.n == b.n && memcmp(a.p, b.p, a.n) == 0;
}

bool text_is_nocase(struct text a, struct text b)
{
	return a.n == b.n && strncasecmp(a.p, b.p, a.n) == 0;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

struct text text_cut(struct text *rest, char by)
{
	const char *at = rest->n ? memchr(rest->p, by, rest->n) : NULL;
	struct text t = { rest->p, at ? (size_t)(at - rest->p) : rest->n };

	rest->p += at ? t.n + 1 : t.n;
	rest->n -= at ? t.n + 1 : t.n;
	while (t.n && is_blank(t.p[0])) {
		t.p++;
		t.n--;
	}
	while (t.n && is_blank(t.p[t.n - 1]))
		t.n--;
	return t;
}

/* --- names --- */

static const struct text field_names[HTTP_FIELD_IDS] = { { "", 0 },
#define X(id, name) { name, sizeof(name) - 1 },
							 HTTP_FIELDS(X)
#undef X
};

struct text http_field_name(enum http_field_id id)
{
	return field_names[id];
}

/* By length, first and last character the names above meet in few places. */
#define PLACES 256
#define ALIKE  4

static size_t place_of(const char *name, size_t n)
{
	return (n * 7 + (uint8_t)name[0] * 31u + (uint8_t)name[n - 1] * 3u +
		(uint8_t)name[n / 2] * 17u) %
	       PLACES;
}

static uint8_t places[PLACES][ALIKE];

__attribute__((constructor)) static void make_places(void)
{
	for (uint8_t id = 1; id < HTTP_FIELD_IDS; id++) {
		uint8_t *p = places[place_of(field_names[id].p, field_names[id].n)];

		while (*p)
			p++; /* ALIKE is enough: a unit test looks every name up */
		*p = id;
	}
}

enum http_field_id http_field_id(const char *name, size_t n)
{
	const uint8_t *p;

	if (!n)
		return HTTP_OTHER_FIELD;
	p = places[place_of(name, n)];
	for (unsigned i = 0; i < ALIKE && p[i]; i++) {
		if (field_names[p[i]].n == n && memcmp(field_names[p[i]].p, name, n) == 0)
			return p[i];
	}
	return HTTP_OTHER_FIELD;
}

static const struct text method_names[HTTP_METHOD_IDS] = { { "OTHER", 5 },
#define X(name) { #name, sizeof(#name) - 1 },
							   HTTP_METHODS(X)
#undef X
};

enum http_method http_method(struct text name)
{
	for (unsigned i = 1; i < HTTP_METHOD_IDS; i++) {
		if (text_is(method_names[i], name))
			return i;
	}
	return HTTP_METHOD_OTHER;
}

const char *http_method_name(enum http_method m)
{
	return method_names[m].p;
}

bool http_is_safe(enum http_method m)
{
	return m == HTTP_METHOD_GET || m == HTTP_METHOD_HEAD ||
	       m == HTTP_METHOD_OPTIONS || m == HTTP_METHOD_TRACE;
}

bool http_is_idempotent(enum http_method m)
{
	return http_is_safe(m) || m == HTTP_METHOD_PUT || m == HTTP_METHOD_DELETE;
}

unsigned http_fault_status(enum http_fault f)
{
	static const uint16_t statuses[HTTP_FAULT_MAX] = { 0,
#define X(name, status) status,
							   HTTP_FAULTS(X)
#undef X
	};

	return statuses[f];
}

/* --- characters --- */

#define T HTTP_IS_TCHAR
#define V HTTP_IS_VALUE
#define P HTTP_IS_PATH
#define H HTTP_IS_HOST

const uint8_t http_chars[256] = {
	['\t'] = V,
	[' '] = V,
	['!'] = T | V | P,
	['"'] = V | P,
	['#'] = T | V,
	['$' ... '\''] = T | V | P,
	['('] = V | P,
	[')'] = V | P,
	['*'] = T | V | P,
	['+'] = T | V | P,
	[','] = V | P,
	['-'] = T | V | P | H,
	['.'] = T | V | P | H,
	['/'] = V | P,
	['0' ... '9'] = T | V | P | H,
	[':' ... '@'] = V | P,
	['A' ... 'Z'] = T | V | P | H,
	['['] = V | P,
	['\\'] = V | P,
	[']'] = V | P,
	['^'] = T | V | P,
	['_'] = T | V | P | H,
	['`'] = T | V | P,
	['a' ... 'z'] = T | V | P | H,
	['{'] = V | P,
	['|'] = T | V | P,
	['}'] = V | P,
	['~'] = T | V | P | H,
	[0x80 ... 0xff] = V,
};

#undef T
#undef V
#undef P
#undef H

static bool all_are(struct text t, uint8_t kind)
{
	for (size_t i = 0; i < t.n; i++) {
		if (!(http_chars[(uint8_t)t.p[i]] & kind))
			return false;
	}
	return true;
}

bool http_is_token(struct text t)
{
	return t.n && all_are(t, HTTP_IS_TCHAR);
}

bool http_is_value(struct text t)
{
	return all_are(t, HTTP_IS_VALUE);
}

/* --- an authority --- */

struct text http_host(struct text a)
{
	const char *end;

	if (a.n && a.p[0] == '[') {
		end = memchr(a.p, ']', a.n);
		return end ? text_of(a.p, (size_t)(end - a.p) + 1) : a;
	}
	end = a.n ? memchr(a.p, ':', a.n) : NULL;
	return end ? text_of(a.p, (size_t)(end - a.p)) : a;
}

/* "[" IPv6address "]" (RFC 3986 3.2.2) */
static bool is_v6(struct text host)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr addr;

	if (host.n < 4 || host.n - 2 >= sizeof(text) || host.p[host.n - 1] != ']' ||
	    memchr(host.p, 0, host.n))
		return false;
	memcpy(text, host.p + 1, host.n - 2);
	text[host.n - 2] = 0;
	return inet_pton(AF_INET6, text, &addr) == 1;
}

bool http_is_path(struct text t)
{
	for (size_t i = 0; i < t.n; i++) {
		if (!(http_chars[(uint8_t)t.p[i]] & HTTP_IS_PATH))
			return false;
	}
	return true;
}

bool http_is_authority(struct text a)
{
	struct text host = http_host(a);
	unsigned port = 0;

	if (!host.n || host.n > 255)
		return false;
	if (host.p[0] == '[' ? !is_v6(host) : !all_are(host, HTTP_IS_HOST))
		return false;
	if (host.n == a.n)
		return true;
	if (a.p[host.n] != ':' || a.n - host.n > 6)
		return false;
	for (size_t i = host.n + 1; i < a.n; i++) {
		if (a.p[i] < '0' || a.p[i] > '9')
			return false;
		port = port * 10 + (unsigned)(a.p[i] - '0');
	}
	return port <= 65535;
}

/* --- heads --- */

void http_head_copy(struct http_head *to, const struct http_head *from)
{
	memcpy(to, from,
	       offsetof(struct http_head, fields) + from->n * sizeof(from->fields[0]));
}

struct http_head *http_head_dup(const struct http_head *from)
{
	size_t bytes =
		offsetof(struct http_head, fields) + from->n * sizeof(from->fields[0]);
	size_t texts = 0;
	struct http_head *to;
	char *at;

	for (unsigned i = 0; i < from->n; i++)
		texts += from->fields[i].name_n + from->fields[i].value_n;
	to = malloc(bytes + texts);
	if (!to)
		return NULL;
	http_head_copy(to, from);
	at = (char *)to + bytes;
	for (unsigned i = 0; i < to->n; i++) {
		struct http_field *f = &to->fields[i];

		memcpy(at, f->name, f->name_n);
		f->name = at;
		at += f->name_n;
		memcpy(at, f->value, f->value_n);
		f->value = at;
		at += f->value_n;
	}
	return to;
}

const struct http_field *http_find(const struct http_head *h, enum http_field_id id,
				   int *at)
{
	for (unsigned i = (unsigned)(*at + 1); i < h->n; i++) {
		if (h->fields[i].id == id) {
			*at = (int)i;
			return &h->fields[i];
		}
	}
	return NULL;
}

const struct http_field *http_find_named(const struct http_head *h, struct text name)
{
	for (unsigned i = 0; i < h->n; i++) {
		if (text_is(text_of(h->fields[i].name, h->fields[i].name_n), name))
			return &h->fields[i];
	}
	return NULL;
}

struct text http_credentials(const struct http_head *h, struct text scheme)
{
	int at = -1;
	const struct http_field *f = http_find(h, HTTP_AUTHORIZATION, &at);
	struct text rest, word;

	if (!f || http_find(h, HTTP_AUTHORIZATION, &at))
		return TEXT("");
	rest = http_value(f);
	word = text_cut(&rest, ' ');
	return text_is_nocase(word, scheme) ? text_cut(&rest, '\0') : TEXT("");
}

bool http_cookie(const struct http_head *h, struct text name, struct text *ret)
{
	const struct http_field *f;
	int at = -1;

	while ((f = http_find(h, HTTP_COOKIE, &at))) {
		struct text rest = http_value(f);

		while (rest.n) {
			struct text value = text_cut(&rest, ';');

			if (!text_is(text_cut(&value, '='), name))
				continue;
			*ret = text_cut(&value, '\0');
			return true;
		}
	}
	return false;
}

bool http_add(struct http_head *h, enum http_field_id id, struct text name,
	      struct text value)
{
	if (h->n == HTTP_FIELDS_MAX || name.n > UINT16_MAX || value.n > UINT32_MAX)
		return false;
	if (id != HTTP_OTHER_FIELD)
		name = field_names[id];
	h->fields[h->n++] = (struct http_field){ .name = name.p,
						 .name_n = (uint16_t)name.n,
						 .value = value.p,
						 .value_n = (uint32_t)value.n,
						 .id = (uint8_t)id };
	return true;
}

void http_remove(struct http_head *h, enum http_field_id id)
{
	unsigned n = 0;

	for (unsigned i = 0; i < h->n; i++) {
		if (h->fields[i].id != id)
			h->fields[n++] = h->fields[i];
	}
	h->n = n;
}

bool http_is_alike(struct text a, struct text b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++) {
		if ((a.p[i] == '_' ? '-' : a.p[i]) != (b.p[i] == '_' ? '-' : b.p[i]))
			return false;
	}
	return true;
}

bool http_is_framing(enum http_field_id id)
{
	return id == HTTP_CONTENT_LENGTH || id == HTTP_TRANSFER_ENCODING ||
	       id == HTTP_CONNECTION || id == HTTP_UPGRADE || id == HTTP_KEEP_ALIVE ||
	       id == HTTP_TE || id == HTTP_PROXY_CONNECTION || id == HTTP_TRAILER;
}

static bool is_hop(uint8_t id)
{
	switch (id) {
	case HTTP_CONNECTION:
	case HTTP_KEEP_ALIVE:
	case HTTP_PROXY_CONNECTION:
	case HTTP_PROXY_AUTHENTICATE:
	case HTTP_PROXY_AUTHORIZATION:
	case HTTP_TE:
	case HTTP_TRANSFER_ENCODING:
	case HTTP_UPGRADE:
	case HTTP_HTTP2_SETTINGS:
		return true;
	default:
		return false;
	}
}

/* What nobody may have taken away by naming it. */
static bool is_kept(uint8_t id)
{
	switch (id) {
	case HTTP_HOST:
	case HTTP_COOKIE:
	case HTTP_AUTHORIZATION:
	case HTTP_CONTENT_LENGTH:
	case HTTP_CONTENT_TYPE:
	case HTTP_EARLY_DATA: /* RFC 8470 5.1 */
	case HTTP_FORWARDED:
	case HTTP_X_FORWARDED_FOR:
	case HTTP_X_FORWARDED_HOST:
	case HTTP_X_FORWARDED_PORT:
	case HTTP_X_FORWARDED_PROTO:
	case HTTP_X_REAL_IP:
		return true;
	default:
		return false;
	}
}

static void nominate(struct http_head *h, struct text name)
{
	for (unsigned i = 0; i < h->n; i++) {
		struct http_field *f = &h->fields[i];

		if (!is_kept(f->id) && text_is_nocase(text_of(f->name, f->name_n), name))
			f->hop = true;
	}
}

enum http_fault http_mark_hops(struct http_head *h)
{
	unsigned names = 0;

	for (unsigned i = 0; i < h->n; i++)
		h->fields[i].hop = is_hop(h->fields[i].id);
	for (unsigned i = 0; i < h->n; i++) {
		struct text rest = http_value(&h->fields[i]);

		while (h->fields[i].id == HTTP_CONNECTION && rest.n) {
			struct text name = text_cut(&rest, ',');

			if (!name.n || text_is_nocase(name, TEXT("close")) ||
			    text_is_nocase(name, TEXT("keep-alive")))
				continue;
			/* each costs a look at all fields */
			if (++names > HTTP_NOMINATED_MAX)
				return HTTP_FAULT_FIELDS_TOO_MANY;
			nominate(h, name);
		}
	}
	return HTTP_FINE;
}

enum http_fault http_length(struct text t, uint64_t *ret)
{
	uint64_t v = 0;

	if (!t.n || t.n > DIGITS_MAX)
		return HTTP_FAULT_LENGTH_INVALID;
	for (size_t i = 0; i < t.n; i++) {
		if (t.p[i] < '0' || t.p[i] > '9')
			return HTTP_FAULT_LENGTH_INVALID;
		v = v * 10 + (uint64_t)(t.p[i] - '0');
	}
	*ret = v;
	return v > INT64_MAX ? HTTP_FAULT_LENGTH_INVALID : HTTP_FINE;
}

bool http_is_late(const struct http_field *f)
{
	switch (f->id) {
	case HTTP_HOST:
	case HTTP_CONTENT_LENGTH:
	case HTTP_TRANSFER_ENCODING:
	case HTTP_AUTHORIZATION:
	case HTTP_COOKIE:
	case HTTP_SET_COOKIE:
	case HTTP_EXPECT:
	case HTTP_TRAILER:
	case HTTP_FORWARDED:
	case HTTP_X_FORWARDED_FOR:
	case HTTP_X_FORWARDED_HOST:
	case HTTP_X_FORWARDED_PORT:
	case HTTP_X_FORWARDED_PROTO:
	case HTTP_X_REAL_IP:
	case HTTP_CLIENT_CERT:
	case HTTP_CLIENT_CERT_CHAIN:
		return true;
	default:
		return f->hop;
	}
}
