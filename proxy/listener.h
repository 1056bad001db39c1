/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_LISTENER_H
#define PROXY_LISTENER_H

#include "config.h"
#include "worker.h"

/*
 * Give every name in the configuration its id and every row its slot, and register the
 * listeners with the wire and nft books.  0, or a negative errno, logged.
 */
int listener_books(struct proxy *p, struct config *c);

/*
 * Open one listening socket a worker for listener `l` (SO_REUSEPORT), labelled so that
 * what it accepts is in the books from the first packet.  Not listening yet.  0 and
 * `workers` descriptors in fds; or a negative errno, logged, and none.
 */
int listener_open(struct proxy *p, const struct listener *l, int *fds);

#endif
