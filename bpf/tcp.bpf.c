/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The tcp book: the kernel's own counters of every TCP socket in the cgroup, read when
 * a socket closes and when somebody looks (iter/tcp), never per segment.
 *
 * Two hooks can tell of open and close, `meta.hook` says which: sockops, or the
 * tracepoint inet_sock_set_state.  Both run under the socket's lock, before the state
 * changes, and lead to the same functions.  With sockops the tracepoint serves adopted
 * sockets where the kernel cannot set their callback flags (before 6.12).
 */
#include <linux/bpf.h>

#include "vmlinux.h"
#include <linux/types.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "abi.h"
#include "maps.h"
#include "record.h"
#include "tcp_sock.h"
#include "wire_flow.h"

#define SOL_TCP			  6
#define TCP_BPF_SOCK_OPS_CB_FLAGS 1008 /* since Linux 6.12 */

char LICENSE[] SEC("license") __weak = "GPL";

/* The row a socket belongs to, by the proxy's label or as the host's own. */
static __always_inline void row_of(const struct sock_label *label, __u8 role,
				   const struct flow_key *key, struct row_key *ret)
{
	__builtin_memset(ret, 0, sizeof(*ret));
	ret->proto = IPPROTO_TCP;
	if (label && label->leg != TG_LEG_HOST) {
		ret->listener = label->listener;
		ret->route = label->route;
		ret->backend = label->backend;
		ret->leg = label->leg;
		return;
	}
	ret->role = role;
	ret->port =
		bpf_ntohs(role == TG_ROLE_ACCEPTED ? key->local_port : key->remote_port);
}

static __always_inline int label_pending(const struct sock_label *label)
{
	return label && label->leg != TG_LEG_HOST && !(label->flags & TG_LABEL_FINAL);
}

static __always_inline __u64 grown(__u64 now, __u64 before)
{
	if (now >= before)
		return now - before;
	fault_inc(TG_FAULT_BACKWARDS);
	return 0;
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

/* The row where connections of a listener wait until their route is known. */
static __always_inline struct tcp_totals *waiting_row(const struct sock_label *label)
{
	struct row_key key = { .listener = label->listener,
			       .leg = TG_LEG_DOWNSTREAM,
			       .proto = IPPROTO_TCP };

	return tcp_row(&key);
}

static __always_inline void waiting_begins(struct sock_state *st,
					   const struct sock_label *label)
{
	struct tcp_totals *row, *all;
	__u32 zero = 0;

	if (!label_pending(label))
		return;
	row = waiting_row(label);
	all = bpf_map_lookup_elem(&tcp_all, &zero);
	if (!row || !all)
		return;
	st->waits = 1;
	ADD(row->waiting, 1);
	ADD(all->waiting, 1);
}

/* Before its opening is added, with the label that is final or the last one. */
static __always_inline void waiting_ends(struct sock_state *st,
					 const struct sock_label *label)
{
	struct tcp_totals *row, *all;
	__u32 zero = 0;

	if (!st->waits || !label)
		return;
	row = waiting_row(label);
	all = bpf_map_lookup_elem(&tcp_all, &zero);
	if (!row || !all)
		return;
	st->waits = 0;
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
	n.rx_payload_bytes = grown(now->rx_payload_bytes, st->flushed.rx_payload_bytes);
	n.tx_payload_bytes = grown(now->tx_payload_bytes, st->flushed.tx_payload_bytes);
	n.tx_acked_bytes = grown(now->tx_acked_bytes, st->flushed.tx_acked_bytes);
	n.tx_retransmitted_bytes =
		grown(now->tx_retransmitted_bytes, st->flushed.tx_retransmitted_bytes);
	n.rx_segments =
		(__u32)(now->rx_segments - st->flushed.rx_segments); /* u32 there */
	n.tx_segments = (__u32)(now->tx_segments - st->flushed.tx_segments);
	st->flushed = *now;
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
		ADD(row->unclaimed, 1);
		ADD(row->unclaimed_rx_bytes, rx);
		ADD(row->unclaimed_tx_bytes, tx);
		return 0;
	}
	unread = bytes_unread(st->rcv_nxt, copied_seq, st->fin_received);
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

/* What the link carried for this socket against the kernel's counters (tcp = wire). */
static __always_inline void check_wire(struct tcp_sock *tp, struct tcp_totals *row,
				       const struct wire_flow *f,
				       const struct tcp_counts *now, struct verdict *ret)
{
	__u64 unique = f->seq[TG_RX].highest - f->seq[TG_RX].first;
	__u64 copies = f->drained[TG_RX].payload_bytes;
	__u64 sent = f->drained[TG_TX].payload_bytes, lost, refused = 0;

	ADD(row->wire_matched, 1);
	/*
	 * Each transmission of unacknowledged bytes may be lost between IP and the device
	 * (no neighbour, a filter); bytes that were acknowledged did cross it once.
	 */
	lost = tp->bytes_sent > sent ? tp->bytes_sent - sent : 0;
	if (lost > now->tx_retransmitted_bytes + (__u32)(tp->snd_nxt - tp->snd_una))
		lost = 0;
	/* more than the socket took: beyond its window, after its reset, or forged */
	if (unique > now->rx_payload_bytes)
		refused = unique - now->rx_payload_bytes;
	ADD(row->wire_tx_unseen_bytes, lost);
	ADD(row->wire_rx_duplicate_bytes, copies > unique ? copies - unique : 0);
	ADD(row->wire_rx_unaccepted_bytes, refused);
	ret->tcp[TG_RX] = now->rx_payload_bytes + refused;
	ret->tcp[TG_TX] = tp->bytes_sent;
	ret->other[TG_RX] = unique;
	ret->other[TG_TX] = sent + lost;
	ADD(row->wire_rx_residual_bytes, difference(ret->tcp[TG_RX], ret->other[TG_RX]));
	ADD(row->wire_tx_residual_bytes, difference(ret->tcp[TG_TX], ret->other[TG_TX]));
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

static __always_inline void close_record(struct tcp_sock *tp, const struct sock_state *st,
					 const struct flow_key *key,
					 const struct row_key *row, enum tg_close reason,
					 __u64 now_ns, const struct wire_flow *f)
{
	struct record *r = record_reserve(&st->flushed);

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
	hist_add(&row->hist[TG_HIST_DURATION], 14, now_ns - st->opened_ns);
	hist_add(&row->hist[TG_HIST_BYTES], 6,
		 st->flushed.rx_payload_bytes + st->flushed.tx_payload_bytes);
	if (tp->srtt_us)
		hist_add(&row->hist[TG_HIST_RTT], 4, tp->srtt_us >> 3);
}

/* Both hooks come here, each at most once a life. */
static __noinline int sock_closed(struct tcp_sock *tp, struct sock_state *st,
				  __u32 old_state)
{
	__u64 now_ns = bpf_ktime_get_ns();
	struct verdict verdict = {};
	struct wire_flow *f;
	struct tcp_totals *row;
	struct sock_label *label;
	struct row_key row_key;
	struct flow_key key;
	enum tg_close reason;

	if (st->closed)
		return 0;
	label = bpf_sk_storage_get(&tcp_label, tp, 0, 0);
	sock_key(tp, &key);
	row_of(label, st->role, &key, &row_key);
	waiting_ends(st, label);
	row = tcp_row(&row_key);
	if (!row)
		return 0;
	{
		struct tcp_counts now;

		sock_counts(tp, st->role, old_state, &now);
		sock_flush(st, &now, row);
	}
	if (tp->bytes_sent < st->flushed.tx_payload_bytes)
		fault_inc(TG_FAULT_SEQUENCE);
	st->unsent_bytes = bytes_unsent(tp, old_state);
	st->rcv_nxt = tp->rcv_nxt;
	st->fin_received = fin_received(tp);
	st->closed = 1;
	reason = close_reason(tp, old_state);
	close_totals(tp, st, row, reason, now_ns);
	if (label && label->leg != TG_LEG_HOST) {
		/*
		 * Of sock_closed() and tcp_release() one comes second; the full
		 * barriers make sure that at least one of two at the same time sees the
		 * other.
		 */
		(void)__sync_fetch_and_add(&st->compared, 0);
		label = bpf_sk_storage_get(&tcp_label, tp, 0, 0);
		if (label &&
		    (st->released || !tp_sk(tp)->sk_socket ||
		     label->flags & TG_LABEL_CLAIMED) &&
		    check_claim(st, row, label, tp->copied_seq, &verdict))
			verdict_note(&verdict, TG_ODD_PROXY_TCP, &key, &row_key);
	}
	f = wire_close(&key, &row_key, row);
	if (f && !f->drained[TG_RX].packets && !f->drained[TG_TX].packets) {
		ADD(row->wire_unmatched, 1);
	} else if (f && !st->adopted) {
		check_wire(tp, row, f, &st->flushed, &verdict);
		verdict_note(&verdict, TG_ODD_TCP_WIRE, &key, &row_key);
	}
	close_record(tp, st, &key, &row_key, reason, now_ns, f);
	if (f)
		bpf_map_delete_elem(&wire, &key);
	bpf_map_delete_elem(&flows, &key);
	return 0;
}

/*
 * From now on packets of this 4-tuple belong to a socket.  A passive flow exists since
 * its SYN, or it is not on a watched device; an active one begins here.
 */
static __always_inline void wire_open(const struct flow_key *key, __u8 role)
{
	static const struct wire_flow empty;
	struct meta *m = meta_get();
	struct wire_flow *f;
	int fresh = 0;

	if (!m || !m->wire || m->netns_cookie != key->netns_cookie)
		return;
	/* nothing was sent yet, so nobody looks for this element while it is filled */
	if (role == TG_ROLE_CONNECTED)
		fresh = bpf_map_update_elem(&wire, key, &empty, BPF_NOEXIST) == 0;
	f = bpf_map_lookup_elem(&wire, key);
	if (!f) {
		if (role == TG_ROLE_CONNECTED)
			fault_inc(TG_FAULT_WIRE_FULL);
		return;
	}
	if (fresh) {
		f->key = *key;
		f->active = 1;
		f->opened_ns = f->seen_ns = bpf_ktime_get_ns();
	}
	f->socket = 1;
}

static __always_inline void flow_refresh(struct tcp_sock *tp, const struct sock_state *st,
					 const struct flow_key *key,
					 const struct row_key *row,
					 const struct tcp_counts *now, __u8 state)
{
	struct flow flow = {
		.opened_ns = st->opened_ns,
		.seen_ns = bpf_ktime_get_ns(),
		.counts = *now,
		.srtt_us = tp->srtt_us >> 3,
		.min_rtt_us = tp->srtt_us ? tp->rtt_min.s[0].v : 0,
		.handshake_us = st->handshake_us,
		.rx_queue_bytes = (__u32)bytes_unread(tp->rcv_nxt, tp->copied_seq,
						      fin_received(tp)),
		.tx_queue_bytes = tp->write_seq - tp->snd_una,
		.state = state,
		.role = st->role,
		.adopted = st->adopted,
		.row = *row,
	};

	if (bpf_map_update_elem(&flows, key, &flow, BPF_ANY) != 0)
		fault_inc(TG_FAULT_FLOWS_FULL);
}

/*
 * The 4-tuple is known.  Readers of this load's namespace list its sockets when somebody
 * looks; the others would never be seen.
 */
static __noinline int life_listed(struct tcp_sock *tp, struct sock_state *st, __u8 state)
{
	struct sock_label *label = bpf_sk_storage_get(&tcp_label, tp, 0, 0);
	struct meta *m = meta_get();
	struct tcp_counts now = {};
	struct row_key row;
	struct flow_key key;

	if (!m)
		return 0;
	sock_key(tp, &key);
	if (!st->waits)
		waiting_begins(st, label);
	if (key.netns_cookie != m->netns_cookie) {
		row_of(label, st->role, &key, &row);
		sock_counts(tp, st->role, state, &now);
		flow_refresh(tp, st, &key, &row, &now, state);
	}
	wire_open(&key, st->role);
	return 0;
}

/* A new life of the socket, unless the one it has goes on (simultaneous open). */
static __always_inline struct sock_state *life_begin(struct tcp_sock *tp, __u8 role)
{
	struct sock_state *st;
	__u32 generation;

	st = bpf_sk_storage_get(&tcp_sock, tp, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!st) {
		fault_inc(TG_FAULT_STORAGE);
		return NULL;
	}
	if (st->generation && !st->closed)
		return st;
	generation = st->generation + 1;
	__builtin_memset(st, 0, sizeof(*st));
	st->generation = generation;
	st->role = role;
	st->opened_ns = bpf_ktime_get_ns();
	return st;
}

/* What connecting took; the accepting end has measured SYN-ACK to ACK by itself. */
static __always_inline void life_established(struct tcp_sock *tp, struct sock_state *st)
{
	if (st->handshake_us || st->adopted)
		return;
	st->handshake_us = st->role == TG_ROLE_CONNECTED
				   ? (__u32)((bpf_ktime_get_ns() - st->opened_ns) / 1000)
				   : tp->srtt_us >> 3;
}

static __always_inline void ops_opened(struct bpf_sock_ops *ctx, struct tcp_sock *tp,
				       __u8 role)
{
	struct sock_state *st = life_begin(tp, role);

	if (!st)
		return;
	/* OR: the flags belong to every program of this cgroup */
	bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags |
					       BPF_SOCK_OPS_STATE_CB_FLAG);
	if (ctx->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB)
		life_established(tp, st);
	life_listed(tp, st,
		    role == TG_ROLE_CONNECTED ? BPF_TCP_SYN_SENT : BPF_TCP_ESTABLISHED);
}

SEC("sockops")
int tcp_sockops(struct bpf_sock_ops *ctx)
{
	struct bpf_sock *bsk = ctx->sk;
	struct sock_state *st;
	struct tcp_sock *tp;

	switch (ctx->op) {
	case BPF_SOCK_OPS_TCP_CONNECT_CB:
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
	case BPF_SOCK_OPS_STATE_CB:
		break;
	default:
		return 1;
	}
	if (!bsk)
		return 1;
	tp = bpf_skc_to_tcp_sock(bsk);
	if (!tp)
		return 1;
	if (ctx->op == BPF_SOCK_OPS_TCP_CONNECT_CB) {
		ops_opened(ctx, tp, TG_ROLE_CONNECTED);
		return 1;
	}
	if (ctx->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB) {
		ops_opened(ctx, tp, TG_ROLE_ACCEPTED);
		return 1;
	}
	st = bpf_sk_storage_get(&tcp_sock, tp, 0, 0);
	if (!st)
		return 1;
	if (ctx->op == BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB)
		life_established(tp, st);
	else if (ctx->args[1] == BPF_TCP_CLOSE)
		sock_closed(tp, st, ctx->args[0]);
	return 1;
}

/* A connect() that found no port or no way out never was a connection (as for sockops).
 */
static __always_inline void trace_closed(struct tcp_sock *tp, struct sock_state *st,
					 int old_state)
{
	if (old_state == BPF_TCP_SYN_SENT && !tp->segs_out && !st->adopted)
		st->closed = 1;
	else
		sock_closed(tp, st, old_state);
}

/*
 * The port of a connecting socket is not chosen yet when it becomes SYN_SENT, so it is
 * listed when established.  A child of a listener begins when it leaves SYN_RECV; with
 * Fast Open it may close there.
 */
SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(tcp_state, struct sock *sk, int old_state, int new_state)
{
	struct sock_state *st = NULL;
	struct meta *m = meta_get();
	struct tcp_sock *tp;

	if (sk->sk_protocol != IPPROTO_TCP || !m)
		return 0;
	tp = bpf_skc_to_tcp_sock(sk);
	if (!tp)
		return 0;
	if (m->hook == TG_HOOK_SOCKOPS) {
		st = bpf_sk_storage_get(&tcp_sock, tp, 0, 0);
		if (st && st->adopted && new_state == BPF_TCP_CLOSE)
			sock_closed(tp, st, old_state);
		return 0;
	}
	if (new_state == BPF_TCP_SYN_SENT) {
		if (sock_in_cgroup(tp))
			life_begin(tp, TG_ROLE_CONNECTED);
		return 0;
	}
	st = bpf_sk_storage_get(&tcp_sock, tp, 0, 0);
	if (old_state == BPF_TCP_SYN_RECV && (!st || st->closed) &&
	    (new_state != BPF_TCP_CLOSE || tp->fastopen_rsk) && sock_in_cgroup(tp))
		st = life_begin(tp, TG_ROLE_ACCEPTED);
	if (!st || st->closed)
		return 0;
	if (new_state == BPF_TCP_CLOSE) {
		trace_closed(tp, st, old_state);
	} else if (old_state == BPF_TCP_SYN_SENT || old_state == BPF_TCP_SYN_RECV) {
		life_established(tp, st);
		life_listed(tp, st, (__u8)new_state);
	}
	return 0;
}

/*
 * The application closes its descriptor, or dies; the proxy has just written its claim.
 * Not under the socket's lock, but a socket in state CLOSE counts nothing any more.
 * This program type knows no tcp_sock; its context is the kernel's struct sock.
 */
SEC("cgroup/sock_release")
int tcp_release(struct bpf_sock *bsk)
{
	struct tcp_sock *tp = (struct tcp_sock *)bsk;
	struct verdict verdict = {};
	struct flow_key key = {};
	struct sock_label *label;
	struct sock_state *st;
	struct tcp_totals *row;
	struct row_key row_key;

	if (bsk->protocol != IPPROTO_TCP)
		return 1;
	label = bpf_sk_storage_get(&tcp_label, bsk, 0, 0);
	if (!label || label->leg == TG_LEG_HOST)
		return 1;
	st = bpf_sk_storage_get(&tcp_sock, bsk, 0, 0);
	if (!st)
		return 1;
	st->released = 1;
	(void)__sync_fetch_and_add(&st->compared, 0); /* as in sock_closed() */
	if (!st->closed)
		return 1;
	row_of(label, st->role, &key, &row_key);
	row = tcp_row(&row_key);
	if (!row || !check_claim(st, row, label, BPF_CORE_READ(tp, copied_seq), &verdict))
		return 1;
	/* the addresses are gone from a socket that TCP has closed, the ports are not */
	key.local_port = BPF_CORE_READ(tp, inet_conn.icsk_inet.inet_sport);
	key.remote_port = BPF_CORE_READ(tp, inet_conn.icsk_inet.sk.__sk_common.skc_dport);
	key.proto = IPPROTO_TCP;
	verdict_note(&verdict, TG_ODD_PROXY_TCP, &key, &row_key);
	return 1;
}

struct bpf_map;

static long sweep_one(struct bpf_map *map, struct flow_key *key, struct wire_flow *f,
		      __u64 *before)
{
	if (!f->socket && !f->dead)
		flow_settle(key, f, *before);
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

/* Wire flows that no socket owns: to their rows, and away if they are idle. */
static __noinline int sweep(void)
{
	struct meta *m = meta_get();
	__u64 before, n = 0;

	if (!m)
		return 0;
	if (m->wire) {
		before = bpf_ktime_get_ns() - (m->idle_ns ? m->idle_ns : TG_IDLE_NS);
		bpf_for_each_map_elem(&wire, sweep_one, &before, 0);
		bpf_for_each_map_elem(&wire, count_one, &n, 0);
		cursor_set(TG_CURSOR_WIRE, n);
	}
	n = 0;
	bpf_for_each_map_elem(&flows, count_one, &n, 0);
	cursor_set(TG_CURSOR_FLOWS, n);
	return 0;
}

/* A subprogram of its own: its frame and the sweep's together would be too large. */
static __noinline int visit(struct tcp_sock *tp, struct sock_state *st, int list)
{
	struct wire_flow *f;
	struct sock_label *label;
	struct tcp_totals *row;
	struct tcp_counts now;
	struct row_key row_key;
	struct flow_key key;
	__u8 state;

	label = bpf_sk_storage_get(&tcp_label, tp, 0, 0);
	sock_key(tp, &key);
	row_of(label, st->role, &key, &row_key);
	state = tp_sk(tp)->__sk_common.skc_state;
	sock_counts(tp, st->role, state, &now);
	if (!label_pending(label)) {
		waiting_ends(st, label);
		row = tcp_row(&row_key);
		if (!row)
			return 0;
		sock_flush(st, &now, row);
		f = bpf_map_lookup_elem(&wire, &key);
		if (f && !f->dead)
			wire_drain(f, &row_key);
	}
	if (list)
		flow_refresh(tp, st, &key, &row_key, &now, state);
	return 0;
}

/*
 * One visit to every TCP socket of the reader's network namespace, and at the end to
 * the other wire flows.  The kernel holds the socket's lock around each call, so it
 * never races with sock_closed() of that socket.
 */
static __always_inline int visit_one(struct bpf_iter__tcp *ctx, int list)
{
	struct sock_common *skc = ctx->sk_common;
	struct sock_state *st;
	struct tcp_sock *tp;

	if (!skc)
		return sweep();
	tp = bpf_skc_to_tcp_sock(skc);
	if (!tp)
		return 0;
	st = bpf_sk_storage_get(&tcp_sock, tp, 0, 0);
	if (st && !st->closed)
		visit(tp, st, list);
	return 0;
}

SEC("iter/tcp")
int tcp_live(struct bpf_iter__tcp *ctx)
{
	return visit_one(ctx, 0);
}

/* The same, and each socket into the directory. */
SEC("iter/tcp")
int tcp_list(struct bpf_iter__tcp *ctx)
{
	return visit_one(ctx, 1);
}

/*
 * Which end opened a connection that is older than the books: the SYN is a number in the
 * sequence space of the end that sent it and no payload.  Where bytes were sent again
 * uncounted (tcp_sock.h) that does not show; then the lower port is the service's.
 */
static __always_inline __u8 adopted_role(struct tcp_sock *tp, __u32 state)
{
	__u64 numbers = unique_sent(tp, TG_ROLE_ACCEPTED, state);
	__u64 payload = tp->bytes_sent - tp->bytes_retrans;
	struct sock *sk = tp_sk(tp);

	if (state == BPF_TCP_SYN_SENT || numbers == payload + 1)
		return TG_ROLE_CONNECTED;
	if (numbers == payload)
		return TG_ROLE_ACCEPTED;
	return bpf_ntohs(tp->inet_conn.icsk_inet.inet_sport) <
			       bpf_ntohs(sk->__sk_common.skc_dport)
		       ? TG_ROLE_ACCEPTED
		       : TG_ROLE_CONNECTED;
}

/* At once, because nobody may visit the socket's namespace before it closes. */
static __noinline int adopt_totals(struct tcp_sock *tp, struct sock_state *st)
{
	struct tcp_totals *row;
	struct row_key row_key;
	struct flow_key key;

	sock_key(tp, &key);
	row_of(NULL, st->role, &key, &row_key);
	row = tcp_row(&row_key);
	if (row)
		sock_flush(st, &st->baseline, row);
	return 0;
}

static __always_inline int is_connection(__u32 state)
{
	return state != BPF_TCP_LISTEN && state != BPF_TCP_CLOSE &&
	       state != BPF_TCP_TIME_WAIT && state != BPF_TCP_NEW_SYN_RECV;
}

/*
 * Run once by `tollgate load` in each network namespace, when the hooks are in place:
 * takes in what was open before.  Prints one byte a socket: '+' adopted, '-' adopted but
 * its end must be told by the tracepoint.
 */
SEC("iter/tcp")
int tcp_adopt(struct bpf_iter__tcp *ctx)
{
	struct sock_common *skc = ctx->sk_common;
	struct meta *m = meta_get();
	struct sock_state *st;
	struct tcp_sock *tp;
	char mark = '+';
	int flags;

	if (!skc || !m || !is_connection(skc->skc_state))
		return 0;
	tp = bpf_skc_to_tcp_sock(skc);
	if (!tp || !sock_in_cgroup(tp))
		return 0;
	st = bpf_sk_storage_get(&tcp_sock, tp, 0, 0);
	if (st && st->generation)
		return 0;
	st = life_begin(tp, adopted_role(tp, skc->skc_state));
	if (!st)
		return 0;
	st->adopted = 1;
	sock_counts(tp, st->role, skc->skc_state, &st->baseline);
	st->flushed = st->baseline;
	if (m->hook == TG_HOOK_SOCKOPS) {
		flags = tp->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG;
		if (bpf_setsockopt(tp, SOL_TCP, TCP_BPF_SOCK_OPS_CB_FLAGS, &flags,
				   sizeof(flags)) < 0)
			mark = '-';
	}
	bpf_seq_write(ctx->meta->seq, &mark, 1);
	adopt_totals(tp, st);
	life_listed(tp, st, skc->skc_state);
	return 0;
}
