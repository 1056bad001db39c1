/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was found right once, at a cost, and will be asked again: passwords, signatures.
 * Nothing of it is kept but a hash of 128 bits under keys that nobody outside knows
 * (SipHash); a newer one may take its place.  Thread-safe.
 */
#ifndef USER_BASE_KEPT_H
#define USER_BASE_KEPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KEPT_MAX 4096

struct kept;

struct kept_mark {
	uint64_t a, b;
};

struct kept_part {
	const void *bytes;
	size_t n;
};

/* NULL without memory, or without randomness. */
struct kept *kept_new(void);
void kept_free(struct kept *k); /* NULL is fine */

/* Of these parts, each by itself: nothing can go from one to the next. */
struct kept_mark kept_mark(const struct kept *k, const struct kept_part *parts,
			   unsigned n);

bool kept_has(struct kept *k, struct kept_mark m);
void kept_add(struct kept *k, struct kept_mark m);

#endif
