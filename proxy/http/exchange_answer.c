/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of the gate's own. */
#include <string.h>

#include "base/util.h"
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

static void answer(struct exchange *x, const struct answer *a, enum tg_request reason)
{
	int err;

	if (x->over)
		return;
	if (x->answer_begun) {
		exchange_finish(x, reason);
		return;
	}
	forget_server(x);
	x->status = (uint16_t)a->status;
	x->reason = (uint8_t)reason;
	x->first_ns = util_now_ns();
	x->answer_begun = x->answers = true;
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

void exchange_answer(struct exchange *x, unsigned status, enum tg_request reason)
{
	const struct answer a = { .status = status,
				  .retry_after = status == 503 || status == 429,
				  .allow = status == 405 };

	answer(x, &a, reason);
}

void exchange_answer_route(struct exchange *x)
{
	const struct route *r = x->dial.route;
	const struct http_respond *s = r->http->respond;
	struct forward_request request = exchange_request(x);
	struct forward_texts texts;
	struct answer a = { .status = 0 };

	texts.n = 0;
	if (r->http->redirect) {
		a.status = r->http->redirect->status;
		a.location =
			forward_template(&request, &r->http->redirect->where, &texts);
		if (!a.location.p)
			exchange_answer(x, 414, TG_REQUEST_TARGET_TOO_LONG);
		else
			answer(x, &a, TG_REQUEST_REDIRECTED);
		return;
	}
	a.status = s->status;
	if (s->body)
		a.body = text_of(s->body, strlen(s->body));
	if (s->type)
		a.type = text_of(s->type, strlen(s->type));
	answer(x, &a, TG_REQUEST_ANSWERED);
}
