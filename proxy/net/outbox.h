/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small sends of one turn of the loop, made together at its end: by one system call
 * through io_uring instead of one each (measured: tests/bench/README.md).  Nothing is
 * ever under way between two turns, so whoever ends, drains or moves a connection has at
 * most to say outbox_send_now() first.  Without io_uring there is no outbox, and all is
 * sent at once.
 */
#ifndef PROXY_NET_OUTBOX_H
#define PROXY_NET_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define OUTBOX_ITEMS 256
#define OUTBOX_BYTES (128 * 1024)

/* Bytes to be sent, in the outbox's memory. */
struct outbox_item {
	void *owner; /* NULL: sent already */
	int fd;
	const uint8_t *data;
	size_t len;
	ssize_t result; /* bytes sent, or a negative errno; after outbox_flush() */
};

struct outbox;

/* One for the calling thread.  NULL if the kernel has no io_uring for us. */
struct outbox *outbox_new(void);
void outbox_free(struct outbox *o); /* NULL is fine */

/* Where up to `max` bytes may be read to; NULL if there is no room, or o is NULL. */
uint8_t *outbox_room(struct outbox *o, size_t max);

/* The first n bytes there are to be sent to fd.  The item's number, from 1 on. */
unsigned outbox_add(struct outbox *o, void *owner, int fd, size_t n);

/* Send item `number` now, and forget it.  The item, with its result. */
struct outbox_item outbox_send_now(struct outbox *o, unsigned number);

/*
 * Send all that is left.  The items, *ret_n of them, with their results; they and their
 * bytes are there until the next outbox_room().
 */
const struct outbox_item *outbox_flush(struct outbox *o, unsigned *ret_n);

#endif
