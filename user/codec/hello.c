/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two passes.  The scan walks record headers as they arrive and finds the end of the
 * handshake message; only then the message is parsed, once, through a cursor that steps
 * over the record headers in between.
 *
 *   record     type(1)=22 version(2)=3.x length(2) fragment
 *   handshake  type(1)=1 length(3) body, cut into fragments anywhere
 *   body       version(2) random(32) session_id<0..32> ciphers<2..> compression<1..>
 *              extensions<0..>: type(2) data<0..>
 *   server_name        list<1..> of type(1)=0 name<1..>
 *   alpn               list<2..> of name<1..255>
 *   supported_versions list<2..254> of version(2)
 */
#include <errno.h>
#include <string.h>

#include "codec/hello.h"
#include "codec/hello_cursor.h"

#define RECORD_MAX	  16384 /* RFC 8446 5.1: 2^14 bytes of plaintext */
#define TYPE_HANDSHAKE	  22
#define TYPE_CLIENT_HELLO 1
#define TYPE_SERVER_HELLO 2
#define EXT_ECH		  0xfe0d
#define ECH_OUTER	  0

/* RFC 6066 3: ASCII host name without a trailing dot; we tolerate the dot. */
static int read_name(struct cursor *c, size_t len, struct hello *h)
{
	if (len == 0 || len > HELLO_NAME_MAX || len > c->left)
		return -EBADMSG;
	for (size_t i = 0; i < len; i++) {
		char ch = (char)get_u8(c);

		if (ch >= 'A' && ch <= 'Z')
			ch = (char)(ch - 'A' + 'a');
		if (!((ch >= 'a' && ch <= 'z') || (ch >= '0' && ch <= '9') || ch == '-' ||
		      ch == '.' || ch == '_'))
			return -EBADMSG;
		h->sni[i] = ch;
	}
	if (len > 1 && h->sni[len - 1] == '.')
		len--;
	h->sni[len] = '\0';
	h->has_sni = true;
	return 0;
}

static int parse_server_name(struct cursor *c, size_t len, struct hello *h)
{
	size_t list = get_u16(c);

	if (h->has_sni || c->bad || len < 2 || list != len - 2 || list == 0)
		return -EBADMSG;
	while (list > 0) {
		unsigned type = get_u8(c);
		size_t n = get_u16(c);

		if (c->bad || list < 3 + n)
			return -EBADMSG;
		list -= 3 + n;
		/* "The ServerNameList MUST NOT contain more than one name of the same
		 * type" */
		if (type == 0 && h->has_sni)
			return -EBADMSG;
		if (type == 0 && read_name(c, n, h) < 0)
			return -EBADMSG;
		if (type != 0)
			skip(c, n);
	}
	return c->bad ? -EBADMSG : 0;
}

static int parse_alpn(struct cursor *c, size_t len, struct hello *h)
{
	size_t list = get_u16(c);

	if (h->has_alpn || c->bad || len < 4 || list != len - 2)
		return -EBADMSG;
	h->has_alpn = true;
	while (list > 0) {
		size_t n = get_u8(c), at = h->alpn_len;
		bool keep = at + 1 + n <= HELLO_ALPN_MAX;

		if (c->bad || n == 0 || n + 1 > list)
			return -EBADMSG;
		list -= n + 1;
		if (!keep) {
			skip(c, n);
			continue;
		}
		h->alpn[at] = (uint8_t)n;
		for (size_t i = 1; i <= n; i++)
			h->alpn[at + i] = (uint8_t)get_u8(c);
		h->alpn_len = (uint8_t)(at + 1 + n);
	}
	return c->bad ? -EBADMSG : 0;
}

/*
 * RFC 8446 4.2.1: it alone counts if it is there.  GREASE (RFC 8701) and drafts are no
 * versions.
 */
static int parse_versions(struct cursor *c, size_t len, struct hello *h)
{
	size_t list = get_u8(c);
	unsigned highest = 0;

	if (c->bad || len < 3 || list != len - 1 || list % 2)
		return -EBADMSG;
	for (; list > 0; list -= 2) {
		unsigned version = get_u16(c);

		if (version >> 8 == 3 && version > highest)
			highest = version;
	}
	if (highest)
		h->version = (uint16_t)highest;
	return c->bad ? -EBADMSG : 0;
}

static int parse_ech(struct cursor *c, size_t len, struct hello *h)
{
	if (len == 0)
		return -EBADMSG;
	h->ech_outer = get_u8(c) == ECH_OUTER;
	skip(c, len - 1);
	return 0;
}

static int parse_extension(struct cursor *c, unsigned type, size_t len, struct hello *h)
{
	switch (type) {
	case EXT_SERVER_NAME:
		return parse_server_name(c, len, h);
	case EXT_ALPN:
		return parse_alpn(c, len, h);
	case EXT_VERSIONS:
		return parse_versions(c, len, h);
	case EXT_ECH:
		return parse_ech(c, len, h);
	default:
		skip(c, len);
		return 0;
	}
}

static int parse_extensions(struct cursor *c, struct hello *h)
{
	size_t all;

	if (c->left == 0)
		return 0; /* RFC 5246 7.4.1.2: extensions may be absent */
	all = get_u16(c);
	if (c->bad || all != c->left)
		return -EBADMSG;
	while (c->left > 0) {
		unsigned type = get_u16(c);
		size_t len = get_u16(c);

		if (c->bad || len > c->left)
			return -EBADMSG;
		if (parse_extension(c, type, len, h) < 0)
			return -EBADMSG;
	}
	return c->bad ? -EBADMSG : 0;
}

static int parse_body(struct hello *h, const uint8_t *buf, size_t need)
{
	struct cursor c = { .buf = buf, .left = need };
	size_t n;

	skip(&c, HANDSHAKE_HEADER);
	h->version = (uint16_t)get_u16(&c);
	if (h->version >> 8 != 3)
		return -EBADMSG;
	skip(&c, 32);
	n = get_u8(&c);
	if (n > SESSION_ID_MAX)
		return -EBADMSG;
	skip(&c, n);
	n = get_u16(&c);
	if (n < 2 || n % 2)
		return -EBADMSG;
	skip(&c, n);
	n = get_u8(&c);
	if (n < 1)
		return -EBADMSG;
	skip(&c, n);
	if (c.bad)
		return -EBADMSG;
	return parse_extensions(&c, h);
}

/* The message header may itself be spread over records of one byte. */
static int read_header(struct hello_scan *h, const uint8_t *buf)
{
	struct cursor c = { .buf = buf, .left = HANDSHAKE_HEADER };
	size_t len;

	if (get_u8(&c) != TYPE_CLIENT_HELLO)
		return -EPROTO;
	len = (size_t)get_u8(&c) << 16;
	len |= get_u16(&c);
	h->need = HANDSHAKE_HEADER + len;
	return 0;
}

/* As much of a record header as is there must be right. */
static int check_record(const uint8_t *p, size_t len, bool first)
{
	int wrong = first ? -EPROTO : -EBADMSG;
	size_t n;

	if (len > 0 && p[0] != TYPE_HANDSHAKE)
		return wrong;
	if (len > 1 && p[1] != 3)
		return wrong;
	if (len < RECORD_HEADER)
		return -EAGAIN;
	n = (size_t)p[3] << 8 | p[4];
	if (n == 0 || n > RECORD_MAX)
		return wrong;
	if (!first)
		return 0;
	/* the answer may not depend on whether this byte came along with the header */
	if (len == RECORD_HEADER)
		return -EAGAIN;
	return p[RECORD_HEADER] == TYPE_CLIENT_HELLO ? 0 : -EPROTO;
}

ssize_t hello_scan(struct hello_scan *h, const uint8_t *buf, size_t len, size_t max,
		   struct hello *ret)
{
	int err;

	while (h->need == 0 || h->have < h->need) {
		const uint8_t *p = buf + h->next_record;
		size_t take;

		if (h->next_record > len) /* within a record whose header we know */
			return -EAGAIN;
		err = check_record(p, len - h->next_record, h->records == 0);
		if (err)
			return err;
		take = (size_t)p[3] << 8 | p[4];
		if (h->need == 0 && h->have + take >= HANDSHAKE_HEADER) {
			/* the header's bytes end in this record: are they here? */
			if (len - h->next_record <
			    RECORD_HEADER + HANDSHAKE_HEADER - h->have)
				return -EAGAIN;
			err = read_header(h, buf);
			if (err)
				return err;
		}
		if (h->need && h->have + take > h->need)
			take = h->need -
			       h->have; /* more in the record is not the hello */
		if (h->next_record + RECORD_HEADER + take > max || h->need > max)
			return -EMSGSIZE;
		h->have += take;
		h->next_record += RECORD_HEADER + take;
		h->records++;
	}
	if (len < h->next_record)
		return -EAGAIN;
	memset(ret, 0, sizeof(*ret));
	err = parse_body(ret, buf, h->need);
	return err ? err : (ssize_t)h->next_record;
}

bool hello_read(const uint8_t *buf, size_t len, size_t max, struct hello *ret)
{
	struct hello_scan scan = { 0 };

	if (len && hello_scan(&scan, buf, len, max, ret) > 0)
		return true;
	memset(ret, 0, sizeof(*ret));
	return false;
}

void hello_alert(bool named, uint8_t ret[HELLO_ALERT_LEN])
{
	static const uint8_t alert[HELLO_ALERT_LEN] = { 21, 3, 3, 0, 2, 2, 109 };

	memcpy(ret, alert, sizeof(alert));
	if (named)
		ret[HELLO_ALERT_LEN - 1] = 112;
}

bool hello_offers(const struct hello *h, const char *protocol)
{
	size_t n = strlen(protocol);

	for (size_t at = 0; at < h->alpn_len; at += 1u + h->alpn[at]) {
		if (h->alpn[at] == n && memcmp(h->alpn + at + 1, protocol, n) == 0)
			return true;
	}
	return false;
}

/* --- making one --- */

static uint8_t *put_u16(uint8_t *p, size_t v)
{
	*p++ = (uint8_t)(v >> 8);
	*p++ = (uint8_t)v;
	return p;
}

static uint8_t *put_bytes(uint8_t *p, const char *bytes, size_t n)
{
	memcpy(p, bytes, n);
	return p + n;
}

#define PUT(p, literal) put_bytes(p, literal, sizeof(literal) - 1)

ssize_t hello_make(uint8_t *buf, size_t cap, const char *name)
{
	size_t n = name ? strlen(name) : 0;
	uint8_t *p = buf + RECORD_HEADER + HANDSHAKE_HEADER, *extensions;

	if (cap < 256 + n)
		return -ENOSPC;
	p = put_u16(p, 0x0303);
	memset(p, 0x54, 32); /* random: nothing is kept secret here */
	p += 32;
	*p++ = 0; /* no session */
	/* AES-GCM and ChaCha20 of 1.3, ECDHE with ECDSA and RSA of 1.2 */
	p = PUT(p, "\0\x0e\x13\1\x13\2\x13\3\xc0\x2b\xc0\x2f\xc0\x2c\xc0\x30");
	p = PUT(p, "\1\0"); /* no compression */
	extensions = p;
	p += 2;
	if (name) {
		p = put_u16(p, EXT_SERVER_NAME);
		p = put_u16(p, n + 5);
		p = put_u16(p, n + 3);
		*p++ = 0;
		p = put_u16(p, n);
		p = put_bytes(p, name, n);
	}
	p = PUT(p, "\0\x0a\0\6\0\4\0\x1d\0\x17"); /* groups: x25519, secp256r1 */
	p = PUT(p, "\0\x0d\0\x0e\0\x0c\4\3\5\3\4\1\5\1\x08\4\x08\5"); /* signatures */
	p = PUT(p, "\0\x2b\0\5\4\3\4\3\3");			      /* versions */
	p = PUT(p, "\0\x33\0\x26\0\x24\0\x1d\0\x20");		      /* key share */
	memset(p, 0x09, 32);
	p += 32;
	(void)put_u16(extensions, (size_t)(p - extensions - 2));
	n = (size_t)(p - buf);
	p = put_u16(PUT(buf, "\x16\3\1"), n - RECORD_HEADER);
	*p++ = TYPE_CLIENT_HELLO;
	*p++ = 0;
	(void)put_u16(p, n - RECORD_HEADER - HANDSHAKE_HEADER);
	return (ssize_t)n;
}

bool hello_is_answer(const uint8_t bytes[HELLO_ANSWER_LEN])
{
	return bytes[0] == TYPE_HANDSHAKE && bytes[RECORD_HEADER] == TYPE_SERVER_HELLO;
}
