/* SPDX-License-Identifier: Apache-2.0 */
/* Messages that come. */
#include <errno.h>
#include <string.h>

#include "codec/h1.h"
#include "http/h1_own.h"
#include "http/h2.h"
#include "http/worker.h"

#define ROUNDS_MAX 8 /* reads before others get their turn */
#define SMALL	   2048
#define READ_BYTES \
	(POOL_BUFFER_BYTES - 64) /* a chunk of it with its framing is one buffer */

/* A copy of what is in `in`, where more can be read behind it. */
static int make_room(struct h1 *h, size_t max)
{
	struct pool_buffer *b = h->in, *more;
	size_t has = b->end - b->start, cap = b->cap;

	if (b->start && b != h->head) {
		memmove(b->data, b->data + b->start, has);
		b->start = 0;
		b->end = has;
	}
	if (b->end < b->cap)
		return 0;
	if (has >= max)
		return -EMSGSIZE;
	while (cap <= has)
		cap *= 2;
	more = pool_buffer_sized(h1_pool(h), cap);
	if (!more)
		return -ENOMEM;
	memcpy(more->data, b->data + b->start, has);
	more->end = has;
	if (b != h->head)
		pool_buffer_put(h1_pool(h), b);
	h->in = more;
	return 0;
}

int h1_feed(struct h1 *h, const uint8_t *p, size_t n)
{
	if (!n)
		return 0;
	h->in = pool_buffer_of(h1_pool(h), p, n);
	return h->in ? 0 : -ENOMEM;
}

/*
 * What was read into the spare buffer is kept: a small head in memory of its size, for it
 * stays as long as the request.
 */
static struct pool_buffer *keep(struct pool *pool, const uint8_t *p, size_t n)
{
	struct pool_buffer *b;

	if (n > SMALL && p == pool_scratch(pool) && pool_has_buffer(pool))
		return pool_buffer_take(pool, n);
	b = pool_buffer_sized(pool, n);
	if (!b)
		return NULL;
	memcpy(b->data, p, n);
	b->end = n;
	return b;
}

/* What cannot be kept was read all the same, and is in no message. */
static int keep_as_in(struct h1 *h, const uint8_t *p, size_t n)
{
	h->in = keep(h1_pool(h), p, n);
	if (h->in)
		return 0;
	h->unread += n;
	return -ENOMEM;
}

/* A body that comes faster than a buffer at a time. */
static ssize_t read_bulk(struct h1 *h)
{
	struct pool_buffer *b = h->conn->worker->http->bulk;
	ssize_t n = conn_read(h->conn, b->data, b->cap);

	conn_note_read(h->conn, n, b->cap);
	h->bulk = n >= READ_BYTES;
	if (n <= 0)
		return n;
	b->start = 0;
	b->end = (size_t)n;
	h->in = b;
	return n;
}

/* The worker's one buffer is given back: what was not taken has memory of its own. */
static int leave_bulk(struct h1 *h)
{
	struct pool_buffer *b = h->conn->worker->http->bulk;

	if (h->in != b)
		return 0;
	return keep_as_in(h, b->data + b->start, b->end - b->start);
}

/* More into `in`: > 0, 0 at the end, or a negative errno. */
static ssize_t read_more(struct h1 *h)
{
	struct pool *pool = h1_pool(h);
	uint8_t *p;
	ssize_t n;
	int err;

	if (!h->in && h->bulk && !h->conn->layer && h->in_state == H1_IN_BODY)
		return read_bulk(h);
	if (!h->in) {
		p = pool_scratch(pool);
		n = conn_read(h->conn, p, READ_BYTES);
		conn_note_read(h->conn, n, READ_BYTES);
		h->bulk = n == READ_BYTES;
		if (n <= 0)
			return n;
		err = keep_as_in(h, p, (size_t)n);
		return err ? err : n;
	}
	err = make_room(h, h->head_max);
	if (err)
		return err;
	n = conn_read(h->conn, h->in->data + h->in->end, h->in->cap - h->in->end);
	conn_note_read(h->conn, n, h->in->cap - h->in->end);
	if (n > 0)
		h->in->end += (size_t)n;
	return n;
}

static uint8_t *unread(const struct h1 *h, size_t *n)
{
	*n = h->in ? h->in->end - h->in->start : 0;
	return h->in ? h->in->data + h->in->start : NULL;
}

static void take(struct h1 *h, size_t n)
{
	h->in->start += n;
	h->scanned = 0;
	if (h->in->start == h->in->end)
		h1_put_in(h);
}

/* --- messages that come --- */

static void fault(struct h1 *h, enum http_fault f)
{
	h->close = true;
	h->in_state = H1_IN_WASTE;
	h->end.user->invalid(&h->end, f);
}

static void message_done(struct h1 *h, const struct http_head *trailers)
{
	h->in_state = H1_IN_DONE;
	if (h->end.exchange)
		h->end.user->last(&h->end, trailers);
}

/* Of a response: what was asked, and who ends the connection. */
static bool begin_response(struct h1 *h, struct http_head *head)
{
	h1_body_of(head, h->asked);
	if (h1_raises(h, head)) {
		h->raised = true;
		h->out_state = H1_OUT_RAW;
		head->body = HTTP_BODY_CLOSE;
		h->close = true;
		return false;
	}
	if (head->status < 200)
		return true; /* another head comes */
	if (head->body == HTTP_BODY_CLOSE)
		h->close = true;
	h->close |= head->close;
	return false;
}

static void begin_body(struct h1 *h, const struct http_head *head, bool interim)
{
	h1_body_begin(&h->body, head);
	if (interim)
		h->in_state = H1_IN_WAIT;
	else if (h->raised && h->is_back)
		h->in_state = H1_IN_RAW;
	else if (head->body == HTTP_BODY_NONE)
		h->in_state = H1_IN_DONE;
	else
		h->in_state = H1_IN_BODY;
}

/* The whole head is in n bytes. */
static void read_head(struct h1 *h, uint8_t *p, size_t n)
{
	struct http_head head;
	enum http_fault f = h1_read(h->is_back ? H1_RESPONSE : H1_REQUEST, p, n,
				    h->fields_max, &head);
	bool interim = false;

	h->end.bytes[TG_RX].head += n;
	h1_drop_head(h);
	h->head = h->in; /* its texts stay */
	if (f) {
		take(h, n);
		fault(h, f);
		return;
	}
	if (h->is_back) {
		interim = begin_response(h, &head);
	} else {
		h->one_zero = head.minor == 0;
		h->close |= head.close;
		h->asked_close = head.close && head.body == HTTP_BODY_NONE;
		h->raised = false;
		h->out_state = H1_OUT_WAIT;
		h->asked = head.method;
	}
	begin_body(h, &head, interim);
	take(h, n);
	h->end.user->head(&h->end, &head, h->in_state == H1_IN_DONE);
}

/* Answers wait for the client: it has no other request until it takes them. */
static bool is_clogged(struct h1 *h)
{
	if (h->is_back || (!h->conn->out && sender_staged(&h->out) < POOL_BUFFER_BYTES))
		return false;
	h->clogged = sender_flush(&h->out) == -EAGAIN;
	return h->clogged;
}

/* Of another protocol, whose first bytes no request of this one has. */
static bool is_preface(struct h1 *h, const uint8_t *p, size_t n)
{
	size_t k = n < H2_PREFACE_N ? n : H2_PREFACE_N;

	if (!h->fresh || memcmp(p, H2_PREFACE, k) != 0) {
		h->fresh = false;
		return false;
	}
	if (k < H2_PREFACE_N)
		return true; /* more must come */
	h->preface = h->over = true;
	return true;
}

/* True if there is more to do with what there is. */
static bool step_head(struct h1 *h)
{
	size_t n, len, blank;
	uint8_t *p = unread(h, &n);

	if (h->in_state == H1_IN_WAIT && n && !h->is_back) {
		blank = h1_blank(p, n);
		if (blank) {
			h->fresh = false; /* the preface is first (RFC 9113 3.4) */
			h->end.bytes[TG_RX].framing += blank;
			take(h, blank);
			return h->in != NULL;
		}
		if (n == 1 && p[0] == '\r')
			return false;
	}
	if (!n || is_preface(h, p, n))
		return false;
	if (h->is_back && !h->end.exchange) { /* it answers what nobody asked */
		h1_over(h, TG_END_BACKEND_RESET, true);
		return false;
	}
	if (is_clogged(h))
		return false;
	h->in_state = H1_IN_HEAD;
	len = h1_end(p, n, &h->scanned);
	if (len > h->head_max || (!len && n >= h->head_max)) {
		h->end.bytes[TG_RX].head += n;
		take(h, n);
		fault(h, HTTP_FAULT_HEAD_TOO_LARGE);
		return false;
	}
	if (!len)
		return false;
	read_head(h, p, len);
	return true;
}

/* As take(), but its texts stay: what is then the caller's to give back, or NULL. */
static struct pool_buffer *keep_while_taking(struct h1 *h, size_t n)
{
	struct pool_buffer *b = h->in;

	b->start += n;
	h->scanned = 0;
	if (b->start < b->end)
		return NULL;
	h->in = NULL;
	return b == h->head ? NULL : b;
}

static bool step_trailers(struct h1 *h)
{
	struct pool_buffer *done;
	struct http_head trailers;
	enum http_fault f;
	size_t n, len;
	uint8_t *p = unread(h, &n);

	len = n ? h1_end(p, n, &h->scanned) : 0;
	if (!len && n >= h->head_max) {
		fault(h, HTTP_FAULT_HEAD_TOO_LARGE);
		return false;
	}
	if (!len)
		return false;
	h->end.bytes[TG_RX].framing += len;
	f = h1_read_trailers(p, len, h->fields_max, &trailers);
	if (f) {
		take(h, len);
		fault(h, f);
		return false;
	}
	done = keep_while_taking(h, len);
	message_done(h, trailers.n ? &trailers : NULL);
	if (done && done != h->head)
		pool_buffer_put(h1_pool(h), done);
	return false;
}

static bool step_body(struct h1 *h)
{
	size_t n, used, data, took;
	uint8_t *p = unread(h, &n);
	enum http_fault f = HTTP_FINE;
	enum h1_step s = h1_body_next(&h->body, p, n, &used, &data, &f);

	h->end.bytes[TG_RX].framing += used;
	if (s == H1_BAD) {
		take(h, used);
		fault(h, f);
		return false;
	}
	if (s == H1_TRAILERS)
		h->in_state = H1_IN_TRAILERS;
	if (s == H1_OVER)
		message_done(h, NULL);
	if (s != H1_DATA) {
		if (used)
			take(h, used);
		return s == H1_TRAILERS && h->in;
	}
	took = h->end.exchange ? h->end.user->body(&h->end, p + used, data) : data;
	h->end.bytes[TG_RX].body += took;
	h1_body_took(&h->body, took);
	h->held = took < data;
	if (used + took)
		take(h, used + took);
	if (!h->held && h->body.kind == HTTP_BODY_LENGTH && !h->body.left)
		message_done(h, NULL);
	return !h->over && !h->held && h->in && h->in_state == H1_IN_BODY;
}

/* Bytes of another protocol. */
static bool step_raw(struct h1 *h)
{
	size_t n, took;
	uint8_t *p = unread(h, &n);

	if (!n)
		return false;
	took = h->end.exchange ? h->end.user->body(&h->end, p, n) : 0;
	h->end.bytes[TG_RX].body += took;
	h->held = took < n;
	if (took)
		take(h, took);
	return false;
}

static bool step_waste(struct h1 *h)
{
	size_t n;

	(void)unread(h, &n);
	if (n) {
		h->wasted += n;
		h->unread += n;
		take(h, n);
	}
	return false;
}

static bool step(struct h1 *h)
{
	switch (h->in_state) {
	case H1_IN_WAIT:
	case H1_IN_HEAD:
		return step_head(h);
	case H1_IN_BODY:
		return step_body(h);
	case H1_IN_TRAILERS:
		return step_trailers(h);
	case H1_IN_RAW:
		return step_raw(h);
	case H1_IN_WASTE:
		return step_waste(h);
	default:
		return false;
	}
}

/* The peer sends no more. */
static void at_end(struct h1 *h, bool clean)
{
	enum tg_end cut = clean ? TG_END_TRUNCATED : TG_END_TLS_TRUNCATED;

	h->conn->ended = true;
	h->conn->readable = false;
	switch (h->in_state) {
	case H1_IN_BODY:
		if (clean && h->body.kind == HTTP_BODY_CLOSE)
			message_done(h, NULL);
		else
			h1_gone(h, cut, true);
		return;
	case H1_IN_RAW:
		if (!clean)
			h1_gone(h, cut, true);
		else
			message_done(h, NULL);
		return;
	case H1_IN_DONE:
		h->close = true; /* its request is answered all the same */
		return;
	case H1_IN_WASTE:
		h1_try_close(h);
		return;
	case H1_IN_WAIT:
		if (!h->is_back && !h->in) {
			h->closing = true;
			h1_try_close(h);
			return;
		}
		h1_gone(h, cut, true);
		return;
	default:
		h1_gone(h, h->is_back ? cut : TG_END_HTTP_CLOSED, true);
	}
}

static bool may_read(const struct h1 *h)
{
	return !h->over && !h->held && !h->clogged && h->conn->readable &&
	       h->in_state != H1_IN_DONE &&
	       !(h->in_state == H1_IN_WASTE && h->wasted >= HTTP_WASTE_MAX);
}

static void read_failed(struct h1 *h, ssize_t n)
{
	if (n == 0 || n == -ENODATA)
		at_end(h, n == 0);
	else if (n == -EMSGSIZE)
		fault(h, HTTP_FAULT_HEAD_TOO_LARGE);
	else if (n == -ENOMEM)
		h1_gone(h, TG_END_RESOURCES, true);
	else
		h1_gone(h, h1_gone_reason(h, (int)-n), true);
}

void h1_again(struct h1 *h)
{
	if (!h->over)
		ev_task_add(h->conn->worker->loop, &h->task);
}

void h1_work(struct h1 *h)
{
	int rounds = 0;

	if (h->working)
		return;
	h->working = true;
	while (!h->over) {
		ssize_t n;

		/* what is behind a body stays for longer than that one buffer may be had
		 */
		if (h->in_state != H1_IN_BODY && leave_bulk(h) < 0) {
			h1_gone(h, TG_END_RESOURCES, true);
			break;
		}

		if (h->in && !h->held && !h->clogged && step(h))
			continue;
		if (!may_read(h))
			break;
		if (rounds++ == ROUNDS_MAX) {
			h1_again(h);
			break;
		}
		n = read_more(h);
		if (n == -EAGAIN)
			break;
		if (n <= 0) {
			read_failed(h, n);
			break;
		}
	}
	if (leave_bulk(h) < 0)
		h1_gone(h, TG_END_RESOURCES, true);
	h->working = false;
	if (h->over)
		h->owner->over(h, h->why, h->reset);
	else
		h1_try_close(h);
}

void h1_on_task(struct ev_task *task)
{
	struct h1 *h = container_of(task, struct h1, task);

	if (!h->over)
		h1_work(h);
}
