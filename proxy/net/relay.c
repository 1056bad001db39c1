/* SPDX-License-Identifier: Apache-2.0 */
/* Relay of one direction; counts in and out apart so that nothing can vanish between. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/relay.h"

#define ROUNDS_MAX 8 /* pipe fillings before others get their turn */

/* --- the pool --- */

int relay_pool_init(struct relay_pool *pool, unsigned pipes_max, unsigned buffers_max,
		    __u64 *pipes_gauge, __u64 *buffers_gauge)
{
	*pool = (struct relay_pool){ .pipes_max = pipes_max,
				     .buffers_max = buffers_max,
				     .pipes_gauge = pipes_gauge,
				     .buffers_gauge = buffers_gauge };
	/* the spare one, for as long as the pool lives */
	pool->buffers = calloc(1, sizeof(*pool->buffers));
	return pool->buffers ? 0 : -ENOMEM;
}

static void pipe_destroy(struct relay_pool *pool, struct relay_pipe *p)
{
	close(p->fds[0]);
	close(p->fds[1]);
	free(p);
	pool->pipes_held--;
	__atomic_fetch_sub(pool->pipes_gauge, 1, __ATOMIC_RELAXED);
}

static struct relay_pipe *pipe_get(struct relay_pool *pool)
{
	struct relay_pipe *p = pool->pipes;

	if (p) {
		pool->pipes = p->next;
		return p;
	}
	if (pool->pipes_held >= pool->pipes_max)
		return NULL;
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	if (pipe2(p->fds, O_NONBLOCK | O_CLOEXEC) < 0) {
		free(p);
		return NULL;
	}
	/* refused past the user's soft limit (pipe(7)): the default size serves too */
	(void)fcntl(p->fds[1], F_SETPIPE_SZ, RELAY_PIPE_BYTES);
	pool->pipes_held++;
	__atomic_fetch_add(pool->pipes_gauge, 1, __ATOMIC_RELAXED);
	return p;
}

static void pipe_put(struct relay_pool *pool, struct relay_pipe *p)
{
	if (p->fill > 0) { /* nobody else may get these bytes */
		pipe_destroy(pool, p);
		return;
	}
	p->next = pool->pipes;
	pool->pipes = p;
}

/* The spare one goes to a direction only if another can take its place. */
static bool buffer_take(struct relay_pool *pool)
{
	struct relay_buffer *b;

	if (pool->buffers->next)
		return true;
	if (pool->buffers_held >= pool->buffers_max)
		return false;
	b = malloc(sizeof(*b));
	if (!b)
		return false;
	b->next = NULL;
	pool->buffers->next = b;
	pool->buffers_held++;
	__atomic_fetch_add(pool->buffers_gauge, 1, __ATOMIC_RELAXED);
	return true;
}

static void buffer_put(struct relay_pool *pool, struct relay_buffer *b)
{
	b->next = pool->buffers;
	pool->buffers = b;
}

void relay_pool_trim(struct relay_pool *pool)
{
	while (pool->pipes) {
		struct relay_pipe *p = pool->pipes;

		pool->pipes = p->next;
		pipe_destroy(pool, p);
	}
	while (pool->buffers->next) {
		struct relay_buffer *b = pool->buffers->next;

		pool->buffers->next = b->next;
		free(b);
		pool->buffers_held--;
		__atomic_fetch_sub(pool->buffers_gauge, 1, __ATOMIC_RELAXED);
	}
}

void relay_pool_done(struct relay_pool *pool)
{
	if (!pool->buffers)
		return;
	relay_pool_trim(pool);
	free(pool->buffers);
	pool->buffers = NULL;
	outbox_free(pool->outbox);
	pool->outbox = NULL;
}

uint8_t *relay_scratch(struct relay_pool *pool)
{
	return pool->buffers->data;
}

struct relay_pipe *relay_pipe_adopt(struct relay_pool *pool, const int fds[2],
				    size_t fill)
{
	struct relay_pipe *p = calloc(1, sizeof(*p));

	if (!p) {
		close(fds[0]);
		close(fds[1]);
		return NULL;
	}
	*p = (struct relay_pipe){ .fds = { fds[0], fds[1] }, .fill = fill };
	pool->pipes_held++;
	__atomic_fetch_add(pool->pipes_gauge, 1, __ATOMIC_RELAXED);
	return p;
}

struct relay_buffer *relay_buffer_adopt(struct relay_pool *pool, const uint8_t *data,
					size_t n)
{
	struct relay_buffer *b;

	if (n > RELAY_BUFFER_BYTES || !(b = malloc(sizeof(*b))))
		return NULL;
	memcpy(b->data, data, n);
	b->start = 0;
	b->end = n;
	pool->buffers_held++;
	__atomic_fetch_add(pool->buffers_gauge, 1, __ATOMIC_RELAXED);
	return b;
}

/* --- one direction --- */

size_t relay_held(const struct relay_store *store)
{
	return store->queued_bytes + (store->pipe ? store->pipe->fill : 0) +
	       (store->buffer ? store->buffer->end - store->buffer->start : 0);
}

void relay_store_clear(struct relay_pool *pool, struct relay_store *store)
{
	if (store->pipe)
		pipe_put(pool, store->pipe);
	if (store->buffer)
		buffer_put(pool, store->buffer);
	store->pipe = NULL;
	store->buffer = NULL;
	store->queued_bytes = 0;
}

static enum relay_result failed(enum relay_result again, enum relay_result error,
				struct relay_moved *ret)
{
	ret->err = -errno;
	return errno == EAGAIN ? again : error;
}

/* Without a place to keep anything: what is sent is exactly what is then taken. */
static enum relay_result move_by_peek(struct relay_pool *pool, int src, int dst,
				      struct relay_moved *ret)
{
	uint8_t *data = pool->buffers->data;
	ssize_t have, sent, took;

	have = recv(src, data, RELAY_BUFFER_BYTES, MSG_PEEK | MSG_DONTWAIT);
	if (have == 0)
		return RELAY_EOF;
	if (have < 0)
		return failed(RELAY_AGAIN_IN, RELAY_ERR_IN, ret);
	sent = send(dst, data, (size_t)have, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (sent < 0)
		return failed(RELAY_AGAIN_OUT, RELAY_ERR_OUT, ret);
	ret->out += (size_t)sent;
	/* TCP discards with MSG_TRUNC (tcp(7)); these bytes are in the queue */
	took = recv(src, data, (size_t)sent, MSG_TRUNC | MSG_DONTWAIT);
	if (took != sent) {
		ret->in += took > 0 ? (size_t)took : 0;
		ret->err = took < 0 ? -errno : -EIO;
		return RELAY_ERR_IN;
	}
	ret->in += (size_t)took;
	return RELAY_BUDGET;
}

/* RELAY_BUDGET when it is empty and back in the pool. */
static enum relay_result drain_buffer(struct relay_pool *pool, struct relay_store *store,
				      int dst, struct relay_moved *ret)
{
	struct relay_buffer *b = store->buffer;

	while (b->start < b->end) {
		ssize_t n = send(dst, b->data + b->start, b->end - b->start,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0)
			return failed(RELAY_AGAIN_OUT, RELAY_ERR_OUT, ret);
		b->start += (size_t)n;
		ret->out += (size_t)n;
	}
	store->buffer = NULL;
	buffer_put(pool, b);
	return RELAY_BUDGET;
}

/* Bytes that were read elsewhere are the store's from now on.  0 or -ENOMEM. */
static int keep(struct relay_pool *pool, struct relay_store *store, const uint8_t *data,
		size_t n)
{
	struct relay_buffer *b = pool->buffers;

	if (!buffer_take(pool)) { /* beyond the cap, rather than to lose them */
		store->buffer = relay_buffer_adopt(pool, data, n);
		return store->buffer ? 0 : -ENOMEM;
	}
	pool->buffers = b->next;
	memcpy(b->data, data, n);
	b->start = 0;
	b->end = n;
	store->buffer = b;
	return 0;
}

/* What became of an item: the store is as if it had sent by itself. */
static enum relay_result settle(struct relay_pool *pool, struct relay_store *store,
				const struct outbox_item *i, struct relay_moved *ret)
{
	size_t sent = i->result > 0 ? (size_t)i->result : 0;

	store->queued = 0;
	store->queued_bytes = (uint16_t)(i->len - sent);
	ret->out += sent;
	if (sent == i->len)
		return RELAY_AGAIN_IN;
	ret->err = keep(pool, store, i->data + sent, i->len - sent);
	if (ret->err) /* they stay counted as held */
		return RELAY_ERR_OUT;
	store->queued_bytes = 0;
	if (i->result >= 0)
		return RELAY_BUDGET;
	ret->err = (int)i->result;
	return ret->err == -EAGAIN ? RELAY_AGAIN_OUT : RELAY_ERR_OUT;
}

enum relay_result relay_send_now(struct relay_pool *pool, struct relay_store *store,
				 struct relay_moved *ret)
{
	struct outbox_item i = outbox_send_now(pool->outbox, store->queued);

	return settle(pool, store, &i, ret);
}

void relay_flush(struct relay_pool *pool, const struct relay_flush_fns *fns)
{
	struct {
		struct relay_store *store;
		enum relay_result r;
		int err;
	} done[OUTBOX_ITEMS];
	const struct outbox_item *items;
	unsigned n, done_n = 0;

	if (!pool->queued)
		return;
	pool->queued = 0;
	items = outbox_flush(pool->outbox, &n);
	for (unsigned i = 0; i < n; i++) {
		struct relay_moved m = { 0 };
		enum relay_result r;

		if (!items[i].owner)
			continue;
		r = settle(pool, items[i].owner, &items[i], &m);
		fns->moved(items[i].owner, m.out);
		done[done_n].store = items[i].owner;
		done[done_n].r = r;
		done[done_n++].err = m.err;
	}
	for (unsigned i = 0; i < done_n; i++)
		fns->result(done[i].store, done[i].r, done[i].err);
}

/* May what is read now wait for the end of the turn? */
static uint8_t *room_for_queue(struct relay_pool *pool, unsigned hints)
{
	/* each item may turn out to want a buffer */
	if (hints & (RELAY_ENDED | RELAY_URGENT) ||
	    pool->buffers_held + pool->queued >= pool->buffers_max)
		return NULL;
	return outbox_room(pool->outbox, RELAY_BUFFER_BYTES);
}

/*
 * epoll(7): a read that does not fill its buffer has emptied the socket, and the next
 * byte is a new event.
 */
static enum relay_result move_by_buffer(struct relay_pool *pool,
					struct relay_store *store, int src, int dst,
					unsigned hints, struct relay_moved *ret)
{
	struct relay_buffer *b = pool->buffers;
	uint8_t *room;
	enum relay_result r;
	ssize_t n;

	if (!buffer_take(pool))
		return move_by_peek(pool, src, dst, ret);
	room = room_for_queue(pool, hints);
	n = recv(src, room ? room : b->data, RELAY_BUFFER_BYTES, MSG_DONTWAIT);
	if (n == 0)
		return RELAY_EOF;
	if (n < 0)
		return failed(RELAY_AGAIN_IN, RELAY_ERR_IN, ret);
	ret->in += (size_t)n;
	store->bulk = n == RELAY_BUFFER_BYTES;
	if (room && !store->bulk) {
		store->queued = (uint16_t)outbox_add(pool->outbox, store, dst, (size_t)n);
		store->queued_bytes = (uint16_t)n;
		pool->queued++;
		return RELAY_QUEUED;
	}
	if (room) /* the last time: a pipe is next */
		memcpy(b->data, room, (size_t)n);
	pool->buffers = b->next;
	b->start = 0;
	b->end = (size_t)n;
	store->buffer = b;
	r = drain_buffer(pool, store, dst, ret);
	if (r == RELAY_BUDGET && !store->bulk && !(hints & (RELAY_ENDED | RELAY_URGENT)))
		return RELAY_AGAIN_IN;
	return r;
}

/* RELAY_BUDGET when the pipe is empty. */
static enum relay_result drain_pipe(struct relay_pipe *p, int dst,
				    struct relay_moved *ret)
{
	while (p->fill > 0) {
		ssize_t n = splice(p->fds[0], NULL, dst, NULL, p->fill,
				   SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

		if (n < 0)
			return failed(RELAY_AGAIN_OUT, RELAY_ERR_OUT, ret);
		if (n == 0) {
			ret->err = -EPIPE;
			return RELAY_ERR_OUT;
		}
		p->fill -= (size_t)n;
		ret->out += (size_t)n;
	}
	return RELAY_BUDGET;
}

/* The pipe is empty here, so EAGAIN can only mean that the socket is. */
static enum relay_result move_by_pipe(struct relay_store *store, int src, int dst,
				      struct relay_moved *ret)
{
	struct relay_pipe *p = store->pipe;
	ssize_t n = splice(src, NULL, p->fds[1], NULL, RELAY_PIPE_BYTES,
			   SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

	if (n == 0)
		return RELAY_EOF;
	if (n < 0)
		return failed(RELAY_AGAIN_IN, RELAY_ERR_IN, ret);
	p->fill = (size_t)n;
	ret->in += (size_t)n;
	store->bulk = n >= RELAY_BUFFER_BYTES;
	return drain_pipe(p, dst, ret);
}

static enum relay_result move_once(struct relay_pool *pool, struct relay_store *store,
				   int src, int dst, unsigned hints,
				   struct relay_moved *ret)
{
	enum relay_result r = RELAY_BUDGET;

	if (store->buffer)
		r = drain_buffer(pool, store, dst, ret);
	else if (store->pipe && store->pipe->fill > 0)
		r = drain_pipe(store->pipe, dst, ret);
	if (r != RELAY_BUDGET)
		return r;
	if (store->bulk && !(hints & RELAY_URGENT) && !store->pipe)
		store->pipe = pipe_get(pool);
	if (store->bulk && !(hints & RELAY_URGENT) && store->pipe)
		return move_by_pipe(store, src, dst, ret);
	return move_by_buffer(pool, store, src, dst, hints, ret);
}

enum relay_result relay_move(struct relay_pool *pool, struct relay_store *store, int src,
			     int dst, unsigned hints, struct relay_moved *ret)
{
	enum relay_result r = RELAY_BUDGET;

	for (int i = 0; i < ROUNDS_MAX && r == RELAY_BUDGET; i++)
		r = move_once(pool, store, src, dst, hints, ret);
	if (store->pipe && store->pipe->fill == 0) {
		pipe_put(pool, store->pipe);
		store->pipe = NULL;
	}
	return r;
}
