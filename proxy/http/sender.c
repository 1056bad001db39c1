/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "http/sender.h"
#include "http/worker.h"
#include "net/conn.h"
#include "net/pool.h"

#define LARGE 4096 /* a copy of more costs more than a call */

void sender_init(struct sender *s, struct conn *c)
{
	*s = (struct sender){ .conn = c };
}

/* --- for the end of the turn --- */

static void unlist(struct sender *s)
{
	if (!s->prev)
		return;
	*s->prev = s->next;
	if (s->next)
		s->next->prev = s->prev;
	s->prev = NULL;
}

static void list(struct sender *s)
{
	struct http_worker *h = s->conn->worker->http;

	if (s->prev)
		return;
	s->next = h->staged;
	s->prev = &h->staged;
	if (s->next)
		s->next->prev = &s->next;
	h->staged = s;
	ev_task_add(s->conn->worker->loop, &h->flush);
}

static struct pool_buffer *make(struct sender *s, size_t n)
{
	struct pool *pool = &s->conn->worker->pool;

	if (n > POOL_BUFFER_BYTES || !pool_has_buffer(pool))
		return pool_buffer_sized(pool, n);
	return pool_buffer_next(pool);
}

/* Room for n more behind what there is. */
static bool grow(struct sender *s, size_t n)
{
	struct pool *pool = &s->conn->worker->pool;
	struct pool_buffer *b = s->staged, *more;
	size_t has = b ? b->end - b->start : 0;

	if (b && b->cap - b->end >= n)
		return true;
	more = make(s, b && b->cap > has + n ? b->cap : b ? 2 * (has + n) : n);
	if (!more)
		return false;
	more->start = 0;
	more->end = has;
	if (b) {
		memcpy(more->data, b->data + b->start, has);
		pool_buffer_put(pool, b);
	}
	s->staged = more;
	return true;
}

uint8_t *sender_room(struct sender *s, size_t n)
{
	if (!grow(s, n))
		return NULL;
	list(s);
	return s->staged->data + s->staged->end;
}

void sender_put(struct sender *s, size_t n)
{
	s->staged->end += n;
}

size_t sender_window(const struct sender *s)
{
	if (s->conn->out)
		return 0;
	return s->staged ? s->staged->cap - s->staged->end : POOL_BUFFER_BYTES;
}

/* A write that fails may have taken some all the same: the failure is told the next time.
 */
static ssize_t write_counted(struct sender *s, const uint8_t *p, size_t n)
{
	uint64_t before = conn_carried(s->conn, TG_TX);
	ssize_t r = conn_write(s->conn, p, n);

	if (r >= 0 || r == -EAGAIN || conn_carried(s->conn, TG_TX) == before)
		return r;
	s->err = (int)r;
	return (ssize_t)(conn_carried(s->conn, TG_TX) - before);
}

/* Nothing waits before it. */
static ssize_t write_large(struct sender *s, const uint8_t *p, size_t n)
{
	struct conn *c = s->conn;

	if (conn_send_now(c) && c->err)
		return -c->err;
	if (c->out)
		return -EAGAIN;
	if (c->layer && n > POOL_BUFFER_BYTES)
		n = POOL_BUFFER_BYTES;
	return write_counted(s, p, n);
}

ssize_t sender_body(struct sender *s, const uint8_t *p, size_t n)
{
	size_t window = sender_window(s);
	int err;

	if (s->err)
		return s->err;
	if (!window && !s->conn->out) { /* full, and not blocked */
		err = sender_flush(s);
		if (err)
			return err;
		window = sender_window(s);
	}
	if (!window)
		return -EAGAIN;
	if (n >= LARGE && (!s->staged || s->staged->end == s->staged->start))
		return write_large(s, p, n);
	if (n > window)
		n = window;
	if (!grow(s, n))
		return -ENOMEM;
	memcpy(s->staged->data + s->staged->end, p, n);
	s->staged->end += n;
	list(s);
	return (ssize_t)n;
}

/* --- sending --- */

/* A raw conn's goes with those of others, if that has room. */
static ssize_t give(struct sender *s, const uint8_t *p, size_t n)
{
	struct conn *c = s->conn;
	uint8_t *room;

	if (c->layer)
		return write_counted(s, p, n < POOL_BUFFER_BYTES ? n : POOL_BUFFER_BYTES);
	room = n <= POOL_BUFFER_BYTES ? conn_room(c) : NULL;
	if (!room)
		return write_counted(s, p, n);
	memcpy(room, p, n);
	conn_put(c, n);
	return (ssize_t)n;
}

int sender_flush(struct sender *s)
{
	struct conn *c = s->conn;
	struct pool_buffer *b = s->staged;
	int err = s->err;

	if (!err && c->out)
		err = conn_flush(c);
	while (!err && b && b->start < b->end) {
		ssize_t n;

		if (conn_send_now(c) && c->err)
			return -c->err;
		if (c->out)
			return -EAGAIN;
		n = give(s, b->data + b->start, b->end - b->start);
		if (n < 0)
			return (int)n;
		b->start += (size_t)n;
		err = s->err ? s->err : c->out ? -EAGAIN : 0;
	}
	if (b && b->start == b->end) {
		pool_buffer_put(&c->worker->pool, b);
		s->staged = NULL;
		unlist(s);
	}
	return err;
}

size_t sender_staged(const struct sender *s)
{
	return s->staged ? s->staged->end - s->staged->start : 0;
}

void sender_close(struct sender *s)
{
	unlist(s);
	if (s->staged)
		pool_buffer_put(&s->conn->worker->pool, s->staged);
	s->staged = NULL;
}
