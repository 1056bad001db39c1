/* SPDX-License-Identifier: Apache-2.0 */
/* Targets are few and never freed; figures are relaxed atomics, addresses have a lock. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "book/writer.h"
#include "target.h"

struct target {
	struct target *next;
	pthread_mutex_t lock; /* of the addresses */
	struct addr addrs[TARGET_ADDRS_MAX];
	unsigned addrs_n, turn;
	unsigned active, failures;
	bool down;
	int64_t up_since_ms, ejected_until_ms;
	struct proxy_slot *slot;
	char name[];
};

static struct target *targets;

struct target *target_get(const char *name)
{
	struct target *t;

	for (t = targets; t; t = t->next) {
		if (strcmp(t->name, name) == 0)
			return t;
	}
	t = calloc(1, sizeof(*t) + strlen(name) + 1);
	if (!t)
		return NULL;
	memcpy(t->name, name, strlen(name) + 1);
	pthread_mutex_init(&t->lock, NULL);
	t->next = targets;
	targets = t;
	return t;
}

static void show(struct target *t)
{
	if (t->slot)
		book_set(&t->slot->backend_up, target_is_up(t));
}

void target_set_slot(struct target *t, struct proxy_slot *slot)
{
	t->slot = slot;
	show(t);
}

void target_set_addresses(struct target *t, const struct addr *addrs, unsigned n)
{
	if (n == 0)
		return;
	pthread_mutex_lock(&t->lock);
	memcpy(t->addrs, addrs, n * sizeof(*addrs));
	__atomic_store_n(&t->addrs_n, n, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&t->lock);
}

bool target_has_address(const struct target *t)
{
	return __atomic_load_n(&t->addrs_n, __ATOMIC_RELAXED) > 0;
}

bool target_address(struct target *t, struct addr *ret)
{
	bool any;

	pthread_mutex_lock(&t->lock);
	any = t->addrs_n > 0;
	if (any)
		*ret = t->addrs[t->turn++ % t->addrs_n];
	pthread_mutex_unlock(&t->lock);
	return any;
}

bool target_is_up(const struct target *t)
{
	return !__atomic_load_n(&t->down, __ATOMIC_RELAXED);
}

bool target_set_up(struct target *t, bool up, int64_t now_ms)
{
	if (target_is_up(t) == up)
		return false;
	if (up)
		__atomic_store_n(&t->up_since_ms, now_ms, __ATOMIC_RELAXED);
	__atomic_store_n(&t->down, !up, __ATOMIC_RELAXED);
	show(t);
	return true;
}

bool target_is_ejected(const struct target *t, int64_t now_ms)
{
	return now_ms < __atomic_load_n(&t->ejected_until_ms, __ATOMIC_RELAXED);
}

void target_connected(struct target *t)
{
	if (__atomic_load_n(&t->failures, __ATOMIC_RELAXED))
		__atomic_store_n(&t->failures, 0, __ATOMIC_RELAXED);
}

void target_failed(struct target *t, unsigned failures, int64_t eject_ms, int64_t now_ms)
{
	unsigned n = __atomic_add_fetch(&t->failures, 1, __ATOMIC_RELAXED);

	if (!failures || n < failures || target_is_ejected(t, now_ms))
		return;
	__atomic_store_n(&t->failures, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&t->ejected_until_ms, now_ms + eject_ms, __ATOMIC_RELAXED);
	/* when it comes back it is as fresh as one that was down */
	__atomic_store_n(&t->up_since_ms, now_ms + eject_ms, __ATOMIC_RELAXED);
	if (t->slot)
		book_add(&t->slot->ejections, 1);
}

unsigned target_warmth(const struct target *t, int64_t slow_start_ms, int64_t now_ms)
{
	int64_t since = __atomic_load_n(&t->up_since_ms, __ATOMIC_RELAXED);
	int64_t age = now_ms - since;

	if (!since || !slow_start_ms || age >= slow_start_ms)
		return 1024;
	return age < 0 ? 0 : (unsigned)(age * 1024 / slow_start_ms);
}

bool target_take(struct target *t, unsigned limit)
{
	unsigned n = __atomic_add_fetch(&t->active, 1, __ATOMIC_RELAXED);

	if (!limit || n <= limit)
		return true;
	__atomic_fetch_sub(&t->active, 1, __ATOMIC_RELAXED);
	return false;
}

void target_release(struct target *t)
{
	__atomic_fetch_sub(&t->active, 1, __ATOMIC_RELAXED);
}

unsigned target_active(const struct target *t)
{
	return __atomic_load_n(&t->active, __ATOMIC_RELAXED);
}
