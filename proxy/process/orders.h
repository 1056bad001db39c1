/* SPDX-License-Identifier: Apache-2.0 */
/* What the main thread has workers do: a configuration, a drain, an upgrade. */
#ifndef PROXY_PROCESS_ORDERS_H
#define PROXY_PROCESS_ORDERS_H

#include "net/worker.h"

/*
 * What all floors keep with a worker, between worker_open() and its start; and away with
 * it, between worker_join() and worker_close().  0 or -ENOMEM, logged.
 */
int orders_open(struct worker *w);
void orders_close(struct worker *w);

/*
 * Give all workers a configuration, and one listening socket a listener and worker,
 * fds[listener * workers + worker], which become theirs; -1 where one keeps what it has
 * for that address.  What is not in the new configuration stops accepting.  In two steps,
 * of which only the first can fail: 0, or -ENOMEM with nothing taken.
 */
struct orders_plan;
int orders_prepare(const struct proxy *p, struct config *c, const int *fds,
		   struct orders_plan **ret);
void orders_configure(struct proxy *p, struct orders_plan *plan);
void orders_forget(struct orders_plan *plan); /* instead; NULL is fine */

/* Stop accepting, end when the last session has ended or at the deadline.  0 or -ENOMEM.
 */
int orders_drain(struct worker *w, int64_t deadline_ms);

/*
 * For an upgrade, by worker_call(): accept nothing (what comes waits in its queue), or go
 * on.  arg: NULL.
 */
int orders_hold(struct worker *w, void *arg);
int orders_release(struct worker *w, void *arg);

/*
 * By worker_call(): the successor accepts now.  Listening sockets are closed; of those
 * that it has not, what waits in the queue is taken first.  arg: a struct door_leave.
 */
int orders_leave_listeners(struct worker *w, void *arg);

/*
 * Go on with a session of the old process; `data` is to be freed.  0, or -ENOMEM or
 * -ESRCH with nothing taken.
 */
int orders_adopt(struct worker *w, uint8_t *data, size_t len, const int *fds,
		 unsigned fds_n);

#endif
