/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the kernel's struct tcp_sock says about a connection, in our terms.  Measured on
 * 6.1 to 6.18 and read in net/ipv4/tcp*.c:
 *
 *   bytes_received  in-order bytes, plus one once the peer's FIN reached the full
 *                   socket, which is when SOCK_DONE is set.  rcv_nxt moves with it.  A
 *                   segment that ends behind the FIN, with a FIN again, is taken too
 *                   (tcp_rcv_state_process, CLOSE_WAIT): one more, and no byte of it is
 *                   ever read
 *   bytes_sent      payload handed to IP, every copy.  bytes_retrans is not the number
 *                   of second copies: what a queue or filter of our own refuses is sent
 *                   again as new (tcp_write_xmit), and so are the bytes of a Fast Open
 *                   SYN.  Only the sequence space knows what is unique.
 *   bytes_acked     growth of snd_una: one for the SYN of the connecting end, one for
 *                   our FIN
 *   write_seq - snd_nxt  written by the application, never sent (plus an unsent FIN)
 *   rcv_nxt - copied_seq received, never read (plus an unread FIN)
 */
#ifndef BPF_TCP_SOCK_H
#define BPF_TCP_SOCK_H

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>

#include "maps.h"

#define AF_INET		 2
#define AF_INET6	 10
#define IPPROTO_TCP	 6
#define SOCK_DEAD	 0 /* bits of sk_flags, include/net/sock.h enum sock_flags */
#define SOCK_DONE	 1
#define EPIPE		 32
#define ENETUNREACH	 101
#define ECONNRESET	 104
#define ETIMEDOUT	 110
#define ECONNREFUSED	 111
#define EHOSTDOWN	 112
#define EHOSTUNREACH	 113

#define CGROUP_DEPTH_MAX 32

static __always_inline struct sock *tp_sk(struct tcp_sock *tp)
{
	return &tp->inet_conn.icsk_inet.sk;
}

/* inet_sport, because unhashing zeroes skc_num before the tracepoint sees CLOSE. */
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
	key->local_port = tp->inet_conn.icsk_inet.inet_sport;
	key->remote_port = skc->skc_dport;
	key->proto = IPPROTO_TCP;
	key->device = (__u16)skc->skc_bound_dev_if;
	key->netns_cookie = skc->skc_net.net->net_cookie;
}

/* SO_COOKIE; 0: nobody has asked for it, so neither has the proxy. */
static __always_inline __u64 sock_cookie(struct tcp_sock *tp)
{
	return (__u64)tp_sk(tp)->__sk_common.skc_cookie.counter;
}

static __always_inline __u32 fin_received(struct tcp_sock *tp)
{
	return tp_sk(tp)->__sk_common.skc_flags >> SOCK_DONE & 1;
}

/* What was taken behind the peer's FIN. */
static __always_inline __u32 after_fin(struct tcp_sock *tp, const struct sock_state *st)
{
	return st->fin_at ? (__u32)tp->bytes_received - st->fin_at : 0;
}

/* The number behind what the peer has sent, its first FIN too. */
static __always_inline __u32 received_to(struct tcp_sock *tp, const struct sock_state *st)
{
	return tp->rcv_nxt - after_fin(tp, st);
}

/* When the state says that the peer's FIN came, and when a socket is adopted. */
static __always_inline void note_fin(struct tcp_sock *tp, struct sock_state *st)
{
	if (fin_received(tp) && !st->fin_at)
		st->fin_at = (__u32)tp->bytes_received;
}

/* Has our FIN left?  Only then it is part of snd_nxt. */
static __always_inline __u32 fin_sent(struct tcp_sock *tp, __u32 state)
{
	if (state == BPF_TCP_FIN_WAIT2)
		return 1;
	return (state == BPF_TCP_FIN_WAIT1 || state == BPF_TCP_LAST_ACK ||
		state == BPF_TCP_CLOSING) &&
	       tp->snd_nxt == tp->write_seq;
}

/*
 * Payload that left, each byte once: what was acknowledged and what is in flight, less
 * our SYN if this end connected and our FIN if it left.
 */
static __always_inline __u64 unique_sent(struct tcp_sock *tp, __u32 syn, __u32 state)
{
	__u64 numbers = tp->bytes_acked + (__u32)(tp->snd_nxt - tp->snd_una);
	__u64 flags = syn + fin_sent(tp, state);

	return numbers > flags ? numbers - flags : 0;
}

/* 1 if a SYN of our own is among the numbers that were sent. */
static __always_inline __u32 syn_sent(const struct sock_state *st)
{
	return st->role == TG_ROLE_CONNECTED && !st->silent;
}

static __always_inline void sock_counts(struct tcp_sock *tp, const struct sock_state *st,
					__u32 state, struct tcp_counts *ret)
{
	__u64 acked = tp->bytes_acked;
	__u32 syn = syn_sent(st);
	__u64 unique = unique_sent(tp, syn, state);

	ret->rx_payload_bytes = tp->bytes_received - fin_received(tp) - after_fin(tp, st);
	ret->tx_payload_bytes = unique;
	ret->tx_retransmitted_bytes =
		tp->bytes_sent > unique ? tp->bytes_sent - unique : 0;
	/* the FIN is acknowledged after everything else, so it is what is too many */
	acked = acked > syn ? acked - syn : 0;
	ret->tx_acked_bytes = acked < unique ? acked : unique;
	ret->rx_segments = tp->segs_in;
	ret->tx_segments = tp->segs_out;
}

/* The number of the first byte that can come, after the peer's SYN. */
static __always_inline __u32 first_received(struct tcp_sock *tp)
{
	return tp->rcv_nxt - (__u32)tp->bytes_received;
}

/*
 * received_to() and where the application has read to, modulo 2^32; the FIN counts one,
 * unless it was read like a byte, and a second one as well.
 */
static __always_inline __u64 bytes_unread(__u32 received, __u32 copied_seq, __u32 fin)
{
	__s32 n = (__s32)(received - copied_seq - fin);

	return n > 0 ? (__u32)n : 0;
}

static __always_inline __u32 bytes_unsent(struct tcp_sock *tp, __u32 old_state)
{
	__u32 n = tp->write_seq - tp->snd_nxt;
	int fin = old_state == BPF_TCP_FIN_WAIT1 || old_state == BPF_TCP_LAST_ACK ||
		  old_state == BPF_TCP_CLOSING;

	return fin && n ? n - 1 : n;
}

static __always_inline int close_of_error(int err)
{
	switch (err) {
	case ECONNREFUSED:
		return TG_CLOSE_REFUSED;
	case ETIMEDOUT:
		return TG_CLOSE_TIMEOUT;
	case ECONNRESET:
	case EPIPE:
		return TG_CLOSE_RESET_BY_PEER;
	case ENETUNREACH:
	case EHOSTDOWN:
	case EHOSTUNREACH:
		return TG_CLOSE_UNREACHABLE;
	default:
		return -1;
	}
}

/* It waits for accept(): it has no application yet, and did not have one. */
static __always_inline int is_queued(struct sock *sk)
{
	return !sk->sk_socket && !(sk->__sk_common.skc_flags >> SOCK_DEAD & 1);
}

/*
 * RFC 9293 3.3.2: the state left behind says who closed first; an error says that a
 * reset or a timeout ended it.  Called before the state changes.
 */
static __always_inline enum tg_close
close_reason(struct tcp_sock *tp, const struct sock_state *st, __u32 old_state)
{
	struct sock *sk = tp_sk(tp);
	int by_error = close_of_error(sk->sk_err);

	if (by_error >= 0)
		return (enum tg_close)by_error;
	switch (old_state) {
	case BPF_TCP_SYN_SENT:
	case BPF_TCP_SYN_RECV:
		return TG_CLOSE_ABORTED;
	case BPF_TCP_ESTABLISHED:
	case BPF_TCP_CLOSE_WAIT:
		/* a listener took its queue along: the child never had an application */
		if (is_queued(sk))
			return TG_CLOSE_NEVER_ACCEPTED;
		return bytes_unread(received_to(tp, st), tp->copied_seq, fin_received(tp))
			       ? TG_CLOSE_RESET_UNREAD
			       : TG_CLOSE_RESET_BY_US;
	default:
		if (tp->snd_una != tp->write_seq) /* given up with bytes on the way */
			return TG_CLOSE_TRUNCATED;
		return old_state == BPF_TCP_LAST_ACK ? TG_CLOSE_CLOSED_BY_PEER
						     : TG_CLOSE_CLOSED_BY_US;
	}
}

/* Is the socket in the cgroup we were asked to count?  sockops knows by itself. */
static __always_inline int sock_in_cgroup(struct tcp_sock *tp)
{
	struct cgroup *own = tp_sk(tp)->sk_cgrp_data.cgroup, *at;
	struct meta *m = meta_get();
	int level;

	if (!m || !m->cgroup_id)
		return 1;
	level = BPF_CORE_READ(own, level);
	for (int i = 0; i < CGROUP_DEPTH_MAX; i++) {
		if (i > level)
			break;
		if (bpf_core_read(&at, sizeof(at), &own->ancestors[i]) < 0)
			break;
		if (BPF_CORE_READ(at, kn, id) == m->cgroup_id)
			return 1;
	}
	return 0;
}

#endif
