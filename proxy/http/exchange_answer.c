/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of the gate's own. */
#include <string.h>

#include "base/util.h"
#include "config/files.h"
#include "decide/cors.h"
#include "http/exchange_own.h"

/* The backend has no part in it any more. */
static void forget_server(struct exchange *x)
{
	struct http_end *server = exchange_let_go(&x->server);

	exchange_leave_backend(x);
	if (server)
		server->ops->stop(server, TG_END_CLIENT_GONE);
}

void exchange_put_own(struct exchange *x)
{
	size_t done;
	int err = 0;

	if (x->own.n) {
		done = exchange_pass(x->client, (const uint8_t *)x->own.p, x->own.n,
				     &err);
		if (x->over)
			return;
		x->answer_bytes += done;
		x->own.p += done;
		x->own.n -= done;
		if (!err && x->own.n)
			return; /* room() comes */
		if (!err)
			err = x->client->ops->put_last(x->client, NULL);
	}
	if (x->over)
		return;
	x->answer_done = !err;
	exchange_finish(x, x->reason);
}

static void answer(struct exchange *x, struct answer *a, enum tg_request reason)
{
	const struct route *r = x->dial.route;
	int err;

	if (x->over)
		return;
	if (x->answer_begun) {
		exchange_finish(x, reason);
		return;
	}
	forget_server(x);
	exchange_stop_waiting_for_word(x);
	x->status = (uint16_t)a->status;
	x->reason = (uint8_t)reason;
	x->first_ns = util_now_ns();
	x->answer_begun = x->answers = true;
	if (r && r->http->cors) {
		a->cors = r->http->cors;
		a->origin = cors_origin(a->cors, &x->head);
	}
	err = answer_head(x->client, x->worker, a, x->method == HTTP_METHOD_HEAD,
			  x->words, &x->own);
	if (x->over)
		return;
	if (err) {
		exchange_finish(x, reason);
		return;
	}
	ev_timer_del(x->worker->loop, &x->timer); /* the kernel says if it is stuck */
	exchange_put_own(x);
}

/* --- pages of errors --- */

static bool is_for(const struct http_page *p, unsigned status)
{
	return p->status_count ? config_has_status(p->codes, p->status_count, status)
			       : status >= 400;
}

static const struct http_page *find_page(const struct http_page *pages, unsigned n,
					 unsigned status)
{
	for (unsigned i = 0; i < n; i++) {
		if (is_for(&pages[i], status))
			return &pages[i];
	}
	return NULL;
}

/* That of the route, or of the listener; NULL: the status in words. */
static const struct http_page *page_of(const struct exchange *x, unsigned status)
{
	const struct http_route *r = x->dial.route ? x->dial.route->http : NULL;
	const struct http_listener *l = x->listener->http;
	const struct http_page *p =
		r ? find_page(r->error_pages, r->error_pages_count, status) : NULL;

	return p ? p : find_page(l->error_pages, l->error_pages_count, status);
}

/* RFC 7617 2, RFC 6750 3: how to be let in, or why one was not. */
static struct text challenge_of(const struct http_route *h, enum tg_request reason)
{
	switch (reason) {
	case TG_REQUEST_NO_CREDENTIALS:
	case TG_REQUEST_CREDENTIALS:
		return h->basic_auth ? text_of(h->basic_auth->challenge,
					       strlen(h->basic_auth->challenge))
				     : TEXT("Bearer realm=\"restricted\"");
	case TG_REQUEST_TOKEN:
		return TEXT("Bearer error=\"invalid_token\"");
	case TG_REQUEST_TOKEN_EXPIRED:
		return TEXT("Bearer error=\"invalid_token\", "
			    "error_description=\"expired, or not valid yet\"");
	case TG_REQUEST_TOKEN_REFUSED:
		return TEXT("Bearer error=\"insufficient_scope\"");
	default:
		return TEXT("");
	}
}

void exchange_answer(struct exchange *x, unsigned status, enum tg_request reason)
{
	struct answer a = { .status = status,
			    .retry_after = x->retry_after_s
						   ? x->retry_after_s
						   : status == 503 || status == 429,
			    .allow = status == 405,
			    .preflight = reason == TG_REQUEST_PREFLIGHT };
	const struct http_page *page = page_of(x, status);

	if (reason == TG_REQUEST_BACKEND_CLOSED || reason == TG_REQUEST_BACKEND_INVALID ||
	    reason == TG_REQUEST_BACKEND_TIMEOUT)
		exchange_judge(x, 0);
	if (x->dial.route)
		a.challenge = challenge_of(x->dial.route->http, reason);
	if (page) {
		a.body = text_of(page->text->text, page->text->len);
		a.type = text_of_string(page->mime);
	}
	answer(x, &a, reason);
}

void exchange_answer_as(struct exchange *x, const struct http_head *head,
			struct text body, enum tg_request reason)
{
	struct answer a = { .status = head->status, .body = body, .more = head };

	answer(x, &a, reason);
}

/* --- a route that answers --- */

static void redirect(struct exchange *x, const struct http_redirect *to)
{
	struct forward_request request = exchange_request(x);
	struct forward_texts texts;
	struct answer a = { .status = to->status };

	texts.n = 0;
	a.location = forward_template(&request, &to->where, &texts);
	if (a.location.p)
		answer(x, &a, TG_REQUEST_REDIRECTED);
	else
		exchange_answer(x, 414, TG_REQUEST_TARGET_TOO_LONG);
}

void exchange_answer_route(struct exchange *x)
{
	const struct http_route *h = x->dial.route->http;
	const struct http_respond *s = h->respond;
	struct answer a = { .status = 0 };

	if (h->redirect) {
		redirect(x, h->redirect);
		return;
	}
	a.status = s->status;
	a.retry_after = s->retry_after_s;
	a.type = text_of_string(s->mime);
	if (s->body)
		a.body = text_of_string(s->body);
	else if (s->text)
		a.body = text_of(s->text->text, s->text->len);
	answer(x, &a, TG_REQUEST_ANSWERED);
}
