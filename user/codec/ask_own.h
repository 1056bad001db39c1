/* SPDX-License-Identifier: Apache-2.0 */
/* Of the files of ask.c, and nobody else's. */
#ifndef USER_CODEC_ASK_OWN_H
#define USER_CODEC_ASK_OWN_H

#include "codec/ask.h"
#include "codec/h1_body.h"

#define ASK_REQUEST_MAX 2048
#define ASK_HEAD_MAX	(32 * 1024)
#define ASK_BYTES_MAX	(256 * 1024) /* of heads, frames that say nothing, a body */

struct nghttp2_session;

struct ask {
	bool wants_body;
	size_t came;
	struct ask_answer answer;
	uint8_t body[ASK_BODY_MAX];
	/* what goes: of HTTP/1.1 all of it, of HTTP/2 what nghttp2 gave */
	uint8_t request[ASK_REQUEST_MAX];
	size_t request_n, sent;
	/* HTTP/1.1 */
	uint8_t in[ASK_HEAD_MAX];
	size_t in_n, looked;
	bool head_in;
	struct h1_body framing;
	/* HTTP/2 */
	struct nghttp2_session *session;
	const uint8_t *out;
	size_t out_n;
	size_t message_at; /* of `request`, the body that goes */
	bool closed, refused;
};

/* As much of the body as is kept. */
void ask_keep(struct ask *a, const uint8_t *p, size_t n);

/* --- ask_h2.c, the one of them that knows nghttp2 --- */

int ask_h2_open(struct ask *a, const struct ask_request *r);
void ask_h2_close(struct ask *a);
struct text ask_h2_to_send(struct ask *a);
void ask_h2_sent(struct ask *a, size_t n);
enum ask_step ask_h2_came(struct ask *a, const uint8_t *p, size_t n);

#endif
