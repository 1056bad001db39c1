/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One event loop for one thread: descriptors by epoll, timers in a wheel, tasks for work
 * that was cut short by its budget.  Watchers are embedded in their owner; an owner is
 * never freed inside a callback but handed to ev_defer_free().
 */
#ifndef USER_BASE_EV_H
#define USER_BASE_EV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ev_loop;
struct ev_io;
struct ev_timer;
struct ev_task;

typedef void (*ev_io_fn)(struct ev_io *io, uint32_t events);
typedef void (*ev_timer_fn)(struct ev_timer *timer);
typedef void (*ev_task_fn)(struct ev_task *task);

struct ev_io {
	int fd; /* -1: not watched */
	ev_io_fn fn;
};

struct ev_timer {
	struct ev_timer *next, **prev; /* prev is NULL: not armed */
	int64_t due_ms;
	ev_timer_fn fn;
};

struct ev_task {
	struct ev_task *next;
	struct ev_task **link; /* what points to it */
	bool queued;
	ev_task_fn fn;
};

/* First member of an object that ends by ev_defer_free(). */
struct ev_dead {
	struct ev_dead *next;
	void (*free)(struct ev_dead *dead);
};

int ev_loop_open(struct ev_loop **ret); /* 0 or -errno */
void ev_loop_close(struct ev_loop *loop);

/*
 * Run until ev_loop_stop(), which is then forgotten.  0, or a negative errno if epoll
 * itself fails.
 */
int ev_loop_run(struct ev_loop *loop);
void ev_loop_stop(struct ev_loop *loop);

/*
 * Call fn when the events of a turn are done, and again after its timers and tasks: for
 * what they have left to be done together.
 */
void ev_loop_settle(struct ev_loop *loop, void (*fn)(void *arg), void *arg);

/* Milliseconds of CLOCK_MONOTONIC, read once a turn. */
int64_t ev_now_ms(const struct ev_loop *loop);

/* Watch fd for EPOLL* events; io lives until ev_io_del().  0 or -errno. */
int ev_io_add(struct ev_loop *loop, struct ev_io *io, int fd, uint32_t events);
int ev_io_mod(struct ev_loop *loop, struct ev_io *io, uint32_t events);

/* Stop watching; events of this turn that are still to come are dropped. */
void ev_io_del(struct ev_loop *loop, struct ev_io *io);

/* The descriptor is about to be closed, which ends the watching too. */
void ev_io_forget(struct ev_loop *loop, struct ev_io *io);

/* (Re-)arm for `delay_ms` from now; the cost does not grow with the number of timers. */
void ev_timer_set(struct ev_loop *loop, struct ev_timer *timer, int64_t delay_ms);
void ev_timer_del(struct ev_loop *loop, struct ev_timer *timer);

/* Run once after the events of this turn; queueing twice is queueing once. */
void ev_task_add(struct ev_loop *loop, struct ev_task *task);
void ev_task_del(struct ev_loop *loop, struct ev_task *task);

/* Free at the end of this turn. */
void ev_defer_free(struct ev_loop *loop, struct ev_dead *dead);

#endif
