/* SPDX-License-Identifier: Apache-2.0 */
/* A worker that hangs has no pulse, and has one again. */
#include <semaphore.h>

#include "process/pulse.h"
#include "tests/unit/net/stage.h"

#define MS 1000000ull

static sem_t hangs, goes_on;

static void hang(struct worker *w, struct worker_post *post)
{
	(void)w;
	(void)post;
	sem_post(&hangs);
	while (sem_wait(&goes_on) < 0)
		;
}

static void never(struct worker_post *post)
{
	(void)post;
	CHECK(false);
}

static void stop(struct worker *w, struct worker_post *post)
{
	(void)post;
	ev_loop_stop(w->loop);
}

static void a_worker_that_hangs_is_told_and_so_is_one_that_goes_on(void)
{
	struct worker_post block = { .run = hang, .drop = never };
	struct worker_post end = { .run = stop, .drop = never };
	uint64_t now = 1000 * MS;
	struct pulse *pulse;

	sem_init(&hangs, 0, 0);
	sem_init(&goes_on, 0, 0);
	net_up(1, 1);
	outbox_free(net_worker.pool.outbox); /* a thread makes its own */
	net_worker.pool.outbox = NULL;
	pulse = pulse_new(&net_proxy);
	CHECK_INT(0, worker_start(&net_worker, -1));
	CHECK(pulse_take(pulse, now));
	workers_settle(&net_proxy);
	now += 60000 * MS;
	CHECK(pulse_take(pulse, now)); /* answered, and asked again */
	workers_settle(&net_proxy);
	CHECK(worker_post(&net_worker, &block));
	sem_wait(&hangs);
	CHECK(pulse_take(pulse, now)); /* asked just now */
	now += PULSE_STUCK_MS * MS;
	CHECK(pulse_take(pulse, now));
	CHECK(!pulse_take(pulse, now + 1));
	CHECK(!pulse_take(pulse, now + 2));
	sem_post(&goes_on);
	workers_settle(&net_proxy);
	CHECK(pulse_take(pulse, now + 3));
	CHECK(worker_post(&net_worker, &end));
	worker_join(&net_worker);
	CHECK(pulse_take(pulse, now + 60000 * MS)); /* it has stopped: it is not asked */
	net_down();
	pulse_free(pulse);
	sem_destroy(&hangs);
	sem_destroy(&goes_on);
}

int main(void)
{
	RUN(a_worker_that_hangs_is_told_and_so_is_one_that_goes_on);
	DONE();
}
