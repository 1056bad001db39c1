/* SPDX-License-Identifier: Apache-2.0 */
/* The event loop.  One epoll_wait a turn, then events, due timers, tasks, the dead. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/ev.h"
#include "base/util.h"

#define BATCH 256

struct ev_loop {
	int epfd;
	bool stop;
	int64_t now_ms;
	struct ev_timer **heap;
	size_t heap_n, heap_cap;
	struct ev_task *tasks, **tasks_tail;
	struct ev_dead *dead;
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
	loop->now_ms = now_ms();
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
	free(loop->heap);
	free(loop);
}

void ev_loop_stop(struct ev_loop *loop)
{
	loop->stop = true;
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
	io->fd = -1;
	for (int i = 0; i < loop->batch_n; i++) {
		if (loop->batch[i].data.ptr == io)
			loop->batch[i].data.ptr = NULL;
	}
}

/* --- timers: a binary heap, earliest first --- */

static void heap_put(struct ev_loop *loop, size_t i, struct ev_timer *t)
{
	loop->heap[i] = t;
	t->slot = i + 1;
}

static void heap_up(struct ev_loop *loop, size_t i)
{
	struct ev_timer *t = loop->heap[i];

	while (i > 0 && loop->heap[(i - 1) / 2]->due_ms > t->due_ms) {
		heap_put(loop, i, loop->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	heap_put(loop, i, t);
}

static void heap_down(struct ev_loop *loop, size_t i)
{
	struct ev_timer *t = loop->heap[i];

	for (;;) {
		size_t k = 2 * i + 1;

		if (k >= loop->heap_n)
			break;
		if (k + 1 < loop->heap_n &&
		    loop->heap[k + 1]->due_ms < loop->heap[k]->due_ms)
			k++;
		if (loop->heap[k]->due_ms >= t->due_ms)
			break;
		heap_put(loop, i, loop->heap[k]);
		i = k;
	}
	heap_put(loop, i, t);
}

void ev_timer_del(struct ev_loop *loop, struct ev_timer *t)
{
	size_t i = t->slot;
	struct ev_timer *last;

	if (i == 0)
		return;
	t->slot = 0;
	last = loop->heap[--loop->heap_n];
	if (last == t)
		return;
	heap_put(loop, i - 1, last);
	heap_up(loop, i - 1);
	heap_down(loop, last->slot - 1);
}

int ev_timer_set(struct ev_loop *loop, struct ev_timer *t, int64_t delay_ms)
{
	ev_timer_del(loop, t);
	if (loop->heap_n == loop->heap_cap) {
		size_t cap = loop->heap_cap ? loop->heap_cap * 2 : 64;
		struct ev_timer **heap = reallocarray(loop->heap, cap, sizeof(*heap));

		if (!heap)
			return -ENOMEM;
		loop->heap = heap;
		loop->heap_cap = cap;
	}
	t->due_ms = loop->now_ms + delay_ms;
	loop->heap[loop->heap_n++] = t;
	heap_up(loop, loop->heap_n - 1);
	return 0;
}

static void run_timers(struct ev_loop *loop)
{
	while (loop->heap_n > 0 && loop->heap[0]->due_ms <= loop->now_ms) {
		struct ev_timer *t = loop->heap[0];

		ev_timer_del(loop, t);
		t->fn(t);
	}
}

/* --- tasks --- */

void ev_task_add(struct ev_loop *loop, struct ev_task *task)
{
	if (task->queued)
		return;
	task->queued = true;
	task->next = NULL;
	*loop->tasks_tail = task;
	loop->tasks_tail = &task->next;
}

void ev_task_del(struct ev_loop *loop, struct ev_task *task)
{
	if (!task->queued)
		return;
	for (struct ev_task **p = &loop->tasks; *p; p = &(*p)->next) {
		if (*p != task)
			continue;
		*p = task->next;
		if (loop->tasks_tail == &task->next)
			loop->tasks_tail = p;
		break;
	}
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
	int64_t delay;

	if (loop->tasks)
		return 0;
	if (loop->heap_n == 0)
		return -1;
	delay = loop->heap[0]->due_ms - now_ms();
	if (delay < 0)
		return 0;
	return delay > 3600000 ? 3600000 : (int)delay;
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
		run_timers(loop);
		run_tasks(loop);
		reap(loop);
	}
	return 0;
}
