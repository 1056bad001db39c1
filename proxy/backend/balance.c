/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Choosing works on a set of candidates, one bit a backend: who may be taken at all, in
 * tiers; then the route's way of choosing, until one has a place.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backend/balance.h"
#include "backend/target.h"
#include "base/util.h"

/* the end of splitmix64, for hashes and for chance */
static uint64_t mix(uint64_t z)
{
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static uint64_t chance(void)
{
	static _Thread_local uint64_t state;

	if (!state)
		state = (uint64_t)(uintptr_t)&state ^ (uint64_t)time(NULL) << 20;
	return mix(state += 0x9e3779b97f4a7c15u);
}

/* --- ways of choosing one of the candidates, of which there is at least one --- */

/*
 * Whose turn it is; if that is no candidate, another turn by chance, so that the others
 * share in proportion what one of them cannot take.
 */
static unsigned by_turn(const struct turns *t, uint64_t candidates, uint64_t place)
{
	for (unsigned tries = 0; t->n && tries < 2 * CONFIG_BACKENDS_MAX; tries++) {
		unsigned i = t->order[place % t->n];

		if (candidates >> i & 1)
			return i;
		place = chance();
	}
	return (unsigned)__builtin_ctzll(candidates);
}

/* Connections over weight: is a's less than b's? */
static bool is_lighter(const struct backend *a, const struct backend *b)
{
	return (uint64_t)(target_active(a->target) + 1) * b->weight <
	       (uint64_t)(target_active(b->target) + 1) * a->weight;
}

static unsigned by_connections(const struct route *r, const struct turns *t,
			       uint64_t candidates, uint64_t place)
{
	unsigned best = by_turn(t, candidates, place); /* among equals they take turns */

	for (uint64_t left = candidates; left; left &= left - 1) {
		unsigned i = (unsigned)__builtin_ctzll(left);

		if (is_lighter(&r->backends[i], &r->backends[best]))
			best = i;
	}
	return best;
}

/*
 * Rendezvous hashing with weights: the same client meets the same backend, and only the
 * clients of a backend that goes meet another.
 */
static unsigned by_hash(const struct route *r, uint64_t candidates, uint64_t who)
{
	unsigned best = (unsigned)__builtin_ctzll(candidates);
	double best_score = -1;

	for (uint64_t left = candidates; left; left &= left - 1) {
		unsigned i = (unsigned)__builtin_ctzll(left);
		const struct backend *b = &r->backends[i];
		uint64_t h = mix(who ^ mix(util_hash(b->name, strlen(b->name))));
		double score =
			(double)b->weight / -log(((double)(h >> 11) + 0.5) * 0x1p-53);

		if (score > best_score) {
			best_score = score;
			best = i;
		}
	}
	return best;
}

/* Who has a network of IPv6 has all of it, and must not choose his backend by it. */
static uint64_t hash_of(const struct balance_by *by)
{
	return by->keyed ? mix(by->key)
			 : util_hash(by->client->ip, addr_is_v4(by->client->ip) ? 16 : 8);
}

static unsigned by_chance(const struct route *r, const struct turns *t,
			  uint64_t candidates)
{
	unsigned a = by_turn(t, candidates, chance()), b;
	uint64_t others = candidates & ~(1ull << a);

	if (!others)
		return a;
	b = by_turn(t, others, chance());
	return is_lighter(&r->backends[b], &r->backends[a]) ? b : a;
}

static unsigned pick(struct route *r, const struct turns *t, uint64_t candidates,
		     const struct balance_by *by)
{
	if (by->keyed)
		return by_hash(r, candidates, hash_of(by));
	switch (r->balance) {
	case BALANCE_LEAST_CONNECTIONS:
		return by_connections(r, t, candidates,
				      __atomic_fetch_add(&r->next, 1, __ATOMIC_RELAXED));
	case BALANCE_SOURCE_HASH:
		return by_hash(r, candidates, hash_of(by));
	case BALANCE_RANDOM:
		return by_chance(r, t, candidates);
	default:
		return by_turn(t, candidates,
			       __atomic_fetch_add(&r->next, 1, __ATOMIC_RELAXED));
	}
}

/* --- candidates --- */

static uint64_t candidates_of(const struct route *r, bool backup, bool ejected,
			      uint64_t tried, int64_t now_ms)
{
	uint64_t set = 0;

	for (unsigned i = 0; i < r->backend_names_count; i++) {
		const struct backend *b = &r->backends[i];

		if (b->backup == backup && !b->drain && b->weight && !(tried >> i & 1) &&
		    !target_is_drained(b->target) && target_is_up(b->target) &&
		    target_has_address(b->target) &&
		    (ejected || !target_is_ejected(b->target, now_ms)))
			set |= 1ull << i;
	}
	return set;
}

static bool take_wanted(const struct route *r, const struct balance_by *by,
			uint64_t tried, int64_t now_ms)
{
	unsigned i = by->wanted - 1u;
	const struct backend *b = &r->backends[i];

	return by->wanted && i < r->backend_names_count && !(tried >> i & 1) &&
	       b->weight &&
	       (!b->backup || !candidates_of(r, false, false, tried, now_ms)) &&
	       target_is_up(b->target) && target_has_address(b->target) &&
	       !target_is_ejected(b->target, now_ms) && target_take(b->target, b->limit);
}

enum balance_result balance_choose(struct route *r, const struct balance_by *by,
				   uint64_t tried, int64_t now_ms, unsigned *ret)
{
	bool full = false;

	if (take_wanted(r, by, tried, now_ms)) {
		*ret = by->wanted - 1u;
		return BALANCE_CHOSEN;
	}
	for (int tier = 0; tier < 4 && !full; tier++) {
		uint64_t set = candidates_of(r, tier & 1, tier & 2, tried, now_ms);
		uint64_t cold = 0; /* passed over, because they are in slow start */
		bool gentle = true;

		while (set || cold) {
			unsigned i;

			if (!set) { /* there are no others */
				set = cold;
				cold = 0;
				gentle = false;
			}
			i = pick(r, &r->turns[tier & 1], set, by);
			set &= ~(1ull << i);
			if (gentle &&
			    chance() % 1024 >= target_warmth(r->backends[i].target,
							     r->slow_start_ms, now_ms)) {
				cold |= 1ull << i;
			} else if (target_take(r->backends[i].target,
					       r->backends[i].limit)) {
				*ret = i;
				return BALANCE_CHOSEN;
			} else {
				full = true;
			}
		}
	}
	return full ? BALANCE_FULL : BALANCE_NONE;
}
