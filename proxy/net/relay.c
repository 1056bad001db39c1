/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include "net/pool.h"
#include "net/relay.h"
#include "net/worker.h"

#define ROUNDS_MAX 8 /* pipe fillings before others get their turn */

size_t relay_held(const struct conn *from, const struct conn *to)
{
	size_t unread = from->layer ? from->layer->ops->unread(from) : 0;

	return unread + (from->pipe ? from->pipe->fill : 0) + conn_held(to) + to->lost;
}

static enum relay_result failed_in(struct conn *from, int err)
{
	if (err == EAGAIN)
		return RELAY_AGAIN_IN;
	from->err = err;
	return RELAY_ERR_IN;
}

static enum relay_result failed_out(struct conn *to, int err)
{
	if (err == EAGAIN)
		return RELAY_AGAIN_OUT;
	to->err = err;
	return RELAY_ERR_OUT;
}

/* RELAY_BUDGET when its `out` is empty. */
static enum relay_result flush(struct conn *to)
{
	int err = to->out ? conn_flush(to) : 0;

	return err ? failed_out(to, -err) : RELAY_BUDGET;
}

/* Without a place to keep anything: what is sent is exactly what is then taken. */
static enum relay_result move_by_peek(struct conn *from, struct conn *to)
{
	uint8_t *data = pool_scratch(&from->worker->pool);
	ssize_t have, sent, took;

	have = recv(from->fd, data, POOL_BUFFER_BYTES, MSG_PEEK | MSG_DONTWAIT);
	if (have == 0)
		return RELAY_EOF;
	if (have < 0)
		return failed_in(from, errno);
	sent = send(to->fd, data, (size_t)have, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (sent < 0)
		return failed_out(to, errno);
	conn_add_tx(to, (size_t)sent);
	/* TCP discards with MSG_TRUNC (tcp(7)); these bytes are in the queue */
	took = recv(from->fd, data, (size_t)sent, MSG_TRUNC | MSG_DONTWAIT);
	conn_add_rx(from, took > 0 ? (size_t)took : 0);
	if (took == sent)
		return RELAY_BUDGET;
	from->err = took < 0 ? errno : EIO;
	return RELAY_ERR_IN;
}

/*
 * epoll(7): a read that does not fill its buffer has emptied the socket, and the next
 * byte is a new event.
 */
static enum relay_result move_by_buffer(struct conn *from, struct conn *to)
{
	struct pool *pool = &from->worker->pool;
	bool more = from->ended || from->urgent; /* behind a short read */
	enum relay_result r;
	uint8_t *room;
	ssize_t n;

	if (!pool_has_buffer(pool))
		return move_by_peek(from, to);
	room = more || from->bulk ? NULL : conn_room(to);
	n = conn_raw_read(from, room ? room : pool_scratch(pool), POOL_BUFFER_BYTES);
	if (n == 0)
		return RELAY_EOF;
	if (n < 0)
		return failed_in(from, (int)-n);
	from->bulk = n == POOL_BUFFER_BYTES;
	if (room && !from->bulk) {
		conn_put(to, (size_t)n);
		return RELAY_QUEUED;
	}
	if (room) /* the last time: a pipe is next */
		memcpy(pool_scratch(pool), room, (size_t)n);
	to->out = pool_buffer_take(pool, (size_t)n);
	r = flush(to);
	return r == RELAY_BUDGET && !from->bulk && !more ? RELAY_AGAIN_IN : r;
}

/* RELAY_BUDGET when the pipe is empty. */
static enum relay_result drain_pipe(struct pool_pipe *p, struct conn *to)
{
	while (p->fill > 0) {
		ssize_t n = splice(p->fds[0], NULL, to->fd, NULL, p->fill,
				   SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

		if (n <= 0)
			return failed_out(to, n < 0 ? errno : EPIPE);
		p->fill -= (size_t)n;
		conn_add_tx(to, (size_t)n);
	}
	return RELAY_BUDGET;
}

/* The pipe is empty here, so EAGAIN can only mean that the socket is. */
static enum relay_result move_by_pipe(struct conn *from, struct conn *to)
{
	struct pool_pipe *p = from->pipe;
	ssize_t n = splice(from->fd, NULL, p->fds[1], NULL, POOL_PIPE_BYTES,
			   SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

	if (n == 0)
		return RELAY_EOF;
	if (n < 0)
		return failed_in(from, errno);
	p->fill = (size_t)n;
	conn_add_rx(from, (size_t)n);
	from->bulk = n >= POOL_BUFFER_BYTES;
	return drain_pipe(p, to);
}

/*
 * What one write takes is one buffer at most, so nothing is left in the spare one.  Small
 * sends are the outbox's here, too: a layer's by itself.
 */
static enum relay_result move_by_layers(struct conn *from, struct conn *to)
{
	uint8_t *room = to->layer ? NULL : conn_room(to), *data;
	bool more = from->ended || from->urgent; /* behind a short read */
	uint64_t before = to->tx;
	ssize_t n, taken;

	data = room ? room : pool_scratch(&from->worker->pool);
	n = conn_read(from, data, POOL_BUFFER_BYTES);
	if (n == 0)
		return RELAY_EOF;
	if (n < 0)
		return failed_in(from, (int)-n);
	if (from->layer)
		more = from->layer->ops->has_more(from);
	if (room && n < POOL_BUFFER_BYTES) {
		conn_put(to, (size_t)n);
		return more ? RELAY_BUDGET : RELAY_QUEUED;
	}
	taken = conn_write(to, data, (size_t)n);
	if (taken < 0) { /* never EAGAIN: nothing was held */
		to->lost =
			(uint16_t)(to->layer ? (size_t)n : (size_t)n - (to->tx - before));
		to->err = (int)-taken;
		return RELAY_ERR_OUT;
	}
	if (to->out)
		return RELAY_AGAIN_OUT;
	if (!more && (from->layer || n < POOL_BUFFER_BYTES))
		return to->queued ? RELAY_QUEUED : RELAY_AGAIN_IN;
	return RELAY_BUDGET;
}

static enum relay_result move_once(struct conn *from, struct conn *to)
{
	enum relay_result r = flush(to);

	if (r == RELAY_BUDGET && from->pipe && from->pipe->fill > 0)
		r = drain_pipe(from->pipe, to);
	if (r != RELAY_BUDGET)
		return r;
	if (from->layer || to->layer)
		return move_by_layers(from, to);
	if (from->bulk && !from->urgent && !from->pipe)
		from->pipe = pool_pipe_get(&from->worker->pool);
	if (from->bulk && !from->urgent && from->pipe)
		return move_by_pipe(from, to);
	return move_by_buffer(from, to);
}

enum relay_result relay_move(struct conn *from, struct conn *to)
{
	enum relay_result r = RELAY_BUDGET;

	for (int i = 0; i < ROUNDS_MAX && r == RELAY_BUDGET && !to->queued; i++)
		r = move_once(from, to);
	if (from->pipe && from->pipe->fill == 0) {
		pool_pipe_put(&from->worker->pool, from->pipe);
		from->pipe = NULL;
	}
	return r;
}
