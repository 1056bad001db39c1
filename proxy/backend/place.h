/* SPDX-License-Identifier: Apache-2.0 */
/* Who waits for a place at a backend, on one worker, oldest first. */
#ifndef PROXY_BACKEND_PLACE_H
#define PROXY_BACKEND_PLACE_H

#include <stdbool.h>

#include "net/worker.h"

struct waiter {
	struct waiter *next, **prev; /* prev is NULL: not queued */
	/* There may be one: true if it was taken, and the queue left. */
	bool (*take)(struct waiter *x);
};

/* Before the worker starts: 0 or -ENOMEM; and at its end. */
int place_open(struct worker *w);
void place_close(struct worker *w);

/* Queue at the end; or take out, a no-op for who is not queued. */
void place_wait(struct worker *w, struct waiter *x);
void place_stop_waiting(struct worker *w, struct waiter *x);

/* There is a place at a backend: for who waits longest here, or else on the others. */
void place_free(struct worker *w);

/* From any thread: a backend has come up, for whoever waits for a place. */
void place_backend_up(struct proxy *p);

#endif
