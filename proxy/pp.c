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
#include "pp.h"

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

static ssize_t v1_decode(const uint8_t *buf, size_t len, struct pp_info *ret)
{
	struct pp_info info = { .version = PP_V1 };
	const uint8_t *cr = memchr(buf, '\r', min_size(len, PP1_MAX));
	size_t line;

	if (!cr)
		return len >= PP1_MAX ? -EPROTO : -EAGAIN;
	line = (size_t)(cr - buf);
	if (line + 2 > PP1_MAX)
		return -EPROTO;
	if (v1_parse_line((const char *)buf, line, &info) < 0)
		return -EPROTO;
	if (line + 1 >= len)
		return -EAGAIN;
	if (buf[line + 1] != '\n')
		return -EPROTO;
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

static ssize_t v2_decode(const uint8_t *buf, size_t len, struct pp_info *ret)
{
	struct pp_info info = { .version = PP_V2 };
	unsigned command, family, transport;
	size_t body, addrs;

	if (len > 12 && (buf[12] >> 4 != 2 || (buf[12] & 15) > 1))
		return -EPROTO;
	if (len > 13 && (buf[13] >> 4 > V2_UNIX || (buf[13] & 15) > 2))
		return -EPROTO;
	if (len < PP2_HDR_LEN)
		return -EAGAIN;
	command = buf[12] & 15;
	family = buf[13] >> 4;
	transport = buf[13] & 15;
	body = (size_t)buf[14] << 8 | buf[15];
	addrs = v2_addr_len[family];
	if (PP2_HDR_LEN + body > PP2_MAX)
		return -EMSGSIZE;
	/* 2.2: with LOCAL the addresses are ignored, they need not even be there */
	if (command == 1 && body < addrs)
		return -EPROTO;
	if (len < PP2_HDR_LEN + body)
		return -EAGAIN;
	info.local = command == 0;
	if (body >= addrs && !v2_tlvs_fit(buf + PP2_HDR_LEN + addrs, body - addrs) &&
	    !info.local && family != V2_UNSPEC)
		return -EPROTO;
	if (!info.local && transport != 0 && (family == V2_INET || family == V2_INET6))
		v2_addresses(buf + PP2_HDR_LEN, family, &info);
	if (!info.local && family != V2_UNSPEC) {
		info.tlv = buf + PP2_HDR_LEN + addrs;
		info.tlv_len = body - addrs;
	}
	*ret = info;
	return (ssize_t)(PP2_HDR_LEN + body);
}

static ssize_t v2_encode(uint8_t *buf, size_t cap, const struct pp_info *info)
{
	bool known = info->known && !info->local;
	bool v4 = addr_is_v4(info->src.ip) && addr_is_v4(info->dst.ip);
	size_t n = v4 ? 4 : 16, at = 16 - n, addrs = known ? 2 * n + 4 : 0;
	size_t body = addrs + (known ? info->tlv_len : 0);
	uint8_t *p = buf + PP2_HDR_LEN;

	if (PP2_HDR_LEN + body > cap || PP2_HDR_LEN + body > PP2_MAX)
		return -ENOSPC;
	memcpy(buf, v2_signature, sizeof(v2_signature));
	buf[12] = (uint8_t)(0x20 | (info->local ? 0 : 1));
	buf[13] = 0; /* UNSPEC */
	if (known)
		buf[13] = v4 ? 0x11 : 0x21; /* STREAM */
	buf[14] = (uint8_t)(body >> 8);
	buf[15] = (uint8_t)body;
	if (known) {
		memcpy(p, info->src.ip + at, n);
		memcpy(p + n, info->dst.ip + at, n);
		memcpy(p + 2 * n, &info->src.port, 2);
		memcpy(p + 2 * n + 2, &info->dst.port, 2);
		if (info->tlv_len)
			memcpy(p + addrs, info->tlv, info->tlv_len);
	}
	return (ssize_t)(PP2_HDR_LEN + body);
}

ssize_t pp_decode(const uint8_t *buf, size_t len, struct pp_info *ret)
{
	if (is_prefix(buf, len, v1_signature, sizeof(v1_signature)))
		return len < sizeof(v1_signature) ? -EAGAIN : v1_decode(buf, len, ret);
	if (is_prefix(buf, len, v2_signature, sizeof(v2_signature)))
		return len < sizeof(v2_signature) ? -EAGAIN : v2_decode(buf, len, ret);
	return -EPROTO;
}

ssize_t pp_encode(uint8_t *buf, size_t cap, const struct pp_info *info)
{
	return info->version == PP_V1 ? v1_encode(buf, cap, info)
				      : v2_encode(buf, cap, info);
}
