/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bearer tokens (RFC 6750) that are JSON Web Tokens: signed by a key of the route, in
 * date, from its issuer, for its audience, and with what it wants of claims.
 */
#ifndef PROXY_DECIDE_TOKEN_H
#define PROXY_DECIDE_TOKEN_H

#include "config/http.h"

enum token_result {
	TOKEN_FINE,
	TOKEN_MISSING,
	TOKEN_INVALID, /* no token, not signed by a key of ours, for others */
	TOKEN_EXPIRED, /* or not valid yet, or for ever */
	TOKEN_REFUSED, /* it is believed, and is not enough */
	TOKEN_NO_MEMORY,
};

/* now_s: of the clock.  *ret_user: its subject, the caller's to free; NULL: none. */
enum token_result token_check(const struct http_jwt *t, const struct http_head *h,
			      int64_t now_s, char **ret_user);

#endif
