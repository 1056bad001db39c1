/* SPDX-License-Identifier: Apache-2.0 */
/* Who asks: what all requests of a client's connection have in common. */
#ifndef PROXY_HTTP_CLIENT_H
#define PROXY_HTTP_CLIENT_H

#include <arpa/inet.h>

#include "backend/announce.h"
#include "config/http.h"

struct http_client {
	struct worker *worker;
	struct conn *conn;
	struct config *config; /* which its next request comes under */
	struct listener *listener;
	const struct route *route; /* that its TLS was agreed on by; NULL: no TLS */
	struct announce who;	   /* for PROXY headers; conn, peer, client */
	struct pp_info header;	   /* that `who` points to */
	uint8_t hops;
	bool trusted;			/* its X-Forwarded-... are kept */
	char address[INET6_ADDRSTRLEN]; /* the real one's, without port; made when it is
					   opened */
	unsigned requests;
	char *certificate; /* Client-Cert (RFC 9440 2.2), made when it is wanted; or NULL
			    */
	struct identity *identity; /* where a route asks for it; or NULL */
	uint8_t why; /* enum tg_end that we end its connection for; DONE: none yet */
};

static inline const struct addr *http_client_addr(const struct http_client *c)
{
	return c->who.client;
}

static inline bool http_client_is_trusted(const struct http_client *c)
{
	const struct http_listener *l = c->listener->http;

	for (unsigned i = 0; i < l->trusted_count; i++) {
		if (prefix_has(&l->trusted_prefixes[i], http_client_addr(c)->ip))
			return true;
	}
	return false;
}

#endif
