/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits as the configuration says them, against those who want to get round them.  Clock
 * and sources are ours; what is asked is how many got through.
 */
#include <stdlib.h>

#include "base/util.h"
#include "config/config.h"
#include "decide/limits.h"
#include "tests/unit/t.h"

static __u64 full;
static struct config *config;

/* The limits of the process, as a line of the configuration; NULL if it is refused. */
static const struct limits *limits_of(const char *line)
{
	char text[512], why[CONFIG_ERROR_MAX] = "";
	int n = snprintf(text, sizeof(text),
			 "limits: { %s }\n"
			 "listeners:\n"
			 "  - name: plain\n"
			 "    address: \"0.0.0.0:8080\"\n"
			 "    routes:\n"
			 "      - { name: app, backends: [\"127.0.0.1:3000\"] }\n",
			 line);

	config = NULL;
	CHECK_INT(0, config_parse("x.yaml", text, (size_t)n, &config, why));
	if (!config)
		printf("# limits: { %s }: %s\n", line, why);
	return config ? &config->limits : NULL;
}

static void done(struct limits_table *t)
{
	limits_free(t);
	config_put(config);
	config = NULL;
}

static struct addr client(const char *text)
{
	struct addr a = { 0 };

	CHECK_INT(0, addr_parse(text, &a));
	return a;
}

/* How many of `n` that come at once and go at once get through. */
static unsigned try(struct limits_table *t, const struct limits *l, const struct addr *a,
		    unsigned n, int64_t now_ms)
{
	unsigned admitted = 0;

	for (unsigned i = 0; i < n; i++) {
		struct limits_holds h = { 0 };

		admitted += limits_admit(t, LIMITS_PROCESS, 0, l, a, now_ms, &h) ==
			    TG_END_DONE;
		limits_release(t, &h);
	}
	return admitted;
}

/* The number in the last bytes of an address. */
static struct addr nth(struct addr a, uint32_t i)
{
	a.ip[12] = (uint8_t)(i >> 24);
	a.ip[13] = (uint8_t)(i >> 16);
	a.ip[14] = (uint8_t)(i >> 8);
	a.ip[15] = (uint8_t)i;
	return a;
}

/* --- R4: failing closed --- */

static void one_prefix_cannot_use_up_the_places_of_others(void)
{
	const struct limits *l = limits_of("source_rate: 300/1m, prefix_rate: 1000/1m");
	struct addr six = client("[2001:db8::]:1"), four = client("203.0.113.9:1");
	struct limits_table *t = limits_new(&full);
	unsigned admitted = 0;

	full = 0;
	for (uint32_t i = 0; l && i < 140000; i++) {
		struct addr a = nth(six, i);

		admitted += try(t, l, &a, 1, 1000);
	}
	CHECK(admitted > 0 && admitted <= 1000);
	CHECK_INT(0, full);
	if (l)
		CHECK_INT(300, try(t, l, &four, 5000, 1001));
	done(t);
}

static void addresses_of_one_ipv6_network_are_one_source(void)
{
	const struct limits *l = limits_of("per_source: 2, source_rate: 10/1m");
	struct addr six = client("[2001:db8::]:1"), other = client("[2001:db8:0:1::1]:1");
	struct limits_table *t = limits_new(&full);
	struct limits_holds h[3] = { 0 };

	for (uint32_t i = 0; l && i < 3; i++) {
		struct addr a = nth(six, i);

		CHECK_INT(i < 2 ? TG_END_DONE : TG_END_SOURCE_CONNECTIONS,
			  limits_admit(t, LIMITS_PROCESS, 0, l, &a, 0, &h[i]));
	}
	if (l)
		CHECK_INT(10, try(t, l, &other, 20, 0));
	for (int i = 0; i < 3; i++)
		limits_release(t, &h[i]);
	done(t);
}

static void who_is_refused_by_one_limit_is_new_to_no_other(void)
{
	struct limits process = { .rate = { .n = 5, .ms = 60000, .burst = 5 } };
	struct limits listener = { .connections = 1 };
	struct limits_table *t = limits_new(&full);
	struct limits_holds first = { 0 }, h = { 0 };

	CHECK_INT(TG_END_DONE,
		  limits_admit(t, LIMITS_LISTENER, 1, &listener, NULL, 0, &first));
	for (int i = 0; i < 100; i++) { /* more than the rate of the process has */
		CHECK_INT(TG_END_DONE,
			  limits_admit(t, LIMITS_PROCESS, 0, &process, NULL, 0, &h));
		CHECK_INT(TG_END_LISTENER_CONNECTIONS,
			  limits_admit(t, LIMITS_LISTENER, 1, &listener, NULL, 0, &h));
		limits_refused(t, &h);
		limits_refused(t, &h); /* once */
		limits_release(t, &h);
	}
	for (int i = 0; i < 6; i++) {
		CHECK_INT(i < 5 ? TG_END_DONE : TG_END_PROCESS_RATE,
			  limits_admit(t, LIMITS_PROCESS, 0, &process, NULL, 0, &h));
		limits_release(t, &h);
	}
	limits_release(t, &first);
	done(t);
}

/* As many sources, each of which is counted and goes on to be. */
static struct limits_holds *fill(struct limits_table *t, const struct limits *l,
				 int64_t now_ms)
{
	struct limits_holds *h = calloc(LIMITS_ENTRIES_MAX, sizeof(*h));
	struct addr ten = client("10.0.0.0:1");

	for (uint32_t i = 0; h && l && i < LIMITS_ENTRIES_MAX; i++) {
		struct addr a = nth(ten, 0x0a000000u + i);

		(void)limits_admit(t, LIMITS_PROCESS, 0, l, &a, now_ms, &h[i]);
	}
	return h;
}

static void empty(struct limits_table *t, struct limits_holds *h)
{
	for (uint32_t i = 0; h && i < LIMITS_ENTRIES_MAX; i++)
		limits_release(t, &h[i]);
	free(h);
}

static void a_full_table_limits_new_sources_and_lets_none_pass_freely(void)
{
	const struct limits *l = limits_of("source_rate: 300/1m");
	struct addr late = client("203.0.113.9:1");
	struct limits_table *t = limits_new(&full);
	struct limits_holds *h = fill(t, l, 1000);

	full = 0;
	if (l)
		CHECK(try(t, l, &late, 5000, 1001) <= 300);
	CHECK(full > 0); /* or it was not */
	empty(t, h);
	done(t);
}

static void a_full_table_still_counts_connections_at_once(void)
{
	const struct limits *l = limits_of("per_source: 5");
	struct addr late = client("203.0.113.9:1");
	struct limits_table *t = limits_new(&full);
	struct limits_holds *h = fill(t, l, 1000), more[100] = { 0 };
	unsigned admitted = 0;

	full = 0;
	for (int i = 0; l && i < 100; i++)
		admitted += limits_admit(t, LIMITS_PROCESS, 0, l, &late, 1001,
					 &more[i]) == TG_END_DONE;
	CHECK(admitted <= 5);
	CHECK(full > 0);
	for (int i = 0; i < 100; i++)
		limits_release(t, &more[i]);
	empty(t, h);
	/* those who have gone leave room */
	if (l)
		CHECK_INT(5, try(t, l, &late, 5, 10000000));
	done(t);
}

static void who_is_refused_leaves_no_entry(void)
{
	const struct limits *l =
		limits_of("source_rate: 5/1m, per_prefix: 1, prefix_v4: 8");
	struct addr ten = client("10.0.0.0:1"), first = client("10.255.0.1:1");
	struct limits_table *t = limits_new(&full);
	struct limits_holds h = { 0 };

	full = 0;
	if (l)
		CHECK_INT(TG_END_DONE,
			  limits_admit(t, LIMITS_PROCESS, 0, l, &first, 1000, &h));
	for (uint32_t i = 0; l && i < LIMITS_ENTRIES_MAX + 1000; i++) {
		struct addr a = nth(ten, 0x0a000000u + i);

		if (try(t, l, &a, 1, 1000) != 0) {
			CHECK(!"admitted over its prefix");
			break;
		}
	}
	CHECK_INT(0, full);
	limits_release(t, &h);
	done(t);
}

/* --- rates --- */

/*
 * What is offered all the time, of a clock in steps of 10 ms: never more than the burst
 * and what the time has given back, and never less (but for the last one).
 */
static void check_gcra(const char *line, unsigned burst, unsigned n, int64_t span_ms)
{
	const struct limits *l = limits_of(line);
	struct limits_table *t = limits_new(&full);
	const int64_t began = 123456789;
	uint64_t admitted = 0;

	for (int64_t at = 0; l && at <= 3 * span_ms; at += 10) {
		uint64_t most = burst + (uint64_t)(n * at / span_ms);

		admitted += try(t, l, NULL, at == 0 ? 2 * burst : 3, began + at);
		if (admitted > most || admitted + 1 < most) {
			printf("# %s: %llu admitted in %lld ms, not %llu\n", line,
			       (unsigned long long)admitted, (long long)at,
			       (unsigned long long)most);
			t_failed = 1;
			break;
		}
	}
	done(t);
}

static void a_rate_admits_its_burst_and_what_the_time_gives_back(void)
{
	check_gcra("rate: 300/1m", 300, 300, 60000);
	check_gcra("rate: 10/1s", 10, 10, 1000);
	check_gcra("rate: 1/5s", 1, 1, 5000);
}

static void a_rate_may_say_another_burst(void)
{
	check_gcra("rate: 300/1m burst 50", 50, 300, 60000);
	check_gcra("rate: 300/1m burst 1", 1, 300, 60000);
}

static void a_source_that_was_silent_has_its_burst_again_and_no_more(void)
{
	const struct limits *l = limits_of("source_rate: 300/1m burst 50");
	struct addr a = client("203.0.113.9:1");
	struct limits_table *t = limits_new(&full);

	if (l) {
		CHECK_INT(50, try(t, l, &a, 1000, 1000));
		CHECK_INT(0, try(t, l, &a, 1000, 1100));
		CHECK_INT(1, try(t, l, &a, 1000, 1200));
		CHECK_INT(50, try(t, l, &a, 1000, 10000000));
	}
	done(t);
}

static void who_is_refused_does_not_pay(void)
{
	const struct limits *l = limits_of("rate: 10/1s");
	struct limits_table *t = limits_new(&full);
	unsigned admitted = 0;

	if (l) {
		CHECK_INT(10, try(t, l, NULL, 10000, 5000));
		for (int64_t at = 5001; at <= 6000; at++)
			admitted += try(t, l, NULL, 100, at);
		CHECK_INT(10, admitted);
	}
	done(t);
}

/*
 * A strict rate against clients who know its clock: bursts at every distance from one
 * another, and no span, wherever it begins, has more than n.
 */
static void check_strict(const char *line, unsigned n, int64_t span_ms, int64_t step_ms)
{
	static int64_t at[200000]; /* of those admitted */
	const struct limits *l = limits_of(line);
	struct limits_table *t = limits_new(&full);
	size_t admitted = 0, most = 0;

	for (int64_t now = 1000000; l && now < 1000000 + 5 * span_ms; now += step_ms) {
		unsigned k = try(t, l, NULL, 2 * n, now);

		while (k-- && admitted < ARRAY_SIZE(at))
			at[admitted++] = now;
	}
	for (size_t i = 0, first = 0; i < admitted; i++) {
		while (at[i] - at[first] >= span_ms)
			first++;
		most = i - first + 1 > most ? i - first + 1 : most;
	}
	if (l && (most > n || admitted < 2 * n)) {
		printf("# %s, tried each %lld ms: %zu in one span, %zu in all\n", line,
		       (long long)step_ms, most, admitted);
		t_failed = 1;
	}
	done(t);
}

static void a_strict_rate_has_no_span_with_more_than_it_says(void)
{
	static const int64_t steps[] = { 1,   7,   99,	 101,  333, 499,
					 501, 999, 1000, 1001, 1499 };

	for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
		check_strict("rate: 20/1s, strict: true", 20, 1000, steps[i]);
	check_strict("rate: 300/1m, strict: true", 300, 60000, 29999);
	check_strict("rate: 300/1m, strict: true", 300, 60000, 250);
}

/* --- R11: no key, no defence --- */

/* FNV-1a as it was, of the key as it was: what an attacker could compute for himself. */
static uint32_t known_bucket(const struct addr *a)
{
	struct {
		uint8_t ip[16];
		uint32_t id;
		uint8_t scope, bits, pad[2];
	} key = { .scope = LIMITS_PROCESS, .bits = 128 };

	memcpy(key.ip, a->ip, sizeof(key.ip));
	return (uint32_t)util_hash(&key, sizeof(key)) % 16384;
}

static uint64_t time_of(struct limits_table *t, const struct limits *l,
			const struct addr *all, size_t n)
{
	uint64_t began = util_now_ns();

	for (int round = 0; round < 4; round++) {
		for (size_t i = 0; i < n; i++)
			(void)try(t, l, &all[i], 1, 1000);
	}
	return util_now_ns() - began;
}

static void sources_that_were_chosen_for_one_bucket_cost_no_more_than_others(void)
{
	static struct addr chosen[2000], others[2000];
	const struct limits *l = limits_of("source_rate: 1000/1h");
	struct limits_table *t[2] = { limits_new(&full), limits_new(&full) };
	struct addr four = client("10.0.0.0:1");
	uint64_t bad, good;
	size_t n = 0;

	for (uint32_t i = 0; n < ARRAY_SIZE(chosen); i++) {
		struct addr a = nth(four, i);

		if (known_bucket(&a) == 0)
			chosen[n++] = a;
	}
	for (uint32_t i = 0; i < ARRAY_SIZE(others); i++)
		others[i] = nth(four, i * 2654435761u);
	if (l) {
		(void)time_of(t[0], l, others, 100); /* warm */
		good = time_of(t[0], l, others, ARRAY_SIZE(others));
		bad = time_of(t[1], l, chosen, n);
		if (bad > 8 * good) {
			printf("# %llu ns an admit, of other sources %llu\n",
			       (unsigned long long)(bad / n / 4),
			       (unsigned long long)(good / n / 4));
			t_failed = 1;
		}
	}
	limits_free(t[1]);
	done(t[0]);
}

static void requests_that_are_alike(void)
{
	const struct rate r = { .n = 4, .ms = 1000, .burst = 2 };
	const struct rate strict = { .n = 2, .ms = 700, .burst = 2, .strict = true };
	struct limits_table *table = limits_new(&full);

	/* one each 250 ms, two at once */
	CHECK_INT(0, limits_request(table, 1, "a", 1, &r, 10000));
	CHECK_INT(0, limits_request(table, 1, "a", 1, &r, 10000));
	CHECK_INT(250, limits_request(table, 1, "a", 1, &r, 10000));
	CHECK_INT(150, limits_request(table, 1, "a", 1, &r, 10100)); /* was not counted */
	CHECK_INT(1, limits_request(table, 1, "a", 1, &r, 10249));
	CHECK_INT(0, limits_request(table, 1, "a", 1, &r, 10250));
	CHECK_INT(250, limits_request(table, 1, "a", 1, &r, 10250));
	/* another text, another route, and none at all */
	CHECK_INT(0, limits_request(table, 1, "b", 1, &r, 10250));
	CHECK_INT(0, limits_request(table, 2, "a", 1, &r, 10250));
	CHECK_INT(0, limits_request(table, 1, "", 0, &r, 10250));
	CHECK_INT(0, limits_request(table, 1, "", 0, &r, 10250));
	CHECK(limits_request(table, 1, "", 0, &r, 10250) > 0);
	CHECK_INT(0, limits_request(table, 3, "a", 1, &strict, 10000));
	CHECK_INT(0, limits_request(table, 3, "a", 1, &strict, 10000));
	CHECK(limits_request(table, 3, "a", 1, &strict, 10000) > 0);
	CHECK_INT(0, limits_request(table, 3, "a", 1, &strict, 11000));
	limits_free(table);
}

int main(void)
{
	RUN(requests_that_are_alike);
	RUN(who_is_refused_by_one_limit_is_new_to_no_other);
	RUN(one_prefix_cannot_use_up_the_places_of_others);
	RUN(addresses_of_one_ipv6_network_are_one_source);
	RUN(a_full_table_limits_new_sources_and_lets_none_pass_freely);
	RUN(a_full_table_still_counts_connections_at_once);
	RUN(who_is_refused_leaves_no_entry);
	RUN(a_rate_admits_its_burst_and_what_the_time_gives_back);
	RUN(a_rate_may_say_another_burst);
	RUN(a_source_that_was_silent_has_its_burst_again_and_no_more);
	RUN(who_is_refused_does_not_pay);
	RUN(a_strict_rate_has_no_span_with_more_than_it_says);
	RUN(sources_that_were_chosen_for_one_bucket_cost_no_more_than_others);
	DONE();
}
