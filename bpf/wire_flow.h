/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * From a wire flow to its row.  A flow is marked dead under its lock before it is
 * deleted: a frame that still holds the element finds it so and goes to a row of its
 * own.
 */
#ifndef BPF_WIRE_FLOW_H
#define BPF_WIRE_FLOW_H

#include "maps.h"
#include "record.h"

#define TG_IDLE_NS 60000000000ull /* unless meta says otherwise */

/* A wire_flow where the kernel allows no lock: per-CPU values and constants. */
struct flow_bytes {
	__u64 words[sizeof(struct wire_flow) / 8];
};

static __always_inline void counts_since(struct wire_counts *ret,
					 const struct wire_counts *now,
					 const struct wire_counts *before)
{
	ret->packets = now->packets - before->packets;
	ret->l3_bytes = now->l3_bytes - before->l3_bytes;
	ret->frame_bytes = now->frame_bytes - before->frame_bytes;
	ret->payload_bytes = now->payload_bytes - before->payload_bytes;
}

enum wire_end { WIRE_GOES_ON, WIRE_ENDS, WIRE_GONE };

/*
 * Move what the flow gained since the last time to a row.  It ends if it was not seen
 * since `before` and, unless `owner` asks, no socket owns it: then nobody writes to it
 * any more, and the caller reads what it likes and deletes it.
 */
static __always_inline enum wire_end
wire_drain(struct wire_flow *f, const struct row_key *row_key, __u64 before, int owner)
{
	struct wire_counts gained[TG_POINT_MAX] = {};
	enum wire_end end = WIRE_GONE;
	struct wire_totals *row;

	bpf_spin_lock(&f->lock);
	if (!f->dead) {
		end = f->seen_ns < before && (owner || !f->socket) ? WIRE_ENDS
								   : WIRE_GOES_ON;
		for (int i = 0; i < TG_POINT_MAX; i++) {
			counts_since(&gained[i], &f->counts[i], &f->flushed[i]);
			f->flushed[i] = f->counts[i];
		}
		f->dead = end == WIRE_ENDS;
	}
	bpf_spin_unlock(&f->lock);
	if (end == WIRE_GONE)
		return end;
	row = wire_row(row_key);
	if (!row)
		return end;
	for (int i = 0; i < TG_POINT_MAX; i++) {
		if (gained[i].packets)
			wire_add(row, i, &gained[i]);
	}
	if (end == WIRE_ENDS)
		ADD(row->flows, 1);
	return end;
}

static __always_inline void flow_record(const struct flow_key *key,
					const struct row_key *row,
					const struct wire_flow *f, int reason)
{
	struct tcp_counts counts = {
		.rx_payload_bytes = f->counts[TG_RX].payload_bytes,
		.tx_payload_bytes = f->counts[TG_TX].payload_bytes,
		.rx_segments = f->counts[TG_RX].packets,
		.tx_segments = f->counts[TG_TX].packets,
	};
	struct record *r;

	/* a SYN that was refused or not answered is no connection */
	if (key->proto == 6 && (counts.rx_segments < 2 || counts.tx_segments < 2))
		return;
	r = record_reserve(&counts);
	if (!r)
		return;
	__builtin_memset(r, 0, sizeof(*r));
	r->key = *key;
	r->opened_ns = f->opened_ns;
	r->closed_ns = f->seen_ns;
	r->counts = counts;
	r->wire[TG_RX] = f->counts[TG_RX];
	r->wire[TG_TX] = f->counts[TG_TX];
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

	if (!index || key->proto != 6 || f->active || f->counts[TG_TX].packets)
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

/* Drain a flow that no socket owns; it ends if it was not seen since `before`. */
static __noinline int flow_settle(struct flow_key *key, struct wire_flow *f, __u64 before)
{
	struct row_key row;

	flow_row(key, f, &row);
	if (wire_drain(f, &row, before, 0) != WIRE_ENDS)
		return 0;
	flow_unanswered(key, f);
	flow_record(key, &row, f, before == ~0ull ? TG_RECORD_ENDED : TG_RECORD_IDLE);
	bpf_map_delete_elem(&wire, key);
	return 0;
}

#endif
