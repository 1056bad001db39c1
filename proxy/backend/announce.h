/* SPDX-License-Identifier: Apache-2.0 */
/* What a backend is told of a client, in the PROXY header of its route's choice. */
#ifndef PROXY_BACKEND_ANNOUNCE_H
#define PROXY_BACKEND_ANNOUNCE_H

#include <stddef.h>
#include <stdint.h>

#include "codec/hello.h"
#include "codec/pp.h"
#include "config/config.h"
#include "net/conn.h"

/* Who a connection to a backend is for; all of it the caller's. */
struct announce {
	const struct listener *listener;
	const struct conn *conn;      /* the client's */
	const struct addr *peer;      /* the other end of that */
	const struct addr *client;    /* the real client: of its PROXY header, or peer */
	const struct pp_info *header; /* that it sent, tlv set; NULL: none */
	const uint8_t *head;	      /* what it said first */
	size_t head_len;
	bool follows;	    /* that is passed on at once */
	size_t hello_bytes; /* as much of it may be a ClientHello */
};

/* The server name in what it said first; "": none. */
void announce_name(const struct announce *who, char ret[HELLO_NAME_MAX + 1]);

/* Write the header, if the route wants one.  0 or a negative errno. */
int announce_write(const struct announce *who, const struct route *r, struct conn *up);

#endif
