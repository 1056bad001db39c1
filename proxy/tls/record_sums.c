/* SPDX-License-Identifier: Apache-2.0 */
#include <openssl/ssl.h>

#include "tls/record_sums.h"

#define HEADER_LEN 5u

static uint64_t *class_of(struct record_sums *n, int type)
{
	return type == SSL3_RT_HANDSHAKE	  ? &n->handshake
	       : type == SSL3_RT_APPLICATION_DATA ? &n->application
						  : &n->other;
}

static void is_of(struct record_sums *n, int type)
{
	*class_of(n, type) += n->last;
	n->last_type = type;
}

void record_sums_end(struct record_sums *n)
{
	if (n->last && n->last_type < 0)
		is_of(n, SSL3_RT_ALERT);
}

void record_sums_undo(struct record_sums *n)
{
	*class_of(n, n->last_type) -= n->last;
	n->records -= n->last;
}

void record_sums_tell(struct record_sums *n, bool is_13, int type, const void *buf,
		      size_t len)
{
	const uint8_t *p = buf;

	if (type == SSL3_RT_HEADER && len >= HEADER_LEN) {
		record_sums_end(n);
		n->last = HEADER_LEN + ((unsigned)p[3] << 8 | p[4]);
		n->last_type = -1;
		n->records += n->last;
		if (p[0] != SSL3_RT_APPLICATION_DATA || !is_13)
			is_of(n, p[0]);
	} else if (type == SSL3_RT_INNER_CONTENT_TYPE && len == 1 && n->last_type < 0) {
		is_of(n, p[0]);
	}
}

/* One byte of a header, or as much of a body as there is; how many. */
static size_t step(struct record_frames *f, const uint8_t *p, size_t n)
{
	size_t left = f->size - f->part;

	if (f->part >= HEADER_LEN)
		return n < left ? n : left;
	if (f->part == HEADER_LEN - 2)
		f->size = (unsigned)*p << 8;
	else if (f->part == HEADER_LEN - 1)
		f->size += HEADER_LEN + *p;
	return 1;
}

void record_frames_add(struct record_frames *f, const void *data, size_t n)
{
	const uint8_t *p = data, *end = p + n;

	f->bytes += n;
	while (p < end) {
		size_t taken = step(f, p, (size_t)(end - p));

		p += taken;
		f->part += taken;
		if (f->part < HEADER_LEN || f->part < f->size)
			continue;
		f->whole += f->part;
		f->part = f->size = 0;
	}
}
