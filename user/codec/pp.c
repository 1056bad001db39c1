/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PROXY protocol codec.  Rejects on the first byte that cannot belong to a header, so
 * that a peer that speaks something else is not left waiting.
 *
 *   v1   "PROXY" SP ("TCP4"|"TCP6"|"UNKNOWN") SP src SP dst SP sport SP dport CRLF
 *   v2   signature(12) version|command(1) family|transport(1) length(2) addresses TLVs
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "codec/pp.h"

static const uint8_t v1_signature[6] = "PROXY ";
static const uint8_t v2_signature[12] = "\r\n\r\n\0\r\nQUIT\n";
static const uint8_t v4_head[12] = { [10] = 0xff, [11] = 0xff };

static size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

static bool is_prefix(const uint8_t *buf, size_t len, const uint8_t *sig, size_t sig_len)
{
	return memcmp(buf, sig, min_size(len, sig_len)) == 0;
}

int pp_sniff(const uint8_t *buf, size_t len)
{
	bool v1 = is_prefix(buf, len, v1_signature, sizeof(v1_signature));
	bool v2 = is_prefix(buf, len, v2_signature, sizeof(v2_signature));

	if (!v1 && !v2)
		return 0;
	if ((v1 && len >= sizeof(v1_signature)) || (v2 && len >= sizeof(v2_signature)))
		return 1;
	return -EAGAIN;
}

/* --- version 1 --- */

/* The next field of a line, at most cap - 1 bytes, up to sep; -EPROTO if there is none.
 */
static int v1_field(const char **pos, const char *end, char sep, char *ret, size_t cap)
{
	const char *stop = memchr(*pos, sep, (size_t)(end - *pos));
	size_t n;

	if (!stop)
		return -EPROTO;
	n = (size_t)(stop - *pos);
	if (n == 0 || n >= cap || memchr(*pos, '\0', n))
		return -EPROTO;
	memcpy(ret, *pos, n);
	ret[n] = '\0';
	*pos = stop + 1;
	return 0;
}

static int v1_address(const char *text, int family, uint8_t ret[16])
{
	memcpy(ret, v4_head, sizeof(v4_head));
	return inet_pton(family, text, family == AF_INET ? ret + 12 : ret) == 1 ? 0
										: -EPROTO;
}

/* 2.1: decimal, no leading zeroes */
static int v1_port(const char *text, in_port_t *ret)
{
	uint64_t port;

	if (util_parse_u64(text, 65535, &port) < 0 || (text[0] == '0' && text[1]))
		return -EPROTO;
	*ret = htons((uint16_t)port);
	return 0;
}

/* One line without its CRLF; the fields end in spaces but for the last. */
static int v1_parse_line(const char *line, size_t len, struct pp_info *info)
{
	const char *pos = line + sizeof(v1_signature), *end = line + len;
	char field[INET6_ADDRSTRLEN], tail[8];
	int family;

	if ((size_t)(end - pos) >= 7 && memcmp(pos, "UNKNOWN", 7) == 0 &&
	    (end - pos == 7 || pos[7] == ' '))
		return 0; /* 2.1: the rest of the line is to be ignored */
	if (v1_field(&pos, end, ' ', field, sizeof(field)) < 0)
		return -EPROTO;
	if (strcmp(field, "TCP4") == 0)
		family = AF_INET;
	else if (strcmp(field, "TCP6") == 0)
		family = AF_INET6;
	else
		return -EPROTO;
	if (v1_field(&pos, end, ' ', field, sizeof(field)) < 0 ||
	    v1_address(field, family, info->src.ip) < 0 ||
	    v1_field(&pos, end, ' ', field, sizeof(field)) < 0 ||
	    v1_address(field, family, info->dst.ip) < 0 ||
	    v1_field(&pos, end, ' ', field, sizeof(field)) < 0 ||
	    v1_port(field, &info->src.port) < 0)
		return -EPROTO;
	if ((size_t)(end - pos) >= sizeof(tail) || memchr(pos, '\0', (size_t)(end - pos)))
		return -EPROTO;
	memcpy(tail, pos, (size_t)(end - pos));
	tail[end - pos] = '\0';
	if (v1_port(tail, &info->dst.port) < 0)
		return -EPROTO;
	info->known = true;
	return 0;
}

static ssize_t wrong(enum pp_fault *fault, enum pp_fault what)
{
	*fault = what;
	return -EPROTO;
}

static ssize_t v1_decode(const uint8_t *buf, size_t len, struct pp_info *ret,
			 enum pp_fault *fault)
{
	struct pp_info info = { .version = PP_V1 };
	const uint8_t *cr = memchr(buf, '\r', min_size(len, PP1_MAX));
	size_t line;

	/* what no continuation can mend is not waited for */
	if (!cr && memchr(buf, '\n', min_size(len, PP1_MAX)))
		return wrong(fault, PP_FAULT_V1_LINE);
	if (!cr)
		return len >= PP1_MAX ? wrong(fault, PP_FAULT_V1_LENGTH) : -EAGAIN;
	line = (size_t)(cr - buf);
	if (line + 2 > PP1_MAX)
		return wrong(fault, PP_FAULT_V1_LENGTH);
	if (v1_parse_line((const char *)buf, line, &info) < 0)
		return wrong(fault, PP_FAULT_V1_LINE);
	if (line + 1 >= len)
		return -EAGAIN;
	if (buf[line + 1] != '\n')
		return wrong(fault, PP_FAULT_V1_LINE);
	*ret = info;
	return (ssize_t)line + 2;
}

static ssize_t v1_encode(uint8_t *buf, size_t cap, const struct pp_info *info)
{
	char src[INET6_ADDRSTRLEN], dst[INET6_ADDRSTRLEN];
	bool v4 = addr_is_v4(info->src.ip) && addr_is_v4(info->dst.ip);
	int n;

	if (!info->known || info->local) {
		n = snprintf((char *)buf, cap, "PROXY UNKNOWN\r\n");
	} else {
		/* a pair of mixed families is written as IPv6, v4-mapped */
		inet_ntop(v4 ? AF_INET : AF_INET6, info->src.ip + (v4 ? 12 : 0), src,
			  sizeof(src));
		inet_ntop(v4 ? AF_INET : AF_INET6, info->dst.ip + (v4 ? 12 : 0), dst,
			  sizeof(dst));
		n = snprintf((char *)buf, cap, "PROXY TCP%c %s %s %u %u\r\n",
			     v4 ? '4' : '6', src, dst, ntohs(info->src.port),
			     ntohs(info->dst.port));
	}
	return n < 0 || (size_t)n >= cap ? -ENOSPC : n;
}

/* --- version 2 --- */

enum { V2_UNSPEC = 0, V2_INET = 1, V2_INET6 = 2, V2_UNIX = 3 };

/* 2.2: address bytes of each family */
static const uint8_t v2_addr_len[] = { 0, 12, 36, 216 };

static void v2_addresses(const uint8_t *p, unsigned family, struct pp_info *info)
{
	size_t n = family == V2_INET ? 4 : 16, at = 16 - n;

	memcpy(info->src.ip, v4_head, sizeof(v4_head));
	memcpy(info->dst.ip, v4_head, sizeof(v4_head));
	memcpy(info->src.ip + at, p, n);
	memcpy(info->dst.ip + at, p + n, n);
	memcpy(&info->src.port, p + 2 * n, 2);
	memcpy(&info->dst.port, p + 2 * n + 2, 2);
	info->known = true;
}

/* 2.2: type(1) length(2) value; they must fill the header exactly */
static bool v2_tlvs_fit(const uint8_t *p, size_t len)
{
	while (len >= 3) {
		size_t n = 3 + ((size_t)p[1] << 8 | p[2]);

		if (n > len)
			return false;
		p += n;
		len -= n;
	}
	return len == 0;
}

/* RFC 3720 B.4: CRC32C, a nibble at a time. */
static uint32_t crc32c(uint32_t crc, const uint8_t *p, size_t n)
{
	static const uint32_t table[16] = {
		0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
		0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
		0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
	};

	for (size_t i = 0; i < n; i++) {
		crc ^= p[i];
		crc = table[crc & 15] ^ crc >> 4;
		crc = table[crc & 15] ^ crc >> 4;
	}
	return crc;
}

/* 2.2.3: of the whole header, its own four bytes taken as zero. */
static uint32_t header_checksum(const uint8_t *buf, size_t len, size_t field)
{
	static const uint8_t zeros[4];
	uint32_t crc = crc32c(0xffffffff, buf, field);

	crc = crc32c(crc, zeros, sizeof(zeros));
	return ~crc32c(crc, buf + field + 4, len - field - 4);
}

/* As much of the fixed part as is there must be right. */
static enum pp_fault v2_fixed(const uint8_t *buf, size_t len)
{
	if (len > 12 && buf[12] >> 4 != 2)
		return PP_FAULT_V2_VERSION;
	if (len > 12 && (buf[12] & 15) > 1)
		return PP_FAULT_V2_COMMAND;
	if (len > 13 && (buf[13] >> 4 > V2_UNIX || (buf[13] & 15) > 2))
		return PP_FAULT_V2_FAMILY;
	return PP_FAULT_NONE;
}

/* 2.2.3: the checksum is there at most once, and right.  The TLVs fit. */
static enum pp_fault v2_checksum(const uint8_t *buf, size_t len,
				 const struct pp_info *info)
{
	const uint8_t *sum = NULL;
	struct pp_tlv t;
	size_t at = 0;

	while (pp_tlv_next(info, &at, &t)) {
		if (t.type != PP_TYPE_CRC32C)
			continue;
		if (sum || t.len != 4)
			return PP_FAULT_V2_TLV;
		sum = t.value;
	}
	if (!sum)
		return PP_FAULT_NONE;
	return header_checksum(buf, len, (size_t)(sum - buf)) ==
			       ((uint32_t)sum[0] << 24 | (uint32_t)sum[1] << 16 |
				(uint32_t)sum[2] << 8 | sum[3])
		       ? PP_FAULT_NONE
		       : PP_FAULT_V2_CHECKSUM;
}

static ssize_t v2_decode(const uint8_t *buf, size_t len, struct pp_info *ret,
			 enum pp_fault *fault)
{
	struct pp_info info = { .version = PP_V2 };
	unsigned family, transport;
	size_t body, addrs;

	*fault = v2_fixed(buf, len);
	if (*fault)
		return -EPROTO;
	if (len < PP2_HDR_LEN)
		return -EAGAIN;
	info.local = (buf[12] & 15) == 0;
	family = buf[13] >> 4;
	transport = buf[13] & 15;
	body = (size_t)buf[14] << 8 | buf[15];
	addrs = v2_addr_len[family];
	if (PP2_HDR_LEN + body > PP2_MAX)
		return wrong(fault, PP_FAULT_V2_LENGTH);
	/* 2.2: with LOCAL the addresses are ignored, they need not even be there */
	if (!info.local && body < addrs)
		return wrong(fault, PP_FAULT_V2_ADDRESS);
	if (len < PP2_HDR_LEN + body)
		return -EAGAIN;
	if (!info.local && family != V2_UNSPEC) {
		info.tlv = buf + PP2_HDR_LEN + addrs;
		info.tlv_len = body - addrs;
		if (!v2_tlvs_fit(info.tlv, info.tlv_len))
			return wrong(fault, PP_FAULT_V2_TLV);
		*fault = v2_checksum(buf, PP2_HDR_LEN + body, &info);
		if (*fault)
			return -EPROTO;
		if (transport != 0 && family != V2_UNIX)
			v2_addresses(buf + PP2_HDR_LEN, family, &info);
	}
	*ret = info;
	return (ssize_t)(PP2_HDR_LEN + body);
}

bool pp_tlv_next(const struct pp_info *info, size_t *at, struct pp_tlv *ret)
{
	const uint8_t *p = info->tlv + *at;

	if (*at >= info->tlv_len)
		return false;
	ret->type = p[0];
	ret->len = (uint16_t)(p[1] << 8 | p[2]);
	ret->value = p + 3;
	*at += 3u + ret->len;
	return true;
}

bool pp_has_tlv(const struct pp_info *info, uint8_t type)
{
	struct pp_tlv t;
	size_t at = 0;

	while (pp_tlv_next(info, &at, &t)) {
		if (t.type == type)
			return true;
	}
	return false;
}

/* The next TLV at *at, if it has room; false if not. */
static bool put_tlv(uint8_t *buf, size_t cap, size_t *at, const struct pp_tlv *t)
{
	uint8_t *p = buf + *at;

	if (*at + 3 + t->len > cap)
		return false;
	p[0] = t->type;
	p[1] = (uint8_t)(t->len >> 8);
	p[2] = (uint8_t)t->len;
	if (t->len)
		memcpy(p + 3, t->value, t->len);
	*at += 3u + t->len;
	return true;
}

static bool put_tlvs(uint8_t *buf, size_t cap, size_t *at, const struct pp_info *info,
		     const struct pp_extra *extra)
{
	static const uint8_t zeros[4];
	const struct pp_tlv sum = { PP_TYPE_CRC32C, 4, zeros };
	struct pp_tlv t;
	size_t next = 0;

	while (pp_tlv_next(info, &next, &t)) {
		if (t.type != PP_TYPE_CRC32C && !put_tlv(buf, cap, at, &t))
			return false;
	}
	for (unsigned i = 0; extra && i < extra->n; i++) {
		if (!put_tlv(buf, cap, at, &extra->tlvs[i]))
			return false;
	}
	return !extra || !extra->checksum || put_tlv(buf, cap, at, &sum);
}

static ssize_t v2_encode(uint8_t *buf, size_t cap, const struct pp_info *info,
			 const struct pp_extra *extra)
{
	bool known = info->known && !info->local;
	bool v4 = addr_is_v4(info->src.ip) && addr_is_v4(info->dst.ip);
	size_t n = v4 ? 4 : 16, from = 16 - n, at = PP2_HDR_LEN + (known ? 2 * n + 4 : 0);
	uint8_t *p = buf + PP2_HDR_LEN;
	uint32_t sum;

	if (at > cap)
		return -ENOSPC;
	memcpy(buf, v2_signature, sizeof(v2_signature));
	buf[12] = (uint8_t)(0x20 | (info->local ? 0 : 1));
	buf[13] = 0; /* UNSPEC */
	if (known) {
		buf[13] = v4 ? 0x11 : 0x21; /* STREAM */
		memcpy(p, info->src.ip + from, n);
		memcpy(p + n, info->dst.ip + from, n);
		memcpy(p + 2 * n, &info->src.port, 2);
		memcpy(p + 2 * n + 2, &info->dst.port, 2);
		if (!put_tlvs(buf, cap, &at, info, extra))
			return -ENOSPC;
	}
	buf[14] = (uint8_t)((at - PP2_HDR_LEN) >> 8);
	buf[15] = (uint8_t)(at - PP2_HDR_LEN);
	if (known && extra && extra->checksum) {
		sum = htonl(header_checksum(buf, at, at - 4));
		memcpy(buf + at - 4, &sum, 4);
	}
	return (ssize_t)at;
}

ssize_t pp_decode(const uint8_t *buf, size_t len, struct pp_info *ret,
		  enum pp_fault *fault)
{
	*fault = PP_FAULT_NONE;
	if (is_prefix(buf, len, v1_signature, sizeof(v1_signature)))
		return len < sizeof(v1_signature) ? -EAGAIN
						  : v1_decode(buf, len, ret, fault);
	if (is_prefix(buf, len, v2_signature, sizeof(v2_signature)))
		return len < sizeof(v2_signature) ? -EAGAIN
						  : v2_decode(buf, len, ret, fault);
	return wrong(fault, PP_FAULT_SIGNATURE);
}

ssize_t pp_encode(uint8_t *buf, size_t cap, const struct pp_info *info,
		  const struct pp_extra *extra)
{
	return info->version == PP_V1 ? v1_encode(buf, cap, info)
				      : v2_encode(buf, cap, info, extra);
}
