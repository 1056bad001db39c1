/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The tcp book: the kernel's own counters of every TCP socket in the cgroup, read when
 * a socket closes and when somebody looks (iter/tcp), never per segment.
 *
 * What the counters mean (net/ipv4/tcp*.c, measured on 6.1 to 6.18):
 *   bytes_received  in-order bytes, plus one once the peer's FIN reached the full
 *                   socket, which is when SOCK_DONE is set
 *   bytes_sent      payload handed to IP, every copy; bytes_retrans: the copies
 *   write_seq - snd_nxt  written by the application, never sent (plus an unsent FIN)
 *   rcv_nxt - copied_seq received, never read (plus an unread FIN)
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

#define AF_INET	     2
#define AF_INET6     10
#define IPPROTO_TCP  6
#define SOCK_DONE    1 /* bit in sk_flags, include/net/sock.h enum sock_flags */
#define ECONNRESET   104
#define ECONNREFUSED 111
#define ETIMEDOUT    110
#define EPIPE	     32

char LICENSE[] SEC("license") __weak = "GPL";

static __always_inline struct sock *tp_sk(struct tcp_sock *tp)
{
	return &tp->inet_conn.icsk_inet.sk;
}

static __always_inline void sock_key(struct tcp_sock *tp, struct flow_key *key)
{
	struct sock_common *skc = &tp_sk(tp)->__sk_common;

	__builtin_memset(key, 0, sizeof(*key));
	if (skc->skc_family == AF_INET) {
		__be32 local = skc->skc_rcv_saddr, remote = skc->skc_daddr;

		key->local[10] = key->local[11] = 0xff;
		key->remote[10] = key->remote[11] = 0xff;
		__builtin_memcpy(key->local + 12, &local, 4);
		__builtin_memcpy(key->remote + 12, &remote, 4);
	} else {
		for (int i = 0; i < 4; i++) {
			__be32 local = skc->skc_v6_rcv_saddr.in6_u.u6_addr32[i];
			__be32 remote = skc->skc_v6_daddr.in6_u.u6_addr32[i];

			__builtin_memcpy(key->local + 4 * i, &local, 4);
			__builtin_memcpy(key->remote + 4 * i, &remote, 4);
		}
	}
	key->local_port = bpf_htons(skc->skc_num);
	key->remote_port = skc->skc_dport;
	key->proto = IPPROTO_TCP;
	key->netns_cookie = skc->skc_net.net->net_cookie;
}

static __always_inline __u32 fin_received(struct tcp_sock *tp)
{
	return tp_sk(tp)->__sk_common.skc_flags >> SOCK_DONE & 1;
}

static __always_inline void sock_counts(struct tcp_sock *tp, struct tcp_counts *ret)
{
	ret->rx_payload_bytes = tp->bytes_received - fin_received(tp);
	ret->tx_retransmitted_bytes = tp->bytes_retrans;
	ret->tx_payload_bytes = tp->bytes_sent - tp->bytes_retrans;
	ret->rx_segments = tp->segs_in;
	ret->tx_segments = tp->segs_out;
}

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
	ADD(t->tx_retransmitted_bytes, n->tx_retransmitted_bytes);
	ADD(t->rx_segments, n->rx_segments);
	ADD(t->tx_segments, n->tx_segments);
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
	n.tx_retransmitted_bytes =
		grown(now->tx_retransmitted_bytes, st->flushed.tx_retransmitted_bytes);
	n.rx_segments =
		(__u32)(now->rx_segments - st->flushed.rx_segments); /* u32 there */
	n.tx_segments = (__u32)(now->tx_segments - st->flushed.tx_segments);
	st->flushed = *now;
	if (!st->opened) {
		st->opened = 1;
		ADD(row->opened, 1);
		ADD(all->opened, 1);
	}
	counts_add(&row->counts, &n);
	counts_add(&all->counts, &n);
}

/*
 * RFC 9293 3.3.2: the state left behind says who closed first; an error says that a
 * reset or a timeout ended it.  The callback runs before the state changes.
 */
static __always_inline enum tg_close close_reason(struct tcp_sock *tp, __u32 old_state,
						  __u64 unread)
{
	int err = tp_sk(tp)->sk_err;

	if (err == ECONNREFUSED)
		return TG_CLOSE_REFUSED;
	if (err == ETIMEDOUT)
		return TG_CLOSE_TIMEOUT;
	if (err == ECONNRESET || err == EPIPE)
		return TG_CLOSE_RESET_BY_PEER;
	switch (old_state) {
	case BPF_TCP_SYN_SENT:
	case BPF_TCP_SYN_RECV:
		return TG_CLOSE_ABORTED;
	case BPF_TCP_LAST_ACK:
		return TG_CLOSE_CLOSED_BY_PEER;
	case BPF_TCP_ESTABLISHED:
	case BPF_TCP_CLOSE_WAIT:
		return unread ? TG_CLOSE_RESET_UNREAD : TG_CLOSE_RESET_BY_US;
	default:
		return TG_CLOSE_CLOSED_BY_US;
	}
}

/* Modulo 2^32; the FIN counts one, unless it was read like a byte. */
static __always_inline __u64 bytes_unread(__u32 rcv_nxt, __u32 copied_seq, __u32 fin)
{
	__u32 n = rcv_nxt - copied_seq;

	return n > fin ? n - fin : 0;
}

static __always_inline __u32 bytes_unsent(struct tcp_sock *tp, __u32 old_state)
{
	__u32 n = tp->write_seq - tp->snd_nxt;
	int fin = old_state == BPF_TCP_FIN_WAIT1 || old_state == BPF_TCP_LAST_ACK ||
		  old_state == BPF_TCP_CLOSING;

	return fin && n ? n - 1 : n;
}

static __always_inline __u64 difference(__u64 a, __u64 b)
{
	return a > b ? a - b : b - a;
}

/*
 * The proxy's word for this socket against the kernel's.  Called
 * when the socket is closed by TCP and released by the application, in either order: a
 * peer's FIN can end the life of a socket whose last bytes nobody has read yet.
 */
static __always_inline void check_claim(struct sock_state *st, struct tcp_totals *row,
					const struct sock_label *label, __u32 copied_seq)
{
	__u64 rx = st->flushed.rx_payload_bytes, tx = st->flushed.tx_payload_bytes;
	__u64 unread;

	if (__sync_val_compare_and_swap(&st->compared, 0, 1) != 0)
		return;
	if (!(label->flags & TG_LABEL_CLAIMED)) {
		ADD(row->unclaimed, 1);
		ADD(row->unclaimed_rx_bytes, rx);
		ADD(row->unclaimed_tx_bytes, tx);
		return;
	}
	unread = bytes_unread(st->rcv_nxt, copied_seq, st->fin_received);
	ADD(row->claimed, 1);
	ADD(row->unread_bytes, unread);
	ADD(row->unsent_bytes, st->unsent_bytes);
	ADD(row->proxy_rx_residual_bytes,
	    difference(rx, label->rx_payload_bytes + unread));
	ADD(row->proxy_tx_residual_bytes,
	    difference(tx + st->unsent_bytes, label->tx_payload_bytes));
}

/* What the link carried for this socket against the kernel's counters (tcp = wire). */
static __always_inline void check_wire(struct tcp_sock *tp, struct tcp_totals *row,
				       const struct wire_flow *f,
				       const struct tcp_counts *now)
{
	__u64 unique = f->dir[TG_RX].unique_bytes,
	      copies = f->dir[TG_RX].counts.payload_bytes;
	__u64 sent = f->dir[TG_TX].counts.payload_bytes, lost;

	ADD(row->wire_matched, 1);
	/*
	 * Each transmission of unacknowledged bytes may be lost between IP and the device
	 * (no neighbour, a filter); bytes that were acknowledged did cross it once.
	 */
	lost = tp->bytes_sent > sent ? tp->bytes_sent - sent : 0;
	if (lost > tp->bytes_retrans + (__u32)(tp->snd_nxt - tp->snd_una))
		lost = 0;
	ADD(row->wire_tx_unseen_bytes, lost);
	ADD(row->wire_tx_residual_bytes, difference(sent + lost, tp->bytes_sent));
	ADD(row->wire_rx_duplicate_bytes, copies > unique ? copies - unique : 0);
	/* more than the socket took: beyond its window, after its reset, or forged */
	if (unique > now->rx_payload_bytes)
		ADD(row->wire_rx_unaccepted_bytes, unique - now->rx_payload_bytes);
	else
		ADD(row->wire_rx_residual_bytes, now->rx_payload_bytes - unique);
}

static __always_inline void counts_since(struct wire_counts *ret,
					 const struct wire_counts *now,
					 const struct wire_counts *before)
{
	ret->packets = now->packets - before->packets;
	ret->frame_bytes = now->frame_bytes - before->frame_bytes;
	ret->payload_bytes = now->payload_bytes - before->payload_bytes;
}

/*
 * Move what the flow gained since the last time to its row.  With `end` the flow is
 * marked dead under its lock: a frame that still holds the element finds it so and goes
 * to a row of its own.  Returns 1 if the flow was alive and *ret is a copy of it.
 */
static __always_inline int wire_drain(struct wire_flow *f, const struct row_key *row_key,
				      int end, struct wire_flow *ret)
{
	struct wire_counts rx, tx;
	struct wire_totals *row;
	int alive;

	bpf_spin_lock(&f->lock);
	alive = !f->dead;
	ret->dir[TG_RX] = f->dir[TG_RX];
	ret->dir[TG_TX] = f->dir[TG_TX];
	if (alive) {
		f->dir[TG_RX].flushed = f->dir[TG_RX].counts;
		f->dir[TG_TX].flushed = f->dir[TG_TX].counts;
		f->dead = (__u8)end;
	}
	bpf_spin_unlock(&f->lock);
	if (!alive)
		return 0;
	counts_since(&rx, &ret->dir[TG_RX].counts, &ret->dir[TG_RX].flushed);
	counts_since(&tx, &ret->dir[TG_TX].counts, &ret->dir[TG_TX].flushed);
	row = wire_row(row_key);
	if (row) {
		wire_add(row, TG_RX, &rx);
		wire_add(row, TG_TX, &tx);
	}
	return 1;
}

static __always_inline void wire_close(struct tcp_sock *tp, const struct flow_key *key,
				       const struct row_key *row_key,
				       struct tcp_totals *row,
				       const struct tcp_counts *now)
{
	struct wire_flow *f = bpf_map_lookup_elem(&wire, key), copy;

	if (!f) {
		ADD(row->wire_unmatched, 1);
		return;
	}
	if (!wire_drain(f, row_key, 1, &copy))
		return;
	bpf_map_delete_elem(&wire, key);
	if (copy.dir[TG_RX].counts.packets || copy.dir[TG_TX].counts.packets)
		check_wire(tp, row, &copy, now);
	else
		ADD(row->wire_unmatched, 1);
}

static __always_inline int wire_is_on(void)
{
	__u32 zero = 0;
	struct meta *m = bpf_map_lookup_elem(&meta, &zero);

	return m && m->wire;
}

static __noinline void sock_closed(struct bpf_sock_ops *ctx, __u32 old_state)
{
	struct bpf_sock *bsk = ctx->sk;
	struct tcp_totals *row, *all;
	struct tcp_counts now;
	struct sock_label *label;
	struct sock_state *st;
	struct row_key row_key;
	struct flow_key key;
	struct tcp_sock *tp;
	enum tg_close reason;
	__u32 zero = 0;

	if (!bsk)
		return;
	tp = bpf_skc_to_tcp_sock(bsk);
	if (!tp)
		return;
	st = bpf_sk_storage_get(&tcp_sock, bsk, 0, 0);
	all = bpf_map_lookup_elem(&tcp_all, &zero);
	if (!st || !all || st->closed)
		return;
	label = bpf_sk_storage_get(&tcp_label, bsk, 0, 0);
	sock_key(tp, &key);
	row_of(label, st->role, &key, &row_key);
	row = tcp_row(&row_key);
	if (!row)
		return;
	sock_counts(tp, &now);
	sock_flush(st, &now, row);
	st->unsent_bytes = bytes_unsent(tp, old_state);
	st->rcv_nxt = tp->rcv_nxt;
	st->fin_received = fin_received(tp);
	st->closed = 1;
	reason =
		close_reason(tp, old_state,
			     bytes_unread(st->rcv_nxt, tp->copied_seq, st->fin_received));
	if (reason < TG_CLOSE_MAX) {
		ADD(row->closed[reason], 1);
		ADD(all->closed[reason], 1);
	}
	ADD(row->duration_ns, bpf_ktime_get_ns() - st->opened_ns);
	if (label && label->leg != TG_LEG_HOST) {
		/*
		 * Of sock_closed() and sock_released() one comes second; the full
		 * barriers make sure that at least one of two at the same time sees the
		 * other.
		 */
		(void)__sync_fetch_and_add(&st->compared, 0);
		label = bpf_sk_storage_get(&tcp_label, bsk, 0, 0);
		if (label && (st->released || !tp_sk(tp)->sk_socket ||
			      label->flags & TG_LABEL_CLAIMED))
			check_claim(st, row, label, tp->copied_seq);
	}
	if (wire_is_on())
		wire_close(tp, &key, &row_key, row, &now);
	bpf_map_delete_elem(&flows, &key);
}

/*
 * From now on packets of this 4-tuple belong to a socket.  A passive flow exists since
 * its SYN, or it is not on a watched device; an active one begins here.
 */
static __noinline void wire_open(const struct flow_key *key, __u8 role)
{
	struct wire_flow *f, fresh = {};
	struct meta *m;
	__u32 zero = 0;

	m = bpf_map_lookup_elem(&meta, &zero);
	if (!m || !m->wire || m->netns_cookie != key->netns_cookie)
		return;
	if (role == TG_ROLE_CONNECTED) {
		fresh.key = *key;
		bpf_map_update_elem(&wire, key, &fresh, BPF_NOEXIST);
	}
	f = bpf_map_lookup_elem(&wire, key);
	if (f)
		f->socket = 1;
	else if (role == TG_ROLE_CONNECTED)
		fault_inc(TG_FAULT_WIRE_FULL);
}

static __noinline void sock_opened(struct bpf_sock_ops *ctx, __u8 role)
{
	struct bpf_sock *bsk = ctx->sk;
	struct sock_label *label;
	struct sock_state *st;
	struct flow_key key;
	struct flow flow = {};
	struct tcp_sock *tp;
	__u32 generation;

	if (!bsk)
		return;
	tp = bpf_skc_to_tcp_sock(bsk);
	if (!tp)
		return;
	st = bpf_sk_storage_get(&tcp_sock, bsk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!st) {
		fault_inc(TG_FAULT_STORAGE);
		return;
	}
	generation = st->generation + 1;
	__builtin_memset(st, 0, sizeof(*st));
	st->generation = generation;
	st->role = role;
	st->opened_ns = bpf_ktime_get_ns();
	bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags |
					       BPF_SOCK_OPS_STATE_CB_FLAG);

	label = bpf_sk_storage_get(&tcp_label, bsk, 0, 0);
	sock_key(tp, &key);
	row_of(label, role, &key, &flow.row);
	flow.opened_ns = flow.seen_ns = st->opened_ns;
	flow.role = role;
	flow.state = role == TG_ROLE_CONNECTED ? BPF_TCP_SYN_SENT : BPF_TCP_ESTABLISHED;
	flow.pending = 1;
	if (bpf_map_update_elem(&flows, &key, &flow, BPF_ANY) != 0)
		fault_inc(TG_FAULT_FLOWS_FULL);
	wire_open(&key, role);
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
	struct flow_key unused = {};
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
	row_of(label, st->role, &unused, &row_key);
	row = tcp_row(&row_key);
	if (row)
		check_claim(st, row, label, BPF_CORE_READ(tp, copied_seq));
	return 1;
}

SEC("sockops")
int tcp_sockops(struct bpf_sock_ops *ctx)
{
	switch (ctx->op) {
	case BPF_SOCK_OPS_TCP_CONNECT_CB:
		sock_opened(ctx, TG_ROLE_CONNECTED);
		break;
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		sock_opened(ctx, TG_ROLE_ACCEPTED);
		break;
	case BPF_SOCK_OPS_STATE_CB:
		if (ctx->args[1] == BPF_TCP_CLOSE)
			sock_closed(ctx, ctx->args[0]);
		break;
	}
	return 1;
}

static __always_inline void flow_refresh(struct tcp_sock *tp, const struct sock_state *st,
					 const struct flow_key *key,
					 const struct row_key *row,
					 const struct tcp_counts *now)
{
	struct flow flow = {
		.opened_ns = st->opened_ns,
		.seen_ns = bpf_ktime_get_ns(),
		.counts = *now,
		.srtt_us = tp->srtt_us >> 3,
		.rx_queue_bytes = (__u32)bytes_unread(tp->rcv_nxt, tp->copied_seq,
						      fin_received(tp)),
		.tx_queue_bytes = tp->write_seq - tp->snd_una,
		.state = tp_sk(tp)->__sk_common.skc_state,
		.role = st->role,
		.pending = !st->opened,
		.row = *row,
	};

	if (bpf_map_update_elem(&flows, key, &flow, BPF_ANY) != 0)
		fault_inc(TG_FAULT_FLOWS_FULL);
}

/*
 * One visit to every TCP socket of the reader's network namespace.  The kernel holds the
 * socket's lock around each call, so it never races with sock_closed() of that socket.
 */
SEC("iter/tcp")
int tcp_live(struct bpf_iter__tcp *ctx)
{
	struct sock_common *skc = ctx->sk_common;
	struct wire_flow *f, copy;
	struct sock_label *label;
	struct sock_state *st;
	struct tcp_totals *row;
	struct tcp_counts now;
	struct row_key row_key;
	struct flow_key key;
	struct tcp_sock *tp;

	if (!skc)
		return 0;
	tp = bpf_skc_to_tcp_sock(skc);
	if (!tp)
		return 0;
	st = bpf_sk_storage_get(&tcp_sock, tp, 0, 0);
	if (!st || st->closed)
		return 0;
	label = bpf_sk_storage_get(&tcp_label, tp, 0, 0);
	sock_key(tp, &key);
	row_of(label, st->role, &key, &row_key);
	sock_counts(tp, &now);
	if (!label_pending(label)) {
		row = tcp_row(&row_key);
		if (!row)
			return 0;
		sock_flush(st, &now, row);
		f = bpf_map_lookup_elem(&wire, &key);
		if (f)
			wire_drain(f, &row_key, 0, &copy);
	}
	flow_refresh(tp, st, &key, &row_key, &now);
	return 0;
}
