/* SPDX-License-Identifier: Apache-2.0 */
/* The only file that includes PCRE2. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <errno.h>
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/pattern.h"
#include "base/util.h"

#define STEPS_MAX      10000
#define DEPTH_MAX      1000
#define HEAP_KIB       256

#define NAME_MAX_BYTES 253 /* RFC 1035 2.3.4 */

struct pattern {
	pcre2_code *code;
	pcre2_match_context *bounds;
};

int pattern_compile(const char *text, struct pattern **ret, char err[PATTERN_ERROR_MAX])
{
	struct pattern *p = calloc(1, sizeof(*p));
	PCRE2_SIZE at;
	int code, res = -ENOMEM;

	if (!p)
		return -ENOMEM;
	p->bounds = pcre2_match_context_create(NULL);
	if (!p->bounds)
		goto out;
	(void)pcre2_set_match_limit(p->bounds, STEPS_MAX);
	(void)pcre2_set_depth_limit(p->bounds, DEPTH_MAX);
	(void)pcre2_set_heap_limit(p->bounds, HEAP_KIB);
	/* no clever start: what must be in a name is asked step by step, and counted */
	p->code = pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED,
				PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_DOTALL |
					PCRE2_NO_AUTO_CAPTURE | PCRE2_NO_START_OPTIMIZE,
				&code, &at, NULL);
	if (!p->code) {
		PCRE2_UCHAR why[96];

		(void)pcre2_get_error_message(code, why, sizeof(why));
		(void)snprintf(err, PATTERN_ERROR_MAX, "%s at character %zu", (char *)why,
			       (size_t)at + 1);
		res = -EINVAL;
		goto out;
	}
	*ret = p;
	return 0;
out:
	pattern_free(p);
	return res;
}

void pattern_free(struct pattern *p)
{
	if (!p)
		return;
	pcre2_code_free(p->code);
	pcre2_match_context_free(p->bounds);
	free(p);
}

int pattern_matches(const struct pattern *p, const char *text, size_t len)
{
	pcre2_match_data *data = pcre2_match_data_create(1, NULL);
	int r;

	if (!data)
		return -E2BIG;
	r = pcre2_match(p->code, (PCRE2_SPTR)text, len, 0, 0, data, p->bounds);
	pcre2_match_data_free(data);
	return r >= 0 ? 1 : r == PCRE2_ERROR_NOMATCH ? 0 : -E2BIG;
}

bool pattern_is_hungry(const struct pattern *p)
{
	static const char *const parts[] = { "a", "a.", "1", "-", "ab" };
	char name[NAME_MAX_BYTES + 1];

	for (size_t i = 0; i < 2 * ARRAY_SIZE(parts); i++) {
		const char *part = parts[i / 2];
		size_t n = strlen(part);

		for (size_t at = 0; at < NAME_MAX_BYTES; at++)
			name[at] = part[at % n];
		if (i % 2)
			name[0] = '/'; /* a path, not a name */
		name[NAME_MAX_BYTES] = '\0';
		name[NAME_MAX_BYTES - 1] = '!'; /* which nothing ends with */
		if (pattern_matches(p, name, NAME_MAX_BYTES) < 0)
			return true;
	}
	return false;
}
