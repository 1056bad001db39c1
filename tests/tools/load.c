/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many connections from one thread, and the server for them: whatever is measured is in
 * between.
 *
 *   load serve ADDRESS:PORT REQUEST ANSWER     answers every REQUEST bytes with ANSWER
 *   load keep ADDRESS:PORT REQUEST ANSWER CONNECTIONS EXCHANGES
 *   load open ADDRESS:PORT REQUEST ANSWER PARALLEL CONNECTIONS
 *                                              a new connection for each exchange
 *   load hold ADDRESS:PORT REQUEST ANSWER CONNECTIONS
 *                                              one exchange each, then until stdin ends
 *
 * With LOAD_SNI=NAME in the environment the first request is a ClientHello for it, of
 * REQUEST bytes in all.  Prints one line of JSON: exchanges a second, p50, p99 and the
 * slowest in us.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/util.h"

#define SIZE_MAX_BYTES	4096
#define CONNECTIONS_MAX 20000
#define EXCHANGES_MAX	10000000
#define PATIENCE_MS	60000
#define BATCH		256

struct conn {
	int fd;
	size_t got;    /* of the message that is coming */
	uint64_t left; /* exchanges */
	bool opened;   /* its first exchange, of which connecting is part, is over */
	uint64_t asked_ns;
};

static struct sockaddr_storage ss;
static socklen_t ss_len;
static uint8_t request[SIZE_MAX_BYTES], hello[SIZE_MAX_BYTES];
static uint64_t request_bytes, answer_bytes;
static uint32_t *latencies; /* us */
static uint64_t latencies_n;
static int epfd;

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint8_t *put16(uint8_t *p, size_t n)
{
	*p++ = (uint8_t)(n >> 8);
	*p++ = (uint8_t)n;
	return p;
}

/* One record of exactly `size` bytes, the rest in a padding extension (RFC 7685). */
static void make_hello(uint8_t *p, size_t size, const char *sni)
{
	size_t name = strlen(sni), fixed = 5 + 4 + 2 + 32 + 1 + 2 + 2 + 2 + 2;

	if (size < fixed + 9 + name + 4)
		die("REQUEST is too small for this hello");
	*p++ = 22;
	p = put16(p, 0x0301);
	p = put16(p, size - 5);
	*p++ = 1;
	*p++ = 0;
	p = put16(p, size - 9);
	p = put16(p, 0x0303);
	memset(p, 7, 32);
	p += 32;
	*p++ = 0;
	p = put16(p, 2);
	p = put16(p, 0x1301);
	*p++ = 1;
	*p++ = 0;
	p = put16(p, size - fixed);
	p = put16(p, 0);
	p = put16(p, name + 5);
	p = put16(p, name + 3);
	*p++ = 0;
	p = put16(p, name);
	memcpy(p, sni, name);
	p += name;
	p = put16(p, 21);
	p = put16(p, size - fixed - 9 - name - 4);
}

static void watch(struct conn *c, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.ptr = c };

	if (epoll_ctl(epfd, EPOLL_CTL_ADD, c->fd, &e) < 0)
		die("epoll");
}

static void no_delay(int fd)
{
	int one = 1;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

/* --- server --- */

static void answer(struct conn *c)
{
	static uint8_t buf[65536];
	ssize_t n = recv(c->fd, buf, sizeof(buf), MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		close(c->fd);
		free(c);
		return;
	}
	c->got += (size_t)n;
	for (; c->got >= request_bytes; c->got -= request_bytes) {
		if (send(c->fd, request, answer_bytes, MSG_NOSIGNAL) !=
		    (ssize_t)answer_bytes)
			break; /* its next event says that it is gone */
	}
}

static _Noreturn void serve(void)
{
	struct conn listener = {
		.fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)
	};
	struct epoll_event batch[BATCH];
	int one = 1;

	(void)setsockopt(listener.fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (listener.fd < 0 || bind(listener.fd, (void *)&ss, ss_len) < 0 ||
	    listen(listener.fd, 4096) < 0)
		die("listen");
	no_delay(listener.fd); /* inherited */
	watch(&listener, EPOLLIN);
	puts("listening");
	fflush(stdout);
	for (;;) {
		int n = epoll_wait(epfd, batch, BATCH, -1);

		for (int i = 0; i < n; i++) {
			struct conn *c = batch[i].data.ptr;
			int fd;

			if (c != &listener) {
				answer(c);
				continue;
			}
			while ((fd = accept4(listener.fd, NULL, NULL, SOCK_CLOEXEC)) >=
			       0) {
				c = calloc(1, sizeof(*c));
				if (!c)
					die("memory");
				c->fd = fd;
				watch(c, EPOLLIN);
			}
		}
	}
}

/* --- clients --- */

static void ask(struct conn *c, const uint8_t *what)
{
	c->asked_ns = util_now_ns();
	c->got = 0;
	if (send(c->fd, what, request_bytes, MSG_NOSIGNAL) != (ssize_t)request_bytes)
		die("send");
}

static void open_one(struct conn *c)
{
	c->fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->fd < 0)
		die("socket");
	no_delay(c->fd);
	c->asked_ns = util_now_ns(); /* of "open" the handshake is part */
	if (connect(c->fd, (void *)&ss, ss_len) < 0 && errno != EINPROGRESS)
		die("connect");
	c->got = SIZE_MAX; /* until it is connected */
	watch(c, EPOLLIN | EPOLLOUT | EPOLLET);
}

/* True when an answer is complete. */
static bool receive(struct conn *c)
{
	uint8_t buf[SIZE_MAX_BYTES];
	ssize_t n = recv(c->fd, buf, sizeof(buf), MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN)
		return false;
	if (n < 0)
		die("recv");
	if (n == 0) {
		errno = ECONNRESET;
		die("the other side has closed");
	}
	c->got += (size_t)n;
	if (c->got < answer_bytes)
		return false;
	if (c->opened || c->left == 1) /* connections that stay are measured when open */
		latencies[latencies_n++] =
			(uint32_t)((util_now_ns() - c->asked_ns) / 1000);
	c->opened = true;
	c->left--;
	return true;
}

static void connected(struct conn *c)
{
	uint64_t began = c->asked_ns;

	ask(c, hello);
	c->asked_ns = began;
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void report(uint64_t began_ns)
{
	double seconds = (double)(util_now_ns() - began_ns) / 1e9;

	qsort(latencies, latencies_n, sizeof(*latencies), by_value);
	printf("{\"rate\":%.0f,\"p50_us\":%u,\"p99_us\":%u,\"max_us\":%u}\n",
	       (double)latencies_n / seconds, latencies[latencies_n / 2],
	       latencies[latencies_n * 99 / 100], latencies[latencies_n - 1]);
}

/* n connections; each does `exchanges`, then stays, or gives way to a new one while
 * `more`.
 */
static void run(uint64_t n, uint64_t exchanges, uint64_t more, bool stay)
{
	struct conn *all = calloc(n, sizeof(*all));
	uint64_t left = n * exchanges + more, began = util_now_ns();
	struct epoll_event batch[BATCH];

	latencies = calloc(left, sizeof(*latencies));
	if (!all || !latencies)
		die("memory");
	for (uint64_t i = 0; i < n; i++) {
		all[i].left = exchanges;
		open_one(&all[i]);
	}
	while (left > 0) {
		int k = epoll_wait(epfd, batch, BATCH, PATIENCE_MS);

		if (k <= 0)
			die("nothing moves");
		for (int i = 0; i < k; i++) {
			struct conn *c = batch[i].data.ptr;

			if (c->got == SIZE_MAX && batch[i].events & EPOLLOUT)
				connected(c);
			if (!(batch[i].events & (EPOLLIN | EPOLLERR)) || !receive(c))
				continue;
			left--;
			if (c->left) {
				ask(c, request);
				continue;
			}
			if (stay)
				continue;
			close(c->fd);
			if (more) {
				c->left = 1;
				c->opened = false;
				more--;
				open_one(c);
			}
		}
	}
	report(began);
}

static void hold(uint64_t n)
{
	char c;

	run(n, 1, 0, true);
	fflush(stdout);
	while (read(0, &c, 1) > 0)
		;
}

int main(int argc, char **argv)
{
	const char *sni = getenv("LOAD_SNI");
	uint64_t a = 0, b = 0;
	struct addr addr;

	if (argc < 5 || addr_parse(argv[2], &addr) < 0 ||
	    util_parse_u64(argv[3], SIZE_MAX_BYTES, &request_bytes) < 0 ||
	    util_parse_u64(argv[4], SIZE_MAX_BYTES, &answer_bytes) < 0 ||
	    (argc > 5 && util_parse_u64(argv[5], CONNECTIONS_MAX, &a) < 0) ||
	    (argc > 6 && util_parse_u64(argv[6], EXCHANGES_MAX, &b) < 0))
		return 2;
	ss_len = addr_to_sockaddr(&addr, &ss);
	epfd = epoll_create1(EPOLL_CLOEXEC);
	if (sni)
		make_hello(hello, request_bytes, sni);
	if (strcmp(argv[1], "serve") == 0)
		serve();
	if (strcmp(argv[1], "keep") == 0 && a && b)
		run(a, b, 0, true);
	else if (strcmp(argv[1], "open") == 0 && a && b >= a)
		run(a, 1, b - a, false);
	else if (strcmp(argv[1], "hold") == 0 && a)
		hold(a);
	else
		return 2;
	return 0;
}
