/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The proxy's names and its slots of the book, who uses them, and how those that nobody
 * uses any more are used again: what they counted is added to the rows of the past
 * (listener, route and backend 0), in the proxy's book and in the kernel's, so that no
 * sum ever falls.
 */
#ifndef USER_BOOK_PLACES_H
#define USER_BOOK_PLACES_H

#include <stdint.h>

#include "book/name_ids.h"
#include "bpf/abi.h"

struct places {
	struct names names;
	struct proxy_slot *slots; /* mapped, borrowed */
	size_t slots_max;
	struct proxy_ends *ends; /* the same; ends_max of them */
	size_t ends_max;
	struct http_book *http; /* the same; http_max of them */
	size_t http_max;
	struct hello_book *hellos; /* the same */
	struct proxy_state *state;
	uint32_t *refs;		/* of this process, by slot */
	uint32_t *heads, *next; /* a table of slots by row; 0 is none */
	size_t used;		/* slots with a row */
	size_t hint;		/* no slot below it is free */
	size_t ends_hint;
	size_t http_hint;
	/* the kernel's rows; the maps' descriptors are ours */
	int tcp_fd, wire_fd, folding_fd, cursors_fd, boundary_fd;
	size_t cpus;
};

/*
 * *p has what is mapped, and nothing else.  0 or a negative errno; places_close() in any
 * case.
 */
int places_open(const char *pins, int names_fd, struct places *p);
void places_close(struct places *p);

/* Read again which names and rows there are; without memory it stays as it was. */
void places_refresh(struct places *p);

/* After a proxy that was killed while it folded: no row is on its way any more. */
void places_mend(struct places *p);

/* The slot of a row that is there; NULL if it is not. */
struct proxy_slot *places_find(const struct places *p, const struct row_key *row);

/* The slot of a row, made if it is new, and one reference to it; NULL: no place. */
struct proxy_slot *places_take(struct places *p, const struct row_key *row);

/* What is said of HTTP in that row, made if it is new; NULL: no place. */
struct http_book *places_http(struct places *p, struct proxy_slot *slot);

/* Any thread. */
void places_put(struct places *p, struct proxy_slot *slot);

/*
 * Free what nobody uses: slots without a reference whose connections are over, and names
 * of none.  Those that counted something are added to the past, if they are more than
 * `keep`: till then they are shown by their own names.  How many slots.  No other proxy
 * may use the books meanwhile.
 */
size_t places_reclaim(struct places *p, size_t keep);

#endif
