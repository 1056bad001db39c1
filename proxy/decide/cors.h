/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cross-origin requests (Fetch Standard 3.3): a browser tells from which origin the page
 * is that asks, and needs to hear that it may have the answer.  The gate says so for a
 * route of `cors`, and nobody else: what a backend says of it goes.
 */
#ifndef PROXY_DECIDE_CORS_H
#define PROXY_DECIDE_CORS_H

#include <stdbool.h>

#include "config/http.h"

/* Does a browser ask whether it may ask?  Then no credentials come with it. */
bool cors_is_preflight(const struct http_head *request);

/* What is said of the request's origin: itself, "*"; n 0: nothing, it may not. */
struct text cors_origin(const struct http_cors *c, const struct http_head *request);

/*
 * The fields of an answer, in place of those that are there; `origin` as above.  False if
 * there are too many.
 */
bool cors_put(const struct http_cors *c, struct text origin, bool preflight,
	      struct http_head *answer);

#endif
