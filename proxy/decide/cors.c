/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/util.h"
#include "decide/cors.h"

bool cors_is_preflight(const struct http_head *h)
{
	int at = -1;

	return h->method == HTTP_METHOD_OPTIONS && http_find(h, HTTP_ORIGIN, &at) &&
	       http_find_named(h, TEXT("access-control-request-method"));
}

/* A pattern with a star has what is below its name, and not that name. */
static bool is_of(struct text origin, const char *pattern)
{
	struct text p = text_of_string(pattern);
	const char *star = strstr(pattern, "://*.");
	size_t before, behind;

	if (!star)
		return text_is_nocase(origin, p);
	before = (size_t)(star - pattern) + 3;
	behind = p.n - before - 1; /* from the dot on */
	return origin.n > before + behind &&
	       text_is_nocase(text_of(origin.p, before), text_of(p.p, before)) &&
	       text_is_nocase(text_of(origin.p + origin.n - behind, behind),
			      text_of(p.p + before + 1, behind));
}

static bool has_any(const struct http_cors *c)
{
	for (unsigned i = 0; i < c->origins_count; i++) {
		if (strcmp(c->origins[i], "*") == 0)
			return true;
	}
	return false;
}

struct text cors_origin(const struct http_cors *c, const struct http_head *request)
{
	int at = -1;
	const struct http_field *f = http_find(request, HTTP_ORIGIN, &at);

	if (has_any(c)) /* whoever asks: an answer that is kept is for others, too */
		return TEXT("*");
	for (unsigned i = 0; f && i < c->origins_count; i++) {
		if (is_of(http_value(f), c->origins[i]))
			return http_value(f);
	}
	return TEXT("");
}

static void remove_all(struct http_head *h)
{
	static const char begin[] = "access-control-";
	unsigned n = 0;

	for (unsigned i = 0; i < h->n; i++) {
		if (h->fields[i].name_n < sizeof(begin) - 1 ||
		    memcmp(h->fields[i].name, begin, sizeof(begin) - 1) != 0)
			h->fields[n++] = h->fields[i];
	}
	h->n = n;
}

static bool add(struct http_head *h, struct text name, const char *value)
{
	return !value || http_add(h, HTTP_OTHER_FIELD, name, text_of_string(value));
}

static bool put_preflight(const struct http_cors *c, struct http_head *h)
{
	/* GET, HEAD and POST need not be named, but who lists them reads easier */
	return add(h, TEXT("access-control-allow-methods"),
		   c->methods_text ? c->methods_text : "GET, HEAD, POST") &&
	       add(h, TEXT("access-control-allow-headers"), c->headers_text) &&
	       add(h, TEXT("access-control-max-age"), c->max_age_text);
}

bool cors_put(const struct http_cors *c, struct text origin, bool preflight,
	      struct http_head *h)
{
	remove_all(h);
	if (!has_any(c) && !add(h, TEXT("vary"), "Origin")) /* RFC 9110 12.5.5 */
		return false;
	if (!origin.n)
		return true;
	if (!http_add(h, HTTP_OTHER_FIELD, TEXT("access-control-allow-origin"), origin))
		return false;
	if (c->credentials && !add(h, TEXT("access-control-allow-credentials"), "true"))
		return false;
	return preflight ? put_preflight(c, h)
			 : add(h, TEXT("access-control-expose-headers"), c->expose_text);
}
