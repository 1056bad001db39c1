/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "session/pack.h"
#include "tests/unit/t.h"

static const struct image example = {
	.listener = 1,
	.route = 2,
	.backend = 3,
	.sniff = 1,
	.first = 2,
	.retries = 4,
	.trusted = 1,
	.sniff_since_ms = 5,
	.began_ms = 6,
	.active_ms = 7,
	.half_ms = 8,
	.peer = { .ip = { 9 }, .port = 10 },
	.client = { .ip = { 11 }, .port = 12 },
	.up_addr = { .ip = { 13 }, .port = 14 },
	.down = { 15, 16, 17, 18, 1, 0, 1 },
	.up = { 19, 20, 21, 22, 0, 1, 0 },
	.request = { 23, 1, 1, 0, { (const uint8_t *)"request", 7 } },
	.response = { 0, 0, 0, 1, { (const uint8_t *)"resp", 4 } },
	.opening = { (const uint8_t *)"hello", 5 },
	.heard = { (const uint8_t *)"heard", 5 },
};

static void check_bytes(struct image_bytes want, struct image_bytes got)
{
	CHECK_INT(want.n, got.n);
	CHECK(want.n == got.n && memcmp(want.data, got.data, want.n) == 0);
}

static void check_leg(const struct image_leg *a, const struct image_leg *b)
{
	CHECK(a->rx == b->rx && a->tx == b->tx && a->rx_header == b->rx_header &&
	      a->tx_header == b->tx_header && a->ended == b->ended &&
	      a->urgent == b->urgent && a->shut_out == b->shut_out);
}

static void check_dir(const struct image_dir *a, const struct image_dir *b)
{
	CHECK(a->pipe == b->pipe && a->has_pipe == b->has_pipe && a->bulk == b->bulk &&
	      a->eof == b->eof);
	check_bytes(a->buffer, b->buffer);
}

static void check_image(const struct image *a, const struct image *b)
{
	CHECK(a->listener == b->listener && a->route == b->route &&
	      a->backend == b->backend && a->sniff == b->sniff && a->first == b->first &&
	      a->retries == b->retries && a->trusted == b->trusted &&
	      a->sniff_since_ms == b->sniff_since_ms && a->began_ms == b->began_ms &&
	      a->active_ms == b->active_ms && a->half_ms == b->half_ms);
	CHECK(memcmp(&a->peer, &b->peer, sizeof(a->peer)) == 0 &&
	      memcmp(&a->client, &b->client, sizeof(a->peer)) == 0 &&
	      memcmp(&a->up_addr, &b->up_addr, sizeof(a->peer)) == 0);
	check_leg(&a->down, &b->down);
	check_leg(&a->up, &b->up);
	check_dir(&a->request, &b->request);
	check_dir(&a->response, &b->response);
	check_bytes(a->opening, b->opening);
	check_bytes(a->heard, b->heard);
}

static void both_versions_are_read_as_they_were_written(void)
{
	for (uint32_t version = 2; version <= 3; version++) {
		struct image got;
		size_t len;
		uint8_t *data = pack_write(&example, version, &len);

		CHECK_INT(0, pack_read(data, len, &got));
		check_image(&example, &got);
		free(data);
	}
}

static void what_is_cut_is_no_session(void)
{
	for (uint32_t version = 2; version <= 3; version++) {
		size_t len, least = 0;
		uint8_t *data = pack_write(&example, version, &len);

		for (size_t n = 0; n < len; n++) {
			struct image got;
			uint8_t *cut =
				malloc(n ? n : 1); /* so that a read behind it is seen */

			memcpy(cut, data, n);
			/* between two fields, when all that is needed was there */
			if (pack_read(cut, n, &got) == 0 && !least)
				least = n;
			free(cut);
		}
		CHECK(version == 2 ? least == 0 : least > 200);
		free(data);
	}
}

/* A field behind the others. */
static int with_field(uint16_t tag, uint16_t flags, const char *value, struct image *got,
		      uint8_t **keep)
{
	size_t len, n = strlen(value);
	uint8_t *data = pack_write(&example, 3, &len);
	const struct {
		uint16_t tag, flags;
		uint32_t len;
	} f = { tag, flags, (uint32_t)n };

	data = realloc(data, len + sizeof(f) + n);
	memcpy(data + len, &f, sizeof(f));
	memcpy(data + len + sizeof(f), value, n);
	*keep = data;
	return pack_read(data, len + sizeof(f) + n, got);
}

static void what_is_new_is_left_if_it_is_optional(void)
{
	struct image got;
	uint8_t *data;

	CHECK_INT(0, with_field(4000, 1, "of a later version", &got, &data));
	check_image(&example, &got);
	free(data);
	CHECK_INT(-EPROTO, with_field(4000, 0, "that must be known", &got, &data));
	free(data);
	CHECK_INT(-EPROTO, with_field(2, 0, "the state again", &got, &data));
	free(data);
}

/* The second field is the state: say its value is n bytes longer, or shorter. */
static uint8_t *resized(int by, size_t *len)
{
	uint8_t *data = pack_write(&example, 3, len), *ret;
	size_t at = 4 + 8 + 6, head = at + 8; /* magic, names; its header */
	uint32_t size;

	memcpy(&size, data + at + 4, sizeof(size));
	ret = calloc(1, *len + 64);
	memcpy(ret, data, head + size - (by < 0 ? (size_t)-by : 0));
	memcpy(ret + head + (size_t)((int)size + by), data + head + size,
	       *len - head - size);
	size = (uint32_t)((int)size + by);
	memcpy(ret + at + 4, &size, sizeof(size));
	*len = (size_t)((long)*len + by);
	free(data);
	return ret;
}

static void a_value_may_be_longer_or_shorter_than_ours(void)
{
	struct image got;
	size_t len;
	uint8_t *data = resized(16, &len);

	CHECK_INT(0, pack_read(data, len, &got));
	check_image(&example, &got);
	free(data);
	data = resized(-8, &len);
	CHECK_INT(0, pack_read(data, len, &got));
	CHECK_INT(0, got.half_ms); /* it was the last */
	CHECK_INT(7, got.active_ms);
	check_leg(&example.down, &got.down);
	free(data);
}

int main(void)
{
	RUN(both_versions_are_read_as_they_were_written);
	RUN(what_is_cut_is_no_session);
	RUN(what_is_new_is_left_if_it_is_optional);
	RUN(a_value_may_be_longer_or_shorter_than_ours);
	DONE();
}
