/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets to backends, for sessions and for checks. */
#ifndef PROXY_BACKEND_SOCKET_H
#define PROXY_BACKEND_SOCKET_H

#include <stdbool.h>

#include "config/config.h"

/*
 * A non-blocking socket for an address of a backend, from the route's own source address
 * if it has one; `a` is not used of one that is a path.  A descriptor, the caller's, or a
 * negative errno: -EADDRNOTAVAIL if the source is not of this host.
 */
int backend_socket(const struct route *r, const struct backend *b, const struct addr *a);

/* Begin to connect it.  0, also while it is under way, or a negative errno. */
int backend_connect(const struct backend *b, const struct addr *a, int fd);

/*
 * Is a socket that is connected to that address connected with itself?  Where nobody
 * listens on a port that the kernel hands out, it may hand out that one (RFC 9293 3.5,
 * simultaneous open).
 */
bool backend_is_itself(int fd, const struct addr *to);

/* Its name, without the port; "" of one that is an address or a path, or does not fit. */
void backend_own_name(const struct backend *b, char *ret, size_t cap);

#endif
