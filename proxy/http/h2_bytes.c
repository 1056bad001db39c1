/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every byte of every frame, as what it is.  nghttp2's callbacks lose some (headers of
 * CONTINUATIONs, frames it refuses), so what comes and what goes is scanned here, too.
 */
#include <string.h>

#include "http/account.h"
#include "http/h2_own.h"

/* --- what comes --- */

/* A header block is being read from its first frame to the last of END_HEADERS. */
static void end_frame(struct h2 *h)
{
	uint8_t type = h->rx_header[3];

	if ((type == NGHTTP2_HEADERS || type == NGHTTP2_CONTINUATION) &&
	    (h->rx_header[4] & NGHTTP2_FLAG_END_HEADERS))
		h->block_ms = 0;
}

static void begin_frame(struct h2 *h)
{
	uint8_t type = h->rx_header[3];

	if ((type == NGHTTP2_HEADERS || type == NGHTTP2_CONTINUATION) && !h->block_ms)
		h->block_ms = ev_now_ms(h->conn->worker->loop);
	/* RFC 9113 4.2: nghttp2 looks at all others, but takes this one */
	if (type == NGHTTP2_CONTINUATION && h->rx_left > H2_FRAME_MAX)
		h->oversized = true;
	if (!h->rx_left)
		end_frame(h);
}

/* n bytes are a header's, or the first of them; true: it is whole. */
static bool scan_header(struct h2 *h, const uint8_t *p, size_t n)
{
	memcpy(h->rx_header + h->rx_header_n, p, n);
	h->rx_header_n = (uint8_t)(h->rx_header_n + n);
	if (h->rx_header_n < 9)
		return false;
	h->rx_header_n = 0;
	h->silent++;
	h->rx_begun = false;
	h->rx_left = (uint32_t)h->rx_header[0] << 16 | (uint32_t)h->rx_header[1] << 8 |
		     h->rx_header[2];
	begin_frame(h);
	return true;
}

size_t h2_scan(struct h2 *h, const uint8_t *p, size_t n)
{
	size_t k = 0, tail = 0;
	bool is_new = false; /* the frame that is being read */

	h->fed += n;
	if (!h->is_back && h->magic < H2_PREFACE_N) {
		k = (size_t)(H2_PREFACE_N - h->magic);
		k = k < n ? k : n;
		h->magic = (uint8_t)(h->magic + k);
		h->own[TG_RX] += k;
	}
	for (p += k, n -= k; n; p += k, n -= k) {
		if (h->rx_left) {
			k = n < h->rx_left ? n : h->rx_left;
			h->rx_left -= (uint32_t)k;
			tail += k;
			if (!h->rx_left)
				end_frame(h);
			continue;
		}
		k = 9u - h->rx_header_n < n ? 9u - h->rx_header_n : n;
		is_new = scan_header(h, p, k);
		tail = k;
	}
	return is_new && h->rx_left ? tail : 0;
}

/* Whose the frame is with this header. */
static int32_t stream_of(const uint8_t header[9])
{
	const uint8_t *p = header + 5;

	return (int32_t)((uint32_t)(p[0] & 0x7f) << 24 | (uint32_t)p[1] << 16 |
			 (uint32_t)p[2] << 8 | p[3]);
}

/*
 * What of the frame that is being read has not come is not the stream's.  False: it never
 * was: nghttp2 has not begun with it, or it is none of those that are a stream's.
 */
static bool take_rest(struct h2_stream *s)
{
	struct h2 *h = s->h2;
	struct http_bytes *b = &s->end.bytes[TG_RX];
	uint8_t type = h->rx_header[3];
	uint64_t *of = type == NGHTTP2_DATA ? &b->framing : &b->head;

	if (!h->rx_begun || *of < h->rx_left ||
	    (type != NGHTTP2_DATA && type != NGHTTP2_HEADERS &&
	     type != NGHTTP2_CONTINUATION))
		return false;
	*of -= h->rx_left;
	return true;
}

void h2_leave_frame(struct h2_stream *s, bool also_data)
{
	struct h2 *h = s->h2;

	if (!h->rx_left || stream_of(h->rx_header) != s->id ||
	    (h->rx_header[3] == NGHTTP2_DATA && !also_data))
		return;
	if (take_rest(s))
		h->own[TG_RX] += h->rx_left;
}

/* It was counted as a whole when it began, and came in part. */
void h2_settle_last(struct h2 *h)
{
	struct h2_stream *s = h->streams;

	if (!h->rx_left)
		return;
	while (s && s->id != stream_of(h->rx_header))
		s = s->next;
	if (!(s && take_rest(s)) &&
	    h->own[TG_RX] >= h->rx_left) /* behind an error nothing was counted */
		h->own[TG_RX] -= h->rx_left;
	h->rx_left = 0;
}

/* What it carried so far, to the row it is of. */
void h2_tell_bytes(struct h2_stream *s)
{
	struct http_book *book = s->end.book ? s->end.book : s->h2->book;
	/* of a frame that still comes it is not known what it will be */
	bool is_read = s->id && s->h2->data_of == s->id;
	uint64_t coming = is_read ? s->h2->data_left : 0;

	h2_leave_frame(s, false);
	s->end.bytes[TG_RX].framing -= coming;
	account_bytes(book, s->h2->is_back, &s->end);
	for (int dir = 0; dir < TG_DIR_MAX; dir++) {
		const struct http_bytes *b = &s->end.bytes[dir];

		s->h2->told[dir] += b->head + b->body + b->framing;
		s->end.bytes[dir] = (struct http_bytes){ 0 };
	}
	s->end.bytes[TG_RX].framing = coming;
	s->end.book = NULL; /* what comes still is the connection's */
}

/* --- what goes --- */

/* A frame of nghttp2's begins: all of it is a head, or the connection's own. */
static void begin_sent(struct h2 *h)
{
	const uint8_t *p = h->tx_header;
	uint32_t len = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
	int32_t id = stream_of(p);
	struct h2_stream *s =
		id ? nghttp2_session_get_stream_user_data(h->session, id) : NULL;

	h->tx_header_n = 0;
	h->tx_left = len;
	if (s && (p[3] == NGHTTP2_HEADERS || p[3] == NGHTTP2_CONTINUATION))
		s->end.bytes[TG_TX].head += len + 9;
	else if (s)
		s->end.bytes[TG_TX].framing += len + 9;
	else
		h->own[TG_TX] += len + 9;
}

/* Each byte of each frame, as what it is. */
void h2_count(struct h2 *h, const uint8_t *p, size_t n)
{
	while (n) {
		size_t k;

		if (!h->tx_left) {
			k = 9u - h->tx_header_n < n ? 9u - h->tx_header_n : n;
			memcpy(h->tx_header + h->tx_header_n, p, k);
			h->tx_header_n = (uint8_t)(h->tx_header_n + k);
			p += k;
			n -= k;
			if (h->tx_header_n < 9)
				return;
			begin_sent(h);
			continue;
		}
		k = n < h->tx_left ? n : h->tx_left;
		h->tx_left -= (uint32_t)k;
		p += k;
		n -= k;
	}
}
