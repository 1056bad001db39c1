/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client's connection that speaks HTTP: what a session does in SERVE.  The conn is the
 * session's; the front reads and writes it, makes an exchange of each request, and says
 * when there is nothing more to do.
 *
 * An upgrade of the program: nothing of HTTP moves.  The front is drained in the old
 * process ("connection: close" with the answer that is under way), and clients come back
 * to the successor.
 */
#ifndef PROXY_HTTP_FRONT_H
#define PROXY_HTTP_FRONT_H

#include "http/client.h"
#include "net/outcome.h"

struct front;

/* How one is opened; `client` is copied, what it points to outlives the front. */
struct front_options {
	struct http_client client;
	struct config *config; /* a reference is taken */
	const uint8_t *first;  /* n bytes that were read of the conn before */
	size_t first_n;
	/* Called once, by itself: the conn is at its end. */
	void (*over)(struct conn *c, struct outcome o);
};

/* NULL without memory. */
struct front *front_open(const struct front_options *o);

/* Read what is there; before that nothing is. */
void front_begin(struct front *f);

/* The conn has an event. */
void front_event(struct front *f);

/* Take no new request, end after the one under way. */
void front_drain(struct front *f);

/* Descriptors are short: end one that is between requests, the one for the longest time
 * first.  False: there is none. */
bool front_evict(struct worker *w);

/* Its exchange ends for this reason; the conn stays open. */
void front_close(struct front *f, enum tg_end why);

#endif
