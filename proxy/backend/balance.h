/* SPDX-License-Identifier: Apache-2.0 */
/* Which backend of a route. */
#ifndef PROXY_BACKEND_BALANCE_H
#define PROXY_BACKEND_BALANCE_H

#include <stdint.h>

#include "config/config.h"

enum balance_result {
	BALANCE_CHOSEN,
	BALANCE_FULL, /* every backend that could be is at its limit */
	BALANCE_NONE, /* all are down, draining, or were tried */
};

/*
 * Choose a backend and take one of its places, which target_release() gives back.  Bits
 * of `tried` are backends that are not to be taken.  Backups are for when no other
 * backend is up; those that were ejected for when there is no other at all.  Thread-safe.
 */
enum balance_result balance_choose(struct route *r, const struct addr *client,
				   uint64_t tried, int64_t now_ms, unsigned *ret);

#endif
