/* SPDX-License-Identifier: Apache-2.0 */
/* Looking at a challenge of ACME as its server will (RFC 8737 3). */
#ifndef PROXY_TLS_CHALLENGE_H
#define PROXY_TLS_CHALLENGE_H

#include <stdbool.h>

#include "base/addr.h"

/*
 * Does a gate at that address agree on acme-tls/1 for the name, with a certificate that
 * has this digest of the key authorization (64 digits of hex, colons between are fine)?
 * Waits for it, 5 s at most.
 */
bool challenge_is_answered(const struct addr *at, const char *name, const char *digest);

#endif
