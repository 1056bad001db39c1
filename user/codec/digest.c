/* SPDX-License-Identifier: Apache-2.0 */
/* The only file that includes OpenSSL. */
#include <errno.h>

#include <openssl/evp.h>
#include <openssl/sha.h>

#include "codec/digest.h"

int digest_sha256(const void *data, size_t len, uint8_t ret[DIGEST_SHA256_LEN])
{
	return SHA256(data, len, ret) ? 0 : -ENOMEM;
}

void digest_sha1(const void *data, size_t len, uint8_t ret[DIGEST_SHA1_LEN])
{
	(void)SHA1(data, len, ret);
}

void digest_base64(const uint8_t *data, size_t n, char *ret)
{
	(void)EVP_EncodeBlock((unsigned char *)ret, data, (int)n);
}
