/* SPDX-License-Identifier: Apache-2.0 */
/* Frames that come: heads, bodies, and what each byte was. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "http/h2_own.h"

#define COST_FRAME_MS 10 /* of one that says nothing: 100 a second, 1000 at once */
#define COST_PING_MS  1	 /* who measures a bandwidth sends many (gRPC) */

static struct h2_stream *find(nghttp2_session *session, int32_t id)
{
	return id ? nghttp2_session_get_stream_user_data(session, id) : NULL;
}

/* --- bytes --- */

/* A frame begins: what of it is a head, a body, or framing (its header counts as that).
 */
static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *arg)
{
	struct h2 *h = arg;
	struct h2_stream *s = find(session, hd->stream_id);
	struct http_bytes *b = s ? &s->end.bytes[TG_RX] : NULL;

	h->silent--;
	h->rx_begun = !h->ahead;
	h->data_left = 0;
	switch (hd->type) {
	case NGHTTP2_HEADERS:
	case NGHTTP2_CONTINUATION:
		if (b)
			b->head += hd->length + 9;
		else
			h->block += hd->length + 9;
		break;
	case NGHTTP2_DATA: /* its payload is counted as it comes */
		if (b) {
			b->framing += hd->length + 9;
			h->data_of = hd->stream_id;
			h->data_left = (uint32_t)hd->length;
		} else
			h->own[TG_RX] += hd->length + 9;
		break;
	default:
		h->own[TG_RX] += hd->length + 9;
	}
	return 0;
}

/* --- heads --- */

/* The texts of the head are still needed: trailers have memory of their own. */
static bool begin_trailers(struct h2_stream *s)
{
	char *text = malloc(H2_TEXT);

	if (!text)
		return false;
	free(s->kept_text);
	s->kept_text = s->text != s->own_text ? s->text : NULL;
	s->text = text;
	s->text_cap = H2_TEXT;
	s->text_n = s->items_n = 0;
	return true;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *f, void *arg)
{
	struct h2 *h = arg;
	struct h2_stream *s = find(session, f->hd.stream_id);

	if (!s && !h->is_back && f->headers.cat == NGHTTP2_HCAT_REQUEST) {
		s = h2_stream_new(h);
		if (!s)
			return NGHTTP2_ERR_CALLBACK_FAILURE;
		s->id = f->hd.stream_id;
		(void)nghttp2_session_set_stream_user_data(session, s->id, s);
	}
	if (!s)
		return 0;
	s->end.bytes[TG_RX].head += h->block;
	h->block = 0;
	if (s->head_in && !h->is_back)
		return begin_trailers(s) ? 0 : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	s->text_n = s->items_n = s->list_bytes = 0;
	return 0;
}

static bool grow_items(struct h2_stream *s)
{
	struct h2_item *more;

	if (s->items_n < s->items_cap)
		return true;
	more = malloc(2 * s->items_cap * sizeof(*more));
	if (!more)
		return false;
	memcpy(more, s->items, s->items_n * sizeof(*more));
	if (s->items != s->own_items)
		free(s->items);
	s->items = more;
	s->items_cap *= 2;
	return true;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *f,
		     const uint8_t *name, size_t name_n, const uint8_t *value,
		     size_t value_n, uint8_t flags, void *arg)
{
	struct h2 *h = arg;
	struct h2_stream *s = find(session, f->hd.stream_id);
	struct h2_item *i;

	if (!s)
		return 0;
	s->list_bytes += (uint32_t)(name_n + value_n + 32);
	if (s->list_bytes > h->head_max || s->items_n >= h->fields_max + 8u) {
		s->too_large = true; /* the rest is decoded all the same (RFC 9113 4.3) */
		return 0;
	}
	if (!h2_text_grow(s, name_n + value_n) || !grow_items(s))
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	i = &s->items[s->items_n++];
	*i = (struct h2_item){ .name_n = (uint16_t)name_n,
			       .value_n = (uint32_t)value_n,
			       .secret = (flags & NGHTTP2_NV_FLAG_NO_INDEX) != 0 };
	i->name = h2_text_keep(s, name, name_n);
	i->value = h2_text_keep(s, value, value_n);
	return 0;
}

/* The message has ended; its trailers are said when its body was taken. */
static void tell_last(struct h2_stream *s)
{
	struct http_head trailers = { .n = 0 };
	struct http_end *e = &s->end;

	if (!s->in_done || s->in_n || s->last_told || !e->exchange)
		return;
	s->last_told = true;
	if (s->has_trailers && h2_make_head(s, &trailers) != HTTP_FINE)
		trailers.n = 0;
	e->user->last(e, trailers.n ? &trailers : NULL);
}

/* A backend of HTTP/2 has agreed to WebSocket: as one of HTTP/1.1 would have said it. */
static void tell_upgraded(struct h2_stream *s, struct http_head *head)
{
	bool was = s->busy;

	head->status = 101;
	head->body = HTTP_BODY_NONE;
	head->has_length = false;
	head->upgrade = true;
	head->protocol = TEXT("websocket");
	http_remove(head, HTTP_SEC_WEBSOCKET_ACCEPT); /* it had no key to answer */
	(void)http_add(head, HTTP_SEC_WEBSOCKET_ACCEPT, TEXT(""),
		       text_of(s->upgrade->accept, WEBSOCKET_ACCEPT_LEN));
	s->head_in = true;
	s->busy = true;
	s->end.user->head(&s->end, head, false);
	tell_last(s); /* it may have ended with this */
	s->busy = was;
	h2_stream_maybe_free(s);
}

/* A whole head of a message. */
static void tell_head(struct h2_stream *s, bool last)
{
	struct http_head head;
	enum http_fault f =
		s->too_large ? HTTP_FAULT_HEAD_TOO_LARGE : h2_make_head(s, &head);

	if (!f && !s->h2->is_back)
		f = h2_check_request(&head);
	if (!f && !s->h2->is_back && head.method == HTTP_METHOD_CONNECT &&
	    head.protocol.n)
		f = h2_extend(&head, last);
	if (f) {
		s->head_in = true;
		s->end.user->invalid(&s->end, f);
		return;
	}
	if (s->upgrade && head.status >= 200 && head.status < 300) {
		tell_upgraded(s, &head);
		return;
	}
	s->head_in = s->h2->is_back ? head.status >= 200 : true;
	if (!s->h2->is_back)
		s->asked = head.method;
	if (s->h2->is_back)
		last = h2_set_answer(s, &head, last);
	else
		h2_set_body(&head, last);
	if (last)
		s->last_told = true;
	s->end.user->head(&s->end, &head, last);
}

static void on_trailers(struct h2_stream *s)
{
	s->in_done = true;
	s->has_trailers = true;
	if (s->too_large && s->end.exchange)
		s->end.user->invalid(&s->end, HTTP_FAULT_HEAD_TOO_LARGE);
	else
		tell_last(s);
}

/* --- bodies --- */

static bool store(struct h2_stream *s, const uint8_t *p, size_t n)
{
	if (s->in_at + s->in_n + n > s->in_cap) {
		size_t cap = s->in_n + n < 8192 ? 16384 : 2 * (s->in_n + n);
		uint8_t *more = malloc(cap);

		if (!more)
			return false;
		if (s->in_n)
			memcpy(more, s->in + s->in_at, s->in_n);
		free(s->in);
		s->in = more;
		s->in_at = 0;
		s->in_cap = (uint32_t)cap;
	}
	memcpy(s->in + s->in_at + s->in_n, p, n);
	s->in_n += (uint32_t)n;
	return true;
}

/* The window of a stream that has lingered enough stays what it is. */
static void consumed(struct h2_stream *s, size_t n)
{
	nghttp2_session *session = s->h2->session;

	if (s->lingers) {
		s->wasted += (uint32_t)n;
		s->moved_ms = ev_now_ms(s->h2->conn->worker->loop);
	}
	if (n && session && s->lingers && s->wasted >= HTTP_WASTE_MAX)
		(void)nghttp2_session_consume_connection(session, n);
	else if (n && session)
		(void)nghttp2_session_consume(session, s->id, n);
}

void h2_drop_in(struct h2_stream *s)
{
	consumed(s, s->in_n);
	free(s->in);
	s->in = NULL;
	s->in_at = s->in_n = s->in_cap = 0;
}

void h2_offer(struct h2_stream *s)
{
	struct http_end *e = &s->end;
	bool was = s->busy;

	s->busy = true; /* it is not freed by what its user does */
	while (s->in_n && e->exchange) {
		size_t took = e->user->body(e, s->in + s->in_at, s->in_n);

		s->in_at += (uint32_t)took;
		s->in_n -= (uint32_t)took;
		consumed(s, took);
		if (!took)
			break;
	}
	if (!e->exchange)
		h2_drop_in(s);
	if (!s->in_n && s->in) {
		free(s->in);
		s->in = NULL;
		s->in_at = s->in_cap = 0;
	}
	tell_last(s);
	s->busy = was;
	h2_stream_maybe_free(s);
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *p,
		   size_t n, void *arg)
{
	struct h2 *h = arg;
	struct h2_stream *s = find(session, id);
	size_t took;

	(void)flags;
	if (s) { /* whose frame it is */
		s->end.bytes[TG_RX].framing -= n;
		s->end.bytes[TG_RX].body += n;
		h->data_left -= (uint32_t)n;
	}
	if (!s) {
		(void)nghttp2_session_consume(session, id, n);
		return 0;
	}
	if (!s->end.exchange) {
		consumed(s, n);
		return 0;
	}
	took = s->in_n ? 0 : s->end.user->body(&s->end, p, n);
	consumed(s, took);
	if (took < n && !s->end.exchange) {
		consumed(s, n - took);
		return 0;
	}
	if (took < n && !store(s, p + took, n - took)) {
		h->why = TG_END_RESOURCES;
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	}
	return 0;
}

/* --- whole frames --- */

/* What asks for an answer or for nothing at all. */
static bool is_allowed(struct h2 *h, const nghttp2_frame *f)
{
	switch (f->hd.type) {
	case NGHTTP2_DATA:
		return f->hd.length || (f->hd.flags & NGHTTP2_FLAG_END_STREAM) ||
		       h2_may(h, COST_FRAME_MS);
	case NGHTTP2_RST_STREAM:
		return h2_may(h, COST_RESET_MS);
	case NGHTTP2_PING:
		return h2_may(h, COST_PING_MS);
	case NGHTTP2_SETTINGS:
	case NGHTTP2_PRIORITY:
		return h2_may(h, COST_FRAME_MS);
	default:
		return true;
	}
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *f, void *arg)
{
	struct h2 *h = arg;
	bool last = f->hd.flags & NGHTTP2_FLAG_END_STREAM;
	struct h2_stream *s = find(session, f->hd.stream_id);

	if (!is_allowed(h, f)) {
		h->why = TG_END_HTTP_FLOOD; /* feed() says so */
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	}
	if (f->hd.type == NGHTTP2_GOAWAY && h->is_back)
		h->closing = true;
	if (f->hd.type == NGHTTP2_SETTINGS && h->is_back && !h->settled) {
		h->settled = true; /* the first of a peer's are no ACK (RFC 9113 3.4) */
		h2_upgrades_go(h);
	}
	if (!s)
		return 0;
	if (f->hd.type == NGHTTP2_HEADERS) {
		s->in_done = last;
		if (s->head_in)
			on_trailers(s);
		else
			tell_head(s, last);
	} else if (f->hd.type == NGHTTP2_DATA && last) {
		s->in_done = true;
		h2_offer(s);
	}
	return 0;
}

/* A stream of nghttp2's is over, in good order or not. */
static int on_close(nghttp2_session *session, int32_t id, uint32_t code, void *arg)
{
	struct h2 *h = arg;
	struct h2_stream *s = find(session, id);
	struct http_end *e;

	if (!s)
		return 0;
	s->closed = true;
	e = &s->end;
	/* what came wholly is passed on, however long that takes */
	if (e->exchange && !(s->in_done && (h->is_back || s->out_done))) {
		bool unseen = h->is_back && !s->head_in && code == NGHTTP2_REFUSED_STREAM;

		e->user->gone(e,
			      unseen	   ? TG_END_BACKEND_REFUSED
			      : h->is_back ? TG_END_BACKEND_RESET
					   : TG_END_CLIENT_RESET,
			      unseen);
		e->exchange = NULL;
	}
	if (!e->exchange)
		h2_drop_in(s);
	h2_stream_maybe_free(s);
	return 0;
}

int h2_callbacks_in(nghttp2_session_callbacks *c)
{
	nghttp2_session_callbacks_set_on_begin_frame_callback(c, on_begin_frame);
	nghttp2_session_callbacks_set_on_begin_headers_callback(c, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(c, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, on_data);
	nghttp2_session_callbacks_set_on_frame_recv_callback(c, on_frame);
	nghttp2_session_callbacks_set_on_stream_close_callback(c, on_close);
	return 0;
}
