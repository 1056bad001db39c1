/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "decide/cors.h"
#include "http/answer.h"
#include "http/worker.h"

static const struct {
	uint16_t status;
	const char *words;
} all[] = {
	{ 200, "OK" },
	{ 201, "Created" },
	{ 202, "Accepted" },
	{ 204, "No Content" },
	{ 301, "Moved Permanently" },
	{ 302, "Found" },
	{ 303, "See Other" },
	{ 307, "Temporary Redirect" },
	{ 308, "Permanent Redirect" },
	{ 400, "Bad Request" },
	{ 401, "Unauthorized" },
	{ 403, "Forbidden" },
	{ 404, "Not Found" },
	{ 405, "Method Not Allowed" },
	{ 408, "Request Timeout" },
	{ 410, "Gone" },
	{ 413, "Content Too Large" },
	{ 414, "URI Too Long" },
	{ 417, "Expectation Failed" },
	{ 421, "Misdirected Request" },
	{ 425, "Too Early" },
	{ 429, "Too Many Requests" },
	{ 431, "Request Header Fields Too Large" },
	{ 500, "Internal Server Error" },
	{ 501, "Not Implemented" },
	{ 502, "Bad Gateway" },
	{ 503, "Service Unavailable" },
	{ 504, "Gateway Timeout" },
	{ 505, "HTTP Version Not Supported" },
};

const char *answer_words(unsigned status)
{
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		if (all[i].status == status)
			return all[i].words;
	}
	return "";
}

static bool has_body(unsigned status)
{
	return status != 204 && status != 304;
}

/* What an answer is nothing without, and says nothing of its connection. */
static void add_more(struct http_head *h, const struct http_head *from)
{
	for (unsigned i = 0; i < from->n; i++) {
		const struct http_field *f = &from->fields[i];

		if (f->id == HTTP_LOCATION || f->id == HTTP_SET_COOKIE ||
		    f->id == HTTP_CONTENT_TYPE ||
		    text_is(text_of(f->name, f->name_n), TEXT("www-authenticate")) ||
		    text_is(text_of(f->name, f->name_n), TEXT("cache-control")) ||
		    text_is(text_of(f->name, f->name_n), TEXT("content-encoding")) ||
		    text_is(text_of(f->name, f->name_n), TEXT("retry-after")))
			(void)http_add(h, (enum http_field_id)f->id,
				       text_of(f->name, f->name_n), http_value(f));
	}
}

/* Of a few fields, so that there is room for all of them. */
static void add_fields(struct http_head *h, struct worker *w, const struct answer *a,
		       bool has_body, char retry[16])
{
	(void)http_add(h, HTTP_DATE, TEXT(""), text_of(http_date(w), HTTP_DATE_LEN));
	if (a->more)
		add_more(h, a->more);
	if (has_body && !a->more)
		(void)http_add(h, HTTP_CONTENT_TYPE, TEXT(""),
			       a->type.p ? a->type : TEXT("text/plain; charset=utf-8"));
	if (a->location.n)
		(void)http_add(h, HTTP_LOCATION, TEXT(""), a->location);
	if (a->challenge.n)
		(void)http_add(h, HTTP_OTHER_FIELD, TEXT("www-authenticate"),
			       a->challenge);
	if (a->allow)
		(void)http_add(h, HTTP_OTHER_FIELD, TEXT("allow"),
			       TEXT("GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS"));
	if (a->cors)
		(void)cors_put(a->cors, a->origin, a->preflight, h);
	if (a->retry_after) {
		int n = snprintf(retry, 16, "%u", a->retry_after);

		(void)http_add(h, HTTP_OTHER_FIELD, TEXT("retry-after"),
			       text_of(retry, (size_t)n));
	}
}

int answer_head(struct http_end *e, struct worker *w, const struct answer *a,
		bool head_only, char text[ANSWER_WORDS], struct text *ret_body)
{
	const char *words = answer_words(a->status);
	struct text body = a->body;
	struct http_head h;
	char retry[16];
	bool last;

	memset(&h, 0, offsetof(struct http_head, fields));
	h.authority = h.path = h.protocol = h.method_name = h.scheme = TEXT("");
	h.status = (uint16_t)a->status;
	h.reason = text_of(words, strlen(words));
	if (!body.p) {
		int n = snprintf(text, ANSWER_WORDS, "%u %s\n", a->status, words);

		body = text_of(text, (size_t)n);
	}
	if (!has_body(a->status))
		body.n = 0;
	h.has_length = has_body(a->status);
	h.length = body.n;
	last = head_only || !body.n;
	h.body = last ? HTTP_BODY_NONE : HTTP_BODY_LENGTH;
	add_fields(&h, w, a, body.n > 0, retry);
	*ret_body = text_of(body.p, last ? 0 : body.n);
	return e->ops->put_head(e, &h, last);
}
