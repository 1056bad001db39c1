/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"
#include "net/conn.h"
#include "net/outbox.h"
#include "net/pool.h"
#include "net/worker.h"

#define EVENTS (EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP | EPOLLET)

void conn_init(struct conn *c, struct worker *w, int fd, bool is_up, ev_io_fn fn)
{
	*c = (struct conn){ .io = { .fd = -1, .fn = fn },
			    .worker = w,
			    .name = { .leg = TG_LEG_DOWNSTREAM },
			    .fd = fd,
			    .is_up = is_up,
			    .is_tcp = true };
}

int conn_watch(struct conn *c)
{
	return ev_io_add(c->worker->loop, &c->io, c->fd, EVENTS);
}

struct conn *conn_event(struct ev_io *io, uint32_t events)
{
	struct conn *c = container_of(io, struct conn, io);

	if (events & (EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLERR | EPOLLHUP))
		c->readable = c->stirred = true;
	if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
		c->writable = true;
	c->urgent |= (events & EPOLLPRI) != 0;
	c->ended |= (events & (EPOLLRDHUP | EPOLLHUP)) != 0;
	c->failed |= (events & EPOLLERR) != 0;
	return c;
}

/* --- the books --- */

void conn_take_row(struct conn *c, struct proxy_slot *slot)
{
	if (c->slot)
		return;
	c->slot = slot;
	book_add(&slot->opened, 1);
	if (c->rx)
		book_add(&slot->rx_payload_bytes, c->rx);
	if (c->tx) /* an alert */
		book_add(&slot->tx_payload_bytes, c->tx);
	if (c->rx_header)
		book_add(&slot->rx_header_bytes, c->rx_header);
}

void conn_add_rx(struct conn *c, size_t n)
{
	c->rx += n;
	if (c->slot && n)
		book_add(&c->slot->rx_payload_bytes, n);
}

void conn_add_tx(struct conn *c, size_t n)
{
	c->tx += n;
	if (c->slot && n)
		book_add(&c->slot->tx_payload_bytes, n);
}

void conn_move_to_header(struct conn *c, size_t n)
{
	c->rx -= n;
	c->rx_header += (uint32_t)n;
}

/* The sums count when the label is the claim. */
static void label_write(struct conn *c, uint8_t flags)
{
	const struct sock_label label = { .listener = c->name.listener,
					  .route = c->name.route,
					  .backend = c->name.backend,
					  .leg = c->name.leg,
					  .flags = flags,
					  .rx_payload_bytes = c->rx + c->rx_header,
					  .tx_payload_bytes = c->tx + c->tx_header };

	if (c->is_tcp) /* a failure is counted there */
		(void)writer_label(c->worker->proxy->writer, c->fd, &c->label_place,
				   &label);
}

void conn_set_name(struct conn *c, const struct conn_name *name)
{
	c->name = *name;
}

void conn_label(struct conn *c, const struct conn_name *name)
{
	c->name = *name;
	label_write(c, TG_LABEL_FINAL);
}

/* --- bytes --- */

ssize_t conn_raw_read(struct conn *c, void *buf, size_t cap)
{
	ssize_t n = recv(c->fd, buf, cap, MSG_DONTWAIT);

	if (n < 0)
		return -errno;
	conn_add_rx(c, (size_t)n);
	return n;
}

int conn_hold(struct conn *c, const uint8_t *data, size_t n)
{
	struct pool *pool = &c->worker->pool;
	struct pool_buffer *had = c->out, *b;
	size_t left = had ? had->end - had->start : 0;
	uint8_t *all;

	if (!had) {
		c->out = pool_buffer_of(pool, data, n);
		return c->out ? 0 : -ENOMEM;
	}
	all = malloc(left + n);
	if (!all)
		return -ENOMEM;
	memcpy(all, had->data + had->start, left);
	memcpy(all + left, data, n);
	b = pool_buffer_of(pool, all, left + n);
	free(all);
	if (!b)
		return -ENOMEM;
	pool_buffer_put(pool, had);
	c->out = b;
	return 0;
}

ssize_t conn_raw_write(struct conn *c, const void *buf, size_t n)
{
	ssize_t sent;

	if (c->out || c->queued)
		return -EAGAIN;
	sent = send(c->fd, buf, n, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (sent < 0 && errno != EAGAIN)
		return -errno;
	if (sent < 0)
		sent = 0;
	conn_add_tx(c, (size_t)sent);
	if ((size_t)sent == n)
		return sent;
	c->writable = false;
	if (conn_hold(c, (const uint8_t *)buf + sent, n - (size_t)sent) < 0)
		return -ENOMEM;
	return (ssize_t)n;
}

ssize_t conn_read(struct conn *c, void *buf, size_t cap)
{
	return c->layer ? c->layer->ops->read(c, buf, cap) : conn_raw_read(c, buf, cap);
}

uint64_t conn_carried(const struct conn *c, enum tg_dir dir)
{
	if (c->layer)
		return c->layer->ops->carried(c, dir);
	return dir == TG_RX ? c->rx : c->tx;
}

int conn_error(const struct conn *c)
{
	socklen_t len = sizeof(int);
	int err = c->err;

	if (!err && getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
		err = errno;
	return err;
}

void conn_note_read(struct conn *c, ssize_t n, size_t cap)
{
	if (n == -EAGAIN)
		c->readable = false;
	else if (n > 0 && c->layer)
		c->readable = c->layer->ops->has_more(c);
	else if (n > 0 && (size_t)n < cap && !c->ended && !c->urgent)
		c->readable = false;
}

ssize_t conn_write(struct conn *c, const void *buf, size_t n)
{
	return c->layer ? c->layer->ops->write(c, buf, n) : conn_raw_write(c, buf, n);
}

int conn_write_header(struct conn *c, const void *buf, size_t n, bool more)
{
	/* a fresh socket takes some kilobytes; anything less is a failure */
	ssize_t sent = send(c->fd, buf, n, MSG_NOSIGNAL | MSG_MORE * more);

	if (sent < 0)
		return -errno;
	c->tx_header += (uint32_t)sent;
	book_add(&c->slot->tx_header_bytes, (size_t)sent);
	return sent == (ssize_t)n ? 0 : -EIO;
}

static void shut_out(struct conn *c)
{
	/* ENOTCONN: it is gone, its own event says so */
	(void)shutdown(c->fd, SHUT_WR);
	c->finishing = false;
	c->shut_out = true;
}

int conn_flush(struct conn *c)
{
	struct pool_buffer *b = c->out;

	while (b && b->start < b->end) {
		ssize_t n = send(c->fd, b->data + b->start, b->end - b->start,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0)
			return -errno;
		b->start += (size_t)n;
		conn_add_tx(c, (size_t)n);
	}
	if (b)
		pool_buffer_put(&c->worker->pool, b);
	c->out = NULL;
	if (c->finishing)
		shut_out(c);
	return 0;
}

size_t conn_held(const struct conn *c)
{
	return c->queued_bytes + (c->out ? c->out->end - c->out->start : 0);
}

void conn_finish(struct conn *c)
{
	if (c->layer)
		(void)c->layer->ops->finish(c); /* its own event says what came of it */
	c->finishing = true;
	if (!c->out)
		shut_out(c);
}

/* --- the outbox --- */

uint8_t *conn_room(struct conn *c)
{
	struct pool *pool = &c->worker->pool;

	/* each item may turn out to want a buffer */
	if (pool->buffers_held + pool->queued >= pool->buffers_max)
		return NULL;
	return outbox_room(pool->outbox, POOL_BUFFER_BYTES);
}

void conn_put(struct conn *c, size_t n)
{
	struct pool *pool = &c->worker->pool;

	assert(!c->queued); /* one item each: the second would be sent before the first */
	c->queued = (uint16_t)outbox_add(pool->outbox, c, c->fd, n);
	c->queued_bytes = (uint16_t)n;
	pool->queued++;
}

/*
 * What became of an item: the conn is as if it had sent by itself.  The event that its
 * owner is told.
 */
static uint32_t settle(struct conn *c, const struct outbox_item *i)
{
	size_t sent = i->result > 0 ? (size_t)i->result : 0;

	c->queued = 0;
	c->queued_bytes = (uint16_t)(i->len - sent);
	conn_add_tx(c, sent);
	if (sent == i->len)
		return 0;
	if (conn_hold(c, i->data + sent, i->len - sent) < 0) {
		c->err = ENOMEM; /* they stay counted as held */
		return EPOLLERR;
	}
	c->queued_bytes = 0;
	if (i->result >= 0)
		return EPOLLOUT;
	if (i->result == -EAGAIN) {
		c->writable = false;
		return 0;
	}
	c->err = (int)-i->result; /* the socket tells it once */
	return EPOLLERR;
}

int conn_send_now(struct conn *c)
{
	struct outbox_item i;

	if (!c->queued)
		return 0;
	i = outbox_send_now(c->worker->pool.outbox, c->queued);
	(void)settle(c, &i);
	return 1;
}

static void tell(struct conn *c, uint32_t events)
{
	c->awaited = false;
	c->io.fn(&c->io, events);
}

/* All is counted before the first owner is told. */
static void settle_all(struct worker *w)
{
	struct {
		struct conn *c;
		uint32_t events;
	} told[OUTBOX_ITEMS];
	const struct outbox_item *items;
	unsigned n, told_n = 0;

	w->pool.queued = 0;
	items = outbox_flush(w->pool.outbox, &n);
	for (unsigned i = 0; i < n; i++) {
		if (!items[i].owner)
			continue;
		told[told_n].c = items[i].owner;
		told[told_n].events = settle(items[i].owner, &items[i]);
		told_n += told[told_n].events || told[told_n].c->awaited;
	}
	for (unsigned i = 0; i < told_n; i++)
		tell(told[i].c, told[i].events);
}

static void nothing(struct ev_task *task)
{
	(void)task;
}

/*
 * What they put there when they are told is of the next turn, which comes at once: two
 * that always have something for each other do not keep the others waiting.
 */
void conn_settle(void *arg)
{
	struct worker *w = arg;

	if (w->pool.queued)
		settle_all(w);
	if (w->pool.queued) {
		w->soon.fn = nothing;
		ev_task_add(w->loop, &w->soon);
	}
	w->handshakes = 0;
}

/* --- its end --- */

enum tg_end conn_gone_reason(const struct conn *c)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	if (c->layer && (c->err == ENODATA || c->err == EPROTO))
		return c->err == ENODATA ? TG_END_TLS_TRUNCATED : TG_END_TLS_ERROR;
	if (c->err != ETIMEDOUT)
		return c->is_up ? TG_END_BACKEND_RESET : TG_END_CLIENT_RESET;
	if (getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 &&
	    info.tcpi_bytes_acked < c->tx + c->tx_header)
		return TG_END_STUCK;
	return TG_END_SILENT;
}

static void drop_held(struct conn *c)
{
	if (c->out)
		pool_buffer_put(&c->worker->pool, c->out);
	if (c->pipe)
		pool_pipe_put(&c->worker->pool, c->pipe);
	c->out = NULL;
	c->pipe = NULL;
	c->queued_bytes = 0;
}

static void uncount(struct conn *c)
{
	if (c->is_up)
		__atomic_fetch_sub(&c->worker->proxy->upstreams, 1, __ATOMIC_RELAXED);
}

void conn_close(struct conn *c, bool reset)
{
	const struct linger now = { .l_onoff = 1 };

	if (c->queued) /* what is in the outbox is no other's */
		(void)conn_send_now(c);
	if (c->layer)
		c->layer->ops->free(c);
	c->layer = NULL;
	drop_held(c);
	if (c->fd < 0)
		return;
	label_write(c, TG_LABEL_FINAL | TG_LABEL_CLAIMED);
	if (c->adopted)
		ev_io_del(c->worker->loop, &c->io);
	else
		ev_io_forget(c->worker->loop, &c->io);
	if (reset) /* socket(7): a linger time of 0 sends RST */
		(void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(c->fd);
	c->fd = -1;
	uncount(c);
	if (c->slot)
		book_add(&c->slot->closed, 1);
}

/*
 * A watch belongs to the socket, which the other process holds too, so it does not end
 * with our descriptor.
 */
void conn_leave(struct conn *c)
{
	ev_io_del(c->worker->loop, &c->io);
	close(c->fd);
	c->fd = -1;
	uncount(c);
	drop_held(c);
}

void conn_clear(struct conn *c)
{
	conn_init(c, c->worker, -1, c->is_up, c->io.fn);
}
