/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request and its answer: decided, dialed, passed on both ways, accounted.  It knows
 * no protocol: the client's end and the backend's are http/end.h's.
 */
#ifndef PROXY_HTTP_EXCHANGE_H
#define PROXY_HTTP_EXCHANGE_H

#include "http/client.h"
#include "http/end.h"

/* A request has come to the client's end, which is the exchange's from now on. */
void exchange_begin(struct http_client *c, struct http_end *client,
		    const struct http_head *h, bool last);

/* What came is no request: it is answered so. */
void exchange_refuse(struct http_client *c, struct http_end *client, enum http_fault f);

/* No head came in time: 408. */
void exchange_timeout(struct http_client *c, struct http_end *client);

/* The client's connection ends for this reason. */
void exchange_stop(struct exchange *x, enum tg_end why);

#endif
