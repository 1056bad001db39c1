/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections of one worker whose client has not said yet what it wants, by age and by
 * source: the first to go when there are no descriptors left, or no memory for what they
 * say.  All on the worker's own thread.
 */
#ifndef PROXY_SESSION_OPENINGS_H
#define PROXY_SESSION_OPENINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct addr;
struct opening_source;
struct session;
struct worker;

/* Of all workers together. */
#define OPENINGS_BYTES_MAX (32u << 20)

/* Its place in the lists; all zero if it is in none. */
struct opening_place {
	struct session *older, *newer;		 /* of all */
	struct session *same_older, *same_newer; /* of its source */
	struct opening_source *source;
};

/*
 * Before the worker starts: 0 or -ENOMEM; and at its end.  evict ends a session, and
 * gives back what its opening holds.
 */
typedef void (*openings_evict_fn)(struct session *s);
int openings_open(struct worker *w, openings_evict_fn evict);
void openings_close(struct worker *w);

/* It has an opening, and waits for what its client says.  Without memory it is in no
 * list. */
void openings_add(struct session *s);

/* It waits no more; fine if it was in no list. */
void openings_remove(struct session *s);

/*
 * End one, for descriptors: of the source that has most the oldest, or the oldest of all;
 * none that began just now.  False if there is none.
 */
bool openings_evict(struct worker *w);

/*
 * n bytes more for what a client has said.  False if the budget is spent and none but s
 * has more that could be given up.
 */
bool openings_take_bytes(struct session *s, size_t n);
void openings_give_bytes(struct worker *w, size_t n);

#endif
