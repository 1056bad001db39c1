/* SPDX-License-Identifier: Apache-2.0 */
/* A test is a function; a file lists its tests and prints one TAP line each. */
#ifndef TESTS_UNIT_T_H
#define TESTS_UNIT_T_H

#include <stdio.h>
#include <string.h>

static int t_failed; /* in the running test */
static int t_failures;
static int t_count;

#define CHECK(cond)                                                         \
	do {                                                                \
		if (!(cond)) {                                              \
			t_failed = 1;                                       \
			printf("# %s:%d: %s\n", __FILE__, __LINE__, #cond); \
		}                                                           \
	} while (0)

#define CHECK_INT(want, got)                                                             \
	do {                                                                             \
		long long t_want = (long long)(want), t_got = (long long)(got);          \
		if (t_want != t_got) {                                                   \
			t_failed = 1;                                                    \
			printf("# %s:%d: %s: want %lld, got %lld\n", __FILE__, __LINE__, \
			       #got, t_want, t_got);                                     \
		}                                                                        \
	} while (0)

#define CHECK_STR(want, got)                                                         \
	do {                                                                         \
		if (strcmp(want, got) != 0) {                                        \
			t_failed = 1;                                                \
			printf("# %s:%d: want '%s', got '%s'\n", __FILE__, __LINE__, \
			       want, got);                                           \
		}                                                                    \
	} while (0)

#define RUN(fn)                                                                   \
	do {                                                                      \
		t_failed = 0;                                                     \
		fn();                                                             \
		t_failures += t_failed;                                           \
		printf("%sok %d - %s\n", t_failed ? "not " : "", ++t_count, #fn); \
	} while (0)

#define DONE()                              \
	do {                                \
		printf("1..%d\n", t_count); \
		return t_failures ? 1 : 0;  \
	} while (0)

#endif
