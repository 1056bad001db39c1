/* SPDX-License-Identifier: Apache-2.0 */
/* Figures are relaxed atomics, addresses have a lock, the table of all of them another.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "backend/target.h"
#include "base/util.h"
#include "book/writer.h"

#define BUCKETS 4096

/* an address that could not be reached goes behind the others for so long */
#define BAD_FOR_MS 30000

/* One address, and what is known of it. */
struct place {
	struct addr addr;
	bool down;	 /* by checks */
	uint16_t streak; /* results in a row that differ from that */
	int64_t bad_until_ms;
};

struct target {
	struct target *next;
	unsigned refs;	      /* under the lock of all */
	pthread_mutex_t lock; /* of the places */
	struct place places[TARGET_ADDRS_MAX];
	unsigned n, turn;
	unsigned active, failures;
	int awaited;  /* by how many */
	bool down;    /* all of it; relaxed atomic */
	bool drained; /* relaxed atomic */
	bool was_awaited;
	int64_t up_since_ms, ejected_until_ms, next_check_ms;
	struct proxy_slot *slot; /* relaxed atomic */
	char name[];
};

static struct target *buckets[BUCKETS];
static pthread_mutex_t all = PTHREAD_MUTEX_INITIALIZER;

static struct target **find(const char *name)
{
	struct target **p = &buckets[util_hash(name, strlen(name)) % BUCKETS];

	while (*p && strcmp((*p)->name, name) != 0)
		p = &(*p)->next;
	return p;
}

struct target *target_get(const char *name)
{
	struct target **p, *t;

	pthread_mutex_lock(&all);
	p = find(name);
	t = *p;
	if (!t) {
		t = calloc(1, sizeof(*t) + strlen(name) + 1);
		if (t) {
			memcpy(t->name, name, strlen(name) + 1);
			pthread_mutex_init(&t->lock, NULL);
			*p = t;
		}
	}
	if (t)
		t->refs++;
	pthread_mutex_unlock(&all);
	return t;
}

void target_put(struct target *t)
{
	bool last;

	if (!t)
		return;
	pthread_mutex_lock(&all);
	last = --t->refs == 0;
	if (last)
		*find(t->name) = t->next;
	pthread_mutex_unlock(&all);
	if (!last)
		return;
	pthread_mutex_destroy(&t->lock);
	free(t);
}

static struct proxy_slot *slot_of(const struct target *t)
{
	return __atomic_load_n(&t->slot, __ATOMIC_RELAXED);
}

static void show(struct target *t)
{
	struct proxy_slot *slot = slot_of(t);

	if (!slot)
		return;
	book_set(&slot->backend_up, target_is_up(t));
	book_set(&slot->addresses, __atomic_load_n(&t->n, __ATOMIC_RELAXED));
}

void target_show_drained(const struct target *t, struct proxy_slot *slot, bool by_file)
{
	book_set(&slot->backend_drained, by_file || target_is_drained(t));
}

void target_set_slot(struct target *t, struct proxy_slot *slot)
{
	__atomic_store_n(&t->slot, slot, __ATOMIC_RELAXED);
	show(t);
}

/* --- addresses --- */

/* Under the lock. */
static struct place *place_of(struct target *t, const struct addr *a)
{
	for (unsigned i = 0; i < t->n; i++) {
		if (memcmp(&t->places[i].addr, a, sizeof(*a)) == 0)
			return &t->places[i];
	}
	return NULL;
}

/* Under the lock: is one of them up? */
static bool any_up(const struct target *t)
{
	for (unsigned i = 0; i < t->n; i++) {
		if (!t->places[i].down)
			return true;
	}
	return t->n == 0;
}

bool target_is_up(const struct target *t)
{
	return !__atomic_load_n(&t->down, __ATOMIC_RELAXED);
}

/* Under the lock: the sum of its addresses' states.  True if that changed. */
static bool settle(struct target *t, int64_t now_ms)
{
	bool up = any_up(t);

	if (target_is_up(t) == up)
		return false;
	if (up)
		__atomic_store_n(&t->up_since_ms, now_ms, __ATOMIC_RELAXED);
	__atomic_store_n(&t->down, !up, __ATOMIC_RELAXED);
	return true;
}

bool target_set_addresses(struct target *t, const struct addr *addrs, unsigned n,
			  int64_t now_ms)
{
	struct place places[TARGET_ADDRS_MAX];
	bool changed;

	if (n == 0)
		return false;
	pthread_mutex_lock(&t->lock);
	for (unsigned i = 0; i < n; i++) {
		const struct place *known = place_of(t, &addrs[i]);

		memset(&places[i], 0, sizeof(places[i]));
		if (known)
			places[i] = *known;
		places[i].addr = addrs[i];
	}
	memcpy(t->places, places, n * sizeof(*places));
	__atomic_store_n(&t->n, n, __ATOMIC_RELAXED);
	changed = settle(t, now_ms);
	pthread_mutex_unlock(&t->lock);
	show(t);
	return changed;
}

bool target_has_address(const struct target *t)
{
	return __atomic_load_n(&t->n, __ATOMIC_RELAXED) > 0;
}

bool target_was_awaited(const struct target *t)
{
	return t->was_awaited || target_has_address(t);
}

void target_set_awaited(struct target *t)
{
	t->was_awaited = true;
}

unsigned target_addresses(struct target *t, struct addr ret[TARGET_ADDRS_MAX])
{
	unsigned n;

	pthread_mutex_lock(&t->lock);
	n = t->n;
	for (unsigned i = 0; i < n; i++)
		ret[i] = t->places[i].addr;
	pthread_mutex_unlock(&t->lock);
	return n;
}

/* 0 is the best. */
static unsigned badness(const struct place *p, int64_t now_ms)
{
	return (p->down ? 2 : 0) + (now_ms < p->bad_until_ms ? 1 : 0);
}

bool target_pick(struct target *t, uint32_t *tried, int64_t now_ms, struct addr *ret,
		 bool *ret_more)
{
	const struct place *best = NULL;
	unsigned best_i = 0, left = 0;

	pthread_mutex_lock(&t->lock);
	for (unsigned k = 0; k < t->n; k++) {
		unsigned i = (t->turn + k) % t->n;

		if (*tried >> i & 1)
			continue;
		left++;
		if (best && badness(&t->places[i], now_ms) >= badness(best, now_ms))
			continue;
		best = &t->places[i];
		best_i = i;
	}
	if (best) {
		*ret = best->addr;
		*tried |= 1u << best_i;
		t->turn = (best_i + 1) % t->n;
	}
	pthread_mutex_unlock(&t->lock);
	*ret_more = left > 1;
	return best != NULL;
}

static void set_bad(struct target *t, const struct addr *a, int64_t until_ms)
{
	struct place *p;

	pthread_mutex_lock(&t->lock);
	p = place_of(t, a);
	if (p)
		p->bad_until_ms = until_ms;
	pthread_mutex_unlock(&t->lock);
}

void target_address_failed(struct target *t, const struct addr *a, int64_t now_ms)
{
	set_bad(t, a, now_ms + BAD_FOR_MS);
}

void target_address_worked(struct target *t, const struct addr *a)
{
	/* one that has no other is never passed over, so nothing is remembered of it */
	if (__atomic_load_n(&t->n, __ATOMIC_RELAXED) > 1)
		set_bad(t, a, 0);
}

/* --- health --- */

bool target_checked(struct target *t, const struct addr *a, bool passed, unsigned rise,
		    unsigned fall, int64_t now_ms)
{
	bool changed = false;
	struct place *p;

	pthread_mutex_lock(&t->lock);
	p = place_of(t, a);
	if (p && passed != p->down) {
		p->streak = 0;
	} else if (p && ++p->streak >= (passed ? rise : fall)) {
		p->streak = 0;
		p->down = !passed;
		p->bad_until_ms = 0;
		changed = settle(t, now_ms);
	}
	pthread_mutex_unlock(&t->lock);
	if (changed)
		show(t);
	return changed;
}

bool target_unchecked(struct target *t, int64_t now_ms)
{
	bool changed;

	pthread_mutex_lock(&t->lock);
	for (unsigned i = 0; i < t->n; i++)
		t->places[i].down = false;
	changed = settle(t, now_ms);
	pthread_mutex_unlock(&t->lock);
	show(t);
	return changed;
}

int64_t target_next_check(const struct target *t)
{
	return __atomic_load_n(&t->next_check_ms, __ATOMIC_RELAXED);
}

void target_set_next_check(struct target *t, int64_t at_ms)
{
	__atomic_store_n(&t->next_check_ms, at_ms, __ATOMIC_RELAXED);
}

static unsigned states_of(struct target *t, struct target_state ret[TARGET_ADDRS_MAX])
{
	unsigned n;

	pthread_mutex_lock(&t->lock);
	n = t->n;
	memset(ret, 0, (n ? n : 1) * sizeof(*ret));
	ret[0].drained = target_is_drained(t); /* of one without addresses, too */
	for (unsigned i = 0; i < n; i++) {
		ret[i].addr = t->places[i].addr;
		ret[i].down = t->places[i].down;
		ret[i].streak = t->places[i].streak;
	}
	pthread_mutex_unlock(&t->lock);
	return n;
}

void target_each(void (*fn)(const char *name, const struct target_state *states,
			    unsigned n, void *arg),
		 void *arg)
{
	struct target_state states[TARGET_ADDRS_MAX];

	pthread_mutex_lock(&all);
	for (int i = 0; i < BUCKETS; i++) {
		for (struct target *t = buckets[i]; t; t = t->next)
			fn(t->name, states, states_of(t, states), arg);
	}
	pthread_mutex_unlock(&all);
}

/* An address that is not known (yet) comes along with its state. */
static void restore(struct target *t, const struct target_state *states, unsigned n)
{
	pthread_mutex_lock(&t->lock);
	for (unsigned i = 0; i < n; i++) {
		struct place *p = place_of(t, &states[i].addr);

		if (!p && t->n < TARGET_ADDRS_MAX) {
			p = &t->places[t->n];
			memset(p, 0, sizeof(*p));
			p->addr = states[i].addr;
			__atomic_store_n(&t->n, t->n + 1, __ATOMIC_RELAXED);
		}
		if (!p)
			continue;
		p->down = states[i].down;
		p->streak = states[i].streak;
	}
	if (states[0].drained)
		(void)target_drain(t, true);
	(void)settle(t, 0); /* what was up is not new */
	pthread_mutex_unlock(&t->lock);
	show(t);
}

bool target_drain(struct target *t, bool drained)
{
	return __atomic_exchange_n(&t->drained, drained, __ATOMIC_RELAXED);
}

bool target_is_drained(const struct target *t)
{
	return __atomic_load_n(&t->drained, __ATOMIC_RELAXED);
}

bool target_restore(const char *name, const struct target_state *states, unsigned n)
{
	struct target *t;

	pthread_mutex_lock(&all);
	t = *find(name);
	if (t)
		restore(t, states, n);
	pthread_mutex_unlock(&all);
	return t != NULL;
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
	struct proxy_slot *slot = slot_of(t);

	if (!failures || n < failures || target_is_ejected(t, now_ms))
		return;
	__atomic_store_n(&t->failures, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&t->ejected_until_ms, now_ms + eject_ms, __ATOMIC_RELAXED);
	/* when it comes back it is as fresh as one that was down */
	__atomic_store_n(&t->up_since_ms, now_ms + eject_ms, __ATOMIC_RELAXED);
	if (slot)
		book_add(&slot->ejections, 1);
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

void target_await(struct target *t, int by)
{
	__atomic_fetch_add(&t->awaited, by, __ATOMIC_SEQ_CST);
}

bool target_is_awaited(const struct target *t)
{
	return __atomic_load_n(&t->awaited, __ATOMIC_SEQ_CST) > 0;
}
