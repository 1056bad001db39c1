/* SPDX-License-Identifier: Apache-2.0 */
/* The records of a stream, both ways, until its end adds them to the row of its conn. */
#ifndef PROXY_TLS_RECORD_BOOK_H
#define PROXY_TLS_RECORD_BOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/conn.h"
#include "tls/record_sums.h"

struct record_book {
	struct record_sums sums[TG_DIR_MAX];	 /* by what OpenSSL tells */
	struct record_frames frames[TG_DIR_MAX]; /* what it was given, and gave */
};

/* How the stream ended. */
struct record_end {
	uint64_t unread; /* bytes the conn has read and nobody gave to OpenSSL */
	size_t pending;	 /* decrypted, and nobody has read it */
	bool may_hold;	 /* OpenSSL may have bytes that it told nothing of */
	bool may_owe;	 /* it may have told of records that it could not give */
	bool failed;	 /* the socket failed: what was given may not have left */
};

/*
 * Once, before the conn's row is taken from it.  Where the two disagree, or either with
 * the bytes of the conn, it is in tls_residual_bytes.
 */
void record_book_close(struct record_book *b, const struct conn *c,
		       const struct record_end *e);

#endif
