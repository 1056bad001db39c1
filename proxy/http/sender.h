/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What goes out on a conn: heads and small bodies are gathered and leave together at the
 * end of the turn, in one write and one record of TLS; a large body goes as it is.  A
 * sender that has nothing holds nothing.
 */
#ifndef PROXY_HTTP_SENDER_H
#define PROXY_HTTP_SENDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct conn;
struct pool_buffer;

struct sender {
	struct conn *conn;
	struct pool_buffer *staged;
	int err;		     /* of a write that took what it was given */
	struct sender *next, **prev; /* of the worker's list; prev NULL: not in it */
};

void sender_init(struct sender *s, struct conn *c);

/* Where n bytes may be written, of which sender_put() says how many were; NULL: no
 * memory. They are taken however much waits already. */
uint8_t *sender_room(struct sender *s, size_t n);
void sender_put(struct sender *s, size_t n);

/* A part of a body: how many bytes of it were taken, -EAGAIN, or another negative errno.
 */
ssize_t sender_body(struct sender *s, const uint8_t *p, size_t n);

/* How many bytes of a body it would take now; 0: it is blocked. */
size_t sender_window(const struct sender *s);

/* The conn is writable, or it is the end of the turn: 0 when all is gone, -EAGAIN or
 * another negative errno. */
int sender_flush(struct sender *s);

/* Bytes that were taken and are not the conn's yet. */
size_t sender_staged(const struct sender *s);

/* Nothing more goes: what it has is dropped. */
void sender_close(struct sender *s);

#endif
