/* SPDX-License-Identifier: Apache-2.0 */
/* Which requests belong to one backend: by a cookie of ours, or by what they have alike.
 */
#ifndef PROXY_DECIDE_AFFINITY_H
#define PROXY_DECIDE_AFFINITY_H

#include "config/http.h"

/* 1 + the number of the backend that a cookie of `sticky` names; 0: none. */
uint8_t affinity_wanted(const struct route *r, const struct http_head *h);

/* What it has of that; TRAIT_USER is the caller's to know.  False: nothing. */
bool affinity_trait(const struct http_alike *a, const struct http_head *h,
		    struct text *ret);

/* What the route's `hash` is of this request.  False: it has none of it. */
bool affinity_key(const struct http_route *r, const struct http_head *h, uint32_t *ret);

#endif
