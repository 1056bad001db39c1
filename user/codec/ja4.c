/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/digest.h"
#include "codec/hello_cursor.h"
#include "codec/ja4.h"

#define LIST_MAX 256

struct list {
	uint16_t v[LIST_MAX];
	unsigned n;
	bool full;
};

struct lists {
	struct list ciphers, extensions, signatures;
	bool server_name; /* the extension is there, whatever it says */
	unsigned version; /* the highest of supported_versions, else the legacy one */
	bool protocols;
	uint8_t ends[2]; /* first and last byte of the first protocol */
};

/* RFC 8701 */
static bool is_grease(unsigned v)
{
	return (v & 0x0f0f) == 0x0a0a && v >> 8 == (v & 0xff);
}

static void add(struct list *l, unsigned v)
{
	if (is_grease(v))
		return;
	if (l->n == LIST_MAX)
		l->full = true;
	else
		l->v[l->n++] = (uint16_t)v;
}

/* len bytes of values. */
static void read_list(struct cursor *c, struct list *l, size_t len)
{
	for (; len >= 2 && !c->bad; len -= 2)
		add(l, get_u16(c));
	skip(c, len);
}

/* Of the whole list, of whatever protocol; those of GREASE do not count. */
static void read_versions(struct cursor *c, size_t len, struct lists *ret)
{
	struct list versions = { .n = 0 };

	(void)get_u8(c); /* the list is all there is */
	read_list(c, &versions, len - 1);
	if (versions.n)
		ret->version = 0;
	for (unsigned i = 0; i < versions.n; i++) {
		if (versions.v[i] > ret->version)
			ret->version = versions.v[i];
	}
}

static void read_first_protocol(struct cursor *c, size_t len, struct lists *ret)
{
	size_t n;

	(void)get_u16(c); /* the list is all there is */
	n = get_u8(c);
	if (n == 0 || n > len - 3) {
		skip(c, len - 3);
		return;
	}
	ret->protocols = true;
	ret->ends[0] = get_u8(c);
	ret->ends[1] = ret->ends[0];
	if (n > 2)
		skip(c, n - 2);
	if (n > 1)
		ret->ends[1] = get_u8(c);
	skip(c, len - 3 - n);
}

static void read_extension(struct cursor *c, struct lists *ret)
{
	unsigned type = get_u16(c);
	size_t len = get_u16(c);

	add(&ret->extensions, type);
	ret->server_name |= type == EXT_SERVER_NAME;
	if (type == EXT_SIGNATURE_ALGS && len >= 2) {
		(void)get_u16(c); /* the list is all there is */
		read_list(c, &ret->signatures, len - 2);
	} else if (type == EXT_VERSIONS && len >= 1) {
		read_versions(c, len, ret);
	} else if (type == EXT_ALPN && len >= 3) {
		read_first_protocol(c, len, ret);
	} else {
		skip(c, len);
	}
}

static void read_lists(const uint8_t *buf, size_t need, struct lists *ret)
{
	struct cursor c = { .buf = buf, .left = need };

	skip(&c, HANDSHAKE_HEADER);
	ret->version = get_u16(&c);
	skip(&c, 32);
	skip(&c, get_u8(&c)); /* session */
	read_list(&c, &ret->ciphers, get_u16(&c));
	skip(&c, get_u8(&c)); /* compression */
	if (c.left >= 2)
		(void)get_u16(&c);
	while (c.left > 0 && !c.bad)
		read_extension(&c, ret);
}

static const char *version_text(unsigned version)
{
	static const char *const texts[] = { "s3", "10", "11", "12", "13" };

	if (version >= 0x300 && version <= 0x304)
		return texts[version - 0x300];
	switch (version) {
	case 0x0002:
		return "s2";
	case 0xfeff:
		return "d1";
	case 0xfefd:
		return "d2";
	case 0xfefc:
		return "d3";
	default:
		return "00";
	}
}

/* First and last character of the first protocol; of its hexadecimal form if either is
 * not alphanumeric. */
static void alpn_text(const struct lists *l, char ret[3])
{
	static const char digits[] = "0123456789abcdef";
	uint8_t first = l->ends[0], last = l->ends[1];

	if (!l->protocols) {
		memcpy(ret, "00", 3);
		return;
	}
	if (first < 0x80 && last < 0x80 && isalnum(first) && isalnum(last))
		(void)snprintf(ret, 3, "%c%c", first, last);
	else
		(void)snprintf(ret, 3, "%c%c", digits[first >> 4], digits[last & 15]);
}

static int by_value(const void *a, const void *b)
{
	return *(const uint16_t *)a - *(const uint16_t *)b;
}

/* "002f,0035"; at most 5 bytes a value, without `but` of them. */
static size_t format(char *ret, const struct list *l, const uint16_t *but, size_t but_n)
{
	size_t len = 0;

	for (unsigned i = 0; i < l->n; i++) {
		bool skipped = false;

		for (size_t k = 0; k < but_n; k++)
			skipped |= l->v[i] == but[k];
		if (skipped)
			continue;
		if (len)
			ret[len++] = ',';
		(void)snprintf(ret + len, 5, "%04x", l->v[i]);
		len += 4;
	}
	return len;
}

/* The first 12 hexadecimal digits of the text's SHA-256. */
static void hash(const char *text, size_t len, bool any, char ret[13])
{
	uint8_t sum[DIGEST_SHA256_LEN];

	if (!any || digest_sha256(text, len, sum) < 0)
		memset(sum, 0, sizeof(sum));
	(void)snprintf(ret, 13, "%02x%02x%02x%02x%02x%02x", sum[0], sum[1], sum[2],
		       sum[3], sum[4], sum[5]);
}

static unsigned most_99(unsigned n)
{
	return n < 99 ? n : 99;
}

void ja4_make(const uint8_t *buf, const struct hello_scan *scan, char ret[JA4_LEN + 1])
{
	static const uint16_t counted_only[] = { EXT_SERVER_NAME, EXT_ALPN };
	char text[2 * 5 * LIST_MAX + 1], ciphers[13], extensions[13], alpn[3];
	struct lists l = { .server_name = false };
	size_t len;

	ret[0] = '\0';
	read_lists(buf, scan->need, &l);
	if (l.ciphers.full || l.extensions.full || l.signatures.full)
		return;
	qsort(l.ciphers.v, l.ciphers.n, sizeof(l.ciphers.v[0]), by_value);
	qsort(l.extensions.v, l.extensions.n, sizeof(l.extensions.v[0]), by_value);
	len = format(text, &l.ciphers, NULL, 0);
	hash(text, len, l.ciphers.n > 0, ciphers);
	len = format(text, &l.extensions, counted_only, 2);
	if (l.signatures.n) {
		text[len++] = '_'; /* in the order they were sent */
		len += format(text + len, &l.signatures, NULL, 0);
	}
	hash(text, len, len > 0, extensions);
	alpn_text(&l, alpn);
	(void)snprintf(ret, JA4_LEN + 1, "t%s%c%02u%02u%s_%s_%s", version_text(l.version),
		       l.server_name ? 'd' : 'i', most_99(l.ciphers.n),
		       most_99(l.extensions.n), alpn, ciphers, extensions);
}
