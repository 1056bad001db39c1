/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Every map, and the few helpers that add to them.  Maps are __weak so that linking
 * the objects into one folds their definitions.
 *
 * All additions are atomic, also to per-CPU values: sockops runs in process context
 * too, where a softirq on the same CPU may add to the same value half-way through.
 */
#ifndef BPF_MAPS_H
#define BPF_MAPS_H

#include <bpf/bpf_helpers.h>

#include "abi.h"

#define ADD(lvalue, n) ((void)__sync_fetch_and_add(&(lvalue), (n)))

#define TG_E2BIG       7 /* errno: a full map; linux/errno.h clashes with tcp_sock.h */
#define TG_EEXIST      17

#define TG_MAP(mname, mtype, mkey, mval, mmax, mflags) \
	struct {                                       \
		__uint(type, mtype);                   \
		__uint(max_entries, mmax);             \
		__uint(map_flags, mflags);             \
		__type(key, mkey);                     \
		__type(value, mval);                   \
	} mname SEC(".maps") __weak

TG_MAP(meta, BPF_MAP_TYPE_ARRAY, __u32, struct meta, 1, 0);
TG_MAP(tcp_label, BPF_MAP_TYPE_SK_STORAGE, int, struct sock_label, 0,
       BPF_F_NO_PREALLOC | BPF_F_CLONE);
TG_MAP(tcp_sock, BPF_MAP_TYPE_SK_STORAGE, int, struct sock_state, 0, BPF_F_NO_PREALLOC);
TG_MAP(flows, BPF_MAP_TYPE_HASH, struct flow_key, struct flow, TG_FLOWS_MAX,
       BPF_F_NO_PREALLOC);
TG_MAP(tcp_totals, BPF_MAP_TYPE_PERCPU_HASH, struct row_key, struct tcp_totals,
       TG_ROWS_MAX, BPF_F_NO_PREALLOC);
TG_MAP(tcp_overflow, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, struct tcp_totals, 1, 0);
TG_MAP(tcp_all, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, struct tcp_totals, 1, 0);
TG_MAP(wire, BPF_MAP_TYPE_HASH, struct flow_key, struct wire_flow, TG_WIRE_FLOWS_MAX,
       BPF_F_NO_PREALLOC);
TG_MAP(fragments, BPF_MAP_TYPE_LRU_HASH, struct fragment_key, struct fragment_val,
       TG_FRAGMENTS_MAX, 0);
TG_MAP(wire_totals, BPF_MAP_TYPE_PERCPU_HASH, struct row_key, struct wire_totals,
       TG_ROWS_MAX, BPF_F_NO_PREALLOC);
TG_MAP(wire_overflow, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, struct wire_totals, 1, 0);
TG_MAP(wire_boundary, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, struct wire_boundary,
       TG_LISTENERS_MAX, 0);
TG_MAP(listeners, BPF_MAP_TYPE_HASH, struct listener_key, struct listener_val,
       TG_LISTENERS_MAX, 0);
TG_MAP(cursors, BPF_MAP_TYPE_ARRAY, __u32, __u64, TG_CURSOR_MAX, 0);
TG_MAP(odd, BPF_MAP_TYPE_ARRAY, __u32, struct odd, TG_ODD_MAX, 0);
TG_MAP(records_lost, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, struct record_loss, TG_RING_MAX,
       0);
TG_MAP(xdp_reasons, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, struct xdp_count, TG_FAULT_MAX, 0);
TG_MAP(faults, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, __u64, TG_FAULT_MAX, 0);
TG_MAP(names, BPF_MAP_TYPE_HASH, struct name_key, struct name_val, TG_NAMES_MAX,
       BPF_F_NO_PREALLOC);
TG_MAP(watched, BPF_MAP_TYPE_ARRAY, __u32, struct watched, TG_TARGETS_MAX, 0);
TG_MAP(hooks, BPF_MAP_TYPE_ARRAY, __u32, struct hook, TG_HOOKS_MAX, 0);
TG_MAP(accepted, BPF_MAP_TYPE_ARRAY, __u32, struct accepted, 1, 0);
TG_MAP(cgroups, BPF_MAP_TYPE_HASH, __u64, __u32, TG_CGROUPS_MAX, BPF_F_NO_PREALLOC);
/* rows that are about to be folded into those of the past (user/book/fold.c) */
TG_MAP(folding, BPF_MAP_TYPE_HASH, struct row_key, __u64, TG_ROWS_MAX, BPF_F_NO_PREALLOC);
TG_MAP(labels, BPF_MAP_TYPE_ARRAY, __u32, struct label_bucket, TG_LABEL_BUCKETS,
       BPF_F_MMAPABLE);
TG_MAP(proxy_book, BPF_MAP_TYPE_ARRAY, __u32, struct proxy_slot, TG_SLOTS_MAX,
       BPF_F_MMAPABLE);
TG_MAP(proxy_ends, BPF_MAP_TYPE_ARRAY, __u32, struct proxy_ends, TG_ENDS_MAX,
       BPF_F_MMAPABLE);
TG_MAP(proxy_http, BPF_MAP_TYPE_ARRAY, __u32, struct http_book, TG_HTTP_MAX,
       BPF_F_MMAPABLE);
TG_MAP(offenders, BPF_MAP_TYPE_ARRAY, __u32, struct offender, TG_OFFENDERS_MAX,
       BPF_F_MMAPABLE);
TG_MAP(hello_book, BPF_MAP_TYPE_ARRAY, __u32, struct hello_book, TG_LISTENERS_MAX,
       BPF_F_MMAPABLE);
TG_MAP(proxy_events, BPF_MAP_TYPE_ARRAY, __u32, struct proxy_event, TG_PROXY_EVENTS_MAX,
       BPF_F_MMAPABLE);
TG_MAP(proxy_ring, BPF_MAP_TYPE_ARRAY, __u32, struct proxy_ring_state, 1, BPF_F_MMAPABLE);
TG_MAP(proxy_state, BPF_MAP_TYPE_ARRAY, __u32, struct proxy_state, 1, BPF_F_MMAPABLE);

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, TG_RECORDS_BYTES);
} records SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, TG_RECORDS_BYTES);
} wire_records SEC(".maps") __weak;

static __always_inline struct meta *meta_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&meta, &zero);
}

static __always_inline void fault_inc(__u32 fault)
{
	__u64 *n = bpf_map_lookup_elem(&faults, &fault);

	if (n)
		ADD(*n, 1);
}

/* An insert failed: is it the map that is full, or the host that has no memory? */
static __always_inline void fault_insert(long err, __u32 full)
{
	if (err && err != -TG_EEXIST)
		fault_inc(err == -TG_E2BIG ? full : TG_FAULT_NO_MEMORY);
}

static __always_inline __u64 cursor_get(__u32 which)
{
	__u64 *n = bpf_map_lookup_elem(&cursors, &which);

	return n ? *(volatile __u64 *)n : 0;
}

static __always_inline void cursor_add(__u32 which, __s64 by)
{
	__u64 *n = bpf_map_lookup_elem(&cursors, &which);

	if (n)
		ADD(*n, by);
}

static __always_inline int row_is(const struct row_key *a, const struct row_key *b)
{
	return a->listener == b->listener && a->route == b->route &&
	       a->backend == b->backend && a->port == b->port && a->leg == b->leg &&
	       a->role == b->role && a->proto == b->proto;
}

/* A row that is being folded takes no more: what comes for it is the overflow's. */
static __always_inline int row_is_folding(const struct row_key *row)
{
	return cursor_get(TG_CURSOR_FOLDING) && bpf_map_lookup_elem(&folding, row);
}

/*
 * Make a row.  Rows of the proxy always may be made; host rows are bounded in each map,
 * so that a busy host cannot take the proxy's places.
 */
static __always_inline void row_make(void *map, __u32 which, const struct row_key *row,
				     const void *empty, __u32 full)
{
	__u64 *n = bpf_map_lookup_elem(&cursors, &which);
	struct meta *m = meta_get();
	int host = row->leg == TG_LEG_HOST || row->leg == TG_LEG_FORWARDED;
	long err;

	if (!n || !m)
		return;
	if (host && *n >= (m->host_rows_max ? m->host_rows_max : TG_ROWS_MAX / 4)) {
		fault_inc(TG_FAULT_HOST_ROWS);
		return;
	}
	err = bpf_map_update_elem(map, row, empty, BPF_NOEXIST);
	fault_insert(err, full);
	if (!err && host)
		ADD(*n, 1);
}

/* The row's totals, or the overflow's; NULL never happens but the verifier must see it.
 */
static __always_inline struct tcp_totals *tcp_row(const struct row_key *row)
{
	static const struct tcp_totals empty;
	struct tcp_totals *t = NULL;
	__u32 zero = 0;

	if (!row_is_folding(row)) {
		t = bpf_map_lookup_elem(&tcp_totals, row);
		if (!t) {
			row_make(&tcp_totals, TG_CURSOR_ROWS_TCP, row, &empty,
				 TG_FAULT_TCP_ROWS_FULL);
			t = bpf_map_lookup_elem(&tcp_totals, row);
		}
	}
	if (t)
		return t;
	return bpf_map_lookup_elem(&tcp_overflow, &zero);
}

static __always_inline struct wire_totals *wire_row(const struct row_key *row)
{
	static const struct wire_totals empty;
	struct wire_totals *t = NULL;
	__u32 zero = 0;

	if (!row_is_folding(row)) {
		t = bpf_map_lookup_elem(&wire_totals, row);
		if (!t) {
			row_make(&wire_totals, TG_CURSOR_ROWS_WIRE, row, &empty,
				 TG_FAULT_WIRE_ROWS_FULL);
			t = bpf_map_lookup_elem(&wire_totals, row);
		}
	}
	if (t)
		return t;
	return bpf_map_lookup_elem(&wire_overflow, &zero);
}

static __always_inline void wire_add(struct wire_totals *t, __u64 point,
				     const struct wire_counts *n)
{
	ADD(t->dir[point].packets, n->packets);
	ADD(t->dir[point].l3_bytes, n->l3_bytes);
	ADD(t->dir[point].frame_bytes, n->frame_bytes);
	ADD(t->dir[point].payload_bytes, n->payload_bytes);
}

static __always_inline __u16 listener_lookup(const __u8 addr[16], __be16 port)
{
	struct listener_key key = { .port = port };
	int v4 = ((const __u64 *)addr)[0] == 0 && ((const __u32 *)addr)[2] == 0xffff0000;
	struct listener_val *val;

	__builtin_memcpy(key.addr, addr, 16);
	val = bpf_map_lookup_elem(&listeners, &key);
	if (val)
		return val->id;
	if (v4) {
		((__u32 *)key.addr)[3] = 0;
		val = bpf_map_lookup_elem(&listeners, &key);
		if (val)
			return val->id;
	}
	__builtin_memset(key.addr, 0, 16);
	val = bpf_map_lookup_elem(&listeners, &key);
	return val && (!v4 || val->dual) ? val->id : 0;
}

#endif
