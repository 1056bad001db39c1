/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Moving bytes from one conn to another.  Both raw: a small exchange is read into the
 * worker's outbox and sent at the end of the turn together with others (outbox.h), or,
 * without one, read into its spare buffer and written at once.  When a read fills the
 * buffer the way is bulk, and its bytes move by splice(2) through a pooled pipe,
 * uncopied.  What the receiver does not take at once stays in that pipe, the source's, or
 * in the receiver's `out`; without either, bytes are peeked, sent and then taken, so that
 * a shortage slows the relay but never stops or loses anything.  With a layer on either
 * end: read through one and written through the other, by the spare buffer.
 */
#ifndef PROXY_NET_RELAY_H
#define PROXY_NET_RELAY_H

#include <stdbool.h>
#include <stddef.h>

#include "net/conn.h"

enum relay_result {
	RELAY_AGAIN_IN,	 /* the source has nothing now */
	RELAY_QUEUED,	 /* the same, and what it had is in the outbox */
	RELAY_AGAIN_OUT, /* the receiver takes nothing now */
	RELAY_EOF,	 /* the source has ended and everything was delivered */
	RELAY_BUDGET,	 /* there may be more: call again after others had their turn */
	RELAY_ERR_IN,	 /* the source failed, from->err says how */
	RELAY_ERR_OUT,	 /* the receiver failed, to->err; ENOMEM: bytes are lost */
};

/*
 * Move up to about a budget's worth, and count it.  What the caller knows of the source
 * is in its flags: `ended`: its FIN is here, a short read is not the last; `urgent`: no
 * splice, which stops for ever before TCP urgent data (tcp_read_sock() in the kernel),
 * while a plain read passes it on as bytes of the stream if SO_OOBINLINE is set.
 */
enum relay_result relay_move(struct conn *from, struct conn *to);

/*
 * Bytes taken from the source that the receiver did not take yet; of what a receiver with
 * a layer holds for its socket, as it will be there.
 */
size_t relay_held(const struct conn *from, const struct conn *to);

#endif
