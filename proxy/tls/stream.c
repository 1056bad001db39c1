/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/util.h"
#include "net/pool.h"
#include "net/worker.h"
#include "tls/context.h"
#include "tls/stream.h"

/* What of a direction was in records (RFC 8446 5.1, RFC 5246 6.2.1). */
struct sums {
	uint64_t records; /* all of them, headers included */
	uint64_t
		handshake; /* of these, handshake messages, tickets and key updates too */
	uint64_t other;	   /* alerts, and changes of the cipher */
	uint64_t application; /* the others, with what each costs */
	uint64_t app;	      /* what the user wrote or read */
	unsigned last;	      /* the size of the last one */
	int last_type;	      /* what is in it; -1: it is not told yet */
};

struct stream {
	struct layer layer; /* first */
	struct conn *conn;
	SSL *ssl;
	const struct route *route;
	const struct backend *backend; /* its other end; NULL: a client */
	uint8_t *head; /* what was read before, until the layer has read it */
	size_t head_n, head_at;
	struct sums sums[TG_DIR_MAX];
	int err;      /* of the socket, an errno */
	bool eof;     /* the socket has ended */
	bool batches; /* what is written may wait for the end of the turn */
	bool ended;   /* close_notify was sent */
};

static struct stream *stream_of(const struct conn *c)
{
	return container_of(c->layer, struct stream, layer);
}

/* --- the socket below, as a BIO --- */

static int bio_read(BIO *b, char *buf, int n)
{
	struct stream *s = BIO_get_data(b);
	struct conn *c = s->conn;
	size_t left = s->head_n - s->head_at;
	ssize_t got;

	BIO_clear_retry_flags(b);
	if (left) {
		got = (size_t)n < left ? n : (ssize_t)left;
		memcpy(buf, s->head + s->head_at, (size_t)got);
		s->head_at += (size_t)got;
		return (int)got;
	}
	free(s->head);
	s->head = NULL;
	s->head_n = s->head_at = 0;
	if (!c->stirred) {
		BIO_set_retry_read(b);
		return -1;
	}
	got = conn_raw_read(c, buf, (size_t)n);
	/* epoll(7): a read that is short has emptied the socket, and more is an event */
	if (got == -EAGAIN || (got > 0 && got < n && !c->ended && !c->urgent))
		c->stirred = false;
	if (got == -EAGAIN)
		BIO_set_retry_read(b);
	else if (got < 0)
		s->err = (int)-got;
	s->eof |= got == 0;
	return got < 0 ? -1 : (int)got;
}

static int bio_write(BIO *b, const char *buf, int n)
{
	struct stream *s = BIO_get_data(b);
	uint8_t *room = s->batches && n < POOL_BUFFER_BYTES ? conn_room(s->conn) : NULL;
	ssize_t taken = n;

	if (room) {
		memcpy(room, buf, (size_t)n);
		conn_put(s->conn, (size_t)n);
	} else {
		taken = conn_raw_write(s->conn, buf, (size_t)n);
	}
	BIO_clear_retry_flags(b);
	if (taken == -EAGAIN)
		BIO_set_retry_write(b);
	else if (taken < 0)
		s->err = (int)-taken;
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

static uint64_t *class_of(struct sums *n, int type)
{
	return type == SSL3_RT_HANDSHAKE	  ? &n->handshake
	       : type == SSL3_RT_APPLICATION_DATA ? &n->application
						  : &n->other;
}

static void is_of(struct sums *n, int type)
{
	*class_of(n, type) += n->last;
	n->last_type = type;
}

/* One that could not be decrypted is nobody's. */
static void end_record(struct sums *n)
{
	if (n->last && n->last_type < 0)
		is_of(n, SSL3_RT_ALERT);
	n->last_type = -1;
}

/* A header that was told, of a record that did not come whole. */
static void undo_record(struct sums *n)
{
	*class_of(n, n->last_type) -= n->last;
	n->records -= n->last;
}

/*
 * SSL_set_msg_callback(3).  A header comes first; what is in a record of TLS 1.3 that is
 * encrypted is told behind it.
 */
static void on_message(int write, int version, int type, const void *buf, size_t len,
		       SSL *ssl, void *arg)
{
	struct stream *s = arg;
	struct sums *n = &s->sums[write ? TG_TX : TG_RX];
	const uint8_t *p = buf;

	(void)version;
	if (type == SSL3_RT_HEADER && len >= 5) {
		end_record(n);
		n->last = 5u + ((unsigned)p[3] << 8 | p[4]);
		n->records += n->last;
		if (p[0] != SSL3_RT_APPLICATION_DATA ||
		    SSL_version(ssl) != TLS1_3_VERSION)
			is_of(n, p[0]);
	} else if (type == SSL3_RT_INNER_CONTENT_TYPE && len == 1 && n->last_type < 0) {
		is_of(n, p[0]);
	}
}

/* Once, at the layer's end. */
static void tell_book(struct stream *s)
{
	const struct conn *c = s->conn;
	struct sums *rx = &s->sums[TG_RX], *tx = &s->sums[TG_TX];
	uint64_t sent = c->tx + conn_held(c), partial;
	struct proxy_slot *slot = c->slot;

	rx->app += (uint64_t)SSL_pending(s->ssl); /* decrypted, and nobody has read it */
	for (int i = 0; i < TG_DIR_MAX; i++) {
		if (s->sums[i].last && s->sums[i].last_type < 0)
			is_of(&s->sums[i], SSL3_RT_ALERT);
	}
	if (rx->records > c->rx - (s->head_n - s->head_at))
		undo_record(rx);
	partial = c->rx > rx->records ? c->rx - rx->records : 0;
	book_add(&slot->tls_connections, 1);
	book_add(&slot->tls_rx_bytes, c->rx);
	book_add(&slot->tls_tx_bytes, sent);
	book_add(&slot->app_rx_bytes, rx->app);
	book_add(&slot->app_tx_bytes, tx->app);
	book_add(&slot->tls_rx_handshake_bytes, rx->handshake);
	book_add(&slot->tls_tx_handshake_bytes, tx->handshake);
	book_add(&slot->tls_rx_record_bytes, rx->other + rx->application - rx->app);
	book_add(&slot->tls_tx_record_bytes, tx->other + tx->application - tx->app);
	book_add(&slot->tls_partial_bytes, partial);
	/* bytes that are in no record, or records that no byte was sent of */
	book_add(&slot->tls_residual_bytes,
		 (rx->records > c->rx ? rx->records - c->rx : 0) +
			 (tx->records > sent ? tx->records - sent : sent - tx->records));
}

/* --- the layer --- */

static ssize_t failed(struct stream *s, int ret)
{
	int err = SSL_get_error(s->ssl, ret);

	if (err == SSL_ERROR_WANT_READ || err == SSL_ERROR_WANT_WRITE)
		return -EAGAIN;
	if (err == SSL_ERROR_ZERO_RETURN)
		return 0;
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
	if (n <= 0)
		return failed(s, n);
	s->sums[TG_RX].app += (uint64_t)n;
	return n;
}

static bool stream_has_more(const struct conn *c)
{
	const struct stream *s = stream_of(c);

	return c->stirred || s->head || SSL_has_pending(s->ssl);
}

/* `out` is empty, so the one record that this is was taken whole. */
static ssize_t stream_write(struct conn *c, const void *buf, size_t n)
{
	struct stream *s = stream_of(c);
	int taken;

	if (c->out || c->queued)
		return -EAGAIN;
	ERR_clear_error();
	s->batches = true; /* it is one record */
	taken = SSL_write(s->ssl, buf, (int)n);
	s->batches = false;
	if (taken <= 0)
		return failed(s, taken);
	s->sums[TG_TX].app += (uint64_t)taken;
	return taken;
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

static const struct layer_ops ops = { .name = "tls",
				      .read = stream_read,
				      .write = stream_write,
				      .has_more = stream_has_more,
				      .finish = stream_finish,
				      .free = stream_free };

/* --- opening --- */

/* RFC 6066 3: fatal, in a record of its own, before there is a key. */
static void refuse_name(struct conn *c, bool named)
{
	static const uint8_t unrecognized[] = { 21, 3, 3, 0, 2, 2, 112 };
	static const uint8_t missing[] = { 21, 3, 3, 0, 2, 2, 109 };

	(void)conn_raw_write(c, named ? unrecognized : missing, sizeof(missing));
}

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

static int set_options(SSL *ssl, const struct stream_options *o)
{
	const uint16_t ids[2] = { o->listener, o->route->id };
	const struct route *r = o->route;

	/* a ticket is for where it was given */
	if (!SSL_set_session_id_context(ssl, (const unsigned char *)ids, sizeof(ids)))
		return -EINVAL;
	if (r->min_tls == 13 && !SSL_set_min_proto_version(ssl, TLS1_3_VERSION))
		return -EINVAL;
	if (r->ciphers && !SSL_set_cipher_list(ssl, r->ciphers))
		return -EINVAL;
	if (r->groups && !SSL_set1_groups_list(ssl, r->groups))
		return -EINVAL;
	return 0;
}

/* The first of the route's that the client offers. */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_n,
			   const unsigned char *in, unsigned in_n, void *arg)
{
	const struct stream *s = SSL_get_app_data(ssl);

	(void)arg;
	for (unsigned i = 0; i < s->route->alpn_count; i++) {
		size_t len = strlen(s->route->alpn[i]);

		for (unsigned at = 0; at < in_n; at += in[at] + 1u) {
			if (in[at] != len || at + 1 + len > in_n ||
			    memcmp(in + at + 1, s->route->alpn[i], len) != 0)
				continue;
			*out = in + at + 1;
			*out_n = in[at];
			return SSL_TLSEXT_ERR_OK;
		}
	}
	return SSL_TLSEXT_ERR_NOACK; /* the route says nothing of it */
}

int stream_open(struct conn *c, const struct stream_options *o)
{
	struct cert_pair pair;
	struct stream *s;
	SSL_CTX *ctx;
	BIO *bio;

	if (!certs_find(o->certs, o->name, &pair)) {
		refuse_name(c, o->name[0]);
		return -ENOENT;
	}
	ctx = context_get(c->worker, o->certs, &pair, choose_protocol);
	if (!ctx)
		return -EINVAL;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	*s = (struct stream){ .layer.ops = &ops,
			      .conn = c,
			      .route = o->route,
			      .head = malloc(o->head_n + 1),
			      .head_n = o->head_n,
			      .ssl = SSL_new(ctx) };
	bio = s->head && s->ssl ? bio_of(s) : NULL;
	if (!bio || set_options(s->ssl, o) < 0) {
		BIO_free(bio);
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

	if (s->backend)
		context_keep(s->conn->worker, s->backend, session);
	return 0;
}

static int offer_protocol(SSL *ssl, const struct conn *client)
{
	const unsigned char *name = NULL;
	unsigned char list[256];
	unsigned n = 0;

	if (client && client->layer)
		SSL_get0_alpn_selected(stream_of(client)->ssl, &name, &n);
	if (!n)
		return 0;
	list[0] = (unsigned char)n;
	memcpy(list + 1, name, n);
	return SSL_set_alpn_protos(ssl, list, n + 1) == 0 ? 0 : -ENOMEM;
}

static int set_target(struct conn *c, SSL *ssl, const struct stream_target *t)
{
	SSL_SESSION *session;

	if (t->sni[0] && !SSL_set_tlsext_host_name(ssl, t->sni))
		return -ENOMEM;
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (t->name[0] && !SSL_set1_host(ssl, t->name))
		return -ENOMEM;
	session = context_session(c->worker, t->backend);
	if (session)
		(void)SSL_set_session(ssl, session);
	SSL_SESSION_free(session);
	return offer_protocol(ssl, t->client);
}

int stream_connect(struct conn *c, const struct stream_target *t)
{
	SSL_CTX *ctx = context_to(c->worker, t->route->trust);
	struct stream *s = ctx ? calloc(1, sizeof(*s)) : NULL;
	BIO *bio;

	if (!s)
		return ctx ? -ENOMEM : -EINVAL;
	SSL_CTX_sess_set_new_cb(ctx, on_session);
	*s = (struct stream){ .layer.ops = &ops,
			      .conn = c,
			      .route = t->route,
			      .backend = t->backend,
			      .ssl = SSL_new(ctx) };
	bio = s->ssl ? bio_of(s) : NULL;
	if (!bio || set_target(c, s->ssl, t) < 0) {
		BIO_free(bio);
		SSL_free(s->ssl);
		free(s);
		return -ENOMEM;
	}
	begin(s, bio);
	SSL_set_connect_state(s->ssl);
	return 0;
}

bool stream_is_distrusted(const struct conn *c, const char **why)
{
	long result = SSL_get_verify_result(stream_of(c)->ssl);

	*why = X509_verify_cert_error_string(result);
	return result != X509_V_OK;
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
	if (ret == 1)
		return 0;
	if (failed(s, ret) == -EAGAIN)
		return -EAGAIN;
	*why = reason_of(s);
	ERR_clear_error();
	return -EPROTO;
}

bool stream_is_resumed(const struct conn *c)
{
	return SSL_session_reused(stream_of(c)->ssl);
}

uint16_t stream_version(const struct conn *c)
{
	const SSL *ssl = c->layer ? stream_of(c)->ssl : NULL;

	return ssl && SSL_is_init_finished(ssl) ? (uint16_t)SSL_version(ssl) : 0;
}
