/* SPDX-License-Identifier: Apache-2.0 */
/* What is read is within the data, and is the same when it is written and read again. */
#include <stdlib.h>
#include <string.h>

#include "session/pack.h"

static void within(const uint8_t *data, size_t len, struct image_bytes b)
{
	if (b.n && (b.data < data || b.data + b.n > data + len))
		abort();
}

static void same(struct image_bytes a, struct image_bytes b)
{
	if (a.n != b.n || (a.n && memcmp(a.data, b.data, a.n) != 0))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct image im, again;

	if (pack_read(data, len, &im) < 0)
		return 0;
	within(data, len, im.request.buffer);
	within(data, len, im.response.buffer);
	within(data, len, im.opening);
	within(data, len, im.heard);
	for (uint32_t version = 2; version <= 3; version++) {
		size_t n;
		uint8_t *written;

		if (version == 2 && im.listener == UINT16_MAX && im.route == UINT16_MAX)
			continue; /* ids that are never given: so the other begins */
		written = pack_write(&im, version, &n);

		if (!written || pack_read(written, n, &again) < 0 ||
		    again.backend != im.backend || again.half_ms != im.half_ms ||
		    again.up.tx_header != im.up.tx_header)
			abort();
		same(im.request.buffer, again.request.buffer);
		same(im.response.buffer, again.response.buffer);
		same(im.opening, again.opening);
		same(im.heard, again.heard);
		free(written);
	}
	return 0;
}
