/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the proxy says of a socket: in `labels`, which it maps, or else in the socket's
 * own storage, which a child inherits from its listener.
 */
#ifndef BPF_LABEL_H
#define BPF_LABEL_H

#include "maps.h"

static __always_inline struct label_place *label_in(__u64 cookie, __u32 which)
{
	__u32 index = (__u32)TG_LABEL_BUCKET(cookie, which, TG_LABEL_BUCKETS);
	struct label_bucket *b = bpf_map_lookup_elem(&labels, &index);

	for (int i = 0; b && i < TG_LABEL_PLACES; i++) {
		if (*(volatile __u64 *)&b->places[i].cookie == cookie)
			return &b->places[i];
	}
	return NULL;
}

/* Its place in `labels`, or NULL. */
static __always_inline struct label_place *label_place(__u64 cookie)
{
	struct label_place *p = cookie ? label_in(cookie, 0) : NULL;

	return p || !cookie ? p : label_in(cookie, 1);
}

/*
 * A copy of a label, so that what is decided by it is decided by one; leg HOST if nobody
 * has said anything.  1 if it is in `labels`.  The atomic addition is a barrier: who sees
 * that the sums are the claim sees the sums.
 */
static __always_inline int label_mapped(__u64 cookie, struct sock_label *ret)
{
	struct label_place *p = label_place(cookie);
	union {
		struct sock_label label;
		__u64 name;
	} copy;

	if (!p)
		return 0;
	copy.name = __sync_fetch_and_add(&p->name, 0);
	copy.label.rx_payload_bytes = *(volatile __u64 *)&p->label.rx_payload_bytes;
	copy.label.tx_payload_bytes = *(volatile __u64 *)&p->label.tx_payload_bytes;
	*ret = copy.label;
	return 1;
}

static __always_inline void label_stored(const struct sock_label *stored,
					 struct sock_label *ret)
{
	if (stored)
		*ret = *stored;
	else
		__builtin_memset(ret, 0, sizeof(*ret));
}

/* Nobody will ask again: its place is another's. */
static __always_inline void label_done(__u64 cookie)
{
	struct label_place *p = label_place(cookie);

	if (p && __sync_val_compare_and_swap(&p->cookie, cookie, 0) == cookie)
		cursor_add(TG_CURSOR_LABELS, 1);
}

#endif
