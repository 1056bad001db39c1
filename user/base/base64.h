/* SPDX-License-Identifier: Apache-2.0 */
/* Texts of RFC 4648 to bytes, strictly: one text for each value, or none. */
#ifndef USER_BASE_BASE64_H
#define USER_BASE_BASE64_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum base64_kind {
	BASE64,	    /* section 4, with its padding */
	BASE64_URL, /* section 5, without (RFC 7515 2) */
};

/* Of n characters, how many bytes; -EINVAL: it is none, -ENOSPC: more than `cap`. */
ssize_t base64_decode(const char *p, size_t n, enum base64_kind kind, uint8_t *ret,
		      size_t cap);

#endif
