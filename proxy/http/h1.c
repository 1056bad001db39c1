/* SPDX-License-Identifier: Apache-2.0 */
/* Life of a connection; what comes is h1_in.c's, what goes is h1_out.c's. */
#include <errno.h>
#include <sys/socket.h>

#include "http/account.h"
#include "http/h1_own.h"
#include "http/worker.h"

void h1_put_in(struct h1 *h)
{
	if (h->in && h->in != h->head && h->in != h->conn->worker->http->bulk)
		pool_buffer_put(h1_pool(h), h->in);
	h->in = NULL;
	h->scanned = 0;
}

void h1_drop_head(struct h1 *h)
{
	if (h->head && h->head != h->in)
		pool_buffer_put(h1_pool(h), h->head);
	h->head = NULL;
}

/* Of an exchange that is over, to the row it was of. */
void h1_tell_bytes(struct h1 *h)
{
	if (h->end.book)
		account_bytes(h->end.book, h->is_back, &h->end);
	h->end.book = NULL;
	for (int dir = 0; dir < TG_DIR_MAX; dir++) {
		const struct http_bytes *b = &h->end.bytes[dir];

		h->told[dir] += b->head + b->body + b->framing;
		h->end.bytes[dir] = (struct http_bytes){ 0 };
	}
}

void h1_close(struct h1 *h)
{
	struct http_bytes *b = &h->end.bytes[TG_RX];

	if (h->in)
		h->unread += h->in->end - h->in->start;
	if (!h->end.book) { /* of a message that nobody saw */
		h->unread += b->head + b->body + b->framing;
		*b = (struct http_bytes){ 0 };
	}
	h1_tell_bytes(h);
	h1_put_in(h);
	h1_drop_head(h);
	h->dropped += sender_staged(&h->out);
	sender_close(&h->out);
	ev_task_del(h->conn->worker->loop, &h->task);
	h->over = true;
}

/* The owner hears of it when nothing here is under way any more. */
static void end(struct h1 *h, enum tg_end why, bool reset)
{
	h->over = true;
	h->why = (uint8_t)why;
	h->reset = reset;
	if (!h->working)
		h->owner->over(h, why, reset);
}

void h1_over(struct h1 *h, enum tg_end why, bool reset)
{
	if (!h->over)
		end(h, why, reset);
}

/* The exchange hears of it, if there is one; then the owner. */
void h1_gone(struct h1 *h, enum tg_end why, bool reset)
{
	struct http_end *e = &h->end;
	bool unseen = h->is_back && (h->in_state == H1_IN_WAIT && !h->in);

	if (h->over)
		return;
	h->over = true;
	if (e->exchange)
		e->user->gone(e, why, unseen);
	end(h, why, reset);
}

enum tg_end h1_gone_reason(struct h1 *h, int err)
{
	h->conn->err = err;
	return conn_gone_reason(h->conn);
}

static enum tg_end failure(struct h1 *h)
{
	int err = conn_error(h->conn);

	return h1_gone_reason(h, err ? err : ECONNRESET);
}

/* What is to be sent goes now; the last of it may be close_notify. */
void h1_try_close(struct h1 *h)
{
	struct conn *c = h->conn;
	int err;

	if (!h->closing || h->over)
		return;
	err = sender_flush(&h->out);
	if (!err && conn_send_now(c) && c->err)
		err = -c->err;
	if (err && err != -EAGAIN) {
		h1_gone(h, h1_gone_reason(h, -err), true);
		return;
	}
	if (err || conn_held(c))
		return; /* an event will say when */
	if (!c->shut_out && !c->finishing)
		conn_finish(c);
	if (c->finishing)
		return;
	if (h->in_state == H1_IN_RAW)
		return; /* the other direction goes on */
	/* what comes still would make the answer be lost by a RST */
	if (!h->is_back && !h->asked_close && !c->ended && h->wasted < HTTP_WASTE_MAX) {
		if (h->in_state != H1_IN_WASTE)
			h->in_state = H1_IN_WASTE;
		if (!h->lingering)
			h->owner->lingers(h);
		h->lingering = true;
		return;
	}
	h1_over(h, TG_END_DONE, false);
}

/* --- life --- */

void h1_open(struct h1 *h, struct conn *c, bool is_back, const struct h1_owner *owner,
	     const struct http_user *user, uint32_t head_max, uint16_t fields_max)
{
	*h = (struct h1){ .end = { .ops = &h1_ops, .user = user },
			  .owner = owner,
			  .conn = c,
			  .task = { .fn = h1_on_task },
			  .head_max = head_max,
			  .fields_max = fields_max,
			  .is_back = is_back };
	sender_init(&h->out, c);
}

void h1_use(struct h1 *h, struct exchange *x, const struct http_user *user)
{
	h->end.exchange = x;
	h->end.user = user;
	h->raised = false;
	h->in_state = H1_IN_WAIT;
	h->out_state = H1_OUT_WAIT;
}

void h1_drain(struct h1 *h)
{
	h->close = true;
	if (h->end.exchange || h->over || h->in_state != H1_IN_WAIT || h->in)
		return;
	h->closing = true;
	h1_try_close(h);
}

static void flush(struct h1 *h)
{
	int err = h->conn->out ? sender_flush(&h->out) : 0;

	if (err && err != -EAGAIN && h->is_back && !h->deaf) {
		h->deaf = true;
		h->conn->readable = true;
		h1_again(h);
		return;
	}
	if (err && err != -EAGAIN) {
		h1_gone(h, h1_gone_reason(h, -err), true);
		return;
	}
	if (!err && h->clogged) {
		h->clogged = false;
		h1_again(h);
	}
	if (!err && h->blocked && h->end.exchange) {
		h->blocked = false;
		h->end.user->room(&h->end);
	}
}

void h1_event(struct h1 *h)
{
	struct conn *c = h->conn;

	if (h->over)
		return;
	if (c->failed && (h->held || h->in_state == H1_IN_DONE)) {
		h1_gone(h, failure(h), true); /* nobody would read it */
		return;
	}
	flush(h);
	if (!h->over)
		h1_work(h);
}

uint64_t h1_carried(const struct h1 *h, enum tg_dir dir)
{
	return (dir == TG_RX ? h->unread : 0) + h->told[dir];
}
