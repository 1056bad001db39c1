/* SPDX-License-Identifier: Apache-2.0 */
/* Life of a connection; what comes is h2_in.c's, what goes is h2_out.c's. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "http/account.h"
#include "http/h2_own.h"

#define ROUNDS_MAX 8
#define DEBT_MAX                                                               \
	10000 /* ms: so much at once ... and 1 s of it is forgiven each second \
	       */

/* --- streams --- */

struct h2_stream *h2_stream_new(struct h2 *h)
{
	struct h2_stream *s = malloc(sizeof(*s));

	if (!s)
		return NULL;
	memset(s, 0, offsetof(struct h2_stream, own_items));
	s->end.ops = &h2_ops;
	s->end.user = h->user;
	s->h2 = h;
	s->text = s->own_text;
	s->text_cap = H2_TEXT;
	s->items = s->own_items;
	s->items_cap = H2_ITEMS;
	s->next = h->streams;
	s->prev = &h->streams;
	if (s->next)
		s->next->prev = &s->next;
	h->streams = s;
	h->streams_n++;
	return s;
}

static void unlist(struct h2_stream *s)
{
	struct h2_stream **at;

	for (at = &s->h2->roomy; s->is_roomy && *at; at = &(*at)->next_roomy) {
		if (*at != s)
			continue;
		*at = s->next_roomy;
		break;
	}
	for (at = &s->h2->hungry; s->is_hungry && *at; at = &(*at)->next_hungry) {
		if (*at != s)
			continue;
		*at = s->next_hungry;
		break;
	}
}

static void stream_free(struct h2_stream *s)
{
	struct h2 *h = s->h2;

	if (h->data_of == s->id) {
		h->data_of = 0;
		h->data_left = 0;
	}
	h2_leave_frame(s, true);
	h2_tell_bytes(s);
	unlist(s);
	*s->prev = s->next;
	if (s->next)
		s->next->prev = s->prev;
	h->streams_n--;
	if (s->out)
		pool_buffer_put(&h->conn->worker->pool, s->out);
	if (s->text != s->own_text)
		free(s->text);
	if (s->items != s->own_items)
		free(s->items);
	free(s->kept_text);
	free(s->trailers);
	if (s->upgrade)
		free(s->upgrade->waits);
	free(s->upgrade);
	free(s->in);
	free(s);
	if (!h->over)
		h->owner->ended(h);
}

void h2_stream_maybe_free(struct h2_stream *s)
{
	if (s->closed && !s->end.exchange && !s->busy)
		stream_free(s);
}

/* --- the end of it --- */

static void end(struct h2 *h, enum tg_end why, bool reset)
{
	h->over = true;
	h->why = (uint8_t)why;
	h->reset = reset;
	if (!h->working)
		h->owner->over(h, why, reset);
}

void h2_over(struct h2 *h, enum tg_end why, bool reset)
{
	if (!h->over)
		end(h, why, reset);
}

static enum tg_end failure(struct h2 *h, int err)
{
	h->conn->err = err ? err : conn_error(h->conn);
	h->conn->err = h->conn->err ? h->conn->err : ECONNRESET;
	return conn_gone_reason(h->conn);
}

void h2_close(struct h2 *h, enum tg_end why)
{
	struct h2_stream *s;
	uint64_t counted;

	h->over = true;
	for (s = h->streams; s; s = s->next) {
		struct http_end *e = &s->end;

		if (!e->exchange)
			continue;
		e->user->gone(e, why, h->is_back && !s->head_in);
		e->exchange = NULL;
	}
	h->own[TG_RX] += h->block;
	h2_settle_last(h);
	while (h->streams)
		stream_free(h->streams);
	counted = h->told[TG_RX] + h->own[TG_RX];
	/*
	 * nghttp2 says nothing of frames that it ignores (of unknown types, DATA of
	 * streams that are closed), nor of what comes behind an error.  Where it spoke
	 * of each, what is missing is no such bytes: the books are to differ.
	 */
	if (h->silent)
		h->unread = h->fed > counted ? h->fed - counted : 0;
	else
		h->unread = h->rx_header_n;
	h->dropped += sender_staged(&h->out);
	sender_close(&h->out);
	ev_task_del(h->conn->worker->loop, &h->task);
	nghttp2_session_del(h->session);
	h->session = NULL;
}

/* Nothing more comes, and nothing more goes. */
static void try_close(struct h2 *h)
{
	struct conn *c = h->conn;

	if (h->over)
		return;
	if (h->eof && !h->streams_n) {
		h2_over(h, h->why ? h->why : TG_END_DONE, h->why != TG_END_DONE);
		return;
	}
	if (h->is_back && (h->eof || h->streams_n)) /* what came is passed on first */
		return;
	if (nghttp2_session_want_read(h->session) ||
	    nghttp2_session_want_write(h->session))
		return;
	if (sender_flush(&h->out) || (conn_send_now(c) && c->err) || conn_held(c))
		return;
	if (!c->shut_out && !c->finishing)
		conn_finish(c);
	if (!c->finishing)
		h2_over(h, h->why ? h->why : TG_END_DONE, false);
}

bool h2_may(struct h2 *h, int64_t cost_ms)
{
	int64_t now = ev_now_ms(h->conn->worker->loop);

	if (h->is_back) /* others' exchanges go over it, too: not for what one asked for
			 */
		return true;
	if (h->debt_ms < now)
		h->debt_ms = now;
	h->debt_ms += cost_ms;
	return h->debt_ms - now <= DEBT_MAX;
}

/* --- work --- */

void h2_again(struct h2 *h)
{
	if (!h->over)
		ev_task_add(h->conn->worker->loop, &h->task);
}

static void feed_hungry(struct h2 *h)
{
	while (h->hungry && !h->over) {
		struct h2_stream *s = h->hungry;

		h->hungry = s->next_hungry;
		s->is_hungry = false;
		h2_offer(s);
	}
}

static void give_room(struct h2 *h)
{
	while (h->roomy && !h->over) {
		struct h2_stream *s = h->roomy;

		h->roomy = s->next_roomy;
		s->is_roomy = false;
		if (s->end.exchange && s->blocked) {
			s->blocked = false;
			s->end.user->room(&s->end);
		}
	}
}

static uint32_t code_of(const struct h2 *h)
{
	if (h->why == TG_END_HTTP_FLOOD)
		return NGHTTP2_ENHANCE_YOUR_CALM;
	return h->oversized ? NGHTTP2_FRAME_SIZE_ERROR : NGHTTP2_PROTOCOL_ERROR;
}

static void give_up(struct h2 *h, enum tg_end why)
{
	if (!h->why)
		h->why = (uint8_t)why;
	(void)nghttp2_session_terminate_session(h->session, code_of(h));
	h->closing = true;
}

static void feed(struct h2 *h, const uint8_t *p, size_t n)
{
	size_t tail = h2_scan(h, p, n);
	ssize_t r;

	if (h->broken) /* nghttp2 is not to be asked any more */
		return;
	if (h->oversized) {
		h->broken = true;
		give_up(h, TG_END_HTTP_INVALID);
		return;
	}
	h->ahead = true;
	r = nghttp2_session_mem_recv(h->session, p, n - tail);
	h->ahead = false;
	if (r >= 0 && (size_t)r == n - tail) {
		r = tail ? nghttp2_session_mem_recv(h->session, p + n - tail, tail) : 0;
		if (r >= 0 && (size_t)r == tail)
			return;
	}
	h->broken = true;
	if (r == NGHTTP2_ERR_BAD_CLIENT_MAGIC)
		h2_over(h, TG_END_HTTP_INVALID, true);
	else
		give_up(h, r == NGHTTP2_ERR_FLOODED ||
					   r == NGHTTP2_ERR_TOO_MANY_CONTINUATIONS
				   ? TG_END_HTTP_FLOOD
				   : TG_END_HTTP_INVALID);
}

/* A client's message that will not be whole: the stream ends by us. */
static void cut_short(struct h2 *h, struct h2_stream *s)
{
	if (!h->why)
		h->why = TG_END_TRUNCATED;
	h->own_resets++;
	(void)nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, s->id,
					NGHTTP2_CANCEL);
}

/* It was answered, and is read no further: nothing was cut off. */
static void leave(struct h2 *h, const struct h2_stream *s)
{
	h->own_resets++;
	(void)nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, s->id,
					NGHTTP2_NO_ERROR);
}

/*
 * Nothing more comes.  What came wholly is passed on all the same: a client's requests
 * are answered, a backend's answers are taken to their end.
 */
static void at_end(struct h2 *h, enum tg_end why)
{
	struct h2_stream *next;

	h->eof = h->conn->ended = true;
	h->conn->readable = false;
	if (!h->why && why != TG_END_DONE && !h->is_back)
		h->why = (uint8_t)why;
	for (struct h2_stream *s = h->streams; s; s = next) {
		struct http_end *e = &s->end;

		next = s->next;
		s->closed |= h->is_back; /* nothing goes to it any more, see work() */
		if (s->in_done)
			continue;
		if (e->exchange) {
			e->user->gone(e, why == TG_END_DONE ? TG_END_TRUNCATED : why,
				      h->is_back && !s->head_in);
			e->exchange = NULL;
		}
		h2_drop_in(s);
		if (!h->is_back && s->lingers)
			leave(h, s);
		else if (!h->is_back)
			cut_short(h, s);
		h2_stream_maybe_free(s);
	}
	if (!h->is_back && h->streams_n && !h->closing) {
		h->closing = true;
		(void)nghttp2_submit_goaway(
			h->session, NGHTTP2_FLAG_NONE,
			nghttp2_session_get_last_proc_stream_id(h->session),
			NGHTTP2_NO_ERROR, NULL, 0);
	} else if (!h->streams_n) {
		h2_over(h, h->why ? h->why : why, why != TG_END_DONE);
	}
}

static void read_all(struct h2 *h)
{
	struct pool *pool = &h->conn->worker->pool;

	for (int i = 0; i < ROUNDS_MAX && !h->over && h->conn->readable && !h->eof; i++) {
		uint8_t *p = pool_scratch(pool);
		ssize_t n = conn_read(h->conn, p, POOL_BUFFER_BYTES);

		conn_note_read(h->conn, n, POOL_BUFFER_BYTES);
		if (n == -EAGAIN)
			return;
		if (n == 0)
			at_end(h, TG_END_DONE);
		else if (n == -ENODATA)
			at_end(h, TG_END_TLS_TRUNCATED);
		else if (n < 0)
			at_end(h, failure(h, (int)-n));
		else
			feed(h, p, (size_t)n);
	}
	if (!h->over && h->conn->readable && !h->eof)
		h2_again(h);
}

static void work(struct h2 *h)
{
	int err;

	if (h->working)
		return;
	h->working = true;
	read_all(h);
	if (!h->over)
		feed_hungry(h); /* before windows are told of */
	/* of a backend that has ended, streams may be gone that nghttp2 still has */
	err = h->over || (h->is_back && h->eof) ? 0 : h2_send(h);
	if (err && err != -EAGAIN)
		h2_over(h, failure(h, -err), true);
	if (!h->over)
		give_room(h);
	if (!h->over && h->flood && !h->broken) {
		h->broken = true;
		give_up(h, TG_END_HTTP_FLOOD);
		h2_again(h);
	}
	if (!h->over && h->owner->worked)
		h->owner->worked(h);
	h->working = false;
	if (h->over)
		h->owner->over(h, h->why, h->reset);
	else
		try_close(h);
}

static void on_task(struct ev_task *task)
{
	struct h2 *h = container_of(task, struct h2, task);

	if (!h->over)
		work(h);
}

void h2_feed(struct h2 *h, const uint8_t *first, size_t n)
{
	if (!n || h->over)
		return;
	h->working = true;
	feed(h, first, n);
	h->working = false;
	h2_again(h);
}

void h2_lose(struct h2 *h, size_t n)
{
	h->fed = n;
	h->silent = 1; /* nghttp2 never heard of them */
}

void h2_event(struct h2 *h)
{
	int err;

	if (h->over)
		return;
	if (h->eof && h->conn->failed && !h->is_back) { /* nobody reads answers */
		h2_over(h, failure(h, h->conn->err), true);
		return;
	}
	err = h->conn->out ? sender_flush(&h->out) : 0;
	if (err && err != -EAGAIN) {
		h2_over(h, failure(h, -err), true);
		return;
	}
	work(h);
}

/* RFC 9113 8.1: its rest is not wanted, which is said when it has had its time. */
static bool lingers_on(const struct h2_stream *s, int64_t now)
{
	return now - s->moved_ms < HTTP_LINGER_MS &&
	       now - s->lingers_ms < HTTP_LINGER_MOST_MS;
}

void h2_end_stalled(struct h2 *h, int64_t ms)
{
	int64_t now = ev_now_ms(h->conn->worker->loop);

	for (struct h2_stream *s = h->streams; s; s = s->next) {
		if (s->closed || s->reset_asked || (!s->out && !s->lingers) ||
		    (s->lingers ? lingers_on(s, now) : now - s->moved_ms < ms))
			continue;
		s->reset_asked = true;
		h->own_resets++;
		(void)nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, s->id,
						s->lingers ? NGHTTP2_NO_ERROR
							   : NGHTTP2_CANCEL);
		s->moved_ms = now;
		h2_again(h);
	}
}

/* --- life --- */

struct h2 *h2_of(struct http_end *e)
{
	return h2_stream_of(e)->h2;
}

bool h2_has_place(const struct h2 *h)
{
	uint32_t most = nghttp2_session_get_remote_settings(
		h->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);

	if (most > 100)
		most = 100;
	return !h->over && !h->closing && !h->eof && h->streams_n < most &&
	       nghttp2_session_check_request_allowed(h->session);
}

struct http_end *h2_use(struct h2 *h, struct exchange *x, const struct http_user *user)
{
	struct h2_stream *s = h2_stream_new(h);

	if (!s)
		return NULL;
	s->closed = true; /* until it is submitted nghttp2 does not know it */
	s->end.exchange = x;
	s->end.user = user;
	return &s->end;
}

void h2_drain(struct h2 *h)
{
	if (h->over || h->closing)
		return;
	if (!h->draining && !h->is_back) { /* who opens no streams needs no notice */
		h->draining = true;
		(void)nghttp2_submit_shutdown_notice(h->session);
	} else {
		h->closing = true;
		(void)nghttp2_submit_goaway(
			h->session, NGHTTP2_FLAG_NONE,
			nghttp2_session_get_last_proc_stream_id(h->session),
			NGHTTP2_NO_ERROR, NULL, 0);
		if (!h->streams_n)
			(void)nghttp2_session_terminate_session(h->session,
								NGHTTP2_NO_ERROR);
	}
	h2_again(h);
}

static int open_session(struct h2 *h)
{
	nghttp2_session_callbacks *c;
	nghttp2_option *o = NULL;
	int err = nghttp2_session_callbacks_new(&c);

	if (err)
		return -ENOMEM;
	err = nghttp2_option_new(&o) ? -ENOMEM : 0;
	if (!err) {
		nghttp2_option_set_no_auto_window_update(o, 1);
		nghttp2_option_set_no_closed_streams(o, 1);
		nghttp2_option_set_max_deflate_dynamic_table_size(o, 4096);
		nghttp2_option_set_max_outbound_ack(o, 20000); /* ours is less */
		err = h2_callbacks_in(c);
	}
	if (!err)
		err = h2_callbacks_out(c);
	if (!err)
		err = (h->is_back ? nghttp2_session_client_new2(&h->session, c, h, o)
				  : nghttp2_session_server_new2(&h->session, c, h, o))
			      ? -ENOMEM
			      : 0;
	nghttp2_option_del(o);
	nghttp2_session_callbacks_del(c);
	return err;
}

static int submit_settings(struct h2 *h)
{
	const nghttp2_settings_entry client[] = {
		{ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, H2_STREAMS },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, H2_WINDOW },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, h->head_max },
		{ NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1 }, /* RFC 8441 3 */
	}, back[] = {
		{ NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, H2_BACK_WINDOW },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, h->head_max },
	};
	int err = nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE,
					  h->is_back ? back : client, h->is_back ? 3 : 4);

	if (!err)
		err = nghttp2_session_set_local_window_size(
			h->session, NGHTTP2_FLAG_NONE, 0,
			h->is_back ? H2_BACKEND_WINDOW : H2_CLIENT_WINDOW);
	return err ? -ENOMEM : 0;
}

int h2_open(struct h2 *h, struct conn *c, bool is_back, const struct h2_owner *owner,
	    const struct http_user *user, struct http_book *book, uint32_t head_max,
	    uint16_t fields_max)
{
	int err;

	*h = (struct h2){ .owner = owner,
			  .user = user,
			  .book = book,
			  .conn = c,
			  .task = { .fn = on_task },
			  .head_max = head_max,
			  .fields_max = fields_max,
			  .is_back = is_back };
	if (is_back) { /* the preface is no frame */
		h->tx_left = H2_PREFACE_N;
		h->own[TG_TX] = H2_PREFACE_N;
	}
	sender_init(&h->out, c);
	err = open_session(h);
	if (!err)
		err = submit_settings(h);
	if (err && h->session) {
		nghttp2_session_del(h->session);
		h->session = NULL;
	}
	if (!err)
		h2_again(h);
	return err;
}
