/* SPDX-License-Identifier: GPL-2.0-only */
/* What leaves the kernel besides totals: records of ended connections, odd ones, and the
 * histograms. */
#ifndef BPF_RECORD_H
#define BPF_RECORD_H

#include "maps.h"

/* 2^k holds value, k the smallest such; value is not 0. */
static __always_inline __u32 log2_ceil(__u64 value)
{
	__u32 k = 0;

	value--;
#define HALVE(bits)               \
	if (value >> (bits)) {    \
		value >>= (bits); \
		k += (bits);      \
	}
	HALVE(32)
	HALVE(16)
	HALVE(8)
	HALVE(4)
	HALVE(2)
	HALVE(1)
#undef HALVE
	return k + (__u32)value;
}

static __always_inline void hist_add(struct tcp_hist *h, __u32 shift, __u64 value)
{
	__u32 k = value ? log2_ceil(value) : 0, bucket = k > shift ? k - shift : 0;

	if (bucket >= TG_HIST_BUCKETS)
		bucket = TG_HIST_BUCKETS - 1;
	ADD(h->sum, value);
	ADD(h->buckets[bucket & (TG_HIST_BUCKETS - 1)], 1);
}

/* Hand over, or account the loss. */
static __always_inline struct record *record_reserve(void *ring, __u32 book,
						     const struct tcp_counts *counts)
{
	struct record *r = bpf_ringbuf_reserve(ring, sizeof(*r), 0);
	struct record_loss *lost;

	if (r)
		return r;
	lost = bpf_map_lookup_elem(&records_lost, &book);
	if (lost) {
		ADD(lost->records, 1);
		ADD(lost->rx_payload_bytes, counts->rx_payload_bytes);
		ADD(lost->tx_payload_bytes, counts->tx_payload_bytes);
	}
	return NULL;
}

/* The next place to note a connection whose books differ; not locked: a place may be
 * overwritten after TG_ODD_MAX more. */
static __always_inline struct odd *odd_next(void)
{
	__u32 which = TG_CURSOR_ODD, index;
	__u64 *n = bpf_map_lookup_elem(&cursors, &which);

	if (!n)
		return NULL;
	index = (__u32)(__sync_fetch_and_add(n, 1) % TG_ODD_MAX);
	return bpf_map_lookup_elem(&odd, &index);
}

#endif
