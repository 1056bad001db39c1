/* SPDX-License-Identifier: Apache-2.0 */
/* Which backend of a route. */
#ifndef PROXY_BACKEND_BALANCE_H
#define PROXY_BACKEND_BALANCE_H

#include <stdbool.h>
#include <stdint.h>

#include "config/config.h"

enum balance_result {
	BALANCE_CHOSEN,
	BALANCE_FULL, /* every backend that could be is at its limit */
	BALANCE_NONE, /* all are down, draining, or were tried */
};

/* Who wants one. */
struct balance_by {
	const struct addr *client;
	uint32_t key; /* if `keyed`, the same goes to the same; else the client's address
		       */
	bool keyed;
	uint8_t wanted; /* 1 + the number of one that goes before all choosing; 0: none */
};

/*
 * Choose a backend and take one of its places, which target_release() gives back.  Bits
 * of `tried` are backends that are not to be taken.  Backups are for when no other
 * backend is up; those that were ejected for when there is no other at all.  One that is
 * wanted is taken even if it drains: who comes back to it is what it has.  Thread-safe.
 */
enum balance_result balance_choose(struct route *r, const struct balance_by *by,
				   uint64_t tried, int64_t now_ms, unsigned *ret);

#endif
