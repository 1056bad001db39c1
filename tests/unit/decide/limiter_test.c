/* SPDX-License-Identifier: Apache-2.0 */
#include "decide/limits.h"
#include "tests/unit/t.h"

static struct limits_table *table;
static __u64 full;

static struct addr client(const char *text)
{
	struct addr a = { 0 };

	CHECK_INT(0, addr_parse(text, &a));
	return a;
}

static void as_many_as_there_may_be_and_no_more(void)
{
	const struct limits l = { .connections = 2 };
	struct limits_holds h[3] = { 0 };

	table = limits_new(&full);
	CHECK_INT(0, limits_admit(table, LIMITS_LISTENER, 1, &l, NULL, 0, &h[0]));
	CHECK_INT(0, limits_admit(table, LIMITS_LISTENER, 1, &l, NULL, 0, &h[1]));
	CHECK_INT(TG_END_LISTENER_CONNECTIONS,
		  limits_admit(table, LIMITS_LISTENER, 1, &l, NULL, 0, &h[2]));
	CHECK_INT(0, h[2].n);
	/* another listener, and the process, have their own */
	CHECK_INT(0, limits_admit(table, LIMITS_LISTENER, 2, &l, NULL, 0, &h[2]));
	CHECK_INT(0, limits_admit(table, LIMITS_PROCESS, 1, &l, NULL, 0, &h[2]));
	limits_release(table, &h[0]);
	CHECK_INT(0, limits_admit(table, LIMITS_LISTENER, 1, &l, NULL, 0, &h[0]));
	for (int i = 0; i < 3; i++)
		limits_release(table, &h[i]);
	limits_free(table);
}

static void new_ones_are_limited_by_a_bucket(void)
{
	const struct limits l = { .rate = { .n = 10, .ms = 1000 } };
	struct limits_holds h = { 0 };
	int admitted[4] = { 0 };

	table = limits_new(&full);
	/* 20 a second are offered for four seconds: a burst of 10, then 10 a second */
	for (int i = 0; i < 80; i++) {
		admitted[i / 20] += limits_admit(table, LIMITS_PROCESS, 0, &l, NULL,
						 100000 + i * 50, &h) == TG_END_DONE;
		limits_release(table, &h);
	}
	CHECK(admitted[0] >= 19 && admitted[0] <= 20);
	for (int i = 1; i < 4; i++)
		CHECK(admitted[i] >= 9 && admitted[i] <= 11);
	/* the clock of another thread may be a little behind */
	for (int i = 0; i < 10; i++) {
		limits_release(table, &h);
		CHECK_INT(0, limits_admit(table, LIMITS_ROUTE, 8, &l, NULL, 299999, &h));
	}
	CHECK_INT(TG_END_ROUTE_RATE,
		  limits_admit(table, LIMITS_ROUTE, 8, &l, NULL, 300001, &h));
	CHECK_INT(TG_END_ROUTE_RATE,
		  limits_admit(table, LIMITS_ROUTE, 8, &l, NULL, 299998, &h));
	limits_release(table, &h);
	limits_free(table);
}

static void sources_and_prefixes_are_told_apart(void)
{
	const struct limits l = {
		.per_source = 1, .per_prefix = 2, .prefix_v4 = 24, .prefix_v6 = 64
	};
	struct addr a = client("192.0.2.1:1"), b = client("192.0.2.2:1"),
		    c = client("192.0.2.3:1"), d = client("192.0.3.1:1"),
		    e = client("[2001:db8::1]:1"), f = client("[2001:db8::2]:1"),
		    g = client("[2001:db8:0:1::1]:1");
	struct limits_holds h[7] = { 0 };

	table = limits_new(&full);
	CHECK_INT(0, limits_admit(table, LIMITS_PROCESS, 0, &l, &a, 0, &h[0]));
	CHECK_INT(TG_END_SOURCE_CONNECTIONS,
		  limits_admit(table, LIMITS_PROCESS, 0, &l, &a, 0, &h[1]));
	CHECK_INT(0, limits_admit(table, LIMITS_PROCESS, 0, &l, &b, 0, &h[1]));
	CHECK_INT(TG_END_PREFIX_CONNECTIONS,
		  limits_admit(table, LIMITS_PROCESS, 0, &l, &c, 0, &h[2]));
	CHECK_INT(0, h[2].n); /* its source was not counted either */
	CHECK_INT(0, limits_admit(table, LIMITS_PROCESS, 0, &l, &d, 0, &h[3]));
	CHECK_INT(0, limits_admit(table, LIMITS_PROCESS, 0, &l, &e, 0, &h[4]));
	/* an IPv6 network of 64 bits is one source */
	CHECK_INT(TG_END_SOURCE_CONNECTIONS,
		  limits_admit(table, LIMITS_PROCESS, 0, &l, &f, 0, &h[5]));
	CHECK_INT(0, limits_admit(table, LIMITS_PROCESS, 0, &l, &g, 0, &h[6]));
	limits_release(table, &h[0]);
	CHECK_INT(0, limits_admit(table, LIMITS_PROCESS, 0, &l, &c, 0, &h[2]));
	for (int i = 0; i < 7; i++)
		limits_release(table, &h[i]);
	limits_free(table);
}

static void a_table_that_is_full_says_so_and_forgets_who_is_gone(void)
{
	const struct limits l = { .source_rate = { .n = 1, .ms = 1000 } };
	struct addr a = client("10.0.0.0:1");
	struct limits_holds h = { 0 };
	uint32_t admitted = 0;

	full = 0;
	table = limits_new(&full);
	for (uint32_t i = 0; i < LIMITS_ENTRIES_MAX + 1000; i++) {
		a.ip[13] = (uint8_t)(i >> 16);
		a.ip[14] = (uint8_t)(i >> 8);
		a.ip[15] = (uint8_t)i;
		admitted += limits_admit(table, LIMITS_PROCESS, 0, &l, &a, 1000, &h) ==
			    TG_END_DONE;
		limits_release(table, &h);
	}
	CHECK_INT(1000, full);
	CHECK_INT(LIMITS_ENTRIES_MAX + 1, admitted); /* those without one are one */
	/* when their rates have forgotten them there is room again */
	full = admitted = 0;
	for (uint32_t i = 0; i < LIMITS_ENTRIES_MAX; i++) {
		a.ip[12] = 11;
		a.ip[13] = (uint8_t)(i >> 16);
		a.ip[14] = (uint8_t)(i >> 8);
		a.ip[15] = (uint8_t)i;
		admitted += limits_admit(table, LIMITS_PROCESS, 0, &l, &a, 4000, &h) ==
			    TG_END_DONE;
		limits_release(table, &h);
	}
	CHECK(full < 100); /* the last ones find it too seldom to look everywhere */
	CHECK(admitted > LIMITS_ENTRIES_MAX - 100);
	limits_free(table);
}

int main(void)
{
	RUN(as_many_as_there_may_be_and_no_more);
	RUN(new_ones_are_limited_by_a_bucket);
	RUN(sources_and_prefixes_are_told_apart);
	RUN(a_table_that_is_full_says_so_and_forgets_who_is_gone);
	DONE();
}
