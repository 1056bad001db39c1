/* SPDX-License-Identifier: Apache-2.0 */
/* Who asks: what all requests of a client's connection have in common. */
#ifndef PROXY_HTTP_CLIENT_H
#define PROXY_HTTP_CLIENT_H

#include "backend/announce.h"
#include "config/http.h"

struct http_client {
	struct worker *worker;
	struct conn *conn;
	const struct config *config; /* which the connection came under */
	struct listener *listener;
	const struct route *route; /* that its TLS was agreed on by; NULL: no TLS */
	struct announce who;	   /* for PROXY headers; conn, peer, client */
	struct pp_info header;	   /* that `who` points to */
	uint8_t hops;
	bool trusted; /* its X-Forwarded-... are kept */
	unsigned requests;
};

static inline const struct addr *http_client_addr(const struct http_client *c)
{
	return c->who.client;
}

#endif
