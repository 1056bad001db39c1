/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ClientHellos of every shape, sent to a TLS router, and the backends behind it.
 *
 *   hello serve ADDRESS:PORT NAME    says NAME at once, and at the end how much came
 *
 *   hello deaf ADDRESS:PORT          accepts, and never reads
 *
 *   hello matrix ADDRESS:PORT SNI    one line a case: what it is, a tab, who answered
 *
 *   hello send ADDRESS:PORT CASE SNI one case
 *
 *   hello bytes CASE SNI             one case to standard output
 *
 *   hello drip ADDRESS:PORT N [BYTES]  N connections that send so much of a hello, one
 * byte unless told, and wait, whatever becomes of them
 *
 * Who answered is the name of a backend, or "refused"; "changed" follows if other bytes
 * came there than were sent, "cut" if its answer to our half-close did not come.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/util.h"

#define HELLO_MAX  (256 * 1024)
#define TIMEOUT_MS 5000
#define RECORD_MAX 16384

enum order { NAME_FIRST, NAME_LAST };

struct shape {
	const char *what;
	size_t size;	    /* of the message, filled up by extensions */
	size_t first, rest; /* bytes in the first and the other records */
	size_t segment;	    /* bytes in a TCP segment, 0: all at once */
	enum order order;
	bool grease, ech, old; /* old: TLS 1.2, no supported_versions */
};

static const struct shape shapes[] = {
	{ "one record", 300, RECORD_MAX, RECORD_MAX, 0, NAME_FIRST, false, false, false },
	{ "TLS 1.2 only", 200, RECORD_MAX, RECORD_MAX, 0, NAME_FIRST, false, false,
	  true },
	{ "byte by byte", 300, RECORD_MAX, RECORD_MAX, 1, NAME_FIRST, false, false,
	  false },
	{ "server name last", 517, RECORD_MAX, RECORD_MAX, 0, NAME_LAST, true, false,
	  false },
	{ "post-quantum share in two segments", 1700, RECORD_MAX, RECORD_MAX, 1400,
	  NAME_LAST, true, false, false },
	{ "GREASE everywhere", 517, RECORD_MAX, RECORD_MAX, 0, NAME_FIRST, true, false,
	  false },
	{ "encrypted hello, outer name", 600, RECORD_MAX, RECORD_MAX, 0, NAME_FIRST, true,
	  true, false },
	{ "records of 1000 and the rest", 1700, 1000, RECORD_MAX, 0, NAME_LAST, true,
	  false, false },
	{ "records of 512", 1700, 512, 512, 0, NAME_LAST, true, false, false },
	{ "split inside the name", 300, 60, RECORD_MAX, 0, NAME_FIRST, false, false,
	  false },
	{ "first record of 20 bytes", 517, 20, RECORD_MAX, 0, NAME_FIRST, false, false,
	  false },
	{ "first record of 1 byte", 517, 1, RECORD_MAX, 0, NAME_FIRST, false, false,
	  false },
	{ "records of 1 byte", 300, 1, 1, 0, NAME_FIRST, false, false, false },
	{ "records of 512, segments of 100", 1700, 512, 512, 100, NAME_LAST, true, false,
	  false },
	{ "12 kB in one record", 12000, RECORD_MAX, RECORD_MAX, 0, NAME_LAST, true, false,
	  false },
	{ "16 kB in one record", 16384, RECORD_MAX, RECORD_MAX, 0, NAME_LAST, true, false,
	  false },
	{ "17 kB", 17000, RECORD_MAX, RECORD_MAX, 0, NAME_LAST, true, false, false },
	{ "40 kB", 40000, RECORD_MAX, RECORD_MAX, 0, NAME_LAST, true, false, false },
	{ "64 kB with its records", 65516, RECORD_MAX, RECORD_MAX, 0, NAME_LAST, true,
	  false, false },
};

static uint8_t message[HELLO_MAX], stream[2 * HELLO_MAX];

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "hello: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* --- making one --- */

static uint8_t *put16(uint8_t *p, size_t v)
{
	*p++ = (uint8_t)(v >> 8);
	*p++ = (uint8_t)v;
	return p;
}

static uint8_t *put_name(uint8_t *p, const char *sni)
{
	size_t n = strlen(sni);

	p = put16(p, 0); /* server_name */
	p = put16(p, n + 5);
	p = put16(p, n + 3);
	*p++ = 0; /* host_name */
	p = put16(p, n);
	memcpy(p, sni, n);
	return p + n;
}

/* Extensions that a client of today sends, as far as they matter to a router. */
static uint8_t *put_usual(uint8_t *p, const struct shape *s)
{
	static const uint8_t alpn[] = "\0\x10\0\x0e\0\x0c\x02h2\x08http/1.1";
	static const uint8_t versions[] = "\0\x2b\0\x05\x04\x03\x04\x03\x03";

	if (s->grease) {
		p = put16(p, 0x3a3a);
		p = put16(p, 0);
	}
	memcpy(p, alpn, sizeof(alpn) - 1);
	p += sizeof(alpn) - 1;
	if (!s->old) {
		memcpy(p, versions, sizeof(versions) - 1);
		p += sizeof(versions) - 1;
	}
	if (s->ech) { /* outer, ciphers, config id, enc, payload */
		p = put16(p, 0xfe0d);
		p = put16(p, 1 + 4 + 1 + 2 + 32 + 2 + 100);
		memset(p, 0, 1 + 4 + 1 + 2 + 32 + 2 + 100);
		p[7] = 32;
		p[41] = 100;
		p += 1 + 4 + 1 + 2 + 32 + 2 + 100;
	}
	return p;
}

/* Extensions that nobody knows, of `n` bytes in all. */
static uint8_t *put_padding(uint8_t *p, size_t n)
{
	while (n >= 4) {
		size_t part = n - 4 > 16000 ? 16000 : n - 4;

		if (n - 4 - part > 0 && n - 4 - part < 4)
			part -= 4;
		p = put16(p, part < 2000 ? 21 : 0x5a5a);
		p = put16(p, part);
		memset(p, 0, part);
		p += part;
		n -= 4 + part;
	}
	return p;
}

static size_t make_message(const struct shape *s, const char *sni)
{
	uint8_t *p = message + 4, *extensions;
	size_t room, len;

	message[0] = 1; /* client_hello */
	p = put16(p, 0x0303);
	memset(p, 0x5a, 32);
	p += 32;
	*p++ = 32; /* session id */
	memset(p, 0xa5, 32);
	p += 32;
	p = put16(p, 8);
	p = put16(p, s->grease ? 0x1a1a : 0x1302);
	p = put16(p, 0x1301);
	p = put16(p, 0xc02b);
	p = put16(p, 0xc02f);
	*p++ = 1;
	*p++ = 0;
	extensions = p;
	p += 2;
	if (s->order == NAME_FIRST)
		p = put_name(p, sni);
	p = put_usual(p, s);
	room = (size_t)(p - message) + (s->order == NAME_LAST ? 9 + strlen(sni) : 0);
	if (s->size > room)
		p = put_padding(p, s->size - room);
	if (s->order == NAME_LAST)
		p = put_name(p, sni);
	len = (size_t)(p - message);
	(void)put16(extensions, (size_t)(p - extensions - 2));
	message[1] = (uint8_t)((len - 4) >> 16);
	(void)put16(message + 2, len - 4);
	return len;
}

/* The records of a hello; returns the length of the stream. */
static size_t make_stream(const struct shape *s, const char *sni)
{
	size_t left = make_message(s, sni), n = s->first;
	const uint8_t *from = message;
	uint8_t *p = stream;

	while (left > 0) {
		if (n > left)
			n = left;
		*p++ = 22;
		p = put16(p, 0x0301);
		p = put16(p, n);
		memcpy(p, from, n);
		p += n;
		from += n;
		left -= n;
		n = s->rest;
	}
	return (size_t)(p - stream);
}

/* --- the client --- */

static uint64_t sum_of(uint64_t sum, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sum = (sum ^ p[i]) * 0x100000001b3u; /* FNV-1a */
	return sum;
}

static int connect_to(const struct addr *a)
{
	struct sockaddr_storage ss;
	socklen_t len = addr_to_sockaddr(a, &ss);
	int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	if (fd < 0 || connect(fd, (void *)&ss, len) < 0)
		die("connect");
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

static bool send_stream(int fd, const struct shape *s, size_t len)
{
	size_t step = s->segment ? s->segment : len;

	for (size_t at = 0; at < len; at += step) {
		size_t n = len - at < step ? len - at : step;

		if (send(fd, stream + at, n, MSG_NOSIGNAL) != (ssize_t)n)
			return false;
	}
	return true;
}

/* A line without its end; false at the end of the stream, or when nothing comes. */
static bool read_line(int fd, char *ret, size_t cap)
{
	size_t n = 0;

	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };

		if (n + 1 == cap || poll(&p, 1, TIMEOUT_MS) <= 0 ||
		    recv(fd, ret + n, 1, 0) != 1)
			return false;
		if (ret[n] == '\n')
			break;
		n++;
	}
	ret[n] = '\0';
	return true;
}

static void run_shape(const struct addr *a, const struct shape *s, const char *sni)
{
	size_t len = make_stream(s, sni);
	char name[64], got[64], want[64];
	const char *end;
	int fd = connect_to(a);

	printf("%s\t", s->what);
	if (!send_stream(fd, s, len) || !read_line(fd, name, sizeof(name))) {
		puts("refused");
		close(fd);
		return;
	}
	(void)shutdown(fd, SHUT_WR);
	(void)snprintf(want, sizeof(want), "%zu %016llx", len,
		       (unsigned long long)sum_of(0xcbf29ce484222325u, stream, len));
	end = !read_line(fd, got, sizeof(got)) ? " cut"
	      : strcmp(got, want) != 0	       ? " changed"
					       : "";
	printf("%s%s\n", name, end);
	close(fd);
}

/* Of the largest shape, so that no part of it is a whole one. */
static void drip(const struct addr *a, uint64_t n, size_t bytes)
{
	char c;

	for (uint64_t i = 0; i < n; i++) {
		int fd = connect_to(a);

		if (send(fd, stream, bytes, MSG_NOSIGNAL) < 0 && errno != EPIPE &&
		    errno != ECONNRESET)
			die("send");
	}
	puts("dripping");
	fflush(stdout);
	while (read(0, &c, 1) > 0)
		;
}

/* --- the backend --- */

static void serve_one(int fd, const char *name)
{
	uint8_t buf[65536];
	uint64_t n = 0, sum = 0xcbf29ce484222325u;
	ssize_t r;

	(void)dprintf(fd, "%s\n", name);
	while ((r = recv(fd, buf, sizeof(buf), 0)) > 0) {
		n += (uint64_t)r;
		sum = sum_of(sum, buf, (size_t)r);
	}
	if (r == 0)
		(void)dprintf(fd, "%llu %016llx\n", (unsigned long long)n,
			      (unsigned long long)sum);
	close(fd);
}

static int listen_on(const struct addr *a)
{
	struct sockaddr_storage ss;
	socklen_t len = addr_to_sockaddr(a, &ss);
	int l = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	(void)setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (l < 0 || bind(l, (void *)&ss, len) < 0 || listen(l, 1024) < 0)
		die("listen");
	puts("listening");
	fflush(stdout);
	return l;
}

static _Noreturn void be_deaf(const struct addr *a)
{
	int l = listen_on(a);

	for (;;)
		(void)accept4(l, NULL, NULL, SOCK_CLOEXEC); /* kept open, never read */
}

static _Noreturn void serve(const struct addr *a, const char *name)
{
	struct timeval patience = { .tv_sec = 10 };
	int l = listen_on(a);

	for (;;) {
		int fd = accept4(l, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			continue;
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience,
				 sizeof(patience));
		serve_one(fd, name);
	}
}

int main(int argc, char **argv)
{
	struct addr a;
	uint64_t n, bytes = 1;

	setvbuf(stdout, NULL, _IOLBF, 0);
	(void)signal(SIGPIPE, SIG_IGN);
	if (argc == 4 && strcmp(argv[1], "bytes") == 0) {
		for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
			if (strcmp(argv[2], shapes[i].what) == 0)
				(void)fwrite(stream, 1, make_stream(&shapes[i], argv[3]),
					     stdout);
		}
		return 0;
	}
	if (argc == 3 && strcmp(argv[1], "deaf") == 0 && addr_parse(argv[2], &a) == 0)
		be_deaf(&a);
	if (argc < 4 || addr_parse(argv[2], &a) < 0)
		return 2;
	if (strcmp(argv[1], "serve") == 0)
		serve(&a, argv[3]);
	if (strcmp(argv[1], "drip") == 0 && util_parse_u64(argv[3], 20000, &n) == 0) {
		size_t most =
			make_stream(&shapes[ARRAY_SIZE(shapes) - 1], "drip.example.org");

		if (argc > 4 && util_parse_u64(argv[4], most - 1, &bytes) < 0)
			return 2;
		drip(&a, n, (size_t)bytes);
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
		if (strcmp(argv[1], "matrix") == 0)
			run_shape(&a, &shapes[i], argv[3]);
		else if (strcmp(argv[1], "send") == 0 && argc == 5 &&
			 strcmp(argv[3], shapes[i].what) == 0)
			run_shape(&a, &shapes[i], argv[4]);
	}
	return 0;
}
