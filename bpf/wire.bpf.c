/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The wire book: what crossed the watched devices, per 4-tuple while a connection
 * lives, per row for ever, and per listener at the place where nftables counts too.
 *
 * A TCP flow begins with its SYN and ends when its socket closes (tcp.bpf.c) or, if no
 * socket in the cgroup ever owned it, with the first RST or FIN.  Every other frame goes
 * straight to a row, so that the rows plus the undrained flows hold every frame exactly
 * once.
 */
#include <linux/bpf.h>

#include "vmlinux.h"
#include <linux/types.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "maps.h"
#include "parse.h"

#define HEADERS_MAX 256
#define PACKET_HOST 0	 /* linux/if_packet.h */
#define TCX_NEXT    (-1) /* also TC_ACT_UNSPEC: let the next program decide */
#define IPPROTO_TCP 6

char LICENSE[] SEC("license") __weak = "GPL";

struct frame {
	struct wire_counts counts;
	__u64 skb_bytes; /* what nftables adds for this skb */
	__u32 payload;
};

/*
 * Lengths of what the link carried.  An skb may stand for many segments (GSO, GRO); all
 * but the first repeat the headers (net/core/dev.c qdisc_pkt_len_init does the same sum
 * for egress only).
 */
static __always_inline void frame_measure(const struct __sk_buff *skb,
					  const struct packet *pkt, struct frame *ret)
{
	__u32 segs = 1, l3 = pkt->l3_bytes, payload = 0;

	if (skb->gso_size || !l3 || l3 > skb->len - pkt->l2_bytes)
		l3 = skb->len - pkt->l2_bytes; /* link padding is in no IP length */
	if (pkt->header_bytes && pkt->l2_bytes + l3 > pkt->header_bytes)
		payload = pkt->l2_bytes + l3 - pkt->header_bytes;
	if (skb->gso_size) {
		segs = skb->gso_segs;
		if (!segs)
			segs = (payload + skb->gso_size - 1) / skb->gso_size;
		if (!segs)
			segs = 1;
	}
	ret->payload = payload;
	ret->skb_bytes = l3;
	ret->counts.packets = segs;
	ret->counts.frame_bytes = skb->len + (__u64)(segs - 1) * pkt->header_bytes;
	if (skb->vlan_present) /* the tag is beside the data, but on the link */
		ret->counts.frame_bytes += (__u64)VLAN_HLEN * segs;
	ret->counts.payload_bytes = payload;
}

static __always_inline void key_fill(struct flow_key *key, const struct packet *pkt,
				     int dir)
{
	__u32 zero = 0;
	struct meta *m = bpf_map_lookup_elem(&meta, &zero);

	if (dir == TG_TX) {
		__builtin_memcpy(key->local, pkt->src, 16);
		__builtin_memcpy(key->remote, pkt->dst, 16);
		key->local_port = pkt->sport;
		key->remote_port = pkt->dport;
	} else {
		__builtin_memcpy(key->local, pkt->dst, 16);
		__builtin_memcpy(key->remote, pkt->src, 16);
		key->local_port = pkt->dport;
		key->remote_port = pkt->sport;
	}
	key->proto = pkt->proto;
	key->netns_cookie = m ? m->netns_cookie : 0;
}

/* The flow of this key, made if this frame opens one; NULL if it belongs to none. */
static __always_inline struct wire_flow *flow_find(const struct flow_key *key,
						   const struct packet *pkt, int dir)
{
	struct wire_flow *f = bpf_map_lookup_elem(&wire, key), fresh = {};

	if (f || (pkt->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST)) != TCP_SYN)
		return f;
	fresh.key = *key;
	fresh.active = dir == TG_TX;
	fresh.listener = listener_lookup(key->local, key->local_port);
	bpf_map_update_elem(&wire, key, &fresh, BPF_NOEXIST);
	f = bpf_map_lookup_elem(&wire, key);
	if (!f)
		fault_inc(TG_FAULT_WIRE_FULL);
	return f;
}

/* RFC 9293 3.4: sequence space, modulo 2^32; a SYN takes one number. */
static __always_inline void flow_add(struct wire_flow *f, int dir,
				     const struct packet *pkt, const struct frame *frame)
{
	__u32 start = pkt->seq + (pkt->tcp_flags & TCP_SYN ? 1 : 0);
	__s32 growth;

	f->dir[dir].counts.packets += frame->counts.packets;
	f->dir[dir].counts.frame_bytes += frame->counts.frame_bytes;
	f->dir[dir].counts.payload_bytes += frame->payload;
	if (pkt->tcp_flags & TCP_FIN)
		f->fins |= 1 << dir;
	if (pkt->tcp_flags & TCP_RST)
		return; /* may carry any sequence number, never data we keep */
	if (!f->dir[dir].seq_known || (pkt->tcp_flags & TCP_SYN && !f->socket)) {
		f->dir[dir].next_seq = start;
		f->dir[dir].unique_bytes = 0;
		f->dir[dir].seq_known = 1;
	}
	if (!frame->payload)
		return; /* an ACK after a FIN stands one number beyond the data */
	growth = (__s32)(start + frame->payload - f->dir[dir].next_seq);
	if (growth > 0) {
		f->dir[dir].unique_bytes += growth;
		f->dir[dir].next_seq += growth;
	}
}

static __always_inline void row_add(const struct flow_key *key, __u16 listener, int dir,
				    const struct wire_counts *counts)
{
	struct row_key row = { .listener = listener, .proto = (__u8)key->proto };
	struct wire_totals *t;

	if (listener)
		row.leg = TG_LEG_DOWNSTREAM;
	t = wire_row(&row);
	if (t)
		wire_add(t, dir, counts);
}

static __always_inline void boundary_add(__u16 listener, int dir,
					 const struct frame *frame)
{
	__u32 index = listener;
	struct wire_boundary *b;

	if (!listener)
		return;
	b = bpf_map_lookup_elem(&wire_boundary, &index);
	if (!b)
		return;
	ADD(b->dir[dir].counts.packets, frame->counts.packets);
	ADD(b->dir[dir].counts.frame_bytes, frame->counts.frame_bytes);
	ADD(b->dir[dir].counts.payload_bytes, frame->payload);
	ADD(b->dir[dir].skbs, 1);
	ADD(b->dir[dir].skb_bytes, frame->skb_bytes);
}

static __always_inline int key_equal(const struct flow_key *a, const struct flow_key *b)
{
	const __u64 *x = (const __u64 *)a, *y = (const __u64 *)b;

	return x[0] == y[0] && x[1] == y[1] && x[2] == y[2] && x[3] == y[3] &&
	       x[4] == y[4] && x[5] == y[5];
}

/*
 * Is a flow that no socket of ours owns over?  A FIN or RST that arrives early proves
 * nothing: the ingress hook may see a batch before TCP has seen the handshake in it.
 */
static __always_inline int flow_is_over(const struct wire_flow *f,
					const struct packet *pkt, int dir)
{
	if (f->socket)
		return 0;
	if (pkt->tcp_flags & TCP_RST)
		return dir == TG_TX || f->active;
	return f->fins == 3;
}

/* To its row, and gone. */
static __always_inline void flow_end(const struct flow_key *key, struct wire_flow *f)
{
	struct wire_counts rx, tx;
	__u16 listener;
	int mine;

	bpf_spin_lock(&f->lock);
	mine = !f->dead && !f->socket;
	if (mine)
		f->dead = 1;
	rx = f->dir[TG_RX].counts;
	tx = f->dir[TG_TX].counts;
	listener = f->listener;
	bpf_spin_unlock(&f->lock);
	if (!mine)
		return;
	bpf_map_delete_elem(&wire, key);
	row_add(key, listener, TG_RX, &rx);
	row_add(key, listener, TG_TX, &tx);
}

static __always_inline void account_tcp(const struct __sk_buff *skb,
					const struct flow_key *key,
					const struct packet *pkt,
					const struct frame *frame, int dir)
{
	struct wire_flow *f = flow_find(key, pkt, dir);
	__u16 listener = 0;
	int charged = 0;

	if (f) {
		bpf_spin_lock(&f->lock);
		if (!f->dead && key_equal(&f->key, key)) {
			flow_add(f, dir, pkt, frame);
			listener = f->listener;
			charged = 1;
		}
		bpf_spin_unlock(&f->lock);
		if (charged && flow_is_over(f, pkt, dir))
			flow_end(key, f);
	}
	if (!charged) {
		listener = listener_lookup(key->local, key->local_port);
		row_add(key, listener, dir, &frame->counts);
	}
	/* what passes by, or is for another host, never reaches the stack where nft
	 * counts */
	if (dir == TG_TX || skb->pkt_type == PACKET_HOST)
		boundary_add(listener, dir, frame);
}

static __always_inline void account(struct __sk_buff *skb, int dir)
{
	struct packet pkt = {};
	struct frame frame = {};
	struct flow_key key = {};
	enum tg_fault fault;

	fault = parse_frame((void *)(long)skb->data, (void *)(long)skb->data_end, &pkt);
	if (fault >= TG_FAULT_SHORT_L2 && fault <= TG_FAULT_SHORT_L4 &&
	    bpf_skb_pull_data(skb, skb->len < HEADERS_MAX ? skb->len : HEADERS_MAX) ==
		    0) {
		/* headers may lie in fragments of the skb */
		__builtin_memset(&pkt, 0, sizeof(pkt));
		fault = parse_frame((void *)(long)skb->data, (void *)(long)skb->data_end,
				    &pkt);
	}
	if (fault != TG_FAULT_NONE)
		fault_inc(fault);
	frame_measure(skb, &pkt, &frame);
	key_fill(&key, &pkt, dir);
	if (fault == TG_FAULT_NONE && pkt.proto == IPPROTO_TCP)
		account_tcp(skb, &key, &pkt, &frame, dir);
	else
		row_add(&key, 0, dir, &frame.counts);
}

SEC("tc")
int wire_ingress(struct __sk_buff *skb)
{
	account(skb, TG_RX);
	return TCX_NEXT;
}

SEC("tc")
int wire_egress(struct __sk_buff *skb)
{
	account(skb, TG_TX);
	return TCX_NEXT;
}
