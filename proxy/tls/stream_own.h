/* SPDX-License-Identifier: Apache-2.0 */
/* Of the files of stream.c, and nobody else's. */
#ifndef PROXY_TLS_STREAM_OWN_H
#define PROXY_TLS_STREAM_OWN_H

#include <openssl/ssl.h>

#include "base/util.h"
#include "tls/record_book.h"
#include "tls/stream.h"

struct stream {
	struct layer layer; /* first */
	struct conn *conn;
	SSL *ssl;
	const struct route *route;
	const struct backend *backend; /* its other end; NULL: a client */
	struct hello_book *hellos;     /* of a client's listener, else NULL */
	uint8_t *head; /* what was read before, until the layer has read it */
	size_t head_n, head_at;
	struct record_book records;
	int err;		/* of the socket, an errno */
	bool eof;		/* the socket has ended */
	bool gathers;		/* a write of the user is under way */
	bool ended;		/* close_notify was sent */
	bool shaken;		/* the handshake is done */
	bool broken;		/* OpenSSL reads no further */
	bool refused;		/* it could not give what it may have told of */
	unsigned idle_messages; /* of the other since it said anything (MESSAGES_MAX) */
};

static inline struct stream *stream_of(const struct conn *c)
{
	return container_of(c->layer, struct stream, layer);
}

#endif
