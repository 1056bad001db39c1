/* SPDX-License-Identifier: Apache-2.0 */
/* Frames that go: what an exchange asks of its end. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/h2_own.h"

#define NV_MAX	  (HTTP_FIELDS_MAX + 8)
#define FRAME_MAX (POOL_BUFFER_BYTES - 64) /* with its header one buffer */

/* --- heads --- */

struct nvs {
	nghttp2_nv all[NV_MAX];
	size_t n;
	char status[TEXT_NUMBER], length[TEXT_NUMBER];
};

static void add(struct nvs *v, struct text name, struct text value, bool secret)
{
	v->all[v->n++] = (nghttp2_nv){ .name = (uint8_t *)(uintptr_t)name.p,
				       .value = (uint8_t *)(uintptr_t)value.p,
				       .namelen = name.n,
				       .valuelen = value.n,
				       .flags = secret ? NGHTTP2_NV_FLAG_NO_INDEX
						       : NGHTTP2_NV_FLAG_NONE };
}

/* RFC 7541 7.1.3 */
static bool is_secret(const struct http_field *f)
{
	return f->secret || f->id == HTTP_AUTHORIZATION ||
	       (f->id == HTTP_COOKIE && f->value_n < 20);
}

static void add_fields(struct nvs *v, const struct http_head *h)
{
	for (unsigned i = 0; i < h->n; i++) {
		const struct http_field *f = &h->fields[i];

		if (!f->hop)
			add(v, text_of(f->name, f->name_n), http_value(f), is_secret(f));
	}
}

static void add_start(struct nvs *v, const struct http_head *h, bool tls)
{
	if (h->status) {
		add(v, TEXT(":status"), text_number(v->status, h->status), false);
		return;
	}
	add(v, TEXT(":method"), h->method_name, false);
	if (h->method != HTTP_METHOD_CONNECT || h->protocol.n) {
		add(v, TEXT(":scheme"), tls ? TEXT("https") : TEXT("http"), false);
		add(v, TEXT(":path"), h->path, false);
	}
	if (h->authority.n)
		add(v, TEXT(":authority"), h->authority, false);
	if (h->method == HTTP_METHOD_CONNECT && h->protocol.n)
		add(v, TEXT(":protocol"), h->protocol, false);
}

static void make_nvs(struct nvs *v, const struct http_head *h, bool tls)
{
	v->n = 0;
	add_start(v, h, tls);
	add_fields(v, h);
	if (h->has_length)
		add(v, TEXT("content-length"), text_number(v->length, h->length), false);
	if (!h->status && h->trailers)
		add(v, TEXT("te"), TEXT("trailers"), false);
}

/* --- bodies --- */

static size_t held(const struct h2_stream *s)
{
	return s->out ? s->out->end - s->out->start : 0;
}

/* Who waits hears of it when nghttp2 is done. */
static void make_roomy(struct h2_stream *s)
{
	if (!s->blocked || s->is_roomy)
		return;
	s->is_roomy = true;
	s->next_roomy = s->h2->roomy;
	s->h2->roomy = s;
}

/* nghttp2_data_source_read_callback: how much, not what: write_data() has it. */
static ssize_t read_data(nghttp2_session *session, int32_t id, uint8_t *buf, size_t n,
			 uint32_t *flags, nghttp2_data_source *source, void *arg)
{
	struct h2_stream *s = source->ptr;

	(void)buf;
	(void)arg;
	*flags |= NGHTTP2_DATA_FLAG_NO_COPY;
	if (!held(s) && !s->out_last) {
		s->deferred = true;
		return NGHTTP2_ERR_DEFERRED;
	}
	n = n < held(s) ? n : held(s);
	n = n < FRAME_MAX ? n : FRAME_MAX;
	if (!s->out_last || n < held(s))
		return (ssize_t)n;
	*flags |= NGHTTP2_DATA_FLAG_EOF;
	if (s->trailers) {
		struct nvs v;

		v.n = 0;
		add_fields(&v, s->trailers);
		*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
		if (nghttp2_submit_trailer(session, id, v.all, v.n))
			return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	}
	return (ssize_t)n;
}

/* nghttp2_send_data_callback: a frame as it goes, without a copy of its own. */
static int write_data(nghttp2_session *session, nghttp2_frame *f, const uint8_t *head,
		      size_t n, nghttp2_data_source *source, void *arg)
{
	struct h2_stream *s = source->ptr;
	struct h2 *h = arg;
	uint8_t *room;
	int err = 0;

	(void)session;
	if (!h->conn->out && sender_staged(&h->out) + n + 9 > POOL_BUFFER_BYTES)
		err = sender_flush(&h->out);
	if (err && err != -EAGAIN)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	if (h->conn->out)
		return NGHTTP2_ERR_WOULDBLOCK;
	room = sender_room(&h->out, n + 9);
	if (!room)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	memcpy(room, head, 9);
	if (n)
		memcpy(room + 9, s->out->data + s->out->start, n);
	sender_put(&h->out, n + 9);
	s->end.bytes[TG_TX].framing += 9;
	s->end.bytes[TG_TX].body += n;
	s->moved_ms = ev_now_ms(h->conn->worker->loop);
	if (n) {
		s->out->start += n;
		if (s->out->start == s->out->end) {
			pool_buffer_put(&h->conn->worker->pool, s->out);
			s->out = NULL;
		}
		make_roomy(s);
	}
	(void)f;
	return 0;
}

/* A 101 of HTTP/1.1 is a 200 here, and what follows is the stream's (RFC 8441 5). */
static int put_raised(struct h2_stream *s, const struct http_head *from)
{
	nghttp2_data_provider provider = { .source = { .ptr = s },
					   .read_callback = read_data };
	struct http_head head;
	struct nvs v;

	if (s->closed)
		return -EPIPE;
	http_head_copy(&head, from);
	head.status = 200;
	http_remove(&head, HTTP_SEC_WEBSOCKET_ACCEPT);
	make_nvs(&v, &head, false);
	if (nghttp2_submit_response(s->h2->session, s->id, v.all, v.n, &provider))
		return -EPIPE;
	s->out_head = true;
	h2_again(s->h2);
	return 0;
}

/* --- WebSocket to a backend (RFC 8441 4) --- */

static bool is_upgrade(const struct http_head *h)
{
	const struct http_field *f;
	int at = -1;

	/* RFC 6455 4.1 */
	f = h->upgrade && h->method == HTTP_METHOD_GET
		    ? http_find(h, HTTP_SEC_WEBSOCKET_KEY, &at)
		    : NULL;
	return f && f->value_n == WEBSOCKET_KEY_LEN &&
	       text_is_nocase(h->protocol, TEXT("websocket"));
}

/* RFC 8441 3: nobody is asked who has not said that he takes it. */
static int submit_upgrade(struct h2_stream *s, const struct http_head *from)
{
	nghttp2_session *session = s->h2->session;
	nghttp2_data_provider provider = { .source = { .ptr = s },
					   .read_callback = read_data };
	struct http_head head;
	struct nvs v;

	if (!nghttp2_session_get_remote_settings(
		    session, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL))
		return -EOPNOTSUPP;
	http_head_copy(&head, from);
	head.method = HTTP_METHOD_CONNECT;
	head.method_name = TEXT("CONNECT");
	head.protocol = TEXT("websocket");
	http_remove(&head, HTTP_SEC_WEBSOCKET_KEY);
	make_nvs(&v, &head, s->h2->conn->layer != NULL);
	s->id = nghttp2_submit_request(session, NULL, v.all, v.n, &provider, s);
	s->closed = s->id < 0;
	h2_again(s->h2);
	return s->id >= 0 ? 0 : s->id == NGHTTP2_ERR_NOMEM ? -ENOMEM : -EPIPE;
}

static int put_upgrade(struct h2_stream *s, const struct http_head *head)
{
	char key[WEBSOCKET_KEY_LEN + 1] = "";
	int at = -1;

	s->upgrade = calloc(1, sizeof(*s->upgrade));
	if (!s->upgrade)
		return -ENOMEM;
	memcpy(key, http_find(head, HTTP_SEC_WEBSOCKET_KEY, &at)->value,
	       WEBSOCKET_KEY_LEN);
	websocket_accept(key, s->upgrade->accept);
	s->asked = HTTP_METHOD_CONNECT;
	s->out_head = true;
	if (s->h2->settled)
		return submit_upgrade(s, head);
	s->upgrade->waits = http_head_dup(head);
	return s->upgrade->waits ? 0 : -ENOMEM;
}

static struct h2_stream *next_upgrade(const struct h2 *h)
{
	struct h2_stream *s = h->streams;

	while (s && !(s->upgrade && s->upgrade->waits))
		s = s->next;
	return s;
}

/* It did not go: the backend takes none, we have no memory, the connection no streams. */
static void upgrade_failed(struct h2_stream *s, int err)
{
	struct http_end *e = &s->end;

	if (err == -EOPNOTSUPP) {
		e->user->invalid(e, HTTP_FAULT_UPGRADE_INVALID);
		return;
	}
	e->user->gone(e, err == -ENOMEM ? TG_END_RESOURCES : TG_END_BACKEND_REFUSED,
		      true);
	e->exchange = NULL;
	h2_stream_maybe_free(s);
}

void h2_upgrades_go(struct h2 *h)
{
	struct h2_stream *s;

	while ((s = next_upgrade(h))) {
		struct http_head *head = s->upgrade->waits;
		int err = submit_upgrade(s, head);

		s->upgrade->waits = NULL;
		free(head);
		if (err && s->end.exchange)
			upgrade_failed(s, err);
	}
}

static int put_head(struct http_end *e, const struct http_head *head, bool last)
{
	struct h2_stream *s = h2_stream_of(e);
	struct h2 *h = s->h2;
	nghttp2_data_provider provider = { .source = { .ptr = s },
					   .read_callback = read_data };
	struct nvs v;
	int err;

	if (h->over)
		return -EPIPE;
	if (head->status == 101)
		return put_raised(s, head);
	if (h->is_back && is_upgrade(head))
		return put_upgrade(s, head);
	make_nvs(&v, head, h->conn->layer != NULL);
	if (h->is_back) {
		s->asked = head->method;
		s->id = nghttp2_submit_request(h->session, NULL, v.all, v.n,
					       last ? NULL : &provider, s);
		err = s->id < 0 ? s->id : 0;
		s->closed = err != 0;
	} else if (head->status < 200) {
		if (s->closed)
			return 0;
		err = nghttp2_submit_headers(h->session, NGHTTP2_FLAG_NONE, s->id, NULL,
					     v.all, v.n, NULL);
	} else {
		err = s->closed ? NGHTTP2_ERR_STREAM_CLOSED
				: nghttp2_submit_response(h->session, s->id, v.all, v.n,
							  last ? NULL : &provider);
	}
	if (err)
		return err == NGHTTP2_ERR_NOMEM ? -ENOMEM : -EPIPE;
	if (h->is_back || head->status >= 200) {
		s->out_head = true;
		s->out_last = last;
	}
	h2_again(h);
	return 0;
}

static void resume(struct h2_stream *s)
{
	if (s->deferred && !s->closed) {
		s->deferred = false;
		(void)nghttp2_session_resume_data(s->h2->session, s->id);
	}
	h2_again(s->h2);
}

static ssize_t put_body(struct http_end *e, const uint8_t *p, size_t n)
{
	struct h2_stream *s = h2_stream_of(e);
	struct pool *pool = &s->h2->conn->worker->pool;
	size_t room;

	if (s->closed || s->h2->over)
		return s->h2->is_back ? (ssize_t)n : -EPIPE; /* an answer may have come */
	if (!s->out) {
		s->out = pool_has_buffer(pool)
				 ? pool_buffer_next(pool)
				 : pool_buffer_sized(pool, POOL_BUFFER_BYTES);
		if (!s->out)
			return -ENOMEM;
	}
	room = s->out->cap - s->out->end;
	if (!room && s->out->start) {
		memmove(s->out->data, s->out->data + s->out->start, held(s));
		s->out->end -= s->out->start;
		s->out->start = 0;
		room = s->out->cap - s->out->end;
	}
	if (!room) {
		s->blocked = true;
		return -EAGAIN;
	}
	n = n < room ? n : room;
	if (!held(s))
		s->moved_ms = ev_now_ms(s->h2->conn->worker->loop);
	memcpy(s->out->data + s->out->end, p, n);
	s->out->end += n;
	resume(s);
	return (ssize_t)n;
}

static int put_last(struct http_end *e, const struct http_head *trailers)
{
	struct h2_stream *s = h2_stream_of(e);

	if (s->closed)
		return s->h2->is_back ? 0 : -EPIPE;
	if (trailers) {
		s->trailers = http_head_dup(trailers);
		if (!s->trailers)
			return -ENOMEM;
	}
	s->out_last = true;
	resume(s);
	return 0;
}

/* --- sending --- */

/* Frames up to what the socket takes: windows of streams are shared out by nghttp2. */
int h2_send(struct h2 *h)
{
	for (;;) {
		const uint8_t *p;
		ssize_t n;
		uint8_t *room;
		int err;

		if (h->conn->out) {
			err = sender_flush(&h->out);
			if (err)
				return err;
		}
		if (sender_staged(&h->out) >= POOL_BUFFER_BYTES - 1024) {
			err = sender_flush(&h->out);
			if (err)
				return err;
		}
		n = nghttp2_session_mem_send(h->session, &p);
		if (n < 0)
			return n == NGHTTP2_ERR_NOMEM ? -ENOMEM : -EPROTO;
		if (n == 0)
			return h->conn->out ? -EAGAIN : 0;
		room = sender_room(&h->out, (size_t)n);
		if (!room)
			return -ENOMEM;
		memcpy(room, p, (size_t)n);
		sender_put(&h->out, (size_t)n);
		h2_count(h, p, (size_t)n);
	}
}

/* --- after a frame --- */

static void reset(struct h2_stream *s, uint32_t code)
{
	if (s->closed)
		return;
	s->h2->own_resets++;
	(void)nghttp2_submit_rst_stream(s->h2->session, NGHTTP2_FLAG_NONE, s->id, code);
}

static int on_sent(nghttp2_session *session, const nghttp2_frame *f, void *arg)
{
	struct h2 *h = arg;
	struct h2_stream *s =
		f->hd.stream_id
			? nghttp2_session_get_stream_user_data(session, f->hd.stream_id)
			: NULL;

	if (f->hd.type == NGHTTP2_RST_STREAM && h->own_resets)
		h->own_resets--;
	else if (f->hd.type == NGHTTP2_RST_STREAM && !h2_may(h, COST_RESET_MS))
		h->flood = true; /* we were made to send it (CVE-2025-8671) */
	if (!s || !(f->hd.flags & NGHTTP2_FLAG_END_STREAM) ||
	    (f->hd.type != NGHTTP2_HEADERS && f->hd.type != NGHTTP2_DATA))
		return 0;
	s->out_done = true;
	if (!h->is_back && !s->in_done) {
		s->lingers = true; /* h2_end_stalled() ends it */
		s->moved_ms = s->lingers_ms = ev_now_ms(h->conn->worker->loop);
	}
	return 0;
}

int h2_callbacks_out(nghttp2_session_callbacks *c)
{
	nghttp2_session_callbacks_set_send_data_callback(c, write_data);
	nghttp2_session_callbacks_set_on_frame_send_callback(c, on_sent);
	return 0;
}

/* --- the rest of what an exchange asks --- */

static void more(struct http_end *e)
{
	struct h2_stream *s = h2_stream_of(e);

	if (!s->is_hungry) {
		s->is_hungry = true;
		s->next_hungry = s->h2->hungry;
		s->h2->hungry = s;
	}
	h2_again(s->h2);
}

static void let_go(struct h2_stream *s)
{
	struct h2 *h = s->h2;

	s->end.exchange = NULL;
	h2_tell_bytes(s);
	h2_drop_in(s);
	h2_stream_maybe_free(s);
	h2_again(h);
}

static void stop(struct http_end *e, enum tg_end why)
{
	struct h2_stream *s = h2_stream_of(e);

	(void)why;
	reset(s, s->h2->is_back ? NGHTTP2_CANCEL : NGHTTP2_INTERNAL_ERROR);
	let_go(s);
}

static void release(struct http_end *e)
{
	struct h2_stream *s = h2_stream_of(e);

	if (s->h2->is_back && (!s->in_done || !s->out_done))
		reset(s, NGHTTP2_CANCEL);
	let_go(s);
}

const struct http_end_ops h2_ops = { .put_head = put_head,
				     .put_body = put_body,
				     .put_last = put_last,
				     .more = more,
				     .stop = stop,
				     .release = release };
