/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The account of one socket: what it gained goes to its row; at its end it is compared
 * with the proxy's word and with the wire, and leaves a record.
 */
#ifndef BPF_TCP_ACCOUNT_H
#define BPF_TCP_ACCOUNT_H

#include "label.h"
#include "maps.h"
#include "record.h"
#include "tcp_sock.h"
#include "wire_flow.h"

/* Where the type of program knows no tcp_sock, see tcp_release(). */
static __always_inline void label_of(struct tcp_sock *tp, struct sock_label *ret)
{
	if (!label_mapped(sock_cookie(tp), ret))
		label_stored(bpf_sk_storage_get(&tcp_label, tp, 0, 0), ret);
}

static __always_inline int is_labelled(const struct sock_label *label)
{
	return label && label->leg != TG_LEG_HOST;
}

/* Ports that the kernel hands out name no service, and there are many of them. */
static __always_inline int is_ephemeral(__u16 port)
{
	struct meta *m = meta_get();

	return m && m->ephemeral_max && port >= m->ephemeral_min &&
	       port <= m->ephemeral_max;
}

/* Of the host's sockets that have no row of their own (yet), by role. */
static __always_inline void row_of_role(__u8 role, struct row_key *ret)
{
	__builtin_memset(ret, 0, sizeof(*ret));
	ret->proto = IPPROTO_TCP;
	ret->role = role;
}

/*
 * The row a socket belongs to, by the proxy's label or as the host's own.  A port has a
 * row as soon as a byte was carried: or else whoever connects everywhere would take all.
 */
static __always_inline void row_of(const struct sock_label *label,
				   const struct sock_state *st,
				   const struct flow_key *key, int carried,
				   struct row_key *ret)
{
	__u16 port;

	row_of_role(st->role, ret);
	if (is_labelled(label)) {
		ret->role = 0;
		ret->listener = label->listener;
		ret->route = label->route;
		ret->backend = label->backend;
		ret->leg = label->leg;
		return;
	}
	if (!carried)
		return;
	ret->backend = (__u16)st->cgroup;
	port = bpf_ntohs(st->role == TG_ROLE_ACCEPTED ? key->local_port
						      : key->remote_port);
	if (!is_ephemeral(port))
		ret->port = port;
}

static __always_inline int has_carried(const struct tcp_counts *n)
{
	return n->rx_payload_bytes || n->tx_payload_bytes;
}

static __always_inline int label_pending(const struct sock_label *label)
{
	return is_labelled(label) && !(label->flags & TG_LABEL_FINAL);
}

/* What was gained since *before, which follows; a number that goes back is not followed.
 */
static __always_inline __u64 grown(__u64 now, __u64 *before)
{
	__u64 n;

	if (now < *before) {
		fault_inc(TG_FAULT_BACKWARDS);
		return 0;
	}
	n = now - *before;
	*before = now;
	return n;
}

static __always_inline void counts_add(struct tcp_counts *t, const struct tcp_counts *n)
{
	ADD(t->rx_payload_bytes, n->rx_payload_bytes);
	ADD(t->tx_payload_bytes, n->tx_payload_bytes);
	ADD(t->tx_acked_bytes, n->tx_acked_bytes);
	ADD(t->tx_retransmitted_bytes, n->tx_retransmitted_bytes);
	ADD(t->rx_segments, n->rx_segments);
	ADD(t->tx_segments, n->tx_segments);
}

/* Where a life waits until its row is known (sock_state.waits). */
enum { WAITS_NOT, WAITS_ROUTE, WAITS_BYTE };

/* The row where it waits: its listener's, or that of the host's sockets of its role. */
static __always_inline struct tcp_totals *waiting_row(const struct sock_state *st,
						      const struct sock_label *label)
{
	struct row_key key;

	row_of_role(st->role, &key);
	if (st->waits == WAITS_ROUTE) {
		key.role = 0;
		key.leg = TG_LEG_DOWNSTREAM;
		key.listener = label ? label->listener : 0;
	}
	return tcp_row(&key);
}

static __always_inline void waiting_begins(struct sock_state *st,
					   const struct sock_label *label)
{
	struct tcp_totals *row, *all;
	__u32 zero = 0;

	if (is_labelled(label) && !label_pending(label))
		return;
	st->waits = is_labelled(label) ? WAITS_ROUTE : WAITS_BYTE;
	row = waiting_row(st, label);
	all = bpf_map_lookup_elem(&tcp_all, &zero);
	if (!row || !all)
		return;
	ADD(row->waiting, 1);
	ADD(all->waiting, 1);
}

/* Before its opening is added, with the label that is final or the last one. */
static __always_inline void waiting_ends(struct sock_state *st,
					 const struct sock_label *label)
{
	struct tcp_totals *row, *all;
	__u32 zero = 0;

	if (!st->waits)
		return;
	row = waiting_row(st, label);
	all = bpf_map_lookup_elem(&tcp_all, &zero);
	if (!row || !all)
		return;
	st->waits = WAITS_NOT;
	ADD(row->waited, 1);
	ADD(all->waited, 1);
}

static __always_inline void opening_add(struct tcp_totals *t, const struct sock_state *st)
{
	if (!st->adopted) {
		ADD(t->opened, 1);
		return;
	}
	ADD(t->adopted, 1);
	counts_add(&t->baseline, &st->baseline);
}

/* Add to the row and to the grand total what the socket gained since the last time. */
static __always_inline void
sock_flush(struct sock_state *st, const struct tcp_counts *now, struct tcp_totals *row)
{
	struct tcp_totals *all;
	struct tcp_counts n;
	__u32 zero = 0;

	all = bpf_map_lookup_elem(&tcp_all, &zero);
	if (!all)
		return;
	n.rx_payload_bytes = grown(now->rx_payload_bytes, &st->flushed.rx_payload_bytes);
	n.tx_payload_bytes = grown(now->tx_payload_bytes, &st->flushed.tx_payload_bytes);
	n.tx_acked_bytes = grown(now->tx_acked_bytes, &st->flushed.tx_acked_bytes);
	n.tx_retransmitted_bytes =
		grown(now->tx_retransmitted_bytes, &st->flushed.tx_retransmitted_bytes);
	n.rx_segments =
		(__u32)(now->rx_segments - st->flushed.rx_segments); /* u32 there */
	n.tx_segments = (__u32)(now->tx_segments - st->flushed.tx_segments);
	st->flushed.rx_segments = now->rx_segments;
	st->flushed.tx_segments = now->tx_segments;
	if (!st->opened) {
		st->opened = 1;
		opening_add(row, st);
		opening_add(all, st);
	}
	counts_add(&row->counts, &n);
	counts_add(&all->counts, &n);
}

static __always_inline __u64 difference(__u64 a, __u64 b)
{
	return a > b ? a - b : b - a;
}

struct verdict {
	__u64 tcp[TG_DIR_MAX];
	__u64 other[TG_DIR_MAX];
};

static __always_inline void verdict_note(const struct verdict *v, enum tg_odd check,
					 const struct flow_key *key,
					 const struct row_key *row)
{
	struct odd *o;

	if (v->tcp[TG_RX] == v->other[TG_RX] && v->tcp[TG_TX] == v->other[TG_TX])
		return;
	o = odd_next();
	if (!o)
		return;
	o->key = *key;
	o->row = *row;
	o->check = check;
	o->at_ns = bpf_ktime_get_ns();
	for (int i = 0; i < TG_DIR_MAX; i++) {
		o->tcp_bytes[i] = v->tcp[i];
		o->other_bytes[i] = v->other[i];
	}
}

static __always_inline void add_unclaimed(const struct sock_state *st,
					  struct tcp_totals *row)
{
	ADD(row->unclaimed, 1);
	ADD(row->unclaimed_rx_bytes, st->flushed.rx_payload_bytes);
	ADD(row->unclaimed_tx_bytes, st->flushed.tx_payload_bytes);
}

/*
 * The proxy's word for this socket against the kernel's.  Called when the socket is
 * closed by TCP and released by the application, in either order: a peer's FIN can end
 * the life of a socket whose last bytes nobody has read yet.  0 if it was done before.
 */
static __always_inline int check_claim(struct sock_state *st, struct tcp_totals *row,
				       const struct sock_label *label, __u32 copied_seq,
				       struct verdict *ret)
{
	__u64 rx = st->flushed.rx_payload_bytes, tx = st->flushed.tx_payload_bytes;
	__u64 unread;

	if (__sync_val_compare_and_swap(&st->compared, 0, 1) != 0)
		return 0;
	if (!(label->flags & TG_LABEL_CLAIMED)) {
		add_unclaimed(st, row);
		return 0;
	}
	unread = bytes_unread(st->received, copied_seq, st->fin_received);
	ADD(row->claimed, 1);
	ADD(row->unread_bytes, unread);
	ADD(row->unsent_bytes, st->unsent_bytes);
	ret->tcp[TG_RX] = rx;
	ret->tcp[TG_TX] = tx + st->unsent_bytes;
	ret->other[TG_RX] = label->rx_payload_bytes + unread;
	ret->other[TG_TX] = label->tx_payload_bytes;
	ADD(row->proxy_rx_residual_bytes, difference(ret->tcp[TG_RX], ret->other[TG_RX]));
	ADD(row->proxy_tx_residual_bytes, difference(ret->tcp[TG_TX], ret->other[TG_TX]));
	return 1;
}

/* Its bytes are in one row, and the proxy counts them in another. */
static __always_inline void late_label(const struct sock_state *st,
				       const struct row_key *row_key,
				       struct tcp_totals *row)
{
	__u64 rx = st->flushed.rx_payload_bytes - st->baseline.rx_payload_bytes;
	__u64 tx = st->flushed.tx_payload_bytes - st->baseline.tx_payload_bytes;
	struct tcp_totals *had;

	if (row_is(&st->row, row_key))
		return;
	had = tcp_row(&st->row);
	if (!had)
		return;
	ADD(row->late_rx_bytes, rx);
	ADD(row->late_tx_bytes, tx);
	ADD(had->late_rx_bytes, -rx);
	ADD(had->late_tx_bytes, -tx);
}

static __always_inline __u64 least(__u64 a, __u64 b)
{
	return a < b ? a : b;
}

/*
 * What arrived: each byte that the socket took must have crossed the device, and the
 * highest number seen is where the socket came to.  What is more in either is explained
 * only by payload that was seen: copies of bytes it has, bytes it refused.
 */
static __always_inline void check_arrived(struct tcp_sock *tp, struct tcp_totals *row,
					  const struct wire_flow *f, __u64 rx,
					  struct verdict *ret)
{
	/* the socket knows where its numbers begin; a SYN on the link may be anybody's */
	__s32 moved = (__s32)(first_received(tp) - (__u32)f->seq[TG_RX].first);
	__s64 unique =
		f->seq[TG_RX].highest
			? (__s64)(f->seq[TG_RX].highest - f->seq[TG_RX].first) - moved
			: 0;
	__u64 copies = f->drained[TG_RX].payload_bytes + f->parts_bytes, seen, more,
	      refused = 0, parts = 0;

	copies -= least(copies, f->outside_bytes);
	seen = least(unique > 0 ? (__u64)unique : 0, copies);
	more = copies > rx ? copies - rx : 0;
	if (seen > rx) /* beyond its window, after its reset, or forged */
		refused = least(seen - rx, more);
	else /* no more than its fragmented packets could hold */
		parts = least(rx - seen, f->parts_open * 65535ull);
	ADD(row->wire_rx_outside_bytes, f->outside_bytes);
	ADD(row->wire_rx_parts_bytes, parts);
	ADD(row->wire_rx_unaccepted_bytes, refused);
	ADD(row->wire_rx_duplicate_bytes, more - refused);
	ret->tcp[TG_RX] = rx + refused;
	ret->other[TG_RX] = seen + parts;
	ADD(row->wire_rx_residual_bytes, difference(ret->tcp[TG_RX], ret->other[TG_RX]));
}

/*
 * What was sent.  Each transmission of unacknowledged bytes may be lost between IP and
 * the device (no neighbour, a filter); bytes that were acknowledged did cross it once.
 */
static __always_inline void check_sent(struct tcp_sock *tp, struct tcp_totals *row,
				       const struct wire_flow *f,
				       const struct tcp_counts *now, struct verdict *ret)
{
	__u64 sent = f->drained[TG_TX].payload_bytes;
	__u64 lost = tp->bytes_sent > sent ? tp->bytes_sent - sent : 0;

	if (lost > now->tx_retransmitted_bytes + (__u32)(tp->snd_nxt - tp->snd_una))
		lost = 0;
	ADD(row->wire_tx_unseen_bytes, lost);
	ret->tcp[TG_TX] = tp->bytes_sent;
	ret->other[TG_TX] = sent + lost;
	ADD(row->wire_tx_residual_bytes, difference(ret->tcp[TG_TX], ret->other[TG_TX]));
}

/* What the link carried for this socket against the kernel's counters (tcp = wire). */
static __always_inline void check_wire(struct tcp_sock *tp, struct tcp_totals *row,
				       const struct wire_flow *f,
				       const struct tcp_counts *now, struct verdict *ret)
{
	ADD(row->wire_matched, 1);
	check_arrived(tp, row, f, now->rx_payload_bytes, ret);
	check_sent(tp, row, f, now, ret);
}

/* The end of the socket's wire flow: dead, for the caller to delete; or NULL. */
static __always_inline struct wire_flow *wire_close(const struct flow_key *key,
						    const struct row_key *row_key,
						    struct tcp_totals *row)
{
	struct meta *m = meta_get();
	struct wire_flow *f;

	if (!m || !m->wire)
		return NULL;
	f = bpf_map_lookup_elem(&wire, key);
	if (f && wire_end(f, row_key))
		return f;
	ADD(row->wire_unmatched, 1);
	return NULL;
}

/* Its packets cross a watched device, and none was missed while it was not watched. */
static __always_inline int is_comparable(const struct wire_flow *f)
{
	return (f->drained[TG_RX].packets || f->drained[TG_TX].packets) &&
	       f->epoch == cursor_get(TG_CURSOR_EPOCH);
}

static __always_inline void close_record(struct tcp_sock *tp, const struct sock_state *st,
					 const struct flow_key *key,
					 const struct row_key *row, enum tg_close reason,
					 __u64 now_ns, const struct wire_flow *f)
{
	struct record *r = record_reserve(&records, TG_RING_TCP, &st->flushed);

	if (!r)
		return;
	r->key = *key;
	r->opened_ns = st->opened_ns;
	r->closed_ns = now_ns;
	r->counts = st->flushed;
	r->baseline = st->baseline;
	__builtin_memset(r->wire, 0, sizeof(r->wire));
	if (f) {
		r->wire[TG_RX] = f->drained[TG_RX];
		r->wire[TG_TX] = f->drained[TG_TX];
	}
	r->row = *row;
	r->srtt_us = tp->srtt_us >> 3;
	r->min_rtt_us = tp->srtt_us ? tp->rtt_min.s[0].v : 0;
	r->handshake_us = st->handshake_us;
	r->generation = st->generation;
	r->role = st->role;
	r->reason = (__u8)reason;
	r->adopted = st->adopted;
	r->has_wire = f != NULL;
	bpf_ringbuf_submit(r, 0);
}

static __always_inline void close_totals(struct tcp_sock *tp, const struct sock_state *st,
					 struct tcp_totals *row, enum tg_close reason,
					 __u64 now_ns)
{
	struct tcp_totals *all;
	__u32 zero = 0;

	all = bpf_map_lookup_elem(&tcp_all, &zero);
	if (!all || (__u32)reason >= TG_CLOSE_MAX)
		return;
	ADD(row->closed[reason], 1);
	ADD(all->closed[reason], 1);
	hist_add(&row->hist[TG_HIST_DURATION], TG_HIST_DURATION_SHIFT,
		 now_ns - st->opened_ns);
	hist_add(&row->hist[TG_HIST_BYTES], TG_HIST_BYTES_SHIFT,
		 st->flushed.rx_payload_bytes + st->flushed.tx_payload_bytes);
	if (tp->srtt_us)
		hist_add(&row->hist[TG_HIST_RTT], TG_HIST_RTT_SHIFT, tp->srtt_us >> 3);
}

/* The proxy's word is there already; it may name another row than a moment ago. */
static __noinline int claimed_now(struct tcp_sock *tp, struct sock_state *st,
				  struct sock_label *label, struct flow_key *key,
				  struct verdict *verdict)
{
	struct tcp_totals *row;
	struct row_key row_key;

	row_of(label, st, key, 1, &row_key);
	row = tcp_row(&row_key);
	if (!row)
		return 0;
	if (check_claim(st, row, label, tp->copied_seq, verdict)) {
		late_label(st, &row_key, row);
		verdict_note(verdict, TG_ODD_PROXY_TCP, key, &row_key);
	}
	label_done(sock_cookie(tp));
	return 0;
}

/* What is gone as soon as it has closed, for who compares it later. */
static __always_inline void close_state(struct tcp_sock *tp, struct sock_state *st,
					__u32 old_state, const struct row_key *row_key)
{
	if (st->here)
		cursor_add(TG_CURSOR_LIVE, -1);
	if (tp->bytes_sent < st->flushed.tx_payload_bytes)
		fault_inc(TG_FAULT_SEQUENCE);
	st->unsent_bytes = bytes_unsent(tp, old_state);
	st->received = received_to(tp, st);
	st->fin_received = fin_received(tp);
	st->row = *row_key;
	st->closed = 1;
}

/*
 * Of sock_closed() and tcp_release() one comes second; the full barriers make sure that
 * at least one of two at the same time sees the other.
 */
static __always_inline void close_claim(struct tcp_sock *tp, struct sock_state *st,
					struct flow_key *key, struct tcp_totals *row,
					struct verdict *verdict)
{
	struct sock_label label;

	(void)__sync_fetch_and_add(&st->compared, 0);
	label_of(tp, &label);
	if (is_queued(tp_sk(tp)))
		/* accept() may come and read what is there, or never: who claims it then
		 * is compared all the same */
		add_unclaimed(st, row);
	else if (st->released || !tp_sk(tp)->sk_socket || label.flags & TG_LABEL_CLAIMED)
		claimed_now(tp, st, &label, key, verdict);
}

/* Both hooks come here, each at most once a life. */
static __noinline int sock_closed(struct tcp_sock *tp, struct sock_state *st,
				  __u32 old_state)
{
	__u64 now_ns = bpf_ktime_get_ns();
	struct verdict verdict = {};
	struct wire_flow *f;
	struct tcp_totals *row;
	struct sock_label label;
	struct row_key row_key;
	struct flow_key key;
	enum tg_close reason;

	if (st->closed)
		return 0;
	label_of(tp, &label);
	sock_key(tp, &key);
	{
		struct tcp_counts now;

		sock_counts(tp, st, old_state, &now);
		row_of(&label, st, &key, has_carried(&now), &row_key);
		row = tcp_row(&row_key);
		if (!row)
			return 0;
		sock_flush(st, &now, row);
	}
	waiting_ends(st, &label);
	close_state(tp, st, old_state, &row_key);
	reason = close_reason(tp, st, old_state);
	close_totals(tp, st, row, reason, now_ns);
	if (is_labelled(&label))
		close_claim(tp, st, &key, row, &verdict);
	f = wire_close(&key, &row_key, row);
	if (f && !is_comparable(f)) {
		ADD(row->wire_unmatched, 1);
	} else if (f && !st->adopted) {
		check_wire(tp, row, f, &st->flushed, &verdict);
		verdict_note(&verdict, TG_ODD_TCP_WIRE, &key, &row_key);
	}
	close_record(tp, st, &key, &row_key, reason, now_ns, f);
	if (f)
		bpf_map_delete_elem(&wire, &key);
	if (st->in_flows)
		bpf_map_delete_elem(&flows, &key);
	return 0;
}

#endif
