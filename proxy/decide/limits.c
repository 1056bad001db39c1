/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hash table of counts, with a lock for each part of it, keyed at random, because
 * sources are chosen by those who connect.  An entry stays while it counts connections or
 * its rate remembers some; those that are done with are freed when somebody looks into
 * their bucket, or looks for room.  What is refused leaves none behind.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/util.h"
#include "book/writer.h"
#include "decide/limits.h"

#define BUCKETS 16384
#define LOCKS	64

struct key {
	uint8_t ip[16]; /* all zero for the scope as a whole; of a text its hash */
	uint32_t id;
	uint8_t scope, bits;
	uint8_t kind; /* a source and a prefix of as many bits are two */
	uint8_t pad;
};

enum { KIND_WHOLE, KIND_PREFIX, KIND_SOURCE, KIND_TEXT };

#define SOURCE_V6_BITS 64

#define SLOTS	       8   /* of a strict rate: this one and the seven before */
#define EVICT_TRIES    256 /* buckets that are looked into for room */
#define NS_PER_MS      1000000

struct limits_entry {
	struct limits_entry *next;
	struct key key;
	uint32_t bucket;
	uint32_t active;
	int64_t span_ms; /* 0: of no rate */
	bool strict;
	union {
		int64_t due_ns; /* GCRA: the theoretical arrival time */
		struct {
			int64_t last; /* number of the newest slot */
			uint32_t n[SLOTS];
		} slots;
	};
};

struct limits_table {
	uint64_t hash_key[2];
	pthread_mutex_t locks[LOCKS];
	struct limits_entry *buckets[BUCKETS];
	unsigned entries;  /* relaxed atomic */
	unsigned evict_at; /* the next bucket to look for room in; relaxed atomic */
	__u64 *full;
};

/* An entry that counts a connection, and the rate it took of there; NULL: none. */
struct limits_hold {
	struct limits_entry *entry;
	const struct rate *rate;
};

/* What is asked of one entry. */
struct want {
	struct key key;
	uint32_t connections;
	const struct rate *rate;
	enum tg_end over_connections, over_rate;
	bool source; /* may share an entry when there is none left */
};

struct limits_table *limits_new(__u64 *full)
{
	struct limits_table *t = calloc(1, sizeof(*t));

	if (!t || getrandom(t->hash_key, sizeof(t->hash_key), 0) < 0) {
		free(t);
		return NULL;
	}
	t->full = full;
	for (int i = 0; i < LOCKS; i++)
		pthread_mutex_init(&t->locks[i], NULL);
	return t;
}

void limits_free(struct limits_table *t)
{
	if (!t)
		return;
	for (int i = 0; i < BUCKETS; i++) {
		while (t->buckets[i]) {
			struct limits_entry *e = t->buckets[i];

			t->buckets[i] = e->next;
			free(e);
		}
	}
	for (int i = 0; i < LOCKS; i++)
		pthread_mutex_destroy(&t->locks[i]);
	free(t);
}

static uint32_t bucket_of(const struct limits_table *t, const struct key *key)
{
	return (uint32_t)util_hash_keyed(t->hash_key, key, sizeof(*key)) % BUCKETS;
}

static pthread_mutex_t *lock_of(struct limits_table *t, uint32_t bucket)
{
	return &t->locks[bucket % LOCKS];
}

/* --- rates --- */

static int64_t slot_ms(int64_t span_ms)
{
	return (span_ms + SLOTS - 2) /
	       (SLOTS - 1); /* seven are no shorter than the span */
}

/* Does its rate remember nothing any more? */
static bool is_over(const struct limits_entry *e, int64_t now_ms)
{
	if (!e->span_ms)
		return true;
	if (e->strict)
		return now_ms / slot_ms(e->span_ms) >= e->slots.last + SLOTS;
	return e->due_ns <= now_ms * NS_PER_MS;
}

/* Another rate than before begins anew. */
static void follow_rate(struct limits_entry *e, const struct rate *r)
{
	if (e->span_ms == r->ms && e->strict == r->strict)
		return;
	e->span_ms = r->ms;
	e->strict = r->strict;
	memset(&e->slots, 0, sizeof(e->slots));
}

static int64_t interval_ns(const struct rate *r)
{
	return (r->ms * NS_PER_MS + r->n - 1) / r->n;
}

static bool is_early(const struct limits_entry *e, const struct rate *r, int64_t now_ms)
{
	int64_t burst = r->burst ? r->burst : r->n, now = now_ms * NS_PER_MS;

	return e->due_ns > now && e->due_ns - now > (burst - 1) * interval_ns(r);
}

/* Slots that time has left behind are emptied.  The number of the newest. */
static int64_t slots_turn(struct limits_entry *e, int64_t now_ms)
{
	int64_t slot = now_ms / slot_ms(e->span_ms), first = e->slots.last + 1;

	if (slot < e->slots.last)
		return e->slots.last; /* the clock of another thread was ahead */
	if (slot - first >= SLOTS)
		first = slot - SLOTS + 1;
	for (; first <= slot; first++)
		e->slots.n[first % SLOTS] = 0;
	e->slots.last = slot;
	return slot;
}

static bool over_rate(struct limits_entry *e, const struct rate *r, int64_t now_ms)
{
	uint64_t n = 0;

	follow_rate(e, r);
	if (!r->strict)
		return is_early(e, r, now_ms);
	(void)slots_turn(e, now_ms);
	for (int i = 0; i < SLOTS; i++)
		n += e->slots.n[i];
	return n >= r->n;
}

static void rate_take(struct limits_entry *e, const struct rate *r, int64_t now_ms)
{
	int64_t now = now_ms * NS_PER_MS;

	if (r->strict)
		e->slots.n[slots_turn(e, now_ms) % SLOTS]++;
	else
		e->due_ns = (e->due_ns > now ? e->due_ns : now) + interval_ns(r);
}

static void rate_give_back(struct limits_entry *e, const struct rate *r)
{
	/* another rate than before began anew */
	if (!r || !r->n || e->span_ms != r->ms || e->strict != r->strict)
		return;
	if (!r->strict)
		e->due_ns -= interval_ns(r);
	else if (e->slots.n[e->slots.last % SLOTS])
		e->slots.n[e->slots.last % SLOTS]--;
}

/* --- entries --- */

/* Under the bucket's lock: those that are over go. */
static void prune(struct limits_table *t, uint32_t bucket, int64_t now_ms,
		  const struct key *but)
{
	struct limits_entry **p = &t->buckets[bucket];

	while (*p) {
		struct limits_entry *e = *p;

		if (e->active || !is_over(e, now_ms) ||
		    (but && memcmp(&e->key, but, sizeof(*but)) == 0)) {
			p = &e->next;
			continue;
		}
		*p = e->next;
		free(e);
		__atomic_fetch_sub(&t->entries, 1, __ATOMIC_RELAXED);
	}
}

static bool is_full(const struct limits_table *t)
{
	return __atomic_load_n(&t->entries, __ATOMIC_RELAXED) >= LIMITS_ENTRIES_MAX;
}

/* Without a lock held: can room be made? */
static bool make_room(struct limits_table *t, int64_t now_ms)
{
	for (int i = 0; i < EVICT_TRIES; i++) {
		uint32_t bucket;

		if (!is_full(t))
			return true;
		bucket = __atomic_fetch_add(&t->evict_at, 1, __ATOMIC_RELAXED) % BUCKETS;
		pthread_mutex_lock(lock_of(t, bucket));
		prune(t, bucket, now_ms, NULL);
		pthread_mutex_unlock(lock_of(t, bucket));
	}
	return false;
}

/* Under the bucket's lock: the entry, made if it is new; NULL without memory. */
static struct limits_entry *find(struct limits_table *t, const struct key *key,
				 uint32_t bucket, int64_t now_ms)
{
	struct limits_entry *e;

	prune(t, bucket, now_ms, key);
	for (e = t->buckets[bucket]; e; e = e->next) {
		if (memcmp(&e->key, key, sizeof(*key)) == 0)
			return e;
	}
	e = calloc(1, sizeof(*e));
	if (!e)
		return NULL;
	__atomic_fetch_add(&t->entries, 1, __ATOMIC_RELAXED);
	e->key = *key;
	e->bucket = bucket;
	e->next = t->buckets[bucket];
	t->buckets[bucket] = e;
	return e;
}

/* Sources for which there is no entry left are one source. */
static void share(struct limits_table *t, struct key *key)
{
	memset(key->ip, 0, sizeof(key->ip));
	key->bits = 255;
	book_add(t->full, 1);
}

static bool is_known(struct limits_table *t, const struct key *key)
{
	uint32_t bucket = bucket_of(t, key);
	const struct limits_entry *e;

	pthread_mutex_lock(lock_of(t, bucket));
	for (e = t->buckets[bucket]; e && memcmp(&e->key, key, sizeof(*key)) != 0;)
		e = e->next;
	pthread_mutex_unlock(lock_of(t, bucket));
	return e != NULL;
}

static enum tg_end take(struct limits_table *t, struct want *w, int64_t now_ms,
			bool anyway, struct limits_holds *holds)
{
	enum tg_end reason = TG_END_DONE;
	struct limits_entry *e;
	pthread_mutex_t *lock;
	uint32_t bucket;

	if (!holds->entries &&
	    !(holds->entries = calloc(LIMITS_HOLDS_MAX, sizeof(*holds->entries))))
		return TG_END_RESOURCES;
	if (w->source && is_full(t) && !is_known(t, &w->key) && !make_room(t, now_ms))
		share(t, &w->key);
	bucket = bucket_of(t, &w->key);
	lock = lock_of(t, bucket);
	pthread_mutex_lock(lock);
	e = find(t, &w->key, bucket, now_ms);
	if (!e)
		reason = anyway ? TG_END_DONE : TG_END_RESOURCES;
	else if (!anyway && w->connections && e->active >= w->connections)
		reason = w->over_connections;
	else if (!anyway && w->rate->n && over_rate(e, w->rate, now_ms))
		reason = w->over_rate;
	if (e && reason == TG_END_DONE) {
		e->active++;
		if (!anyway && w->rate->n)
			rate_take(e, w->rate, now_ms);
		holds->entries[holds->n++] =
			(struct limits_hold){ e, anyway ? NULL : w->rate };
	}
	pthread_mutex_unlock(lock);
	return reason;
}

/* How long until it is not early any more; of a strict rate until a slot is left behind.
 */
static int64_t wait_ms(const struct limits_entry *e, const struct rate *r, int64_t now_ms)
{
	int64_t burst = r->burst ? r->burst : r->n, ns;

	if (r->strict)
		return slot_ms(r->ms);
	ns = e->due_ns - now_ms * NS_PER_MS - (burst - 1) * interval_ns(r);
	return ns > NS_PER_MS ? (ns + NS_PER_MS - 1) / NS_PER_MS : 1;
}

int64_t limits_request(struct limits_table *t, uint32_t id, const void *text, size_t n,
		       const struct rate *r, int64_t now_ms)
{
	struct key key = { .id = id, .scope = LIMITS_REQUEST, .kind = KIND_TEXT };
	const uint64_t other[2] = { t->hash_key[1], t->hash_key[0] };
	uint64_t hash[2] = { util_hash_keyed(t->hash_key, text, n),
			     util_hash_keyed(other, text, n) };
	struct limits_entry *e;
	int64_t wait = 0;
	uint32_t bucket;

	memcpy(key.ip, hash, sizeof(key.ip));
	if (is_full(t) && !is_known(t, &key) && !make_room(t, now_ms))
		share(t, &key);
	bucket = bucket_of(t, &key);
	pthread_mutex_lock(lock_of(t, bucket));
	e = find(t, &key, bucket, now_ms);
	if (e && over_rate(e, r, now_ms))
		wait = wait_ms(e, r, now_ms);
	else if (e)
		rate_take(e, r, now_ms);
	pthread_mutex_unlock(lock_of(t, bucket));
	return wait; /* without memory nobody is refused */
}

/* Give back what was counted from number `from` on; as if it had not been, if `undone`.
 */
static void give_back(struct limits_table *t, struct limits_holds *holds, unsigned from,
		      bool undone)
{
	while (holds->n > from) {
		const struct limits_hold *h = &holds->entries[--holds->n];
		pthread_mutex_t *lock = lock_of(t, h->entry->bucket);

		pthread_mutex_lock(lock);
		h->entry->active--;
		if (undone)
			rate_give_back(h->entry, h->rate);
		pthread_mutex_unlock(lock);
	}
}

static void key_of(enum limits_scope scope, uint32_t id, const struct addr *client,
		   unsigned bits, struct key *ret)
{
	*ret = (struct key){ .scope = (uint8_t)scope, .id = id, .bits = (uint8_t)bits };
	for (unsigned i = 0; client && i < bits; i += 8)
		ret->ip[i / 8] = bits - i >= 8 ? client->ip[i / 8]
					       : client->ip[i / 8] &
							 (uint8_t)(0xff00 >> (bits - i));
}

static enum tg_end count(struct limits_table *t, enum limits_scope scope, uint32_t id,
			 const struct limits *l, const struct addr *client,
			 int64_t now_ms, bool anyway, struct limits_holds *holds)
{
	static const struct {
		enum tg_end connections, rate;
	} whole[] = { { TG_END_PROCESS_CONNECTIONS, TG_END_PROCESS_RATE },
		      { TG_END_LISTENER_CONNECTIONS, TG_END_LISTENER_RATE },
		      { TG_END_ROUTE_CONNECTIONS, TG_END_ROUTE_RATE } };
	unsigned from = holds->n, n = 0;
	enum tg_end reason = TG_END_DONE;
	bool v4 = client && addr_is_v4(client->ip);
	struct want wants[2];

	if (!client && (l->connections || l->rate.n)) {
		wants[n] = (struct want){ .connections = l->connections,
					  .rate = &l->rate,
					  .over_connections = whole[scope].connections,
					  .over_rate = whole[scope].rate };
		key_of(scope, id, NULL, 0, &wants[n++].key);
	}
	/* the prefix first: who has a whole one shall not have an entry for each address
	 */
	if (client && (l->per_prefix || l->prefix_rate.n)) {
		wants[n] = (struct want){ .connections = l->per_prefix,
					  .rate = &l->prefix_rate,
					  .over_connections = TG_END_PREFIX_CONNECTIONS,
					  .over_rate = TG_END_PREFIX_RATE,
					  .source = true };
		key_of(scope, id, client, v4 ? 96u + l->prefix_v4 : l->prefix_v6,
		       &wants[n].key);
		wants[n++].key.kind = KIND_PREFIX;
	}
	if (client && (l->per_source || l->source_rate.n)) {
		wants[n] = (struct want){ .connections = l->per_source,
					  .rate = &l->source_rate,
					  .over_connections = TG_END_SOURCE_CONNECTIONS,
					  .over_rate = TG_END_SOURCE_RATE,
					  .source = true };
		key_of(scope, id, client, v4 ? 128 : SOURCE_V6_BITS, &wants[n].key);
		wants[n++].key.kind = KIND_SOURCE;
	}
	for (unsigned i = 0; i < n && reason == TG_END_DONE; i++)
		reason = take(t, &wants[i], now_ms, anyway, holds);
	if (reason != TG_END_DONE)
		give_back(t, holds, from, true);
	return reason;
}

enum tg_end limits_admit(struct limits_table *t, enum limits_scope scope, uint32_t id,
			 const struct limits *l, const struct addr *client,
			 int64_t now_ms, struct limits_holds *holds)
{
	return count(t, scope, id, l, client, now_ms, false, holds);
}

void limits_count(struct limits_table *t, enum limits_scope scope, uint32_t id,
		  const struct limits *l, const struct addr *client, int64_t now_ms,
		  struct limits_holds *holds)
{
	(void)count(t, scope, id, l, client, now_ms, true, holds);
}

void limits_refused(struct limits_table *t, struct limits_holds *holds)
{
	for (unsigned i = 0; i < holds->n; i++) {
		struct limits_hold *h = &holds->entries[i];
		const struct rate *r = h->rate;
		pthread_mutex_t *lock = lock_of(t, h->entry->bucket);

		pthread_mutex_lock(lock);
		if (r && !r->strict)
			rate_give_back(h->entry, r);
		pthread_mutex_unlock(lock);
		h->rate = NULL;
	}
}

void limits_release(struct limits_table *t, struct limits_holds *holds)
{
	give_back(t, holds, 0, false);
	free(holds->entries);
	holds->entries = NULL;
}
