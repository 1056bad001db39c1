/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ring of the proxy's events (bpf/abi.h), in memory that any number of writing
 * threads, of an old and a new proxy too, share with one reader.  Nobody waits for
 * anybody.
 */
#ifndef USER_BOOK_PROXY_RING_H
#define USER_BOOK_PROXY_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/abi.h"

struct proxy_ring {
	struct proxy_ring_state *state;
	struct proxy_event *events;
	size_t size;	  /* of events */
	uint64_t hole_ns; /* reader: since when the next one is not whole; 0: it is */
};

/* Map the pinned ring.  0, or a negative errno. */
int proxy_ring_open(const char *pins, struct proxy_ring *ret);
void proxy_ring_close(struct proxy_ring *r); /* zeros are fine */

/*
 * Add a copy of *e, whose number is set here; without a place it is counted as lost.  Of
 * refusals no more than three quarters of the ring are kept at once.
 */
void proxy_ring_put(struct proxy_ring *r, const struct proxy_event *e);

/*
 * The next event.  False if there is none that is whole.  One that stays unfinished for
 * 10 s before `now_ns` (CLOCK_MONOTONIC) is of a proxy that was killed, or stopped for as
 * long right there, and is passed over as lost.
 */
bool proxy_ring_take(struct proxy_ring *r, uint64_t now_ns, struct proxy_event *ret);

#endif
