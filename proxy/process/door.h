/* SPDX-License-Identifier: Apache-2.0 */
/* Listening sockets of one worker.  All on the worker's own thread. */
#ifndef PROXY_PROCESS_DOOR_H
#define PROXY_PROCESS_DOOR_H

#include "net/worker.h"

/* Listen or not, as the worker is paused or held. */
void acceptors_switch(struct worker *w);

/* The pause is over. */
void acceptors_resume(struct worker *w);

/* Of the worker's timer: the pause is over if there is room. */
void acceptors_on_resume(struct ev_timer *timer);

/*
 * As c has it: fds, one a listener of it, are new sockets, or -1 for one the worker has.
 * Those of no listener are closed, after what waited in their queues was taken.
 */
void acceptors_configure(struct worker *w, struct config *c, const int *fds);

/*
 * Close all.  What waits in the queues was promised a connection and is taken first; not
 * of those a successor has, too, by `leave` (NULL: none).
 */
void acceptors_close(struct worker *w, const struct worker_leave *leave);

/* Close all at the end of the thread. */
void acceptors_drop(struct worker *w);

#endif
