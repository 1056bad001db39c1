/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON Web Tokens (RFC 7519) in their compact form (RFC 7515 7.1), read and not believed:
 * whether the signature is right is said elsewhere (proxy/tls/jwks.h).
 */
#ifndef USER_CODEC_JWT_H
#define USER_CODEC_JWT_H

#include <stdbool.h>
#include <stdint.h>

#include "codec/http.h"

#define JWT_MAX	      16384 /* of a token */
#define JWT_NAME_MAX  128   /* of a key's id */
#define JWT_SIGNATURE 1024  /* RSA of 8192 bits */

struct json_t; /* of jansson */

struct jwt {
	char alg[16];
	char kid[JWT_NAME_MAX]; /* "": it names no key */
	struct text covered;	/* what was signed, of the token */
	uint8_t signature[JWT_SIGNATURE];
	size_t signature_n;
	struct json_t *claims;
};

/*
 * 0, to be ended by jwt_free(); -ENOMEM; or -EINVAL: it is none, has a member twice, or
 * what must be understood to be believed (`crit`, RFC 7515 4.1.11).
 */
int jwt_read(struct text token, struct jwt *ret);
void jwt_free(struct jwt *j);

/* A NumericDate (RFC 7519 2) in seconds.  0: not there; 1; -1: it is no such. */
int jwt_time(const struct jwt *j, const char *claim, int64_t *ret);

/* NULL: not there, or no text. */
const char *jwt_string(const struct jwt *j, const char *claim);

/*
 * Is the claim this text, or a number, true or false that is written so, or a list that
 * has it; or of `scope` (RFC 8693 4.2), is it one of its words?
 */
bool jwt_has(const struct jwt *j, const char *claim, const char *value);

#endif
