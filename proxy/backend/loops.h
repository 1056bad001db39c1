/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A listener may be the backend of another, but a connection that comes back to where it
 * was would go round until everything is used up.  Connections of ours to a port that we
 * listen on are noted by their own end, with how often they have passed us; who accepts
 * one looks there.
 */
#ifndef PROXY_BACKEND_LOOPS_H
#define PROXY_BACKEND_LOOPS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"

/* The ports of the listeners in force; replaces those of before.  Looks, too. */
void loops_listen(const struct addr *addrs, unsigned n);

/*
 * Read the addresses of this host anew, if somebody asked for them since; now and then,
 * from one thread.  One that has come since the last look is not seen.
 */
void loops_look(void);

/* Is this an address of this host, and the port of a listener?  Cheap if it is not. */
bool loops_is_near(const struct addr *to);

/*
 * Note that the socket `fd`, not connected yet, is going to such an address, after `hops`
 * times: it is bound to a port for that.  0 or a negative errno; and forget it again,
 * before it is closed.
 */
int loops_enter(int fd, const struct addr *to, unsigned hops);
void loops_leave(int fd);

/* How often a connection from there has passed us; 0: it is nobody of ours. */
unsigned loops_hops(const struct addr *from);

#endif
