/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection to a backend that speaks HTTP: dialed by an exchange, then its server end,
 * then idle in the pool of its worker, the last one that came first; never where a PROXY
 * header has said whose it is.  One that has anything to read while it is idle is over.
 */
#ifndef PROXY_HTTP_BACK_H
#define PROXY_HTTP_BACK_H

#include "http/h1.h"
#include "http/h2.h"

struct back {
	struct ev_dead dead;
	struct back *next, **prev; /* of the pool; prev NULL: not in it */
	struct back *next_all, **prev_all;
	struct conn conn;
	union {
		struct h1 h1;
		struct h2 h2;
	};
	struct config *config; /* a reference */
	struct listener *listener;
	const struct route *route;
	const struct backend *backend;
	int64_t idle_ms; /* since then */
	/* While it is dialed, of HTTP/2: others want to use it, too. */
	struct back *next_opening, **prev_opening;
	struct exchange *waiters;
	/* While it is dialed: its conn has an event. */
	void (*dialed)(struct exchange *x);
	struct exchange *dialer;
	bool is_h2;
	bool open;     /* it speaks HTTP, and is dialed no more */
	bool in_loops; /* its socket is noted there (backend/loops.h) */
	bool gone;
};

/* One that is idle, or, of HTTP/2, has a place for one more; NULL: there is none. */
struct back *back_idle(struct worker *w, const struct route *r, const struct backend *b);

/*
 * One of HTTP/2 that is dialed already, for others to wait for; and what says that one
 * is, and is no more.  NULL: there is none.
 */
struct back *back_opening(struct worker *w, const struct route *r,
			  const struct backend *b);
void back_begin_opening(struct back *b, const struct backend *backend);
void back_end_opening(struct back *b);

/* A new one, to be dialed, for a route of that configuration; NULL without memory. */
struct back *back_new(struct worker *w, struct config *c, struct listener *l,
		      const struct route *r, struct exchange *x,
		      void (*dialed)(struct exchange *x));

/* Its conn is connected: from now on it has ends.  0 or -ENOMEM. */
int back_open(struct back *b, const struct backend *backend);

/* An end of it for that exchange; NULL without memory. */
struct http_end *back_use(struct back *b, struct exchange *x,
			  const struct http_user *user);

/* Of the pool, and has streams all the same. */
static inline bool back_is_busy(const struct back *b)
{
	return b->open && b->is_h2 && b->h2.streams_n > 0;
}

/* It is used no more; as it is, or never dialed. */
void back_drop(struct back *b, bool reset);

/* For http_forget() and the like: end those that `fn` says so of.  How many. */
unsigned back_end_idle(struct worker *w, bool (*fn)(const struct back *b, void *arg),
		       void *arg, unsigned max);

#endif
