/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many connections there may be, and how many new ones in a time: of the process, a
 * listener, a route, and within each of these of one source and of its prefix.  A source
 * is an IPv4 address, or the /64 of an IPv6 address, because whoever has one has all of
 * it. Counts are shared by all workers, exact, and outlive configurations.
 */
#ifndef PROXY_DECIDE_LIMITS_H
#define PROXY_DECIDE_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "bpf/abi.h"
#include "config/config.h"

#define LIMITS_ENTRIES_MAX 131072 /* counted at once; beyond it sources share one */
#define LIMITS_HOLDS_MAX   9

enum limits_scope { LIMITS_PROCESS, LIMITS_LISTENER, LIMITS_ROUTE, LIMITS_REQUEST };

/* What is counted for a connection; zeroed at first. */
struct limits_holds {
	struct limits_hold *entries; /* LIMITS_HOLDS_MAX, from the first one on */
	unsigned n;
};

struct limits_table;

/*
 * full: raised for each source that found no entry of its own, and so shares that of all
 * such sources, which is limited as one.  NULL without memory.
 */
struct limits_table *limits_new(__u64 *full);
void limits_free(struct limits_table *t); /* NULL is fine */

/*
 * Count a connection of the scope number `id`, as a whole, or if `client` is given of
 * that source and prefix within it.  0 and more in *holds; or the reason to refuse it,
 * nothing counted by this call.  Thread-safe.
 */
enum tg_end limits_admit(struct limits_table *t, enum limits_scope scope, uint32_t id,
			 const struct limits *l, const struct addr *client,
			 int64_t now_ms, struct limits_holds *holds);

/* Count one that was admitted elsewhere, whatever the limits say; not as a new one. */
void limits_count(struct limits_table *t, enum limits_scope scope, uint32_t id,
		  const struct limits *l, const struct addr *client, int64_t now_ms,
		  struct limits_holds *holds);

/*
 * It is refused by another limit than those it has: their rates have not seen it.  The
 * limits it was admitted by are still there.  Not a strict rate, whose part of time may
 * be over: that has counted it.
 */
void limits_refused(struct limits_table *t, struct limits_holds *holds);

/*
 * A request of the scope's number `id` that has this text: 0 and counted, or how many
 * milliseconds it is until the next one would be.  Texts for which there is no entry left
 * are one.  Thread-safe.
 */
int64_t limits_request(struct limits_table *t, uint32_t id, const void *text, size_t n,
		       const struct rate *r, int64_t now_ms);

/* The connection is over. */
void limits_release(struct limits_table *t, struct limits_holds *holds);

#endif
