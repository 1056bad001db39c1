/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of one direction of a connection was in records (RFC 8446 5.1, RFC 5246 6.2.1), as
 * OpenSSL tells it.
 */
#ifndef PROXY_TLS_RECORD_SUMS_H
#define PROXY_TLS_RECORD_SUMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes.  records = handshake + other + application, when the last one was told whole. */
struct record_sums {
	uint64_t records; /* all of them, headers included */
	uint64_t
		handshake; /* of these, handshake messages, tickets and key updates too */
	uint64_t other;	   /* alerts, and changes of the cipher */
	uint64_t application; /* the others, with what each costs */
	uint64_t app;	      /* what the user wrote or read: the user's to add */
	unsigned last;	      /* the size of the last one */
	int last_type;	      /* what is in it; -1: it is not told yet */
};

/*
 * A message of SSL_set_msg_callback(3).  A header comes first; what is in a record of TLS
 * 1.3 that is encrypted is told behind it.
 */
void record_sums_tell(struct record_sums *n, bool is_13, int type, const void *buf,
		      size_t len);

/* No more will come: a record whose content was never told is nobody's (`other`). */
void record_sums_end(struct record_sums *n);

/* The header of the last one was told, and it did not come whole. */
void record_sums_undo(struct record_sums *n);

/* The same direction by its bytes alone, whatever OpenSSL tells of them. */
struct record_frames {
	uint64_t bytes; /* all of them */
	uint64_t whole; /* of these, in records that are complete */
	uint64_t part;	/* of the record that is not */
	unsigned size;	/* of that one, once its header is there */
};

/* The next bytes.  Only lengths are looked at (RFC 8446 5.1). */
void record_frames_add(struct record_frames *f, const void *data, size_t n);

#endif
