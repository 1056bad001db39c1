/* SPDX-License-Identifier: Apache-2.0 */
/* Options of sockets that more than one room sets. */
#ifndef PROXY_NET_SOCK_H
#define PROXY_NET_SOCK_H

#include "config/config.h"

/*
 * The kernel finds out that a peer is gone, or takes nothing, by these times (tcp(7));
 * what a listening socket accepts inherits it.
 */
void sock_deadlines(int fd, const struct timeouts *t);

/* Its own end.  0, or a negative errno: -EAFNOSUPPORT of one that is not IP's. */
int sock_local(int fd, struct addr *ret);

#endif
