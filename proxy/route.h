/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_ROUTE_H
#define PROXY_ROUTE_H

#include "config.h"

/*
 * The route for a server name (lower case), or for none (NULL): the exact name first,
 * then the longest "*.suffix", then "*".  NULL if there is none; nothing is ever chosen
 * that the configuration did not ask for.
 */
struct route *route_by_name(const struct listener *l, const char *sni);

/* The next backend and address of a route, round robin.  Thread-safe. */
struct backend *route_backend(struct route *r, const struct addr **ret_addr);

#endif
