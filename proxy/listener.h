/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listening sockets and their places in the books.  A configuration is taken in this
 * order, so that what cannot be had is found before anything changes: names, open,
 * register, listen.
 */
#ifndef PROXY_LISTENER_H
#define PROXY_LISTENER_H

#include <stdbool.h>

#include "config.h"
#include "worker.h"

/* Every name gets its id, every row its slot.  0, or a negative errno, logged. */
int listener_names(struct proxy *p, struct config *c);

/*
 * Bind one socket a worker for listener `l` (SO_REUSEPORT), labelled so that what it will
 * accept is in the books from the first packet; not listening yet.  `replaces`: sockets
 * of ours listen on that address already.  0, or a negative errno, logged; descriptors
 * that were opened are in fds, which the caller has set to -1, in any case.
 */
int listener_open(struct proxy *p, const struct listener *l, bool replaces, int *fds);

/* The wire and nft books count for these listeners, and no others, from now on. */
int listener_register(struct proxy *p, const struct config *c);

/*
 * The kernel finds out that a peer is gone, or takes nothing, by these times (tcp(7));
 * what a listening socket accepts inherits it.
 */
void socket_watch(int fd, const struct timeouts *t);

/* 0, or a negative errno, logged. */
int listener_listen(const struct listener *l, int fd);

#endif
