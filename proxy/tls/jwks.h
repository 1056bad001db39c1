/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys that tokens are signed with: a set of RFC 7517 in JSON, or public keys in PEM.
 * Read once, then only used, by any thread.  A key does what it is for: RSA of 2048 bits
 * and more RS256, P-256 ES256, Ed25519 EdDSA (RFC 8037), a secret of 256 bits and more
 * HS256 (RFC 7518 3); so that no token says which of them it is to be checked as.
 */
#ifndef PROXY_TLS_JWKS_H
#define PROXY_TLS_JWKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JWKS_MAX 64

struct jwks;

/*
 * Of a file's text, on the main thread.  0 and *ret; -ENOMEM; or -EINVAL and why.  Keys
 * of kinds that are not known here, or for other uses, are left out (RFC 7517 5), but not
 * all of them.
 */
int jwks_read(const char *text, size_t len, struct jwks **ret, char why[160]);
void jwks_free(struct jwks *s); /* NULL is fine */

/*
 * Did one of these keys sign that?  kid: only one of this id; "": any of the first eight,
 * as each costs time that is others'.  Signatures that were right are remembered, as long
 * as the set lives.
 */
bool jwks_verify(const struct jwks *s, const char *alg, const char *kid, const void *data,
		 size_t n, const uint8_t *signature, size_t signature_n);

#endif
