/* SPDX-License-Identifier: Apache-2.0 */
/* What of HTTP goes into the books, each thing in the moment when it is over. */
#ifndef PROXY_HTTP_ACCOUNT_H
#define PROXY_HTTP_ACCOUNT_H

#include "book/writer.h"
#include "http/h1.h"

/* A request that is over. */
struct account_request {
	enum tg_request reason;
	uint8_t method;	 /* enum http_method */
	uint16_t status; /* of the answer; 0: there was none */
	bool asked;	 /* a backend */
	bool reused;	 /* by a connection of the pool */
	unsigned retries;
	bool raised;
	uint64_t duration_us, first_byte_us; /* 0: no byte */
};
void account_request(struct http_book *book, const struct account_request *r);

/* What went over an end that its exchange lets go. */
void account_bytes(struct http_book *book, bool is_back, const struct http_end *e);

/* A connection that is over, after h1_close() and before its conn is closed. */
void account_connection(struct http_book *book, const struct h1 *h, bool is_back);

/* The reason of what a message is refused for. */
enum tg_request account_fault(enum http_fault f);

#endif
