/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection that speaks HTTP/2 (RFC 9113), to a client or to a backend: each stream
 * the end of an exchange.  The conn is its owner's.  Framing, HPACK and windows are
 * nghttp2's, which only the files of h2 include; what is taken, what a byte is counted
 * as, and what is too much are ours.
 *
 * Back-pressure: what an exchange has not taken stays with its stream, whose window opens
 * by as much as was taken; what the peer's window does not take yet stays there, too, one
 * buffer at most.
 */
#ifndef PROXY_HTTP_H2_H
#define PROXY_HTTP_H2_H

#include "base/ev.h"
#include "http/end.h"
#include "http/sender.h"
#include "net/conn.h"

#define H2_PREFACE   "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define H2_PREFACE_N 24

struct h2;
struct h2_stream;
struct nghttp2_session;

struct h2_owner {
	/* A stream has ended: how many there are is in streams_n. */
	void (*ended)(struct h2 *h);
	/* It has read and written; NULL: its owner does not care. */
	void (*worked)(struct h2 *h);
	/* The connection is at its end, and all that is to be sent was. */
	void (*over)(struct h2 *h, enum tg_end why, bool reset);
};

struct h2 {
	const struct h2_owner *owner;
	const struct http_user *user; /* of the requests of a client */
	struct http_book *book;	      /* of what is no exchange's */
	struct conn *conn;
	struct sender out;
	struct ev_task task;
	struct nghttp2_session *session;
	struct h2_stream *streams;
	struct h2_stream *roomy;  /* that were blocked, and take bytes again */
	struct h2_stream *hungry; /* whose users do */
	unsigned streams_n;
	unsigned own_resets;	   /* that we asked for, and were not sent yet */
	uint64_t told[TG_DIR_MAX]; /* of all its streams that are over */
	uint64_t own[TG_DIR_MAX];  /* frames of the connection itself, the preface */
	uint64_t fed;
	uint64_t unread;    /* read, and of no frame */
	uint64_t dropped;   /* of frames, and never given to the conn */
	uint64_t block;	    /* bytes of a header block whose stream is not known yet */
	int64_t debt_ms;    /* of what costs us more than it costs the peer */
	int64_t block_ms;   /* a header block began to come; 0: none is coming */
	int64_t silent;	    /* frames that came, and nghttp2 said nothing of */
	int32_t data_of;    /* the stream of the DATA frame that comes ... */
	uint32_t data_left; /* ... and what of it was not there yet; 0: none comes */
	uint32_t head_max;
	uint32_t tx_left; /* of the frame that is being written */
	uint32_t rx_left; /* of the frame that is being read */
	uint8_t tx_header[9], tx_header_n;
	uint8_t rx_header[9], rx_header_n;
	bool rx_begun; /* nghttp2 has, with that frame */
	uint8_t magic; /* bytes of the preface that came */
	uint16_t fields_max;
	uint8_t why; /* enum tg_end, when it is over */
	bool is_back : 1;
	bool settled : 1;  /* the peer's SETTINGS have come */
	bool draining : 1; /* a shutdown was announced */
	bool closing : 1;  /* GOAWAY was sent: over when its streams are */
	bool over : 1;
	bool reset : 1;
	bool working : 1;
	bool ahead : 1; /* frames before the one that is being read are looked at */
	bool eof : 1;
	bool flood : 1;
	bool broken : 1;    /* what came is no HTTP/2 */
	bool oversized : 1; /* a frame was larger than we said one may be */
};

/*
 * conn: open, its layer's handshake done; n bytes were read of it before.  user: of the
 * requests of a client.  0 or -ENOMEM.
 */
int h2_open(struct h2 *h, struct conn *c, bool is_back, const struct h2_owner *owner,
	    const struct http_user *user, struct http_book *book, uint32_t head_max,
	    uint16_t fields_max);

/*
 * Streams whose peer has taken no byte of a body for so long are reset, and those whose
 * answer has gone while their request still comes.
 */
void h2_end_stalled(struct h2 *h, int64_t ms);

/* The conn has an event; `first`: n bytes that were read of it before. */
void h2_event(struct h2 *h);
void h2_feed(struct h2 *h, const uint8_t *first, size_t n);

/* h2_open() has failed, and so many bytes were read for it: they are `unread`. */
void h2_lose(struct h2 *h, size_t n);

/* A stream to a backend, for one request; NULL without memory. */
struct http_end *h2_use(struct h2 *h, struct exchange *x, const struct http_user *user);

/* Whose an end is. */
struct h2 *h2_of(struct http_end *e);

/* May another stream begin? */
bool h2_has_place(const struct h2 *h);

/*
 * No new streams: a client is told first that its connection ends (a request may be on
 * its way, RFC 9113 6.8), and with the next h2_drain() which is the last; a backend at
 * once.
 */
void h2_drain(struct h2 *h);

/* Its streams' exchanges are told; the conn is the owner's to close. */
void h2_close(struct h2 *h, enum tg_end why);

/* As h1_carried(), after h2_close(). */
static inline uint64_t h2_carried(const struct h2 *h, enum tg_dir dir)
{
	return h->told[dir] + h->own[dir] + (dir == TG_RX ? h->unread : 0);
}

#endif
