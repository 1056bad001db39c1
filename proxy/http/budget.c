/* SPDX-License-Identifier: Apache-2.0 */
#include "http/budget.h"

#define COST 100 /* of one that is sent again; one that is sent earns r->budget */

void budget_earn(struct http_route *r)
{
	if (__atomic_load_n(&r->credit, __ATOMIC_RELAXED) < BUDGET_BURST * COST)
		__atomic_fetch_add(&r->credit, r->budget, __ATOMIC_RELAXED);
}

/* `floor` is a second, and in its last byte how many were free in it. */
static bool is_free(struct http_route *r, int64_t now_ms)
{
	int64_t second = now_ms / 1000 + 1, had, next;

	had = __atomic_load_n(&r->floor, __ATOMIC_RELAXED);
	do { /* of a worker whose turn is older the time does not go back */
		if (had >> 8 < second)
			next = second << 8 | 1;
		else if ((had & 0xff) < BUDGET_FLOOR)
			next = had + 1;
		else
			return false;
	} while (!__atomic_compare_exchange_n(&r->floor, &had, next, true,
					      __ATOMIC_RELAXED, __ATOMIC_RELAXED));
	return true;
}

bool budget_spend(struct http_route *r, int64_t now_ms)
{
	int64_t had = __atomic_load_n(&r->credit, __ATOMIC_RELAXED);

	if (!r->budget)
		return false;
	while (had >= COST) {
		if (__atomic_compare_exchange_n(&r->credit, &had, had - COST, true,
						__ATOMIC_RELAXED, __ATOMIC_RELAXED))
			return true;
	}
	return is_free(r, now_ms);
}
