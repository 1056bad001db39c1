/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The tcp book: the kernel's own counters of every TCP socket in the cgroup, read when
 * a socket closes and when somebody looks (iter/tcp), never per segment.
 *
 * Two hooks can tell of open and close, `meta.hook` says which: sockops, or the
 * tracepoint inet_sock_set_state.  Both run under the socket's lock, before the state
 * changes, and lead to the same functions.  With sockops the tracepoint is the net below:
 * it tells of the ends that sockops was not told of.
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
#include "sweep.h"
#include "tcp_account.h"
#include "tcp_sock.h"
#include "wire_flow.h"
#include "wire_open.h"

#define SOL_TCP			  6
#define TCP_BPF_SOCK_OPS_CB_FLAGS 1008 /* since Linux 6.12 */

char LICENSE[] SEC("license") __weak = "GPL";

static __always_inline void flow_refresh(struct tcp_sock *tp, struct sock_state *st,
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
		.rx_queue_bytes = (__u32)bytes_unread(received_to(tp, st), tp->copied_seq,
						      fin_received(tp)),
		.tx_queue_bytes = tp->write_seq - tp->snd_una,
		.state = state,
		.role = st->role,
		.adopted = st->adopted,
		.row = *row,
	};

	st->in_flows = 1;
	fault_insert(bpf_map_update_elem(&flows, key, &flow, BPF_ANY),
		     TG_FAULT_FLOWS_FULL);
}

/*
 * The 4-tuple is known.  Readers of this load's namespace list its sockets when somebody
 * looks; the others would never be seen.
 */
static __noinline int life_listed(struct tcp_sock *tp, struct sock_state *st, __u8 state)
{
	struct meta *m = meta_get();
	struct tcp_counts now = {};
	struct sock_label label;
	struct row_key row;
	struct flow_key key;

	if (!m)
		return 0;
	label_of(tp, &label);
	sock_key(tp, &key);
	if (key.device)
		cursor_add(TG_CURSOR_BOUND, 1);
	if (!st->waits && !st->opened)
		waiting_begins(st, &label);
	if (key.netns_cookie != m->netns_cookie) {
		sock_counts(tp, st, state, &now);
		row_of(&label, st, &key, has_carried(&now), &row);
		flow_refresh(tp, st, &key, &row, &now, state);
	}
	/* a simultaneous open is told twice */
	if (!st->listed)
		wire_open(&key, st->role, state);
	st->listed = 1;
	return 0;
}

/* The id of the name of the cgroup the socket was made in; 0: not known (yet). */
static __always_inline __u32 cgroup_name(struct tcp_sock *tp)
{
	__u64 id = BPF_CORE_READ(tp_sk(tp), sk_cgrp_data.cgroup, kn, id);
	__u32 *name = bpf_map_lookup_elem(&cgroups, &id);

	return name ? *name : 0;
}

/* A new life of the socket, unless the one it has goes on (simultaneous open). */
static __noinline struct sock_state *life_begin(struct tcp_sock *tp, __u8 role)
{
	struct meta *m = meta_get();
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
	st->silent = BPF_CORE_READ_BITFIELD(tp, repair);
	st->opened_ns = bpf_ktime_get_ns();
	if (m && m->by_cgroup)
		st->cgroup = cgroup_name(tp);
	if (m && m->netns_cookie == tp_sk(tp)->__sk_common.skc_net.net->net_cookie) {
		st->here = 1;
		cursor_add(TG_CURSOR_BEGUN, 1);
		cursor_add(TG_CURSOR_LIVE, 1);
	}
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

/*
 * OR: the flags belong to every program of this cgroup and of those above and below.
 * Others set them without looking, later than we do; then the tracepoint tells the end.
 */
static __always_inline void ask_for_end(struct bpf_sock_ops *ctx)
{
	bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags |
					       BPF_SOCK_OPS_STATE_CB_FLAG);
}

static __always_inline void ops_opened(struct bpf_sock_ops *ctx, struct tcp_sock *tp,
				       __u8 role)
{
	struct sock_state *st = life_begin(tp, role);

	if (!st)
		return;
	ask_for_end(ctx);
	if (ctx->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB)
		life_established(tp, st);
	life_listed(tp, st,
		    role == TG_ROLE_CONNECTED ? BPF_TCP_SYN_SENT : BPF_TCP_ESTABLISHED);
}

/* The peer's FIN leads there (net/ipv4/tcp_input.c, tcp_fin); or is an end at once. */
static __always_inline int is_state_of_fin(__u32 state)
{
	return state == BPF_TCP_CLOSE_WAIT || state == BPF_TCP_CLOSING;
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
	if (!bsk || (ctx->op == BPF_SOCK_OPS_STATE_CB && ctx->args[1] != BPF_TCP_CLOSE &&
		     !is_state_of_fin(ctx->args[1])))
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
	if (ctx->op == BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB) {
		ask_for_end(ctx);
		life_established(tp, st);
	} else if (ctx->args[1] == BPF_TCP_CLOSE) {
		sock_closed(tp, st, ctx->args[0]);
	} else {
		note_fin(tp, st);
	}
	return 1;
}

/* A connect() that found no port or no way out never was a connection (as for sockops).
 */
static __always_inline void trace_closed(struct tcp_sock *tp, struct sock_state *st,
					 int old_state)
{
	if (old_state != BPF_TCP_SYN_SENT || tp->segs_out || st->adopted) {
		sock_closed(tp, st, old_state);
		return;
	}
	st->closed = 1;
	if (st->here)
		cursor_add(TG_CURSOR_LIVE, -1);
}

/*
 * With sockops the callbacks tell of most ends, before the tracepoint; of those whose
 * flags could not be set (adopted, before 6.12) or were taken away it is the net.
 */
static __always_inline void net_closed(struct tcp_sock *tp, int old_state)
{
	struct sock_state *st = bpf_sk_storage_get(&tcp_sock, tp, 0, 0);

	if (!st || st->closed)
		return;
	if (!st->adopted)
		fault_inc(TG_FAULT_CALLBACKS);
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

	if (sk->sk_protocol != IPPROTO_TCP || !m ||
	    (m->hook == TG_BY_SOCKOPS && new_state != BPF_TCP_CLOSE))
		return 0;
	tp = bpf_skc_to_tcp_sock(sk);
	if (!tp)
		return 0;
	if (m->hook == TG_BY_SOCKOPS) {
		net_closed(tp, old_state);
		return 0;
	}
	if (new_state == BPF_TCP_SYN_SENT) {
		if (sock_in_cgroup(tp))
			life_begin(tp, TG_ROLE_CONNECTED);
		return 0;
	}
	st = bpf_sk_storage_get(&tcp_sock, tp, 0, 0);
	/* a child is new, so what is closed there was closed just now (by an older
	 * program) */
	if (old_state == BPF_TCP_SYN_RECV && !st &&
	    (new_state != BPF_TCP_CLOSE || tp->fastopen_rsk) && sock_in_cgroup(tp))
		st = life_begin(tp, TG_ROLE_ACCEPTED);
	if (!st || st->closed)
		return 0;
	if (is_state_of_fin(new_state)) {
		note_fin(tp, st);
	} else if (new_state == BPF_TCP_CLOSE) {
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
	struct sock_label label;
	struct sock_state *st;
	struct tcp_totals *row;
	struct row_key row_key;
	__u64 cookie;

	if (bsk->protocol != IPPROTO_TCP)
		return 1;
	cookie = (__u64)BPF_CORE_READ(
		tp, inet_conn.icsk_inet.sk.__sk_common.skc_cookie.counter);
	if (!label_mapped(cookie, &label))
		label_stored(bpf_sk_storage_get(&tcp_label, bsk, 0, 0), &label);
	if (!is_labelled(&label))
		return 1;
	st = bpf_sk_storage_get(&tcp_sock, bsk, 0, 0);
	if (!st) { /* it never was a connection */
		label_done(cookie);
		return 1;
	}
	st->released = 1;
	(void)__sync_fetch_and_add(&st->compared, 0); /* as in sock_closed() */
	if (!st->closed)
		return 1;
	row_of(&label, st, &key, 1, &row_key);
	row = tcp_row(&row_key);
	if (row &&
	    check_claim(st, row, &label, BPF_CORE_READ(tp, copied_seq), &verdict)) {
		late_label(st, &row_key, row);
		/* the addresses are gone from a socket that TCP has closed, the ports are
		 * not */
		key.local_port = BPF_CORE_READ(tp, inet_conn.icsk_inet.inet_sport);
		key.remote_port =
			BPF_CORE_READ(tp, inet_conn.icsk_inet.sk.__sk_common.skc_dport);
		key.proto = IPPROTO_TCP;
		verdict_note(&verdict, TG_ODD_PROXY_TCP, &key, &row_key);
	}
	label_done(cookie);
	return 1;
}

static __always_inline int counts_equal(const struct tcp_counts *a,
					const struct tcp_counts *b)
{
	/* segments are last to stand still: nothing moves without one */
	return a->rx_segments == b->rx_segments && a->tx_segments == b->tx_segments &&
	       a->rx_payload_bytes == b->rx_payload_bytes &&
	       a->tx_payload_bytes == b->tx_payload_bytes;
}

/* Its flow on the link has a socket still. */
static __noinline int flow_met(struct tcp_sock *tp, __u32 roll_call)
{
	struct wire_flow *f;
	struct flow_key key;

	sock_key(tp, &key);
	f = bpf_map_lookup_elem(&wire, &key);
	if (f)
		f->pass = roll_call;
	return 0;
}

/* A subprogram of its own: its frame and the sweep's together would be too large. */
static __noinline int visit(struct tcp_sock *tp, struct sock_state *st, int list)
{
	struct wire_flow *f;
	struct sock_label label;
	struct tcp_totals *row;
	struct tcp_counts now;
	struct row_key row_key;
	struct flow_key key;
	__u8 state;

	state = tp_sk(tp)->__sk_common.skc_state;
	sock_counts(tp, st, state, &now);
	if (!list && st->opened && counts_equal(&now, &st->flushed))
		return 0; /* most sockets of a busy host do nothing most of the time */
	if (!list && st->waits == WAITS_BYTE && !has_carried(&now))
		return 0;
	label_of(tp, &label);
	sock_key(tp, &key);
	row_of(&label, st, &key, has_carried(&now), &row_key);
	if (!label_pending(&label) && (st->waits != WAITS_BYTE || has_carried(&now))) {
		row = tcp_row(&row_key);
		if (!row)
			return 0;
		sock_flush(st, &now, row);
		waiting_ends(st, &label);
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
 * never races with sock_closed() of that socket.  Prints one byte for each life it met
 * that is of the load's namespace: the reader compares their number with what should
 * live.
 */
static __always_inline int visit_one(struct bpf_iter__tcp *ctx, int list)
{
	struct sock_common *skc = ctx->sk_common;
	struct sock_state *st;
	struct tcp_sock *tp;
	char met = '.';
	__u32 number;

	if (!skc)
		return sweep(roll_call(ctx));
	tp = bpf_skc_to_tcp_sock(skc);
	if (!tp)
		return 0;
	st = bpf_sk_storage_get(&tcp_sock, tp, 0, 0);
	if (!st || st->closed)
		return 0;
	if (st->here)
		bpf_seq_write(ctx->meta->seq, &met, 1);
	number = (__u32)ctx->meta->session_id;
	if (st->here && number % ROLL_CALL == 0)
		flow_met(tp, number);
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
	__u64 numbers = unique_sent(tp, 0, state);
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
	row_of(NULL, st, &key, has_carried(&st->baseline), &row_key);
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
 * Run by `tollgate load` in each network namespace, when the hooks are in place: takes in
 * what was open before.  Prints one byte a socket.  Where its callback flag cannot be set
 * the tracepoint tells of its end.
 */
SEC("iter/tcp")
int tcp_adopt(struct bpf_iter__tcp *ctx)
{
	struct sock_common *skc = ctx->sk_common;
	struct meta *m = meta_get();
	struct sock_state *st;
	struct tcp_sock *tp;
	char mark = '.';
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
	note_fin(tp, st);
	sock_counts(tp, st, skc->skc_state, &st->baseline);
	st->flushed = st->baseline;
	if (m->hook == TG_BY_SOCKOPS) {
		flags = tp->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG;
		(void)bpf_setsockopt(tp, SOL_TCP, TCP_BPF_SOCK_OPS_CB_FLAGS, &flags,
				     sizeof(flags));
	}
	bpf_seq_write(ctx->meta->seq, &mark, 1);
	adopt_totals(tp, st);
	life_listed(tp, st, skc->skc_state);
	return 0;
}
