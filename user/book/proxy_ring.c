/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <sys/mman.h>

#include "book/pin.h"
#include "book/ends.h"
#include "book/proxy_ring.h"

#define HOLE_NS 10000000000u

int proxy_ring_open(const char *pins, struct proxy_ring *ret)
{
	int err;

	memset(ret, 0, sizeof(*ret));
	err = pin_map(pins, "proxy_ring", sizeof(*ret->state), (void **)&ret->state,
		      NULL);
	if (!err)
		err = pin_map(pins, "proxy_events", sizeof(*ret->events),
			      (void **)&ret->events, &ret->size);
	if (err)
		proxy_ring_close(ret);
	return err;
}

void proxy_ring_close(struct proxy_ring *r)
{
	if (r->state)
		munmap(r->state, sizeof(*r->state));
	if (r->events)
		munmap(r->events, sizeof(*r->events) * r->size);
	memset(r, 0, sizeof(*r));
}

/*
 * Refusals may come by the ten thousand a second: a quarter of the ring is for
 * connections that were relayed.
 */
static uint64_t room_for(const struct proxy_ring *r, const struct proxy_event *e)
{
	return tg_end_is_relayed(e->reason) ? r->size : r->size - r->size / 4;
}

/* A number above those of all others, or 0 if the ring has no room for more. */
static uint64_t claim(struct proxy_ring *r, uint64_t room)
{
	for (;;) {
		/*
		 * In this order `written` is never behind `read`, and what the reader has
		 * done with a place comes before what is written there.
		 */
		uint64_t read = __atomic_load_n(&r->state->read, __ATOMIC_ACQUIRE);
		uint64_t written = __atomic_load_n(&r->state->written, __ATOMIC_RELAXED);
		bool full = written - read >= room;

		if (full && read == __atomic_load_n(&r->state->read, __ATOMIC_RELAXED))
			return 0;
		if (!full &&
		    __atomic_compare_exchange_n(&r->state->written, &written, written + 1,
						true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
			return written + 1;
	}
}

void proxy_ring_put(struct proxy_ring *r, const struct proxy_event *e)
{
	uint64_t number = claim(r, room_for(r, e));
	struct proxy_event *place;

	if (!number) {
		__atomic_fetch_add(&r->state->lost, 1, __ATOMIC_RELAXED);
		if (!tg_end_is_relayed(e->reason))
			__atomic_fetch_add(&r->state->refusals_lost, 1, __ATOMIC_RELAXED);
		return;
	}
	place = &r->events[(number - 1) % r->size];
	memcpy(&place->opened_ns, &e->opened_ns,
	       sizeof(*e) - offsetof(struct proxy_event, opened_ns));
	__atomic_store_n(&place->number, number, __ATOMIC_RELEASE);
}

bool proxy_ring_take(struct proxy_ring *r, uint64_t now_ns, struct proxy_event *ret)
{
	uint64_t read = r->state->read; /* only we write it */
	struct proxy_event *place = &r->events[read % r->size];

	if (read == __atomic_load_n(&r->state->written, __ATOMIC_RELAXED))
		return false;
	if (__atomic_load_n(&place->number, __ATOMIC_ACQUIRE) == read + 1) {
		r->hole_ns = 0;
		*ret = *place;
		__atomic_store_n(&r->state->read, read + 1, __ATOMIC_RELEASE);
		return true;
	}
	if (!r->hole_ns)
		r->hole_ns = now_ns;
	if (now_ns - r->hole_ns < HOLE_NS)
		return false;
	r->hole_ns = 0;
	__atomic_fetch_add(&r->state->lost, 1, __ATOMIC_RELAXED);
	__atomic_store_n(&r->state->read, read + 1, __ATOMIC_RELEASE);
	return false; /* the next time */
}
