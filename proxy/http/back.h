/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection to a backend that speaks HTTP: dialed by an exchange, then its server end,
 * then idle in the pool of its worker, the last one that came first; never where a PROXY
 * header has said whose it is.  One that has anything to read while it is idle is over.
 */
#ifndef PROXY_HTTP_BACK_H
#define PROXY_HTTP_BACK_H

#include "http/h1.h"

struct back {
	struct ev_dead dead;
	struct back *next, **prev; /* of the pool; prev NULL: not in it */
	struct conn conn;
	struct h1 h1;
	struct config *config; /* a reference */
	struct listener *listener;
	const struct route *route;
	const struct backend *backend;
	int64_t idle_ms; /* since then */
	/* While it is dialed: its conn has an event. */
	void (*dialed)(struct exchange *x);
	struct exchange *dialer;
	bool open;     /* it speaks HTTP, and is dialed no more */
	bool used;     /* by an exchange before this one */
	bool in_loops; /* its socket is noted there (backend/loops.h) */
	bool gone;
};

/* One that is idle, taken out of the pool; NULL: there is none. */
struct back *back_idle(struct worker *w, const struct route *r, const struct backend *b);

/* A new one, to be dialed; NULL without memory. */
struct back *back_new(struct worker *w, struct listener *l, const struct route *r,
		      struct exchange *x, void (*dialed)(struct exchange *x));

/* Its conn is connected: from now on it is an end. */
void back_open(struct back *b, const struct backend *backend);

/* It is used no more; as it is, or never dialed. */
void back_drop(struct back *b, bool reset);

/* For http_forget() and the like: end those that `fn` says so of.  How many. */
unsigned back_end_idle(struct worker *w, bool (*fn)(const struct back *b, void *arg),
		       void *arg, unsigned max);

#endif
