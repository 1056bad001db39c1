/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The proxy's half of `labels`, on real sockets; the table is plain memory, so what the
 * kernel programs do is done by hand, and a call of bpf(2) fails and is counted.
 */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/sockets.h"
#include "base/util.h"
#include "book/labels.h"
#include "tests/unit/t.h"

static struct label_bucket table[2];
static struct proxy_state state;
static struct labels l;

static void begin(void)
{
	memset(table, 0, sizeof(table));
	memset(&state, 0, sizeof(state));
	l = (struct labels){
		.buckets = table, .n = ARRAY_SIZE(table), .fd = -1, .state = &state
	};
}

static int tcp(void)
{
	return socket(AF_INET, SOCK_STREAM, 0);
}

static struct label_place *of(int fd)
{
	uint64_t cookie = socket_cookie(fd);

	for (int i = 0; i < 2 * TG_LABEL_PLACES; i++) {
		struct label_place *p =
			&table[i / TG_LABEL_PLACES].places[i % TG_LABEL_PLACES];

		if (p->cookie == cookie)
			return p;
	}
	return NULL;
}

static void a_label_and_its_claim_are_one_place(void)
{
	struct sock_label label = { .listener = 1,
				    .route = 2,
				    .backend = 3,
				    .leg = TG_LEG_UPSTREAM,
				    .flags = TG_LABEL_FINAL };
	uint32_t place = 0, adopted = 0;
	int fd = tcp();

	begin();
	CHECK_INT(0, labels_set(&l, fd, &place, &label));
	CHECK(place != 0);
	CHECK(of(fd) && of(fd)->label.backend == 3);
	label.flags |= TG_LABEL_CLAIMED;
	label.rx_payload_bytes = 10;
	label.tx_payload_bytes = 20;
	/* by another process, which has the descriptor and no more */
	CHECK_INT(0, labels_set(&l, fd, &adopted, &label));
	CHECK_INT(place, adopted);
	CHECK(memcmp(&label, &of(fd)->label, sizeof(label)) == 0);
	CHECK_INT(1, state.labels_taken);
	CHECK_INT(0, state.labels_called);
	close(fd);
}

static void a_full_bucket_is_the_calls(void)
{
	const struct sock_label label = { .leg = TG_LEG_UPSTREAM };
	uint32_t place = 0;
	int fd = tcp();

	begin();
	for (int i = 0; i < 2 * TG_LABEL_PLACES; i++)
		table[i / TG_LABEL_PLACES].places[i % TG_LABEL_PLACES].cookie = ~1ull;
	CHECK(labels_set(&l, fd, &place, &label) < 0); /* there is no map here */
	CHECK_INT(0, place);
	CHECK_INT(1, state.labels_called);
	CHECK_INT(1, state.label_errors);
	/* by the kernel; of the second of its buckets */
	table[TG_LABEL_BUCKET(socket_cookie(fd), 1, l.n)].places[2].cookie = 0;
	CHECK_INT(0, labels_set(&l, fd, &place, &label));
	CHECK(of(fd) != NULL);
	CHECK_INT(1, state.labels_called);
	close(fd);
}

static void only_what_is_over_is_swept_and_the_second_time(void)
{
	struct sock_label label = { .leg = TG_LEG_UPSTREAM, .flags = TG_LABEL_FINAL };
	uint32_t lives = 0, over = 0, later = 0;
	int a = tcp(), b = tcp(), c = tcp();

	begin();
	CHECK_INT(0, labels_set(&l, a, &lives, &label));
	label.flags |= TG_LABEL_CLAIMED;
	CHECK_INT(0, labels_set(&l, b, &over, &label));
	labels_sweep(&l);
	CHECK(of(a) && of(b));
	CHECK_INT(0, labels_set(&l, c, &later, &label));
	labels_sweep(&l);
	CHECK(of(a) != NULL);
	CHECK(of(b) == NULL);
	CHECK(of(c) != NULL);
	CHECK_INT(1, state.labels_swept);
	close(a);
	close(b);
	close(c);
}

static void what_a_dead_proxy_left_is_swept(void)
{
	const struct sock_label label = { .route = 7,
					  .leg = TG_LEG_UPSTREAM,
					  .flags = TG_LABEL_FINAL };
	uint32_t place = 0;
	int fd = tcp();

	begin();
	CHECK_INT(0, labels_set(&l, fd, &place, &label));
	table[0].places[3].cookie = TG_LABEL_TAKING; /* it was killed in the middle */
	labels_leave(&l);
	CHECK_INT(0, table[0].places[3].cookie);
	CHECK(of(fd) && of(fd)->label.route == 7); /* its end may come yet */
	labels_sweep(&l);
	CHECK(of(fd) != NULL);
	labels_sweep(&l);
	CHECK(of(fd) == NULL);
	close(fd);
}

int main(void)
{
	RUN(a_label_and_its_claim_are_one_place);
	RUN(a_full_bucket_is_the_calls);
	RUN(only_what_is_over_is_swept_and_the_second_time);
	RUN(what_a_dead_proxy_left_is_swept);
	DONE();
}
