/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names and their ids, as the map `names` has them; kept in memory too, because a
 * configuration asks for thousands.  An id is given again only after all others were, so
 * that what still speaks of it meanwhile does not speak of another.
 */
#ifndef USER_BOOK_NAME_IDS_H
#define USER_BOOK_NAME_IDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/abi.h"

struct named {
	struct name_key key;
	struct name_val val;
	struct named *next;
};

#define NAMES_BUCKETS 16384

struct names {
	int fd; /* the map, borrowed */
	size_t n, max;
	struct named **buckets;		 /* NAMES_BUCKETS of them */
	uint32_t last[TG_NAME_KIND_MAX]; /* id given, by kind */
	uint8_t *used[TG_NAME_KIND_MAX]; /* a byte an id */
};

/* Read what is there.  0 or a negative errno; names_close() in any case. */
int names_open(int fd, struct names *ret);
void names_close(struct names *n);

/* The id of a name, which is cut to what the map holds.  0, or -ENOENT. */
int names_find(const struct names *n, enum tg_name_kind kind, const char *name,
	       uint16_t *ret);

/* The same, given if it is new.  0; -ENOSPC; or another negative errno. */
int names_get(struct names *n, enum tg_name_kind kind, const char *name, uint16_t *ret);

/* Forget those of this kind that `keep` says no to.  How many they were. */
size_t names_forget(struct names *n, enum tg_name_kind kind,
		    bool (*keep)(uint16_t id, void *arg), void *arg);

#endif
