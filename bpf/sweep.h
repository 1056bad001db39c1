/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the end of a visit to all sockets does: wire flows that no socket owns go to their
 * rows, and away when they are idle or their socket was not met; how full tables are.
 */
#ifndef BPF_SWEEP_H
#define BPF_SWEEP_H

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "maps.h"
#include "wire_flow.h"

#define MISSED_MAX 3
#define ROLL_CALL  16 /* one visit in so many looks for flows whose socket is gone */
struct bpf_map;

struct sweep {
	__u64 before;	 /* what was seen last before it is idle */
	__u64 n;	 /* wire flows */
	__u32 roll_call; /* this one's number, 0 if it is none */
};

/* Whoever is called and missing three times is gone: its end was told by no hook. */
static __always_inline int is_missing(struct wire_flow *f, __u32 roll_call)
{
	if ((__s32)(f->pass - roll_call) >= 0) {
		f->missed = 0;
		return 0;
	}
	return ++f->missed >= MISSED_MAX;
}

static long sweep_one(struct bpf_map *map, struct flow_key *key, struct wire_flow *f,
		      struct sweep *s)
{
	s->n++;
	if (f->dead && f->seen_ns < s->before)
		bpf_map_delete_elem(&wire, key); /* it could not be, in time */
	else if (!f->socket && !f->dead)
		flow_settle(key, f, s->before);
	else if (s->roll_call && !f->dead && is_missing(f, s->roll_call))
		flow_settle(key, f, ~0ull);
	return 0;
}

static long count_one(struct bpf_map *map, struct flow_key *key, void *value, __u64 *n)
{
	++*n;
	return 0;
}

static __always_inline void cursor_set(__u32 which, __u64 value)
{
	__u64 *n = bpf_map_lookup_elem(&cursors, &which);

	if (n)
		*n = value;
}

/* The number of this visit if it is a roll call, which only works at home, or 0. */
static __always_inline __u32 roll_call(struct bpf_iter__tcp *ctx)
{
	__u32 number = (__u32)ctx->meta->session_id;
	struct meta *m = meta_get();
	struct seq_net_private *p;
	struct net *net;

	if (!m || !m->wire || number % ROLL_CALL)
		return 0;
	p = BPF_CORE_READ(ctx->meta, seq, private);
	net = BPF_CORE_READ(p, net);
	return BPF_CORE_READ(net, net_cookie) == m->netns_cookie ? number : 0;
}

/* Wire flows that no socket owns: to their rows, and away if they are idle. */
static __noinline int sweep(__u32 roll_call)
{
	struct meta *m = meta_get();
	__u64 now = bpf_ktime_get_ns(), idle, n = 0;
	struct sweep s = { .roll_call = roll_call };

	if (!m)
		return 0;
	if (m->wire) {
		idle = m->idle_ns ? m->idle_ns : TG_IDLE_NS;
		s.before = now > idle ? now - idle : 0;
		bpf_for_each_map_elem(&wire, sweep_one, &s, 0);
		cursor_set(TG_CURSOR_WIRE, s.n);
	}
	bpf_for_each_map_elem(&flows, count_one, &n, 0);
	cursor_set(TG_CURSOR_FLOWS, n);
	cursor_set(TG_CURSOR_RECORDS, bpf_ringbuf_query(&records, BPF_RB_AVAIL_DATA));
	cursor_set(TG_CURSOR_WIRE_RECORDS,
		   bpf_ringbuf_query(&wire_records, BPF_RB_AVAIL_DATA));
	return 0;
}

#endif
