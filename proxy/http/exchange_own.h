/* SPDX-License-Identifier: Apache-2.0 */
/* Of the files of exchange.c, and nobody else's. */
#ifndef PROXY_HTTP_EXCHANGE_OWN_H
#define PROXY_HTTP_EXCHANGE_OWN_H

#include "backend/dial.h"
#include "base/util.h"
#include "decide/auth.h"
#include "decide/limits.h"
#include "codec/websocket.h"
#include "http/account.h"
#include "http/answer.h"
#include "http/back.h"
#include "http/exchange.h"
#include "http/forward.h"

struct exchange {
	struct ev_dead dead;
	struct http_client *client_of;
	struct worker *worker;
	struct http_end *client, *server; /* NULL: let go, or not there yet */
	struct back *back;		  /* whose end `server` is, or that is dialed */
	struct config *config;		  /* a reference, and its listener */
	struct listener *listener;
	struct limits_holds holds;  /* of the route */
	struct http_head *trailers; /* that came before there was a backend */
	struct auth_check *check;   /* of a password, that is going on */
	struct inquiry *inquiry;    /* whether it may go on; or NULL */
	char *user;		    /* who has shown who he is */
	struct text own;	    /* of an answer of ours, what is to be put yet */
	char words[ANSWER_WORDS];
	struct http_book *book;
	struct dial dial;
	struct ev_timer timer;
	struct back *awaited; /* that another exchange dials */
	struct exchange *next_waiter;
	uint64_t began_ns, first_ns;
	int64_t active_ms;
	uint64_t body_bytes;	/* of the request, so far */
	uint64_t answer_bytes;	/* of the body of the answer, so far */
	uint32_t retry_after_s; /* of 429; 0: a second */
	uint16_t status;	/* of the answer */
	uint8_t reason;		/* enum tg_request */
	uint8_t retries;
	uint8_t interim; /* answers before the answer, so far */
	uint8_t method;
	bool request_last : 1; /* its head was all of it */
	bool request_done : 1; /* all of it has come */
	bool request_sent : 1; /* and was passed on */
	bool body_begun : 1;   /* bytes of it are gone: it cannot be sent again */
	bool answer_begun : 1; /* a status was passed on */
	bool answer_done : 1;  /* all of the answer was */
	bool raised : 1;
	bool fresh : 1;	 /* no connection of the pool will do any more */
	bool reused : 1; /* it is one of the pool */
	bool asked : 1;	 /* a backend */
	bool dialing : 1;
	bool held : 1; /* the backend has not taken all of what came */
	bool over : 1;
	bool has_head : 1;
	bool answers : 1; /* with an answer of ours */
	char id[FORWARD_ID_MAX + 1];
	char key[WEBSOCKET_KEY_LEN + 1]; /* of a WebSocket that came by HTTP/2 */
	struct http_head head;		 /* so much of it as is used; last */
};

/* --- exchange.c --- */

int64_t exchange_now_ms(const struct exchange *x);
void exchange_arm(struct exchange *x, int64_t ms);
struct forward_request exchange_request(const struct exchange *x);

/* It is over: both ends are let go, each as it is. */
void exchange_finish(struct exchange *x, enum tg_request reason);
void exchange_maybe_done(struct exchange *x);

/* Of an end that is let go; the caller says how. */
struct http_end *exchange_let_go(struct http_end **end);

/* The dial, the place, what was opened and never used. */
void exchange_leave_backend(struct exchange *x);

/* As many bytes as the other end takes; *err: 0, or why it takes none any more. */
size_t exchange_pass(struct http_end *to, const uint8_t *p, size_t n, int *err);

/*
 * Another of the same client, for an end that is no connection's, to the backends of that
 * route; it may be over when this returns.  NULL without memory.
 */
struct exchange *exchange_begin_inner(struct exchange *of, struct http_end *end,
				      const struct http_head *h, struct route *r);

/* --- exchange_answer.c --- */

/* An answer of ours, or, if one has begun, the end of the client's connection. */
void exchange_answer(struct exchange *x, unsigned status, enum tg_request reason);

/* The route has no backends: it is the answer. */
void exchange_answer_route(struct exchange *x);

/* What another has answered in place of the backend: its status, some fields, its body.
 */
void exchange_answer_as(struct exchange *x, const struct http_head *head,
			struct text body, enum tg_request reason);

/* As much of our own body as the client takes. */
void exchange_put_own(struct exchange *x);

/* --- exchange_auth.c --- */

/* Who asks shows who he is, if the route wants that; then it goes on. */
void exchange_authorize(struct exchange *x);

/* What a password, or another, would say is waited for no more. */
void exchange_stop_waiting_for_word(struct exchange *x);

/* Nobody has objected. */
void exchange_admit(struct exchange *x);

/* --- exchange_ask.c --- */

/*
 * Ask the backends of another route (`forward_auth`): exchange_admit() or an answer
 * follows, never from within.
 */
void exchange_ask(struct exchange *x, const struct http_forward_auth *f);

/* What they said that the backend is to hear, in place of what the client says of it. */
bool exchange_put_said(const struct exchange *x, struct http_head *request);

/* It is over, or nobody waits for it; free: for good. */
void exchange_stop_asking(struct exchange *x);
void exchange_free_inquiry(struct inquiry *q); /* NULL is fine */

/* --- exchange_back.c --- */

/* To a backend of its route. */
void exchange_dial(struct exchange *x);
void exchange_go_on(struct exchange *x, struct outcome o);
bool exchange_on_place(struct waiter *w);

/* It waits for no other's connection any more; those that wait for this one look again.
 */
void exchange_stop_waiting(struct exchange *x);
void exchange_end_opening(struct back *b, enum tg_end failure);
enum tg_end exchange_failure(const struct exchange *x);

/* The backend that was chosen will not do, for this reason: another, if there is one. */
void exchange_skip(struct exchange *x, enum tg_end why);

/* What the backend answered, or 0: nothing, as `ejection` sees it. */
void exchange_judge(const struct exchange *x, unsigned status);

/* All of the request was passed on: it is the backend's turn. */
void exchange_sent(struct exchange *x);

#endif
