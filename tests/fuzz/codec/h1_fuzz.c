/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is read is within the head, and is the same when it is written and read again:
 * nothing is sent that would not be taken.  A head ends at the same byte however it
 * comes.
 */
#include <stdlib.h>
#include <string.h>

#include "codec/h1.h"
#include "tests/unit/codec/heads.h"

#define ROOM 65536 /* more than a fuzzer's input, written again, can be */

/* Host and a length may be written that were not read: places for them. */
#define FIELDS_MAX (HTTP_FIELDS_MAX - 2)

enum { REQUEST, RESPONSE, TRAILERS, KINDS };

static uint8_t room[ROOM];

static void require(bool holds)
{
	if (!holds)
		abort();
}

static void within(const uint8_t *p, size_t n, struct text t)
{
	const uint8_t *at = (const uint8_t *)t.p;

	require(!t.n || (at >= p && at + t.n <= p + n));
}

static void check_texts(const uint8_t *p, size_t n, const struct http_head *h)
{
	within(p, n, h->method_name);
	within(p, n, h->authority);
	within(p, n, h->protocol);
	within(p, n, h->reason);
	for (unsigned i = 0; i < h->n; i++) {
		within(p, n, text_of(h->fields[i].name, h->fields[i].name_n));
		within(p, n, http_value(&h->fields[i]));
		require(http_is_token(text_of(h->fields[i].name, h->fields[i].name_n)));
		require(http_is_value(http_value(&h->fields[i])));
	}
}

/* By bytes, and at once. */
static size_t end_of(const uint8_t *p, size_t n)
{
	size_t from = 0, end, by_bytes = 0;

	end = h1_end(p, n, &from);
	require(end <= n && from <= n);
	from = 0;
	for (size_t k = 0; k <= n && !by_bytes; k++)
		by_bytes = h1_end(p, k, &from);
	require(by_bytes == end);
	return end;
}

static enum http_fault read_head(unsigned kind, uint8_t *p, size_t n, unsigned max,
				 enum http_method asked, struct http_head *h)
{
	enum http_fault fault;

	if (kind == TRAILERS)
		return h1_read_trailers(p, n, max, h);
	fault = h1_read(kind == REQUEST ? H1_REQUEST : H1_RESPONSE, p, n, max, h);
	if (!fault && kind == RESPONSE)
		h1_body_of(h, asked);
	return fault;
}

static size_t write_head(unsigned kind, size_t cap, const struct http_head *h)
{
	return kind == TRAILERS ? h1_write_trailers(room, cap, h)
				: h1_write(room, cap, h, TEXT(""));
}

/* Only whole line ends, and one that is empty, at the end. */
static void check_lines(const uint8_t *p, size_t n)
{
	size_t line = 0;

	for (size_t i = 0; i < n; i++) {
		require(p[i] != 0);
		require(p[i] != '\n' || (i > 0 && p[i - 1] == '\r'));
		require(p[i] != '\r' || (i + 1 < n && p[i + 1] == '\n'));
		if (p[i] == '\n') {
			require(i - line > 1 || i + 1 == n);
			line = i + 1;
		}
	}
	require(line == n);
}

static void check_head(unsigned kind, uint8_t *p, size_t n, enum http_method asked)
{
	static struct http_head a, b;
	size_t len;

	if (read_head(kind, p, n, FIELDS_MAX, asked, &a))
		return;
	check_texts(p, n, &a);
	if (kind == REQUEST && !a.authority.n) /* as who sends it on does */
		a.authority = TEXT("given.example.org");
	len = write_head(kind, sizeof(room), &a);
	require(len > 0);
	require(write_head(kind, len - 1, &a) == 0);
	require(write_head(kind, len, &a) == len);
	check_lines(room, len);
	require(end_of(room, len) == len);
	require(read_head(kind, room, len, HTTP_FIELDS_MAX, asked, &b) == HTTP_FINE);
	require(kind == TRAILERS ? !heads_fields_differ(&a, &b) : !heads_differ(&a, &b));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	size_t end;
	uint8_t *copy;

	if (!len || len > ROOM / 4)
		return 0;
	end = end_of(data + 1, len - 1);
	if (!end) /* what h1_read() makes of no whole head is a fault */
		end = len - 1;
	copy = malloc(end ? end : 1);
	memcpy(copy, data + 1, end);
	check_head(data[0] % KINDS, copy, end, data[0] / KINDS % HTTP_METHOD_IDS);
	free(copy);
	return 0;
}
