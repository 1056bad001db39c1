/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pieces of memory of one size that come and go all the time, of one thread: the last
 * ones that were given back are kept, up to SPARE_MAX.  What is too large for malloc's
 * own cache (1032 bytes) costs less so.  Under a sanitizer none is kept, so that it sees
 * what is used after it was given back.
 */
#ifndef USER_BASE_SPARE_H
#define USER_BASE_SPARE_H

#include <stddef.h>

#define SPARE_MAX 128

struct spare {
	size_t size; /* of each; at least that of a pointer */
	void *first; /* each points to the next */
	unsigned n;
};

void *spare_take(struct spare *s); /* not cleared; NULL without memory */
void spare_give(struct spare *s, void *p);

/* Those that are kept; before the end of `s`. */
void spare_free(struct spare *s);

#endif
