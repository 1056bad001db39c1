/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * From a wire flow to its row, without a lock: it would cost half of what a packet may.
 *
 * Frames add to `counts`; whoever drains exchanges each number for 0 and adds it to a
 * row, so that every number gets into exactly one row.  An end goes in two steps: dead =
 * 1, drain, dead = 2, drain.  A frame looks at `dead` before and after it adds.  If it
 * sees 0 afterwards, the first draining has its numbers; if 1, the second; if 2, nobody
 * may have them, and it drains itself, to a row of its own.
 */
#ifndef BPF_WIRE_FLOW_H
#define BPF_WIRE_FLOW_H

#include "maps.h"
#include "record.h"

#define TG_IDLE_NS 60000000000ull /* unless meta says otherwise */

/* Exchange for 0, if there is anything. */
static __always_inline __u64 take(__u64 *n)
{
	return *(volatile __u64 *)n ? __sync_lock_test_and_set(n, 0) : 0;
}

/* Move what the flow holds to the row. */
static __always_inline void wire_drain(struct wire_flow *f, const struct row_key *row_key)
{
	struct wire_totals *row = wire_row(row_key);
	struct wire_counts n;

	if (!row)
		return;
	for (int i = 0; i < TG_POINT_MAX; i++) {
		n.packets = take(&f->counts[i].packets);
		n.l3_bytes = take(&f->counts[i].l3_bytes);
		n.frame_bytes = take(&f->counts[i].frame_bytes);
		n.payload_bytes = take(&f->counts[i].payload_bytes);
		if (!n.packets && !n.frame_bytes && !n.l3_bytes && !n.payload_bytes)
			continue;
		wire_add(row, i, &n);
		ADD(f->drained[i].packets, n.packets);
		ADD(f->drained[i].l3_bytes, n.l3_bytes);
		ADD(f->drained[i].frame_bytes, n.frame_bytes);
		ADD(f->drained[i].payload_bytes, n.payload_bytes);
	}
}

/* The end.  1 for the one caller who then reads and deletes the flow, else 0. */
static __always_inline int wire_end(struct wire_flow *f, const struct row_key *row_key)
{
	struct wire_totals *row;

	if (__sync_val_compare_and_swap(&f->dead, 0, 1) != 0)
		return 0;
	wire_drain(f, row_key);
	(void)__sync_val_compare_and_swap(&f->dead, 1, 2);
	wire_drain(f, row_key);
	row = wire_row(row_key);
	if (row)
		ADD(row->flows, 1);
	return 1;
}

static __always_inline void flow_record(const struct flow_key *key,
					const struct row_key *row,
					const struct wire_flow *f, int reason)
{
	struct tcp_counts counts = {
		.rx_payload_bytes = f->drained[TG_RX].payload_bytes,
		.tx_payload_bytes = f->drained[TG_TX].payload_bytes,
		.rx_segments = f->drained[TG_RX].packets,
		.tx_segments = f->drained[TG_TX].packets,
	};
	struct record *r;
	__u64 least;

	/* what was never answered is no conversation; a refused SYN is no connection */
	least = key->proto == 6 ? 2 : 1;
	if (counts.rx_segments < least || counts.tx_segments < least)
		return;
	r = record_reserve(&wire_records, TG_RING_WIRE, &counts);
	if (!r)
		return;
	__builtin_memset(r, 0, sizeof(*r));
	r->key = *key;
	r->opened_ns = f->opened_ns;
	r->closed_ns = f->seen_ns;
	r->counts = counts;
	r->wire[TG_RX] = f->drained[TG_RX];
	r->wire[TG_TX] = f->drained[TG_TX];
	r->row = *row;
	r->role = f->active ? TG_ROLE_CONNECTED : TG_ROLE_ACCEPTED;
	r->reason = (__u8)reason;
	r->has_wire = 1;
	bpf_ringbuf_submit(r, 0);
}

/* A handshake that we never answered. */
static __always_inline void flow_unanswered(const struct flow_key *key,
					    const struct wire_flow *f)
{
	__u32 index = f->listener;
	struct wire_boundary *b;

	if (!index || key->proto != 6 || f->active || f->drained[TG_TX].packets)
		return;
	b = bpf_map_lookup_elem(&wire_boundary, &index);
	if (b)
		ADD(b->unanswered_syns, 1);
}

static __always_inline void flow_row(const struct flow_key *key,
				     const struct wire_flow *f, struct row_key *ret)
{
	__builtin_memset(ret, 0, sizeof(*ret));
	ret->proto = (__u8)key->proto;
	ret->listener = f->listener;
	ret->leg = f->leg;
}

/*
 * A flow that no socket owns: to its row, and if it was not seen since `before`, away.
 */
static __noinline int flow_settle(struct flow_key *key, struct wire_flow *f, __u64 before)
{
	struct row_key row;

	flow_row(key, f, &row);
	if (f->seen_ns >= before) {
		wire_drain(f, &row);
		return 0;
	}
	if (!wire_end(f, &row))
		return 0;
	flow_unanswered(key, f);
	flow_record(key, &row, f, before == ~0ull ? TG_RECORD_ENDED : TG_RECORD_IDLE);
	bpf_map_delete_elem(&wire, key);
	return 0;
}

#endif
