/* SPDX-License-Identifier: Apache-2.0 */
#include <openssl/ssl.h>

#include "tls/record_sums.h"

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

	if (type == SSL3_RT_HEADER && len >= 5) {
		record_sums_end(n);
		n->last = 5u + ((unsigned)p[3] << 8 | p[4]);
		n->last_type = -1;
		n->records += n->last;
		if (p[0] != SSL3_RT_APPLICATION_DATA || !is_13)
			is_of(n, p[0]);
	} else if (type == SSL3_RT_INNER_CONTENT_TYPE && len == 1 && n->last_type < 0) {
		is_of(n, p[0]);
	}
}
