/* SPDX-License-Identifier: Apache-2.0 */
/* Which route a connection takes. */
#ifndef PROXY_CONFIG_MATCH_H
#define PROXY_CONFIG_MATCH_H

#include "codec/hello.h"
#include "config/config.h"

struct route_index;

/*
 * Make the index of a listener's routes, whose derived fields are set.  0 and *ret, the
 * caller's to free; -ENOMEM; or -EEXIST if route number *second asks for exactly what an
 * earlier one does (`name`, NULL if by no name), so that it could never be reached.
 */
int route_index_build(const struct listener *l, struct route_index **ret,
		      unsigned *second, const char **name);
void route_index_free(struct route_index *index); /* NULL is fine */

/*
 * The route for a client: h is its hello, or NULL on a plain listener.  Of the routes
 * whose every condition is met: the highest priority; then the most specific name (the
 * exact one, the longest "*.suffix", an expression, "*", none); then the longest source
 * prefix; then one that asks for a protocol; then the first in the file.  NULL if there
 * is none; nothing is ever chosen that the configuration did not ask for. *ret_undecided:
 * an expression that would go before came to its bounds, so nobody knows; then NULL.
 */
struct route *route_find(const struct listener *l, const struct hello *h,
			 const struct addr *client, bool *ret_undecided);

#endif
