/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/util.h"
#include "config/pattern.h"
#include "tests/unit/t.h"

static struct pattern *compiled(const char *text)
{
	char why[PATTERN_ERROR_MAX];
	struct pattern *p = NULL;

	CHECK_INT(0, pattern_compile(text, &p, why));
	return p;
}

/* 1 it matches, 0 it does not, negative: it cannot be said. */
static int answer(const char *expression, const char *name)
{
	struct pattern *p = compiled(expression);
	int r = p ? pattern_matches(p, name, strlen(name)) : -1000;

	pattern_free(p);
	return r;
}

static void a_name_matches_or_does_not(void)
{
	CHECK_INT(1, answer("a\\d+\\.example\\.org", "a17.example.org"));
	CHECK_INT(0, answer("a\\d+\\.example\\.org", "b17.example.org"));
	CHECK_INT(0, answer("a\\d+\\.example\\.org", "a17.example.org.evil"));
	CHECK_INT(0, answer("", "a"));
	CHECK_INT(1, answer("", ""));
}

static void an_expression_at_its_step_limit_is_an_error_and_not_no_match(void)
{
	static const char *const hungry[] = { "(a+)+b", "(a|aa)+b", "(.*)*b" };
	static const char name[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
				   ".aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac";

	for (size_t i = 0; i < ARRAY_SIZE(hungry); i++) {
		int r = answer(hungry[i], name);

		CHECK(r < 0);
		if (t_failed)
			printf("# expression %s: %d\n", hungry[i], r);
	}
}

/* n a's, of which each may be left out, and n more: found after 2^n tries. */
static void what_matches_is_never_said_not_to_match_however_many_steps_it_takes(void)
{
	char expression[32], name[64];

	for (int n = 1; n < 60; n++) {
		(void)snprintf(expression, sizeof(expression), "(a?){%d}a{%d}", n, n);
		memset(name, 'a', sizeof(name));
		name[n] = '\0';
		CHECK(answer(expression, name) != 0);
		if (t_failed) {
			printf("# %s does not match %d a's\n", expression, n);
			break;
		}
	}
}

int main(void)
{
	RUN(a_name_matches_or_does_not);
	RUN(an_expression_at_its_step_limit_is_an_error_and_not_no_match);
	RUN(what_matches_is_never_said_not_to_match_however_many_steps_it_takes);
	DONE();
}
