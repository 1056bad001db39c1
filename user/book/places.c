/* SPDX-License-Identifier: Apache-2.0 */
/* Slots by row.  Names are in name_ids.c, the kernel's rows in fold.c. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/util.h"
#include "book/counts.h"
#include "book/fold.h"
#include "book/pin.h"
#include "book/places.h"
#include "book/writer.h"

#define PAST_SLOTS 4 /* which the rows of the past find free in a full book, too */

static bool is_past(const struct row_key *row)
{
	return !row->listener && !row->route && !row->backend;
}

static uint32_t *head_of(const struct places *p, const struct row_key *row)
{
	return &p->heads[util_hash(row, sizeof(*row)) % p->slots_max];
}

static void index_add(struct places *p, size_t slot)
{
	uint32_t *head = head_of(p, &p->slots[slot].row);

	p->next[slot] = *head;
	*head = (uint32_t)slot;
	p->used++;
}

static void index_all(struct places *p)
{
	memset(p->heads, 0, p->slots_max * sizeof(*p->heads));
	p->used = 0;
	p->hint = p->ends_hint = p->http_hint = 1;
	for (size_t i = 1; i < p->slots_max && p->slots[i].used != TG_SLOT_NEVER; i++) {
		if (p->slots[i].used == TG_SLOT_USED)
			index_add(p, i);
	}
}

static int open_maps(const char *pins, struct places *p)
{
	int cpus = libbpf_num_possible_cpus(), err;

	if (cpus < 0)
		return cpus;
	p->cpus = (size_t)cpus;
	err = pin_open(pins, "tcp_totals", &p->tcp_fd);
	if (!err)
		err = pin_open(pins, "wire_totals", &p->wire_fd);
	if (!err)
		err = pin_open(pins, "folding", &p->folding_fd);
	if (!err)
		err = pin_open(pins, "cursors", &p->cursors_fd);
	if (!err)
		err = pin_open(pins, "wire_boundary", &p->boundary_fd);
	return err;
}

int places_open(const char *pins, int names_fd, struct places *p)
{
	int err;

	p->refs = calloc(p->slots_max, sizeof(*p->refs));
	p->heads = calloc(p->slots_max, sizeof(*p->heads));
	p->next = calloc(p->slots_max, sizeof(*p->next));
	err = p->refs && p->heads && p->next ? 0 : -ENOMEM;
	if (!err)
		err = open_maps(pins, p);
	if (!err)
		err = names_open(names_fd, &p->names);
	if (!err)
		index_all(p);
	return err;
}

void places_close(struct places *p)
{
	int *fds[] = { &p->tcp_fd, &p->wire_fd, &p->folding_fd, &p->cursors_fd,
		       &p->boundary_fd };

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
	names_close(&p->names);
	free(p->refs);
	free(p->heads);
	free(p->next);
	p->refs = p->heads = p->next = NULL;
}

void places_refresh(struct places *p)
{
	struct names fresh;

	if (names_open(p->names.fd, &fresh) < 0) {
		names_close(&fresh);
	} else {
		names_close(&p->names);
		p->names = fresh;
	}
	index_all(p);
}

void places_mend(struct places *p)
{
	__u32 which = TG_CURSOR_FOLDING;
	struct row_key key;
	__u64 none = 0;

	(void)bpf_map_update_elem(p->cursors_fd, &which, &none, BPF_ANY);
	while (bpf_map_get_next_key(p->folding_fd, NULL, &key) == 0 &&
	       bpf_map_delete_elem(p->folding_fd, &key) == 0)
		;
}

struct proxy_slot *places_find(const struct places *p, const struct row_key *row)
{
	for (uint32_t i = *head_of(p, row); i; i = p->next[i]) {
		if (memcmp(&p->slots[i].row, row, sizeof(*row)) == 0)
			return &p->slots[i];
	}
	return NULL;
}

/* Is it free, and ours now?  A proxy that is replaced might want it at this moment. */
static bool claim(__u32 *used)
{
	__u32 was = __atomic_load_n(used, __ATOMIC_RELAXED);

	return (was == TG_SLOT_NEVER || was == TG_SLOT_FREE) &&
	       __atomic_compare_exchange_n(used, &was, TG_SLOT_CLAIMED, false,
					   __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

/* An array whose elements are claimed one by one; the first is never. */
struct shelf {
	__u32 *used; /* of the first; the next is `stride` bytes on */
	size_t stride, max;
	size_t *hint; /* none below it is free */
};

/* The past has places that nobody else gets.  0: there is none. */
static uint32_t claim_place(const struct shelf *x, bool past)
{
	size_t max = past ? x->max : x->max - PAST_SLOTS;

	for (size_t i = past ? 1 : *x->hint; i < max; i++) {
		if (!claim((void *)((char *)x->used + i * x->stride)))
			continue;
		if (!past)
			*x->hint = i + 1;
		return (uint32_t)i;
	}
	return 0;
}

static struct proxy_slot *claim_slot(struct places *p, bool past)
{
	struct shelf x = { &p->slots->used, sizeof(*p->slots), p->slots_max, &p->hint };
	uint32_t i = claim_place(&x, past);

	return i ? &p->slots[i] : NULL;
}

static uint32_t claim_ends(struct places *p, bool past)
{
	struct shelf x = { &p->ends->used, sizeof(*p->ends), p->ends_max, &p->ends_hint };

	return claim_place(&x, past);
}

static uint32_t claim_http(struct places *p, bool past)
{
	struct shelf x = { &p->http->used, sizeof(*p->http), p->http_max, &p->http_hint };

	return claim_place(&x, past);
}

static void free_http(struct places *p, uint32_t i)
{
	struct http_book *b = &p->http[i];

	if (!i)
		return;
	memset(b->requests, 0, sizeof(*b) - offsetof(struct http_book, requests));
	__atomic_store_n(&b->used, TG_SLOT_FREE, __ATOMIC_RELEASE);
}

struct http_book *places_http(struct places *p, struct proxy_slot *s)
{
	uint32_t i = s->http;

	if (!i) {
		i = claim_http(p, is_past(&s->row));
		if (!i)
			return NULL;
		p->http[i].used = TG_SLOT_USED;
		__atomic_store_n(&s->http, i, __ATOMIC_RELEASE);
	}
	return &p->http[i];
}

static void free_ends(struct places *p, uint32_t i)
{
	if (!i)
		return;
	memset(p->ends[i].n, 0, sizeof(p->ends[i].n));
	__atomic_store_n(&p->ends[i].used, TG_SLOT_FREE, __ATOMIC_RELEASE);
}

static struct proxy_slot *make(struct places *p, const struct row_key *row)
{
	bool has_ends = row->leg == TG_LEG_DOWNSTREAM;
	uint32_t ends = has_ends ? claim_ends(p, is_past(row)) : 0;
	struct proxy_slot *s = has_ends && !ends ? NULL : claim_slot(p, is_past(row));

	if (!s) {
		free_ends(p, ends);
		return NULL;
	}
	if (ends)
		p->ends[ends].used = TG_SLOT_USED;
	s->ends = ends;
	s->row = *row;
	/* readers look at `used` first */
	__atomic_store_n(&s->used, TG_SLOT_USED, __ATOMIC_RELEASE);
	index_add(p, (size_t)(s - p->slots));
	return s;
}

struct proxy_slot *places_take(struct places *p, const struct row_key *row)
{
	struct proxy_slot *s = places_find(p, row);

	if (!s)
		s = make(p, row);
	if (s)
		__atomic_fetch_add(&p->refs[s - p->slots], 1, __ATOMIC_RELAXED);
	return s;
}

void places_put(struct places *p, struct proxy_slot *slot)
{
	__atomic_fetch_sub(&p->refs[slot - p->slots], 1, __ATOMIC_RELEASE);
}

/* --- reclaiming --- */

static bool is_over(const struct places *p, size_t i)
{
	const struct proxy_slot *s = &p->slots[i];

	return s->used == TG_SLOT_USED && !is_past(&s->row) &&
	       !__atomic_load_n(&p->refs[i], __ATOMIC_ACQUIRE) && s->opened == s->closed;
}

/* Everything that is a count; what is a gauge says nothing of who is gone. */
static void add_counts(const struct counted_field *f, void *past, const void *gone)
{
	for (; f->name; f++) {
		__u64 *to = (void *)((char *)past + f->at);
		const __u64 *from = (const void *)((const char *)gone + f->at);

		for (size_t i = 0; i < f->n; i++)
			book_add(&to[i], from[i]);
	}
}

static bool is_zero(const void *p, size_t n)
{
	const char *c = p;

	return !n || (!c[0] && memcmp(c, c + 1, n - 1) == 0);
}

/* Whose connections ended has opened some. */
static bool is_untouched(const struct places *p, const struct proxy_slot *s)
{
	const struct http_book *b = &p->http[s->http];

	return is_zero(&s->opened, sizeof(*s) - offsetof(struct proxy_slot, opened)) &&
	       (!s->http ||
		is_zero(b->requests, sizeof(*b) - offsetof(struct http_book, requests)));
}

/*
 * Whose the requests of a row are when it goes: of a route's the listener's, which has
 * the connections that they came over, and with which they are compared.
 */
static struct proxy_slot *heir_of(struct places *p, const struct proxy_slot *s,
				  struct proxy_slot *past)
{
	struct row_key row = { .listener = s->row.listener,
			       .leg = s->row.leg,
			       .proto = s->row.proto };
	struct proxy_slot *l = s->row.route ? places_find(p, &row) : NULL;

	return l && l->http ? l : past;
}

/* Into the past of its leg.  False if even that has no place. */
static bool fold_slot(struct places *p, struct proxy_slot *s)
{
	struct row_key row = { .leg = s->row.leg, .proto = s->row.proto };

	s->backend_up = s->backend_drained = s->addresses = s->configured = 0;
	if (!is_untouched(p, s)) {
		struct proxy_slot *past = places_find(p, &row), *heir;

		if (!past)
			past = make(p, &row);
		heir = past ? heir_of(p, s, past) : NULL;
		/* all of it, or nothing: it is tried again */
		if (!past || (s->http && !places_http(p, heir))) {
			book_add(&p->state->slot_errors, 1);
			return false;
		}
		add_counts(counts_slot, past, s);
		if (s->ends)
			add_counts(counts_ends, &p->ends[past->ends], &p->ends[s->ends]);
		if (s->http)
			add_counts(counts_http, &p->http[heir->http], &p->http[s->http]);
	}
	__atomic_store_n(&s->used, TG_SLOT_CLAIMED, __ATOMIC_RELEASE);
	memset(&s->opened, 0, sizeof(*s) - offsetof(struct proxy_slot, opened));
	memset(&s->row, 0, sizeof(s->row));
	free_ends(p, s->ends);
	free_http(p, s->http);
	s->ends = s->http = 0;
	__atomic_store_n(&s->used, TG_SLOT_FREE, __ATOMIC_RELEASE);
	return true;
}

struct kept {
	uint8_t *ids; /* a byte an id that a slot or a row of the kernel has */
};

static bool is_kept(uint16_t id, void *arg)
{
	return ((struct kept *)arg)->ids[id];
}

static uint16_t id_of(const struct row_key *row, enum tg_name_kind kind)
{
	return kind == TG_NAME_LISTENER ? row->listener
	       : kind == TG_NAME_ROUTE	? row->route
					: row->backend;
}

static void add_hist(struct tcp_hist *to, const struct tcp_hist *from)
{
	book_add(&to->sum, from->sum);
	for (int i = 0; i < TG_HIST_BUCKETS; i++)
		book_add(&to->buckets[i], from->buckets[i]);
}

/* Its id will be another's: nothing of it may be left there. */
static void listener_gone(struct places *p, uint16_t id)
{
	struct hello_book *past = &p->hellos[0], *h = &p->hellos[id];
	void *zero = calloc(p->cpus, sizeof(struct wire_boundary));
	__u32 index = id;

	add_hist(&past->bytes, &h->bytes);
	add_hist(&past->records, &h->records);
	add_hist(&past->segments, &h->segments);
	book_add(&past->ech_outer, h->ech_outer);
	book_add(&past->unnamed, h->unnamed);
	for (int i = 0; i < TG_TLS_MAX; i++)
		book_add(&past->handshakes[i], h->handshakes[i]);
	book_add(&past->handshakes_resumed, h->handshakes_resumed);
	for (int i = 0; i < TG_CIPHER_MAX; i++)
		book_add(&past->ciphers[i], h->ciphers[i]);
	for (int i = 0; i < TG_GROUP_MAX; i++)
		book_add(&past->groups[i], h->groups[i]);
	for (int i = 0; i < TG_DIR_MAX * TG_ALERT_MAX; i++)
		book_add(&past->alerts[i / TG_ALERT_MAX][i % TG_ALERT_MAX],
			 h->alerts[i / TG_ALERT_MAX][i % TG_ALERT_MAX]);
	add_hist(&past->handshake_us, &h->handshake_us);
	memset(h, 0, sizeof(*h));
	if (zero)
		(void)bpf_map_update_elem(p->boundary_fd, &index, zero, BPF_ANY);
	free(zero);
}

static void forget_names(struct places *p, const struct row_key *rows, size_t n)
{
	struct kept kept = { .ids = malloc(65536) };

	/* those of cgroups are not the proxy's */
	for (int kind = 0; kept.ids && kind < TG_NAME_CGROUP; kind++) {
		memset(kept.ids, 0, 65536);
		for (size_t i = 1; i < p->slots_max && p->slots[i].used; i++) {
			if (p->slots[i].used == TG_SLOT_USED)
				kept.ids[id_of(&p->slots[i].row,
					       (enum tg_name_kind)kind)] = 1;
		}
		for (size_t i = 0; i < n; i++) {
			if (rows[i].leg != TG_LEG_HOST) /* its backend is a cgroup */
				kept.ids[id_of(&rows[i], (enum tg_name_kind)kind)] = 1;
		}
		for (uint16_t id = 1; kind == TG_NAME_LISTENER && id < TG_LISTENERS_MAX;
		     id++) {
			if (!kept.ids[id] && p->names.used[kind][id])
				listener_gone(p, id);
		}
		(void)names_forget(&p->names, (enum tg_name_kind)kind, is_kept, &kept);
	}
	free(kept.ids);
}

static int by_key(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct row_key));
}

/*
 * Rows that are over, in ret: first `*counted` that counted something, here or in the
 * kernel's books, then those that did not.  How many in all.
 */
static size_t collect(const struct places *p, const struct fold *f, struct row_key *ret,
		      size_t *counted)
{
	size_t n = 0, c = 0;

	for (size_t i = 1; i < p->slots_max && p->slots[i].used; i++) {
		const struct row_key *row = &p->slots[i].row;

		if (!is_over(p, i))
			continue;
		ret[n++] = *row;
		if (is_untouched(p, &p->slots[i]) &&
		    !(f->left_n &&
		      bsearch(row, f->left, f->left_n, sizeof(*row), by_key)))
			continue;
		ret[n - 1] = ret[c];
		ret[c++] = *row;
	}
	*counted = c;
	return n;
}

static size_t fold_slots(struct places *p, const struct row_key *rows, size_t n)
{
	size_t done = 0;

	for (size_t i = 0; i < n; i++) {
		struct proxy_slot *s = places_find(p, &rows[i]);

		done += s && fold_slot(p, s);
	}
	return done;
}

/* Those of the kernel first: a row that lives on there keeps its slot. */
static size_t reclaim(struct places *p, struct fold *f, size_t keep)
{
	struct row_key *rows = malloc(p->slots_max * sizeof(*rows));
	size_t n = 0, counted = 0, done;

	if (!rows || fold_read(f) < 0) {
		free(rows);
		return 0;
	}
	if (f->left_n)
		qsort(f->left, f->left_n, sizeof(*f->left), by_key);
	n = collect(p, f, rows, &counted);
	done = fold_slots(p, rows + counted, n - counted);
	if (counted > keep && fold_rows(f, rows, &counted) == 0)
		done += fold_slots(p, rows, counted);
	if (done) {
		index_all(p);
		if (fold_read(f) == 0)
			forget_names(p, f->left, f->left_n);
	}
	free(rows);
	return done;
}

size_t places_reclaim(struct places *p, size_t keep)
{
	struct fold f = { .tcp_fd = p->tcp_fd,
			  .wire_fd = p->wire_fd,
			  .folding_fd = p->folding_fd,
			  .cursors_fd = p->cursors_fd,
			  .cpus = p->cpus };
	size_t n;

	/* odd: who reads now would see a sum fall, and waits */
	__atomic_fetch_add(&p->state->folds, 1, __ATOMIC_ACQ_REL);
	n = reclaim(p, &f, keep);
	__atomic_fetch_add(&p->state->folds, 1, __ATOMIC_ACQ_REL);
	free(f.left);
	return n;
}
