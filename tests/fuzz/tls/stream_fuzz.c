/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The TLS layer against OpenSSL's client or, as of a backend, its server, whose bytes are
 * changed on the way as the input says: passed on, flipped, cut, doubled, or records of
 * the input's own between them.
 * Whatever comes, each byte is in one column, and every read and write ends.
 */
#include <fcntl.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "net/pool.h"
#include "tests/unit/net/stage.h"
#include "tests/unit/tls/make.h"
#include "tls/context.h"
#include "tls/stream.h"

static struct config *config;
static SSL_CTX *client_ctx, *server_ctx;
static const uint8_t *script;
static size_t script_n;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static uint8_t next(void)
{
	if (!script_n)
		return 0;
	script_n--;
	return *script++;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	make_begin();
	make_cert("exact", "DNS:a.example.org", false, 90);
	config = make_config();
	client_ctx = SSL_CTX_new(TLS_client_method());
	server_ctx = SSL_CTX_new(TLS_server_method());
	if (SSL_CTX_use_certificate_file(server_ctx, make_path("exact", "pem"),
					 SSL_FILETYPE_PEM) != 1 ||
	    SSL_CTX_use_PrivateKey_file(server_ctx, make_path("exact", "key"),
					SSL_FILETYPE_PEM) != 1)
		abort();
	make_end();
	net_up(4, 8);
	if (context_open(&net_worker) < 0)
		abort();
	return 0;
}

static void on_event(struct ev_io *io, uint32_t events)
{
	(void)conn_event(io, events);
}

/* Into the socket, as far as it takes it. */
static void put(int fd, const void *data, size_t n)
{
	(void)!send(fd, data, n, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* A record of the input's own: type and length are anything. */
static void put_record(int fd)
{
	uint8_t record[5 + 64] = { next(), 3, 3, 0, 0 };
	uint8_t n = next() % 64;

	record[3] = next() & 1 ? 0x40 : 0;
	record[4] = next() & 1 ? n : (uint8_t)(n + 1);
	for (uint8_t i = 0; i < n; i++)
		record[5 + i] = next();
	put(fd, record, 5u + n);
}

/* What the other end has to say, changed on the way. */
static void pass(BIO *sent, int fd)
{
	uint8_t buf[4096], how = next();
	int n = BIO_read(sent, buf, sizeof(buf));

	if (n <= 0)
		n = 0;
	switch (how % 8) {
	case 1:
		if (n)
			buf[(next() << 8 | next()) % n] ^= (uint8_t)(next() | 1);
		break;
	case 2:
		n = n ? (next() << 8 | next()) % n : 0;
		break;
	case 3:
		put(fd, buf, (size_t)n);
		break;
	case 4:
		put_record(fd);
		break;
	default:
		break;
	}
	put(fd, buf, (size_t)n);
}

static void look(struct conn *c)
{
	c->readable = c->stirred = c->writable = true;
}

/* The layer's turn.  False: it is over. */
static bool serve(struct conn *c, bool *open)
{
	static uint8_t buf[POOL_BUFFER_BYTES];
	enum tg_end why = TG_END_DONE;
	ssize_t n = -EAGAIN;
	int err;

	look(c);
	if (!*open) {
		err = stream_handshake(c, &why);
		*open = err == 0;
		return !err || err == -EAGAIN;
	}
	for (int i = 0; i < 64; i++) {
		n = conn_read(c, buf, sizeof(buf));
		if (n <= 0)
			break;
		if (conn_write(c, buf, (size_t)n) < 0)
			break;
		conn_settle(&net_worker);
	}
	return n == -EAGAIN;
}

static void talk(struct conn *c, SSL *other, BIO *sent, int fd)
{
	bool open = false, lives = true;
	char text[300] = "text";

	for (int turn = 0; turn < 40 && lives && (script_n || turn < 8); turn++) {
		if (!SSL_is_init_finished(other)) {
			(void)SSL_do_handshake(other);
		} else {
			uint8_t what = next();

			if (what < 160)
				(void)SSL_write(other, text, what % 200 + 1);
			else if (what < 200)
				(void)SSL_key_update(other, SSL_KEY_UPDATE_REQUESTED);
			else if (what < 220)
				(void)SSL_shutdown(other);
			else if (what < 230)
				(void)shutdown(fd, SHUT_WR);
			(void)SSL_read(other, text, sizeof(text));
		}
		pass(sent, fd);
		lives = serve(c, &open);
		ERR_clear_error();
	}
}

/* What the client says first was read before, as the opening does. */
static int open_client(struct conn *c, SSL *client, BIO *sent)
{
	struct stream_options o = { .certs = config->listeners[0].certs,
				    .route = &config->listeners[0].routes[0],
				    .listener = "web",
				    .name = "a.example.org" };
	uint8_t head[4096];
	int got;

	(void)SSL_do_handshake(client);
	got = BIO_read(sent, head, sizeof(head));
	if (next() & 1 && got > 0)
		head[(next() << 8 | next()) % got] ^= next();
	o.head = head;
	o.head_n = got > 0 ? (size_t)got : 0;
	conn_add_rx(c, o.head_n);
	return stream_open(c, &o);
}

static int open_backend(struct conn *c)
{
	const struct route *r = &config->listeners[0].routes[1];
	struct stream_target t = { .route = r,
				   .backend = &r->backends[0],
				   .sni = "b.example.org",
				   .name = "b.example.org" };

	return stream_connect(c, &t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct proxy_slot slot = { .used = 1 };
	struct conn c;
	int fds[2], version;
	bool is_backend;
	SSL *other;
	BIO *sent;

	script = data;
	script_n = n;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) < 0)
		abort();
	version = next() & 1 ? TLS1_2_VERSION : TLS1_3_VERSION;
	is_backend = next() & 1;
	conn_init(&c, &net_worker, fds[1], is_backend, on_event);
	other = make_client(is_backend ? server_ctx : client_ctx, "a.example.org",
			    version, fds[0], &sent);
	if (is_backend)
		SSL_set_accept_state(other);
	else
		SSL_set_connect_state(other);
	if ((is_backend ? open_backend(&c) : open_client(&c, other, sent)) == 0)
		talk(&c, other, sent, fds[0]);
	(void)conn_send_now(&c);
	conn_take_row(&c, &slot);
	conn_close(&c, false);
	if (!make_adds_up(&slot))
		abort();
	SSL_free(other);
	close(fds[0]);
	ERR_clear_error();
	return 0;
}
