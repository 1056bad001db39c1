/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"
#include "session/openings.h"
#include "session/state.h"

#define BUCKETS	     4096
#define LOOKS_MAX    64	  /* of the oldest, for one whose source has more than others */
#define LARGEST_OF   1024 /* of the oldest, for the largest */
#define YOUNG_MS     100  /* what it says may be on its way */
#define IPV6_NETWORK 8	  /* bytes: who has one has all of its addresses */

struct opening_source {
	struct opening_source *next;
	uint8_t ip[16];
	unsigned n;
	struct session *oldest, *newest;
};

struct openings {
	openings_evict_fn evict;
	struct session *oldest, *newest;
	struct opening_source *busiest;		 /* as far as is known */
	struct opening_source *sources[BUCKETS]; /* a list each */
};

int openings_open(struct worker *w, openings_evict_fn evict)
{
	w->openings = calloc(1, sizeof(*w->openings));
	if (!w->openings)
		return -ENOMEM;
	w->openings->evict = evict;
	return 0;
}

void openings_close(struct worker *w)
{
	free(w->openings); /* each source has gone with its last session */
	w->openings = NULL;
}

static struct opening_place *place_of(struct session *s)
{
	return &s->opening->place;
}

static struct opening_source **source_of(struct worker *w, const struct addr *a)
{
	const uint64_t key[2] = { w->id_high, ~w->id_high };
	struct opening_source **p;
	uint8_t ip[16] = { 0 };

	memcpy(ip, a->ip, addr_is_v4(a->ip) ? 16 : IPV6_NETWORK);
	p = &w->openings->sources[util_hash_keyed(key, ip, sizeof(ip)) % BUCKETS];
	while (*p && memcmp((*p)->ip, ip, sizeof(ip)) != 0)
		p = &(*p)->next;
	if (!*p) {
		*p = calloc(1, sizeof(**p));
		if (*p)
			memcpy((*p)->ip, ip, sizeof(ip));
	}
	return p;
}

void openings_add(struct session *s)
{
	struct openings *o = session_worker(s)->openings;
	struct opening_place *place = place_of(s);
	struct opening_source *source = *source_of(session_worker(s), &s->client);

	if (!source)
		return;
	*place = (struct opening_place){ .older = o->newest,
					 .same_older = source->newest,
					 .source = source };
	if (o->newest)
		place_of(o->newest)->newer = s;
	else
		o->oldest = s;
	o->newest = s;
	if (source->newest)
		place_of(source->newest)->same_newer = s;
	else
		source->oldest = s;
	source->newest = s;
	source->n++;
	if (!o->busiest || source->n > o->busiest->n)
		o->busiest = source;
}

static void source_free(struct worker *w, struct opening_source *source)
{
	struct addr a = { .port = 0 };
	struct opening_source **p;

	memcpy(a.ip, source->ip, sizeof(a.ip));
	p = source_of(w, &a);
	if (*p != source)
		return;
	*p = source->next;
	if (w->openings->busiest == source)
		w->openings->busiest = NULL;
	free(source);
}

void openings_remove(struct session *s)
{
	struct openings *o = session_worker(s)->openings;
	struct opening_place *place, old;

	if (!s->opening || !place_of(s)->source)
		return;
	place = place_of(s);
	old = *place;
	*place = (struct opening_place){ 0 };
	if (old.older)
		place_of(old.older)->newer = old.newer;
	else
		o->oldest = old.newer;
	if (old.newer)
		place_of(old.newer)->older = old.older;
	else
		o->newest = old.older;
	if (old.same_older)
		place_of(old.same_older)->same_newer = old.same_newer;
	else
		old.source->oldest = old.same_newer;
	if (old.same_newer)
		place_of(old.same_newer)->same_older = old.same_older;
	else
		old.source->newest = old.same_older;
	if (--old.source->n == 0)
		source_free(session_worker(s), old.source);
}

static bool is_young(const struct session *s)
{
	return ev_now_ms(session_worker(s)->loop) - s->tunnel.began_ms < YOUNG_MS;
}

/* The source that has most, of the one that is remembered and those of the oldest. */
static struct opening_source *busiest(struct openings *o)
{
	struct opening_source *most = o->busiest;
	unsigned looks = 0;

	for (struct session *s = o->oldest; s && looks < LOOKS_MAX;
	     s = place_of(s)->newer, looks++) {
		if (!most || place_of(s)->source->n > most->n)
			most = place_of(s)->source;
	}
	o->busiest = most;
	return most;
}

bool openings_evict(struct worker *w)
{
	struct opening_source *most = busiest(w->openings);
	struct session *s = most && most->n > 1 ? most->oldest : w->openings->oldest;

	if (!s || is_young(s))
		return false;
	log_limited(
		LOG_WARN,
		"no descriptors left: connections of clients that have not begun are ended "
		"(opening_evicted) to make room for others");
	w->openings->evict(s);
	return true;
}

/* --- memory --- */

static struct session *largest(const struct openings *o)
{
	struct session *most = o->oldest;
	unsigned looks = 0;

	for (struct session *s = o->oldest; s && looks < LARGEST_OF;
	     s = place_of(s)->newer, looks++) {
		if (s->opening->cap > most->opening->cap)
			most = s;
	}
	return most;
}

bool openings_take_bytes(struct session *s, size_t n)
{
	struct proxy *p = session_worker(s)->proxy;

	while (__atomic_load_n(&p->openings_bytes, __ATOMIC_RELAXED) + n >
	       OPENINGS_BYTES_MAX) {
		struct session *most = largest(session_worker(s)->openings);

		if (!most || most == s || most->opening->cap < s->opening->cap + n)
			return false;
		session_worker(s)->openings->evict(most);
	}
	__atomic_fetch_add(&p->openings_bytes, n, __ATOMIC_RELAXED);
	return true;
}

void openings_give_bytes(struct worker *w, size_t n)
{
	__atomic_fetch_sub(&w->proxy->openings_bytes, n, __ATOMIC_RELAXED);
}
