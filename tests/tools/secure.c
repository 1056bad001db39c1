/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS clients that count, of a server that says again what it hears (tools/echo.c).
 *
 * load: each connection says up to MAX bytes in writes of up to 16 KiB, hears them again,
 * and ends as told: close: close_notify both ways; half: ours before the last bytes came
 * back; cut: FIN without it; reset: RST; garbage: a record that nobody can decrypt.
 * Prints one line of JSON; the sums are of the application and of the socket, `talked`
 * counts those that heard all, whatever became of their end.
 *
 * keep: all connect, then each says B bytes and hears them, E times; prints how many a
 * second and microseconds of the 99th percentile; with --mark FILE it makes that file
 * when all are connected and goes on when it is gone.  hold: all connect, exchange a
 * byte, and wait until standard input ends.
 *
 * hello: sends its hello, waits for an answer, and closes or resets; cut: says no more
 * until the gate ends it.
 */
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/addr.h"
#include "base/util.h"

#define CHUNK	  16384
#define TIMEOUT_S 20

enum ending { CLOSE, HALF, CUT, RESET, GARBAGE, ENDINGS };
static const char *const ending_names[ENDINGS] = { "close", "half", "cut", "reset",
						   "garbage" };

static struct {
	struct addr to;
	const char *name, *ca, *alpn, *mark, *certificate, *key;
	unsigned connections, parallel, bytes, exchanges;
	uint64_t seed;
	int version;
	int ending; /* ENDINGS: all in turn */
	bool resume;
} opt = { .connections = 1, .parallel = 1, .bytes = 50000, .seed = 1, .ending = CLOSE };

static struct {
	uint64_t app_tx, app_rx, socket_tx, socket_rx, connections, failed, wrong, talked,
		resumed, ended[ENDINGS];
} sum;
static unsigned next_connection;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* splitmix64 */
static uint64_t draw(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15u);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static int connect_to(const struct addr *a)
{
	const struct timeval t = { .tv_sec = TIMEOUT_S };
	struct sockaddr_storage ss;
	socklen_t len = addr_to_sockaddr(a, &ss);
	int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t));
	if (fd >= 0 && connect(fd, (struct sockaddr *)&ss, len) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

/* --- load --- */

struct run {
	SSL_CTX *ctx;
	SSL_SESSION *session;
	uint64_t random;
	uint64_t app_tx, app_rx;
	bool wrong;
	bool talked; /* all was said and heard, but for the end */
};

static int on_session(SSL *ssl, SSL_SESSION *session)
{
	struct run *r = SSL_get_app_data(ssl);

	if (!r)
		return 0;
	SSL_SESSION_free(r->session);
	r->session = session;
	return 1;
}

static bool read_all(struct run *r, SSL *ssl, const char *want, int n)
{
	char buf[CHUNK];

	for (int at = 0; at < n;) {
		int k = SSL_read(ssl, buf, n - at);

		if (k <= 0)
			return false;
		r->wrong |= memcmp(buf, want + at, (size_t)k) != 0;
		r->app_rx += (uint64_t)k;
		at += k;
	}
	return true;
}

static bool write_all(struct run *r, SSL *ssl, const char *data, int n)
{
	if (SSL_write(ssl, data, n) != n)
		return false;
	r->app_tx += (uint64_t)n;
	return true;
}

/* Nothing more comes but the end, in good order or not. */
static bool hears_end(SSL *ssl)
{
	char byte;
	int n = SSL_read(ssl, &byte, 1);

	return n <= 0 && SSL_get_error(ssl, n) == SSL_ERROR_ZERO_RETURN;
}

static bool finish(struct run *r, SSL *ssl, int fd, enum ending how)
{
	const struct linger now = { .l_onoff = 1 };
	static const char junk[] = { 23, 3, 3, 0, 32, 'j', 'u', 'n', 'k' };
	static const char rest[28];
	char last[1000];
	bool ok;

	switch (how) {
	case CLOSE:
		(void)SSL_shutdown(ssl);
		return hears_end(ssl);
	case HALF:
		for (size_t i = 0; i < sizeof(last); i++)
			last[i] = (char)draw(&r->random);
		ok = write_all(r, ssl, last, sizeof(last));
		(void)SSL_shutdown(ssl);
		(void)shutdown(fd, SHUT_WR);
		return ok && read_all(r, ssl, last, sizeof(last)) && hears_end(ssl);
	case CUT:
		(void)shutdown(fd, SHUT_WR);
		return !hears_end(ssl); /* told by a reset */
	case GARBAGE:
		ok = send(fd, junk, sizeof(junk), MSG_NOSIGNAL) == sizeof(junk) &&
		     send(fd, rest, sizeof(rest), MSG_NOSIGNAL) == sizeof(rest);
		return ok && !hears_end(ssl);
	default:
		(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		return true;
	}
}

static bool talk(struct run *r, SSL *ssl, int fd, enum ending how)
{
	int left = (int)(draw(&r->random) % (opt.bytes + 1));
	char data[CHUNK];

	if (SSL_connect(ssl) != 1)
		return false;
	while (left > 0) {
		int n = 1 + (int)(draw(&r->random) % CHUNK);

		n = n > left ? left : n;
		for (int i = 0; i < n; i += 8) {
			uint64_t word = draw(&r->random);

			memcpy(data + i, &word, n - i < 8 ? (size_t)(n - i) : 8);
		}
		if (!write_all(r, ssl, data, n) || !read_all(r, ssl, data, n))
			return false;
		left -= n;
	}
	r->talked = true;
	return finish(r, ssl, fd, how);
}

static void count(const struct run *r, SSL *ssl, bool ok, enum ending how)
{
	pthread_mutex_lock(&lock);
	sum.connections++;
	sum.failed += !ok;
	sum.wrong += r->wrong;
	sum.talked += r->talked;
	sum.ended[how] += ok;
	sum.app_tx += r->app_tx;
	sum.app_rx += r->app_rx;
	sum.socket_tx += BIO_number_written(SSL_get_wbio(ssl));
	sum.socket_rx += BIO_number_read(SSL_get_rbio(ssl));
	sum.resumed += (uint64_t)SSL_session_reused(ssl);
	if (!ok && sum.failed <= 5) {
		fprintf(stderr, "connection %s: ", ending_names[how]);
		ERR_print_errors_fp(stderr);
		fprintf(stderr, "errno %d\n", errno);
	}
	pthread_mutex_unlock(&lock);
}

static void one(struct run *r, unsigned number)
{
	enum ending how = opt.ending == ENDINGS ? (enum ending)(number % ENDINGS)
						: (enum ending)opt.ending;
	int fd = connect_to(&opt.to);
	SSL *ssl = SSL_new(r->ctx);
	bool ok;

	r->random = opt.seed ^ (uint64_t)number << 32;
	r->app_tx = r->app_rx = 0;
	r->wrong = r->talked = false;
	ERR_clear_error();
	SSL_set_app_data(ssl, r);
	(void)SSL_set_tlsext_host_name(ssl, opt.name);
	(void)SSL_set1_host(ssl, opt.name);
	if (opt.resume && r->session)
		(void)SSL_set_session(ssl, r->session);
	(void)SSL_set_fd(ssl, fd);
	ok = fd >= 0 && talk(r, ssl, fd, how);
	count(r, ssl, ok, how);
	SSL_free(ssl);
	if (fd >= 0)
		close(fd);
}

static SSL_CTX *make_context(void)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	unsigned char alpn[64];

	if (!ctx || SSL_CTX_load_verify_locations(ctx, opt.ca, NULL) != 1) {
		ERR_print_errors_fp(stderr);
		exit(2);
	}
	if (opt.certificate &&
	    (SSL_CTX_use_certificate_chain_file(ctx, opt.certificate) != 1 ||
	     SSL_CTX_use_PrivateKey_file(ctx, opt.key, SSL_FILETYPE_PEM) != 1)) {
		ERR_print_errors_fp(stderr);
		exit(2);
	}
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	if (opt.version) {
		(void)SSL_CTX_set_min_proto_version(ctx, opt.version);
		(void)SSL_CTX_set_max_proto_version(ctx, opt.version);
	}
	(void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT |
							  SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, on_session);
	if (opt.alpn) {
		alpn[0] = (unsigned char)strlen(opt.alpn);
		memcpy(alpn + 1, opt.alpn, alpn[0]);
		(void)SSL_CTX_set_alpn_protos(ctx, alpn, alpn[0] + 1u);
	}
	return ctx;
}

static void *thread(void *arg)
{
	struct run r = { .ctx = make_context() };
	unsigned n;

	(void)arg;
	while ((n = __atomic_fetch_add(&next_connection, 1, __ATOMIC_RELAXED)) <
	       opt.connections)
		one(&r, n);
	SSL_SESSION_free(r.session);
	SSL_CTX_free(r.ctx);
	return NULL;
}

static int load(void)
{
	pthread_t *threads = calloc(opt.parallel, sizeof(*threads));
	struct timespec a, b;

	(void)clock_gettime(CLOCK_MONOTONIC, &a);
	for (unsigned i = 0; i < opt.parallel; i++) {
		if (pthread_create(&threads[i], NULL, thread, NULL) != 0)
			exit(2);
	}
	for (unsigned i = 0; i < opt.parallel; i++)
		pthread_join(threads[i], NULL);
	(void)clock_gettime(CLOCK_MONOTONIC, &b);
	free(threads);
	printf("{\"connections\":%llu,\"failed\":%llu,\"wrong\":%llu,\"talked\":%llu,"
	       "\"app_tx\":%llu,"
	       "\"app_rx\":%llu,\"socket_tx\":%llu,\"socket_rx\":%llu,\"resumed\":%llu,"
	       "\"seconds\":%.3f",
	       (unsigned long long)sum.connections, (unsigned long long)sum.failed,
	       (unsigned long long)sum.wrong, (unsigned long long)sum.talked,
	       (unsigned long long)sum.app_tx, (unsigned long long)sum.app_rx,
	       (unsigned long long)sum.socket_tx, (unsigned long long)sum.socket_rx,
	       (unsigned long long)sum.resumed,
	       (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9);
	for (int i = 0; i < ENDINGS; i++)
		printf(",\"%s\":%llu", ending_names[i], (unsigned long long)sum.ended[i]);
	printf("}\n");
	return sum.failed || sum.wrong ? 1 : 0;
}

/* --- connections that stay --- */

struct kept {
	pthread_t thread;
	SSL *ssl;
	int fd;
	bool ok;
	uint32_t *took_us; /* opt.exchanges of them */
};

static pthread_barrier_t ready, go;

static uint64_t now_us(void)
{
	return util_now_ns() / 1000;
}

static bool connect_kept(struct kept *k, SSL_CTX *ctx)
{
	k->fd = connect_to(&opt.to);
	k->ssl = SSL_new(ctx);
	(void)SSL_set_tlsext_host_name(k->ssl, opt.name);
	(void)SSL_set_fd(k->ssl, k->fd);
	return k->fd >= 0 && SSL_connect(k->ssl) == 1;
}

static bool exchange(struct kept *k, char *buf, int n)
{
	if (SSL_write(k->ssl, buf, n) != n)
		return false;
	for (int at = 0; at < n;) {
		int got = SSL_read(k->ssl, buf, n - at);

		if (got <= 0)
			return false;
		at += got;
	}
	return true;
}

static void *keep_one(void *arg)
{
	static __thread char buf[CHUNK];
	struct kept *k = arg;

	(void)pthread_barrier_wait(&ready);
	(void)pthread_barrier_wait(&go);
	for (unsigned i = 0; i < opt.exchanges && k->ok; i++) {
		uint64_t began = now_us();

		k->ok = exchange(k, buf, (int)opt.bytes);
		k->took_us[i] = (uint32_t)(now_us() - began);
	}
	return NULL;
}

static int by_time(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static int keep(SSL_CTX *ctx)
{
	struct kept *all = calloc(opt.connections, sizeof(*all));
	uint32_t *times = calloc((size_t)opt.connections * opt.exchanges, sizeof(*times));
	size_t n = (size_t)opt.connections * opt.exchanges;
	unsigned failed = 0;
	uint64_t began;
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	(void)pthread_attr_setstacksize(&attr, 128 * 1024);
	pthread_barrier_init(&ready, NULL, opt.connections + 1);
	pthread_barrier_init(&go, NULL, opt.connections + 1);
	for (unsigned i = 0; i < opt.connections; i++) {
		all[i].took_us = times + (size_t)i * opt.exchanges;
		all[i].ok = connect_kept(&all[i], ctx);
		if (pthread_create(&all[i].thread, &attr, keep_one, &all[i]) != 0)
			exit(2);
	}
	(void)pthread_barrier_wait(&ready);
	if (opt.mark) { /* who measures begins now, when all are connected */
		FILE *f = fopen(opt.mark, "w");

		if (!f || fclose(f) != 0)
			exit(2);
		while (access(opt.mark, F_OK) == 0)
			(void)usleep(1000);
	}
	began = now_us();
	(void)pthread_barrier_wait(&go);
	for (unsigned i = 0; i < opt.connections; i++) {
		pthread_join(all[i].thread, NULL);
		failed += !all[i].ok;
	}
	began = now_us() - began;
	qsort(times, n, sizeof(*times), by_time);
	printf("{\"failed\":%u,\"rate\":%.0f,\"p99_us\":%u}\n", failed,
	       (double)n * 1e6 / (double)began, times[n - 1 - n / 100]);
	return failed ? 1 : 0;
}

static int hold(SSL_CTX *ctx)
{
	struct kept *all = calloc(opt.connections, sizeof(*all));
	char byte = 'x', rest[64];
	unsigned failed = 0;

	for (unsigned i = 0; i < opt.connections; i++) {
		all[i].ok = connect_kept(&all[i], ctx) && exchange(&all[i], &byte, 1);
		failed += !all[i].ok;
	}
	printf("{\"failed\":%u}\n", failed);
	(void)fflush(stdout);
	while (read(STDIN_FILENO, rest, sizeof(rest)) > 0)
		;
	return failed ? 1 : 0;
}

/* --- half a handshake --- */

static int half_handshake(void)
{
	const struct linger now = { .l_onoff = 1 };
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *ssl = ctx ? SSL_new(ctx) : NULL;
	int fd = connect_to(&opt.to), n;
	char buf[CHUNK];

	if (!ssl || fd < 0)
		return 1;
	SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	(void)SSL_set_tlsext_host_name(ssl, opt.name);
	(void)SSL_connect(ssl);
	n = BIO_read(SSL_get_wbio(ssl), buf, sizeof(buf));
	if (n <= 0 || send(fd, buf, (size_t)n, MSG_NOSIGNAL) != n ||
	    recv(fd, buf, sizeof(buf), MSG_PEEK) <= 0)
		return 1;
	if (opt.ending == RESET)
		(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	while (opt.ending != RESET && recv(fd, buf, sizeof(buf), MSG_DONTWAIT) > 0)
		; /* or close() would be a reset */
	while (opt.ending == CUT && recv(fd, buf, sizeof(buf), 0) > 0)
		;
	close(fd);
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	return 0;
}

static int usage(void)
{
	fprintf(stderr,
		"usage: secure load ADDR:PORT --name NAME --ca FILE [--connections N]\n"
		"            [--parallel P] [--bytes MAX] [--seed S] [--version 1.2|1.3]\n"
		"            [--ending close|half|cut|reset|garbage|all] [--resume]\n"
		"            [--alpn PROTOCOL] [--certificate FILE --key FILE]\n"
		"       secure keep ADDR:PORT --name NAME --ca FILE --exchanges E\n"
		"            [--connections N] [--bytes B] [--mark FILE]\n"
		"       secure hold ADDR:PORT --name NAME --ca FILE [--connections N]\n"
		"       secure hello ADDR:PORT --name NAME [--ending close|reset|cut]\n");
	return 2;
}

static int ending_of(const char *text)
{
	for (int i = 0; i < ENDINGS; i++) {
		if (strcmp(text, ending_names[i]) == 0)
			return i;
	}
	return strcmp(text, "all") == 0 ? ENDINGS : -1;
}

static unsigned number(const char *text)
{
	uint64_t n;

	if (util_parse_u64(text, UINT32_MAX, &n) < 0)
		exit(usage());
	return (unsigned)n;
}

/* False: that is no option. */
static bool set_option(int c, char *arg)
{
	switch (c) {
	case 'n':
		opt.name = arg;
		return true;
	case 'c':
		opt.ca = arg;
		return true;
	case 'N':
		opt.connections = number(arg);
		return true;
	case 'p':
		opt.parallel = number(arg);
		return true;
	case 's':
		opt.seed = number(arg);
		return true;
	case 'v':
		opt.version = strcmp(arg, "1.2") == 0 ? TLS1_2_VERSION : TLS1_3_VERSION;
		return true;
	case 'e':
		opt.ending = ending_of(arg);
		return opt.ending >= 0;
	case 'b':
		opt.bytes = number(arg);
		return true;
	case 'm':
		opt.mark = arg;
		return true;
	case 'x':
		opt.exchanges = number(arg);
		return true;
	case 'r':
		opt.resume = true;
		return true;
	case 'a':
		opt.alpn = arg;
		return true;
	case 'C':
		opt.certificate = arg;
		return true;
	case 'k':
		opt.key = arg;
		return true;
	default:
		return false;
	}
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "name", 1, NULL, 'n' },
		{ "ca", 1, NULL, 'c' },
		{ "connections", 1, NULL, 'N' },
		{ "parallel", 1, NULL, 'p' },
		{ "seed", 1, NULL, 's' },
		{ "version", 1, NULL, 'v' },
		{ "ending", 1, NULL, 'e' },
		{ "bytes", 1, NULL, 'b' },
		{ "mark", 1, NULL, 'm' },
		{ "exchanges", 1, NULL, 'x' },
		{ "resume", 0, NULL, 'r' },
		{ "alpn", 1, NULL, 'a' },
		{ "certificate", 1, NULL, 'C' },
		{ "key", 1, NULL, 'k' },
		{ 0 },
	};
	int c;

	if (argc < 3 || addr_parse(argv[2], &opt.to) < 0)
		return usage();
	(void)signal(SIGPIPE, SIG_IGN);
	optind = 3;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (!set_option(c, optarg))
			return usage();
	}
	if (strcmp(argv[1], "hello") == 0)
		return opt.name ? half_handshake() : usage();
	if (!opt.name || !opt.ca || !opt.parallel)
		return usage();
	if (strcmp(argv[1], "keep") == 0 && opt.exchanges)
		return keep(make_context());
	if (strcmp(argv[1], "hold") == 0)
		return hold(make_context());
	if (strcmp(argv[1], "load") != 0)
		return usage();
	return load();
}
