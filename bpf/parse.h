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
	__u16 l3_header;   /* from the IP header up to the fragmentable part, or to L4 */
	__u32 l3_bytes;	   /* IP header and on, by the IP length; 0 if that field is 0 */
	__u8 has_ports;
	__u8 fragment; /* enum tg_fragment */
	__u8 fragment_last;
	__u8 ip6;
	__u8 has_auth;	       /* an authentication header is before the transport's */
	__u16 fragment_offset; /* of this part in the whole, bytes */
	__u16 before_l4;  /* extension headers of the whole that are fragmented too */
	__u16 tcp_header; /* of TCP, its bytes; 0: not in this part */
	__u32 fragment_id;
};

enum tg_fragment { TG_FRAGMENT_NONE, TG_FRAGMENT_FIRST, TG_FRAGMENT_LATER };

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

/*
 * RFC 791 3.2, RFC 8200 4.5.  The first part has the ports, or (of IPv4, with parts of 8
 * bytes) no more than them and the sequence number; the others have none.
 */
static __always_inline enum tg_fault parse_part(struct packet *pkt, __u32 id,
						__u16 offset, int more)
{
	if (!offset && !more)
		return TG_FAULT_NONE;
	pkt->fragment = offset ? TG_FRAGMENT_LATER : TG_FRAGMENT_FIRST;
	pkt->fragment_id = id;
	pkt->fragment_last = !more;
	pkt->fragment_offset = offset;
	return offset ? TG_FAULT_FRAGMENT : TG_FAULT_NONE;
}

static __always_inline enum tg_fault parse_ip4(struct cursor *c, struct packet *pkt)
{
	const __u8 *p = c->pos;
	__u16 part;
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
	if (pkt->l3_bytes && pkt->l3_bytes < hlen)
		return TG_FAULT_BAD_HEADER;
	pkt->l3_header = (__u16)hlen;
	c->pos = p + hlen;
	part = parse_be16(p + 6);
	return parse_part(pkt, parse_be16(p + 4), (__u16)((part & IP_OFFMASK) * 8),
			  part & IP_MF);
}

/*
 * RFC 8200 4; AH counts in 4-byte units (RFC 4302 2.2).  Those of RFC 7045 that Linux
 * goes through (net/ipv6/exthdrs_core.c ipv6_ext_hdr): behind another there is no TCP.
 */
static __always_inline int is_ext_header(__u8 next)
{
	return next == 0 || next == 43 || next == 44 || next == 51 || next == 60;
}

static __always_inline enum tg_fault parse_ip6(struct cursor *c, struct packet *pkt)
{
	const __u8 *p = c->pos;
	__u32 len, bytes = 40;
	enum tg_fault fault;
	__u8 next;

	if ((const void *)(p + 40) > c->end)
		return TG_FAULT_SHORT_L3;
	if (p[0] >> 4 != 6)
		return TG_FAULT_BAD_HEADER;
	pkt->ip6 = 1;
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
			if (pkt->fragment)
				pkt->before_l4 = (__u16)(bytes - pkt->l3_header);
			else
				pkt->l3_header = (__u16)bytes;
			return TG_FAULT_NONE;
		}
		if ((const void *)(p + 8) > c->end)
			return TG_FAULT_SHORT_L3;
		next = p[0];
		/* an aggregate over 64 KiB carries it (BIG TCP), its segments do not */
		if (pkt->proto == 0 && p[1] == 0 && p[2] == IP6_JUMBO && !pkt->l3_bytes) {
			pkt->jumbo_bytes = 8;
			pkt->l3_bytes = 40u + parse_be32(p + 4);
		}
		len = pkt->proto == 44	 ? 8
		      : pkt->proto == 51 ? 8 + p[1] * 4
					 : 8 + p[1] * 8;
		bytes += len;
		pkt->has_auth |= pkt->proto == 51;
		if (pkt->proto == 44 && !pkt->fragment) {
			pkt->l3_header = (__u16)bytes;
			fault = parse_part(pkt, parse_be32(p + 4),
					   (__u16)(parse_be16(p + 2) & 0xfff8), p[3] & 1);
			p += 8;
			if (fault != TG_FAULT_NONE) {
				pkt->proto = next;
				c->pos = p;
				return fault;
			}
			continue;
		}
		p += len;
	}
	pkt->proto = next; /* at l4_offset(), for who goes on there */
	if (pkt->fragment)
		pkt->before_l4 = (__u16)(bytes - pkt->l3_header);
	else
		pkt->l3_header = (__u16)bytes;
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

/* Where the transport's header is, or would be. */
static __always_inline __u32 l4_offset(const struct packet *pkt)
{
	return pkt->l2_bytes + pkt->l3_header + pkt->before_l4;
}

/*
 * The length and the flags of a TCP header that is itself in parts: the first holds 8 or
 * 16 bytes of it, the least it may, and the one that begins at 8 has them if that does
 * not.
 */
static __always_inline void parse_parted(const __u8 *p, const void *data_end,
					 struct packet *pkt)
{
	__u32 room = pkt->l3_bytes - pkt->l3_header;

	if (pkt->proto != 6 || pkt->before_l4 || pkt->l3_bytes < pkt->l3_header)
		return;
	if (pkt->fragment_offset == 0 && room >= 16 &&
	    (const void *)(p + 14) <= data_end) {
		pkt->tcp_header = (__u16)((p[12] >> 4) * 4);
		pkt->tcp_flags = p[13];
	} else if (pkt->fragment_offset == 8 && room >= 8 &&
		   (const void *)(p + 6) <= data_end) {
		pkt->tcp_header = (__u16)((p[4] >> 4) * 4);
		pkt->tcp_flags = p[5];
	}
}

/* Two ports, in their place whatever else of the header is there. */
static __always_inline void parse_ports(const __u8 *p, const void *data_end,
					struct packet *pkt)
{
	if ((const void *)(p + 4) > data_end)
		return;
	__builtin_memcpy(&pkt->sport, p, 2);
	__builtin_memcpy(&pkt->dport, p + 2, 2);
	pkt->has_ports = 1;
	if (pkt->proto == 6 && (const void *)(p + 8) <= data_end)
		pkt->seq = parse_be32(p + 4);
}

static __always_inline enum tg_fault parse_tcp(const __u8 *p, const void *data_end,
					       struct packet *pkt, __u32 *ret_bytes)
{
	__u32 hlen;

	if ((const void *)(p + 20) > data_end)
		return TG_FAULT_SHORT_L4;
	hlen = (p[12] >> 4) * 4;
	if (hlen < 20)
		return TG_FAULT_BAD_HEADER;
	pkt->ack = parse_be32(p + 8);
	pkt->tcp_flags = p[13];
	pkt->tcp_header = (__u16)hlen;
	*ret_bytes = hlen;
	return TG_FAULT_NONE;
}

/*
 * The transport's header, of a frame in [data, data_end) whose network header was read
 * into *ret with TG_FAULT_NONE or TG_FAULT_FRAGMENT: fault.  Returns what was wrong.
 */
static __always_inline enum tg_fault parse_transport(const void *data,
						     const void *data_end,
						     struct packet *ret,
						     enum tg_fault fault)
{
	__u32 at = l4_offset(ret) & 0x7fff;
	const __u8 *p = (const __u8 *)data + at;
	__u32 bytes = ret->proto == 6 ? 20 : ports_header(ret->proto);

	if (ret->proto == 1 || ret->proto == 58) /* ICMP, ICMPv6 */
		bytes = 8;
	ret->header_bytes = (__u16)at;
	if (ret->fragment)
		parse_parted(p, data_end, ret);
	if (fault == TG_FAULT_FRAGMENT)
		return fault;
	if (ret->proto == 6 || ports_header(ret->proto))
		parse_ports(p, data_end, ret);
	/* what is behind the packet's own end is the link's padding */
	if ((const void *)(p + bytes) > data_end ||
	    (ret->l3_bytes && ret->l3_bytes < at - ret->l2_bytes + bytes))
		return TG_FAULT_SHORT_L4;
	if (ret->proto == 6)
		fault = parse_tcp(p, data_end, ret, &bytes);
	if (fault == TG_FAULT_NONE)
		ret->header_bytes += (__u16)bytes;
	return fault;
}

/* The link's header of an Ethernet frame: its length, and what it says is inside. */
static __always_inline enum tg_fault parse_link(const void *data, const void *data_end,
						struct packet *ret, __u16 *ret_proto)
{
	struct cursor c = { data, data_end };
	enum tg_fault fault = parse_l2(&c, ret_proto);

	if (fault == TG_FAULT_NONE)
		ret->l2_bytes = (__u16)((const char *)c.pos - (const char *)data);
	return fault;
}

/*
 * Addresses and lengths: the network's header, `ret->l2_bytes` into [data, data_end), of
 * a packet whose link says `proto`.
 */
static __always_inline enum tg_fault parse_network(const void *data, const void *data_end,
						   __u16 proto, struct packet *ret)
{
	struct cursor c = { (const __u8 *)data + (ret->l2_bytes & 31), data_end };

	if (proto == ETH_P_IP)
		return parse_ip4(&c, ret);
	if (proto == ETH_P_IPV6)
		return parse_ip6(&c, ret);
	return TG_FAULT_NOT_IP;
}

/*
 * All of one Ethernet frame.  Returns TG_FAULT_NONE, or what was wrong; *ret must be
 * zeroed by the caller and holds what was read up to the fault (addresses and lengths for
 * a fragment).
 */
static __always_inline enum tg_fault parse_frame(const void *data, const void *data_end,
						 struct packet *ret)
{
	__u16 proto = 0;
	enum tg_fault fault = parse_link(data, data_end, ret, &proto);

	if (fault == TG_FAULT_NONE)
		fault = parse_network(data, data_end, proto, ret);
	if (fault != TG_FAULT_NONE && fault != TG_FAULT_FRAGMENT)
		return fault;
	return parse_transport(data, data_end, ret, fault);
}

#endif
