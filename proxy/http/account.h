/* SPDX-License-Identifier: Apache-2.0 */
/* What of HTTP goes into the books, each thing in the moment when it is over. */
#ifndef PROXY_HTTP_ACCOUNT_H
#define PROXY_HTTP_ACCOUNT_H

#include "book/writer.h"
#include "http/end.h"
#include "net/conn.h"

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

/* A connection begins; account_connection() is its end, once. */
void account_begin(struct http_book *book, bool is_back);

/* A connection that is over, before its conn is closed: what its messages were. */
struct account_connection {
	const struct conn *conn;
	uint64_t told[TG_DIR_MAX]; /* of messages, and `own` and `unread` */
	uint64_t own[TG_DIR_MAX];  /* framing of no message */
	uint64_t unread;	   /* of what came, what was no message */
	uint64_t dropped;	   /* of what is told, what the conn never had */
};
void account_connection(struct http_book *book, const struct account_connection *a,
			bool is_back);

#endif
