/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses of names with their time to live, by c-ares on an event loop. */
#ifndef PROXY_BACKEND_RESOLVE_H
#define PROXY_BACKEND_RESOLVE_H

#include "base/addr.h"
#include "base/ev.h"

struct resolver;

/*
 * n addresses with the port that was asked for, and for how long they hold, in seconds,
 * the least of the whole chain (0: for this once; /etc/hosts says so, too); n is 0 and
 * `why` says it if there are none.  Called once for each resolver_ask(), on the loop's
 * thread, unless the resolver is closed.
 */
typedef void (*resolver_fn)(void *arg, const struct addr *addrs, unsigned n, int ttl_s,
			    const char *why);

/*
 * servers: n times "ADDRESS:PORT", or none for those of the system.  0 and *ret, or a
 * negative errno with the reason logged.
 */
int resolver_open(struct ev_loop *loop, char *const *servers, unsigned n,
		  struct resolver **ret);

/* Questions that are open get no answer.  NULL is fine. */
void resolver_close(struct resolver *r);

/* Ask for the addresses of NAME:PORT. */
void resolver_ask(struct resolver *r, const char *name, resolver_fn fn, void *arg);

#endif
