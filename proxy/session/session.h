/* SPDX-License-Identifier: Apache-2.0 */
/* One client connection and its backend connection; see proxy/README.md for its states.
 */
#ifndef PROXY_SESSION_SESSION_H
#define PROXY_SESSION_SESSION_H

#include <sys/socket.h>

#include "bpf/abi.h"
#include "net/worker.h"

/*
 * Take over an accepted socket (closed in any case, also on failure); `peer` is its
 * other end.  The session frees itself when it ends.
 */
void session_start(struct worker *w, struct listener *l, int fd,
		   const struct sockaddr *peer);

/*
 * End up to `max` sessions of the worker now, but none that is on its way to a successor
 * (session_batch_begin).  How many.
 */
unsigned session_end_some(struct worker *w, enum tg_end reason, unsigned max);

/* Take no new requests of clients that are served, and end after those under way. */
void session_drain(struct worker *w);

/* For openings_open(): it makes room for others. */
void session_evict(struct session *s);

/*
 * A new configuration: up to `max` of those that lived when it came, from w->recount on,
 * are counted by its limits.
 */
void session_recount_some(struct worker *w, unsigned max);

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

/* --- for who runs the gate; list.c --- */

/* Names of enum session_state. */
extern const char *const session_states[];

/* What is wanted of all; NULL, 0 and false: any. */
struct session_filter {
	uint64_t id; /* the cookie of the client's socket (SO_COOKIE), the same after an
			upgrade */
	const char *listener, *route, *backend, *state;
	bool by_client;
	struct addr client; /* port 0: any */
};

struct session_info {
	uint64_t id;
	uint8_t state;
	char listener[CONFIG_NAME_MAX + 1], route[CONFIG_NAME_MAX + 1];
	char backend[CONFIG_BACKEND_NAME], server_name[256];
	struct addr client, peer; /* the real one; the other end of the socket */
	int64_t began_ms;	  /* CLOCK_MONOTONIC */
	uint64_t rx[2], tx[2];	  /* bytes of the client's socket, and of the backend's */
};

/* Zeroed but for filter and max, and then given to one worker after the other. */
struct session_list {
	struct session_filter filter;
	unsigned max;		   /* of them in the list, or to be ended */
	struct session_info *list; /* malloc, the caller's */
	unsigned n, room;
	unsigned matched; /* more than n if there was no place */
	bool begun;
};

/*
 * On a worker's thread, by worker_call(), until it is not 1; arg: a struct session_list.
 * Look at those that are wanted, or end them now with RST (killed); but none that is on
 * its way to a successor.  1 if there are more, 0 at the end, or -ENOMEM.  No other walk
 * of this worker's sessions may be under way.
 */
int session_list(struct worker *w, void *arg);
int session_kill(struct worker *w, void *arg);

/* --- an upgrade, see handover.h; move.c --- */

#define SESSION_GIVE_MAX 64

/* One on its way: as it is told to the successor, and what that said. */
struct session_given {
	struct session *s;
	uint8_t *data; /* malloc */
	size_t len;
	int fds[6]; /* HANDOVER_FDS_MAX; the session's, not to be closed */
	unsigned fds_n;
	bool taken;
};

/*
 * Some of a worker's sessions that can move and were not offered yet in this
 * conversation: a successor that fails says nothing of the next.
 */
struct session_batch {
	uint32_t conversation; /* its number, from 1 */
	uint32_t version;      /* of the handover that the successor speaks */
	bool begun;	       /* false: from the first of its sessions on */
	struct session_given given[SESSION_GIVE_MAX];
	unsigned n;
	unsigned gone;	/* taken by the successor, of all that were in it */
	unsigned later; /* of all: do not relay yet, and may move when they do */
};

/*
 * On the worker's thread, by worker_call(); arg: a struct session_batch.  The first fills
 * it, and nothing touches those sessions until the second, which lets go of those that
 * were taken, and goes on with the others.  0.
 */
int session_batch_begin(struct worker *w, void *arg);
int session_batch_end(struct worker *w, void *arg);

/* Is the session in a message well-formed, and of a route that is in this configuration?
 */
bool session_is_ours(struct config *c, const uint8_t *data, size_t len, unsigned fds_n);

/*
 * It was ours, and could not be gone on with: both its ends are gone, and counted as
 * out_of_resources.
 */
void session_lost(const struct proxy *p, struct config *c, const uint8_t *data,
		  size_t len);

/*
 * On the worker's thread: go on with one that is ours.  The descriptors are taken in any
 * case.
 */
void session_take(struct worker *w, const uint8_t *data, size_t len, const int *fds,
		  unsigned fds_n);

#endif
