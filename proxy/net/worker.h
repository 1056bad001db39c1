/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker is one thread with its own event loop, and what the floors above keep with it.
 * It is told things by posts; nothing else crosses threads but the configuration snapshot
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
#include "net/pool.h"

#define WORKER_ID_LEN 32

struct auth;
struct door;
struct http_worker;
struct openings;
struct orders;
struct places;
struct session;
struct tls_worker;

/* What all workers share. */
struct proxy {
	struct worker *workers;
	struct writer *writer;
	struct proxy_state *state; /* mapped */
	unsigned workers_n;
	unsigned sessions;     /* all workers; relaxed atomic */
	unsigned upstreams;    /* of these, with a socket to a backend; relaxed atomic */
	unsigned sockets_max;  /* by descriptors; relaxed atomic */
	unsigned waiting;      /* for a place at a backend; relaxed atomic */
	size_t openings_bytes; /* held of what clients said first; relaxed atomic */
	struct limits_table *limits;
	struct auth *auth;     /* decide/auth.h */
	bool io_uring;	       /* wanted */
	uint64_t netns_cookie; /* of our sockets; 0 if the kernel has none */
	uint16_t ephemeral_min, ephemeral_max; /* ports the kernel hands out */
	unsigned pipes_max, buffers_max;       /* a worker */
};

/* The first member of what is posted.  One of the two is called, and has it then, unless
 * worker_post() said no.
 */
struct worker_post {
	struct worker_post *next;
	void (*run)(struct worker *w, struct worker_post *post); /* on its thread */
	void (*drop)(struct worker_post *post); /* the worker has stopped */
};

struct worker {
	struct proxy *proxy;
	struct ev_loop *loop;
	struct pool pool;
	struct config *config; /* a reference; the one new connections come under */
	unsigned held;	       /* by worker_hold(), of that one */
	/* each of the file it is named after, which alone knows what is in it */
	struct tls_worker *tls;	   /* tls/context.c */
	struct places *places;	   /* backend/ */
	struct http_worker *http;  /* http/worker.c */
	struct openings *openings; /* session/ */
	struct door *door;	   /* process/ */
	struct orders *orders;	   /* process/ */
	/* session/: list head, and the next of a walk over them */
	struct session *sessions;
	struct session *walk;	 /* for zombies */
	struct session *recount; /* by a new configuration */
	struct session *offer;	 /* to a successor */
	/* For what is below the door: its functions are process/'s. */
	struct ev_task
		shortage;    /* no descriptors are left: accept nothing for a moment */
	struct ev_task room; /* a session has ended, if somebody waits for that */
	bool room_wanted;
	bool draining;	     /* what begins now ends soon */
	struct ev_task soon; /* the next turn does not wait for an event (net/conn.c) */
	unsigned handshakes; /* steps of them in this turn (session/handshake.c) */
	struct ev_io inbox_io;
	int inbox_fd; /* eventfd */
	pthread_mutex_t inbox_lock;
	struct worker_post *inbox, **inbox_tail;
	bool stopped;		   /* under the lock: nobody reads it any more */
	uint64_t id_high, id_next; /* of its connections: random, and counting */
	pthread_t thread;
	bool started;
};

/* Ready to start.  0 or -errno, logged, as of worker_start(); worker_close() in any case.
 */
int worker_open(struct worker *w, struct proxy *p);

/*
 * On the worker's thread: a reference to a configuration, and its end.  Of the one in
 * force it is only counted here: one cache line of all workers less for each request.
 */
struct config *worker_hold(struct worker *w, struct config *c);
void worker_release(struct worker *w, struct config *c);

/* Another comes into force, a reference to which is the worker's now. */
void worker_change_config(struct worker *w, struct config *c);

/* cpu: where it runs, or -1 for the scheduler to decide. */
int worker_start(struct worker *w, int cpu);

/* Wait for the thread, if there is one; then free what it had. */
void worker_join(struct worker *w);
void worker_close(struct worker *w);

/* From any thread.  False if the worker has stopped: the post is still the caller's. */
bool worker_post(struct worker *w, struct worker_post *post);

/*
 * From another thread: run fn on the worker's, and wait for it.  What it returned; or
 * -ESRCH of a worker that has stopped.
 */
int worker_call(struct worker *w, int (*fn)(struct worker *w, void *arg), void *arg);

/* Wait until those that run have taken what they were sent. */
void workers_settle(struct proxy *p);

/* --- on the worker's thread --- */

/* A connection's id, of hexadecimal digits, that no other has; NUL-terminated. */
void worker_unique_id(struct worker *w, char ret[WORKER_ID_LEN + 1]);

#endif
