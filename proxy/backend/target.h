/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of a backend while the proxy runs: addresses, health, connections.  A
 * name is a set of addresses, each checked, tried and remembered for itself; it is up
 * while one of them is.  Targets outlive configurations, so that a reload forgets
 * nothing, and are shared by all threads.
 */
#ifndef PROXY_BACKEND_TARGET_H
#define PROXY_BACKEND_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "bpf/abi.h"

#define TARGET_ADDRS_MAX 16

struct target;

/*
 * A reference to the target of a name (listener, route and backend, as the caller joins
 * them), made if it is new; NULL without memory.  Given back with target_put(), from any
 * thread; the last one forgets it.
 */
struct target *target_get(const char *name);
void target_put(struct target *t); /* NULL is fine */

/* Where its state is shown. */
void target_set_slot(struct target *t, struct proxy_slot *slot);

/* --- addresses --- */

/*
 * n of at most TARGET_ADDRS_MAX; those that stay keep what is known of them, and new ones
 * are up.  True if the target's state changed.  Nothing happens for 0.
 */
bool target_set_addresses(struct target *t, const struct addr *addrs, unsigned n,
			  int64_t now_ms);

bool target_has_address(const struct target *t);

/*
 * Has it been waited for, for its addresses, or need it not be?  And: it has.  Of the
 * main thread.
 */
bool target_was_awaited(const struct target *t);
void target_set_awaited(struct target *t);

/* Copies of all; how many. */
unsigned target_addresses(struct target *t, struct addr ret[TARGET_ADDRS_MAX]);

/*
 * The next one in turn of those whose bit is not in *tried, whose bit is then set: one
 * that is up and has not failed lately, else one that is up, else any.  False if all were
 * tried or none is known.  *ret_more: there are others to try after it.  Times are
 * milliseconds of the event loop's clock.
 */
bool target_pick(struct target *t, uint32_t *tried, int64_t now_ms, struct addr *ret,
		 bool *ret_more);

/* A connection to that address could not be made; or could. */
void target_address_failed(struct target *t, const struct addr *a, int64_t now_ms);
void target_address_worked(struct target *t, const struct addr *a);

/* --- health --- */

/*
 * A check of one address has passed or failed; after `rise` or `fall` of them in a row
 * its state changes.  True if that changed the target's, which is up while one address
 * is.
 */
bool target_checked(struct target *t, const struct addr *a, bool passed, unsigned rise,
		    unsigned fall, int64_t now_ms);

/* It is not checked (any more): all of it is up.  True if that changed. */
bool target_unchecked(struct target *t, int64_t now_ms);

/* When its next check is due, so that a reload does not put it off; 0: at once. */
int64_t target_next_check(const struct target *t);
void target_set_next_check(struct target *t, int64_t at_ms);

/*
 * Drained by whoever runs the gate, not by the configuration: nobody new goes there,
 * until he says otherwise.  It outlives reloads and upgrades.  Returns what it was.
 */
bool target_drain(struct target *t, bool drained);
bool target_is_drained(const struct target *t);

/* In its row: nobody new goes there, by whomever. */
void target_show_drained(const struct target *t, struct proxy_slot *slot, bool by_file);

/* For a successor: what is known of each address of each target. */
struct target_state {
	struct addr addr;
	uint8_t down;
	uint8_t drained; /* in the first, also of none: all of it is */
	uint16_t streak;
};
void target_each(void (*fn)(const char *name, const struct target_state *states,
			    unsigned n, void *arg),
		 void *arg);

/* The same in the successor, of a target that is there.  False if it is not. */
bool target_restore(const char *name, const struct target_state *states, unsigned n);

/* A connection was tried at all of it: after `failures` in a row (0: never) it is
 * ejected. */
void target_connected(struct target *t);
void target_failed(struct target *t, unsigned failures, int64_t eject_ms, int64_t now_ms);

bool target_is_up(const struct target *t);
bool target_is_ejected(const struct target *t, int64_t now_ms);

/* How far into its slow start it is, of 1024; 1024 is all the way. */
unsigned target_warmth(const struct target *t, int64_t slow_start_ms, int64_t now_ms);

/* --- connections --- */

/* Take one of `limit` places (0: no limit); false if they are taken. */
bool target_take(struct target *t, unsigned limit);
void target_release(struct target *t);
unsigned target_active(const struct target *t);

/* by: 1 for each who waits for a place, -1 when he waits no more. */
void target_await(struct target *t, int by);
bool target_is_awaited(const struct target *t);

#endif
