/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The labels of the proxy's sockets in memory it shares with the kernel programs
 * (`labels` in bpf/abi.h), and by bpf(2) for one whose bucket is full.
 *
 * The kernel programs give a place back when TCP and the proxy are both done with the
 * socket.  Of one that they never see end (in no cgroup of the load, or its end was told
 * by no hook) nobody would: labels_sweep() gives those back that were claimed, or left by
 * a proxy that died, two sweeps ago.
 */
#ifndef USER_BOOK_LABELS_H
#define USER_BOOK_LABELS_H

#include <stddef.h>
#include <stdint.h>

#include "bpf/abi.h"

/*
 * About as long as TCP tries to get rid of the last bytes of a socket that was closed
 * (tcp_retries2); with tcp_orphan_retries set higher a label may go before its socket,
 * which is then counted as nobody's (`host`).
 */
#define LABELS_SWEEP_MS (15 * 60 * 1000)

struct labels {
	struct label_bucket *buckets; /* mapped; NULL: none */
	size_t n;
	int fd; /* tcp_label */
	struct proxy_state *state;
};

/* 0, or a negative errno, as pin_map().  Closed in any case; state: mapped, borrowed. */
int labels_open(const char *pins, struct proxy_state *state, struct labels *ret);
void labels_close(struct labels *l);

/*
 * Label a connection's socket; *place is its place, 0 as long as it has none, and goes
 * with the descriptor.  Thread-safe; of one socket one at a time.  0, or a negative
 * errno, also counted in label_errors.
 */
int labels_set(struct labels *l, int fd, uint32_t *place, const struct sock_label *label);

/* By bpf(2), so that children inherit it: of a socket that listens.  The same. */
int labels_call(struct labels *l, int fd, const struct sock_label *label);

/* Every place that is taken was left by a proxy that died. */
void labels_leave(struct labels *l);

/* Give back what the kernel programs will not; called each LABELS_SWEEP_MS. */
void labels_sweep(struct labels *l);

#endif
