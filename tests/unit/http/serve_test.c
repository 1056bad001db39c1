/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests of both versions to both kinds of routes, on one thread; and again with the
 * first allocation failing, the second, and so on: whatever is missing, each client has
 * an answer or the end of its connection, nothing is left, and every byte is in the
 * books.
 */
#include "tests/unit/http/stage.h"

static const char yaml[] =
	"listeners:\n"
	"  - name: web\n"
	"    address: \"127.0.0.1:1\"\n"
	"    http: { via: true, forwarded: true, traceparent: true }\n"
	"    routes:\n"
	"      - { name: own, http: { path: [/own], respond: { status: 200, body: here } } }\n"
	"      - { name: one, http: { path: [/one], request: { set: [\"X-A: ${path}\"] } }, "
	"backends: [\"127.0.0.1:PORT\"] }\n";

/* --- memory that fails --- */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define FAILS 0 /* the sanitizer's own allocator; the plain build has these tests */
static long countdown;
static long live_blocks(void)
{
	return 0;
}
#else
#define FAILS 1

extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t n);
extern void __libc_free(void *p);

static long countdown; /* that one fails; 0: none */
static long blocks;

static bool may_have(void)
{
	return !countdown || --countdown != 0;
}

void *malloc(size_t n)
{
	void *p = may_have() ? __libc_malloc(n) : NULL;

	blocks += p != NULL;
	return p;
}

void *calloc(size_t n, size_t size)
{
	void *p = may_have() ? __libc_calloc(n, size) : NULL;

	blocks += p != NULL;
	return p;
}

void *realloc(void *p, size_t n)
{
	void *q = may_have() ? __libc_realloc(p, n) : NULL;

	blocks += q && !p;
	return q;
}

void free(void *p)
{
	blocks -= p != NULL;
	__libc_free(p);
}

static long live_blocks(void)
{
	return blocks;
}
#endif

/* --- the backend: it answers what it has read a head of --- */

static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nthere";

static struct {
	int fd; /* -1: nobody has come */
	char in[8192];
	size_t n;
} backend;

static void backend_turn(void)
{
	ssize_t n;

	if (backend.fd < 0)
		backend.fd =
			accept4(st.listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (backend.fd < 0)
		return;
	n = recv(backend.fd, backend.in + backend.n, sizeof(backend.in) - backend.n,
		 MSG_DONTWAIT);
	if (n == 0 || (n < 0 && errno != EAGAIN)) {
		web_close(backend.fd);
		backend.fd = -1;
		backend.n = 0;
		return;
	}
	backend.n += n > 0 ? (size_t)n : 0;
	if (!memmem(backend.in, backend.n, "\r\n\r\n", 4))
		return;
	backend.n = 0;
	(void)!send(backend.fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL);
}

/* --- a client --- */

static bool has(const char *buf, size_t n, struct text t)
{
	return memmem(buf, n, t.p, t.n) != NULL;
}

/* An answer of the gate's own; RST_STREAM of stream 1. */
static bool has_end(const char *buf, size_t n)
{
	return has(buf, n, TEXT("Service Unavailable\n")) ||
	       has(buf, n, TEXT("\0\0\4\3\0\0\0\0\1"));
}

/* Until `enough` is there, or the connection has ended; how much came. */
static size_t hear(int fd, char *buf, size_t cap, const char *enough)
{
	size_t at = 0;

	for (int i = 0; i < WEB_PATIENCE; i++) {
		ssize_t n;

		web_turn();
		backend_turn();
		n = recv(fd, buf + at, cap - at, MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno != EAGAIN))
			return at;
		at += n > 0 ? (size_t)n : 0;
		if (memmem(buf, at, enough, strlen(enough)) || has_end(buf, at))
			return at;
		if (i > 20)
			(void)poll(NULL, 0, 1);
	}
	CHECK(!"neither an answer nor an end came");
	return at;
}

static const char h1_own[] = "GET /own HTTP/1.1\r\nHost: a\r\nX-Long: "
			     "0123456789012345678901234567890123456789\r\n\r\n";
static const char h1_one[] = "POST /one HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
			     "chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n";
/* Preface, SETTINGS, and GET of stream 1 (RFC 7541 6.1 to 6.2.2: static names). */
#define H2_BEGIN "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"
static const char h2_own[] = H2_BEGIN "\0\0\x0b\1\5\0\0\0\1\x82\x86\x04\x04/own\x01\x01"
				      "a";
static const char h2_one[] = H2_BEGIN "\0\0\x0b\1\5\0\0\0\1\x82\x86\x04\x04/one\x01\x01"
				      "a";

struct asked {
	const char *request;
	size_t n;
	const char *want;
};
#define ASKED(r, w)                 \
	{                           \
		r, sizeof(r) - 1, w \
	}
static const struct asked asked[] = { ASKED(h1_own, "here"), ASKED(h1_one, "there"),
				      ASKED(h2_own, "here"), ASKED(h2_one, "there") };

/* One client, one request; true: it was answered as it should be. */
static bool ask(const struct asked *a)
{
	static char buf[16384];
	int fd = web_client();
	size_t n;

	(void)!send(fd, a->request, a->n, MSG_NOSIGNAL);
	n = hear(fd, buf, sizeof(buf), a->want);
	web_close(fd);
	for (int i = 0; i < 50; i++) {
		web_turn();
		backend_turn();
	}
	return memmem(buf, n, a->want, strlen(a->want)) != NULL;
}

static void begin(void)
{
	web_up(yaml);
	backend.fd = -1;
	backend.n = 0;
}

static void end(void)
{
	web_down();
	if (backend.fd >= 0)
		web_close(backend.fd);
	CHECK_INT(0, web_residual());
	CHECK_INT(0, st.state.buffers);
	CHECK_INT(0, st.proxy.upstreams);
	CHECK_INT(0, st.proxy.sessions);
}

static void each_request_is_answered(void)
{
	begin();
	for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
		CHECK(ask(&asked[i]));
		CHECK(ask(&asked[i])); /* over what the first has left */
	}
	end();
	CHECK_INT(8, web_books[0].statuses[200 - TG_HTTP_STATUS_MIN] +
			     web_books[1].statuses[200 - TG_HTTP_STATUS_MIN]);
	CHECK_INT(8, web_listener_book.connections[0]);
}

#define KEPT 1 /* a buffer of the pool, of the backend's connection */

/* True: allocation number n was asked for, and failed. */
static bool fails_at(const struct asked *a, long n)
{
	long before = live_blocks();
	bool failed, answered;

	countdown = n;
	answered = ask(a);
	failed = countdown == 0;
	countdown = 0;
	/* it was for nobody's good; the next client has what it asks for */
	CHECK(answered || failed);
	CHECK(ask(a));
	CHECK(live_blocks() <= before + KEPT); /* and nothing is left of it */
	return failed;
}

static void each_allocation_fails_once(void)
{
	for (size_t i = 0; FAILS && i < sizeof(asked) / sizeof(asked[0]); i++) {
		long n = 1;

		begin();
		CHECK(ask(&asked[i])); /* what is kept for good is there */
		while (fails_at(&asked[i], n))
			n++;
		CHECK(n > 3); /* it has failed, and more than once */
		end();
	}
}

int main(void)
{
	RUN(each_request_is_answered);
	RUN(each_allocation_fails_once);
	DONE();
}
