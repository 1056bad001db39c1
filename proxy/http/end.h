/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One end of an exchange: at the client's connection, or at the backend's, over whichever
 * version of HTTP.  All look the same: a message comes in, and a message goes out, each a
 * head, a body, and trailers or none.  exchange.c joins two of them and knows no
 * protocol; h1.c knows no other end.
 *
 * Lifetime: an end is its protocol's.  It is the exchange's to use from begin until
 * either side says the last word: ops->stop(), ops->release(), or user->gone().  After
 * that neither calls the other.
 *
 * Back-pressure: body() says how much it took.  The rest stays with the protocol, which
 * reads no more from its connection until ops->more().  The other way put_body() says
 * -EAGAIN, and room() when that is over.  more() never calls back from within.
 */
#ifndef PROXY_HTTP_END_H
#define PROXY_HTTP_END_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "bpf/abi.h"
#include "codec/http.h"

struct exchange;
struct http_book;
struct http_end;

/*
 * Of a request that was answered before all of it had come (RFC 9112 9.6, RFC 9113 8.1)
 * the rest is read and thrown away for a while: many clients hear no answer while they
 * still send.  It ends with so many bytes, without a byte for so long, or in any case.
 */
#define HTTP_WASTE_MAX	    (16u << 20)
#define HTTP_LINGER_MS	    1000
#define HTTP_LINGER_MOST_MS 30000

/* What an exchange asks of an end. */
struct http_end_ops {
	/*
	 * A whole head; any number of 1xx before the last.  `last`: no body follows.  0,
	 * -EMSGSIZE if it is too large to be sent, -EOPNOTSUPP if it asks for what the
	 * peer does not do, or another negative errno.
	 */
	int (*put_head)(struct http_end *e, const struct http_head *h, bool last);
	/* > 0 bytes taken; -EAGAIN: room() will say when; or another negative errno. */
	ssize_t (*put_body)(struct http_end *e, const uint8_t *p, size_t n);
	/* The message has ended, with trailers or NULL.  0 or a negative errno. */
	int (*put_last)(struct http_end *e, const struct http_head *trailers);
	/* Offer again what body() left, and go on reading. */
	void (*more)(struct http_end *e);
	/* Give up: the connection ends, by RST.  gone() is not called. */
	void (*stop)(struct http_end *e, enum tg_end why);
	/* The exchange is over; its connection may serve another. */
	void (*release)(struct http_end *e);
};

/* What an end tells its exchange; all borrowed for the call. */
struct http_user {
	void (*head)(struct http_end *e, const struct http_head *h, bool last);
	/* How many of them were taken, 0 to n. */
	size_t (*body)(struct http_end *e, const uint8_t *p, size_t n);
	void (*last)(struct http_end *e, const struct http_head *trailers);
	void (*room)(struct http_end *e);
	/* What came is no message: of a client 4xx and 5xx can still be answered. */
	void (*invalid)(struct http_end *e, enum http_fault fault);
	/* It ended before its messages have; `unseen`: and nothing came of it. */
	void (*gone)(struct http_end *e, enum tg_end why, bool unseen);
};

/* Bytes of messages, as they were on the connection (above TLS). */
struct http_bytes {
	uint64_t head, body, framing;
};

/* Embedded in h1's connection or h2's stream. */
struct http_end {
	const struct http_end_ops *ops;
	const struct http_user *user;
	struct exchange *exchange; /* NULL: nobody uses it */
	struct http_book *book; /* where its bytes go when it is over; the exchange's */
	struct http_bytes bytes[TG_DIR_MAX]; /* since the exchange began */
};

#endif
