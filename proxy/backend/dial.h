/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a route to a connection at one of its backends: choose one, wait for a place at
 * it, connect, say who the client is; try another as long as no byte of the client was
 * passed.  It knows neither sessions nor what its conn is for: `up` is the owner's, an
 * empty one at the beginning, and the owner's to close when all is over.
 */
#ifndef PROXY_BACKEND_DIAL_H
#define PROXY_BACKEND_DIAL_H

#include "backend/announce.h"
#include "backend/place.h"
#include "net/conn.h"
#include "net/outcome.h"

struct dial {
	/* Its `take` is the owner's, and asks dial_take_place(). */
	struct waiter waiter;
	struct route *route;	 /* set by the owner before it begins */
	struct backend *backend; /* that is tried, or was last */
	uint64_t tried;		 /* bits of backends that failed */
	struct addr addr;	 /* of the backend; all zero of a Unix socket */
	uint32_t addrs_tried;	 /* bits of addresses of this backend */
	/* the owner's, as in struct balance_by; four bytes together */
	uint32_t key : 24;
	uint32_t wanted : 7;
	uint32_t keyed : 1;
	uint8_t retries;
	uint8_t failure;      /* enum tg_end: why the last one failed */
	uint8_t hops;	      /* times the connection has passed us; see loops.h */
	bool holds_place : 1; /* at the backend */
	bool more_addrs : 1;  /* of its backend, if this one fails */
	bool in_loops : 1;    /* its socket is noted there */
	bool connected : 1;   /* and the TLS handshake is under way */
	bool stepwise : 1; /* the owner's: a backend that is chosen is told first ... */
	bool chosen : 1;   /* ... by NEXT with this, for dial_connect() or not */
};

/*
 * NEXT: connected, its row is the backend's, its header is sent.  OVER: the reason of the
 * last backend that was tried, no_backend, queue_full, queue_timeout, out_of_resources.
 * begin: the route is known.  ready: the conn is writable or has failed.  due: the
 * deadline has come that the last outcome said.
 */
struct outcome dial_begin(struct dial *d, struct conn *up, const struct announce *who);
struct outcome dial_ready(struct dial *d, struct conn *up, const struct announce *who);
struct outcome dial_due(struct dial *d, struct conn *up, const struct announce *who);

/* The one that was chosen will not do, as somebody else has found: another. */
struct outcome dial_skip(struct dial *d, struct conn *up, const struct announce *who,
			 enum tg_end why);

/* To the backend that was chosen. */
struct outcome dial_connect(struct dial *d, struct conn *up, const struct announce *who);

/* There may be a place: true if it was taken, and what came of it. */
bool dial_take_place(struct dial *d, struct conn *up, const struct announce *who,
		     struct outcome *ret);

/* Is it in the queue for a place? */
static inline bool dial_waits(const struct dial *d)
{
	return d->waiter.prev != NULL;
}

/*
 * It goes no further: leave the queue, and forget the socket, which is about to be closed
 * or another process's; its address may be another connection's as soon as it is.
 */
void dial_end(struct dial *d, struct conn *up);

/* The socket is closed: give the place at the backend back.  No-op if it has none. */
void dial_release(struct dial *d, struct worker *w);

#endif
