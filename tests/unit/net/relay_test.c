/* SPDX-License-Identifier: Apache-2.0 */
/* The outbox of a relay: what is read in a turn leaves at its end, and none is lost. */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"
#include "net/relay.h"
#include "tests/unit/t.h"

#define MANY 300 /* more than an outbox takes */

/* One direction between two socket pairs: written to `in`, read from `out`. */
struct way {
	int in, src, dst, out;
	struct relay_store store;
	size_t moved;
	enum relay_result result;
	int err;
};

static struct way ways[MANY];
static struct relay_pool pool;
static __u64 pipes, buffers;

static void begin(unsigned n)
{
	CHECK_INT(0, relay_pool_init(&pool, 4, 512, &pipes, &buffers));
	pool.outbox = outbox_new();
	memset(ways, 0, sizeof(ways));
	for (unsigned i = 0; i < n; i++) {
		int a[2], b[2];

		CHECK_INT(0, socketpair(AF_UNIX, SOCK_STREAM, 0, a));
		CHECK_INT(0, socketpair(AF_UNIX, SOCK_STREAM, 0, b));
		ways[i] =
			(struct way){ .in = a[0], .src = a[1], .dst = b[0], .out = b[1] };
	}
}

static void end(unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		relay_store_clear(&pool, &ways[i].store);
		close(ways[i].in);
		close(ways[i].src);
		close(ways[i].dst);
		close(ways[i].out);
	}
	relay_pool_done(&pool);
	CHECK_INT(0, pipes);
	CHECK_INT(0, buffers);
}

static enum relay_result move(struct way *w)
{
	struct relay_moved m = { 0 };
	enum relay_result r = relay_move(&pool, &w->store, w->src, w->dst, 0, &m);

	w->moved += m.out;
	w->err = m.err;
	return r;
}

static void on_moved(struct relay_store *store, size_t out)
{
	container_of(store, struct way, store)->moved += out;
}

static void on_result(struct relay_store *store, enum relay_result r, int err)
{
	struct way *w = container_of(store, struct way, store);

	w->result = r;
	w->err = err;
}

static void flush(void)
{
	static const struct relay_flush_fns fns = { .moved = on_moved,
						    .result = on_result };

	relay_flush(&pool, &fns);
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
		CHECK_INT(i < OUTBOX_ITEMS ? n : 0, relay_held(&ways[i].store));
	}
	CHECK_INT(0, drain(ways[0].out, got, sizeof(got)));
	flush();
	for (unsigned i = 0; i < MANY; i++) {
		int n = snprintf(text, sizeof(text), "message %u", i);

		CHECK_INT(n, drain(ways[i].out, got, sizeof(got)));
		CHECK(memcmp(text, got, (size_t)n) == 0);
		CHECK_INT(n, ways[i].moved);
		CHECK_INT(0, relay_held(&ways[i].store));
		CHECK_INT(RELAY_AGAIN_IN, ways[i].result);
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
	junk = stuff(ways[0].dst);
	CHECK_INT(10, send(ways[0].in, "0123456789", 10, 0));
	CHECK_INT(3, send(ways[1].in, "abc", 3, 0));
	CHECK_INT(RELAY_QUEUED, move(&ways[0]));
	CHECK_INT(RELAY_QUEUED, move(&ways[1]));
	flush();
	CHECK_INT(RELAY_AGAIN_OUT, ways[0].result);
	CHECK_INT(RELAY_AGAIN_IN, ways[1].result);
	CHECK_INT(10, relay_held(&ways[0].store));
	CHECK_INT(0, ways[0].moved);
	CHECK_INT(3, ways[1].moved);
	while (n < junk)
		n += drain(ways[0].out, got, sizeof(got));
	CHECK_INT(RELAY_AGAIN_IN, move(&ways[0]));
	CHECK_INT(10, drain(ways[0].out, got, sizeof(got)));
	CHECK(memcmp(got, "0123456789", 10) == 0);
	CHECK_INT(10, ways[0].moved);
	CHECK_INT(0, relay_held(&ways[0].store));
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
	CHECK_INT(0,
		  setsockopt(ways[0].dst, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)));
	CHECK_INT(sizeof(data), send(ways[0].in, data, sizeof(data), 0));
	CHECK_INT(3, send(ways[1].in, "abc", 3, 0));
	CHECK_INT(RELAY_QUEUED, move(&ways[0]));
	CHECK_INT(RELAY_QUEUED, move(&ways[1]));
	flush();
	CHECK_INT(RELAY_BUDGET, ways[0].result);
	CHECK(ways[0].moved > 0 && ways[0].moved < sizeof(data));
	CHECK_INT(sizeof(data), ways[0].moved + relay_held(&ways[0].store));
	for (int i = 0; i < 100 && n < sizeof(data); i++) {
		n += drain(ways[0].out, got + n, sizeof(got) - n);
		(void)move(&ways[0]);
	}
	CHECK_INT(sizeof(data), n);
	CHECK(memcmp(data, got, sizeof(data)) == 0);
	CHECK_INT(sizeof(data), ways[0].moved);
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
	CHECK_INT(RELAY_ERR_OUT, ways[0].result);
	CHECK_INT(-EPIPE, ways[0].err);
	CHECK_INT(5, relay_held(&ways[0].store));
	CHECK_INT(RELAY_AGAIN_IN, ways[1].result);
	end(2);
}

static void what_was_sent_before_is_not_sent_again(void)
{
	struct relay_moved m = { 0 };
	char got[16];

	begin(3);
	for (int i = 0; i < 3; i++) {
		CHECK_INT(2, send(ways[i].in, "ok", 2, 0));
		CHECK_INT(RELAY_QUEUED, move(&ways[i]));
	}
	CHECK_INT(RELAY_AGAIN_IN, relay_send_now(&pool, &ways[1].store, &m));
	CHECK_INT(2, m.out);
	CHECK_INT(2, drain(ways[1].out, got, sizeof(got)));
	ways[1].result = RELAY_EOF; /* nobody says anything of it any more */
	flush();
	CHECK_INT(RELAY_EOF, ways[1].result);
	CHECK_INT(0, drain(ways[1].out, got, sizeof(got)));
	CHECK_INT(2, drain(ways[0].out, got, sizeof(got)));
	CHECK_INT(2, drain(ways[2].out, got, sizeof(got)));
	end(3);
}

/* A read that fills a buffer is no small one: it does not wait. */
static void bulk_does_not_wait(void)
{
	static char data[RELAY_BUFFER_BYTES], got[sizeof(data)];

	begin(1);
	memset(data, 'x', sizeof(data));
	CHECK_INT(sizeof(data), send(ways[0].in, data, sizeof(data), 0));
	CHECK(move(&ways[0]) != RELAY_QUEUED);
	CHECK_INT(sizeof(data), ways[0].moved);
	CHECK_INT(sizeof(data), drain(ways[0].out, got, sizeof(got)));
	CHECK(memcmp(data, got, sizeof(data)) == 0);
	flush();
	end(1);
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
	DONE();
}
