/* SPDX-License-Identifier: Apache-2.0 */
/* Listening sockets of one worker.  All on the worker's own thread. */
#ifndef PROXY_PROCESS_DOOR_H
#define PROXY_PROCESS_DOOR_H

#include "net/worker.h"

/* Before the worker starts: 0 or -ENOMEM; and at its end, closing all. */
int door_open(struct worker *w);
void door_drop(struct worker *w);

/*
 * As c has it: fds, one a listener of it, are new sockets, or -1 for one the worker has.
 * Those of no listener are closed, after what waited in their queues was taken.
 */
void door_configure(struct worker *w, struct config *c, const int *fds);

/* Accept nothing for now, what comes waits in its queue; or go on. */
void door_hold(struct worker *w, bool held);

/* Accepting may be paused for want of descriptors: is there room again? */
void door_look(struct worker *w);

/* Which listeners a successor has. */
struct door_leave {
	bool (*has)(const struct listener *l, void *arg);
	void *arg;
};

/*
 * Close all.  What waits in the queues was promised a connection and is taken first; not
 * of those a successor has, too, by `leave`.  NULL: there is none, and none is to be
 * opened any more; but while they are held, these are the sockets of an old process that
 * goes on, and who waits in their queues is its to serve.
 */
void door_close(struct worker *w, const struct door_leave *leave);

#endif
