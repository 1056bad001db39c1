/* SPDX-License-Identifier: Apache-2.0 */
/* Answers by pieces of every size, cut off, too large, and by servers that speak neither.
 */
#include <errno.h>
#include <string.h>

#include "codec/ask.h"
#include "tests/unit/t.h"

static struct ask *asked(bool is_h2, bool wants_body)
{
	const struct ask_request r = { .is_h2 = is_h2,
				       .host = TEXT("a.example.org"),
				       .path = TEXT("/healthz"),
				       .wants_body = wants_body };
	struct ask *a = NULL;

	CHECK_INT(0, ask_new(&r, &a));
	return a;
}

/* All of it, piece bytes at a time, then the end. */
static enum ask_step feed(struct ask *a, struct text t, size_t piece)
{
	enum ask_step s = ASK_MORE;

	for (size_t at = 0; at < t.n && s == ASK_MORE; at += piece)
		s = ask_came(a, (const uint8_t *)t.p + at,
			     t.n - at < piece ? t.n - at : piece);
	return s == ASK_MORE ? ask_came(a, NULL, 0) : s;
}

static const struct {
	struct text text;
	enum ask_step want;
	unsigned status;
	const char *body;
} answers[] = {
	{ TEXT("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), ASK_DONE, 200, "ok" },
	{ TEXT("HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"),
	  ASK_DONE, 404, "" },
	{ TEXT("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde"
	       "\r\n0\r\nA: b\r\n\r\n"),
	  ASK_DONE, 200, "abcde" },
	{ TEXT("HTTP/1.0 200 OK\r\n\r\nuntil it closes"), ASK_DONE, 200,
	  "until it closes" },
	{ TEXT("HTTP/1.1 204 None\r\n\r\n"), ASK_DONE, 204, "" },
	{ TEXT("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"), ASK_BAD, 0, "" },
	{ TEXT("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab"), ASK_BAD,
	  0, "" },
	{ TEXT("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n"), ASK_BAD, 0,
	  "" },
	{ TEXT("HTTP/1.1 200 OK\r\nContent-"), ASK_BAD, 0, "" },
	{ TEXT("HTTP/1.1 101 Up\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"), ASK_BAD,
	  0, "" },
	{ TEXT("SSH-2.0-OpenSSH\r\n\r\n"), ASK_BAD, 0, "" },
	{ TEXT(""), ASK_BAD, 0, "" },
};

static void answers_of_1_1(void)
{
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		for (size_t piece = 1; piece < 100; piece += piece < 8 ? 1 : 40) {
			struct ask *a = asked(false, true);
			struct ask_answer got;

			CHECK_INT(answers[i].want, feed(a, answers[i].text, piece));
			got = ask_answer(a);
			if (answers[i].want == ASK_DONE) {
				CHECK_INT(answers[i].status, got.status);
				CHECK(text_is(got.body, text_of_string(answers[i].body)));
			}
			ask_free(a);
		}
	}
}

static void the_head_is_enough_where_nobody_wants_more(void)
{
	struct ask *a = asked(false, false);
	struct text head = TEXT("HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n");

	CHECK_INT(ASK_DONE, ask_came(a, (const uint8_t *)head.p, head.n));
	CHECK_INT(200, ask_answer(a).status);
	ask_free(a);
}

static void what_is_too_large_is_no_answer(void)
{
	static char buf[64 * 1024];
	struct ask *a = asked(false, true);
	struct text begin = TEXT("HTTP/1.1 200 OK\r\nContent-Length: 65536\r\n\r\n");

	memset(buf, 'a', sizeof(buf));
	CHECK_INT(ASK_BAD, feed(a, text_of(buf, sizeof(buf)), 1000)); /* of a head */
	ask_free(a);
	a = asked(false, true); /* of a body the beginning is enough */
	CHECK_INT(ASK_MORE, ask_came(a, (const uint8_t *)begin.p, begin.n));
	CHECK_INT(ASK_DONE, feed(a, text_of(buf, sizeof(buf)), 1000));
	CHECK_INT(ASK_BODY_MAX, ask_answer(a).body.n);
	ask_free(a);
}

/* SETTINGS; HEADERS of stream 1 with ":status: 200" (RFC 7541, index 8); DATA "ok". */
static const char h2_answer[] = "\0\0\0\4\0\0\0\0\0"
				"\0\0\1\1\4\0\0\0\1\x88"
				"\0\0\2\0\1\0\0\0\1ok";

/* Does it begin as HTTP/2 does? */
static bool sends_preface(struct ask *a)
{
	struct text t = ask_to_send(a);
	bool does = t.n > 3 && text_is(text_of(t.p, 3), TEXT("PRI"));

	for (; t.n; t = ask_to_send(a))
		ask_sent(a, t.n);
	return does;
}

static void answers_of_2(void)
{
	const struct text whole = text_of(h2_answer, sizeof(h2_answer) - 1);

	for (size_t piece = 1; piece <= whole.n; piece++) {
		struct ask *a = asked(true, true);

		CHECK(sends_preface(a));
		CHECK_INT(ASK_DONE, feed(a, whole, piece));
		CHECK_INT(200, ask_answer(a).status);
		CHECK(text_is(ask_answer(a).body, TEXT("ok")));
		ask_free(a);
	}
	for (size_t n = 0; n < whole.n; n++) { /* cut off anywhere */
		struct ask *a = asked(true, true);

		CHECK(sends_preface(a));
		CHECK_INT(ASK_BAD, feed(a, text_of(whole.p, n), 7));
		ask_free(a);
	}
}

static void who_speaks_1_1_where_2_is_asked_is_refused(void)
{
	struct ask *a = asked(true, false);

	CHECK(sends_preface(a));
	CHECK_INT(ASK_BAD, feed(a, answers[0].text, 1000));
	ask_free(a);
}

static void a_path_that_is_too_long_is_said(void)
{
	static char path[4000];
	struct ask_request r = { .host = TEXT("a"), .path = { path, sizeof(path) } };
	struct ask *a = NULL;

	memset(path, 'a', sizeof(path));
	CHECK_INT(-EMSGSIZE, ask_new(&r, &a));
	CHECK(!a);
}

int main(void)
{
	RUN(answers_of_1_1);
	RUN(the_head_is_enough_where_nobody_wants_more);
	RUN(what_is_too_large_is_no_answer);
	RUN(answers_of_2);
	RUN(who_speaks_1_1_where_2_is_asked_is_refused);
	RUN(a_path_that_is_too_long_is_said);
	DONE();
}
