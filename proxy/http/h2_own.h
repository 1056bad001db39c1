/* SPDX-License-Identifier: Apache-2.0 */
/* Of the files of h2.c, and nobody else's. */
#ifndef PROXY_HTTP_H2_OWN_H
#define PROXY_HTTP_H2_OWN_H

#include <nghttp2/nghttp2.h>

#include "base/util.h"
#include "codec/websocket.h"
#include "http/h2.h"
#include "net/pool.h"
#include "net/worker.h"

#define H2_STREAMS 128	       /* of a client at once */
#define H2_WINDOW  (64 * 1024) /* of a stream of a client */
#define H2_BACK_WINDOW                                                  \
	(64 * 1024) /* of one to a backend: others share the connection \
		     */
#define H2_CLIENT_WINDOW  (1024 * 1024)
#define H2_BACKEND_WINDOW (8 * 1024 * 1024)
#define H2_FRAME_MAX	  16384 /* SETTINGS_MAX_FRAME_SIZE, of which we say nothing */
#define COST_RESET_MS	  30	/* 33 a second, 333 at once */
#define H2_TEXT		  640	/* of most heads */
#define H2_ITEMS	  24

/* A field as it came, in the stream's text. */
struct h2_item {
	uint32_t name, value, value_n;
	uint16_t name_n;
	bool secret;
};

/* WebSocket to a backend (RFC 8441), which the others know as HTTP/1.1 has it. */
struct h2_upgrade {
	char accept[WEBSOCKET_ACCEPT_LEN + 1]; /* to the key that does not go */
	struct http_head *waits; /* until it is known whether the backend takes it */
};

struct h2_stream {
	struct http_end end;
	struct h2 *h2;
	struct h2_stream *next, **prev;
	struct h2_stream *next_roomy, *next_hungry;
	int32_t id;
	/* the head that comes, or came: kept until the exchange is over */
	char *text;	    /* own_text, or malloc */
	char *kept_text;    /* of the head, while trailers come; or NULL */
	int64_t moved_ms;   /* a byte of the body went, or began to wait; or lingers */
	int64_t lingers_ms; /* it began to */
	uint32_t wasted;    /* bytes, since then */
	struct h2_item *items;
	uint32_t text_n, text_cap, items_n, items_cap;
	uint32_t list_bytes; /* RFC 9113 6.5.2: 32 a field, and the texts */
	/* of what came, what was not taken */
	uint8_t *in;
	uint32_t in_at, in_n, in_cap;
	struct pool_buffer *out;    /* of what goes, what no frame has */
	struct http_head *trailers; /* to go when the body has; malloc */
	struct h2_upgrade *upgrade; /* malloc, or NULL */
	uint8_t asked;		    /* enum http_method */
	bool too_large : 1;
	bool head_in : 1; /* a whole head that is no 1xx */
	bool in_done : 1; /* END_STREAM came */
	bool has_trailers : 1;
	bool last_told : 1;
	bool out_head : 1;
	bool out_last : 1; /* nothing more is put */
	bool out_done : 1; /* END_STREAM was sent */
	bool blocked : 1;  /* its user waits for room() */
	bool busy : 1;	   /* its user is called */
	bool is_roomy : 1;
	bool is_hungry : 1; /* its user takes bytes again */
	bool deferred : 1;  /* nghttp2 waits for bytes */
	bool lingers : 1;   /* all was sent, and not all has come: nobody wants it */
	bool closed : 1;    /* nghttp2 knows it no more */
	bool reset_asked : 1;
	bool raised : 1;
	struct h2_item own_items[H2_ITEMS];
	char own_text[H2_TEXT];
};

static inline struct h2_stream *h2_stream_of(struct http_end *e)
{
	return container_of(e, struct h2_stream, end);
}

/* --- h2.c --- */

struct h2_stream *h2_stream_new(struct h2 *h);

/* nghttp2 and the exchange are both done with it: it goes. */
void h2_stream_maybe_free(struct h2_stream *s);

/* At the end of this turn: send, and go on. */
void h2_again(struct h2 *h);
void h2_over(struct h2 *h, enum tg_end why, bool reset);

/* Something that costs us more than it costs the peer: false if that is too much. */
bool h2_may(struct h2 *h, int64_t cost_ms);

/* --- h2_bytes.c --- */

/* What it carried so far, to the row it is of. */
void h2_tell_bytes(struct h2_stream *s);

/*
 * n bytes have come: where frames end, whatever nghttp2 makes of them.  How many of the
 * last bytes are of a frame that began with them and is not whole: nghttp2 is to have
 * them after the others, so that it is known of which frame it speaks (rx_begun).
 */
size_t h2_scan(struct h2 *h, const uint8_t *p, size_t n);

/* n bytes go: nghttp2's frames but those of bodies. */
void h2_count(struct h2 *h, const uint8_t *p, size_t n);

/*
 * The stream's bytes are told, or it ends, while a frame of it is being read, which was
 * counted as a whole: the rest is the connection's own.  DATA only of one that ends.
 */
void h2_leave_frame(struct h2_stream *s, bool also_data);

/* The last frame was counted as a whole when it began, and came in part. */
void h2_settle_last(struct h2 *h);

/* --- h2_head.c --- */

/* Room for n more bytes of a stream's text; false without memory.  Where they begin. */
bool h2_text_grow(struct h2_stream *s, size_t n);
uint32_t h2_text_keep(struct h2_stream *s, const uint8_t *p, size_t n);

/* The fields that have come, as a head, whose texts are the stream's. */
enum http_fault h2_make_head(struct h2_stream *s, struct http_head *head);
enum http_fault h2_check_request(const struct http_head *h);

/* A request's; an answer's, true if that was all of it. */
void h2_set_body(struct http_head *head, bool last);
bool h2_set_answer(const struct h2_stream *s, struct http_head *head, bool last);

/* Extended CONNECT, as a client of HTTP/1.1 would have asked (RFC 8441 5). */
enum http_fault h2_extend(struct http_head *head, bool last);

/* --- h2_in.c --- */

int h2_callbacks_in(nghttp2_session_callbacks *c);

/* Offer what is left of the body, and say when that was all. */
void h2_offer(struct h2_stream *s);

/* Drop what nobody takes any more; the connection's window must not miss it. */
void h2_drop_in(struct h2_stream *s);

/* --- h2_out.c --- */

extern const struct http_end_ops h2_ops;
int h2_callbacks_out(nghttp2_session_callbacks *c);

/* The backend's SETTINGS are known: what waited for them goes, or does not. */
void h2_upgrades_go(struct h2 *h);

/* Give frames to the sender.  0, -EAGAIN or another negative errno. */
int h2_send(struct h2 *h);

#endif
