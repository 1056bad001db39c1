/* SPDX-License-Identifier: Apache-2.0 */
/* Both sides of an upgrade, on the main threads; handover.h has the conversation. */
#ifndef PROXY_UPGRADE_H
#define PROXY_UPGRADE_H

#include <stdbool.h>

#include "base/addr.h"
#include "config.h"
#include "worker.h"

/* A listening socket of the old process; fd is -1 once it was used. */
struct inherited {
	struct addr addr;
	bool ipv6_only;
	uint16_t listener; /* id */
	int fd;
};

/*
 * The successor: greet the old process at `fd` and take its listening sockets.  0, and
 * *ret, which the caller frees after closing what is left in it; or a negative errno,
 * logged.
 */
int upgrade_begin(int fd, struct inherited **ret, unsigned *n);

/* A socket for this listener that was not asked for yet, now the caller's; or -1. */
int upgrade_socket(struct inherited *list, unsigned n, const struct listener *l);

/*
 * How many workers there must be so that each socket has one, `wanted` at least: what
 * waits in the queue of a socket that nobody takes would be lost.
 */
unsigned upgrade_workers(const struct inherited *list, unsigned n, unsigned wanted);

/*
 * The successor: say that the workers could accept, and wait until they may.  0, or a
 * negative errno, logged: the old process goes on, and this one is to end.
 */
int upgrade_agree(int fd);

/*
 * The successor: the workers accept; take sessions until there are no more.
 * 0, or a negative errno, logged, if the old process went before it was done.
 */
int upgrade_finish(int fd, struct proxy *p, struct config *c);

/*
 * The old process: give a successor at `fd` the listening sockets of `c`,
 * fds[listener * workers + worker], and every session that can move.  0, and the workers
 * are to be drained; or a negative errno, logged, and nothing has changed, except, with
 * -EPIPE, that the successor went in the middle: then they are to be drained too.
 */
int upgrade_give(int fd, struct proxy *p, const struct config *c, const int *fds);

#endif
