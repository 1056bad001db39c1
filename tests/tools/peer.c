/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peer: a client and a server that know every byte they should see.  Each connection
 * begins with a request that says how many bytes go each way and how it ends; both ends
 * check every byte against a generator and add up what they sent and received.
 *
 *   peer serve --listen ADDR:PORT [--proxy] [--tls]     until SIGTERM, then the sums
 *   peer load --connect ADDR:PORT [--connections N] [--parallel P] [--mix NAME]
 *             [--bytes N] [--pause MS] [--urgent] [--sni NAME] [--send-proxy v1|v2]
 * [--seed N]
 * [--from ADDR]
 *
 * Sums are one line of JSON.  Exit 1 if a byte was wrong or a connection failed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/util.h"
#include "codec/pp.h"

#define MAGIC	   0x746f6c6c67617465ull
#define BLOCK	   65536
#define TIMEOUT_MS 60000
#define URGENT_AT  1000 /* the byte sent as urgent data (RFC 6093) */

enum mode { CLOSE, HALF_CLOSE, SERVER_FIRST, CLIENT_RESET, SERVER_RESET, ABORT, MODES };

struct request {
	uint64_t magic;
	uint64_t seed;
	uint64_t up;   /* bytes after this, client to server */
	uint64_t down; /* bytes back */
	uint32_t mode;
	uint32_t pad;
};

struct options {
	struct addr addr, from;
	bool has_from;
	unsigned connections, parallel;
	const char *mix;
	uint64_t bytes, seed, pause_ms;
	const char *sni;
	enum pp_version proxy;
	bool expect_proxy, tls, urgent;
};

static struct options opt = {
	.connections = 1, .parallel = 16, .mix = "fixed", .seed = 1
};
static struct {
	uint64_t rx, tx, hello, header, connections, failed, wrong;
} sums;
static unsigned next_connection;
static volatile sig_atomic_t stopping;

static void add(uint64_t *to, uint64_t n)
{
	__atomic_fetch_add(to, n, __ATOMIC_RELAXED);
}

/* splitmix64: the word at position i of stream `seed` */
static uint64_t word_at(uint64_t seed, uint64_t i)
{
	uint64_t z = seed * 0x9e3779b97f4a7c15ull + i * 0xbf58476d1ce4e5b9ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static void generate(uint8_t *buf, size_t len, uint64_t seed, uint64_t offset)
{
	for (size_t i = 0; i < len;) {
		uint64_t w = word_at(seed, (offset + i) / 8);
		size_t skip = (offset + i) % 8, n = 8 - skip;

		if (n > len - i)
			n = len - i;
		memcpy(buf + i, (uint8_t *)&w + skip, n);
		i += n;
	}
}

static int send_some(int fd, uint64_t seed, uint64_t len, uint64_t *done)
{
	uint8_t buf[BLOCK];
	size_t n = len - *done < BLOCK ? len - *done : BLOCK;
	ssize_t r;

	generate(buf, n, seed, *done);
	if (opt.urgent && *done == URGENT_AT && n > 0)
		r = send(fd, buf, 1, MSG_NOSIGNAL | MSG_DONTWAIT | MSG_OOB);
	else if (opt.urgent && *done < URGENT_AT && n > URGENT_AT - *done)
		r = send(fd, buf, URGENT_AT - *done, MSG_NOSIGNAL | MSG_DONTWAIT);
	else
		r = send(fd, buf, n, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (r < 0)
		return errno == EAGAIN ? 0 : -errno;
	*done += (uint64_t)r;
	add(&sums.tx, (uint64_t)r);
	return 0;
}

static int recv_some(int fd, uint64_t seed, uint64_t len, uint64_t *done)
{
	uint8_t buf[BLOCK], want[BLOCK];
	size_t n = len - *done < BLOCK ? len - *done : BLOCK;
	ssize_t r = recv(fd, buf, n, MSG_DONTWAIT);

	if (r == 0)
		return -EPIPE; /* ended too early */
	if (r < 0)
		return errno == EAGAIN ? 0 : -errno;
	generate(want, (size_t)r, seed, *done);
	if (memcmp(buf, want, (size_t)r) != 0) {
		add(&sums.wrong, 1);
		return -EBADMSG;
	}
	*done += (uint64_t)r;
	add(&sums.rx, (uint64_t)r);
	return 0;
}

/* Both directions at once until both are complete.  0 or -errno. */
static int exchange(int fd, uint64_t out_seed, uint64_t out, uint64_t in_seed,
		    uint64_t in)
{
	uint64_t sent = 0, got = 0;
	int err = 0;

	while (!err && (sent < out || got < in)) {
		struct pollfd p = { .fd = fd };

		p.events = (short)((sent < out ? POLLOUT : 0) | (got < in ? POLLIN : 0));
		if (poll(&p, 1, TIMEOUT_MS) <= 0)
			return -ETIMEDOUT;
		if (got < in && p.revents & (POLLIN | POLLHUP | POLLERR))
			err = recv_some(fd, in_seed, in, &got);
		if (!err && sent < out && p.revents & (POLLOUT | POLLERR)) {
			err = send_some(fd, out_seed, out, &sent);
			if (opt.pause_ms)
				usleep((useconds_t)opt.pause_ms * 1000);
		}
	}
	return err;
}

/* The other side must end here: 0 for FIN, 1 for RST, -EBADMSG for more data. */
static int expect_end(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char c;
	ssize_t n;

	if (poll(&p, 1, TIMEOUT_MS) <= 0)
		return -ETIMEDOUT;
	n = recv(fd, &c, 1, MSG_DONTWAIT);
	if (n > 0)
		return -EBADMSG;
	return n == 0 ? 0 : errno == ECONNRESET ? 1 : -errno;
}

static void reset_on_close(int fd)
{
	struct linger now = { .l_onoff = 1 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

/* Everything written has been acknowledged by the next hop. */
static int wait_sent(int fd)
{
	for (int i = 0, n = 1; i < TIMEOUT_MS; i++) {
		if (ioctl(fd, SIOCOUTQ, &n) < 0)
			return -errno;
		if (n == 0)
			return 0;
		usleep(1000);
	}
	return -ETIMEDOUT;
}

static int want_end(int fd, int want)
{
	int r = expect_end(fd);

	return r == want ? 0 : r < 0 ? r : -EPROTO;
}

/* --- the two ends of one connection, mode by mode --- */

static int client_end(int fd, const struct request *r)
{
	uint64_t s = r->seed;
	int err;

	switch (r->mode) {
	case CLOSE:
		err = exchange(fd, s, r->up, ~s, r->down);
		if (!err)
			shutdown(fd, SHUT_WR);
		return err ? err : want_end(fd, 0);
	case HALF_CLOSE: /* the answer comes after our FIN */
		err = exchange(fd, s, r->up, 0, 0);
		shutdown(fd, SHUT_WR);
		if (!err)
			err = exchange(fd, 0, 0, ~s, r->down);
		return err ? err : want_end(fd, 0);
	case SERVER_FIRST: /* we go on sending after the server's FIN */
		err = exchange(fd, 0, 0, ~s, r->down);
		if (!err)
			err = want_end(fd, 0);
		return err ? err : exchange(fd, s, r->up, 0, 0);
	case CLIENT_RESET: /* when everything has arrived on both sides */
		err = exchange(fd, s, r->up, ~s, r->down);
		if (!err)
			err = exchange(fd, 0, 0, ~s + 1, 1);
		reset_on_close(fd);
		return err;
	case SERVER_RESET: /* one more byte tells the server to */
		err = exchange(fd, s, r->up, ~s, r->down);
		if (!err)
			err = exchange(fd, s + 1, 1, 0, 0);
		return err ? err : want_end(fd, 1);
	default: /* ABORT: the server resets with its last bytes still on the way to us */
		err = exchange(fd, s, r->up, ~s, r->down);
		return err ? err : want_end(fd, 1);
	}
}

static int server_end(int fd, const struct request *r)
{
	uint64_t s = r->seed;
	int err;

	switch (r->mode) {
	case CLOSE:
		err = exchange(fd, ~s, r->down, s, r->up);
		return err ? err : want_end(fd, 0);
	case HALF_CLOSE:
		err = exchange(fd, 0, 0, s, r->up);
		if (!err)
			err = want_end(fd, 0);
		return err ? err : exchange(fd, ~s, r->down, 0, 0);
	case SERVER_FIRST:
		err = exchange(fd, ~s, r->down, 0, 0);
		shutdown(fd, SHUT_WR);
		if (!err)
			err = exchange(fd, 0, 0, s, r->up);
		return err ? err : want_end(fd, 0);
	case CLIENT_RESET:
		err = exchange(fd, 0, 0, s, r->up);
		if (!err)
			err = exchange(fd, ~s, r->down, 0, 0);
		if (!err)
			err = exchange(fd, ~s + 1, 1, 0, 0);
		return err ? err : want_end(fd, 1);
	case SERVER_RESET:
		err = exchange(fd, ~s, r->down, s, r->up);
		if (!err)
			err = exchange(fd, 0, 0, s + 1, 1);
		reset_on_close(fd);
		return err;
	default:
		err = exchange(fd, ~s, r->down, s, r->up);
		if (!err)
			err = wait_sent(fd);
		reset_on_close(fd);
		return err;
	}
}

static int recv_all(int fd, void *buf, size_t len)
{
	size_t done = 0;

	while (done < len) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t n;

		if (poll(&p, 1, TIMEOUT_MS) <= 0)
			return -ETIMEDOUT;
		n = recv(fd, (char *)buf + done, len - done, MSG_DONTWAIT);
		if (n == 0)
			return -EPIPE;
		if (n < 0 && errno != EAGAIN)
			return -errno;
		done += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

/* --- server --- */

/* The PROXY header, byte by byte so that nothing behind it is taken. */
static int serve_header(int fd)
{
	enum pp_fault fault;
	struct pp_info info;
	uint8_t buf[PP2_MAX];
	size_t len = 0;
	ssize_t n = -EAGAIN;
	char src[ADDR_STR_MAX], dst[ADDR_STR_MAX];

	while (n == -EAGAIN && len < sizeof(buf)) {
		if (recv_all(fd, buf + len, 1) < 0)
			return -EPIPE;
		n = pp_decode(buf, ++len, &info, &fault);
	}
	if (n < 0)
		return -EPROTO;
	add(&sums.header, len);
	if (info.known)
		fprintf(stderr, "proxy v%d %s %s\n", info.version,
			addr_format(&info.src, src), addr_format(&info.dst, dst));
	else
		fprintf(stderr, "proxy v%d %s\n", info.version,
			info.local ? "local" : "unknown");
	return 0;
}

/* The client's hello record, which the request follows. */
static int serve_hello(int fd)
{
	uint8_t header[5], body[16384];
	size_t len;

	if (recv_all(fd, header, sizeof(header)) < 0)
		return -EPIPE;
	len = (size_t)header[3] << 8 | header[4];
	if (header[0] != 22 || len > sizeof(body) || recv_all(fd, body, len) < 0)
		return -EPROTO;
	add(&sums.hello, sizeof(header) + len);
	return 0;
}

static void *serve_one(void *arg)
{
	int fd = (int)(intptr_t)arg, err = 0;
	struct request r;

	if (opt.expect_proxy)
		err = serve_header(fd);
	if (!err && opt.tls)
		err = serve_hello(fd);
	if (!err)
		err = recv_all(fd, &r, sizeof(r));
	if (!err) {
		add(&sums.rx, sizeof(r));
		err = r.magic == MAGIC ? server_end(fd, &r) : -EPROTO;
	}
	close(fd);
	if (err) {
		fprintf(stderr, "serve: mode %u: %s\n", r.mode, strerror(-err));
		add(&sums.failed, 1);
	}
	add(&sums.connections, 1);
	return NULL;
}

static void on_signal(int sig)
{
	(void)sig;
	stopping = 1;
}

static int print_sums(void)
{
	printf("{\"connections\":%llu,\"failed\":%llu,\"wrong\":%llu,\"rx\":%llu,\"tx\":%llu,"
	       "\"hello\":%llu,\"header\":%llu}\n",
	       (unsigned long long)sums.connections, (unsigned long long)sums.failed,
	       (unsigned long long)sums.wrong, (unsigned long long)sums.rx,
	       (unsigned long long)sums.tx, (unsigned long long)sums.hello,
	       (unsigned long long)sums.header);
	return sums.failed || sums.wrong ? 1 : 0;
}

static int serve(void)
{
	struct sigaction sa = { .sa_handler = on_signal };
	struct sockaddr_storage ss;
	socklen_t len = addr_to_sockaddr(&opt.addr, &ss);
	int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1, c;
	char text[ADDR_STR_MAX];
	pthread_attr_t attr;
	struct addr bound;
	pthread_t t;

	sigaction(SIGTERM, &sa, NULL);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&ss, len) < 0 || listen(fd, 4096) < 0) {
		perror("peer serve");
		return 2;
	}
	len = sizeof(ss);
	getsockname(fd, (struct sockaddr *)&ss, &len);
	addr_from_sockaddr((struct sockaddr *)&ss, &bound);
	printf("listening %s\n", addr_format(&bound, text));
	fflush(stdout);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 512 * 1024);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	while (!stopping) {
		c = accept(fd, NULL, NULL);
		if (c < 0)
			continue;
		if (pthread_create(&t, &attr, serve_one, (void *)(intptr_t)c) != 0) {
			close(c);
			add(&sums.failed, 1);
		}
	}
	return print_sums();
}

/* --- client --- */

/* The least ClientHello that names a server (RFC 8446 4.1.2). */
static size_t build_hello(uint8_t *buf, const char *sni)
{
	size_t n = strlen(sni), ext = n + 9, body = 2 + 32 + 1 + 4 + 2 + 2 + ext;
	uint8_t *p = buf;
	const uint8_t head[] = { 22,
				 3,
				 1,
				 (uint8_t)((body + 4) >> 8),
				 (uint8_t)(body + 4),
				 1,
				 0,
				 (uint8_t)(body >> 8),
				 (uint8_t)body,
				 3,
				 3 };

	memcpy(p, head, sizeof(head));
	p += sizeof(head);
	memset(p, 7, 32);
	p += 32;
	*p++ = 0; /* session id */
	memcpy(p, (uint8_t[]){ 0, 2, 0x13, 1, 1, 0 }, 6);
	p += 6;
	*p++ = (uint8_t)(ext >> 8);
	*p++ = (uint8_t)ext;
	memcpy(p,
	       (uint8_t[]){ 0, 0, 0, (uint8_t)(n + 5), 0, (uint8_t)(n + 3), 0, 0,
			    (uint8_t)n },
	       9);
	p += 9;
	memcpy(p, sni, n);
	return (size_t)(p - buf) + n;
}

static const struct {
	uint64_t bytes;
	unsigned share; /* of 100 */
} assorted[] = { { 0, 10 },	 { 1, 10 },	 { 100, 20 },	 { 1448, 10 },
		 { 5000, 10 },	 { 65536, 15 },	 { 300000, 10 }, { 1000000, 10 },
		 { 9000000, 4 }, { 50000000, 1 } };

static uint64_t assorted_size(uint64_t random)
{
	unsigned at = (unsigned)(random % 100), i = 0;

	while (at >= assorted[i].share)
		at -= assorted[i++].share;
	return assorted[i].bytes + (assorted[i].bytes > 1000 ? random / 100 % 97 : 0);
}

static void plan(unsigned index, struct request *r)
{
	*r = (struct request){ .magic = MAGIC, .seed = word_at(opt.seed, index) };
	if (strcmp(opt.mix, "assorted") == 0) {
		r->mode = index % MODES;
		r->up = assorted_size(word_at(r->seed, 1));
		r->down = assorted_size(word_at(r->seed, 2));
	} else if (strcmp(opt.mix, "up") == 0) {
		r->up = opt.bytes;
	} else {
		r->up = r->down = opt.bytes;
	}
}

static int send_opening(int fd, const struct request *r)
{
	uint8_t buf[1024];
	size_t len = 0;
	struct sockaddr_storage ss;
	socklen_t ss_len = sizeof(ss);

	if (opt.proxy != PP_NONE) {
		struct pp_info info = { .version = opt.proxy, .known = true };

		(void)addr_parse("192.0.2.77:7777", &info.src);
		getpeername(fd, (struct sockaddr *)&ss, &ss_len);
		addr_from_sockaddr((struct sockaddr *)&ss, &info.dst);
		len = (size_t)pp_encode(buf, sizeof(buf), &info, NULL);
		add(&sums.header, len);
	}
	if (opt.sni) {
		size_t n = build_hello(buf + len, opt.sni);

		add(&sums.hello, n);
		len += n;
	}
	memcpy(buf + len, r, sizeof(*r));
	add(&sums.tx, sizeof(*r));
	len += sizeof(*r);
	return send(fd, buf, len, MSG_NOSIGNAL) == (ssize_t)len ? 0 : -EPIPE;
}

static int load_one(unsigned index)
{
	struct sockaddr_storage ss;
	socklen_t len;
	struct request r;
	int fd, err = 0, on = 1;

	plan(index, &r);
	len = addr_to_sockaddr(&opt.addr, &ss);
	fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (opt.has_from) {
		struct sockaddr_storage from;
		socklen_t n = addr_to_sockaddr(&opt.from, &from);

		if (bind(fd, (struct sockaddr *)&from, n) < 0)
			err = -errno;
	}
	if (!err && connect(fd, (struct sockaddr *)&ss, len) < 0)
		err = -errno;
	if (!err)
		err = send_opening(fd, &r);
	if (!err)
		err = client_end(fd, &r);
	close(fd);
	if (err)
		fprintf(stderr, "load: connection %u mode %u up %llu down %llu: %s\n",
			index, r.mode, (unsigned long long)r.up,
			(unsigned long long)r.down, strerror(-err));
	return err;
}

static void *load_many(void *arg)
{
	unsigned i;

	(void)arg;
	while ((i = __atomic_fetch_add(&next_connection, 1, __ATOMIC_RELAXED)) <
	       opt.connections) {
		if (load_one(i) < 0)
			add(&sums.failed, 1);
		add(&sums.connections, 1);
	}
	return NULL;
}

static int load(void)
{
	pthread_t *threads = calloc(opt.parallel, sizeof(*threads));
	pthread_attr_t attr;

	if (!threads)
		return 2;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 512 * 1024);
	for (unsigned i = 0; i < opt.parallel; i++) {
		if (pthread_create(&threads[i], &attr, load_many, NULL) != 0)
			opt.parallel = i;
	}
	for (unsigned i = 0; i < opt.parallel; i++)
		pthread_join(threads[i], NULL);
	free(threads);
	return print_sums();
}

static uint64_t number(const char *text)
{
	uint64_t n;

	if (util_parse_u64(text, UINT64_MAX / 2, &n) < 0) {
		fprintf(stderr, "peer: '%s' is no number\n", text);
		exit(2);
	}
	return n;
}

static void address(const char *text, struct addr *ret)
{
	if (addr_parse(text, ret) < 0) {
		fprintf(stderr, "peer: '%s' is no address\n", text);
		exit(2);
	}
}

int main(int argc, char **argv) /* lint: table */
{
	static const struct option options[] = {
		{ "listen", 1, NULL, 'a' },
		{ "connect", 1, NULL, 'a' },
		{ "connections", 1, NULL, 'n' },
		{ "parallel", 1, NULL, 'p' },
		{ "mix", 1, NULL, 'm' },
		{ "bytes", 1, NULL, 'b' },
		{ "sni", 1, NULL, 's' },
		{ "seed", 1, NULL, 'S' },
		{ "from", 1, NULL, 'f' },
		{ "send-proxy", 1, NULL, 'P' },
		{ "proxy", 0, NULL, 'x' },
		{ "tls", 0, NULL, 't' },
		{ "urgent", 0, NULL, 'u' },
		{ "pause", 1, NULL, 'w' },
		{ 0 },
	};
	int c;

	if (argc < 2)
		return 2;
	while ((c = getopt_long(argc - 1, argv + 1, "", options, NULL)) != -1) {
		switch (c) {
		case 'a':
			address(optarg, &opt.addr);
			break;
		case 'n':
			opt.connections = (unsigned)number(optarg);
			break;
		case 'p':
			opt.parallel = (unsigned)number(optarg);
			break;
		case 'm':
			opt.mix = optarg;
			if (strcmp(optarg, "assorted") != 0 &&
			    strcmp(optarg, "up") != 0 && strcmp(optarg, "fixed") != 0) {
				fprintf(stderr, "--mix %s: assorted, up or fixed\n",
					optarg);
				return 2;
			}
			break;
		case 'b':
			opt.bytes = number(optarg);
			break;
		case 's':
			opt.sni = optarg;
			break;
		case 'S':
			opt.seed = number(optarg);
			break;
		case 'f':
			address(optarg, &opt.from);
			opt.has_from = true;
			break;
		case 'P':
			opt.proxy = strcmp(optarg, "v1") == 0 ? PP_V1 : PP_V2;
			break;
		case 'x':
			opt.expect_proxy = true;
			break;
		case 't':
			opt.tls = true;
			break;
		case 'u':
			opt.urgent = true;
			break;
		case 'w':
			opt.pause_ms = number(optarg);
			break;
		default:
			return 2;
		}
	}
	signal(SIGPIPE, SIG_IGN);
	return strcmp(argv[1], "serve") == 0 ? serve() : load();
}
