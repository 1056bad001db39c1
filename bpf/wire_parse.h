/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The parser on a context of the kernel's, the link and what is inside each by its own:
 * what the verifier knows of one does not multiply with what it knows of the other.
 */
#ifndef BPF_WIRE_PARSE_H
#define BPF_WIRE_PARSE_H

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "parse.h"

#define EXT_HEADERS_MAX 8192
#define L4_OFFSET_MAX	16384

static __always_inline int parse_inner(const void *data, const void *data_end,
				       __u16 proto, struct packet *ret)
{
	enum tg_fault fault = parse_network(data, data_end, proto, ret);

	if (fault != TG_FAULT_NONE && fault != TG_FAULT_FRAGMENT)
		return fault;
	return parse_transport(data, data_end, ret, fault);
}

__noinline int inner_skb(struct __sk_buff *skb, struct packet *ret, int proto)
{
	if (!ret)
		return TG_FAULT_SHORT_L3;
	return parse_inner((void *)(long)skb->data, (void *)(long)skb->data_end,
			   (__u16)proto, ret);
}

__noinline int inner_xdp(struct xdp_md *xdp, struct packet *ret, int proto)
{
	if (!ret)
		return TG_FAULT_SHORT_L3;
	return parse_inner((void *)(long)xdp->data, (void *)(long)xdp->data_end,
			   (__u16)proto, ret);
}

__noinline int transport_skb(struct __sk_buff *skb, struct packet *ret)
{
	if (!ret)
		return TG_FAULT_SHORT_L4;
	return parse_transport((void *)(long)skb->data, (void *)(long)skb->data_end, ret,
			       TG_FAULT_NONE);
}

struct ext_walk {
	struct __sk_buff *skb;
	struct packet *pkt;
	__u32 at;
	__u32 next;
	int fault;
};

/* One more extension header (parse_ip6 does the first few). */
static long ext_header(__u32 index, void *arg)
{
	struct ext_walk *w = arg;
	__u8 head[8];

	(void)index;
	w->pkt->proto = (__u8)w->next;
	w->fault = TG_FAULT_NONE;
	if (!is_ext_header((__u8)w->next))
		return 1;
	w->fault = TG_FAULT_SHORT_L3;
	if (bpf_skb_load_bytes(w->skb, w->at, head, sizeof(head)) < 0)
		return 1;
	w->at += w->next == 44 ? 8 : w->next == 51 ? 8 + head[1] * 4 : 8 + head[1] * 8;
	w->pkt->has_auth |= w->next == 51;
	w->fault = TG_FAULT_EXT_HEADERS;
	/* the rest of a packet whose parts begin behind so many headers is not for us */
	if (w->next == 44 && parse_be16(head + 2) & 0xfff9)
		return 1;
	w->next = head[0];
	return 0;
}

/* Linux goes through any number of them; a stranger may send as many as fit. */
__attribute__((unused)) static __noinline int parse_ext_headers(struct __sk_buff *skb,
								struct packet *pkt)
{
	struct ext_walk w = { .skb = skb,
			      .pkt = pkt,
			      .at = l4_offset(pkt),
			      .next = pkt->proto,
			      .fault = TG_FAULT_EXT_HEADERS };

	bpf_loop(EXT_HEADERS_MAX, ext_header, &w, 0);
	if (w.fault != TG_FAULT_NONE || w.at > L4_OFFSET_MAX)
		return TG_FAULT_EXT_HEADERS;
	if (pkt->fragment)
		pkt->before_l4 = (__u16)(w.at - pkt->l2_bytes - pkt->l3_header);
	else
		pkt->l3_header = (__u16)(w.at - pkt->l2_bytes);
	return TG_FAULT_NONE;
}

/* To a conversation; the first part of a fragmented packet may be the ports alone. */
static __always_inline int is_charged(enum tg_fault fault, const struct packet *pkt)
{
	return fault == TG_FAULT_NONE || fault == TG_FAULT_FRAGMENT ||
	       (fault == TG_FAULT_SHORT_L4 && pkt->fragment == TG_FRAGMENT_FIRST &&
		pkt->has_ports);
}

/* link: frames of this device have a link header, Ethernet's; else skb says what it is */
static __always_inline int parse_any(struct __sk_buff *skb, struct packet *ret, int link)
{
	__u16 proto = bpf_ntohs(skb->protocol);
	int fault = TG_FAULT_NONE;

	__builtin_memset(ret, 0, sizeof(*ret));
	if (link)
		fault = parse_link((void *)(long)skb->data, (void *)(long)skb->data_end,
				   ret, &proto);
	return fault == TG_FAULT_NONE ? inner_skb(skb, ret, proto) : fault;
}

static __always_inline int parse_any_xdp(struct xdp_md *ctx, struct packet *ret)
{
	__u16 proto = 0;
	int fault;

	__builtin_memset(ret, 0, sizeof(*ret));
	fault = parse_link((void *)(long)ctx->data, (void *)(long)ctx->data_end, ret,
			   &proto);
	return fault == TG_FAULT_NONE ? inner_xdp(ctx, ret, proto) : fault;
}

#endif
