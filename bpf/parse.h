/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * From a frame to its 4-tuple and lengths.  Pure: reads [data, data_end) and writes
 * *ret, so that user space can compile and test the same code.
 */
#ifndef BPF_PARSE_H
#define BPF_PARSE_H

#include "abi.h"

#define ETH_HLEN      14
#define VLAN_HLEN     4
#define ETH_P_IP      0x0800
#define ETH_P_IPV6    0x86dd
#define ETH_P_8021Q   0x8100
#define ETH_P_8021AD  0x88a8
#define IP_OFFMASK    0x1fff
#define IP_MF	      0x2000
#define PARSE_EXT_MAX 4
#define IP6_JUMBO     194 /* RFC 2675 2; 4 more bytes behind its length */

#define TCP_FIN	      0x01
#define TCP_SYN	      0x02
#define TCP_RST	      0x04
#define TCP_ACK	      0x10

struct packet {
	__u8 src[16];
	__u8 dst[16];
	__be16 sport;
	__be16 dport;
	__u8 proto;
	__u8 tcp_flags;
	__u16 l2_bytes;	    /* up to the IP header */
	__u16 header_bytes; /* up to the payload: what every segment repeats */
	__u32 seq;
	__u32 ack;
	__u16 jumbo_bytes; /* of header_bytes: an option that no segment has on the link
			    */
	__u16 pad;
	__u32 l3_bytes; /* IP header and on, by the IP length; 0 if that field is 0 */
};

struct cursor {
	const void *pos;
	const void *end;
};

static __always_inline __u16 parse_be16(const __u8 *p)
{
	return (__u16)(p[0] << 8 | p[1]);
}

static __always_inline __u32 parse_be32(const __u8 *p)
{
	return (__u32)p[0] << 24 | (__u32)p[1] << 16 | (__u32)p[2] << 8 | p[3];
}

static __always_inline enum tg_fault parse_l2(struct cursor *c, __u16 *ret_proto)
{
	const __u8 *p = c->pos;
	__u16 proto;

	if ((const void *)(p + ETH_HLEN) > c->end)
		return TG_FAULT_SHORT_L2;
	proto = parse_be16(p + 12);
	p += ETH_HLEN;
	for (int i = 0; i < 2; i++) {
		if (proto != ETH_P_8021Q && proto != ETH_P_8021AD)
			break;
		if ((const void *)(p + VLAN_HLEN) > c->end)
			return TG_FAULT_SHORT_L2;
		proto = parse_be16(p + 2);
		p += VLAN_HLEN;
	}
	c->pos = p;
	*ret_proto = proto;
	return TG_FAULT_NONE;
}

static __always_inline enum tg_fault parse_ip4(struct cursor *c, struct packet *pkt)
{
	const __u8 *p = c->pos;
	__u32 hlen;

	if ((const void *)(p + 20) > c->end)
		return TG_FAULT_SHORT_L3;
	hlen = (p[0] & 15) * 4;
	if (p[0] >> 4 != 4 || hlen < 20)
		return TG_FAULT_BAD_HEADER;
	pkt->l3_bytes = parse_be16(p + 2);
	pkt->proto = p[9];
	pkt->src[10] = pkt->src[11] = pkt->dst[10] = pkt->dst[11] = 0xff;
	__builtin_memcpy(pkt->src + 12, p + 12, 4);
	__builtin_memcpy(pkt->dst + 12, p + 16, 4);
	if (parse_be16(p + 6) & (IP_OFFMASK | IP_MF))
		return TG_FAULT_FRAGMENT; /* all but the first have no ports */
	c->pos = p + hlen;
	return TG_FAULT_NONE;
}

/* RFC 8200 4, RFC 7045; AH counts in 4-byte units (RFC 4302 2.2) */
static __always_inline int is_ext_header(__u8 next)
{
	return next == 0 || next == 43 || next == 44 || next == 51 || next == 60 ||
	       next == 135 || next == 139 || next == 140;
}

static __always_inline enum tg_fault parse_ip6(struct cursor *c, struct packet *pkt)
{
	const __u8 *p = c->pos;
	__u8 next;

	if ((const void *)(p + 40) > c->end)
		return TG_FAULT_SHORT_L3;
	if (p[0] >> 4 != 6)
		return TG_FAULT_BAD_HEADER;
	if (parse_be16(p + 4))
		pkt->l3_bytes = 40u + parse_be16(p + 4);
	next = p[6];
	__builtin_memcpy(pkt->src, p + 8, 16);
	__builtin_memcpy(pkt->dst, p + 24, 16);
	p += 40;
	for (int i = 0; i <= PARSE_EXT_MAX; i++) {
		pkt->proto = next;
		if (!is_ext_header(next)) {
			c->pos = p;
			return TG_FAULT_NONE;
		}
		if ((const void *)(p + 8) > c->end)
			return TG_FAULT_SHORT_L3;
		next = p[0];
		/* an aggregate over 64 KiB carries it (BIG TCP), its segments do not */
		if (pkt->proto == 0 && p[1] == 0 && p[2] == IP6_JUMBO) {
			pkt->jumbo_bytes = 8;
			pkt->l3_bytes = 40u + parse_be32(p + 4);
		}
		if (pkt->proto == 44 && parse_be16(p + 2) & 0xfff9) {
			pkt->proto = next; /* offset, or more to come */
			return TG_FAULT_FRAGMENT;
		}
		p += pkt->proto == 44	? 8
		     : pkt->proto == 51 ? 8 + p[1] * 4
					: 8 + p[1] * 8;
	}
	return TG_FAULT_EXT_HEADERS;
}

/* Header length of protocols that begin with two ports, or 0. */
static __always_inline __u32 ports_header(__u8 proto)
{
	switch (proto) {
	case 17:  /* UDP */
	case 136: /* UDP-Lite */
		return 8;
	case 132: /* SCTP */
	case 33:  /* DCCP */
		return 12;
	default:
		return 0;
	}
}

static __always_inline enum tg_fault parse_l4(struct cursor *c, struct packet *pkt)
{
	const __u8 *p = c->pos;
	__u32 hlen = pkt->proto == 6 ? 20 : ports_header(pkt->proto);

	if (pkt->proto == 1 || pkt->proto == 58) { /* ICMP, ICMPv6 */
		if ((const void *)(p + 8) > c->end)
			return TG_FAULT_SHORT_L4;
		c->pos = p + 8;
		return TG_FAULT_NONE;
	}
	if (!hlen)
		return TG_FAULT_NONE;
	if ((const void *)(p + hlen) > c->end)
		return TG_FAULT_SHORT_L4;
	__builtin_memcpy(&pkt->sport, p, 2);
	__builtin_memcpy(&pkt->dport, p + 2, 2);
	if (pkt->proto == 6) {
		hlen = (p[12] >> 4) * 4;
		if (hlen < 20)
			return TG_FAULT_BAD_HEADER;
		pkt->seq = parse_be32(p + 4);
		pkt->ack = parse_be32(p + 8);
		pkt->tcp_flags = p[13];
	}
	c->pos = p + hlen;
	return TG_FAULT_NONE;
}

/* From the IP header on, of a packet whose link says `proto`. */
static __always_inline enum tg_fault parse_l3(struct cursor *c, const void *data,
					      __u16 proto, struct packet *ret)
{
	enum tg_fault fault;

	ret->l2_bytes = (__u16)((const char *)c->pos - (const char *)data);
	if (proto == ETH_P_IP)
		fault = parse_ip4(c, ret);
	else if (proto == ETH_P_IPV6)
		fault = parse_ip6(c, ret);
	else
		return TG_FAULT_NOT_IP;
	if (fault != TG_FAULT_NONE)
		return fault;
	fault = parse_l4(c, ret);
	ret->header_bytes = (__u16)((const char *)c->pos - (const char *)data);
	return fault;
}

/*
 * Parse one Ethernet frame.  Returns TG_FAULT_NONE, or what was wrong; *ret must be
 * zeroed by the caller and holds what was read up to the fault (addresses and lengths
 * for a fragment).
 */
static __always_inline enum tg_fault parse_frame(const void *data, const void *data_end,
						 struct packet *ret)
{
	struct cursor c = { data, data_end };
	enum tg_fault fault;
	__u16 proto;

	fault = parse_l2(&c, &proto);
	return fault != TG_FAULT_NONE ? fault : parse_l3(&c, data, proto, ret);
}

/* The same of a packet without a link header (wireguard, tun, ppp). */
static __always_inline enum tg_fault parse_packet(const void *data, const void *data_end,
						  __u16 proto, struct packet *ret)
{
	struct cursor c = { data, data_end };

	return parse_l3(&c, data, proto, ret);
}

#endif
