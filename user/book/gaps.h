/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the books cannot know: hooks that are gone, maps that were full, books that cannot
 * be read.  With a gap the answer of an audit is "incomplete", never "agrees".
 */
#ifndef USER_BOOK_GAPS_H
#define USER_BOOK_GAPS_H

#include <stdint.h>

#include "book/book.h"

/*
 * Reason, its label, and whether it is a count that an operator may accept, or a state
 * that lasts until it is mended.  In the order of `accepted.counts`: only ever added to.
 */
#define GAPS(X)                                          \
	X(HOOK_DETACHED, "hook_detached", STATE)         \
	X(HOOK_NOT_FIRST, "hook_not_first", STATE)       \
	X(HOOKS_UNWATCHED, "hooks_unwatched", STATE)     \
	X(BOOK_UNREADABLE, "book_unreadable", STATE)     \
	X(NFT_TABLE_MISSING, "nft_table_missing", STATE) \
	X(MAP_FULL, "map_full", COUNT)                   \
	X(SOCKETS_LOST, "sockets_lost", COUNT)           \
	X(NO_SOCKET_STORAGE, "no_socket_storage", COUNT) \
	X(OUT_OF_MEMORY, "out_of_memory", COUNT)         \
	X(NO_SLOT, "no_slot", COUNT)                     \
	X(NO_LABEL, "no_label", COUNT)                   \
	X(FOLD_BROKEN, "fold_broken", COUNT)             \
	X(OTHER_NAMESPACE, "other_namespace", STATE)     \
	X(LOAD_UNFINISHED, "load_unfinished", STATE)     \
	X(LEFT_OPEN, "left_open", COUNT)

enum gap_reason {
#define X(name, label, kind) GAP_##name,
	GAPS(X)
#undef X
		GAP_MAX
};
_Static_assert(GAP_MAX <= TG_ACCEPTED_MAX, "accepted.counts is map ABI");

extern const char *const gap_names[GAP_MAX];

#define GAPS_LIST_MAX 64

struct gap {
	enum gap_reason reason;
	char target[TG_TARGET_LEN + 16];
	uint64_t count; /* of a state: 1 */
	char text[256]; /* a sentence that says what to do */
};

struct gaps {
	struct gap list[GAPS_LIST_MAX];
	unsigned n;
	unsigned cut; /* more than the list takes */
};

/* What is missing in a snapshot that was taken with BOOK_NFT, less what was accepted. */
void gaps_find(const struct snapshot *s, struct gaps *ret);

/* Every count as it is, for an acceptance. */
void gaps_accept(const struct snapshot *s, struct accepted *ret);

#endif
