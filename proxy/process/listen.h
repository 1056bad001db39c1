/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listening sockets and their places in the books.  A configuration is taken in this
 * order, so that what cannot be had is found before anything changes: names, open,
 * listen, register; and forget when the workers have it.
 */
#ifndef PROXY_PROCESS_LISTEN_H
#define PROXY_PROCESS_LISTEN_H

#include <stdbool.h>

#include "config/config.h"
#include "net/worker.h"

/*
 * Every name gets its id, every row its slot, until the configuration is freed; where
 * there is no place left, what nobody uses gives way.  0, or a negative errno, logged.
 */
int listener_names(struct proxy *p, struct config *c);

/* From now on its gauges are shown, and those of no other configuration. */
void listener_in_force(struct proxy *p, struct config *c);

/*
 * Bind one socket a worker for listener `l` (SO_REUSEPORT), labelled so that what it will
 * accept is in the books from the first packet; not listening yet.  `replaces`: sockets
 * of ours listen on that address already.  0, or a negative errno, logged; descriptors
 * that were opened are in fds, which the caller has set to -1, in any case.
 */
int listener_open(struct proxy *p, const struct listener *l, bool replaces, int *fds);

/* Is its address another program's?  -EADDRINUSE, logged with whose it is; else 0. */
int listener_check(const struct listener *l);

/* The wire and nft books count for these listeners from now on.  0, or a negative errno,
 * logged, with nothing changed. */
int listener_register(struct proxy *p, const struct config *c);

/* And for no others. */
void listener_forget_others(struct proxy *p, const struct config *c);

/* 0, or a negative errno, logged. */
int listener_listen(const struct listener *l, int fd);

/*
 * The socket of a path that was opened is found there from now on; or it goes again, and
 * what was there stays.  Of other listeners nothing happens.
 */
void listener_publish(const struct listener *l);
void listener_withdraw(const struct listener *l);

/* What it says of `tcp`, to a socket that listens already; what cannot be is logged. */
void listener_tune(const struct listener *l, int fd);

#endif
