/* SPDX-License-Identifier: Apache-2.0 */
/* The other half of an exchange: a backend, and what it says. */
#include <errno.h>
#include <sys/random.h>

#include "backend/target.h"
#include "decide/affinity.h"
#include "http/budget.h"
#include "http/exchange_own.h"
#include "net/worker.h"

#define RETRIES_MAX 3
#define INTERIM_MAX 100 /* answers of 1xx before the answer */

static const struct http_user server_user;

static void on_dialed(struct exchange *x);

/* --- to the backend --- */

static void dial_failed(struct exchange *x, enum tg_end reason)
{
	switch (reason) {
	case TG_END_NO_BACKEND:
		exchange_answer(x, 503, TG_REQUEST_NO_BACKEND);
		return;
	case TG_END_QUEUE_FULL:
	case TG_END_QUEUE_TIMEOUT:
		exchange_answer(x, 503, TG_REQUEST_QUEUE);
		return;
	case TG_END_RESOURCES:
	case TG_END_LOCAL_PORTS:
		exchange_answer(x, 503, TG_REQUEST_RESOURCES);
		return;
	case TG_END_BACKEND_TIMEOUT:
		exchange_answer(x, 504, TG_REQUEST_BACKEND_CONNECT);
		return;
	case TG_END_BACKEND_TLS:
	case TG_END_BACKEND_TRUST:
		exchange_answer(x, 502, TG_REQUEST_BACKEND_TLS);
		return;
	default:
		exchange_answer(x, 502, TG_REQUEST_BACKEND_CONNECT);
	}
}

void exchange_sent(struct exchange *x)
{
	x->request_sent = true;
	x->active_ms = exchange_now_ms(x);
	exchange_arm(x, x->dial.route->http->head_ms);
}

/* RFC 6455 4.1: HTTP/2 has none, and the backend wants one. */
static bool add_key(struct exchange *x, struct http_head *head)
{
	uint8_t random[16];

	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return false;
	websocket_key(random, x->key);
	return http_add(head, HTTP_SEC_WEBSOCKET_KEY, TEXT(""),
			text_of(x->key, WEBSOCKET_KEY_LEN));
}

/* Has it understood what it was asked? */
static bool is_accepted(const struct exchange *x, const struct http_head *h)
{
	char want[WEBSOCKET_ACCEPT_LEN + 1];
	const struct http_field *f;
	int at = -1;

	if (!x->head.extended)
		return true; /* the client's own to see */
	websocket_accept(x->key, want);
	f = http_find(h, HTTP_SEC_WEBSOCKET_ACCEPT, &at);
	return f && text_is(http_value(f), text_of(want, WEBSOCKET_ACCEPT_LEN));
}

/* It did not go to the backend. */
static void refuse_head(struct exchange *x, int err)
{
	if (err == -EMSGSIZE)
		exchange_answer(x, 431, TG_REQUEST_REWRITTEN);
	else if (err == -ENOMEM)
		exchange_answer(x, 503, TG_REQUEST_RESOURCES);
	else if (err == -EOPNOTSUPP)
		exchange_answer(x, 501, TG_REQUEST_METHOD);
	else
		exchange_answer(x, 502, TG_REQUEST_BACKEND_CLOSED);
}

/* The backend's end is there: the head goes, and the client goes on. */
static void begin_sending(struct exchange *x)
{
	struct forward_request request = exchange_request(x);
	struct forward_texts texts;
	struct http_head head;
	bool last;
	int err;

	texts.n = 0;
	if (!forward_request(&request, &texts, &head) || !exchange_put_said(x, &head)) {
		exchange_answer(x, 431, TG_REQUEST_REWRITTEN);
		return;
	}
	if (x->dial.route->send_proxy) /* it is this client's, and nobody else's */
		head.close = true;
	last = x->request_last || x->head.extended;
	if (x->head.extended && !add_key(x, &head)) {
		exchange_answer(x, 503, TG_REQUEST_RESOURCES);
		return;
	}
	err = x->server->ops->put_head(x->server, &head, last);
	if (x->over)
		return;
	if (!err && x->request_done &&
	    !last) /* it ended while nobody was there to take it */
		err = x->server->ops->put_last(x->server, x->trailers);
	if (x->over)
		return;
	if (err) {
		refuse_head(x, err);
		return;
	}
	if (x->request_done || x->head.extended) {
		exchange_sent(x);
		return;
	}
	exchange_arm(x, x->listener->http->body_ms);
	x->client->ops->more(x->client);
}

static void have_server(struct exchange *x)
{
	struct back *back = x->back;

	x->dialing = false;
	x->server = back_use(back, x, &server_user);
	if (back->is_h2) { /* others may use it, too */
		x->back = NULL;
		exchange_end_opening(back, TG_END_DONE);
	}
	if (!x->server) {
		exchange_answer(x, 503, TG_REQUEST_RESOURCES);
		return;
	}
	x->server->book = x->book;
	begin_sending(x);
}

/* --- connections that others dial --- */

static struct outcome await(struct exchange *x, struct back *b)
{
	x->awaited = b;
	x->next_waiter = b->waiters;
	b->waiters = x;
	return outcome_until(outcome_wait(), x->dial.route->connect_ms);
}

void exchange_stop_waiting(struct exchange *x)
{
	struct exchange **at;

	if (!x->awaited)
		return;
	for (at = &x->awaited->waiters; *at && *at != x; at = &(*at)->next_waiter)
		;
	if (*at)
		*at = x->next_waiter;
	x->awaited = NULL;
}

enum tg_end exchange_failure(const struct exchange *x)
{
	return x->dial.failure ? (enum tg_end)x->dial.failure : TG_END_BACKEND_TIMEOUT;
}

/* DONE: who waited looks again; else it will not be there, and they try elsewhere. */
void exchange_end_opening(struct back *b, enum tg_end failure)
{
	back_end_opening(b);
	while (b->waiters) {
		struct exchange *x = b->waiters;

		b->waiters = x->next_waiter;
		x->awaited = NULL;
		if (failure != TG_END_DONE) {
			exchange_skip(x, failure);
			continue;
		}
		x->dial.chosen = true;
		exchange_go_on(x, outcome_next());
	}
}

void exchange_skip(struct exchange *x, enum tg_end why)
{
	exchange_stop_waiting(x);
	exchange_go_on(x, dial_skip(&x->dial, &x->back->conn, &x->client_of->who, why));
}

/* A backend was chosen: a connection that is there already, or a new one. */
static struct outcome take_or_connect(struct exchange *x)
{
	bool is_h2 = x->dial.route->http->protocol == PROTOCOL_H2;
	struct back *idle = NULL, *opening = NULL;

	exchange_end_opening(x->back, exchange_failure(x)); /* it was for another */
	if (!x->fresh)
		idle = back_idle(x->worker, x->dial.route, x->dial.backend);
	if (!idle && is_h2 && !x->dial.route->send_proxy)
		opening = back_opening(x->worker, x->dial.route, x->dial.backend);
	x->dial.chosen = false;
	if (opening)
		return await(x, opening);
	if (!idle && is_h2)
		back_begin_opening(x->back, x->dial.backend);
	if (!idle)
		return dial_connect(&x->dial, &x->back->conn, &x->client_of->who);
	back_drop(x->back, false); /* it was never opened */
	x->back = idle;
	x->reused = true;
	return outcome_next();
}

void exchange_go_on(struct exchange *x, struct outcome o)
{
	while (o.step == STEP_NEXT && x->dial.chosen)
		o = take_or_connect(x);
	if (o.step == STEP_OVER) {
		dial_failed(x, o.reason);
		return;
	}
	if (o.step == STEP_NEXT) {
		x->asked = true;
		if (!x->reused) {
			x->back->in_loops = x->dial.in_loops;
			if (back_open(x->back, x->dial.backend) < 0) {
				exchange_answer(x, 503, TG_REQUEST_RESOURCES);
				return;
			}
		}
		x->dial.in_loops = false;
		have_server(x);
		return;
	}
	if (o.wait_ms > 0)
		exchange_arm(x, o.wait_ms);
}

void exchange_dial(struct exchange *x)
{
	uint32_t key;

	x->back =
		back_new(x->worker, x->config, x->listener, x->dial.route, x, on_dialed);
	if (!x->back) {
		exchange_answer(x, 503, TG_REQUEST_RESOURCES);
		return;
	}
	if (!x->retries)
		budget_earn(x->dial.route->http);
	x->dialing = true;
	x->reused = false;
	x->dial.hops = x->client_of->hops;
	x->dial.wanted = affinity_wanted(x->dial.route, &x->head) & 127;
	x->dial.keyed = affinity_key(x->dial.route->http, &x->head, &key);
	x->dial.key = key >> 8;
	x->dial.stepwise = true;
	exchange_go_on(x, dial_begin(&x->dial, &x->back->conn, &x->client_of->who));
}

static void on_dialed(struct exchange *x)
{
	if (x && x->dialing && !x->over)
		exchange_go_on(x,
			       dial_ready(&x->dial, &x->back->conn, &x->client_of->who));
}

bool exchange_on_place(struct waiter *w)
{
	struct exchange *x = container_of(w, struct exchange, dial.waiter);
	struct outcome o;

	if (!dial_take_place(&x->dial, &x->back->conn, &x->client_of->who, &o))
		return false;
	exchange_go_on(x, o);
	return true;
}

/* --- from the backend --- */

/* From now on its bytes are another protocol's (RFC 9110 7.8, 9.3.6). */
static bool raises(const struct exchange *x, const struct http_head *h)
{
	return h->status == 101 ||
	       (x->method == HTTP_METHOD_CONNECT && h->status >= 200 && h->status < 300);
}

/* What the client has said meanwhile, and that it says no more. */
static void begin_raised(struct exchange *x, bool ended)
{
	if (!x->head.extended)
		return;
	x->client->ops->more(x->client);
	if (!ended)
		return;
	x->request_done = x->request_sent = true;
	(void)x->server->ops->put_last(x->server, NULL);
}

void exchange_judge(const struct exchange *x, unsigned status)
{
	const struct route *r = x->dial.route;
	const struct ejection *e = r->ejection;

	if (!e || !e->status_count || !x->asked)
		return;
	if (!status || config_has_status(e->codes, e->status_count, status))
		target_failed(x->dial.backend->target, r->eject_failures, r->eject_ms,
			      exchange_now_ms(x));
	else
		target_connected(x->dial.backend->target);
}

/* It met another backend than it came back for, or comes for the first time. */
static const char *new_cookie(const struct exchange *x)
{
	const struct http_sticky *s = x->dial.route->http->sticky;
	long i = x->dial.backend - x->dial.route->backends;

	return s && x->dial.wanted != i + 1 ? s->fields[i] : NULL;
}

static void on_server_head(struct http_end *e, const struct http_head *h, bool last)
{
	struct exchange *x = e->exchange;
	struct forward_request request = exchange_request(x);
	struct forward_texts texts;
	struct http_head head;
	bool ended = false;
	int err;

	if (h->status == 101 && (!x->head.upgrade || !is_accepted(x, h))) { /* not so */
		exchange_answer(x, 502, TG_REQUEST_BACKEND_INVALID);
		return;
	}
	if (h->status < 200 && h->status != 101 && ++x->interim > INTERIM_MAX) {
		exchange_answer(x, 502, TG_REQUEST_BACKEND_INVALID);
		return;
	}
	texts.n = 0;
	request.cookie = new_cookie(x);
	if (!forward_response(&request, h, &texts, &head)) {
		exchange_answer(x, 502, TG_REQUEST_REWRITTEN);
		return;
	}
	if (h->status == 101 || h->status >= 200) {
		x->first_ns = util_now_ns();
		exchange_judge(x, h->status);
		x->answer_begun = true;
		x->raised = raises(x, h);
		ended = x->request_done && x->head.extended;
		if (x->raised) /* what comes now is neither message's */
			x->request_done = x->request_sent = false;
		x->status = h->status;
		exchange_arm(x,
			     x->dial.route->idle_ms ? x->dial.route->idle_ms : INT32_MAX);
	}
	x->active_ms = exchange_now_ms(x);
	err = x->client->ops->put_head(x->client, &head, last);
	if (x->over)
		return;
	if (err) {
		exchange_finish(x, err == -EMSGSIZE ? TG_REQUEST_REWRITTEN
				   : err == -ENOMEM ? TG_REQUEST_RESOURCES
						    : TG_REQUEST_CLIENT_GONE);
		return;
	}
	if (x->raised)
		begin_raised(x, ended);
	if (!last || x->raised)
		return;
	x->answer_done = true;
	exchange_maybe_done(x);
}

static size_t on_server_body(struct http_end *e, const uint8_t *p, size_t n)
{
	struct exchange *x = e->exchange;
	size_t done;
	int err;

	done = exchange_pass(x->client, p, n, &err);
	x->answer_bytes += done;
	if (err) {
		exchange_finish(x, TG_REQUEST_CLIENT_GONE);
		return n;
	}
	x->active_ms = exchange_now_ms(x);
	return done;
}

static void on_server_last(struct http_end *e, const struct http_head *trailers)
{
	struct exchange *x = e->exchange;
	struct http_head buf;
	int err;

	x->answer_done = true;
	err = x->client->ops->put_last(x->client, forward_trailers(NULL, trailers, &buf));
	if (x->over)
		return;
	if (err < 0) {
		x->answer_done = false;
		exchange_finish(x, TG_REQUEST_CLIENT_GONE);
		return;
	}
	exchange_maybe_done(x);
}

static void on_server_room(struct http_end *e)
{
	struct exchange *x = e->exchange;

	x->client->ops->more(x->client);
}

static void on_server_invalid(struct http_end *e, enum http_fault f)
{
	struct exchange *x = e->exchange;

	if (f ==
	    HTTP_FAULT_UPGRADE_INVALID) /* it takes no WebSocket, as it has said now */
		refuse_head(x, -EOPNOTSUPP);
	else
		exchange_answer(x, 502, TG_REQUEST_BACKEND_INVALID);
}

/* RFC 9110 9.2.2, 9112 9.3.1: it was closed while nobody looked, and has seen nothing. */
static bool may_repeat(const struct exchange *x, enum tg_end why, bool unseen)
{
	if (!unseen || x->answer_begun || x->body_begun || x->retries >= RETRIES_MAX)
		return false;
	/* RFC 9113 8.7: it said that it has not looked at it */
	return why == TG_END_BACKEND_REFUSED ||
	       (x->reused && http_is_idempotent(x->method));
}

static void again_fresh(struct exchange *x)
{
	x->retries++;
	x->fresh = true;
	exchange_leave_backend(x);
	exchange_dial(x);
}

static void on_server_gone(struct http_end *e, enum tg_end why, bool unseen)
{
	struct exchange *x = e->exchange;

	(void)exchange_let_go(&x->server);
	x->back = NULL;		     /* it drops itself */
	if (why == TG_END_RESOURCES) /* that is no fault of its */
		exchange_answer(x, 503, TG_REQUEST_RESOURCES);
	else if (!may_repeat(x, why, unseen))
		exchange_answer(x, 502,
				x->answer_begun ? TG_REQUEST_BACKEND_TRUNCATED
						: TG_REQUEST_BACKEND_CLOSED);
	else if (!budget_spend(x->dial.route->http, exchange_now_ms(x)))
		exchange_answer(x, 502, TG_REQUEST_RETRY_BUDGET);
	else
		again_fresh(x);
}

static const struct http_user server_user = { .head = on_server_head,
					      .body = on_server_body,
					      .last = on_server_last,
					      .room = on_server_room,
					      .invalid = on_server_invalid,
					      .gone = on_server_gone };
