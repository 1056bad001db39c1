/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "base/sockets.h"
#include "book/labels.h"
#include "book/pin.h"
#include "book/writer.h"

int labels_open(const char *pins, struct proxy_state *state, struct labels *ret)
{
	int err;

	*ret = (struct labels){ .fd = -1, .state = state };
	err = pin_open(pins, "tcp_label", &ret->fd);
	if (!err)
		err = pin_map(pins, "labels", sizeof(*ret->buckets),
			      (void **)&ret->buckets, &ret->n);
	/* the kernel programs look where bpf/label.h says */
	return !err && ret->n != TG_LABEL_BUCKETS ? -EPROTO : err;
}

void labels_close(struct labels *l)
{
	if (l->buckets)
		munmap(l->buckets, l->n * sizeof(*l->buckets));
	if (l->fd >= 0)
		close(l->fd);
	l->buckets = NULL;
	l->fd = -1;
}

static struct label_place *place_at(const struct labels *l, size_t i)
{
	return &l->buckets[i / TG_LABEL_PLACES].places[i % TG_LABEL_PLACES];
}

/* Ids, leg and flags go by one store, last: who sees the claim sees its sums. */
static void write_label(struct label_place *p, const struct sock_label *label)
{
	uint64_t name;

	memcpy(&name, label, sizeof(name));
	__atomic_store_n(&p->label.rx_payload_bytes, label->rx_payload_bytes,
			 __ATOMIC_RELAXED);
	__atomic_store_n(&p->label.tx_payload_bytes, label->tx_payload_bytes,
			 __ATOMIC_RELAXED);
	__atomic_store_n(&p->name, name, __ATOMIC_RELEASE);
}

/* The place among those a cookie may have that has this one, or NULL. */
static struct label_place *find(const struct labels *l, uint64_t cookie, uint64_t has)
{
	for (unsigned i = 0; i < 2 * TG_LABEL_PLACES; i++) {
		size_t bucket = TG_LABEL_BUCKET(cookie, i / TG_LABEL_PLACES, l->n);
		struct label_place *p = &l->buckets[bucket].places[i % TG_LABEL_PLACES];

		if (__atomic_load_n(&p->cookie, __ATOMIC_ACQUIRE) == has)
			return p;
	}
	return NULL;
}

static uint32_t number_of(const struct labels *l, const struct label_place *p)
{
	return (uint32_t)(p - l->buckets[0].places) + 1;
}

/* A new place, with its label.  False if there is none. */
static bool take(struct labels *l, uint64_t cookie, const struct sock_label *label,
		 uint32_t *place)
{
	struct label_place *p;
	__u64 none;

	do {
		p = find(l, cookie, 0);
		none = 0;
	} while (p &&
		 !__atomic_compare_exchange_n(&p->cookie, &none, TG_LABEL_TAKING, false,
					      __ATOMIC_ACQUIRE, __ATOMIC_RELAXED));
	if (!p)
		return false;
	write_label(p, label);
	__atomic_store_n(&p->cookie, cookie, __ATOMIC_RELEASE);
	book_add(&l->state->labels_taken, 1);
	*place = number_of(l, p);
	return true;
}

int labels_call(struct labels *l, int fd, const struct sock_label *label)
{
	if (bpf_map_update_elem(l->fd, &fd, label, BPF_ANY) == 0)
		return 0;
	book_add(&l->state->label_errors, 1);
	return -errno;
}

int labels_set(struct labels *l, int fd, uint32_t *place, const struct sock_label *label)
{
	struct label_place *p;
	uint64_t cookie;

	if (*place) {
		write_label(place_at(l, *place - 1), label);
		return 0;
	}
	cookie = socket_cookie(fd);
	p = cookie ? find(l, cookie, cookie) : NULL;
	if (p) { /* of the process that we got it from */
		*place = number_of(l, p);
		write_label(p, label);
		return 0;
	}
	if (cookie && take(l, cookie, label, place))
		return 0;
	book_add(&l->state->labels_called, 1);
	return labels_call(l, fd, label);
}

/* One that is free, or somebody's in a moment, has no socket. */
static bool is_taken(uint64_t cookie)
{
	return cookie && cookie != TG_LABEL_TAKING;
}

static void set_flag(struct label_place *p, uint8_t flag)
{
	struct sock_label label = { .flags = flag };
	uint64_t bits = 0;

	memcpy(&bits, &label, sizeof(bits));
	__atomic_fetch_or(&p->name, bits, __ATOMIC_RELAXED);
}

void labels_leave(struct labels *l)
{
	for (size_t i = 0; i < l->n * TG_LABEL_PLACES; i++) {
		struct label_place *p = place_at(l, i);

		if (p->cookie == TG_LABEL_TAKING)
			p->cookie = 0;
		else if (p->cookie)
			set_flag(p, TG_LABEL_LEFT);
	}
}

void labels_sweep(struct labels *l)
{
	for (size_t i = 0; i < l->n * TG_LABEL_PLACES; i++) {
		struct label_place *p = place_at(l, i);
		__u64 cookie = __atomic_load_n(&p->cookie, __ATOMIC_ACQUIRE);
		uint8_t flags = p->label.flags;

		if (!is_taken(cookie) || !(flags & (TG_LABEL_CLAIMED | TG_LABEL_LEFT)))
			continue;
		if (!(flags & TG_LABEL_SEEN))
			set_flag(p, TG_LABEL_SEEN);
		else if (__atomic_compare_exchange_n(&p->cookie, &cookie, 0, false,
						     __ATOMIC_RELAXED, __ATOMIC_RELAXED))
			book_add(&l->state->labels_swept, 1);
	}
}
