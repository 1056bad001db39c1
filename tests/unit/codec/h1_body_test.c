/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "codec/h1_body.h"
#include "tests/unit/t.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* What came of a body that was fed. */
struct heard {
	char data[8192];
	size_t data_n, framing;
	enum h1_step last;
	enum http_fault fault;
};

/*
 * Feed n bytes, as one piece; false: the body needs no more.  Not more than `bite` bytes
 * of data are taken at once.
 */
static bool feed(struct h1_body *b, const char *bytes, size_t n, size_t bite,
		 struct heard *h, size_t *eaten)
{
	uint8_t *copy = malloc(n ? n : 1); /* so that a byte more is a finding */
	size_t at = 0, used, data;
	bool more = true;

	memcpy(copy, bytes, n);
	while (more) {
		h->last = h1_body_next(b, copy + at, n - at, &used, &data, &h->fault);
		CHECK(used + data <= n - at);
		CHECK_INT(h->last == H1_DATA, data > 0);
		h->framing += used;
		at += used;
		more = h->last == H1_DATA;
		if (!more)
			break;
		if (data > bite)
			data = bite;
		memcpy(h->data + h->data_n, copy + at, data);
		h->data_n += data;
		at += data;
		h1_body_took(b, data);
	}
	if (h->last == H1_MORE)
		CHECK_INT(n, at);
	*eaten += at;
	free(copy);
	return h->last == H1_MORE;
}

/* In two pieces, the second from `split` on; how many bytes were the body's. */
static size_t hear(enum http_body kind, uint64_t length, const char *bytes, size_t n,
		   size_t split, size_t bite, struct heard *h)
{
	static struct http_head head;
	struct h1_body b;
	size_t eaten = 0;

	head.body = (uint8_t)kind;
	head.length = length;
	memset(h, 0, sizeof(*h));
	h1_body_begin(&b, &head);
	if (feed(&b, bytes, split, bite, h, &eaten))
		feed(&b, bytes + split, n - split, bite, h, &eaten);
	CHECK_INT(eaten, h->framing + h->data_n);
	return eaten;
}

struct body {
	enum http_body kind;
	uint64_t length;
	const char *bytes;
	size_t n;
	const char *data;
	size_t eaten; /* what is behind is of the next message */
	enum h1_step last;
};

#define CHUNKED(bytes, data, rest)                                              \
	{                                                                       \
		HTTP_BODY_CHUNKED, 0, bytes rest, sizeof(bytes rest) - 1, data, \
			sizeof(bytes) - 1, H1_TRAILERS                          \
	}
#define LENGTH(length, bytes, data, rest)                                           \
	{                                                                           \
		HTTP_BODY_LENGTH, length, bytes rest, sizeof(bytes rest) - 1, data, \
			sizeof(bytes) - 1,                                          \
			sizeof(bytes) - 1 == (length) ? H1_OVER : H1_MORE           \
	}

static const struct body bodies[] = {
	{ HTTP_BODY_NONE, 0, "GET /", 5, "", 0, H1_OVER },
	{ HTTP_BODY_CLOSE, 0, "", 0, "", 0, H1_MORE },
	{ HTTP_BODY_CLOSE, 0, "abc\r\n0\r\n\r\n", 10, "abc\r\n0\r\n\r\n", 10, H1_MORE },
	LENGTH(1, "a", "a", ""),
	LENGTH(5, "abcde", "abcde", ""),
	LENGTH(5, "abcde", "abcde", "GET / HTTP/1.1\r\n"),
	LENGTH(5, "abc", "abc", ""),
	LENGTH(INT64_MAX, "abc", "abc", ""),
	CHUNKED("0\r\n", "", ""),
	CHUNKED("0\r\n", "", "\r\n"),
	CHUNKED("000\r\n", "", "a: b\r\n\r\n"),
	CHUNKED("1\r\na\r\n0\r\n", "a", "\r\n"),
	CHUNKED("5\r\nabcde\r\n0\r\n", "abcde", "\r\nGET /"),
	CHUNKED("1\r\na\r\n2\r\nbc\r\n1\r\nd\r\n0\r\n", "abcd", "\r\n"),
	CHUNKED("000000000000001\r\na\r\n0\r\n", "a", "\r\n"),
	CHUNKED("000000000000000\r\n", "", "\r\n"),
	CHUNKED("a\r\n0123456789\r\n0\r\n", "0123456789", "\r\n"),
	CHUNKED("A\r\n0123456789\r\n0\r\n", "0123456789", "\r\n"),
	CHUNKED("1B\r\nabcdefghijklmnopqrstuvwxyz.\r\n0\r\n",
		"abcdefghijklmnopqrstuvwxyz.", "\r\n"),
	CHUNKED("4\r\n\r\n\r\n\r\n0\r\n", "\r\n\r\n", "\r\n"),
	CHUNKED("5\r\n0\r\n\r\n\r\n0\r\n", "0\r\n\r\n", "\r\n"),
	CHUNKED("1;\r\na\r\n0\r\n", "a", "\r\n"),
	CHUNKED("1;x\r\na\r\n0;y\r\n", "a", "\r\n"),
	CHUNKED("1;x=y;z=\"a;b\xff\t\"\r\na\r\n0\r\n", "a", "\r\n"),
	CHUNKED("1; x = y\r\na\r\n0\r\n", "a", "\r\n"),
	{ HTTP_BODY_CHUNKED, 0, "", 0, "", 0, H1_MORE },
	{ HTTP_BODY_CHUNKED, 0, "5", 1, "", 1, H1_MORE },
	{ HTTP_BODY_CHUNKED, 0, "5\r", 2, "", 2, H1_MORE },
	{ HTTP_BODY_CHUNKED, 0, "5\r\n", 3, "", 3, H1_MORE },
	{ HTTP_BODY_CHUNKED, 0, "5\r\nabcd", 7, "abcd", 7, H1_MORE },
	{ HTTP_BODY_CHUNKED, 0, "5\r\nabcde", 8, "abcde", 8, H1_MORE },
	{ HTTP_BODY_CHUNKED, 0, "5\r\nabcde\r", 9, "abcde", 9, H1_MORE },
	{ HTTP_BODY_CHUNKED, 0, "5\r\nabcde\r\n", 10, "abcde", 10, H1_MORE },
	{ HTTP_BODY_CHUNKED, 0, "5\r\nabcde\r\n0", 11, "abcde", 11, H1_MORE },
	{ HTTP_BODY_CHUNKED, 0, "5\r\nabcde\r\n0\r", 12, "abcde", 12, H1_MORE },
	/* as many digits as are taken, and more bytes than there ever are */
	{ HTTP_BODY_CHUNKED, 0, "fffffffffffffff\r\nabc", 20, "abc", 20, H1_MORE },
};

static void check_body(const struct body *c, size_t split, size_t bite)
{
	struct heard h;

	CHECK_INT(c->eaten, hear(c->kind, c->length, c->bytes, c->n, split, bite, &h));
	CHECK_INT(c->last, h.last);
	CHECK_INT(strlen(c->data), h.data_n);
	CHECK(memcmp(c->data, h.data, h.data_n) == 0);
	if (t_failed)
		printf("# case: %zu, split at %zu, %zu a bite\n", (size_t)(c - bodies),
		       split, bite);
}

static void a_body_is_the_same_in_every_two_pieces(void)
{
	for (size_t i = 0; i < COUNT(bodies); i++) {
		for (size_t split = 0; split <= bodies[i].n && !t_failed; split++)
			check_body(&bodies[i], split, SIZE_MAX);
	}
}

static void a_body_is_the_same_by_bites_of_any_size(void)
{
	for (size_t i = 0; i < COUNT(bodies); i++) {
		for (size_t bite = 1; bite < 12 && !t_failed; bite++)
			check_body(&bodies[i], bodies[i].n / 2, bite);
	}
}

static void a_body_is_the_same_byte_by_byte(void)
{
	for (size_t i = 0; i < COUNT(bodies) && !t_failed; i++) {
		const struct body *c = &bodies[i];
		struct http_head head = { .body = (uint8_t)c->kind, .length = c->length };
		struct heard h = { .last = H1_MORE };
		struct h1_body b;
		size_t eaten = 0;

		h1_body_begin(&b, &head);
		for (size_t k = 0; k < c->n; k++) {
			if (!feed(&b, c->bytes + k, 1, 1, &h, &eaten))
				break;
		}
		CHECK_INT(c->eaten, eaten);
		CHECK_INT(strlen(c->data), h.data_n);
		CHECK(memcmp(c->data, h.data, h.data_n) == 0);
	}
}

static void an_end_stays_the_end(void)
{
	static const struct http_head none = { .body = HTTP_BODY_NONE },
				      chunked = { .body = HTTP_BODY_CHUNKED };
	enum http_fault fault;
	struct h1_body b;
	size_t used, data;

	h1_body_begin(&b, &none);
	CHECK_INT(H1_OVER, h1_body_next(&b, (uint8_t *)"a", 1, &used, &data, &fault));
	CHECK_INT(H1_OVER, h1_body_next(&b, (uint8_t *)"a", 1, &used, &data, &fault));
	CHECK_INT(0, used + data);
	h1_body_begin(&b, &chunked);
	CHECK_INT(H1_TRAILERS,
		  h1_body_next(&b, (uint8_t *)"0\r\n5\r\n", 6, &used, &data, &fault));
	CHECK_INT(3, used);
	CHECK_INT(H1_TRAILERS,
		  h1_body_next(&b, (uint8_t *)"5\r\n", 3, &used, &data, &fault));
	CHECK_INT(0, used + data);
}

static void only_a_body_until_close_may_end_with_the_connection(void)
{
	for (unsigned kind = HTTP_BODY_NONE; kind <= HTTP_BODY_CLOSE; kind++) {
		struct http_head head = { .body = (uint8_t)kind, .length = 1 };
		struct h1_body b;

		h1_body_begin(&b, &head);
		CHECK_INT(kind == HTTP_BODY_NONE || kind == HTTP_BODY_CLOSE,
			  h1_body_may_end(&b));
	}
}

/* --- what is no chunk --- */

struct hostile {
	const char *bytes;
	size_t n;
	enum http_fault fault;
};

#define BAD(why, bytes)                                          \
	{                                                        \
		bytes, sizeof(bytes) - 1, HTTP_FAULT_CHUNK_##why \
	}

static const struct hostile hostile[] = {
	BAD(SIZE, "\r\n"),
	BAD(SIZE, "\n"),
	BAD(SIZE, ";x\r\n"),
	BAD(SIZE, " 5\r\nabcde\r\n"),
	BAD(SIZE, "\t5\r\nabcde\r\n"),
	BAD(SIZE, "5 \r\nabcde\r\n"),
	BAD(SIZE, "5\t\r\nabcde\r\n"),
	BAD(SIZE, "5 ;x\r\nabcde\r\n"),
	BAD(SIZE, "5\nabcde\r\n"),
	BAD(SIZE, "5\rabcde\r\n"),
	BAD(SIZE, "5\r\rabcde"),
	BAD(SIZE, "5\n\nabcde"),
	BAD(SIZE, "-5\r\nabcde\r\n"),
	BAD(SIZE, "-1\r\n"),
	BAD(SIZE, "+5\r\nabcde\r\n"),
	BAD(SIZE, "0x5\r\nabcde\r\n"),
	BAD(SIZE, "0X5\r\nabcde\r\n"),
	BAD(SIZE, "x5\r\n"),
	BAD(SIZE, "g\r\n"),
	BAD(SIZE, "G\r\n"),
	BAD(SIZE, "5g\r\n"),
	BAD(SIZE, "@\r\n"),
	BAD(SIZE, "`\r\n"),
	BAD(SIZE, "/\r\n"),
	BAD(SIZE, ":\r\n"),
	BAD(SIZE, "\x10\r\n"), /* "0" without one of its bits */
	BAD(SIZE, "\0\r\n"),
	BAD(SIZE, "5\0\r\nabcde\r\n"),
	BAD(SIZE, "\xb5\r\n"),
	BAD(SIZE, "5,5\r\nabcde\r\n"),
	BAD(SIZE, "5.0\r\nabcde\r\n"),
	BAD(SIZE, "5_0\r\n"),
	BAD(SIZE, "1e1x\r\n"),
	BAD(SIZE, "\"5\"\r\n"),
	BAD(SIZE, "0000000000000005\r\nabcde\r\n"), /* 16 digits */
	BAD(SIZE, "ffffffffffffffff\r\n"),
	BAD(SIZE, "10000000000000005\r\nabcde\r\n"), /* 5, of who has 64 bits */
	BAD(SIZE, "100000005\n"),		     /* 5, of who has 32 */
	BAD(SIZE, "0\n"),
	BAD(SIZE, "0\n\r\n"),
	BAD(SIZE, "0\r\r\n"),
	BAD(SIZE, "0 \r\n"),
	BAD(SIZE, "1\r\na\r\n\r\n"),
	BAD(SIZE, "1\r\na\r\n 0\r\n"),
	BAD(SIZE, "1\r\na\r\n-1\r\n"),
	BAD(SIZE, "5;x\r5"),
	BAD(EXTENSION, "5;\n"),
	BAD(EXTENSION, "5;x\nabcde\r\n"),
	BAD(EXTENSION, "5;x\n\r\nabcde\r\n"),
	BAD(EXTENSION, "5;x=\"\n\"\r\nabcde\r\n"),
	BAD(EXTENSION, "5;\0\r\n"),
	BAD(EXTENSION, "5;x\0y\r\nabcde\r\n"),
	BAD(EXTENSION, "5;\x01\r\n"),
	BAD(EXTENSION, "5;\x7f\r\n"),
	BAD(EXTENSION, "0;\n\r\n"),
	BAD(END, "1\r\nab\r\n"), /* longer than said */
	BAD(END, "1\r\na\n"),
	BAD(END, "1\r\na0\r\n"),
	BAD(END, "1\r\na\r0\r\n"),
	BAD(END, "1\r\na\r\r\n"),
	BAD(END, "1\r\na\n\r\n"),
	BAD(END, "1\r\na \r\n"),
	BAD(END, "1\r\na\0\r\n"),
};

static void what_is_no_chunk_is_a_fault_in_every_two_pieces(void)
{
	for (size_t i = 0; i < COUNT(hostile); i++) {
		const struct hostile *c = &hostile[i];

		for (size_t split = 0; split <= c->n && !t_failed; split++) {
			struct heard h;

			CHECK(hear(HTTP_BODY_CHUNKED, 0, c->bytes, c->n, split, SIZE_MAX,
				   &h) <= c->n);
			CHECK_INT(H1_BAD, h.last);
			CHECK_INT(c->fault, h.fault);
			CHECK(h.data_n <= 1);
			if (t_failed)
				printf("# case: %zu, split at %zu\n", i, split);
		}
	}
}

/* A size, `n` bytes of extension, and what ends it. */
static size_t extended(char *buf, size_t n)
{
	memcpy(buf, "1;", 2);
	memset(buf + 2, 'x', n);
	memcpy(buf + 2 + n, "\r\na\r\n", 5);
	return n + 7;
}

static void an_extension_has_256_bytes_at_most(void)
{
	char buf[512];
	struct heard h;
	size_t n = extended(buf, 256);

	hear(HTTP_BODY_CHUNKED, 0, buf, n, 0, SIZE_MAX, &h);
	CHECK_INT(H1_MORE, h.last);
	CHECK_INT(1, h.data_n);
	n = extended(buf, 257);
	hear(HTTP_BODY_CHUNKED, 0, buf, n, 0, SIZE_MAX, &h);
	CHECK_INT(H1_BAD, h.last);
	CHECK_INT(HTTP_FAULT_CHUNK_EXTENSION, h.fault);
}

static void extensions_of_a_body_have_16384_bytes_at_most(void)
{
	static char buf[32768];
	struct heard h;
	size_t n = 0;

	for (int i = 0; i < 64; i++)
		n += extended(buf + n, 256);
	hear(HTTP_BODY_CHUNKED, 0, buf, n, n / 3, SIZE_MAX, &h);
	CHECK_INT(H1_MORE, h.last);
	CHECK_INT(64, h.data_n);
	n += extended(buf + n, 1);
	hear(HTTP_BODY_CHUNKED, 0, buf, n, n / 3, SIZE_MAX, &h);
	CHECK_INT(H1_BAD, h.last);
	CHECK_INT(HTTP_FAULT_CHUNK_EXTENSION, h.fault);
	CHECK_INT(64, h.data_n);
}

/* --- chunks that are written --- */

static void the_size_of_a_chunk_is_hexadecimal(void)
{
	static const struct {
		size_t n;
		const char *want;
	} cases[] = {
		{ 1, "1\r\n" },
		{ 9, "9\r\n" },
		{ 10, "a\r\n" },
		{ 16, "10\r\n" },
		{ 0xabcdef, "abcdef\r\n" },
		{ 65536, "10000\r\n" },
		{ SIZE_MAX, "ffffffffffffffff\r\n" },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		char buf[H1_CHUNK_MAX];

		CHECK_INT(strlen(cases[i].want), h1_chunk(buf, cases[i].n));
		CHECK(memcmp(cases[i].want, buf, strlen(cases[i].want)) == 0);
	}
}

static void chunks_that_are_written_are_read(void)
{
	static char bytes[4096], want[4096];
	struct heard h;
	size_t n = 0, data = 0;

	for (size_t size = 1; size < 70; size++) {
		n += h1_chunk(bytes + n, size);
		memset(bytes + n, (int)('0' + size), size);
		memset(want + data, (int)('0' + size), size);
		n += size;
		data += size;
		memcpy(bytes + n, "\r\n", 2);
		n += 2;
	}
	memcpy(bytes + n, "0\r\n\r\n", 5);
	CHECK_INT(n + 3, hear(HTTP_BODY_CHUNKED, 0, bytes, n + 5, n / 2, 7, &h));
	CHECK_INT(H1_TRAILERS, h.last);
	CHECK_INT(data, h.data_n);
	CHECK(memcmp(want, h.data, data) == 0);
}

int main(void)
{
	RUN(a_body_is_the_same_in_every_two_pieces);
	RUN(a_body_is_the_same_by_bites_of_any_size);
	RUN(a_body_is_the_same_byte_by_byte);
	RUN(an_end_stays_the_end);
	RUN(only_a_body_until_close_may_end_with_the_connection);
	RUN(what_is_no_chunk_is_a_fault_in_every_two_pieces);
	RUN(an_extension_has_256_bytes_at_most);
	RUN(extensions_of_a_body_have_16384_bytes_at_most);
	RUN(the_size_of_a_chunk_is_hexadecimal);
	RUN(chunks_that_are_written_are_read);
	DONE();
}
