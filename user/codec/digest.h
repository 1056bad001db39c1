/* SPDX-License-Identifier: Apache-2.0 */
/* Hashes, by OpenSSL's libcrypto. */
#ifndef USER_CODEC_DIGEST_H
#define USER_CODEC_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#define DIGEST_SHA256_LEN 32
#define DIGEST_SHA1_LEN	  20

/* FIPS 180-4.  0, or -ENOMEM if libcrypto could not. */
int digest_sha256(const void *data, size_t len, uint8_t ret[DIGEST_SHA256_LEN]);

/* FIPS 180-4: of WebSocket, where it proves nothing but that somebody has listened. */
void digest_sha1(const void *data, size_t len, uint8_t ret[DIGEST_SHA1_LEN]);

/* RFC 4648 4, of n bytes: (n + 2) / 3 * 4 characters and a NUL. */
void digest_base64(const uint8_t *data, size_t n, char *ret);

#endif
