/* SPDX-License-Identifier: Apache-2.0 */
/* Hashes, by OpenSSL's libcrypto. */
#ifndef USER_CODEC_DIGEST_H
#define USER_CODEC_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#define DIGEST_SHA256_LEN 32

/* FIPS 180-4.  0, or -ENOMEM if libcrypto could not. */
int digest_sha256(const void *data, size_t len, uint8_t ret[DIGEST_SHA256_LEN]);

#endif
