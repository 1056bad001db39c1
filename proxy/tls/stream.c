/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/util.h"
#include "net/pool.h"
#include "net/worker.h"
#include "config/http.h"
#include "tls/context.h"
#include "tls/peer.h"
#include "tls/stream_own.h"
#include "tls/tally.h"

/*
 * Key updates, tickets and the like, which OpenSSL takes without end, and each costs
 * keys; looked at when more is read, and a read may bring some hundred.
 */
#define MESSAGES_MAX 32

/* Of a client that does not read: OpenSSL's own answers stop here, and it waits. */
#define OWN_MAX (8 * POOL_BUFFER_BYTES)

/* From here on a record leaves by a call of its own. */
#define GATHER_LARGE 4096

/* --- the socket below, as a BIO --- */

/* What was read before comes first; 0: all of it has been read. */
static size_t head_read(struct stream *s, char *buf, size_t n)
{
	size_t left = s->head_n - s->head_at, taken = n < left ? n : left;

	if (left) {
		memcpy(buf, s->head + s->head_at, taken);
		s->head_at += taken;
		return taken;
	}
	free(s->head);
	s->head = NULL;
	s->head_n = s->head_at = 0;
	return 0;
}

static ssize_t socket_read(struct stream *s, char *buf, size_t n)
{
	struct conn *c = s->conn;
	ssize_t got = c->stirred ? conn_raw_read(c, buf, n) : -EAGAIN;

	/* epoll(7): a read that is short has emptied the socket, and more is an event */
	if (got == -EAGAIN || (got > 0 && (size_t)got < n && !c->ended && !c->urgent))
		c->stirred = false;
	s->eof |= got == 0;
	return got;
}

static int bio_read(BIO *b, char *buf, int n)
{
	struct stream *s = BIO_get_data(b);
	ssize_t got;

	BIO_clear_retry_flags(b);
	if (s->idle_messages > MESSAGES_MAX)
		return -1;
	got = (ssize_t)head_read(s, buf, (size_t)n);
	if (!got)
		got = socket_read(s, buf, (size_t)n);
	if (got == -EAGAIN)
		BIO_set_retry_read(b);
	else if (got < 0)
		s->err = (int)-got;
	else
		record_frames_add(&s->records.frames[TG_RX], buf, (size_t)got);
	return got < 0 ? -1 : (int)got;
}

/* Within a write of the user all is taken: relay.c has nowhere to put it back. */
static bool give(struct stream *s, const void *data, size_t n)
{
	struct conn *c = s->conn;
	ssize_t taken = c->out ? conn_hold(c, data, n) : conn_raw_write(c, data, n);

	if (taken < 0)
		s->err = (int)-taken;
	return taken >= 0;
}

/* Small records leave together; a copy of a large one costs more than its call. */
static ssize_t gather(struct stream *s, const char *buf, int n)
{
	struct gather *g = context_gather(s->conn->worker);
	bool is_large = n >= GATHER_LARGE;

	if (g->n && (is_large || g->n + (size_t)n > sizeof(g->data))) {
		if (!give(s, g->data, g->n))
			return -s->err;
		g->n = 0;
	}
	if (is_large)
		return give(s, buf, (size_t)n) ? n : -s->err;
	memcpy(g->data + g->n, buf, (size_t)n);
	g->n += (size_t)n;
	return n;
}

/* At the end of the turn, if there is room for that. */
static void give_gathered(struct stream *s)
{
	struct conn *c = s->conn;
	struct gather *g = context_gather(c->worker);
	uint8_t *room = g->n && !c->out ? conn_room(c) : NULL;

	if (room) {
		memcpy(room, g->data, g->n);
		conn_put(c, g->n);
	} else if (g->n) {
		(void)give(s, g->data, g->n);
	}
}

/*
 * What OpenSSL says by itself goes behind what there is: while it goes through its states
 * it has a buffer before us, throws away what that could not give, and has told of it.
 */
static ssize_t give_own(struct stream *s, const char *buf, size_t n)
{
	if (conn_send_now(s->conn) && s->conn->err == ENOMEM) {
		s->err = ENOMEM; /* there is a gap: nothing may follow it */
		return -ENOMEM;
	}
	if (conn_held(s->conn) > OWN_MAX) {
		s->refused = true;
		return -EAGAIN;
	}
	return give(s, buf, n) ? (ssize_t)n : -s->err;
}

static int bio_write(BIO *b, const char *buf, int n)
{
	struct stream *s = BIO_get_data(b);
	ssize_t taken;

	BIO_clear_retry_flags(b);
	taken = s->gathers ? gather(s, buf, n) : give_own(s, buf, (size_t)n);
	if (taken == -EAGAIN)
		BIO_set_retry_write(b);
	else if (taken < 0 && !s->err)
		s->err = (int)-taken;
	else if (taken > 0)
		record_frames_add(&s->records.frames[TG_TX], buf, (size_t)taken);
	return taken < 0 ? -1 : (int)taken;
}

static long bio_ctrl(BIO *b, int cmd, long larg, void *parg)
{
	const struct stream *s = BIO_get_data(b);

	(void)larg;
	(void)parg;
	if (cmd == BIO_CTRL_EOF)
		return s->eof;
	return cmd == BIO_CTRL_FLUSH;
}

static BIO_METHOD *method;

static void make_method(void)
{
	method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "conn");
	if (!method)
		return;
	(void)BIO_meth_set_read(method, bio_read);
	(void)BIO_meth_set_write(method, bio_write);
	(void)BIO_meth_set_ctrl(method, bio_ctrl);
}

static BIO *bio_of(struct stream *s)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	BIO *b;

	(void)pthread_once(&once, make_method);
	b = method ? BIO_new(method) : NULL;
	if (!b)
		return NULL;
	BIO_set_data(b, s);
	BIO_set_init(b, 1);
	return b;
}

/* --- the truth of records --- */

/* SSL_set_msg_callback(3) */
static void on_message(int write, int version, int type, const void *buf, size_t len,
		       SSL *ssl, void *arg)
{
	struct stream *s = arg;

	(void)version;
	if (!write && type == SSL3_RT_HANDSHAKE && s->shaken)
		s->idle_messages++;
	if (type == SSL3_RT_ALERT && len == 2 && s->hellos)
		tally_alert(s->hellos, write ? TG_TX : TG_RX, ((const uint8_t *)buf)[1]);
	record_sums_tell(&s->records.sums[write ? TG_TX : TG_RX],
			 SSL_version(ssl) == TLS1_3_VERSION, type, buf, len);
}

/* Once, at the layer's end. */
static void tell_book(struct stream *s)
{
	const struct record_end e = { .unread = s->head_n - s->head_at,
				      .pending = (size_t)SSL_pending(s->ssl),
				      .may_hold = s->broken || SSL_has_pending(s->ssl),
				      .may_owe = s->err || s->refused,
				      .failed = s->err != 0 };

	record_book_close(&s->records, s->conn, &e);
}

/* --- the layer --- */

static ssize_t failed(struct stream *s, int ret)
{
	int err = SSL_get_error(s->ssl, ret);

	if (err == SSL_ERROR_WANT_READ || err == SSL_ERROR_WANT_WRITE)
		return -EAGAIN;
	if (err == SSL_ERROR_ZERO_RETURN)
		return 0;
	s->broken = true;
	if (s->eof) /* FIN, and no close_notify (RFC 8446 6.1) */
		return -ENODATA;
	return s->err ? -s->err : -EPROTO;
}

static ssize_t stream_read(struct conn *c, void *buf, size_t cap)
{
	struct stream *s = stream_of(c);
	int n;

	ERR_clear_error();
	n = SSL_read(s->ssl, buf, (int)cap);
	/* it owes an answer of its own, such as a key update */
	c->wants_write = n <= 0 && SSL_get_error(s->ssl, n) == SSL_ERROR_WANT_WRITE;
	c->awaited |= c->wants_write && c->queued;
	if (n <= 0)
		return failed(s, n);
	s->records.sums[TG_RX].app += (uint64_t)n;
	s->idle_messages = 0;
	return n;
}

static bool stream_has_more(const struct conn *c)
{
	const struct stream *s = stream_of(c);

	return c->stirred || s->head || SSL_has_pending(s->ssl);
}

static size_t stream_unread(const struct conn *c)
{
	return (size_t)SSL_pending(stream_of(c)->ssl);
}

static uint64_t stream_carried(const struct conn *c, enum tg_dir dir)
{
	return stream_of(c)->records.sums[dir].app;
}

static ssize_t stream_write(struct conn *c, const void *buf, size_t n)
{
	struct stream *s = stream_of(c);
	ssize_t err = 0;
	int taken;

	if (c->out || c->queued)
		return -EAGAIN;
	ERR_clear_error();
	s->gathers = true;
	taken = SSL_write(s->ssl, buf, (int)n);
	s->gathers = false;
	if (taken > 0)
		s->records.sums[TG_TX].app += (uint64_t)taken;
	else
		err = failed(s, taken);
	if (!s->err)
		give_gathered(s);
	context_gather(c->worker)->n = 0;
	if (s->err)
		return -s->err;
	/* it never waits: whatever it was, these bytes are lost */
	return taken == (int)n ? taken : err < 0 && err != -EAGAIN ? err : -EPROTO;
}

static int stream_finish(struct conn *c)
{
	struct stream *s = stream_of(c);

	if (s->ended)
		return 0;
	s->ended = true;
	ERR_clear_error();
	return SSL_shutdown(s->ssl) < 0 ? -EPROTO : 0;
}

static void stream_free(struct conn *c)
{
	struct stream *s = stream_of(c);

	if (c->slot)
		tell_book(s);
	SSL_free(s->ssl);
	free(s->head);
	free(s);
}

static const struct layer_ops ops = { .read = stream_read,
				      .write = stream_write,
				      .has_more = stream_has_more,
				      .unread = stream_unread,
				      .carried = stream_carried,
				      .finish = stream_finish,
				      .free = stream_free };

/* --- opening --- */

/* From now on the conn has a layer. */
static void begin(struct stream *s, BIO *bio)
{
	SSL_set_bio(s->ssl, bio, bio);
	SSL_set_app_data(s->ssl, s);
	SSL_set_msg_callback(s->ssl, on_message);
	SSL_set_msg_callback_arg(s->ssl, s);
	s->conn->layer = &s->layer;
	s->conn->stirred = true;
}

/* The first of the route's that the client offers. */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_n,
			   const unsigned char *in, unsigned in_n, void *arg)
{
	const struct stream *s = SSL_get_app_data(ssl);

	(void)arg;
	for (unsigned i = 0; i < s->route->protocols_count; i++) {
		size_t len = strlen(s->route->protocols[i]);

		for (unsigned at = 0; at < in_n; at += in[at] + 1u) {
			if (in[at] != len || at + 1 + len > in_n ||
			    memcmp(in + at + 1, s->route->protocols[i], len) != 0)
				continue;
			*out = in + at + 1;
			*out_n = in[at];
			return SSL_TLSEXT_ERR_OK;
		}
	}
	/* RFC 7301 3.2: what is agreed on is what is spoken; else nothing was said of it
	 */
	return s->route->http ? SSL_TLSEXT_ERR_ALERT_FATAL : SSL_TLSEXT_ERR_NOACK;
}

int stream_open(struct conn *c, const struct stream_options *o)
{
	struct context_key key = { .generation = o->certs->generation,
				   .route = o->route,
				   .listener = o->listener };
	struct stream *s;
	SSL_CTX *ctx;
	BIO *bio;

	if (!certs_find(o->certs, o->name, &key.pair))
		return -ENOENT;
	ctx = context_get(c->worker, &key, choose_protocol);
	if (!ctx)
		return -EINVAL;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	*s = (struct stream){ .layer.ops = &ops,
			      .conn = c,
			      .route = o->route,
			      .hellos = o->hellos,
			      .head = malloc(o->head_n + 1),
			      .head_n = o->head_n,
			      .ssl = SSL_new(ctx) };
	bio = s->head && s->ssl ? bio_of(s) : NULL;
	if (!bio) {
		SSL_free(s->ssl);
		free(s->head);
		free(s);
		return -ENOMEM;
	}
	memcpy(s->head, o->head, o->head_n);
	begin(s, bio);
	SSL_set_accept_state(s->ssl);
	return 0;
}

/* --- opening, to a backend --- */

/* SSL_CTX_sess_set_new_cb(3): 0, as we take a reference of our own. */
static int on_session(SSL *ssl, SSL_SESSION *session)
{
	const struct stream *s = SSL_get_app_data(ssl);
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

	if (s->backend)
		context_keep(s->conn->worker, s->route->trust, s->backend,
			     name ? name : "", session);
	return 0;
}

/* What the client speaks, too; of HTTP what the route says. */
static int offer_protocol(SSL *ssl, const struct route *r, const struct conn *client)
{
	const unsigned char *name = NULL;
	unsigned n = 0;

	if (r->http)
		return peer_offer(ssl, text_of_string(config_protocol(r->http)));
	if (client && client->layer)
		SSL_get0_alpn_selected(stream_of(client)->ssl, &name, &n);
	return n ? peer_offer(ssl, text_of((const char *)name, n)) : 0;
}

static int set_target(struct conn *c, SSL *ssl, const struct stream_target *t)
{
	SSL_SESSION *session;

	if (t->sni[0] && !SSL_set_tlsext_host_name(ssl, t->sni))
		return -ENOMEM;
	if (!t->route->trust->insecure && peer_must_be(ssl, t->name, t->addr) < 0)
		return -EACCES;
	session = context_session(c->worker, t->route->trust, t->backend, t->sni);
	if (session)
		(void)SSL_set_session(ssl, session);
	SSL_SESSION_free(session);
	return offer_protocol(ssl, t->route, t->client);
}

int stream_connect(struct conn *c, const struct stream_target *t)
{
	SSL_CTX *ctx = context_to(c->worker, t->route->trust, on_session);
	struct stream *s = ctx ? calloc(1, sizeof(*s)) : NULL;
	BIO *bio;
	int err;

	if (!s)
		return ctx ? -ENOMEM : -EINVAL;
	*s = (struct stream){ .layer.ops = &ops,
			      .conn = c,
			      .route = t->route,
			      .backend = t->backend,
			      .ssl = SSL_new(ctx) };
	bio = s->ssl ? bio_of(s) : NULL;
	err = bio ? set_target(c, s->ssl, t) : -ENOMEM;
	if (err) {
		BIO_free(bio);
		SSL_free(s->ssl);
		free(s);
		return err;
	}
	begin(s, bio);
	SSL_set_connect_state(s->ssl);
	return 0;
}

/* --- the handshake --- */

static enum tg_end reason_of(const struct stream *s)
{
	unsigned long err = ERR_peek_error();
	int why = ERR_GET_REASON(err);

	if (s->eof)
		return TG_END_TLS_CLOSED;
	if (s->err)
		return TG_END_TLS_RESET;
	if (ERR_GET_LIB(err) == ERR_LIB_SSL && why >= SSL_AD_REASON_OFFSET)
		return TG_END_TLS_ALERT; /* the client's word, ssl/ssl_stat.c */
	switch (why) {
	case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
		return TG_END_CLIENT_CERTIFICATE;
	case SSL_R_CERTIFICATE_VERIFY_FAILED:
		return s->backend ? TG_END_BACKEND_TRUST : TG_END_CLIENT_TRUST;
	case SSL_R_NO_SHARED_CIPHER:
	case SSL_R_NO_SUITABLE_KEY_SHARE:
	case SSL_R_NO_SHARED_GROUPS:
	case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
	case SSL_R_UNSUPPORTED_PROTOCOL:
	case SSL_R_VERSION_TOO_LOW:
		return TG_END_TLS_NOT_SHARED;
	default:
		return TG_END_TLS_HANDSHAKE;
	}
}

int stream_handshake(struct conn *c, enum tg_end *why)
{
	struct stream *s = stream_of(c);
	int err = c->out ? conn_flush(c) : 0, ret;

	if (err && err != -EAGAIN) {
		*why = TG_END_TLS_RESET;
		return -EPROTO;
	}
	if (err) {
		c->writable = false;
		return -EAGAIN;
	}
	ERR_clear_error();
	ret = SSL_do_handshake(s->ssl);
	s->shaken = ret == 1;
	if (s->shaken)
		return 0;
	if (failed(s, ret) == -EAGAIN)
		return -EAGAIN;
	*why = reason_of(s);
	ERR_clear_error();
	return -EPROTO;
}
