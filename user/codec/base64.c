/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdbool.h>

#include "codec/base64.h"

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

/* Away with the padding; false if there is not what there must be. */
static bool cut_padding(struct text *t)
{
	if (t->n % 4)
		return false;
	for (int i = 0; i < 2 && t->n && t->p[t->n - 1] == '='; i++)
		t->n--;
	return true;
}

ssize_t base64_decode(struct text t, enum base64_kind kind, uint8_t *ret, size_t cap)
{
	uint32_t bits = 0;
	unsigned have = 0;
	size_t n = 0;

	if ((kind == BASE64 && !cut_padding(&t)) || t.n % 4 == 1)
		return -EINVAL;
	for (size_t i = 0; i < t.n; i++) {
		int v = value_of(t.p[i], kind);

		if (v < 0)
			return -EINVAL;
		bits = bits << 6 | (uint32_t)v;
		have += 6;
		if (have < 8)
			continue;
		if (n == cap)
			return -ENOSPC;
		have -= 8;
		ret[n++] = (uint8_t)(bits >> have);
	}
	/* what is left over says nothing (RFC 4648 3.5) */
	return bits & ((1u << have) - 1) ? -EINVAL : (ssize_t)n;
}
