/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/util.h"
#include "codec/path.h"
#include "decide/affinity.h"

uint8_t affinity_wanted(const struct route *r, const struct http_head *h)
{
	const struct http_sticky *s = r->http->sticky;
	struct text value;

	if (!s || !http_cookie(h, text_of_string(s->cookie), &value))
		return 0;
	for (unsigned i = 0; i < r->backend_names_count; i++) {
		if (text_is(value, text_of(s->values[i], HTTP_STICKY_VALUE)))
			return (uint8_t)(i + 1);
	}
	return 0;
}

static bool find_query(struct text query, struct text name, struct text *ret)
{
	while (query.n) {
		struct text value = text_cut(&query, '&');

		if (text_is(text_cut(&value, '='), name)) {
			*ret = value;
			return true;
		}
	}
	return false;
}

bool affinity_trait(const struct http_alike *a, const struct http_head *h,
		    struct text *ret)
{
	const struct http_field *f;
	struct text query;

	switch (a->trait) {
	case TRAIT_HEADER:
		f = http_find_named(h, a->name);
		if (f)
			*ret = http_value(f);
		return f != NULL;
	case TRAIT_COOKIE:
		return http_cookie(h, a->name, ret);
	case TRAIT_QUERY:
		(void)path_split(h->path, &query);
		return find_query(query, a->name, ret);
	case TRAIT_PATH:
		*ret = path_split(h->path, &query);
		return true;
	default:
		return false;
	}
}

bool affinity_key(const struct http_route *r, const struct http_head *h, uint32_t *ret)
{
	struct text value = TEXT("");
	bool found = affinity_trait(&r->hash_by, h, &value);

	*ret = (uint32_t)util_hash(value.p, value.n);
	return found;
}
