/* SPDX-License-Identifier: Apache-2.0 */
/* Messages that go: what an exchange asks of its end. */
#include <errno.h>
#include <string.h>

#include "codec/h1.h"
#include "http/h1_own.h"

#define INTERIM_MAX (64 * 1024) /* of heads of 1xx that a client does not take */

static struct h1 *h1_of(struct http_end *e)
{
	return container_of(e, struct h1, end);
}

static struct text connection_of(const struct h1 *h, const struct http_head *head)
{
	if (head->upgrade && (h->raised || h->is_back))
		return TEXT("upgrade");
	if (h->raised)
		return TEXT("");
	if (h->close)
		return TEXT("close");
	return h->one_zero && !h->is_back ? TEXT("keep-alive") : TEXT("");
}

/* A body of which nobody knows the length: in chunks, if they are understood. */
static void frame(struct h1 *h, struct http_head *head, bool last)
{
	bool none = head->status && (h->asked == HTTP_METHOD_HEAD || head->status < 200 ||
				     head->status == 204 || head->status == 304);

	if ((last && head->body == HTTP_BODY_CHUNKED) || none)
		head->body = HTTP_BODY_NONE;
	if (last || none ||
	    (head->body != HTTP_BODY_CLOSE && head->body != HTTP_BODY_CHUNKED))
		return;
	head->body = h->one_zero && !h->is_back ? HTTP_BODY_CLOSE : HTTP_BODY_CHUNKED;
	h->close |= head->body == HTTP_BODY_CLOSE;
}

static size_t head_bytes(const struct http_head *h)
{
	size_t n = 256 + h->method_name.n + h->path.n + 2 * h->authority.n + h->reason.n +
		   h->protocol.n;

	for (unsigned i = 0; i < h->n; i++)
		n += h->fields[i].name_n + h->fields[i].value_n + 4u;
	return n;
}

static void begin_out(struct h1 *h, const struct http_head *head, bool last)
{
	if (h->raised) {
		h->out_state = H1_OUT_RAW;
		h->in_state = H1_IN_RAW;
		h1_again(h);
		return;
	}
	h->out_body = head->body;
	h->left = head->body == HTTP_BODY_LENGTH ? head->length : 0;
	h->out_state = last ? H1_OUT_DONE : H1_OUT_BODY;
}

static int h1_put_head(struct http_end *e, const struct http_head *head, bool last)
{
	struct h1 *h = h1_of(e);
	struct http_head copy;
	size_t cap, n;
	uint8_t *room;

	http_head_copy(&copy, head);
	if (h->is_back) {
		h->asked = head->method;
		h->close |= head->upgrade || head->close;
	} else if (h1_raises(h, head)) {
		h->raised = h->close = true;
	} else if (head->status >= 200 && h->in_state != H1_IN_DONE) {
		h->close =
			true; /* what is to come of the request may be read by nobody */
	}
	if (!h->raised) {
		frame(h, &copy, last);
	} else {
		copy.body = HTTP_BODY_NONE;
		copy.has_length = false;
	}
	if (head->status && head->status < 200 && head->status != 101 && h->one_zero)
		return 0;			       /* RFC 9110 15.2 */
	if (copy.upgrade && (h->raised || h->is_back)) /* its own field was of one hop */
		(void)http_add(&copy, HTTP_OTHER_FIELD, TEXT("upgrade"), copy.protocol);
	if (!h->is_back && head->status < 200 && sender_staged(&h->out) > INTERIM_MAX)
		return -EMSGSIZE;
	cap = head_bytes(&copy);
	room = sender_room(&h->out, cap);
	if (!room)
		return -ENOMEM;
	n = h1_write(room, cap, &copy,
		     head->status && head->status < 200 && head->status != 101
			     ? TEXT("")
			     : connection_of(h, head));
	if (!n)
		return -EMSGSIZE;
	sender_put(&h->out, n);
	e->bytes[TG_TX].head += n;
	if (!head->status || head->status == 101 || head->status >= 200)
		begin_out(h, &copy, last);
	return 0;
}

/* Framing: small, and taken in any case. */
static int put_text(struct h1 *h, const char *p, size_t n)
{
	uint8_t *room = sender_room(&h->out, n);

	if (!room)
		return -ENOMEM;
	memcpy(room, p, n);
	sender_put(&h->out, n);
	h->end.bytes[TG_TX].framing += n;
	return 0;
}

/* A chunk with its framing is one write. */
static ssize_t put_chunk(struct h1 *h, const uint8_t *p, size_t n)
{
	char size[H1_CHUNK_MAX];
	size_t window = sender_window(&h->out), len;
	uint8_t *room;

	if (window < 64 && !h->conn->out) {
		int err = sender_flush(&h->out);

		if (err)
			return err;
		window = sender_window(&h->out);
	}
	if (window < 64)
		return -EAGAIN;
	if (n > window - H1_CHUNK_MAX - 2)
		n = window - H1_CHUNK_MAX - 2;
	len = h1_chunk(size, n);
	room = sender_room(&h->out, len + n + 2);
	if (!room)
		return -ENOMEM;
	memcpy(room, size, len);
	memcpy(room + len, p, n);
	memcpy(room + len + n, "\r\n", 2);
	sender_put(&h->out, len + n + 2);
	h->end.bytes[TG_TX].framing += len + 2;
	return (ssize_t)n;
}

static ssize_t h1_put_body(struct http_end *e, const uint8_t *p, size_t n)
{
	struct h1 *h = h1_of(e);
	ssize_t taken;

	if (h->out_state == H1_OUT_BODY && h->out_body == HTTP_BODY_LENGTH && n > h->left)
		return -EPROTO; /* it said less before */
	if (h->deaf) {		/* nobody will read it */
		h->close = true;
		return (ssize_t)n;
	}
	if (h->out_state == H1_OUT_BODY && h->out_body == HTTP_BODY_CHUNKED)
		taken = put_chunk(h, p, n);
	else
		taken = sender_body(&h->out, p, n);
	h->blocked = taken == -EAGAIN; /* then conn->out waits for an event */
	if (taken < 0 && taken != -EAGAIN && h->is_back && !h->deaf) {
		h->deaf = h->close = true;
		h->conn->readable = true;
		h1_again(h);
		return (ssize_t)n;
	}
	if (taken > 0) {
		e->bytes[TG_TX].body += (uint64_t)taken;
		if (h->out_body == HTTP_BODY_LENGTH)
			h->left -= (uint64_t)taken;
	}
	return taken;
}

static int h1_put_last(struct http_end *e, const struct http_head *trailers)
{
	struct h1 *h = h1_of(e);
	uint8_t *room;
	size_t cap, n;
	int err = 0;

	if (h->out_state == H1_OUT_RAW) {
		h->out_state = H1_OUT_DONE;
		h->closing = true;
		h1_again(h);
		return 0;
	}
	if (h->deaf) { /* nobody takes it; its answer may be there */
		h->out_state = H1_OUT_DONE;
		return 0;
	}
	if (h->out_body == HTTP_BODY_LENGTH && h->left)
		return -EPROTO;
	if (h->out_body == HTTP_BODY_CHUNKED && !trailers)
		err = put_text(h, "0\r\n\r\n", 5);
	else if (h->out_body == HTTP_BODY_CHUNKED) {
		err = put_text(h, "0\r\n", 3);
		cap = head_bytes(trailers);
		room = err ? NULL : sender_room(&h->out, cap);
		n = room ? h1_write_trailers(room, cap, trailers) : 0;
		if (room) {
			sender_put(&h->out, n);
			h->end.bytes[TG_TX].framing += n;
		}
		err = err ? err : room ? 0 : -ENOMEM;
	}
	h->out_state = H1_OUT_DONE;
	return err;
}

static void h1_more(struct http_end *e)
{
	struct h1 *h = h1_of(e);

	if (!h->held)
		return;
	h->held = false;
	h1_again(h);
}

static void h1_stop(struct http_end *e, enum tg_end why)
{
	struct h1 *h = h1_of(e);

	e->exchange = NULL;
	h1_over(h, why, true);
}

static void forget_exchange(struct h1 *h)
{
	h1_tell_bytes(h);
	h->end.exchange = NULL;
	h1_drop_head(h);
}

/* What of the request is still to come is read, and thrown away, for a moment. */
static void h1_release(struct http_end *e)
{
	struct h1 *h = h1_of(e);
	bool whole = h->in_state == H1_IN_DONE && h->out_state == H1_OUT_DONE;

	forget_exchange(h);
	h->blocked = h->held = false;
	if (!whole)
		h->close = true;
	if (h->close && h->is_back) {
		h1_over(h, TG_END_DONE, !whole);
		return;
	}
	if (h->close) {
		h->closing = true;
		if (!whole)
			h->in_state = H1_IN_WASTE;
		h1_again(h);
		return;
	}
	h->in_state = H1_IN_WAIT;
	h->out_state = H1_OUT_WAIT;
	h->end.user = NULL;
	h->owner->idle(h);
	if (!h->over && (h->in || h->conn->readable))
		h1_again(h);
}

const struct http_end_ops h1_ops = { .put_head = h1_put_head,
				     .put_body = h1_put_body,
				     .put_last = h1_put_last,
				     .more = h1_more,
				     .stop = h1_stop,
				     .release = h1_release };
