/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdbool.h>

#include "base/base64.h"

static int value_of(char c, enum base64_kind kind)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == (kind == BASE64 ? '+' : '-'))
		return 62;
	return c == (kind == BASE64 ? '/' : '_') ? 63 : -1;
}

/* Characters without the padding; 0 of n > 0: there is not what there must be. */
static size_t without_padding(const char *p, size_t n)
{
	if (n % 4)
		return 0;
	for (int i = 0; i < 2 && n && p[n - 1] == '='; i++)
		n--;
	return n;
}

ssize_t base64_decode(const char *p, size_t n, enum base64_kind kind, uint8_t *ret,
		      size_t cap)
{
	size_t chars = kind == BASE64 ? without_padding(p, n) : n, bytes = 0;
	unsigned have = 0;
	uint32_t bits = 0;

	if ((n && !chars) || chars % 4 == 1)
		return -EINVAL;
	for (size_t i = 0; i < chars; i++) {
		int v = value_of(p[i], kind);

		if (v < 0)
			return -EINVAL;
		bits = bits << 6 | (uint32_t)v;
		have += 6;
		if (have < 8)
			continue;
		if (bytes == cap)
			return -ENOSPC;
		have -= 8;
		ret[bytes++] = (uint8_t)(bits >> have);
	}
	/* what is left over says nothing (RFC 4648 3.5) */
	return bits & ((1u << have) - 1) ? -EINVAL : (ssize_t)bytes;
}
