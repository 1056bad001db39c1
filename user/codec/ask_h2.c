/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <string.h>

#include "base/util.h"
#include "codec/ask_own.h"

#define GRPC_PREFIX 5 /* not compressed; the length of the message */

/* --- what comes --- */

/* Up to three digits. */
static unsigned number_of(const uint8_t *p, size_t n)
{
	unsigned v = 0;

	for (size_t i = 0; i < n && i < 3 && p[i] >= '0' && p[i] <= '9'; i++)
		v = v * 10 + (unsigned)(p[i] - '0');
	return v;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame,
		     const uint8_t *name, size_t name_n, const uint8_t *value,
		     size_t value_n, uint8_t flags, void *arg)
{
	struct text t = text_of((const char *)name, name_n);
	struct ask *a = arg;

	(void)session;
	(void)frame;
	(void)flags;
	if (text_is(t, TEXT(":status")))
		a->answer.status = number_of(value, value_n);
	else if (text_is(t, TEXT("grpc-status")))
		a->answer.grpc = (int)number_of(value, value_n);
	return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream,
		   const uint8_t *p, size_t n, void *arg)
{
	(void)session;
	(void)flags;
	(void)stream;
	ask_keep(arg, p, n);
	return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *f, void *arg)
{
	struct ask *a = arg;

	(void)session;
	if (f->hd.type == NGHTTP2_HEADERS && a->answer.status >= 200)
		a->head_in = true;
	return 0;
}

static int on_close(nghttp2_session *session, int32_t stream, uint32_t code, void *arg)
{
	struct ask *a = arg;

	(void)session;
	(void)stream;
	a->closed = true;
	a->refused = code != NGHTTP2_NO_ERROR;
	return 0;
}

enum ask_step ask_h2_came(struct ask *a, const uint8_t *p, size_t n)
{
	ssize_t r = n ? nghttp2_session_mem_recv(a->session, p, n) : -1;

	if (r < 0 || (size_t)r != n || (a->closed && (a->refused || !a->head_in)))
		return ASK_BAD;
	if (a->closed || a->answer.body.n == sizeof(a->body))
		return ASK_DONE;
	return a->head_in && !a->wants_body ? ASK_DONE : ASK_MORE;
}

/* --- what goes --- */

struct text ask_h2_to_send(struct ask *a)
{
	if (!a->out_n) {
		ssize_t n = nghttp2_session_mem_send(a->session, &a->out);

		a->out_n = n > 0 ? (size_t)n : 0;
	}
	return text_of((const char *)a->out, a->out_n);
}

void ask_h2_sent(struct ask *a, size_t n)
{
	a->out += n;
	a->out_n -= n;
}

static ssize_t give_message(nghttp2_session *session, int32_t stream, uint8_t *buf,
			    size_t cap, uint32_t *flags, nghttp2_data_source *source,
			    void *arg)
{
	struct ask *a = arg;
	size_t n = a->request_n - a->message_at;

	(void)session;
	(void)stream;
	(void)source;
	n = n < cap ? n : cap;
	memcpy(buf, a->request + a->message_at, n);
	a->message_at += n;
	if (a->message_at == a->request_n)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)n;
}

static nghttp2_nv field(const char *name, struct text value)
{
	return (nghttp2_nv){ .name = (uint8_t *)name,
			     .namelen = strlen(name),
			     .value = (uint8_t *)value.p,
			     .valuelen = value.n };
}

static int submit(struct ask *a, const struct ask_request *r)
{
	const nghttp2_data_provider message = { .read_callback = give_message };
	const nghttp2_nv fields[] = {
		field(":method", r->is_grpc ? TEXT("POST") : TEXT("GET")),
		field(":scheme", r->is_tls ? TEXT("https") : TEXT("http")),
		field(":authority", r->host),
		field(":path", r->path),
		field("user-agent", TEXT("tollgate-check")),
		field("content-type", TEXT("application/grpc")),
		field("te", TEXT("trailers")),
	};
	size_t n = r->is_grpc ? ARRAY_SIZE(fields) : ARRAY_SIZE(fields) - 2;
	int id = nghttp2_submit_request(a->session, NULL, fields, n,
					r->is_grpc ? &message : NULL, NULL);

	return id < 0 ? -ENOMEM : 0;
}

static int open_session(struct ask *a)
{
	nghttp2_session_callbacks *c;
	int err = nghttp2_session_callbacks_new(&c);

	if (err)
		return -ENOMEM;
	nghttp2_session_callbacks_set_on_header_callback(c, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, on_data);
	nghttp2_session_callbacks_set_on_frame_recv_callback(c, on_frame);
	nghttp2_session_callbacks_set_on_stream_close_callback(c, on_close);
	err = nghttp2_session_client_new(&a->session, c, a);
	nghttp2_session_callbacks_del(c);
	return err ? -ENOMEM : 0;
}

int ask_h2_open(struct ask *a, const struct ask_request *r)
{
	const nghttp2_settings_entry none[] = { { NGHTTP2_SETTINGS_ENABLE_PUSH, 0 } };
	size_t n = r->message.n;
	int err;

	if (n > sizeof(a->request) - GRPC_PREFIX)
		return -EMSGSIZE;
	if (r->is_grpc) { /* "Length-Prefixed-Message" of gRPC over HTTP/2 */
		a->request[3] = (uint8_t)(n >> 8);
		a->request[4] = (uint8_t)n;
		memcpy(a->request + GRPC_PREFIX, r->message.p, n);
		a->request_n = GRPC_PREFIX + n;
	}
	err = open_session(a);
	if (!err && nghttp2_submit_settings(a->session, NGHTTP2_FLAG_NONE, none, 1))
		err = -ENOMEM;
	return err ? err : submit(a, r);
}

void ask_h2_close(struct ask *a)
{
	nghttp2_session_del(a->session);
}
