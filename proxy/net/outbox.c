/* SPDX-License-Identifier: Apache-2.0 */
/* The only file that includes liburing. */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <liburing.h>

#include "net/outbox.h"

#define ALIGN	   64 /* bytes of two connections share no cache line */
#define SEND_FLAGS (MSG_NOSIGNAL | MSG_DONTWAIT)

struct outbox {
	struct io_uring ring;
	struct outbox_item items[OUTBOX_ITEMS];
	unsigned n;
	size_t used;
	bool broken; /* io_uring failed us */
	uint8_t bytes[OUTBOX_BYTES] __attribute__((aligned(ALIGN)));
};

struct outbox *outbox_new(void)
{
	struct outbox *o = aligned_alloc(ALIGN, sizeof(*o));

	if (!o)
		return NULL;
	o->n = 0;
	o->used = 0;
	o->broken = false;
	/* MSG_DONTWAIT: each is done when it is submitted, so no mode of task work
	 * matters */
	if (io_uring_queue_init(OUTBOX_ITEMS, &o->ring, 0) < 0) {
		free(o);
		return NULL;
	}
	return o;
}

void outbox_free(struct outbox *o)
{
	if (!o)
		return;
	if (!o->broken)
		io_uring_queue_exit(&o->ring);
	free(o);
}

uint8_t *outbox_room(struct outbox *o, size_t max)
{
	if (!o || o->broken || o->n == OUTBOX_ITEMS || o->used + max > OUTBOX_BYTES)
		return NULL;
	return o->bytes + o->used;
}

unsigned outbox_add(struct outbox *o, void *owner, int fd, size_t n)
{
	o->items[o->n++] = (struct outbox_item){
		.owner = owner, .fd = fd, .data = o->bytes + o->used, .len = n
	};
	o->used += (n + ALIGN - 1) / ALIGN * ALIGN;
	return o->n;
}

static void send_one(struct outbox_item *i)
{
	i->result = send(i->fd, i->data, i->len, SEND_FLAGS);
	if (i->result < 0)
		i->result = -errno;
}

struct outbox_item outbox_send_now(struct outbox *o, unsigned number)
{
	struct outbox_item *i = &o->items[number - 1], ret;

	send_one(i);
	ret = *i;
	i->owner = NULL;
	return ret;
}

/* The results that are there: how many. */
static unsigned collect(struct outbox *o)
{
	struct io_uring_cqe *cqe;
	unsigned head, n = 0;

	io_uring_for_each_cqe(&o->ring, head, cqe)
	{
		o->items[cqe->user_data].result = cqe->res;
		n++;
	}
	io_uring_cq_advance(&o->ring, n);
	return n;
}

/* The kernel takes no more from us: what it has not taken, the last ones, goes as ever.
 */
static void give_up(struct outbox *o, unsigned n)
{
	unsigned rest = io_uring_sq_ready(&o->ring);

	while (rest > 0 && n > 0) {
		struct outbox_item *i = &o->items[--n];

		if (!i->owner)
			continue;
		send_one(i);
		rest--;
	}
	io_uring_queue_exit(&o->ring);
	o->broken = true;
}

static void send_all(struct outbox *o, unsigned n)
{
	unsigned left = 0;
	int r = 0;

	for (unsigned i = 0; i < n; i++) {
		struct outbox_item *item = &o->items[i];
		struct io_uring_sqe *sqe;

		if (!item->owner)
			continue;
		sqe = io_uring_get_sqe(&o->ring); /* there are as many as items */
		io_uring_prep_send(sqe, item->fd, item->data, item->len, SEND_FLAGS);
		sqe->user_data = i;
		left++;
	}
	while (left > 0 && (r >= 0 || r == -EINTR)) {
		r = io_uring_submit_and_wait(&o->ring, left);
		left -= collect(o);
	}
	if (left > 0)
		give_up(o, n);
}

const struct outbox_item *outbox_flush(struct outbox *o, unsigned *ret_n)
{
	unsigned n = o->n;

	if (n == 1 && o->items[0].owner)
		send_one(&o->items[0]);
	else if (n > 1)
		send_all(o, n);
	o->n = 0;
	o->used = 0;
	*ret_n = n;
	return o->items;
}
