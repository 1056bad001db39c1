/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The normal form of a path is its own normal form, is not longer, and has nothing left
 * that another could still resolve or decode.
 */
#include <stdlib.h>
#include <string.h>

#include "codec/path.h"

static void require(bool holds)
{
	if (!holds)
		abort();
}

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F');
}

static bool is_dots(struct text segment)
{
	return text_is(segment, TEXT(".")) || text_is(segment, TEXT(".."));
}

static void check_form(struct text t)
{
	struct text rest = t;

	require(t.n && t.p[0] == '/');
	for (size_t i = 0; i < t.n; i++) {
		require(t.p[i] != '\\');
		require(t.p[i] != '%' ||
			(i + 2 < t.n && is_hex(t.p[i + 1]) && is_hex(t.p[i + 2])));
	}
	while (rest.n) {
		const char *end = memchr(rest.p, '/', rest.n);
		size_t n = end ? (size_t)(end - rest.p) : rest.n;

		require(!is_dots(text_of(rest.p, n)));
		n += end ? 1 : 0;
		rest = text_of(rest.p + n, rest.n - n);
	}
}

static void check_matches(struct text t)
{
	require(path_begins(t, t) && path_begins(t, TEXT("/")) && path_fits(t, t));
	for (size_t n = 1; n < t.n; n++) {
		if (t.p[n] == '/')
			require(path_begins(t, text_of(t.p, n)));
	}
}

static void check_path(struct text path)
{
	char *once = malloc(path.n), *twice = malloc(path.n);
	struct text a, b;

	if (path_normal(path, once, &a)) {
		require(a.n <= path.n);
		check_form(a);
		check_matches(a);
		require(path_normal(a, twice, &b) && text_is(a, b));
	}
	free(once);
	free(twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct text target = text_of((const char *)data, len), path, query;

	check_path(target);
	path = path_split(target, &query);
	require(path.n + query.n + (query.p ? 1 : 0) == len);
	require(!memchr(target.p, '?', path.n));
	check_path(path);
	/* any two halves: nothing is read outside */
	for (size_t n = 0; n <= len && len < 256; n++) {
		struct text a = text_of(target.p, n), b = text_of(target.p + n, len - n);

		(void)path_begins(a, b);
		(void)path_fits(a, b);
	}
	return 0;
}
