/* SPDX-License-Identifier: Apache-2.0 */
/* The outbox of a relay: what is read in a turn leaves at its end, and none is lost. */
#include <errno.h>

#include "base/util.h"
#include "net/pool.h"
#include "net/relay.h"
#include "tests/unit/net/stage.h"

#define MANY 300 /* more than an outbox takes */

/* One direction between two socket pairs: written to `in`, read from `out`. */
struct way {
	int in, out;
	struct conn src, dst;
	enum relay_result result;
	bool told;
	uint32_t events;
};

static struct way ways[MANY];

static void on_event(struct ev_io *io, uint32_t events)
{
	struct way *w = container_of(conn_event(io, events), struct way, dst);

	w->told = true;
	w->events = events;
}

static void begin(unsigned n)
{
	net_up(4, 512);
	memset(ways, 0, sizeof(ways));
	for (unsigned i = 0; i < n; i++) {
		int a[2], b[2];

		CHECK_INT(0, socketpair(AF_UNIX, SOCK_STREAM, 0, a));
		CHECK_INT(0, socketpair(AF_UNIX, SOCK_STREAM, 0, b));
		ways[i].in = a[0];
		ways[i].out = b[1];
		conn_init(&ways[i].src, &net_worker, a[1], false, on_event);
		conn_init(&ways[i].dst, &net_worker, b[0], false, on_event);
	}
}

static void end(unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		(void)conn_send_now(&ways[i].dst);
		conn_close(&ways[i].src, false);
		conn_close(&ways[i].dst, false);
		close(ways[i].in);
		close(ways[i].out);
	}
	net_down();
}

static enum relay_result move(struct way *w)
{
	return relay_move(&w->src, &w->dst);
}

static size_t held(const struct way *w)
{
	return relay_held(&w->src, &w->dst);
}

static void flush(void)
{
	conn_settle(&net_worker);
}

static size_t drain(int fd, char *buf, size_t cap)
{
	ssize_t n = recv(fd, buf, cap, MSG_DONTWAIT);

	return n < 0 ? 0 : (size_t)n;
}

static void a_turn_is_sent_together(void)
{
	char text[32], got[64];

	begin(MANY);
	for (unsigned i = 0; i < MANY; i++) {
		int n = snprintf(text, sizeof(text), "message %u", i);

		CHECK_INT(n, send(ways[i].in, text, (size_t)n, 0));
		ways[i].result = move(&ways[i]);
		/* what finds no place in it is sent at once */
		CHECK_INT(i < OUTBOX_ITEMS ? RELAY_QUEUED : RELAY_AGAIN_IN,
			  ways[i].result);
		CHECK_INT(i < OUTBOX_ITEMS ? n : 0, held(&ways[i]));
	}
	CHECK_INT(0, drain(ways[0].out, got, sizeof(got)));
	flush();
	for (unsigned i = 0; i < MANY; i++) {
		int n = snprintf(text, sizeof(text), "message %u", i);

		CHECK_INT(n, drain(ways[i].out, got, sizeof(got)));
		CHECK(memcmp(text, got, (size_t)n) == 0);
		CHECK_INT(n, ways[i].dst.tx);
		CHECK_INT(0, held(&ways[i]));
		CHECK(!ways[i].told); /* nobody waits for it */
	}
	end(MANY);
}

/* Fill the way out until it takes no more. */
static size_t stuff(int fd)
{
	static const char junk[4096];
	size_t all = 0;
	ssize_t n;

	while ((n = send(fd, junk, sizeof(junk), MSG_DONTWAIT)) > 0)
		all += (size_t)n;
	return all;
}

static void what_is_not_taken_is_held_and_goes_later(void)
{
	static char got[1 << 20];
	size_t junk, n = 0;

	begin(2);
	junk = stuff(ways[0].dst.fd);
	CHECK_INT(10, send(ways[0].in, "0123456789", 10, 0));
	CHECK_INT(3, send(ways[1].in, "abc", 3, 0));
	CHECK_INT(RELAY_QUEUED, move(&ways[0]));
	CHECK_INT(RELAY_QUEUED, move(&ways[1]));
	flush();
	CHECK(!ways[0].dst.writable);
	CHECK_INT(0, ways[0].events);
	CHECK_INT(0, ways[1].events);
	CHECK_INT(10, held(&ways[0]));
	CHECK_INT(0, ways[0].dst.tx);
	CHECK_INT(3, ways[1].dst.tx);
	while (n < junk)
		n += drain(ways[0].out, got, sizeof(got));
	CHECK_INT(RELAY_AGAIN_IN, move(&ways[0]));
	CHECK_INT(10, drain(ways[0].out, got, sizeof(got)));
	CHECK(memcmp(got, "0123456789", 10) == 0);
	CHECK_INT(10, ways[0].dst.tx);
	CHECK_INT(0, held(&ways[0]));
	end(2);
}

/* Of 15,000 bytes some go and some do not: what is left is sent when there is room. */
static void a_part_that_is_taken_is_not_sent_again(void)
{
	static char data[15000], got[sizeof(data)];
	size_t n = 0;
	int small = 4608;

	begin(2);
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (char)(i % 251);
	CHECK_INT(0, setsockopt(ways[0].dst.fd, SOL_SOCKET, SO_SNDBUF, &small,
				sizeof(small)));
	CHECK_INT(sizeof(data), send(ways[0].in, data, sizeof(data), 0));
	CHECK_INT(3, send(ways[1].in, "abc", 3, 0));
	CHECK_INT(RELAY_QUEUED, move(&ways[0]));
	CHECK_INT(RELAY_QUEUED, move(&ways[1]));
	flush();
	CHECK_INT(POLLOUT, ways[0].events);
	CHECK(ways[0].dst.tx > 0 && ways[0].dst.tx < sizeof(data));
	CHECK_INT(sizeof(data), ways[0].dst.tx + held(&ways[0]));
	for (int i = 0; i < 100 && n < sizeof(data); i++) {
		n += drain(ways[0].out, got + n, sizeof(got) - n);
		(void)move(&ways[0]);
	}
	CHECK_INT(sizeof(data), n);
	CHECK(memcmp(data, got, sizeof(data)) == 0);
	CHECK_INT(sizeof(data), ways[0].dst.tx);
	end(2);
}

static void a_destination_that_is_gone_is_told_and_the_bytes_counted(void)
{
	begin(2);
	CHECK_INT(5, send(ways[0].in, "01234", 5, 0));
	CHECK_INT(3, send(ways[1].in, "abc", 3, 0));
	CHECK_INT(RELAY_QUEUED, move(&ways[0]));
	CHECK_INT(RELAY_QUEUED, move(&ways[1]));
	shutdown(ways[0].out, SHUT_RD);
	close(ways[0].out);
	ways[0].out = dup(ways[0].in);
	flush();
	CHECK_INT(POLLERR, ways[0].events);
	CHECK_INT(EPIPE, ways[0].dst.err);
	CHECK_INT(5, held(&ways[0]));
	CHECK_INT(0, ways[1].events);
	end(2);
}

static void what_was_sent_before_is_not_sent_again(void)
{
	char got[16];

	begin(3);
	for (int i = 0; i < 3; i++) {
		CHECK_INT(2, send(ways[i].in, "ok", 2, 0));
		CHECK_INT(RELAY_QUEUED, move(&ways[i]));
	}
	CHECK_INT(1, conn_send_now(&ways[1].dst));
	CHECK_INT(0, conn_send_now(&ways[1].dst));
	CHECK_INT(2, ways[1].dst.tx);
	CHECK_INT(2, drain(ways[1].out, got, sizeof(got)));
	flush();
	CHECK(!ways[1].told); /* nobody says anything of it any more */
	CHECK_INT(0, drain(ways[1].out, got, sizeof(got)));
	CHECK_INT(2, drain(ways[0].out, got, sizeof(got)));
	CHECK_INT(2, drain(ways[2].out, got, sizeof(got)));
	end(3);
}

/* A read that fills a buffer is no small one: it does not wait. */
static void bulk_does_not_wait(void)
{
	static char data[POOL_BUFFER_BYTES], got[sizeof(data)];

	begin(1);
	memset(data, 'x', sizeof(data));
	CHECK_INT(sizeof(data), send(ways[0].in, data, sizeof(data), 0));
	CHECK(move(&ways[0]) != RELAY_QUEUED);
	CHECK_INT(sizeof(data), ways[0].dst.tx);
	CHECK_INT(sizeof(data), drain(ways[0].out, got, sizeof(got)));
	CHECK(memcmp(data, got, sizeof(data)) == 0);
	flush();
	end(1);
}

/* --- a layer: every byte is another on the socket, and its end is a byte of its own */

static struct layer other_bytes[2];

static void turn(uint8_t *data, ssize_t n)
{
	for (ssize_t i = 0; i < n; i++)
		data[i] ^= 0x5a;
}

static ssize_t layer_read(struct conn *c, void *buf, size_t cap)
{
	ssize_t n = conn_raw_read(c, buf, cap);

	turn(buf, n);
	return n;
}

static ssize_t layer_write(struct conn *c, const void *buf, size_t n)
{
	static uint8_t copy[POOL_BUFFER_BYTES];

	if (conn_held(c))
		return -EAGAIN;
	memcpy(copy, buf, n);
	turn(copy, (ssize_t)n);
	return conn_raw_write(c, copy, n);
}

static bool layer_has_more(const struct conn *c)
{
	(void)c;
	return true;
}

static size_t layer_unread(const struct conn *c)
{
	(void)c;
	return 0;
}

static int layer_finish(struct conn *c)
{
	return conn_raw_write(c, "$", 1) == 1 ? 0 : -EIO;
}

static void layer_free(struct conn *c)
{
	c->layer->ops = NULL;
}

static const struct layer_ops ops = { .read = layer_read,
				      .write = layer_write,
				      .has_more = layer_has_more,
				      .unread = layer_unread,
				      .finish = layer_finish,
				      .free = layer_free };

/* Through one or two of them, to a receiver that is slower: every byte, and no splice. */
static void what_a_layer_stands_between_is_read_and_written_through_it(void)
{
	static uint8_t data[300000], got[sizeof(data)];
	size_t sent = 0, n = 0;
	int small = 4608;

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7 % 253);
	for (int both = 0; both < 2; both++) {
		begin(1);
		other_bytes[0].ops = other_bytes[1].ops = &ops;
		ways[0].dst.layer = &other_bytes[0];
		if (both)
			ways[0].src.layer = &other_bytes[1];
		(void)setsockopt(ways[0].dst.fd, SOL_SOCKET, SO_SNDBUF, &small,
				 sizeof(small));
		for (int i = 0; i < 1000 && n < sizeof(data); i++) {
			ssize_t k = send(ways[0].in, data + sent, sizeof(data) - sent,
					 MSG_DONTWAIT);

			sent += k > 0 ? (size_t)k : 0;
			CHECK(move(&ways[0]) != RELAY_QUEUED);
			CHECK(held(&ways[0]) <= POOL_BUFFER_BYTES);
			n += drain(ways[0].out, (char *)got + n, sizeof(got) - n);
		}
		if (!both)
			turn(got, (ssize_t)n);
		CHECK_INT(sizeof(data), n);
		CHECK(memcmp(data, got, sizeof(data)) == 0);
		CHECK_INT(sizeof(data), ways[0].src.rx);
		CHECK_INT(sizeof(data), ways[0].dst.tx);
		CHECK_INT(0, net_state.pipes);
		(void)shutdown(ways[0].in, SHUT_WR);
		CHECK_INT(RELAY_EOF, move(&ways[0]));
		conn_finish(&ways[0].dst);
		CHECK_INT(1, drain(ways[0].out, (char *)got, sizeof(got)));
		CHECK_INT('$', got[0]);
		end(1);
		CHECK(!other_bytes[0].ops);
		sent = n = 0;
	}
}

static void there_is_io_uring(void)
{
	struct outbox *o = outbox_new();

	CHECK(o != NULL);
	outbox_free(o);
}

int main(void)
{
	RUN(there_is_io_uring);
	if (t_failed)
		DONE(); /* the others would test what is sent at once */
	RUN(a_turn_is_sent_together);
	RUN(what_is_not_taken_is_held_and_goes_later);
	RUN(a_part_that_is_taken_is_not_sent_again);
	RUN(a_destination_that_is_gone_is_told_and_the_bytes_counted);
	RUN(what_was_sent_before_is_not_sent_again);
	RUN(bulk_does_not_wait);
	RUN(what_a_layer_stands_between_is_read_and_written_through_it);
	DONE();
}
