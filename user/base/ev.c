/* SPDX-License-Identifier: Apache-2.0 */
/* The event loop.  One epoll_wait a turn, then events, due timers, tasks, the dead. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/ev.h"
#include "base/util.h"

#define BATCH	     256
#define WHEEL_BITS   6
#define WHEEL_SLOTS  (1u << WHEEL_BITS)
#define WHEEL_LEVELS 6 /* 64^6 ms are two years */
#define DELAY_MAX_MS (1ll << 35)

struct ev_loop {
	int epfd;
	bool stop;
	int64_t now_ms;
	int64_t wheel_ms; /* how far the wheel has turned */
	struct ev_timer *wheel[WHEEL_LEVELS][WHEEL_SLOTS];
	uint64_t pending[WHEEL_LEVELS]; /* slots that may hold timers */
	struct ev_task *tasks, **tasks_tail;
	struct ev_dead *dead;
	void (*settle)(void *arg);
	void *settle_arg;
	/* the batch under way, so that ev_io_del() can take events out of it */
	struct epoll_event batch[BATCH];
	int batch_n;
};

static int64_t now_ms(void)
{
	return (int64_t)(util_now_ns() / 1000000);
}

int ev_loop_open(struct ev_loop **ret)
{
	struct ev_loop *loop = calloc(1, sizeof(*loop));

	if (!loop)
		return -ENOMEM;
	loop->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epfd < 0) {
		int err = -errno;

		free(loop);
		return err;
	}
	loop->tasks_tail = &loop->tasks;
	loop->now_ms = loop->wheel_ms = now_ms();
	*ret = loop;
	return 0;
}

static void reap(struct ev_loop *loop)
{
	while (loop->dead) {
		struct ev_dead *d = loop->dead;

		loop->dead = d->next;
		d->free(d);
	}
}

void ev_loop_close(struct ev_loop *loop)
{
	if (!loop)
		return;
	reap(loop);
	close(loop->epfd);
	free(loop);
}

void ev_loop_stop(struct ev_loop *loop)
{
	loop->stop = true;
}

void ev_loop_settle(struct ev_loop *loop, void (*fn)(void *arg), void *arg)
{
	loop->settle = fn;
	loop->settle_arg = arg;
}

int64_t ev_now_ms(const struct ev_loop *loop)
{
	return loop->now_ms;
}

/* --- descriptors --- */

int ev_io_add(struct ev_loop *loop, struct ev_io *io, int fd, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.ptr = io };

	if (epoll_ctl(loop->epfd, EPOLL_CTL_ADD, fd, &e) < 0)
		return -errno;
	io->fd = fd;
	return 0;
}

int ev_io_mod(struct ev_loop *loop, struct ev_io *io, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.ptr = io };

	return epoll_ctl(loop->epfd, EPOLL_CTL_MOD, io->fd, &e) < 0 ? -errno : 0;
}

void ev_io_del(struct ev_loop *loop, struct ev_io *io)
{
	if (io->fd < 0)
		return;
	(void)epoll_ctl(loop->epfd, EPOLL_CTL_DEL, io->fd, NULL);
	ev_io_forget(loop, io);
}

void ev_io_forget(struct ev_loop *loop, struct ev_io *io)
{
	io->fd = -1;
	for (int i = 0; i < loop->batch_n; i++) {
		if (loop->batch[i].data.ptr == io)
			loop->batch[i].data.ptr = NULL;
	}
}

/* --- timers: a wheel --- */

/*
 * Level l has a slot for each value of the l-th digit (base 64) of a due time in which
 * it differs from now; no slot holds two rounds.  When time reaches a slot of a higher
 * level its timers move down, so a timer moves at most once a level.
 */
static void wheel_insert(struct ev_loop *loop, struct ev_timer *t)
{
	uint64_t differ = (uint64_t)(t->due_ms ^ loop->wheel_ms);
	unsigned level =
		differ ? (63 - (unsigned)__builtin_clzll(differ)) / WHEEL_BITS : 0;
	unsigned slot;
	struct ev_timer **head;

	if (level >= WHEEL_LEVELS) /* years away: it will be looked at again */
		level = WHEEL_LEVELS - 1;
	slot = (unsigned)(t->due_ms >> (level * WHEEL_BITS)) & (WHEEL_SLOTS - 1);
	head = &loop->wheel[level][slot];
	t->next = *head;
	t->prev = head;
	if (t->next)
		t->next->prev = &t->next;
	*head = t;
	loop->pending[level] |= 1ull << slot;
}

void ev_timer_del(struct ev_loop *loop, struct ev_timer *t)
{
	(void)loop; /* its slot's bit may stay: the slot is then found empty */
	if (!t->prev)
		return;
	*t->prev = t->next;
	if (t->next)
		t->next->prev = t->prev;
	t->prev = NULL;
}

void ev_timer_set(struct ev_loop *loop, struct ev_timer *t, int64_t delay_ms)
{
	ev_timer_del(loop, t);
	if (delay_ms > DELAY_MAX_MS)
		delay_ms = DELAY_MAX_MS;
	t->due_ms = loop->now_ms + delay_ms;
	if (t->due_ms <= loop->wheel_ms) /* never in the turn of timers that sets it */
		t->due_ms = loop->wheel_ms + 1;
	wheel_insert(loop, t);
}

/* The next slot that time reaches, and when; -1 if there is none. */
static int64_t wheel_next(const struct ev_loop *loop, unsigned *level, unsigned *slot)
{
	for (unsigned l = 0; l < WHEEL_LEVELS; l++) {
		unsigned shift = l * WHEEL_BITS;
		unsigned now = (unsigned)(loop->wheel_ms >> shift) & (WHEEL_SLOTS - 1);
		uint64_t ahead = loop->pending[l] >> now << now;
		int64_t round = loop->wheel_ms >> shift >> WHEEL_BITS << WHEEL_BITS;

		if (!ahead)
			continue;
		*level = l;
		*slot = (unsigned)__builtin_ctzll(ahead);
		return (round | (int64_t)*slot) << shift;
	}
	return -1;
}

/* What is due at this step of the wheel, or moves down. */
static void wheel_turn(struct ev_loop *loop, unsigned level, unsigned slot)
{
	struct ev_timer *list = loop->wheel[level][slot], *t;

	loop->wheel[level][slot] = NULL;
	loop->pending[level] &= ~(1ull << slot);
	if (list)
		list->prev = &list;
	while ((t = list)) { /* a callback may delete others of the list */
		ev_timer_del(loop, t);
		if (t->due_ms > loop->wheel_ms)
			wheel_insert(loop, t);
		else
			t->fn(t);
	}
}

static void run_timers(struct ev_loop *loop)
{
	unsigned level, slot;
	int64_t at;

	while ((at = wheel_next(loop, &level, &slot)) >= 0 && at <= loop->now_ms) {
		if (at > loop->wheel_ms)
			loop->wheel_ms = at;
		wheel_turn(loop, level, slot);
	}
	loop->wheel_ms = loop->now_ms;
}

/* --- tasks --- */

void ev_task_add(struct ev_loop *loop, struct ev_task *task)
{
	if (task->queued)
		return;
	task->queued = true;
	task->next = NULL;
	task->link = loop->tasks_tail;
	*loop->tasks_tail = task;
	loop->tasks_tail = &task->next;
}

void ev_task_del(struct ev_loop *loop, struct ev_task *task)
{
	if (!task->queued)
		return;
	*task->link = task->next;
	if (task->next)
		task->next->link = task->link;
	else
		loop->tasks_tail = task->link;
	task->queued = false;
}

/* Tasks queued meanwhile wait for the next turn. */
static void run_tasks(struct ev_loop *loop)
{
	struct ev_task *last = NULL;

	if (!loop->tasks)
		return;
	last = container_of(loop->tasks_tail, struct ev_task, next);
	for (bool more = true; more && loop->tasks;) {
		struct ev_task *t = loop->tasks;

		more = t != last;
		ev_task_del(loop, t);
		t->fn(t);
	}
}

void ev_defer_free(struct ev_loop *loop, struct ev_dead *dead)
{
	dead->next = loop->dead;
	loop->dead = dead;
}

static int wait_ms(const struct ev_loop *loop)
{
	unsigned level, slot;
	int64_t delay;

	if (loop->tasks)
		return 0;
	delay = wheel_next(loop, &level, &slot);
	if (delay < 0)
		return -1;
	delay -= now_ms();
	if (delay < 0)
		return 0;
	return delay > 3600000 ? 3600000 : (int)delay;
}

static void settle(struct ev_loop *loop)
{
	if (loop->settle)
		loop->settle(loop->settle_arg);
}

int ev_loop_run(struct ev_loop *loop)
{
	while (!loop->stop) {
		int n = epoll_wait(loop->epfd, loop->batch, BATCH, wait_ms(loop));

		if (n < 0 && errno != EINTR)
			return -errno;
		loop->now_ms = now_ms();
		loop->batch_n = n < 0 ? 0 : n;
		for (int i = 0; i < loop->batch_n; i++) {
			struct ev_io *io = loop->batch[i].data.ptr;

			if (io) /* not deleted earlier in this turn */
				io->fn(io, loop->batch[i].events);
		}
		loop->batch_n = 0;
		settle(loop);
		run_timers(loop);
		run_tasks(loop);
		settle(loop);
		reap(loop);
	}
	loop->stop = false;
	return 0;
}
