/* SPDX-License-Identifier: Apache-2.0 */
/* Heads that two readers would read differently, or that are too much: none is taken. */
#include <stdlib.h>

#include "codec/h1.h"
#include "tests/unit/t.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Room for a head, behind which a byte more is a finding: from here until free(). */
static uint8_t *copy_of(const char *bytes, size_t n)
{
	uint8_t *p = malloc(n ? n : 1);

	memcpy(p, bytes, n);
	return p;
}

static enum http_fault fault_of(enum h1_kind kind, const char *bytes, size_t n)
{
	static struct http_head head;
	uint8_t *p = copy_of(bytes, n);
	enum http_fault fault = h1_read(kind, p, n, 100, &head);

	free(p);
	return fault;
}

/* --- hostile requests --- */

struct hostile {
	const char *bytes;
	size_t n;
	enum http_fault fault;
};

#define BAD(why, bytes)                                    \
	{                                                  \
		bytes, sizeof(bytes) - 1, HTTP_FAULT_##why \
	}
#define LINE(why, line)	  BAD(why, line "\r\nHost: a\r\n\r\n")
#define GET(why, fields)  BAD(why, "GET / HTTP/1.1\r\nHost: a\r\n" fields "\r\n\r\n")
#define POST(why, fields) BAD(why, "POST / HTTP/1.1\r\nHost: a\r\n" fields "\r\n\r\n")
#define OLD(why, fields)  BAD(why, "POST / HTTP/1.0\r\nHost: a\r\n" fields "\r\n\r\n")
#define HOST(why, host)	  BAD(why, "GET / HTTP/1.1\r\n" host "\r\n\r\n")

static const struct hostile request_lines[] = {
	LINE(REQUEST_LINE, "GET"),
	LINE(REQUEST_LINE, "GET "),
	LINE(REQUEST_LINE, "GET /"), /* HTTP/0.9 had no more */
	LINE(REQUEST_LINE, "GET  HTTP/1.1"),
	LINE(REQUEST_LINE, " GET / HTTP/1.1"),
	LINE(REQUEST_LINE, "GET / HTTP/1.1 "),
	LINE(REQUEST_LINE, "GET / HTTP/1.1\t"),
	LINE(REQUEST_LINE, "GET / HTTP/1.1x"),
	LINE(REQUEST_LINE, "GET\t/\tHTTP/1.1"),
	LINE(REQUEST_LINE, "GET\t/ HTTP/1.1"),
	LINE(REQUEST_LINE, "GET /\tHTTP/1.1"),
	LINE(REQUEST_LINE, "GET\x0b/\x0bHTTP/1.1"),
	LINE(REQUEST_LINE, "GET / http/1.1"),
	LINE(REQUEST_LINE, "GET / Http/1.1"),
	LINE(REQUEST_LINE, "GET / HTTP/1"),
	LINE(REQUEST_LINE, "GET / HTTP/1.10"),
	LINE(REQUEST_LINE, "GET / HTTP/01.1"),
	LINE(REQUEST_LINE, "GET / HTTP/1,1"),
	LINE(REQUEST_LINE, "GET / HTTP/-1.1"),
	LINE(REQUEST_LINE, "GET / HTTP/+.1"),
	LINE(REQUEST_LINE, "GET / HTTP/1.a"),
	LINE(REQUEST_LINE, "GET / HTTP /1.1"),
	LINE(REQUEST_LINE, "GET / SHTTP/1.1"),
	LINE(REQUEST_LINE, "GET / ICY/1.1"),
	LINE(REQUEST_LINE, "GET / HTTP/\0.1"),
	LINE(REQUEST_LINE, "G\0T / HTTP/1.1"),
	LINE(REQUEST_LINE, "G(T / HTTP/1.1"),
	LINE(REQUEST_LINE, "GET: / HTTP/1.1"),
	LINE(REQUEST_LINE, "G\xc3T / HTTP/1.1"),
	LINE(REQUEST_LINE, "M23456789012345678901234567890123 / HTTP/1.1"),
	BAD(REQUEST_LINE, "\r\n"),
	BAD(REQUEST_LINE, "\x16\x03\x01\r\n\r\n"),
	LINE(VERSION, "GET / HTTP/0.9"),
	LINE(VERSION, "GET / HTTP/0.0"),
	LINE(VERSION, "GET / HTTP/1.2"),
	LINE(VERSION, "GET / HTTP/1.9"),
	LINE(VERSION, "GET / HTTP/2.0"),
	LINE(VERSION, "GET / HTTP/3.0"),
	BAD(VERSION, "PRI * HTTP/2.0\r\n\r\n"),
	LINE(TARGET, "GET  / HTTP/1.1"),
	LINE(TARGET, "GET /  HTTP/1.1"),
	LINE(TARGET, "GET / x HTTP/1.1"),
	LINE(TARGET, "GET / HTTP/1.1 HTTP/1.1"),
	LINE(TARGET, "GET /a\tb HTTP/1.1"),
	LINE(TARGET, "GET /\0 HTTP/1.1"),
	LINE(TARGET, "GET /\x01 HTTP/1.1"),
	LINE(TARGET, "GET /\x7f HTTP/1.1"),
	LINE(TARGET, "GET /\xc3\xa4 HTTP/1.1"),
	LINE(TARGET, "GET /# HTTP/1.1"),
	LINE(TARGET, "GET /a#b HTTP/1.1"),
	LINE(TARGET, "GET /?a#b HTTP/1.1"),
	LINE(TARGET, "GET a HTTP/1.1"),
	LINE(TARGET, "GET ?a HTTP/1.1"),
	LINE(TARGET, "GET \\a HTTP/1.1"),
	LINE(TARGET, "GET * HTTP/1.1"),
	LINE(TARGET, "OPTIONS ** HTTP/1.1"),
	LINE(TARGET, "OPTIONS *?a HTTP/1.1"),
	LINE(TARGET, "GET a:80 HTTP/1.1"),
	LINE(TARGET, "GET ftp://a/ HTTP/1.1"),
	LINE(TARGET, "GET http:/a HTTP/1.1"),
	LINE(TARGET, "GET http:a HTTP/1.1"),
	LINE(TARGET, "GET http://// HTTP/1.1"),
	LINE(TARGET, "GET http:// HTTP/1.1"),
	LINE(TARGET, "GET http:///a HTTP/1.1"),
	LINE(TARGET, "GET http://a?b HTTP/1.1"), /* which path would that be? */
	LINE(TARGET, "GET http://a#b HTTP/1.1"),
	LINE(TARGET, "GET http://a/#b HTTP/1.1"),
	LINE(TARGET, "GET http://u@a/ HTTP/1.1"),
	LINE(TARGET, "GET http://u:p@a/ HTTP/1.1"),
	LINE(TARGET, "GET http://a\\b/ HTTP/1.1"),
	LINE(TARGET, "GET http://a:/b@c HTTP/1.1x HTTP/1.1"),
	LINE(TARGET, "GET http://a:65536/ HTTP/1.1"),
	LINE(TARGET, "GET http\0://a/ HTTP/1.1"),
	LINE(TARGET, "CONNECT a HTTP/1.1"),
	LINE(TARGET, "CONNECT a: HTTP/1.1"), /* RFC 9110 9.3.6 */
	LINE(TARGET, "CONNECT [::1] HTTP/1.1"),
	LINE(TARGET, "CONNECT [::1]: HTTP/1.1"),
	LINE(TARGET, "CONNECT :443 HTTP/1.1"),
	LINE(TARGET, "CONNECT / HTTP/1.1"),
	LINE(TARGET, "CONNECT * HTTP/1.1"),
	LINE(TARGET, "CONNECT a:443/ HTTP/1.1"),
	LINE(TARGET, "CONNECT u@a:443 HTTP/1.1"),
	LINE(TARGET, "CONNECT http://a:443/ HTTP/1.1"),
	LINE(TARGET, "CONNECT a:65536 HTTP/1.1"),
};

static const struct hostile lines[] = {
	BAD(BARE_LF, "\n"),
	BAD(BARE_LF, "GET / HTTP/1.1\n\n"),
	BAD(BARE_LF, "GET / HTTP/1.1\nHost: a\r\n\r\n"),
	BAD(BARE_LF, "GET / HTTP/1.1\r\nHost: a\n\r\n"),
	BAD(BARE_LF, "GET / HTTP/1.1\r\nHost: a\r\n\n"),
	BAD(BARE_LF, "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n"),
	BAD(BARE_LF, "GET / HTTP/1.1\nTransfer-Encoding: chunked\r\nHost: a\r\n\r\n"),
	GET(BARE_LF, "X: a\n b"),
	GET(BARE_LF, "X: a\nContent-Length: 5"),
	BAD(BARE_CR, "GET / HTTP/1.1\rHost: a\r\n\r\n"),
	LINE(BARE_CR, "GET / HTTP/1.1\r"),
	LINE(BARE_CR, "\rGET / HTTP/1.1"),
	LINE(BARE_CR, "GET\r/ HTTP/1.1"),
	LINE(BARE_CR, "GET /\r HTTP/1.1"),
	GET(BARE_CR, "X: a\rContent-Length: 5"),
	GET(BARE_CR, "X: a\r"),
	GET(BARE_CR, "X: \ra"),
	GET(BARE_CR, "X:\r"),
	GET(BARE_CR, "Transfer-Encoding: chunked\r"),
	BAD(BARE_CR, "GET / HTTP/1.1\r\nHost: a\r\n"), /* and no empty line */
	GET(FOLDING, "X: a\r\n b"),
	GET(FOLDING, "X: a\r\n\tb"),
	GET(FOLDING, "X: a\r\n "),
	GET(FOLDING, "Transfer-Encoding:\r\n chunked"),
	BAD(FOLDING, "GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
	BAD(FOLDING, "GET / HTTP/1.1\r\n\tX: b\r\nHost: a\r\n\r\n"),
	GET(FIELD_NAME, ": a"),
	GET(FIELD_NAME, ":"),
	GET(FIELD_NAME, "X"),
	GET(FIELD_NAME, "GET / HTTP/1.1"),
	GET(FIELD_NAME, "X : a"),
	GET(FIELD_NAME, "X\t: a"),
	GET(FIELD_NAME, "X Y: a"),
	GET(FIELD_NAME, "Content-Length : 5"),
	GET(FIELD_NAME, "Transfer-Encoding : chunked"),
	GET(FIELD_NAME, "Transfer-Encoding\0: chunked"),
	GET(FIELD_NAME, "Transfer-Encoding\x0b: chunked"),
	GET(FIELD_NAME, "\0X: a"),
	GET(FIELD_NAME, "X(: a"),
	GET(FIELD_NAME, "\"X\": a"),
	GET(FIELD_NAME, "[x]: a"),
	GET(FIELD_NAME, "X=Y"),
	GET(FIELD_NAME, "X\xe9: a"),
	GET(FIELD_NAME, "\rX: a"),
	GET(FIELD_NAME, "X\r: a"),
	BAD(FIELD_NAME, "GET / HTTP/1.1\r\nHost : a\r\n\r\n"),
	GET(FIELD_VALUE, "X: a\0b"),
	GET(FIELD_VALUE, "X: \0"),
	GET(FIELD_VALUE, "X: \x01"),
	GET(FIELD_VALUE, "X: a\x0b"),
	GET(FIELD_VALUE, "X: a\x0c"),
	GET(FIELD_VALUE, "X: \x1b[0m"),
	GET(FIELD_VALUE, "X: a\x7f"),
	GET(FIELD_VALUE, "Transfer-Encoding: \x0b"
			 "chunked"),
	GET(FIELD_VALUE, "Transfer-Encoding: chunked\0"),
};

static const struct hostile hosts[] = {
	BAD(HOST_MISSING, "GET / HTTP/1.1\r\n\r\n"),
	HOST(HOST_MISSING, "X: a"),
	HOST(HOST_MISSING, "X-Host: a"),
	BAD(HOST_MISSING, "GET http://a/ HTTP/1.1\r\n\r\n"),
	HOST(HOST_TWICE, "Host: a\r\nHost: a"),
	HOST(HOST_TWICE, "Host: a\r\nX: y\r\nhOST: b"),
	HOST(HOST_INVALID, "Host:\r\nHost: b"),
	HOST(HOST_TWICE, "Host: a\r\nHost:"),
	OLD(HOST_TWICE, "Host: a"),
	HOST(HOST_INVALID, "Host: a b"),
	HOST(HOST_INVALID, "Host: a\tb"),
	HOST(HOST_INVALID, "Host: a,b"),
	HOST(HOST_INVALID, "Host: a, a"),
	HOST(HOST_INVALID, "Host: a@b"),
	HOST(HOST_INVALID, "Host: a:b@c"),
	HOST(HOST_INVALID, "Host: a/b"),
	HOST(HOST_INVALID, "Host: a/"),
	HOST(HOST_INVALID, "Host: a?b"),
	HOST(HOST_INVALID, "Host: a#b"),
	HOST(HOST_INVALID, "Host: a\\b"),
	HOST(HOST_INVALID, "Host: http://a"),
	HOST(HOST_INVALID, "Host: a%00"),
	HOST(HOST_INVALID, "Host: \xe9"),
	HOST(HOST_INVALID, "Host: :80"),
	HOST(HOST_INVALID, "Host: a:65536"),
	HOST(HOST_INVALID, "Host: a:80:80"),
	HOST(HOST_INVALID, "Host: a:x"),
	HOST(HOST_INVALID, "Host: ::1"),
	HOST(HOST_INVALID, "Host: [::1"),
	HOST(HOST_INVALID, "Host: [::1]x"),
	BAD(HOST_INVALID, "GET / HTTP/1.0\r\nHost: a,b\r\n\r\n"),
	LINE(HOST_MISMATCH, "GET http://b/ HTTP/1.1"),
	LINE(HOST_MISMATCH, "GET http://a:80/ HTTP/1.1"),
	LINE(HOST_MISMATCH, "GET http://a./ HTTP/1.1"),
	LINE(HOST_MISMATCH, "GET https://aa/ HTTP/1.1"),
	LINE(HOST_MISMATCH, "GET http://b/ HTTP/1.0"),
	LINE(HOST_MISMATCH, "CONNECT a:443 HTTP/1.1"),
	BAD(HOST_INVALID, "GET http://a/ HTTP/1.1\r\nHost:\r\n\r\n"),
	BAD(HOST_INVALID, "GET / HTTP/1.1\r\nHost:\r\n\r\n"),
};

static const struct hostile framings[] = {
	POST(LENGTH_AND_CODING, "Content-Length: 5\r\nTransfer-Encoding: chunked"),
	POST(LENGTH_AND_CODING, "Transfer-Encoding: chunked\r\nContent-Length: 5"),
	POST(LENGTH_AND_CODING,
	     "Content-Length: 0\r\nX: y\r\ntransfer-encoding: chunked"),
	POST(LENGTH_AND_CODING, "Content-Length: 5\r\nTransfer-Encoding: gzip"),
	POST(LENGTH_TWICE, "Content-Length: 5\r\nContent-Length: 5"),
	POST(LENGTH_TWICE, "Content-Length: 5\r\nContent-Length: 6"),
	POST(LENGTH_TWICE, "Content-Length: 0\r\nX: y\r\ncontent-length: 5"),
	POST(LENGTH_INVALID, "Content-Length: 2, 2"),
	POST(LENGTH_INVALID, "Content-Length: 2,2"),
	POST(LENGTH_INVALID, "Content-Length: 2,"),
	POST(LENGTH_INVALID, "Content-Length: ,2"),
	POST(LENGTH_INVALID, "Content-Length: 2 2"),
	POST(LENGTH_INVALID, "Content-Length: +5"),
	POST(LENGTH_INVALID, "Content-Length: -1"),
	POST(LENGTH_INVALID, "Content-Length: -0"),
	POST(LENGTH_INVALID, "Content-Length: 0x5"),
	POST(LENGTH_INVALID, "Content-Length: 5.0"),
	POST(LENGTH_INVALID, "Content-Length: 1e1"),
	POST(LENGTH_INVALID, "Content-Length: 5;"),
	POST(LENGTH_INVALID, "Content-Length: \"5\""),
	POST(LENGTH_INVALID, "Content-Length: a"),
	POST(LENGTH_INVALID, "Content-Length: \xb5"),
	POST(LENGTH_INVALID, "Content-Length:"),
	POST(LENGTH_INVALID, "Content-Length: \t "),
	POST(LENGTH_INVALID, "Content-Length: 9223372036854775808"),
	POST(LENGTH_INVALID, "Content-Length: 9999999999999999999"),
	POST(LENGTH_INVALID, "Content-Length: 00000000000000000005"), /* 20 digits */
	POST(LENGTH_INVALID, "Content-Length: 18446744073709551621"), /* 5, of 64 bits */
	POST(LENGTH_INVALID, "Content-Length: 99999999999999999999999999999"),
	GET(LENGTH_INVALID, "Content-Length: x"),
	OLD(CODING_IN_1_0, "Transfer-Encoding: chunked"),
	OLD(CODING_IN_1_0, "Transfer-Encoding: gzip"),
	OLD(CODING_IN_1_0, "Content-Length: 5\r\nTransfer-Encoding: chunked"),
	POST(CODING_INVALID, "Transfer-Encoding:"),
	POST(CODING_INVALID, "Transfer-Encoding: ,"),
	POST(CODING_INVALID, "Transfer-Encoding: ,chunked"),
	POST(CODING_INVALID, "Transfer-Encoding: chunked,"),
	POST(CODING_INVALID, "Transfer-Encoding: chunked, chunked"),
	POST(CODING_INVALID, "Transfer-Encoding: chunked, gzip"),
	POST(CODING_INVALID, "Transfer-Encoding: chunked, identity"),
	POST(CODING_INVALID, "Transfer-Encoding: identity"),
	POST(CODING_INVALID, "Transfer-Encoding: identity, chunked"),
	POST(CODING_INVALID, "Transfer-Encoding: xchunked"),
	POST(CODING_INVALID, "Transfer-Encoding: chunkedx"),
	POST(CODING_INVALID, "Transfer-Encoding: x chunked"),
	POST(CODING_INVALID, "Transfer-Encoding: \"chunked\""),
	POST(CODING_INVALID, "Transfer-Encoding: 'chunked'"),
	POST(CODING_INVALID, "Transfer-Encoding: chunked;q=1"),
	POST(CODING_INVALID, "Transfer-Encoding: chunked\xa0"),
	POST(CODING_INVALID, "Transfer-Encoding: gzip"),
	POST(CODING_INVALID, "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
	POST(CODING_INVALID, "Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip"),
	POST(CODING_INVALID, "Transfer-Encoding: chunked\r\nTransfer-Encoding:"),
	POST(CODING_INVALID, "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked"),
	POST(CODING_UNKNOWN, "Transfer-Encoding: gzip, chunked"),
	POST(CODING_UNKNOWN, "Transfer-Encoding: gzip, Chunked"),
	POST(CODING_UNKNOWN, "Transfer-Encoding: x,chunked"),
	POST(UPGRADE_INVALID,
	     "Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 1"),
	POST(UPGRADE_INVALID,
	     "Transfer-Encoding: chunked\r\nUpgrade: chat\r\nConnection: x, Upgrade"),
	GET(EXPECTATION, "Expect: other"),
	GET(EXPECTATION, "Expect:"),
	GET(EXPECTATION, "Expect: 100-continue, other"),
	GET(EXPECTATION, "Expect: 100-continued"),
	GET(EXPECTATION, "Expect: 100"),
};

static void check_hostile(enum h1_kind kind, const struct hostile *of, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		CHECK_INT(of[i].fault, fault_of(kind, of[i].bytes, of[i].n));
		if (t_failed) {
			printf("# case %zu: %s\n", i, of[i].bytes);
			return;
		}
	}
}

static void request_lines_that_are_none_are_faults(void)
{
	check_hostile(H1_REQUEST, request_lines, COUNT(request_lines));
}

static void lines_and_fields_that_are_none_are_faults(void)
{
	check_hostile(H1_REQUEST, lines, COUNT(lines));
}

static void hosts_that_two_would_read_differently_are_faults(void)
{
	check_hostile(H1_REQUEST, hosts, COUNT(hosts));
}

static void bodies_that_two_would_read_differently_are_faults(void)
{
	check_hostile(H1_REQUEST, framings, COUNT(framings));
}

static void a_target_has_8192_bytes_at_most(void)
{
	static char buf[H1_TARGET_MAX + 64];

	for (size_t more = 0; more < 2; more++) {
		size_t n = 4;

		memcpy(buf, "GET /", 5);
		memset(buf + 5, 'a', H1_TARGET_MAX);
		n += H1_TARGET_MAX + more;
		memcpy(buf + n, " HTTP/1.1\r\nHost: a\r\n\r\n", 22);
		CHECK_INT(more ? HTTP_FAULT_TARGET_TOO_LONG : HTTP_FINE,
			  fault_of(H1_REQUEST, buf, n + 22));
	}
}

static void a_name_is_not_longer_than_its_length_can_say(void)
{
	static char buf[UINT16_MAX + 64];

	for (size_t more = 0; more < 2; more++) {
		size_t n = 25;

		memcpy(buf, "GET / HTTP/1.1\r\nHost: a\r\n", n);
		memset(buf + n, 'x', UINT16_MAX + more);
		n += UINT16_MAX + more;
		memcpy(buf + n, ":\r\n\r\n", 5);
		CHECK_INT(more ? HTTP_FAULT_FIELD_NAME : HTTP_FINE,
			  fault_of(H1_REQUEST, buf, n + 5));
	}
}

/* Host is one of them. */
static size_t with_fields(char *buf, unsigned count)
{
	size_t n = 25;

	memcpy(buf, "GET / HTTP/1.1\r\nHost: a\r\n", 25);
	for (unsigned i = 1; i < count; i++) {
		memcpy(buf + n, "X: y\r\n", 6);
		n += 6;
	}
	memcpy(buf + n, "\r\n", 2);
	return n + 2;
}

static void there_are_as_many_fields_as_are_allowed(void)
{
	static const unsigned allowed[] = { 1, 2, 100, HTTP_FIELDS_MAX };
	static struct http_head head;
	static char buf[8192];

	for (size_t i = 0; i < COUNT(allowed); i++) {
		size_t n = with_fields(buf, allowed[i]);

		CHECK_INT(HTTP_FINE,
			  h1_read(H1_REQUEST, (uint8_t *)buf, n, allowed[i], &head));
		CHECK_INT(allowed[i] - 1, head.n);
		n = with_fields(buf, allowed[i] + 1);
		CHECK_INT(HTTP_FAULT_FIELDS_TOO_MANY,
			  h1_read(H1_REQUEST, (uint8_t *)buf, n, allowed[i], &head));
		/* whatever is allowed, there is no place for more */
		n = with_fields(buf, HTTP_FIELDS_MAX + 1);
		CHECK_INT(HTTP_FAULT_FIELDS_TOO_MANY,
			  h1_read(H1_REQUEST, (uint8_t *)buf, n, UINT32_MAX, &head));
	}
}

/* --- responses --- */

#define STATUS(why, line)   BAD(why, line "\r\n\r\n")
#define ANSWER(why, fields) BAD(why, "HTTP/1.1 200 OK\r\n" fields "\r\n\r\n")

static const struct hostile responses[] = {
	STATUS(STATUS_LINE, ""),
	STATUS(STATUS_LINE, "HTTP/1.1"),
	STATUS(STATUS_LINE, "HTTP/1.1 "),
	STATUS(STATUS_LINE, "HTTP/1.1 20"),
	STATUS(STATUS_LINE, "HTTP/1.1 20 OK"),
	STATUS(STATUS_LINE, "HTTP/1.1 2000"),
	STATUS(STATUS_LINE, "HTTP/1.1 2000 OK"),
	STATUS(STATUS_LINE, "HTTP/1.1 200OK"),
	STATUS(STATUS_LINE, "HTTP/1.1 200\tOK"),
	STATUS(STATUS_LINE, "HTTP/1.1\t200 OK"),
	STATUS(STATUS_LINE, "HTTP/1.1  200 OK"),
	STATUS(STATUS_LINE, " HTTP/1.1 200 OK"),
	STATUS(STATUS_LINE, "HTTP/1.1 +20 OK"),
	STATUS(STATUS_LINE, "HTTP/1.1 -20 OK"),
	STATUS(STATUS_LINE, "HTTP/1.1 2a0 OK"),
	STATUS(STATUS_LINE, "HTTP/1.1 0x1 OK"),
	STATUS(STATUS_LINE, "HTTP/1.1 000 OK"),
	STATUS(STATUS_LINE, "HTTP/1.1 099 OK"),
	STATUS(STATUS_LINE, "HTTP/1.1 600 OK"),
	STATUS(STATUS_LINE, "HTTP/1.1 999 OK"),
	STATUS(STATUS_LINE, "http/1.1 200 OK"),
	STATUS(STATUS_LINE, "HTTP/1.2 200 OK"),
	STATUS(STATUS_LINE, "HTTP/2.0 200 OK"),
	STATUS(STATUS_LINE, "HTTP/2 200 OK"),
	STATUS(STATUS_LINE, "HTTP/0.9 200 OK"),
	STATUS(STATUS_LINE, "ICY 200 OK"),
	STATUS(STATUS_LINE, "GET / HTTP/1.1"),
	STATUS(STATUS_LINE, "HTTP/1.1 200 O\0K"),
	STATUS(STATUS_LINE, "HTTP/1.1 200 O\x01K"),
	STATUS(STATUS_LINE, "HTTP/1.1 200 O\x7fK"),
	STATUS(BARE_CR, "HTTP/1.1 200 O\rK"),
	STATUS(BARE_CR, "HTTP/1.1 200\r"),
	BAD(BARE_LF, "HTTP/1.1 200 OK\n\n"),
	BAD(BARE_LF, "HTTP/1.1 200 OK\r\nA: b\n\r\n"),
	ANSWER(FOLDING, "A: b\r\n c"),
	ANSWER(FIELD_NAME, "A : b"),
	ANSWER(FIELD_VALUE, "A: \0"),
	ANSWER(LENGTH_AND_CODING, "Content-Length: 5\r\nTransfer-Encoding: chunked"),
	ANSWER(LENGTH_TWICE, "Content-Length: 5\r\nContent-Length: 5"),
	ANSWER(LENGTH_INVALID, "Content-Length: 5, 5"),
	ANSWER(LENGTH_INVALID, "Content-Length: -1"),
	ANSWER(CODING_UNKNOWN, "Transfer-Encoding: gzip, chunked"),
	ANSWER(CODING_INVALID, "Transfer-Encoding: gzip"),
	ANSWER(CODING_INVALID, "Transfer-Encoding: chunked, chunked"),
	BAD(CODING_IN_1_0, "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
};

static void responses_that_are_none_are_faults(void)
{
	check_hostile(H1_RESPONSE, responses, COUNT(responses));
}

/* --- trailers --- */

static const struct hostile bad_trailers[] = {
	BAD(TRAILER, "Host: a\r\n\r\n"),
	BAD(TRAILER, "Content-Length: 5\r\n\r\n"),
	BAD(TRAILER, "a: b\r\nTransfer-Encoding: chunked\r\n\r\n"),
	BAD(TRAILER, "Connection: close\r\n\r\n"),
	BAD(TRAILER, "a: b\r\nconnection: a\r\n\r\n"),
	BAD(TRAILER, "TE: trailers\r\n\r\n"),
	BAD(TRAILER, "Trailer: a\r\n\r\n"),
	BAD(TRAILER, "Upgrade: a\r\n\r\n"),
	BAD(TRAILER, "Expect: 100-continue\r\n\r\n"),
	BAD(TRAILER, "Cookie: a\r\n\r\n"),
	BAD(TRAILER, "Set-Cookie: a\r\n\r\n"),
	BAD(TRAILER, "Authorization: a\r\n\r\n"),
	BAD(TRAILER, "Proxy-Authorization: a\r\n\r\n"),
	BAD(TRAILER, "X-Forwarded-For: a\r\n\r\n"),
	BAD(TRAILER, "Forwarded: a\r\n\r\n"),
	BAD(TRAILER, "Client-Cert: a\r\n\r\n"),
	BAD(FOLDING, "a: b\r\n c\r\n\r\n"),
	BAD(FOLDING, " a: b\r\n\r\n"),
	BAD(FIELD_NAME, "a : b\r\n\r\n"),
	BAD(FIELD_NAME, "GET / HTTP/1.1\r\n\r\n"),
	BAD(FIELD_VALUE, "a: \0\r\n\r\n"),
	BAD(BARE_CR, "a: b\rc\r\n\r\n"),
	BAD(BARE_CR, "a: b\r\n"),
	BAD(BARE_LF, "\n"),
	BAD(BARE_LF, "a: b\n\r\n"),
	BAD(BARE_LF, "a: b\r\n\n"),
	BAD(FIELDS_TOO_MANY, "a: 1\r\nb: 2\r\nc: 3\r\n\r\n"),
};

static void what_comes_late_is_no_trailer(void)
{
	static struct http_head head;

	for (size_t i = 0; i < COUNT(bad_trailers); i++) {
		const struct hostile *c = &bad_trailers[i];
		uint8_t *p = copy_of(c->bytes, c->n);

		CHECK_INT(c->fault, h1_read_trailers(p, c->n, 2, &head));
		free(p);
		if (t_failed)
			printf("# case: %s\n", c->bytes);
	}
}

int main(void)
{
	RUN(request_lines_that_are_none_are_faults);
	RUN(lines_and_fields_that_are_none_are_faults);
	RUN(hosts_that_two_would_read_differently_are_faults);
	RUN(bodies_that_two_would_read_differently_are_faults);
	RUN(a_target_has_8192_bytes_at_most);
	RUN(a_name_is_not_longer_than_its_length_can_say);
	RUN(there_are_as_many_fields_as_are_allowed);
	RUN(responses_that_are_none_are_faults);
	RUN(what_comes_late_is_no_trailer);
	DONE();
}
