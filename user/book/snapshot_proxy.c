/* SPDX-License-Identifier: Apache-2.0 */
/* The proxy's part of a snapshot: its slots, ends, hellos, offenders and state. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <bpf/bpf.h>

#include "book/book.h"
#include "book/book_maps.h"

#define PROXY_SILENT_NS 5000000000u

static int by_refused(const void *a, const void *b)
{
	const struct offender *x = a, *y = b;

	return x->refused > y->refused ? -1 : x->refused < y->refused;
}

static int read_offenders(struct book *b, struct snapshot *s)
{
	for (__u32 i = 0; i < TG_OFFENDERS_MAX; i++) {
		struct offender *o = &s->offenders[s->offenders_n];

		if (bpf_map_lookup_elem(b->fds[MAP_offenders], &i, o) < 0)
			return -errno;
		s->offenders_n += o->used;
	}
	qsort(s->offenders, s->offenders_n, sizeof(*s->offenders), by_refused);
	return 0;
}

static int by_row(const void *a, const void *b)
{
	const struct proxy_slot *x = a, *y = b;

	return memcmp(&x->row, &y->row, sizeof(x->row));
}

/* As many as slots have; one of a slot that came meanwhile is that slot's next time. */
static int read_ends(struct book *b, struct snapshot *s)
{
	size_t max = b->capacity[MAP_proxy_ends], size = sizeof(struct proxy_ends) * max;
	const struct proxy_ends *ends;
	size_t n = 0;

	for (size_t i = 0; i < s->slots_n; i++) {
		if (s->slots[i].ends >= max)
			return -EPROTO;
		s->ends_n += s->slots[i].ends != 0;
		if (s->slots[i].ends > n)
			n = s->slots[i].ends;
	}
	s->ends = malloc((n + 1) * sizeof(*s->ends));
	if (!s->ends)
		return -ENOMEM;
	ends = mmap(NULL, size, PROT_READ, MAP_SHARED, b->fds[MAP_proxy_ends], 0);
	if (ends == MAP_FAILED)
		return -errno;
	memcpy(s->ends, ends, (n + 1) * sizeof(*ends));
	munmap((void *)ends, size);
	return 0;
}

/* The same. */
static int read_http(struct book *b, struct snapshot *s)
{
	size_t max = b->capacity[MAP_proxy_http], size = sizeof(struct http_book) * max;
	const struct http_book *http;
	size_t n = 0;

	for (size_t i = 0; i < s->slots_n; i++) {
		if (s->slots[i].http >= max)
			return -EPROTO;
		s->http_n += s->slots[i].http != 0;
		if (s->slots[i].http > n)
			n = s->slots[i].http;
	}
	s->http = malloc((n + 1) * sizeof(*s->http));
	if (!s->http)
		return -ENOMEM;
	http = mmap(NULL, size, PROT_READ, MAP_SHARED, b->fds[MAP_proxy_http], 0);
	if (http == MAP_FAILED)
		return -errno;
	memcpy(s->http, http, (n + 1) * sizeof(*http));
	munmap((void *)http, size);
	return 0;
}

/* The proxy's maps are arrays of 4 KiB pages; mapped, only the used part costs. */
int snapshot_proxy(struct book *b, struct snapshot *s)
{
	size_t max = b->capacity[MAP_proxy_book], size = sizeof(struct proxy_slot) * max;
	const struct proxy_slot *slots;
	size_t n = 0;
	__u32 zero = 0;
	int err;

	if (bpf_map_lookup_elem(b->fds[MAP_proxy_state], &zero, &s->proxy) < 0 ||
	    bpf_map_lookup_elem(b->fds[MAP_proxy_ring], &zero, &s->proxy_ring) < 0)
		return -errno;
	if (s->proxy_ring.read > s->proxy_ring.written) /* read while both moved */
		s->proxy_ring.written = s->proxy_ring.read;
	slots = mmap(NULL, size, PROT_READ, MAP_SHARED, b->fds[MAP_proxy_book], 0);
	if (slots == MAP_FAILED)
		return -errno;
	while (n < max && slots[n].used != TG_SLOT_NEVER)
		n++;
	s->slots = calloc(n + 1, sizeof(*s->slots));
	for (size_t i = 0; s->slots && i < n; i++) {
		if (slots[i].used == TG_SLOT_USED)
			s->slots[s->slots_n++] = slots[i];
	}
	munmap((void *)slots, size);
	if (!s->slots)
		return -ENOMEM;
	qsort(s->slots, s->slots_n, sizeof(*s->slots), by_row);
	err = read_ends(b, s);
	if (!err)
		err = read_http(b, s);
	if (err)
		return err;
	for (__u32 id = 0; id < TG_LISTENERS_MAX; id++) {
		if (bpf_map_lookup_elem(b->fds[MAP_hello_book], &id, &s->hellos[id]) < 0)
			return -errno;
	}
	return read_offenders(b, s);
}

const struct proxy_slot *slot_find(const struct snapshot *s, const struct row_key *row)
{
	const struct proxy_slot key = { .row = *row };

	return s->slots_n ? bsearch(&key, s->slots, s->slots_n, sizeof(*s->slots), by_row)
			  : NULL;
}

bool row_in_force(const struct snapshot *s, const struct row_key *row)
{
	const struct proxy_slot *slot = slot_find(s, row);

	return slot && slot_in_force(s, slot);
}

bool slot_in_force(const struct snapshot *s, const struct proxy_slot *slot)
{
	return slot->configured && slot->configured >= s->proxy.configuration;
}

uint64_t slot_end(const struct snapshot *s, const struct proxy_slot *slot,
		  enum tg_end reason, enum tg_side side)
{
	return slot->ends ? s->ends[slot->ends].n[reason][side] : 0;
}

const struct http_book *slot_http(const struct snapshot *s, const struct proxy_slot *slot)
{
	return slot->http ? &s->http[slot->http] : NULL;
}

uint64_t slot_ends(const struct snapshot *s, const struct proxy_slot *slot,
		   enum tg_end reason)
{
	uint64_t n = 0;

	for (int side = 0; side < TG_SIDE_MAX; side++)
		n += slot_end(s, slot, reason, (enum tg_side)side);
	return n;
}

bool snapshot_proxy_up(const struct snapshot *s)
{
	return s->proxy.pid && s->taken_ns < s->proxy.heartbeat_ns + PROXY_SILENT_NS;
}

/* Taken a moment before those that were given back are read: never less than none. */
uint64_t snapshot_labels(const struct snapshot *s)
{
	uint64_t gone = s->proxy.labels_swept + s->labels_given;

	return s->proxy.labels_taken > gone ? s->proxy.labels_taken - gone : 0;
}

enum tg_store snapshot_store(const struct snapshot *s, bool *differs)
{
	const struct row_key process = { .listener = 0 };
	const struct proxy_slot *slot =
		snapshot_proxy_up(s) ? slot_find(s, &process) : NULL;

	*differs = slot && slot->file_differs;
	return slot ? (enum tg_store)slot->store : TG_STORE_NONE;
}
