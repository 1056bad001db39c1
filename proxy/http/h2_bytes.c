/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every byte of every frame, as what it is.  nghttp2's callbacks lose some (headers of
 * CONTINUATIONs, frames it refuses), so what comes and what goes is scanned here, too.
 */
#include <string.h>

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

/* Where frames end, whatever nghttp2 made of them: how much of the last is missing. */
void h2_scan(struct h2 *h, const uint8_t *p, size_t n)
{
	size_t k = 0;

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
			if (!h->rx_left)
				end_frame(h);
			continue;
		}
		k = 9u - h->rx_header_n < n ? 9u - h->rx_header_n : n;
		memcpy(h->rx_header + h->rx_header_n, p, k);
		h->rx_header_n = (uint8_t)(h->rx_header_n + k);
		if (h->rx_header_n < 9)
			continue;
		h->rx_header_n = 0;
		h->silent++;
		h->rx_left = (uint32_t)h->rx_header[0] << 16 |
			     (uint32_t)h->rx_header[1] << 8 | h->rx_header[2];
		begin_frame(h);
	}
}

/* Whose the frame is that is being read. */
static int32_t stream_being_read(const struct h2 *h)
{
	const uint8_t *p = h->rx_header;

	return (int32_t)((uint32_t)(p[5] & 0x7f) << 24 | (uint32_t)p[6] << 16 |
			 (uint32_t)p[7] << 8 | p[8]);
}

/* What of it has not come is not the stream's.  False: it never was. */
static bool take_rest(struct h2_stream *s)
{
	struct h2 *h = s->h2;
	struct http_bytes *b = &s->end.bytes[TG_RX];
	bool is_data = h->rx_header[3] == NGHTTP2_DATA;
	uint64_t *of = is_data ? &b->framing : &b->head;

	if (*of < h->rx_left)
		return false;
	*of -= h->rx_left;
	return true;
}

void h2_leave_frame(struct h2_stream *s, bool also_data)
{
	struct h2 *h = s->h2;

	if (!h->rx_left || stream_being_read(h) != s->id ||
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
	while (s && s->id != stream_being_read(h))
		s = s->next;
	if (s && take_rest(s))
		return;
	if (h->own[TG_RX] >= h->rx_left) /* behind an error nothing was counted */
		h->own[TG_RX] -= h->rx_left;
}

/* --- what goes --- */

/* A frame of nghttp2's begins: all of it is a head, or the connection's own. */
static void begin_sent(struct h2 *h)
{
	const uint8_t *p = h->tx_header;
	uint32_t len = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
	int32_t id = (int32_t)((uint32_t)(p[5] & 0x7f) << 24 | (uint32_t)p[6] << 16 |
			       (uint32_t)p[7] << 8 | p[8]);
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
