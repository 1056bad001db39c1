/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "codec/h1.h"
#include "tests/unit/codec/heads.h"
#include "tests/unit/t.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static struct text text(const char *s)
{
	return text_of(s, strlen(s));
}

static bool is(const char *want, struct text got)
{
	return text_is(text(want), got);
}

/* Room for a head, behind which a byte more is a finding: from here until free(). */
static uint8_t *copy_of(const char *bytes, size_t n)
{
	uint8_t *p = malloc(n ? n : 1);

	memcpy(p, bytes, n);
	return p;
}

/* --- good requests --- */

enum { CLOSE = 1, UPGRADE = 2, EXPECTS = 4, TRAILERS = 8, ABSOLUTE = 16, SAID = 32 };

struct good {
	const char *bytes;
	const char *method, *authority, *path;
	enum http_body body;
	uint64_t length;
	unsigned is;
	unsigned fields; /* but for what the head itself says */
};

#define G "GET / HTTP/1.1\r\nHost: a\r\n"
#define O "GET / HTTP/1.0\r\n"
#define P "POST / HTTP/1.1\r\nHost: a\r\n"
#define N HTTP_BODY_NONE

static const struct good good[] = {
	{ G "\r\n", "GET", "a", "/", N, 0, 0, 0 },
	{ "GET /a/b?c=d&e HTTP/1.1\r\nhOsT:a.example:8080\r\n\r\n", "GET",
	  "a.example:8080", "/a/b?c=d&e", N, 0, 0, 0 },
	{ "GET /%2f%00;\"<>[]{}|\\^`~ HTTP/1.1\r\nHost: [::1]:1\r\n\r\n", "GET",
	  "[::1]:1", "/%2f%00;\"<>[]{}|\\^`~", N, 0, 0, 0 },
	{ "GET //a HTTP/1.1\r\nHost: a:\r\n\r\n", "GET", "a:", "//a", N, 0, 0, 0 },
	{ "get / HTTP/1.1\r\nHost: a\r\n\r\n", "get", "a", "/", N, 0, 0, 0 },
	{ "X-#! / HTTP/1.1\r\nHost: a\r\n\r\n", "X-#!", "a", "/", N, 0, 0, 0 },
	{ "M2345678901234567890123456789012 / HTTP/1.1\r\nHost: a\r\n\r\n",
	  "M2345678901234567890123456789012", "a", "/", N, 0, 0, 0 },
	{ "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS", "a", "*", N, 0, 0, 0 },
	{ "GET http://a/b?c HTTP/1.1\r\nHost: a\r\n\r\n", "GET", "a", "/b?c", N, 0,
	  ABSOLUTE, 0 },
	{ "GET hTTp://a HTTP/1.1\r\nHost: a\r\n\r\n", "GET", "a", "/", N, 0, ABSOLUTE,
	  0 },
	{ "GET https://A:1/ HTTP/1.1\r\nHost: a:1\r\n\r\n", "GET", "a:1", "/", N, 0,
	  ABSOLUTE, 0 },
	{ "OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS", "a", "*", N, 0,
	  ABSOLUTE, 0 },
	{ "OPTIONS http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS", "a", "/", N, 0,
	  ABSOLUTE, 0 },
	{ "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", "CONNECT", "a:443", "", N, 0,
	  ABSOLUTE, 0 },
	{ "CONNECT [::1]:1 HTTP/1.0\r\n\r\n", "CONNECT", "[::1]:1", "", N, 0,
	  ABSOLUTE | CLOSE, 0 },
	/* the end of the connection (RFC 9112 9.3) */
	{ G "Connection: close\r\n\r\n", "GET", "a", "/", N, 0, CLOSE, 1 },
	{ G "Connection: x, Close\r\n\r\n", "GET", "a", "/", N, 0, CLOSE, 1 },
	{ G "Connection: x\r\nConnection: ,close,\r\n\r\n", "GET", "a", "/", N, 0, CLOSE,
	  2 },
	{ G "Connection: keep-alive\r\n\r\n", "GET", "a", "/", N, 0, 0, 1 },
	{ G "Connection: close, keep-alive\r\n\r\n", "GET", "a", "/", N, 0, CLOSE, 1 },
	{ G "Connection: keep-alive, close\r\n\r\n", "GET", "a", "/", N, 0, CLOSE, 1 },
	{ G "Connection: closed, clos\r\n\r\n", "GET", "a", "/", N, 0, 0, 1 },
	{ G "Proxy-Connection: close\r\n\r\n", "GET", "a", "/", N, 0, 0, 1 },
	{ O "\r\n", "GET", "", "/", N, 0, CLOSE, 0 },
	{ O "Host: a\r\n\r\n", "GET", "a", "/", N, 0, CLOSE, 0 },
	{ "GET http://a/ HTTP/1.0\r\n\r\n", "GET", "a", "/", N, 0, CLOSE | ABSOLUTE, 0 },
	{ O "Connection: Keep-Alive\r\n\r\n", "GET", "", "/", N, 0, 0, 1 },
	{ O "Connection: x\r\nConnection: y, keep-alive\r\n\r\n", "GET", "", "/", N, 0, 0,
	  2 },
	{ O "Connection: keep-alive, close\r\n\r\n", "GET", "", "/", N, 0, CLOSE, 1 },
	{ O "Connection: close, keep-alive\r\n\r\n", "GET", "", "/", N, 0, CLOSE, 1 },
	{ O "Connection: close\r\nConnection: keep-alive\r\n\r\n", "GET", "", "/", N, 0,
	  CLOSE, 2 },
	{ O "Proxy-Connection: keep-alive\r\n\r\n", "GET", "", "/", N, 0, CLOSE, 1 },
	{ O "Keep-Alive: timeout=5\r\n\r\n", "GET", "", "/", N, 0, CLOSE, 1 },
	/* another protocol: named, and meant for us, and not of 1.0 (RFC 9110 7.8) */
	{ G "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", "GET", "a", "/", N, 0,
	  UPGRADE, 2 },
	{ G "Upgrade: websocket\r\n\r\n", "GET", "a", "/", N, 0, 0, 1 },
	{ G "Connection: upgrade\r\n\r\n", "GET", "a", "/", N, 0, 0, 1 },
	{ G "Connection: upgrade\r\nUpgrade:\r\n\r\n", "GET", "a", "/", N, 0, 0, 2 },
	{ O "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n", "GET", "", "/", N, 0,
	  CLOSE, 2 },
	{ P "Upgrade: x\r\nContent-Length: 1\r\n\r\n", "POST", "a", "/", HTTP_BODY_LENGTH,
	  1, SAID, 1 },
	{ G "Connection: upgrade\r\nUpgrade: x\r\nContent-Length: 0\r\n\r\n", "GET", "a",
	  "/", N, 0, UPGRADE | SAID, 2 },
	/* bodies */
	{ P "\r\n", "POST", "a", "/", N, 0, 0, 0 },
	{ P "Content-Length: 0\r\n\r\n", "POST", "a", "/", N, 0, SAID, 0 },
	{ P "Content-Length: 5\r\n\r\n", "POST", "a", "/", HTTP_BODY_LENGTH, 5, SAID, 0 },
	{ P "content-length:\t 5 \t\r\n\r\n", "POST", "a", "/", HTTP_BODY_LENGTH, 5, SAID,
	  0 },
	{ P "Content-Length: 0000000000000000005\r\n\r\n", "POST", "a", "/",
	  HTTP_BODY_LENGTH, 5, SAID, 0 },
	{ P "Content-Length: 9223372036854775807\r\n\r\n", "POST", "a", "/",
	  HTTP_BODY_LENGTH, INT64_MAX, SAID, 0 },
	{ G "Content-Length: 5\r\n\r\n", "GET", "a", "/", HTTP_BODY_LENGTH, 5, SAID, 0 },
	{ P "Transfer-Encoding: chunked\r\n\r\n", "POST", "a", "/", HTTP_BODY_CHUNKED, 0,
	  0, 0 },
	{ P "Transfer-Encoding: \tChunKED \r\n\r\n", "POST", "a", "/", HTTP_BODY_CHUNKED,
	  0, 0, 0 },
	{ O "Content-Length: 5\r\n\r\n", "GET", "", "/", HTTP_BODY_LENGTH, 5,
	  SAID | CLOSE, 0 },
	{ P "X-Content-Length: 5\r\nContent_Length: 6\r\n\r\n", "POST", "a", "/", N, 0, 0,
	  2 },
	{ P "Content-Length: 5\r\nConnection: content-length\r\n\r\n", "POST", "a", "/",
	  HTTP_BODY_LENGTH, 5, SAID, 1 },
	{ P "Transfer-Encoding: chunked\r\nConnection: transfer-encoding, host\r\n\r\n",
	  "POST", "a", "/", HTTP_BODY_CHUNKED, 0, 0, 1 },
	/* expectations and trailers */
	{ P "Expect: 100-Continue\r\nContent-Length: 5\r\n\r\n", "POST", "a", "/",
	  HTTP_BODY_LENGTH, 5, SAID | EXPECTS, 1 },
	/* RFC 9110 10.1.1: of 1.0 it is ignored */
	{ O "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n", "GET", "", "/",
	  HTTP_BODY_LENGTH, 5, SAID | CLOSE, 0 },
	{ G "TE: gzip;q=0.5, Trailers\r\n\r\n", "GET", "a", "/", N, 0, TRAILERS, 1 },
	{ G "TE: trailers\r\nTE: gzip\r\n\r\n", "GET", "a", "/", N, 0, TRAILERS, 2 },
	{ G "TE: gzip\r\n\r\n", "GET", "a", "/", N, 0, 0, 1 },
	{ G "A: 1\r\nB:\r\nC:2\r\n!#$%&'*+-.^_`|~0: \xff\r\n\r\n", "GET", "a", "/", N, 0,
	  0, 4 },
};

static unsigned what_is(const struct http_head *h)
{
	return (h->close ? CLOSE : 0) | (h->upgrade ? UPGRADE : 0) |
	       (h->expects ? EXPECTS : 0) | (h->trailers ? TRAILERS : 0) |
	       (h->absolute ? ABSOLUTE : 0) | (h->has_length ? SAID : 0);
}

static void good_requests_mean_what_they_say(void)
{
	static struct http_head head;

	for (size_t i = 0; i < COUNT(good); i++) {
		const struct good *g = &good[i];
		uint8_t *p = copy_of(g->bytes, strlen(g->bytes));

		CHECK_INT(HTTP_FINE,
			  h1_read(H1_REQUEST, p, strlen(g->bytes), 100, &head));
		CHECK(is(g->method, head.method_name));
		CHECK_INT(http_method(text(g->method)), head.method);
		CHECK(is(g->authority, head.authority) && is(g->path, head.path));
		CHECK_INT(g->body, head.body);
		CHECK_INT(g->length, head.length);
		CHECK_INT(g->is, what_is(&head));
		CHECK_INT(g->fields, head.n);
		CHECK_INT(0, head.status);
		if (t_failed)
			printf("# case: %s\n", g->bytes);
		free(p);
		if (t_failed)
			return;
	}
}

static void fields_are_in_order_in_lower_case_and_trimmed(void)
{
	static const char *const want[][2] = {
		{ "accept", "a, b" }, { "x-y", "" },	       { "x-z", "\"a  b\"\t:c" },
		{ "accept", "c" },    { "connection", "X-Y" },
	};
	static struct http_head head;
	char buf[] = "GET / HTTP/1.1\r\nACCEPT: a, b\r\nX-y: \t \r\nHost: a\r\n"
		     "x-Z:\t\"a  b\"\t:c \t\r\naccept:c\r\nConnection: X-Y\r\n\r\n";

	CHECK_INT(HTTP_FINE,
		  h1_read(H1_REQUEST, (uint8_t *)buf, sizeof(buf) - 1, 100, &head));
	CHECK_INT(COUNT(want), head.n);
	for (size_t i = 0; i < COUNT(want); i++) {
		const struct http_field *f = &head.fields[i];

		CHECK(is(want[i][0], text_of(f->name, f->name_n)));
		CHECK(is(want[i][1], http_value(f)));
		CHECK_INT(http_field_id(want[i][0], strlen(want[i][0])), f->id);
		CHECK_INT(i == 1 || i == 4, f->hop);
	}
}

static void a_protocol_is_what_upgrade_names(void)
{
	static struct http_head head;
	char buf[] = "GET http://a/ HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n"
		     "Upgrade: websocket\r\n\r\n";

	CHECK_INT(HTTP_FINE,
		  h1_read(H1_REQUEST, (uint8_t *)buf, sizeof(buf) - 1, 100, &head));
	CHECK(is("websocket", head.protocol) && is("http", head.scheme));
	CHECK(head.major == 1 && head.minor == 1);
}

/* --- responses --- */

struct answer {
	const char *bytes;
	enum http_method asked;
	unsigned status;
	const char *reason;
	enum http_body body;
	uint64_t length;
	unsigned is;
};

#define A     "HTTP/1.1 200 OK\r\n"
#define GET_  HTTP_METHOD_GET
#define HEAD_ HTTP_METHOD_HEAD

static const struct answer answers[] = {
	{ A "\r\n", GET_, 200, "OK", HTTP_BODY_CLOSE, 0, 0 },
	{ A "Content-Length: 5\r\n\r\n", GET_, 200, "OK", HTTP_BODY_LENGTH, 5, SAID },
	{ A "Content-Length: 0\r\n\r\n", GET_, 200, "OK", N, 0, SAID },
	{ A "Transfer-Encoding: chunked\r\n\r\n", GET_, 200, "OK", HTTP_BODY_CHUNKED, 0,
	  0 },
	{ A "Host: a b\r\nHost: c\r\n\r\n", GET_, 200, "OK", HTTP_BODY_CLOSE, 0, 0 },
	{ A "Connection: close\r\n\r\n", GET_, 200, "OK", HTTP_BODY_CLOSE, 0, CLOSE },
	{ "HTTP/1.0 200 OK\r\n\r\n", GET_, 200, "OK", HTTP_BODY_CLOSE, 0, CLOSE },
	{ "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\n", GET_,
	  200, "OK", HTTP_BODY_LENGTH, 5, SAID },
	{ "HTTP/1.1 200 \r\n\r\n", GET_, 200, "", HTTP_BODY_CLOSE, 0, 0 },
	{ "HTTP/1.1 200\r\n\r\n", GET_, 200, "", HTTP_BODY_CLOSE, 0, 0 },
	{ "HTTP/1.1 404 N\xf6t  F\tound \r\n\r\n", GET_, 404, "N\xf6t  F\tound ",
	  HTTP_BODY_CLOSE, 0, 0 },
	{ "HTTP/1.1 599 x\r\n\r\n", GET_, 599, "x", HTTP_BODY_CLOSE, 0, 0 },
	/* RFC 9112 6.3: no body, whatever is said of one */
	{ A "\r\n", HEAD_, 200, "OK", N, 0, 0 },
	{ A "Content-Length: 5\r\n\r\n", HEAD_, 200, "OK", N, 5, SAID },
	{ A "Transfer-Encoding: chunked\r\n\r\n", HEAD_, 200, "OK", N, 0, 0 },
	{ "HTTP/1.1 304 x\r\n\r\n", GET_, 304, "x", N, 0, 0 },
	{ "HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\n", GET_, 304, "x", N, 5, SAID },
	{ "HTTP/1.1 304 x\r\nTransfer-Encoding: chunked\r\n\r\n", GET_, 304, "x", N, 0,
	  0 },
	/* RFC 9110 8.6: and these are not to say one */
	{ "HTTP/1.1 204 x\r\n\r\n", GET_, 204, "x", N, 0, 0 },
	{ "HTTP/1.1 204 x\r\nContent-Length: 5\r\n\r\n", GET_, 204, "x", N, 5, 0 },
	{ "HTTP/1.1 204 x\r\nTransfer-Encoding: chunked\r\n\r\n", GET_, 204, "x", N, 0,
	  0 },
	{ "HTTP/1.1 100 Continue\r\n\r\n", GET_, 100, "Continue", N, 0, 0 },
	{ "HTTP/1.1 103 x\r\nContent-Length: 5\r\n\r\n", GET_, 103, "x", N, 5, 0 },
	{ "HTTP/1.1 199 x\r\nTransfer-Encoding: chunked\r\n\r\n", GET_, 199, "x", N, 0,
	  0 },
	{ "HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: y\r\n\r\n", GET_, 101, "x",
	  N, 0, UPGRADE },
	/* RFC 9110 9.3.6: behind it comes what is no message */
	{ A "Content-Length: 5\r\n\r\n", HTTP_METHOD_CONNECT, 200, "OK", N, 5, 0 },
	{ A "Transfer-Encoding: chunked\r\n\r\n", HTTP_METHOD_CONNECT, 200, "OK", N, 0,
	  0 },
	{ A "\r\n", HTTP_METHOD_CONNECT, 200, "OK", N, 0, 0 },
	{ "HTTP/1.1 407 x\r\nContent-Length: 5\r\n\r\n", HTTP_METHOD_CONNECT, 407, "x",
	  HTTP_BODY_LENGTH, 5, SAID },
	{ "HTTP/1.1 205 x\r\nContent-Length: 5\r\n\r\n", GET_, 205, "x", HTTP_BODY_LENGTH,
	  5, SAID },
};

static void a_body_goes_by_what_was_asked_and_answered(void)
{
	static struct http_head head;

	for (size_t i = 0; i < COUNT(answers); i++) {
		const struct answer *a = &answers[i];
		uint8_t *p = copy_of(a->bytes, strlen(a->bytes));

		CHECK_INT(HTTP_FINE,
			  h1_read(H1_RESPONSE, p, strlen(a->bytes), 100, &head));
		h1_body_of(&head, a->asked);
		CHECK_INT(a->status, head.status);
		CHECK(is(a->reason, head.reason));
		CHECK_INT(a->body, head.body);
		CHECK_INT(a->length, head.length);
		CHECK_INT(a->is, what_is(&head));
		if (t_failed)
			printf("# case: %s\n", a->bytes);
		free(p);
		if (t_failed)
			return;
	}
}

/* --- where a head ends --- */

static void check_end(const char *bytes, size_t n)
{
	uint8_t *p = malloc(n + 9);
	size_t from = 0;

	memcpy(p, bytes, n);
	memcpy(p + n, "\nX\r\n\r\n\n\n", 9);
	for (size_t k = 0; k < n; k++) /* byte by byte */
		CHECK_INT(0, h1_end(p, k, &from));
	CHECK_INT(n, h1_end(p, n, &from));
	for (size_t k = 0; k < n; k++) { /* in two pieces; with more behind */
		from = 0;
		CHECK_INT(0, h1_end(p, k, &from));
		CHECK(from <= k);
		CHECK_INT(n, h1_end(p, n, &from));
		from = 0;
		CHECK_INT(0, h1_end(p, k, &from));
		CHECK_INT(n, h1_end(p, n + 9, &from));
	}
	free(p);
}

static void a_head_ends_at_its_empty_line_however_it_comes(void)
{
	for (size_t i = 0; i < COUNT(good) && !t_failed; i++)
		check_end(good[i].bytes, strlen(good[i].bytes));
	for (size_t i = 0; i < COUNT(answers) && !t_failed; i++)
		check_end(answers[i].bytes, strlen(answers[i].bytes));
}

/* So that who sends them is told, and does not wait for an end that never comes. */
static void ends_that_are_faults_are_ends(void)
{
	static const char *const ends[] = {
		"\n",	     "\r\n",	     "a\n\n",	       "a\n\r\n",	"a\r\n\n",
		"a\r\n\r\n", "a\r\nb\n\r\n", "a\r\r\nb\r\n\n", "a\nb\r\nc\n\n", "\ra\n\n",
	};

	for (size_t i = 0; i < COUNT(ends); i++) {
		check_end(ends[i], strlen(ends[i]));
		if (t_failed)
			printf("# case: %zu\n", i);
	}
}

static void what_looks_like_an_end_is_none(void)
{
	static const char *const none[] = {
		"",	     "\r",    "\r\r",	     "a\r\n",
		"a\r\n\r",   "a\n\r", "a\r\n\r\r\n", "a\r\n \r\n",
		"a\r\n\t\n", "a\r\r", "a\n\r\r\n",   "a\r\nb\r\n",
	};

	for (size_t i = 0; i < COUNT(none); i++) {
		size_t n = strlen(none[i]), from = 0;
		uint8_t *p = copy_of(none[i], n);

		CHECK_INT(0, h1_end(p, n, &from));
		CHECK(from <= n);
		if (t_failed)
			printf("# case: %zu\n", i);
		free(p);
	}
}

static void empty_lines_before_a_request_are_counted(void)
{
	CHECK_INT(0, h1_blank((const uint8_t *)"", 0));
	CHECK_INT(0, h1_blank((const uint8_t *)"\r", 1));
	CHECK_INT(2, h1_blank((const uint8_t *)"\r\n", 2));
	CHECK_INT(2, h1_blank((const uint8_t *)"\r\n\r", 3));
	CHECK_INT(4, h1_blank((const uint8_t *)"\r\n\r\nGET", 7));
	CHECK_INT(0, h1_blank((const uint8_t *)"GET\r\n", 5));
	CHECK_INT(0, h1_blank((const uint8_t *)"\n\r\n", 3));
	CHECK_INT(0, h1_blank((const uint8_t *)" \r\n", 3));
}

/* --- what is written --- */

static uint8_t written[16384];

/* With a room of every size below: 0, and not a byte behind it. */
static void check_small_rooms(const struct http_head *h, size_t n, struct text connection)
{
	for (size_t cap = 0; cap < n && !t_failed; cap++) {
		uint8_t *room = malloc(n);

		memset(room, 0xee, n);
		CHECK_INT(0, h1_write(room, cap, h, connection));
		for (size_t i = cap; i < n; i++)
			CHECK_INT(0xee, room[i]);
		free(room);
		room = malloc(cap ? cap : 1);
		CHECK_INT(0, h1_write(room, cap, h, connection));
		free(room);
	}
}

static void check_round(enum h1_kind kind, const char *bytes, enum http_method asked)
{
	static struct http_head a, b;
	uint8_t *p = copy_of(bytes, strlen(bytes)), again[1024];
	const char *differs;
	size_t n, from = 0;

	CHECK_INT(HTTP_FINE, h1_read(kind, p, strlen(bytes), 100, &a));
	if (kind == H1_RESPONSE)
		h1_body_of(&a, asked);
	if (kind == H1_REQUEST && !a.authority.n)
		a.authority = TEXT("given.example.org"); /* as who sends it on does */
	n = h1_write(written, sizeof(written), &a, TEXT(""));
	CHECK(n > 0 && n <= sizeof(again));
	check_small_rooms(&a, n, TEXT(""));
	CHECK_INT(n, h1_end(written, n, &from));
	CHECK_INT(HTTP_FINE, h1_read(kind, written, n, 100, &b));
	if (kind == H1_RESPONSE)
		h1_body_of(&b, asked);
	differs = heads_differ(&a, &b);
	CHECK_STR("nothing", differs ? differs : "nothing");
	CHECK_INT(n, h1_write(again, sizeof(again), &b, TEXT("")));
	CHECK(memcmp(written, again, n) == 0);
	if (t_failed)
		printf("# case: %s\n# written: %.*s\n", bytes, (int)n, (char *)written);
	free(p);
}

static void a_request_that_is_written_reads_as_the_same(void)
{
	for (size_t i = 0; i < COUNT(good) && !t_failed; i++)
		check_round(H1_REQUEST, good[i].bytes, HTTP_METHOD_OTHER);
}

static void a_response_that_is_written_reads_as_the_same(void)
{
	for (size_t i = 0; i < COUNT(answers) && !t_failed; i++)
		check_round(H1_RESPONSE, answers[i].bytes, answers[i].asked);
}

static void check_written(enum h1_kind kind, const char *bytes, const char *connection,
			  const char *want)
{
	static struct http_head head;
	uint8_t *p = copy_of(bytes, strlen(bytes));
	size_t n;

	CHECK_INT(HTTP_FINE, h1_read(kind, p, strlen(bytes), 100, &head));
	n = h1_write(written, sizeof(written) - 1, &head, text(connection));
	written[n] = 0;
	CHECK_STR(want, (char *)written);
	check_small_rooms(&head, n, text(connection));
	free(p);
}

static void a_head_is_written_as_1_1_without_what_was_of_a_connection(void)
{
	check_written(H1_REQUEST,
		      "GET http://a/b HTTP/1.0\r\nConnection: X\r\nX: 1\r\nY: 2\r\n"
		      "Keep-Alive: 3\r\nTE: trailers\r\nCONTENT-LENGTH: 007\r\n\r\n",
		      "",
		      "GET /b HTTP/1.1\r\nhost: a\r\ny: 2\r\ncontent-length: 7\r\n\r\n");
	check_written(H1_REQUEST, "GET / HTTP/1.0\r\nHost: b\r\n\r\n", "close",
		      "GET / HTTP/1.1\r\nhost: b\r\nconnection: close\r\n\r\n");
	check_written(H1_REQUEST, "GET / HTTP/1.0\r\n\r\n", "", ""); /* whose it is */
	check_written(H1_REQUEST, "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", "",
		      "CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\n");
	check_written(H1_RESPONSE,
		      "HTTP/1.0 404\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
		      "keep-alive",
		      "HTTP/1.1 404 \r\ncontent-length: 0\r\n"
		      "connection: keep-alive\r\n\r\n");
	check_written(H1_RESPONSE,
		      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nA: b\r\n\r\n",
		      "close",
		      "HTTP/1.1 200 OK\r\na: b\r\ntransfer-encoding: chunked\r\n"
		      "connection: close\r\n\r\n");
}

/* --- trailers --- */

static void trailers_that_are_written_read_as_the_same(void)
{
	static struct http_head a, b;
	char buf[] = "X-Sum: 1 \r\ndigest:\r\nx-sum: 2\r\n\r\n";
	size_t n, from = 0;

	CHECK_INT(sizeof(buf) - 1, h1_end((uint8_t *)buf, sizeof(buf) - 1, &from));
	CHECK_INT(HTTP_FINE, h1_read_trailers((uint8_t *)buf, sizeof(buf) - 1, 3, &a));
	CHECK_INT(3, a.n);
	n = h1_write_trailers(written, sizeof(written), &a);
	CHECK_INT(strlen("x-sum: 1\r\ndigest: \r\nx-sum: 2\r\n\r\n"), n);
	for (size_t cap = 0; cap < n; cap++)
		CHECK_INT(0, h1_write_trailers(written, cap, &a));
	CHECK_INT(n, h1_write_trailers(written, n, &a));
	CHECK_INT(HTTP_FINE, h1_read_trailers(written, n, 3, &b));
	CHECK(!heads_fields_differ(&a, &b));
}

static void no_trailers_are_an_empty_line(void)
{
	static struct http_head head;
	uint8_t empty[] = "\r\n";
	size_t from = 0;

	CHECK_INT(2, h1_end(empty, 2, &from));
	CHECK_INT(HTTP_FINE, h1_read_trailers(empty, 2, 100, &head));
	CHECK_INT(0, head.n);
	CHECK_INT(2, h1_write_trailers(written, 2, &head));
	CHECK(memcmp(written, "\r\n", 2) == 0);
}

int main(void)
{
	RUN(good_requests_mean_what_they_say);
	RUN(fields_are_in_order_in_lower_case_and_trimmed);
	RUN(a_protocol_is_what_upgrade_names);
	RUN(a_body_goes_by_what_was_asked_and_answered);
	RUN(a_head_ends_at_its_empty_line_however_it_comes);
	RUN(ends_that_are_faults_are_ends);
	RUN(what_looks_like_an_end_is_none);
	RUN(empty_lines_before_a_request_are_counted);
	RUN(a_request_that_is_written_reads_as_the_same);
	RUN(a_response_that_is_written_reads_as_the_same);
	RUN(a_head_is_written_as_1_1_without_what_was_of_a_connection);
	RUN(trailers_that_are_written_read_as_the_same);
	RUN(no_trailers_are_an_empty_line);
	DONE();
}
