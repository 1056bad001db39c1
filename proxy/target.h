/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of a backend while the proxy runs: addresses, health, connections.  It
 * outlives configurations, so that a reload forgets nothing, and is shared by all
 * threads.
 */
#ifndef PROXY_TARGET_H
#define PROXY_TARGET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "bpf/abi.h"

#define TARGET_ADDRS_MAX 16

struct target;

/*
 * The target of a name (listener, route and backend, as the caller joins them), made if
 * it is new, or NULL without memory.  Only from the main thread; targets live as long as
 * the process.
 */
struct target *target_get(const char *name);

/* Where its state is shown; relaxed atomic from then on. */
void target_set_slot(struct target *t, struct proxy_slot *slot);

/* --- addresses --- */

/* n of at most TARGET_ADDRS_MAX; nothing happens for 0. */
void target_set_addresses(struct target *t, const struct addr *addrs, unsigned n);

bool target_has_address(const struct target *t);

/* The next one in turn; false if there is none yet. */
bool target_address(struct target *t, struct addr *ret);

/* --- health; times are milliseconds of the event loop's clock --- */

/* By checks.  True if that changed. */
bool target_set_up(struct target *t, bool up, int64_t now_ms);

/* A connection was tried: after `failures` failures in a row (0: never) it is ejected. */
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

#endif
