/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdlib.h>

#include "book/proxy_ring.h"
#include "tests/unit/t.h"

#define SECOND 1000000000ull

static struct proxy_ring_state state;
static struct proxy_event places[8];

static struct proxy_ring fresh(void)
{
	memset(&state, 0, sizeof(state));
	memset(places, 0, sizeof(places));
	return (struct proxy_ring){ .state = &state, .events = places, .size = 8 };
}

static void put(struct proxy_ring *r, unsigned reason)
{
	struct proxy_event e = { .opened_ns = reason, .reason = (uint8_t)reason };

	proxy_ring_put(r, &e);
}

static void events_come_in_order_around_the_end(void)
{
	struct proxy_ring r = fresh();
	struct proxy_event e;

	for (unsigned i = 0; i < 100; i++) {
		put(&r, 2 * i);
		put(&r, 2 * i + 1);
		for (unsigned k = 2 * i; k < 2 * i + 2; k++) {
			CHECK(proxy_ring_take(&r, 0, &e));
			CHECK_INT(k + 1, e.number);
			CHECK_INT(k, e.opened_ns);
		}
		CHECK(!proxy_ring_take(&r, 0, &e));
	}
	CHECK_INT(0, state.lost);
}

static void refusals_leave_room_for_the_others(void)
{
	struct proxy_ring r = fresh();
	struct proxy_event e;

	for (unsigned i = 0; i < 100; i++)
		put(&r, TG_END_LISTENER_RATE);
	CHECK_INT(6, state.written); /* of 8 */
	CHECK_INT(94, state.refusals_lost);
	put(&r, TG_END_DONE);
	put(&r, TG_END_DONE);
	put(&r, TG_END_DONE);
	CHECK_INT(8, state.written);
	CHECK_INT(95, state.lost);
	CHECK_INT(94, state.refusals_lost);
	/* as soon as one is read there is room for an end, but not for a refusal */
	CHECK(proxy_ring_take(&r, 0, &e));
	put(&r, TG_END_NO_ROUTE);
	CHECK_INT(95, state.refusals_lost);
	put(&r, TG_END_DONE);
	CHECK_INT(9, state.written);
}

static void what_finds_no_place_is_counted(void)
{
	struct proxy_ring r = fresh();
	struct proxy_event e;

	for (unsigned i = 0; i < 11; i++)
		put(&r, i);
	CHECK_INT(3, state.lost);
	CHECK_INT(8, state.written);
	CHECK(proxy_ring_take(&r, 0, &e));
	CHECK_INT(0, e.reason);
	put(&r, 9);
	put(&r, 10);
	CHECK_INT(4, state.lost);
	for (unsigned want = 1; want < 8; want++) {
		CHECK(proxy_ring_take(&r, 0, &e));
		CHECK_INT(want, e.reason);
	}
	CHECK(proxy_ring_take(&r, 0, &e));
	CHECK_INT(9, e.reason);
	CHECK(!proxy_ring_take(&r, 0, &e));
}

/* A writer was killed after it had taken number 1. */
static void an_event_that_is_never_finished_is_passed_over(void)
{
	struct proxy_ring r = fresh();
	struct proxy_event e;

	state.written = 1;
	put(&r, 7);
	CHECK(!proxy_ring_take(&r, 5 * SECOND, &e));
	CHECK(!proxy_ring_take(&r, 14 * SECOND, &e));
	CHECK_INT(0, state.lost);
	CHECK(!proxy_ring_take(&r, 15 * SECOND, &e));
	CHECK_INT(1, state.lost);
	CHECK(proxy_ring_take(&r, 15 * SECOND, &e));
	CHECK_INT(7, e.reason);
	CHECK_INT(2, e.number);
}

#define WRITERS 4
#define EACH	50000
static struct proxy_ring shared;

static void *writer(void *arg)
{
	struct proxy_event e = { .listener = (uint16_t)(uintptr_t)arg };

	for (unsigned i = 1; i <= EACH; i++) {
		e.opened_ns = e.closed_ns = i;
		proxy_ring_put(&shared, &e);
	}
	return NULL;
}

/* Each is taken once, whole, and in the order of its writer; or it is counted as lost. */
static void writers_do_not_disturb_each_other(void)
{
	uint64_t last[WRITERS] = { 0 }, taken = 0;
	pthread_t threads[WRITERS];
	struct proxy_event e;

	shared = fresh();
	for (uintptr_t i = 0; i < WRITERS; i++)
		CHECK(pthread_create(&threads[i], NULL, writer, (void *)i) == 0);
	while (taken + __atomic_load_n(&state.lost, __ATOMIC_RELAXED) < WRITERS * EACH) {
		if (!proxy_ring_take(&shared, 0, &e))
			continue;
		taken++;
		CHECK(e.listener < WRITERS && e.opened_ns == e.closed_ns);
		CHECK(e.opened_ns > last[e.listener % WRITERS]);
		last[e.listener % WRITERS] = e.opened_ns;
	}
	for (int i = 0; i < WRITERS; i++)
		pthread_join(threads[i], NULL);
	CHECK_INT(taken, state.written);
	CHECK(!proxy_ring_take(&shared, 0, &e));
}

#define ROUNDS 300

static void *writer_of_some(void *arg)
{
	struct proxy_event e = { .listener = (uint16_t)(uintptr_t)arg };

	for (unsigned i = 0; i < 100; i++)
		proxy_ring_put(&shared, &e);
	return NULL;
}

static void nothing_is_lost_while_there_is_room(void)
{
	static struct proxy_event many[512];
	pthread_t threads[WRITERS];
	struct proxy_event e;
	unsigned taken = 0;

	memset(&state, 0, sizeof(state));
	shared = (struct proxy_ring){ .state = &state, .events = many, .size = 512 };
	for (unsigned round = 1; round <= ROUNDS; round++) {
		for (uintptr_t i = 0; i < WRITERS; i++)
			CHECK(pthread_create(&threads[i], NULL, writer_of_some,
					     (void *)i) == 0);
		while (taken < round * WRITERS * 100 && state.lost == 0)
			taken += proxy_ring_take(&shared, 0, &e);
		for (int i = 0; i < WRITERS; i++)
			pthread_join(threads[i], NULL);
	}
	CHECK_INT(0, state.lost);
}

int main(void)
{
	RUN(events_come_in_order_around_the_end);
	RUN(refusals_leave_room_for_the_others);
	RUN(what_finds_no_place_is_counted);
	RUN(an_event_that_is_never_finished_is_passed_over);
	RUN(writers_do_not_disturb_each_other);
	RUN(nothing_is_lost_while_there_is_room);
	DONE();
}
