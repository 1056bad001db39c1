/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A relaying session as bytes, for another process.  Fields of tag, length and value, so
 * that it can grow: a value may be longer than a reader knows (the rest is left) or
 * shorter (the rest is 0); a field with a tag it does not know is left if it is optional,
 * or else the session is not for it.  Version 2 of the handover is one struct; it is
 * written for a successor of that version, and read from an old process of it.
 */
#ifndef PROXY_SESSION_PACK_H
#define PROXY_SESSION_PACK_H

#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

struct image_leg {
	uint64_t rx, tx, rx_header, tx_header;
	uint8_t ended, urgent, shut_out;
};

struct image_bytes {
	const uint8_t *data;
	uint32_t n;
};

struct image_dir {
	uint32_t pipe; /* bytes in the pipe that comes along */
	uint8_t has_pipe, bulk, eof;
	struct image_bytes buffer;
};

struct image {
	uint16_t listener, route, backend; /* ids by name, the same in both processes */
	uint8_t sniff, first;		   /* 0 none, 1 the client, 2 the backend */
	uint8_t retries;
	uint8_t trusted; /* its peer must have sent a PROXY header */
	uint32_t sniff_since_ms;
	int64_t began_ms, active_ms, half_ms; /* of CLOCK_MONOTONIC, which they share */
	struct addr peer, client, up_addr;
	struct image_leg down, up;
	struct image_dir request, response;
	struct image_bytes opening; /* not sent yet */
	struct image_bytes heard;
};

/*
 * For a successor that speaks this version of the handover.  malloc, and its size in
 * *len; NULL without memory.
 */
uint8_t *pack_write(const struct image *im, uint32_t version, size_t *len);

/* Whatever version it is of; *ret points into data.  0, or -EPROTO with *ret undefined.
 */
int pack_read(const uint8_t *data, size_t len, struct image *ret);

#endif
