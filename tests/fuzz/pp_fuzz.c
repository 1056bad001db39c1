/* SPDX-License-Identifier: Apache-2.0 */
/* What decodes must encode and decode to the same; a shorter input is never valid. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t out[PP2_MAX];
	struct pp_info a, b;
	ssize_t n, m;

	n = pp_decode(data, len, &a);
	if (n <= 0)
		return 0;
	if ((size_t)n > len || (a.tlv && a.tlv + a.tlv_len > data + n))
		abort();
	if (n < PP2_MAX && pp_decode(data, (size_t)n - 1, &b) != -EAGAIN)
		abort();
	m = pp_encode(out, sizeof(out), &a);
	if (m <= 0 || pp_decode(out, (size_t)m, &b) != m)
		abort();
	if (a.known != b.known || (a.version == PP_V2 && a.local != b.local))
		abort();
	if (a.known &&
	    (memcmp(&a.src, &b.src, sizeof(a.src)) != 0 ||
	     memcmp(&a.dst, &b.dst, sizeof(a.dst)) != 0 || a.tlv_len != b.tlv_len ||
	     (a.tlv_len && memcmp(a.tlv, b.tlv, a.tlv_len) != 0)))
		abort();
	return 0;
}
