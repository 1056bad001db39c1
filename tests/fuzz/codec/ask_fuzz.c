/* SPDX-License-Identifier: Apache-2.0 */
/* A backend that is checked may answer anything: in pieces of any size the same is found.
 */
#include <stdlib.h>
#include <string.h>

#include "codec/ask.h"

static void require(bool holds)
{
	if (!holds)
		abort();
}

static struct ask *asked(uint8_t how)
{
	const struct ask_request r = { .is_h2 = how & 1,
				       .is_grpc = (how & 3) == 3,
				       .wants_body = how & 4,
				       .host = TEXT("a"),
				       .path = TEXT("/"),
				       .message = TEXT("\x0a\x01x") };
	struct ask *a;

	if (ask_new(&r, &a) < 0)
		abort();
	return a;
}

static void send_all(struct ask *a)
{
	struct text t;

	while ((t = ask_to_send(a)).n)
		ask_sent(a, t.n);
}

static enum ask_step hear(struct ask *a, const uint8_t *p, size_t n, size_t piece)
{
	enum ask_step s = ASK_MORE;

	send_all(a);
	for (size_t at = 0; at < n && s == ASK_MORE; at += piece) {
		s = ask_came(a, p + at, n - at < piece ? n - at : piece);
		send_all(a);
	}
	return s == ASK_MORE ? ask_came(a, NULL, 0) : s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct ask *whole, *pieces;
	struct ask_answer a, b;
	enum ask_step one, two;

	if (n < 3)
		return 0;
	whole = asked(data[0]);
	pieces = asked(data[0]);
	one = hear(whole, data + 2, n - 2, n - 2);
	two = hear(pieces, data + 2, n - 2, 1u + data[1] % 32);
	a = ask_answer(whole);
	b = ask_answer(pieces);
	require(a.body.n <= ASK_BODY_MAX && b.body.n <= ASK_BODY_MAX);
	if (one == ASK_DONE &&
	    !(data[0] & 1)) { /* of HTTP/2 what follows may be an error */
		require(two == ASK_DONE && a.status == b.status);
		require(a.status >= 200);
		require(!(data[0] & 4) || text_is(a.body, b.body));
	}
	ask_free(whole);
	ask_free(pieces);
	return 0;
}
