/* SPDX-License-Identifier: Apache-2.0 */
/* The only file that includes OpenSSL. */
#include <errno.h>

#include <openssl/sha.h>

#include "codec/digest.h"

int digest_sha256(const void *data, size_t len, uint8_t ret[DIGEST_SHA256_LEN])
{
	return SHA256(data, len, ret) ? 0 : -ENOMEM;
}
