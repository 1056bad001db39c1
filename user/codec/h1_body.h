/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies of HTTP/1.1: where they end, and chunks (RFC 9112 6.3, 7.1).  Pure. */
#ifndef USER_CODEC_H1_BODY_H
#define USER_CODEC_H1_BODY_H

#include "codec/http.h"

struct h1_body {
	uint8_t kind;	     /* enum http_body */
	uint8_t state;	     /* of chunks */
	uint8_t digits;	     /* of the size that is being read */
	uint16_t extension;  /* bytes of this chunk's */
	uint32_t extensions; /* of all */
	uint64_t left;	     /* of the body, or of this chunk */
};

enum h1_step {
	H1_MORE,     /* nothing more to be had of these bytes */
	H1_DATA,     /* bytes of the body */
	H1_TRAILERS, /* the trailer section begins: h1_read_trailers(), then it is over */
	H1_OVER,     /* the body has ended */
	H1_BAD,	     /* *ret_fault */
};

void h1_body_begin(struct h1_body *b, const struct http_head *h);

/*
 * Go on with n bytes.  *used of them are framing.  With DATA the next *data_n, which are
 * not more than there are, are the body's: say h1_body_took() of as many as were used.
 */
enum h1_step h1_body_next(struct h1_body *b, const uint8_t *p, size_t n, size_t *used,
			  size_t *data_n, enum http_fault *ret_fault);
void h1_body_took(struct h1_body *b, size_t n);

/* May the connection's end be the body's? */
static inline bool h1_body_may_end(const struct h1_body *b)
{
	return b->kind == HTTP_BODY_CLOSE || b->kind == HTTP_BODY_NONE;
}

/* "SIZE\r\n" of a chunk of n > 0 bytes, behind which "\r\n" goes: how long, at most
 * H1_CHUNK_MAX. */
#define H1_CHUNK_MAX 18
size_t h1_chunk(char buf[H1_CHUNK_MAX], size_t n);

#endif
