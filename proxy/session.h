/* SPDX-License-Identifier: Apache-2.0 */
/* One client connection and its backend connection; see proxy/README.md for its states.
 */
#ifndef PROXY_SESSION_H
#define PROXY_SESSION_H

#include <sys/socket.h>

#include "bpf/abi.h"
#include "worker.h"

/*
 * Take over an accepted socket (closed in any case, also on failure); `peer` is its
 * other end.  The session frees itself when it ends.
 */
void session_start(struct worker *w, struct listener *l, int fd,
		   const struct sockaddr *peer);

/* End up to `max` sessions of the worker now. */
void session_end_some(struct worker *w, enum tg_end reason, unsigned max);

/* At the end of a turn: send what waits in the outbox.  arg: the worker. */
void session_settle(void *arg);

/* A new configuration: those that live are counted by its limits. */
void session_recount_all(struct worker *w);

/* The next one of its worker. */
struct session *session_next(const struct session *s);

/* --- looking for zombies, see zombies.h; on the worker's thread, by worker_call() --- */

struct cookies;

/* A walk over the sessions of a worker, in steps. */
struct session_walk {
	struct cookies *all;   /* their sockets */
	struct cookies *alive; /* of these, those whose end nobody has told us of */
	bool begun;	       /* false before the first step */
};

/* Sockets whose end was missed; sorted. */
struct session_zombies {
	const struct cookies *cookies;
	unsigned ended; /* sessions, added to */
};

/* arg: a struct session_walk.  1 if there is more to walk, 0 at the end, or -ENOMEM. */
int session_cookies(struct worker *w, void *arg);

/* End relays one of whose sockets is among these; arg: struct session_zombies.  0. */
int session_end_zombies(struct worker *w, void *arg);

/* --- an upgrade, see handover.h; session_move.c --- */

struct handover_message;

/*
 * Give a session to the successor at `fd`, if it is one that can move.  0, also if it
 * stays; a negative errno if the successor is gone.  m is for its answer.
 */
int session_give(struct session *s, int fd, struct handover_message *m);

/* Is the session in a message well-formed, and of a route that is in this configuration?
 */
bool session_is_ours(struct config *c, const uint8_t *data, size_t len, unsigned fds_n);

/* On the worker's thread: go on with it.  The descriptors are taken in any case. */
void session_take(struct worker *w, const uint8_t *data, const int *fds);

#endif
