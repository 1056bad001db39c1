/* SPDX-License-Identifier: Apache-2.0 */
/* What decodes must encode and decode to the same; a shorter input is never valid. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "codec/pp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* The next TLV that is no checksum. */
static bool next_data(const struct pp_info *info, size_t *at, struct pp_tlv *t)
{
	while (pp_tlv_next(info, at, t)) {
		if (t->type != PP_TYPE_CRC32C)
			return true;
	}
	return false;
}

static void check_tlvs(const struct pp_info *a, const struct pp_info *b)
{
	size_t i = 0, k = 0;
	struct pp_tlv x, y;

	while (next_data(a, &i, &x)) {
		if (!next_data(b, &k, &y) || x.type != y.type || x.len != y.len ||
		    memcmp(x.value, y.value, x.len) != 0)
			abort();
	}
	if (next_data(b, &k, &y) || !pp_has_tlv(b, PP_TYPE_CRC32C))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const struct pp_extra extra = { .checksum = true };
	uint8_t out[PP2_MAX + 7];
	enum pp_fault fault;
	struct pp_info a, b;
	ssize_t n, m;

	n = pp_decode(data, len, &a, &fault);
	if ((n == -EPROTO) != (fault != PP_FAULT_NONE))
		abort();
	if (n <= 0)
		return 0;
	if ((size_t)n > len || (a.tlv && a.tlv + a.tlv_len > data + n))
		abort();
	if (n < PP2_MAX && pp_decode(data, (size_t)n - 1, &b, &fault) != -EAGAIN)
		abort();
	m = pp_encode(out, sizeof(out), &a, &extra);
	if (m > PP2_MAX)
		return 0;
	if (m <= 0 || pp_decode(out, (size_t)m, &b, &fault) != m)
		abort();
	if (a.known != b.known || (a.version == PP_V2 && a.local != b.local))
		abort();
	if (!a.known)
		return 0;
	if (memcmp(&a.src, &b.src, sizeof(a.src)) != 0 ||
	    memcmp(&a.dst, &b.dst, sizeof(a.dst)) != 0)
		abort();
	if (a.version == PP_V2)
		check_tlvs(&a, &b);
	return 0;
}
