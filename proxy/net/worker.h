/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker is one thread with its own event loop, listening sockets and sessions.  It is
 * told things by messages; nothing else crosses threads but the configuration snapshot
 * (immutable), the mapped book, the few atomic counters of struct proxy, and what a
 * worker_call() is given while its caller waits.
 */
#ifndef PROXY_NET_WORKER_H
#define PROXY_NET_WORKER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/ev.h"
#include "book/writer.h"
#include "config/config.h"
#include "net/relay.h"
#include "session/openings.h"

#define SESSION_ID_LEN 32

struct session;

/* What all workers share. */
struct proxy {
	struct worker *workers;
	struct writer *writer;
	struct proxy_state *state; /* mapped */
	unsigned workers_n;
	unsigned sessions;     /* all workers; relaxed atomic */
	unsigned upstreams;    /* of these, with a socket to a backend; relaxed atomic */
	unsigned sockets_max;  /* by descriptors */
	unsigned waiting;      /* for a place at a backend; relaxed atomic */
	size_t openings_bytes; /* held of what clients said first; relaxed atomic */
	struct limits_table *limits;
	bool io_uring;	       /* wanted */
	uint64_t netns_cookie; /* of our sockets; 0 if the kernel has none */
	uint16_t ephemeral_min, ephemeral_max; /* ports the kernel hands out */
	unsigned pipes_max, buffers_max;       /* a worker */
};

/* Who waits for a place at a backend. */
struct waiter {
	struct waiter *next, **prev; /* prev is NULL: not queued */
	/* There may be one: true if it was taken, and the queue left. */
	bool (*take)(struct waiter *x);
};

/* A listening socket of one worker. */
struct acceptor {
	struct ev_io io;
	struct worker *worker;
	struct listener *listener; /* in the worker's configuration */
	int fd;
	bool keep; /* used while configurations are swapped */
	struct acceptor *next;
};

struct worker {
	struct proxy *proxy;
	struct ev_loop *loop;
	struct relay_pool pool;
	struct config *config; /* a reference */
	struct acceptor *acceptors;
	struct openings openings;
	struct session *sessions; /* list head */
	struct session *walk;	  /* the next of a walk over them */
	struct session *recount;  /* the next to be counted by a new configuration */
	struct session *offer;	  /* the next to be offered to a successor */
	struct ev_task recount_task;
	struct waiter *waiting, **waiting_tail; /* oldest first */
	unsigned places_own;  /* at a backend, given back here and not offered yet */
	unsigned places_told; /* of by another worker, or the keeper */
	struct ev_task places_task;
	struct ev_timer resume; /* accepting is paused until then */
	struct ev_timer drain;
	struct ev_task drain_task; /* the deadline has come */
	bool paused;
	bool held; /* by an upgrade: nothing is accepted until it is let go */
	bool draining;
	struct ev_io inbox_io;
	int inbox_fd; /* eventfd */
	pthread_mutex_t inbox_lock;
	struct worker_message *inbox, **inbox_tail;
	bool stopped;		   /* under the lock: nobody reads it any more */
	uint64_t id_high, id_next; /* of its connections: random, and counting */
	pthread_t thread;
	bool started;
};

/* Ready to start.  0 or -errno, logged, as of worker_start(). */
int worker_init(struct worker *w, struct proxy *p);

/* cpu: where it runs, or -1 for the scheduler to decide. */
int worker_start(struct worker *w, int cpu);

/*
 * From the main thread: give all workers a configuration, and one listening socket a
 * listener and worker, fds[listener * workers + worker], which become theirs; -1 where
 * one keeps what it has for that address.  What is not in the new configuration stops
 * accepting. 0, or -ENOMEM with nothing changed and nothing taken.
 */
int workers_configure(struct proxy *p, struct config *c, const int *fds);

/* Wait until those that run have taken what they were sent. */
void workers_settle(struct proxy *p);

/* Stop accepting, end when the last session has ended or at the deadline.  0 or -ENOMEM.
 */
int worker_drain(struct worker *w, int64_t deadline_ms);

/*
 * For an upgrade, by worker_call(): accept nothing (what comes waits in its queue), or go
 * on.  arg: NULL.
 */
int worker_hold(struct worker *w, void *arg);
int worker_release(struct worker *w, void *arg);

/*
 * By worker_call(): the successor accepts now.  Listening sockets are closed; of those
 * that it has not, what waits in the queue is taken first.  arg: `bool (*)(const struct
 * listener *l)` in a struct worker_leave.
 */
struct worker_leave {
	bool (*has)(const struct listener *l, void *arg); /* the successor */
	void *arg;
};
int worker_leave_listeners(struct worker *w, void *arg);

/*
 * From the main thread: run fn on the worker's, and wait for it.  What it returned;
 * -ENOMEM; or -ESRCH of a worker that has stopped.
 */
int worker_call(struct worker *w, int (*fn)(struct worker *w, void *arg), void *arg);

/* From any thread: a backend has come up, for whoever waits for a place. */
void workers_backend_up(struct proxy *p);

/* Go on with a session of the old process; `data` is to be freed.  0, or -ENOMEM or
 * -ESRCH with nothing taken. */
int worker_adopt(struct worker *w, uint8_t *data, const int *fds, unsigned fds_n);

/* Wait for the thread and free what it had. */
void worker_join(struct worker *w);

/* --- for sessions, on the worker's thread --- */

/* A session has ended: count it off, accept again if that was the reason for pausing. */
void worker_session_done(struct worker *w);

/* A connection's id, of hexadecimal digits, that no other has; NUL-terminated. */
void worker_unique_id(struct worker *w, char ret[SESSION_ID_LEN + 1]);

/* Queue at the end; or take out, a no-op for who is not queued. */
void worker_wait(struct worker *w, struct waiter *x);
void worker_stop_waiting(struct worker *w, struct waiter *x);

/* There is a place at a backend: for who waits longest here, or else on the others. */
void worker_place_free(struct worker *w);

/* Stop accepting for a moment: there are no descriptors left. */
void worker_pause(struct worker *w);

#endif
