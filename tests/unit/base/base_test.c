/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/ev.h"
#include "base/util.h"
#include "tests/unit/t.h"

static void addresses_survive_a_round_trip(void)
{
	static const char *const good[] = { "127.0.0.1:80", "[::1]:443", "0.0.0.0:0",
					    "[2001:db8::1]:65535" };

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		char text[ADDR_STR_MAX];
		struct addr a;

		CHECK_INT(0, addr_parse(good[i], &a));
		CHECK_STR(good[i], addr_format(&a, text));
	}
}

static void bad_addresses_are_refused(void)
{
	static const char *const bad[] = {
		"",	     "1.2.3.4",	     "1.2.3.4:", "1.2.3:80",	  "::1:80",
		"[::1]80",   "[1.2.3.4]:80", "host:80",	 "1.2.3.4:65536", "1.2.3.4:-1",
		"1.2.3.4:8x"
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct addr a = { .port = 7 };

		CHECK_INT(-EINVAL, addr_parse(bad[i], &a));
		CHECK_INT(7, a.port);
	}
}

static void prefixes_match_by_bits(void)
{
	static const struct {
		const char *prefix, *address;
		bool has;
	} cases[] = {
		{ "10.0.0.0/8", "10.255.0.1:1", true },
		{ "10.0.0.0/8", "11.0.0.1:1", false },
		{ "0.0.0.0/0", "203.0.113.9:1", true },
		{ "0.0.0.0/0", "[2001:db8::1]:1", false },
		{ "::/0", "203.0.113.9:1", false },
		{ "::/0", "[2001:db8::1]:1", true },
		{ "::/64", "203.0.113.9:1", false },
		{ "192.0.2.128/25", "192.0.2.127:1", false },
		{ "192.0.2.128/25", "192.0.2.129:1", true },
		{ "2001:db8::/33", "[2001:db8:8000::]:1", false },
		{ "192.0.2.1", "192.0.2.1:1", true },
		{ "192.0.2.1", "192.0.2.2:1", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct prefix p;
		struct addr a;

		CHECK_INT(0, prefix_parse(cases[i].prefix, &p));
		CHECK_INT(0, addr_parse(cases[i].address, &a));
		CHECK_INT(cases[i].has, prefix_has(&p, a.ip));
	}
}

static void bad_prefixes_are_refused(void)
{
	static const char *const bad[] = {
		"",	"10.0.0.1/8", "10.0.0.0/33",   "::/129",
		"10/8", "10.0.0.0/",  "2001:db8::1/32"
	};
	struct prefix p;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK_INT(-EINVAL, prefix_parse(bad[i], &p));
}

static void durations_and_numbers_are_strict(void)
{
	uint64_t n = 5;
	int64_t ms = 5;

	CHECK_INT(0, util_parse_duration_ms("500ms", &ms));
	CHECK_INT(500, ms);
	CHECK_INT(0, util_parse_duration_ms("4h", &ms));
	CHECK_INT(4 * 3600000, ms);
	CHECK_INT(-EINVAL, util_parse_duration_ms("5", &ms));
	CHECK_INT(-EINVAL, util_parse_duration_ms("s", &ms));
	CHECK_INT(-EINVAL, util_parse_duration_ms("5 s", &ms));
	CHECK_INT(0, util_parse_u64("18446744073709551615", UINT64_MAX, &n));
	CHECK(n == UINT64_MAX);
	CHECK_INT(-EINVAL, util_parse_u64("18446744073709551616", UINT64_MAX, &n));
	CHECK_INT(-EINVAL, util_parse_u64("+1", 10, &n));
	CHECK_INT(-EINVAL, util_parse_u64("11", 10, &n));
	CHECK_INT(-EINVAL, util_parse_u64("9", 8, &n));
	CHECK_INT(-EINVAL, util_parse_u64("5", 3, &n));
}

static void sizes_have_units_and_bounds(void)
{
	static const char *const bad[] = { "", "K", "1k", "1KB", "-1", "1.5M", "4097M" };
	uint64_t n = 7;

	CHECK_INT(0, util_parse_size("0", 10, &n));
	CHECK_INT(0, (long long)n);
	CHECK_INT(0, util_parse_size("4K", 1 << 20, &n));
	CHECK_INT(4096, (long long)n);
	CHECK_INT(0, util_parse_size("3G", UINT32_MAX, &n));
	CHECK_INT(3221225472, (long long)n);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		n = 7;
		CHECK_INT(-EINVAL, util_parse_size(bad[i], UINT32_MAX, &n));
		CHECK_INT(7, (long long)n);
	}
}

#define TIMERS 500

static struct ev_loop *loop;
static struct timed {
	struct ev_timer timer;
	int fired;
} timed[TIMERS];
static int64_t last_due, last_seen;
static int fired, early, out_of_order;

static void on_timed(struct ev_timer *t)
{
	struct timed *self = container_of(t, struct timed, timer);

	self->fired++;
	early += t->due_ms > ev_now_ms(loop);
	out_of_order += ev_now_ms(loop) == last_seen ? 0 : t->due_ms < last_due;
	last_due = t->due_ms;
	last_seen = ev_now_ms(loop);
	if (++fired == TIMERS / 2)
		ev_loop_stop(loop);
}

/* Far ones are set, moved near and taken away, so that every level is met. */
static void timers_fire_when_due_and_never_when_deleted(void)
{
	CHECK_INT(0, ev_loop_open(&loop));
	for (int i = 0; i < TIMERS; i++) {
		timed[i].timer.fn = on_timed;
		ev_timer_set(loop, &timed[i].timer, 1ll << i % 40);
	}
	for (int i = 0; i < TIMERS; i++) {
		if (i % 2)
			ev_timer_set(loop, &timed[i].timer, (i * 7919) % 300);
		else
			ev_timer_del(loop, &timed[i].timer);
	}
	CHECK_INT(0, ev_loop_run(loop));
	for (int i = 0; i < TIMERS; i++)
		CHECK_INT(i % 2, timed[i].fired);
	CHECK_INT(0, early);
	CHECK_INT(0, out_of_order);
	ev_loop_close(loop);
}

int main(void)
{
	RUN(addresses_survive_a_round_trip);
	RUN(bad_addresses_are_refused);
	RUN(prefixes_match_by_bits);
	RUN(bad_prefixes_are_refused);
	RUN(durations_and_numbers_are_strict);
	RUN(sizes_have_units_and_bounds);
	RUN(timers_fire_when_due_and_never_when_deleted);
	DONE();
}
