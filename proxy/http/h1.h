/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection that speaks HTTP/1.1 (RFC 9112), to a client or to a backend: one exchange
 * after the other, each the end `end`.  The conn is its owner's.
 *
 * What was read and not taken stays in `in`; the texts of a request's head live in `head`
 * until the exchange is over, so that it can be sent again.
 */
#ifndef PROXY_HTTP_H1_H
#define PROXY_HTTP_H1_H

#include "base/ev.h"
#include "codec/h1_body.h"
#include "http/end.h"
#include "http/sender.h"
#include "net/conn.h"

struct pool_buffer;

struct h1;

struct h1_owner {
	/* No exchange is under way, and another may begin. */
	void (*idle)(struct h1 *h);
	/* Its FIN was sent, and it waits for the other end's; for clients. */
	void (*lingers)(struct h1 *h);
	/* The connection is at its end, and all that is to be sent was. */
	void (*over)(struct h1 *h, enum tg_end why, bool reset);
};

enum h1_in {
	H1_IN_WAIT, /* nothing of a message has come */
	H1_IN_HEAD,
	H1_IN_BODY,
	H1_IN_TRAILERS,
	H1_IN_DONE,  /* a whole message */
	H1_IN_RAW,   /* another protocol's bytes (101) */
	H1_IN_WASTE, /* it is read to be thrown away: the answer says so already */
};

enum h1_out { H1_OUT_WAIT, H1_OUT_BODY, H1_OUT_DONE, H1_OUT_RAW };

struct h1 {
	struct http_end end;
	const struct h1_owner *owner;
	struct conn *conn;
	struct sender out;
	struct ev_task task;	  /* to go on reading */
	struct pool_buffer *in;	  /* read, and not taken yet */
	struct pool_buffer *head; /* of the request that is under way; may be `in` */
	size_t scanned;		  /* of `in`, for the end of a head */
	struct h1_body body;	  /* that comes in */
	uint64_t left;		  /* of the body that goes out, of HTTP_BODY_LENGTH */
	uint64_t wasted;
	uint64_t unread;	   /* read, and of no message */
	uint64_t dropped;	   /* of messages, and never given to the conn */
	uint64_t told[TG_DIR_MAX]; /* bytes of its exchanges that are over */
	uint32_t head_max;
	uint16_t fields_max;
	uint8_t in_state, out_state; /* enum h1_in, h1_out */
	uint8_t out_body;	     /* enum http_body */
	uint8_t asked;		     /* enum http_method, of the request */
	uint8_t why;		     /* enum tg_end, when it is over */
	bool is_back : 1;
	bool held : 1;	   /* its user took less than all: not before more() */
	bool blocked : 1;  /* its user waits for room() */
	bool close : 1;	   /* no other exchange after this one */
	bool one_zero : 1; /* the client speaks HTTP/1.0 */
	bool closing : 1;  /* over when all is sent */
	bool over : 1;	   /* and why: */
	bool reset : 1;
	bool raised : 1;      /* 1.1 agreed on another protocol */
	bool fresh : 1;	      /* of a client, nothing has come: it may be h2 yet */
	bool preface : 1;     /* over, for what has come is h2's */
	bool asked_close : 1; /* the client said that it has no more requests */
	bool lingering : 1;
	bool bulk : 1;	  /* what comes fills more than a buffer */
	bool clogged : 1; /* no other request until what waits has left */
	bool working : 1;
	bool deaf : 1; /* a backend that takes no more may have answered already */
};

/* conn: open, its layer's handshake done.  user: of the requests of a client, each of
 * which begins without an exchange. */
void h1_open(struct h1 *h, struct conn *c, bool is_back, const struct h1_owner *owner,
	     const struct http_user *user, uint32_t head_max, uint16_t fields_max);

/* n bytes were read of the conn before.  0 or -ENOMEM. */
int h1_feed(struct h1 *h, const uint8_t *p, size_t n);

/* The conn has an event. */
void h1_event(struct h1 *h);

/* An exchange begins at a backend's. */
void h1_use(struct h1 *h, struct exchange *x, const struct http_user *user);

/* No other exchange after this one; now, if there is none. */
void h1_drain(struct h1 *h);

/* Is there anything of a message that has not come wholly? */
static inline bool h1_is_waiting(const struct h1 *h)
{
	return h->in_state == H1_IN_WAIT && !h->in;
}

/* What it holds goes; the conn is the owner's to close. */
void h1_close(struct h1 *h);

/*
 * All bytes of its messages and those of none, after h1_close(): what its conn carried.
 * Of what was sent, what never left is in here, too.
 */
uint64_t h1_carried(const struct h1 *h, enum tg_dir dir);

#endif
