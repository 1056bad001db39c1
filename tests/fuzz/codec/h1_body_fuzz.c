/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A body has the same data and the same end in pieces of any size as in one; framing and
 * data are all that was taken.  Its data, sent on in chunks, is read as the same again.
 */
#include <stdlib.h>
#include <string.h>

#include "codec/h1_body.h"

#define SIZES 8

struct heard {
	uint8_t *data;
	size_t data_n, taken;
	enum h1_step last;
	enum http_fault fault;
};

/* Sizes of pieces, in turn. */
struct pieces {
	const uint8_t *sizes; /* NULL: one piece */
	unsigned at;
};

static void require(bool holds)
{
	if (!holds)
		abort();
}

static size_t next_size(struct pieces *s, size_t left)
{
	size_t n = s->sizes ? 1u + s->sizes[s->at++ % SIZES] : left;

	return n < left ? n : left;
}

/* All steps that n bytes give; how many of them were taken. */
static size_t hear_piece(struct h1_body *b, const uint8_t *p, size_t n, struct pieces *s,
			 struct heard *h)
{
	size_t at = 0, used, data;

	for (;;) {
		h->last = h1_body_next(b, p + at, n - at, &used, &data, &h->fault);
		require(used <= n - at && data <= n - at - used);
		require((h->last == H1_DATA) == (data > 0));
		require(h->last != H1_OVER || !used);
		at += used;
		if (h->last != H1_DATA)
			break;
		data = next_size(s, data);
		memcpy(h->data + h->data_n, p + at, data);
		h->data_n += data;
		at += data;
		h1_body_took(b, data);
	}
	require(h->last != H1_MORE || at == n);
	return at;
}

static void hear(const struct http_head *head, const uint8_t *p, size_t n,
		 const uint8_t *sizes, struct heard *h)
{
	struct pieces s = { sizes, 0 };
	struct h1_body b;
	size_t at = 0;

	*h = (struct heard){ .data = malloc(n + 1), .last = H1_MORE };
	h1_body_begin(&b, head);
	do {
		size_t size = next_size(&s, n - at);
		uint8_t *piece = malloc(size + 1); /* a byte more is a finding */

		memcpy(piece, p + at, size);
		h->taken += hear_piece(&b, piece, size, &s, h);
		free(piece);
		at += size;
	} while (h->last == H1_MORE && at < n);
	require(h->taken <= at && h->data_n <= h->taken);
}

static void check_equal(const struct heard *a, const struct heard *b)
{
	require(a->last == b->last && a->taken == b->taken && a->data_n == b->data_n);
	require(a->last != H1_BAD || a->fault == b->fault);
	require(memcmp(a->data, b->data, a->data_n) == 0);
}

/* What was read, sent on: each piece a chunk. */
static void check_chunks(const struct heard *h, const uint8_t *sizes)
{
	static const struct http_head chunked = { .body = HTTP_BODY_CHUNKED };
	uint8_t *out = malloc(h->data_n * (H1_CHUNK_MAX + 3) + 3);
	struct pieces s = { sizes, 0 };
	struct heard again;
	size_t n = 0;

	for (size_t at = 0; at < h->data_n;) {
		size_t size = next_size(&s, h->data_n - at);

		n += h1_chunk((char *)out + n, size);
		memcpy(out + n, h->data + at, size);
		memcpy(out + n + size, "\r\n", 2);
		n += size + 2;
		at += size;
	}
	memcpy(out + n, "0\r\n", 3);
	hear(&chunked, out, n + 3, sizes, &again);
	require(again.last == H1_TRAILERS && again.taken == n + 3);
	require(again.data_n == h->data_n);
	require(memcmp(again.data, h->data, h->data_n) == 0);
	free(again.data);
	free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct http_head head;
	struct heard one, many;
	const uint8_t *sizes = data + 2;

	if (len < 2 + SIZES)
		return 0;
	/* most of them chunked: the others have little to go wrong */
	head.body = data[0] < 64 ? data[0] % 4 : HTTP_BODY_CHUNKED;
	head.length = data[1];
	data += 2 + SIZES;
	len -= 2 + SIZES;
	hear(&head, data, len, NULL, &one);
	hear(&head, data, len, sizes, &many);
	check_equal(&one, &many);
	check_chunks(&one, sizes);
	free(one.data);
	free(many.data);
	return 0;
}
