/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The access log: a line for each request that is over, of JSON or in a format of the
 * configuration's (config/access.h), made by its worker in a ring of its own, from which
 * another thread writes (process/access_log.c).  A ring that is full loses lines,
 * counted, and never keeps a worker waiting.
 */
#ifndef PROXY_HTTP_ACCESS_H
#define PROXY_HTTP_ACCESS_H

#include <stddef.h>
#include <stdint.h>

#include "config/access.h"
#include "http/client.h"

#define ACCESS_RING_BYTES (1u << 20) /* a power of two */
#define ACCESS_LINE_MAX	  12288	     /* all that a line may have, escaped */

/* One writer, one reader. */
struct access_ring {
	uint64_t head; /* bytes ever written; by the worker */
	uint64_t lost; /* lines that found no place; by the worker */
	uint64_t tail __attribute__((aligned(64))); /* bytes ever taken; by the reader */
	char bytes[ACCESS_RING_BYTES];
};

/* What is told of a request. */
struct access {
	const struct access_settings *settings; /* NULL: JSON, of all */
	const struct http_client *client;
	const struct route *route;     /* NULL: none */
	const struct backend *backend; /* NULL: none was asked */
	const struct http_head *head;  /* NULL: what came was no request */
	const char *id, *reason;
	const char *user; /* NULL: nobody has shown who he is */
	unsigned status;  /* 0: no answer */
	unsigned retries;
	uint32_t sample; /* it stands for so many; 0: for itself */
	bool reused;
	uint64_t rx_body_bytes, tx_body_bytes; /* of the client's, as far as known */
	uint64_t duration_us, first_byte_us;
};

/* Into the worker's ring. */
void access_write(struct access_ring *r, const struct access *a);

/* Up to n bytes of whole lines, taken out; how many. */
size_t access_take(struct access_ring *r, char *buf, size_t n);

#endif
