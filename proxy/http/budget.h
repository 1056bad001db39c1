/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many requests of a route may be sent again, in proportion to those it has, so that
 * a backend that closes everything is not asked twice as often for it.
 */
#ifndef PROXY_HTTP_BUDGET_H
#define PROXY_HTTP_BUDGET_H

#include "config/http.h"

#define BUDGET_FLOOR 10	 /* a second are free */
#define BUDGET_BURST 100 /* that were saved up, at most */

/* One is sent for the first time.  Thread-safe, as is the other. */
void budget_earn(struct http_route *r);

/* May one be sent again now?  Then it counts. */
bool budget_spend(struct http_route *r, int64_t now_ms);

#endif
