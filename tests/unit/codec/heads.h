/* SPDX-License-Identifier: Apache-2.0 */
/* Two heads: one that was read, and what was read of it when it was written again. */
#ifndef TESTS_UNIT_CODEC_HEADS_H
#define TESTS_UNIT_CODEC_HEADS_H

#include <stddef.h>

#include "codec/http.h"

/* The first field of `h` from number i on that is passed on; h->n: there is none. */
static inline unsigned heads_next_kept(const struct http_head *h, unsigned i)
{
	while (i < h->n && h->fields[i].hop)
		i++;
	return i;
}

static inline const char *heads_fields_differ(const struct http_head *a,
					      const struct http_head *b)
{
	unsigned i = heads_next_kept(a, 0);

	for (unsigned k = 0; k < b->n; k++, i = heads_next_kept(a, i + 1)) {
		const struct http_field *x = &a->fields[i], *y = &b->fields[k];

		if (i >= a->n)
			return "a field more";
		if (x->id != y->id || y->hop)
			return "a field's id";
		if (!text_is(text_of(x->name, x->name_n), text_of(y->name, y->name_n)))
			return "a field's name";
		if (!text_is(http_value(x), http_value(y)))
			return "a field's value";
	}
	return i < a->n ? "a field less" : NULL;
}

/* What is of the message, not of the connection it came on; NULL: all of it is equal. */
static inline const char *heads_differ(const struct http_head *a,
				       const struct http_head *b)
{
	if (b->major != 1 || b->minor != 1 || b->close || b->upgrade ||
	    b->absolute != (b->method == HTTP_METHOD_CONNECT))
		return "what is of the connection";
	if (a->status != b->status || a->method != b->method)
		return "status or method";
	if (!a->status && !text_is(a->method_name, b->method_name))
		return "the method's name";
	if (!text_is(a->authority, b->authority))
		return "authority";
	if (!text_is(a->path, b->path))
		return "path";
	if (!text_is(a->reason, b->reason))
		return "reason";
	if (a->body != b->body || a->has_length != b->has_length ||
	    (a->has_length && a->length != b->length))
		return "body";
	return heads_fields_differ(a, b);
}

#endif
