/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The later parts of fragmented packets have no ports.  Who they belong to is remembered
 * from the first part, and what of TCP's sequence they carry is computed from where they
 * stand.  Parts may come in any order, and the first may be as small as IPv4 allows: 8
 * bytes, ports and sequence number, without the length of the header.
 */
#ifndef BPF_FRAGMENT_H
#define BPF_FRAGMENT_H

#include "maps.h"
#include "parse.h"
#include "wire_sequence.h"

#define FRAGMENT_NS 30000000000ull /* IP_FRAG_TIME: then the kernel forgets it, too */

static __always_inline struct fragment_val *fragment_lookup(const struct packet *pkt,
							    __u32 point, int make)
{
	static const struct fragment_val empty;
	struct fragment_key key = { .id = pkt->fragment_id, .point = (__u16)point };
	struct fragment_val *v;

	__builtin_memcpy(key.src, pkt->src, 16);
	__builtin_memcpy(key.dst, pkt->dst, 16);
	key.proto = pkt->ip6 ? 0 : pkt->proto;
	v = bpf_map_lookup_elem(&fragments, &key);
	if (v || !make)
		return v;
	bpf_map_update_elem(&fragments, &key, &empty, BPF_NOEXIST);
	return bpf_map_lookup_elem(&fragments, &key);
}

/* How long the part is. */
static __always_inline __u32 part_bytes(const struct packet *pkt)
{
	return pkt->l3_bytes > pkt->l3_header ? pkt->l3_bytes - pkt->l3_header : 0;
}

/* Whoever sends may use a number again as soon as the packet is whole. */
static __always_inline void fragment_got(struct fragment_val *v, __u32 bytes)
{
	v->got += bytes;
	v->done = v->last && v->got >= v->end;
}

static __always_inline void fragment_first(struct fragment_val *v,
					   const struct packet *pkt, __u64 *payload)
{
	__u32 bytes = part_bytes(pkt);

	if (v->has_ports) /* an older packet had this number */
		__builtin_memset(v, 0, sizeof(*v));
	fragment_got(v, bytes);
	v->sport = pkt->sport;
	v->dport = pkt->dport;
	v->proto = pkt->proto;
	v->tcp_flags |= pkt->tcp_flags;
	v->seq = pkt->seq + (v->tcp_flags & TCP_SYN ? 1 : 0);
	if (pkt->proto != 6)
		v->header = (__u16)(pkt->before_l4 + ports_header(pkt->proto));
	else if (pkt->tcp_header)
		v->header = (__u16)(pkt->before_l4 + pkt->tcp_header);
	v->has_ports = pkt->has_ports;
	*payload = v->header && bytes > v->header ? bytes - v->header : 0;
}

static __always_inline void fragment_early(struct fragment_val *v, __u32 from, __u32 to)
{
	if (!v->early_bytes || from < v->early_from)
		v->early_from = (__u16)from;
	if (to > v->early_to)
		v->early_to = (__u16)to;
	v->early_bytes += to - from;
}

/* 1 if it is known now who the part belongs to; *payload is then what it carries. */
static __always_inline int fragment_later(struct fragment_val *v, struct packet *pkt,
					  __u64 *payload)
{
	__u32 from = pkt->fragment_offset, to = from + part_bytes(pkt);

	if (to > 65535)
		return 0; /* no packet is that long: the kernel drops it */
	if (pkt->tcp_header && !v->header) {
		v->header = pkt->tcp_header;
		v->tcp_flags |= pkt->tcp_flags;
		if (v->has_ports && pkt->tcp_flags & TCP_SYN)
			v->seq++;
	}
	if (pkt->fragment_last) {
		v->last = 1;
		v->end = (__u16)to;
	}
	fragment_got(v, to - from);
	pkt->tcp_flags = 0;
	if (!v->has_ports || !v->header)
		fragment_early(v, from, to);
	if (!v->has_ports)
		return 0;
	pkt->sport = v->sport;
	pkt->dport = v->dport;
	pkt->proto = v->proto;
	pkt->seq = v->seq;
	*payload = 0;
	if (!v->header)
		return 1;
	pkt->tcp_flags = v->tcp_flags & (TCP_RST | TCP_FIN);
	if (from < v->header)
		from = v->header;
	pkt->seq += from - v->header;
	if (to > from)
		*payload = to - from;
	return 1;
}

/*
 * Remember the part, and give a later one what it lacks.  1 if its owner is known.
 * payload: of this frame, as far as the part itself says.
 */
static __noinline int fragment_note(struct packet *pkt, __u32 point, __u64 *payload)
{
	struct fragment_val *v;
	__u64 now = bpf_ktime_get_coarse_ns();

	if (!pkt || !payload)
		return 0;
	if (pkt->proto != 6 && !ports_header(pkt->proto) && !is_ext_header(pkt->proto))
		return 1; /* nothing but addresses in any part */
	v = fragment_lookup(pkt, point, 1);
	if (!v)
		return 0;
	/* too old, or whole, or its last part is seen once more: this is another packet's
	 */
	if (now - v->seen_ns > FRAGMENT_NS || v->done || (v->last && pkt->fragment_last))
		__builtin_memset(v, 0, sizeof(*v));
	v->seen_ns = now;
	if (pkt->fragment == TG_FRAGMENT_LATER)
		return fragment_later(v, pkt, payload);
	fragment_first(v, pkt, payload);
	return 1;
}

/* What came early belongs to this flow, of which `pkt` is a part. */
static __noinline int fragment_settle(struct wire_flow *f, struct packet *pkt,
				      __u32 point)
{
	struct fragment_val *v;
	__u32 before;

	if (!f || !pkt || point != TG_RX)
		return 0;
	v = fragment_lookup(pkt, point, 0);
	if (!v || !v->has_ports)
		return 0;
	if (!v->counted)
		(void)__sync_fetch_and_add(&f->parts_open, 1);
	v->counted = 1;
	/* parts that overlap, or come twice, leave it open */
	if (v->done && v->got == v->end && !v->settled) {
		/* the first may have been another flow's, of the same 4-tuple before */
		if (*(volatile __u32 *)&f->parts_open)
			(void)__sync_fetch_and_add(&f->parts_open, -1);
		v->settled = 1;
	}
	if (!v->header || !v->early_bytes)
		return 0;
	before = v->early_from < v->header ? v->header - v->early_from : 0;
	if (v->early_bytes > before) {
		ADD(f->parts_bytes, v->early_bytes - before);
		sequence_raise(f, TG_RX, v->seq + v->early_to - v->header,
			       v->early_bytes - before);
	}
	v->early_bytes = v->early_from = v->early_to = 0;
	return 0;
}

#endif
