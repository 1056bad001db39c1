/* SPDX-License-Identifier: GPL-2.0-only */
/* How far each direction of a TCP flow has come, by the numbers on the link. */
#ifndef BPF_WIRE_SEQUENCE_H
#define BPF_WIRE_SEQUENCE_H

#include "maps.h"
#include "parse.h"

#define SEQUENCE_TRIES 8
#define WINDOW_MAX     (1 << 30)

static __always_inline void sequence_begins(struct wire_flow *f, __u64 dir, __u32 first)
{
	f->seq[dir].first = 1ull << 32 | first;
	f->seq[dir].highest = 1ull << 32 | first;
}

/*
 * Where each end's numbers begin.  Whoever is asked says which SYN he means, by what he
 * acknowledges: another one may follow, or have come before, and is nobody's (RFC 9293
 * 3.10.7.3, 3.10.7.4).
 */
static __always_inline void sequence_syn(struct wire_flow *f, __u64 dir,
					 const struct packet *pkt)
{
	int answers = pkt->tcp_flags & TCP_ACK;

	if (dir == TG_TX) {
		if (!f->seq[TG_TX].highest || !f->socket)
			sequence_begins(f, TG_TX, pkt->seq + 1);
		if (answers && !f->socket && (__u32)f->seq[TG_RX].first != pkt->ack)
			sequence_begins(f, TG_RX, pkt->ack);
	} else if (!f->seq[TG_RX].highest) {
		if (!answers || (__u32)f->seq[TG_TX].first == pkt->ack)
			sequence_begins(f, TG_RX, pkt->seq + 1);
	}
}

/*
 * RFC 9293 3.4: sequence space, modulo 2^32, here widened.  Two CPUs may see frames of
 * one direction: the highest number is raised by comparing and exchanging.  No window is
 * larger than 2^30 (RFC 7323 2.3): payload whose end is beyond is not TCP's.
 */
static __always_inline void sequence_raise(struct wire_flow *f, __u64 dir, __u32 end,
					   __u64 payload)
{
	__u64 at;
	__s32 growth;

	for (int i = 0; i < SEQUENCE_TRIES; i++) {
		at = f->seq[dir].highest;
		growth = (__s32)(end - (__u32)at);
		if (growth > WINDOW_MAX && dir == TG_RX) {
			ADD(f->outside_bytes, payload);
			return;
		}
		if (growth <= 0 || __sync_val_compare_and_swap(&f->seq[dir].highest, at,
							       at + growth) == at)
			return;
	}
}

/* A SYN takes one number of the sequence. */
static __always_inline void flow_sequence(struct wire_flow *f, __u64 dir,
					  const struct packet *pkt, __u64 payload)
{
	__u32 start = pkt->seq + (pkt->tcp_flags & TCP_SYN ? 1 : 0);

	if (pkt->tcp_flags & TCP_FIN)
		f->fins |= 1 << dir;
	if (pkt->tcp_flags & TCP_RST)
		return; /* may carry any sequence number, never data we keep */
	if (pkt->tcp_flags & TCP_SYN)
		sequence_syn(f, dir, pkt);
	else if (!f->seq[dir].highest)
		sequence_begins(f, dir, start);
	if (!payload)
		return; /* an ACK after a FIN stands one number beyond the data */
	sequence_raise(f, dir, start + (__u32)payload, payload);
}

#endif
