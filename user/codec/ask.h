/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request of HTTP and its answer, over a connection of its own that somebody else
 * reads and writes: by HTTP/1.1, or by HTTP/2 (RFC 9113) with its preface and all.  For
 * checks of health: small answers, of which the beginning is kept.
 */
#ifndef USER_CODEC_ASK_H
#define USER_CODEC_ASK_H

#include "codec/http.h"

#define ASK_BODY_MAX 16384 /* of an answer's body, that are kept */

struct ask;

struct ask_request {
	bool is_h2;
	bool is_tls;	  /* :scheme */
	bool is_grpc;	  /* POST of `message`, else GET */
	struct text host; /* Host, or :authority */
	struct text path;
	struct text message; /* of gRPC, without its length in front */
	bool wants_body;     /* else it is done with the head */
};

struct ask_answer {
	unsigned status; /* of HTTP */
	int grpc;	 /* grpc-status of a head or of trailers; -1: none */
	struct text body;
};

enum ask_step {
	ASK_MORE,
	ASK_DONE, /* ask_answer() */
	ASK_BAD,  /* it was no answer, or ended before it was whole */
};

/* 0 and *ret, the caller's; -EMSGSIZE, -ENOMEM.  The texts are not kept. */
int ask_new(const struct ask_request *r, struct ask **ret);
void ask_free(struct ask *a); /* NULL is fine */

/* What is to be sent, until ask_sent() or ask_came(); n 0: nothing. */
struct text ask_to_send(struct ask *a);
void ask_sent(struct ask *a, size_t n); /* so much of that was taken */

/* n bytes have come; 0: the connection has ended. */
enum ask_step ask_came(struct ask *a, const uint8_t *p, size_t n);

/* Of what is done; its texts last as long as `a`. */
struct ask_answer ask_answer(const struct ask *a);

#endif
