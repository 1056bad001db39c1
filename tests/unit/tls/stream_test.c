/* SPDX-License-Identifier: Apache-2.0 */
/* The layer on a real conn, against OpenSSL's client in the same thread. */
#include <errno.h>
#include <fcntl.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/util.h"
#include "net/pool.h"
#include "net/relay.h"
#include "tests/unit/net/stage.h"
#include "tests/unit/tls/make.h"
#include "tls/context.h"
#include "tls/record_sums.h"
#include "tls/stream.h"
#include "tls/tickets.h"

static struct config *c;
static struct conn conn;
static struct proxy_slot slot;
static SSL_CTX *client_ctx;
static SSL *client;
static BIO *sent; /* what the client wants to say, before it is in the socket */
static int other; /* its socket */

static void on_event(struct ev_io *io, uint32_t events)
{
	(void)conn_event(io, events);
}

/* The bytes of a hello, read from the conn as the opening does. */
static size_t hello(uint8_t *buf, size_t cap)
{
	ssize_t n;

	(void)SSL_connect(client);
	n = BIO_read(sent, buf, (int)cap);
	CHECK_INT(n, write(other, buf, (size_t)n));
	ready(&conn, POLLIN);
	CHECK_INT(n, conn_raw_read(&conn, buf, cap));
	return (size_t)n;
}

static int begin(const char *name, int version)
{
	static uint8_t head[CONFIG_ERROR_MAX * 8];
	struct stream_options o = { .certs = c->listeners[0].certs,
				    .route = &c->listeners[0].routes[0],
				    .listener = "web",
				    .name = name,
				    .head = head };
	int fds[2];

	net_up(4, 8);
	CHECK_INT(0, context_open(&net_worker));
	memset(&slot, 0, sizeof(slot));
	stage_pair(fds);
	other = fds[0];
	(void)fcntl(other, F_SETFL, O_NONBLOCK);
	conn_init(&conn, &net_worker, fds[1], false, on_event);
	ready(&conn, POLLOUT);
	client_ctx = SSL_CTX_new(TLS_client_method());
	client = make_client(client_ctx, name, version, other, &sent);
	o.head_n = hello(head, sizeof(head));
	return stream_open(&conn, &o);
}

static void end(void)
{
	(void)conn_send_now(&conn);
	if (!conn.slot)
		conn_take_row(&conn, &slot);
	conn_close(&conn, false);
	SSL_free(client);
	SSL_CTX_free(client_ctx);
	close(other);
	context_close(&net_worker);
	net_down();
	ERR_clear_error();
}

/* What the client has to say is in the socket. */
static void flush_client(void)
{
	char buf[4096];
	int n;

	while ((n = BIO_read(sent, buf, sizeof(buf))) > 0)
		CHECK_INT(n, write(other, buf, (size_t)n));
	(void)poll(NULL, 0, 1);
}

/* The next that comes to the client, which the loopback may still have. */
static int client_reads(void *buf, int cap)
{
	struct pollfd there = { .fd = other, .events = POLLIN };
	int n = SSL_read(client, buf, cap);

	while (n < 0 && SSL_get_error(client, n) == SSL_ERROR_WANT_READ &&
	       poll(&there, 1, 1000) == 1)
		n = SSL_read(client, buf, cap);
	return n;
}

static int shake_hands(enum tg_end *why)
{
	int err = -EAGAIN;

	for (int i = 0; i < 100 && (err == -EAGAIN || !SSL_is_init_finished(client));
	     i++) {
		ready(&conn, 0);
		err = stream_handshake(&conn, why);
		(void)SSL_connect(client);
		flush_client();
		if (err && err != -EAGAIN)
			break;
	}
	return err;
}

static void check_sums(void)
{
	CHECK_INT(1, slot.tls_connections);
	CHECK(make_adds_up(&slot));
}

static ssize_t read_some(char *buf, size_t cap)
{
	ssize_t n = -EAGAIN;

	for (int i = 0; i < 1000 && n == -EAGAIN; i++) {
		ready(&conn, 0);
		n = conn_read(&conn, buf, cap);
		if (n == -EAGAIN)
			(void)poll(NULL, 0, 1);
	}
	return n;
}

static void bytes_go_through_it_and_each_is_in_its_column(void)
{
	static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };
	char data[16000] = "0123456789", buf[POOL_BUFFER_BYTES];
	enum tg_end why;

	for (int v = 0; v < 2; v++) {
		CHECK_INT(0, begin("a.example.org", versions[v]));
		CHECK_INT(0, shake_hands(&why));
		CHECK_INT(versions[v], stream_version(&conn));
		CHECK_INT(10, SSL_write(client, data, 10));
		flush_client();
		CHECK_INT(10, read_some(buf, sizeof(buf)));
		CHECK(memcmp(buf, data, 10) == 0);
		CHECK_INT(-EAGAIN, conn_read(&conn, buf, sizeof(buf)));
		CHECK_INT(sizeof(data), conn_write(&conn, data, sizeof(data)));
		conn_settle(&net_worker); /* one record of a turn */
		CHECK_INT(sizeof(data), client_reads(buf, sizeof(buf)));
		CHECK_INT(0, SSL_shutdown(client));
		flush_client();
		CHECK_INT(0, read_some(buf, sizeof(buf)));
		conn_finish(&conn);
		CHECK(conn.shut_out);
		CHECK_INT(1, SSL_shutdown(client));
		end();
		check_sums();
		CHECK_INT(10, slot.app_rx_bytes);
		CHECK_INT(sizeof(data), slot.app_tx_bytes);
		CHECK_INT(0, slot.tls_partial_bytes);
		/* a record's own: 5 and a tag of 16, and of 1.3 the type, of 1.2 the
		 * nonce */
		CHECK(slot.tls_rx_record_bytes >= 22);
	}
}

/* It must answer a key update, and what it has said is in the outbox still. */
static void an_answer_that_must_wait_does_not_stop_the_stream(void)
{
	char buf[64];
	enum tg_end why;

	CHECK_INT(0, begin("a.example.org", TLS1_3_VERSION));
	CHECK_INT(0, shake_hands(&why));
	CHECK_INT(3, conn_write(&conn, "abc", 3));
	CHECK(conn.queued != 0);
	CHECK_INT(1, SSL_key_update(client, SSL_KEY_UPDATE_REQUESTED));
	CHECK_INT(4, SSL_write(client, "data", 4));
	flush_client();
	ready(&conn, POLLIN);
	CHECK_INT(4, conn_read(&conn, buf, sizeof(buf)));
	CHECK(!conn.wants_write); /* OpenSSL answers with what it writes next */
	conn_settle(&net_worker);
	CHECK_INT(3, conn_write(&conn, "def", 3)); /* in keys of its own, from here on */
	conn_settle(&net_worker);
	CHECK_INT(3, client_reads(buf, sizeof(buf)));
	CHECK_INT(3, client_reads(buf, sizeof(buf)));
	CHECK(memcmp(buf, "def", 3) == 0);
	end();
	check_sums();
	CHECK_INT(6, slot.app_tx_bytes);
}

/* The same where OpenSSL refuses (no_renegotiation), and has a buffer of its own before
 * us. */
static void an_alert_that_must_wait_is_not_lost(void)
{
	char buf[64];
	enum tg_end why;

	CHECK_INT(0, begin("a.example.org", TLS1_2_VERSION));
	CHECK_INT(0, shake_hands(&why));
	CHECK_INT(3, conn_write(&conn, "abc", 3));
	CHECK(conn.queued != 0);
	CHECK_INT(1, SSL_renegotiate(client));
	(void)SSL_do_handshake(client);
	flush_client();
	ready(&conn, POLLIN);
	CHECK_INT(-EAGAIN, conn_read(&conn, buf, sizeof(buf)));
	conn_settle(&net_worker);
	CHECK_INT(3, conn_write(&conn, "def", 3));
	conn_settle(&net_worker);
	end();
	check_sums();
	CHECK_INT(6, slot.app_tx_bytes);
	CHECK(slot.tls_tx_record_bytes > 2 * 29 + 5);
}

/* Each makes OpenSSL derive keys, for ten bytes of the client's. */
static void key_updates_without_end_are_an_error(void)
{
	char buf[64];
	enum tg_end why;
	ssize_t n = -EAGAIN;

	CHECK_INT(0, begin("a.example.org", TLS1_3_VERSION));
	CHECK_INT(0, shake_hands(&why));
	for (int i = 0; i < 30; i++) { /* as many as a long transfer may have */
		CHECK_INT(1, SSL_key_update(client, SSL_KEY_UPDATE_NOT_REQUESTED));
		CHECK_INT(1, SSL_do_handshake(client));
	}
	CHECK_INT(4, SSL_write(client, "data", 4));
	flush_client();
	CHECK_INT(4, read_some(buf, sizeof(buf)));
	for (int i = 0; i < 1000 && n == -EAGAIN; i++) {
		CHECK_INT(1, SSL_key_update(client, SSL_KEY_UPDATE_NOT_REQUESTED));
		CHECK_INT(1, SSL_do_handshake(client));
		flush_client();
		ready(&conn, POLLIN);
		n = conn_read(&conn, buf, sizeof(buf));
	}
	CHECK_INT(-EPROTO, n);
	end();
	check_sums();
	CHECK(slot.tls_rx_handshake_bytes < 4000);
}

static void a_name_that_nobody_has_has_no_layer(void)
{
	CHECK_INT(-ENOENT, begin("b.example.org", TLS1_3_VERSION));
	CHECK(!conn.layer);
	end();
	CHECK_INT(0, slot.tls_connections);
}

static void an_end_without_close_notify_is_a_truncation(void)
{
	char buf[16];
	enum tg_end why;

	CHECK_INT(0, begin("a.example.org", TLS1_3_VERSION));
	CHECK_INT(0, shake_hands(&why));
	(void)shutdown(other, SHUT_WR);
	CHECK_INT(-ENODATA, read_some(buf, sizeof(buf)));
	conn.err = ENODATA;
	CHECK_INT(TG_END_TLS_TRUNCATED, conn_gone_reason(&conn));
	end();
	check_sums();
}

static void half_a_record_is_partial(void)
{
	char buf[16], record[128];
	enum tg_end why;
	int n;

	CHECK_INT(0, begin("a.example.org", TLS1_3_VERSION));
	CHECK_INT(0, shake_hands(&why));
	CHECK_INT(10, SSL_write(client, "0123456789", 10));
	n = BIO_read(sent, record, sizeof(record));
	CHECK_INT(20, write(other, record, 20));
	(void)shutdown(other, SHUT_WR);
	CHECK(n > 20);
	CHECK_INT(-ENODATA, read_some(buf, sizeof(buf)));
	end();
	check_sums();
	CHECK_INT(20, slot.tls_partial_bytes);
	CHECK_INT(0, slot.app_rx_bytes);
}

/* Somebody takes a record from under it, or puts one there: the books must say so. */
static void bytes_that_pass_it_by_are_a_residual(void)
{
	char buf[128];
	enum tg_end why;
	int n;

	CHECK_INT(0, begin("a.example.org", TLS1_3_VERSION));
	CHECK_INT(0, shake_hands(&why));
	CHECK_INT(10, SSL_write(client, "0123456789", 10));
	n = BIO_read(sent, buf, sizeof(buf));
	CHECK_INT(n, write(other, buf, (size_t)n));
	(void)poll(NULL, 0, 1);
	CHECK_INT(n, conn_raw_read(&conn, buf, sizeof(buf)));
	end();
	CHECK_INT(n, slot.tls_residual_bytes);

	CHECK_INT(0, begin("a.example.org", TLS1_3_VERSION));
	CHECK_INT(0, shake_hands(&why));
	CHECK_INT(7, conn_raw_write(&conn, "\x15\x03\x03\x00\x02\x02\x70", 7));
	end();
	CHECK(slot.tls_residual_bytes >= 7);
}

static void records_are_framed_whatever_the_pieces(void)
{
	static const uint8_t records[] = { 22, 3,  1, 0, 2, 9, 9, 23, 3, 3, 0,
					   0,  23, 3, 3, 1, 4, 7, 7,  7, 7, 7 };

	for (size_t cut = 1; cut < sizeof(records); cut++) {
		struct record_frames f = { 0 };

		for (size_t i = 0; i < sizeof(records); i += cut)
			record_frames_add(
				&f, records + i,
				cut < sizeof(records) - i ? cut : sizeof(records) - i);
		CHECK_INT(12, f.whole);
		CHECK_INT(10, f.part);
		CHECK_INT(5 + 260, f.size);
		CHECK_INT(sizeof(records), f.bytes);
	}
}

/* xorshift: where it breaks, and how. */
static uint32_t draw(void)
{
	static uint32_t x = 2463534242;

	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	return x;
}

/*
 * Handshakes that are cut, or have a byte changed, anywhere: an end, no crash, no leak.
 * TLS_HANDSHAKES= makes more of them.
 */
static void a_broken_handshake_has_a_reason_and_leaves_nothing(void)
{
	const char *more = getenv("TLS_HANDSHAKES");
	unsigned done = 0, failed = 0;
	uint64_t n = 400;

	if (more)
		CHECK_INT(0, util_parse_u64(more, UINT32_MAX, &n));
	for (uint64_t i = 0; i < n; i++) {
		uint32_t at = draw() % 160, seen = 0;
		bool cut = draw() & 1;
		enum tg_end why = TG_END_DONE;
		int err = begin("a.example.org",
				draw() & 1 ? TLS1_3_VERSION : TLS1_2_VERSION);

		for (int k = 0; k < 20 && !err; k++) {
			char buf[4096];
			int got;

			ready(&conn, 0);
			err = stream_handshake(&conn, &why);
			if (err == 0)
				break;
			if (err != -EAGAIN)
				break;
			err = 0;
			(void)SSL_connect(client);
			while ((got = BIO_read(sent, buf, sizeof(buf))) > 0) {
				if (at >= seen && at < seen + (uint32_t)got) {
					if (cut)
						got = (int)(at - seen);
					else
						buf[at - seen] ^=
							(char)(1 + draw() % 255);
				}
				seen += (uint32_t)got;
				(void)!write(other, buf, (size_t)got);
			}
			if (cut && seen == at)
				(void)shutdown(other, SHUT_WR);
			(void)poll(NULL, 0, 1);
		}
		done += err == 0;
		failed += err != 0;
		CHECK(err == 0 ||
		      (why >= TG_END_TLS_HANDSHAKE && why <= TG_END_TLS_RESET));
		end();
		CHECK_INT(0, slot.tls_residual_bytes);
	}
	printf("# %u handshakes broke, %u did not\n", failed, done);
	CHECK(failed > n * 2 / 5);
}

int main(void)
{
	make_begin();
	make_cert("exact", "DNS:a.example.org", false, 90);
	c = make_config();
	RUN(bytes_go_through_it_and_each_is_in_its_column);
	RUN(an_answer_that_must_wait_does_not_stop_the_stream);
	RUN(an_alert_that_must_wait_is_not_lost);
	RUN(key_updates_without_end_are_an_error);
	RUN(a_name_that_nobody_has_has_no_layer);
	RUN(an_end_without_close_notify_is_a_truncation);
	RUN(half_a_record_is_partial);
	RUN(bytes_that_pass_it_by_are_a_residual);
	RUN(records_are_framed_whatever_the_pieces);
	RUN(a_broken_handshake_has_a_reason_and_leaves_nothing);
	config_put(c);
	make_end();
	DONE();
}
