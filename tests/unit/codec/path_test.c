/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "codec/path.h"
#include "tests/unit/t.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static struct text text(const char *s)
{
	return text_of(s, strlen(s));
}

static const char *const normal[][2] = {
	{ "/", "/" },
	{ "/a", "/a" },
	{ "/a/", "/a/" },
	{ "/A", "/A" },
	{ "/.", "/" },
	{ "/./", "/" },
	{ "/..", "/" },
	{ "/../", "/" },
	{ "/../..", "/" },
	{ "/../../a", "/a" },
	{ "/./a", "/a" },
	{ "/a/.", "/a/" },
	{ "/a/./", "/a/" },
	{ "/a/./b", "/a/b" },
	{ "/a/..", "/" },
	{ "/a/../", "/" },
	{ "/a/../b", "/b" },
	{ "/a/b/..", "/a/" },
	{ "/a/b/../..", "/" },
	{ "/a/b/c/./../../g", "/a/g" }, /* RFC 3986 5.2.4 */
	{ "/mid/content=5/../6", "/mid/6" },
	{ "//", "//" },
	{ "//a", "//a" },
	{ "/a//b", "/a//b" },
	{ "/...", "/..." },
	{ "/..a", "/..a" },
	{ "/a..", "/a.." },
	{ "/.a", "/.a" },
	{ "/a.", "/a." },
	{ "/%2e", "/" },
	{ "/%2E/a", "/a" },
	{ "/%2e%2E", "/" },
	{ "/a/%2e%2e/b", "/b" },
	{ "/a/.%2e/b", "/b" },
	{ "/a/%2e./b", "/b" },
	{ "/%2e%2e%2e", "/..." },
	{ "/%61%5A%39%2d%5f%7E", "/aZ9-_~" },
	{ "/%c3%a4", "/%C3%A4" },
	{ "/%C3%a4%fF", "/%C3%A4%FF" },
	{ "/%20", "/%20" },
	{ "/%25", "/%25" },
	{ "/%252e%252e", "/%252e%252e" }, /* decoded once, and never again */
	{ "/%2541", "/%2541" },
	{ "/%3a%40%21", "/%3A%40%21" }, /* reserved: not the same as without */
	{ "/a:b@c!d$e&f'g(h)i*j+k,l=m", "/a:b@c!d$e&f'g(h)i*j+k,l=m" },
	{ "/a;b=c", "/a;b=c" },
};

/* The buffer is of the path's own size: nothing is longer. */
static bool normalize(const char *path, size_t n, char *ret)
{
	char *buf = malloc(n ? n : 1);
	struct text t;
	bool fine = path_normal(text_of(path, n), buf, &t);

	if (fine) {
		CHECK(t.n <= n);
		memcpy(ret, t.p, t.n);
		ret[t.n] = 0;
	}
	free(buf);
	return fine;
}

static void paths_have_one_normal_form(void)
{
	for (size_t i = 0; i < COUNT(normal); i++) {
		char got[128] = "";

		CHECK(normalize(normal[i][0], strlen(normal[i][0]), got));
		CHECK_STR(normal[i][1], got);
		if (t_failed)
			printf("# case: %s\n", normal[i][0]);
	}
}

static void the_normal_form_of_a_normal_form_is_itself(void)
{
	for (size_t i = 0; i < COUNT(normal); i++) {
		char got[128] = "";

		CHECK(normalize(normal[i][1], strlen(normal[i][1]), got));
		CHECK_STR(normal[i][1], got);
	}
}

static void what_somebody_could_read_otherwise_is_refused(void)
{
	static const char *const bad[] = {
		"",	   "a",	       "a/b",	   "*",		 "?",	   "%2f",
		"%2fa",	   "/%2f",     "/%2F",	   "/a%2fb",	 "/%5c",   "/%5C",
		"/..%5ca", "/%00",     "/a%00",	   "/%3b",	 "/%3B",   "/a%3bb",
		"/%3f",	   "/%3F",     "/%23",	   "/\\",	 "/a\\b",  "/..\\a",
		"\\a",	   "/%",       "/%2",	   "/a%",	 "/%g0",   "/%0g",
		"/%%",	   "/%%41",    "/%-1",	   "/% 1",	 "/%2",	   "/a%2/b",
		"/%u002f", "/%2e%2",   "/%x41",	   "/%2e%2e%2f", "/a//..", "/a//../b",
		"/..//a",  "/a/..;/b", "/a/.;x/b", "/a/%2e.;/b",
	};

	for (size_t i = 0; i < COUNT(bad); i++) {
		char got[128] = "";

		CHECK(!normalize(bad[i], strlen(bad[i]), got));
		if (t_failed)
			printf("# case: '%s' is '%s'\n", bad[i], got);
	}
}

static void every_encoded_byte_is_decoded_kept_or_refused(void)
{
	for (unsigned c = 0; c < 256; c++) {
		char path[8], got[8] = "", want[8];
		bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
			     (c >= 'A' && c <= 'Z');

		snprintf(path, sizeof(path), "/x%%%02x", c);
		if (memchr("\0/\\?#;", (int)c, 6)) {
			CHECK(!normalize(path, 5, got));
			continue;
		}
		if (alnum || (c && strchr("-._~", (int)c)))
			snprintf(want, sizeof(want), "/x%c", (int)c);
		else
			snprintf(want, sizeof(want), "/x%%%02X", c);
		CHECK(normalize(path, 5, got));
		CHECK_STR(want, got);
	}
}

static void a_path_begins_with_whole_segments(void)
{
	static const struct {
		const char *path, *prefix;
		bool want;
	} cases[] = {
		{ "/", "/", true },	    { "/a", "/", true },
		{ "/a/b", "/", true },	    { "/a", "/a", true },
		{ "/a/", "/a", true },	    { "/a/b", "/a", true },
		{ "/a/b", "/a/", true },    { "/a", "/a/", true },
		{ "/a/b", "/a/b", true },   { "/a/b/c", "/a/b", true },
		{ "/ab", "/a", false },	    { "/ab", "/a/", false },
		{ "/a", "/ab", false },	    { "/", "/a", false },
		{ "/a/bc", "/a/b", false }, { "/a", "/a/b", false },
		{ "/A", "/a", false },	    { "/a-b", "/a", false },
		{ "/a.b", "/a", false },    { "/b/a", "/a", false },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		CHECK_INT(cases[i].want,
			  path_begins(text(cases[i].path), text(cases[i].prefix)));
		if (t_failed)
			printf("# case: %s, %s\n", cases[i].path, cases[i].prefix);
	}
}

static void a_path_fits_a_form_segment_by_segment(void)
{
	static const struct {
		const char *path, *form;
		bool want;
	} cases[] = {
		{ "/", "/", true },
		{ "/a", "/a", true },
		{ "/a", "/:x", true },
		{ "/a/b", "/:x/b", true },
		{ "/a/b", "/a/:x", true },
		{ "/a/b", "/:x/:y", true },
		{ "/a/b/", "/:x/:y/", true },
		{ "/:x", "/:x", true },
		{ "/:", "/:", true }, /* no name: a segment of that text */
		{ "/a", "/:", false },
		{ "/", "/:x", false },
		{ "//b", "/:x/b", false },
		{ "/a/", "/:x", false },
		{ "/a/", "/a/:x", false },
		{ "/a", "/a/:x", false },
		{ "/a", "/:x/", false },
		{ "/a/b", "/:x", false },
		{ "/a/b/c", "/:x/:y", false },
		{ "/a/c", "/:x/b", false },
		{ "/ab", "/a:x", false },
		{ "/a:x", "/a:x", true },
		{ "/A", "/a", false },
		{ "/a", "/", false },
		{ "/", "/a", false },
		{ "/a", "", false },
		{ "", "/a", false },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		CHECK_INT(cases[i].want,
			  path_fits(text(cases[i].path), text(cases[i].form)));
		if (t_failed)
			printf("# case: %s, %s\n", cases[i].path, cases[i].form);
	}
}

static void a_query_is_behind_the_first_question_mark(void)
{
	struct text q;

	CHECK(text_is(TEXT("/a"), path_split(TEXT("/a?b=c"), &q)));
	CHECK(text_is(TEXT("b=c"), q));
	CHECK(text_is(TEXT("/a"), path_split(TEXT("/a?b?c"), &q)));
	CHECK(text_is(TEXT("b?c"), q));
	CHECK(text_is(TEXT("/a"), path_split(TEXT("/a?"), &q)));
	CHECK(q.p && !q.n);
	CHECK(text_is(TEXT("/a"), path_split(TEXT("/a"), &q)));
	CHECK(!q.p && !q.n);
	CHECK(text_is(TEXT("*"), path_split(TEXT("*"), &q)) && !q.p);
	CHECK(text_is(TEXT(""), path_split(TEXT("?x"), &q)) && q.n == 1);
	CHECK(text_is(TEXT(""), path_split(TEXT(""), &q)) && !q.p);
}

int main(void)
{
	RUN(paths_have_one_normal_form);
	RUN(the_normal_form_of_a_normal_form_is_itself);
	RUN(what_somebody_could_read_otherwise_is_refused);
	RUN(every_encoded_byte_is_decoded_kept_or_refused);
	RUN(a_path_begins_with_whole_segments);
	RUN(a_path_fits_a_form_segment_by_segment);
	RUN(a_query_is_behind_the_first_question_mark);
	DONE();
}
