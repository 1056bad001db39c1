/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hash table of counts, with a lock for each part of it.  An entry stays while it
 * counts connections or its window is not over; those that are done with are freed when
 * somebody looks into their bucket.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "book/writer.h"
#include "limiter.h"

#define BUCKETS 16384
#define LOCKS	64

struct key {
	uint8_t ip[16]; /* all zero for the scope as a whole */
	uint32_t id;
	uint8_t scope, bits;
	uint8_t pad[2];
};

struct limits_entry {
	struct limits_entry *next;
	struct key key;
	uint32_t bucket;
	uint32_t active;
	/* new connections in this window and in the one before */
	int64_t window, window_ms;
	uint32_t now, before;
};

struct limits_table {
	pthread_mutex_t locks[LOCKS];
	struct limits_entry *buckets[BUCKETS];
	unsigned entries; /* relaxed atomic */
	__u64 *full;
};

/* What is asked of one entry. */
struct want {
	struct key key;
	uint32_t connections;
	struct rate rate;
	enum tg_end over_connections, over_rate;
};

struct limits_table *limits_new(__u64 *full)
{
	struct limits_table *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
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

static uint32_t bucket_of(const struct key *key)
{
	return (uint32_t)util_hash(key, sizeof(*key)) % BUCKETS;
}

static pthread_mutex_t *lock_of(struct limits_table *t, uint32_t bucket)
{
	return &t->locks[bucket % LOCKS];
}

/* Under the bucket's lock: the entry, made if it is new; those that are over go. */
static struct limits_entry *find(struct limits_table *t, const struct key *key,
				 uint32_t bucket, int64_t now_ms)
{
	struct limits_entry **p = &t->buckets[bucket], *found = NULL;

	while (*p) {
		struct limits_entry *e = *p;

		if (memcmp(&e->key, key, sizeof(*key)) == 0) {
			found = e;
		} else if (!e->active && now_ms / e->window_ms > e->window + 1) {
			*p = e->next;
			free(e);
			__atomic_fetch_sub(&t->entries, 1, __ATOMIC_RELAXED);
			continue;
		}
		p = &e->next;
	}
	if (found)
		return found;
	if (__atomic_load_n(&t->entries, __ATOMIC_RELAXED) >= LIMITS_ENTRIES_MAX ||
	    !(found = calloc(1, sizeof(*found)))) {
		book_add(t->full, 1);
		return NULL;
	}
	__atomic_fetch_add(&t->entries, 1, __ATOMIC_RELAXED);
	found->key = *key;
	found->bucket = bucket;
	found->window_ms = 1;
	*p = found;
	return found;
}

/*
 * The window slides: what of the one before still is within the span is taken in
 * proportion, as if its connections had come evenly.
 */
static bool over_rate(struct limits_entry *e, const struct rate *rate, int64_t now_ms)
{
	int64_t window = now_ms / rate->ms, into = now_ms % rate->ms;

	if (e->window_ms == rate->ms && window < e->window) {
		window = e->window; /* the clock of another thread was ahead */
		into = 0;
	}
	if (e->window_ms != rate->ms || window > e->window + 1)
		e->now = e->before = 0;
	else if (window == e->window + 1)
		e->before = e->now, e->now = 0;
	e->window = window;
	e->window_ms = rate->ms;
	return ((int64_t)e->now + 1) * rate->ms + (int64_t)e->before * (rate->ms - into) >
	       (int64_t)rate->n * rate->ms;
}

static enum tg_end take(struct limits_table *t, const struct want *w, int64_t now_ms,
			bool anyway, struct limits_holds *holds)
{
	uint32_t bucket = bucket_of(&w->key);
	pthread_mutex_t *lock = lock_of(t, bucket);
	enum tg_end reason = TG_END_DONE;
	struct limits_entry *e;

	if (!holds->entries &&
	    !(holds->entries = calloc(LIMITS_HOLDS_MAX, sizeof(*holds->entries))))
		return TG_END_RESOURCES;
	pthread_mutex_lock(lock);
	e = find(t, &w->key, bucket, now_ms);
	if (anyway)
		reason = TG_END_DONE;
	else if (e && w->connections && e->active >= w->connections)
		reason = w->over_connections;
	else if (e && w->rate.n && over_rate(e, &w->rate, now_ms))
		reason = w->over_rate;
	if (e && reason == TG_END_DONE) {
		e->active++;
		e->now += !anyway;
		holds->entries[holds->n++] = e;
	}
	pthread_mutex_unlock(lock);
	return reason;
}

/* Give back what was counted from number `from` on; as if it had not been, if `undo`. */
static void give_back(struct limits_table *t, struct limits_holds *holds, unsigned from,
		      bool undo)
{
	while (holds->n > from) {
		struct limits_entry *e = holds->entries[--holds->n];
		pthread_mutex_t *lock = lock_of(t, e->bucket);

		pthread_mutex_lock(lock);
		e->active--;
		if (undo && e->now)
			e->now--;
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
	struct want wants[2];

	if (!client && (l->connections || l->rate.n)) {
		wants[n] = (struct want){ .connections = l->connections,
					  .rate = l->rate,
					  .over_connections = whole[scope].connections,
					  .over_rate = whole[scope].rate };
		key_of(scope, id, NULL, 0, &wants[n++].key);
	}
	if (client && (l->per_source || l->source_rate.n)) {
		wants[n] = (struct want){ .connections = l->per_source,
					  .rate = l->source_rate,
					  .over_connections = TG_END_SOURCE_CONNECTIONS,
					  .over_rate = TG_END_SOURCE_RATE };
		key_of(scope, id, client, 128, &wants[n++].key);
	}
	if (client && (l->per_prefix || l->prefix_rate.n)) {
		wants[n] = (struct want){ .connections = l->per_prefix,
					  .rate = l->prefix_rate,
					  .over_connections = TG_END_PREFIX_CONNECTIONS,
					  .over_rate = TG_END_PREFIX_RATE };
		key_of(scope, id, client,
		       addr_is_v4(client->ip) ? 96u + l->prefix_v4 : l->prefix_v6,
		       &wants[n++].key);
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

void limits_release(struct limits_table *t, struct limits_holds *holds)
{
	give_back(t, holds, 0, false);
	free(holds->entries);
	holds->entries = NULL;
}
