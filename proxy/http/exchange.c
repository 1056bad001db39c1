/* SPDX-License-Identifier: Apache-2.0 */
/* Its beginning, what the client says, its end. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "book/ends.h"
#include "decide/decide.h"
#include "decide/request.h"
#include "http/access.h"
#include "http/exchange_own.h"
#include "http/worker.h"
#include "net/worker.h"

static const struct http_user client_user;

int64_t exchange_now_ms(const struct exchange *x)
{
	return ev_now_ms(x->worker->loop);
}

void exchange_arm(struct exchange *x, int64_t ms)
{
	ev_timer_set(x->worker->loop, &x->timer, ms);
}

struct forward_request exchange_request(const struct exchange *x)
{
	const struct backend *b = x->dial.backend;
	struct text name = TEXT("localhost");

	if (b && !b->path)
		name = text_of(b->name, strlen(b->name));
	return (struct forward_request){ .client = x->client_of,
					 .route = x->dial.route,
					 .head = &x->head,
					 .id = x->id,
					 .user = x->user,
					 .backend = name };
}

/* --- the end --- */

static void exchange_free(struct ev_dead *dead)
{
	struct exchange *x = container_of(dead, struct exchange, dead);

	limits_release(x->worker->proxy->limits, &x->holds);
	worker_release(x->worker, x->config);
	free(x->trailers);
	free(x->user);
	exchange_free_inquiry(x->inquiry);
	free(x);
}

static uint64_t micros(uint64_t from_ns, uint64_t to_ns)
{
	return to_ns > from_ns ? (to_ns - from_ns) / 1000 : 1;
}

/* It went as it should. */
static bool is_ordinary(const struct exchange *x)
{
	switch (x->reason) {
	case TG_REQUEST_DONE:
	case TG_REQUEST_ANSWERED:
	case TG_REQUEST_REDIRECTED:
	case TG_REQUEST_PREFLIGHT:
		return x->status && x->status < 400;
	default:
		return false;
	}
}

/* Of those, one in so many stands for them all; 0: for itself. */
static bool is_logged(const struct exchange *x, uint32_t *ret)
{
	const struct access_settings *s = x->config->access_log;

	*ret = s && s->sample > 1 && is_ordinary(x) ? s->sample : 0;
	return !*ret || x->worker->http->ordinary++ % *ret == 0;
}

static void write_log(const struct exchange *x, struct access_ring *log)
{
	struct access a = {
		.settings = x->config->access_log,
		.client = x->client_of,
		.route = x->dial.route,
		.backend = x->asked ? x->dial.backend : NULL,
		.head = x->has_head ? &x->head : NULL,
		.id = x->id,
		.user = x->user,
		.reason = tg_request_names[x->reason],
		.status = x->status,
		.retries = x->retries,
		.reused = x->reused,
		.rx_body_bytes = x->body_bytes,
		.tx_body_bytes = x->answer_bytes,
		.duration_us = micros(x->began_ns, util_now_ns()),
		.first_byte_us = x->first_ns ? micros(x->began_ns, x->first_ns) : 0,
	};

	if (is_logged(x, &a.sample))
		access_write(log, &a);
}

static void account(const struct exchange *x)
{
	struct access_ring *log =
		__atomic_load_n(&x->worker->http->log, __ATOMIC_ACQUIRE);

	const struct account_request r = {
		.reason = x->reason,
		.method = x->method,
		.status = x->status,
		.asked = x->asked,
		.reused = x->reused,
		.retries = x->retries,
		.raised = x->raised,
		.duration_us = micros(x->began_ns, util_now_ns()),
		.first_byte_us = x->first_ns ? micros(x->began_ns, x->first_ns) : 0,
	};

	account_request(x->book, &r);
	if (log)
		write_log(x, log);
}

struct http_end *exchange_let_go(struct http_end **end)
{
	struct http_end *e = *end;

	*end = NULL;
	return e;
}

void exchange_leave_backend(struct exchange *x)
{
	struct back *b = x->back;

	exchange_stop_waiting(x);
	if (b)
		dial_end(&x->dial, &b->conn);
	x->back = NULL;
	if (b && x->dialing) {
		back_drop(b, true);
		/* a client that has gone says nothing of the backend */
		exchange_end_opening(b, x->over ? TG_END_DONE : exchange_failure(x));
	}
	x->dialing = false;
	dial_release(&x->dial, x->worker);
}

void exchange_finish(struct exchange *x, enum tg_request reason)
{
	struct http_end *client, *server;

	if (x->over)
		return;
	x->over = true;
	x->reason = (uint8_t)reason;
	log_debug("request %s: %s, status %u", x->id, tg_request_names[reason],
		  x->status);
	exchange_stop_waiting_for_word(x);
	account(x);
	ev_timer_del(x->worker->loop, &x->timer);
	server = exchange_let_go(&x->server);
	client = exchange_let_go(&x->client);
	exchange_leave_backend(x);
	if (server && x->answer_done)
		server->ops->release(server);
	else if (server)
		server->ops->stop(server, TG_END_CLIENT_GONE);
	if (client && x->answer_done)
		client->ops->release(client);
	else if (client)
		client->ops->stop(client, TG_END_TRUNCATED);
	ev_defer_free(x->worker->loop, &x->dead);
}

/* --- from the client --- */

static bool too_large(const struct exchange *x, size_t more)
{
	uint64_t max = x->dial.route->http->body_bytes;

	return max && x->body_bytes + more > max;
}

size_t exchange_pass(struct http_end *to, const uint8_t *p, size_t n, int *err)
{
	size_t done = 0;

	*err = 0;
	while (done < n) {
		ssize_t k = to->ops->put_body(to, p + done, n - done);

		if (k == -EAGAIN)
			break;
		if (k <= 0) {
			*err = k < 0 ? (int)k : -EIO;
			break;
		}
		done += (size_t)k;
	}
	return done;
}

static size_t on_client_body(struct http_end *e, const uint8_t *p, size_t n)
{
	struct exchange *x = e->exchange;
	size_t done;
	int err;

	if (x->answers)
		return n; /* nobody wants it */
	if (!x->server || (x->head.extended && !x->raised))
		return 0; /* not yet */
	if (!x->raised && too_large(x, n)) {
		exchange_answer(x, 413, TG_REQUEST_BODY_TOO_LARGE);
		return n;
	}
	done = exchange_pass(x->server, p, n, &err);
	x->held = done < n;
	if (err) {
		exchange_answer(x, 502, TG_REQUEST_BACKEND_CLOSED);
		return n;
	}
	x->body_begun |= done > 0;
	x->body_bytes += done;
	x->active_ms = exchange_now_ms(x);
	return done;
}

void exchange_maybe_done(struct exchange *x)
{
	if (x->answer_done && (!x->raised || x->request_sent))
		exchange_finish(x, TG_REQUEST_DONE);
}

static void on_client_last(struct http_end *e, const struct http_head *trailers)
{
	struct exchange *x = e->exchange;
	struct http_head buf;
	int err;

	x->request_done = true;
	trailers = forward_trailers(x->dial.route, trailers, &buf);
	if (x->answers)
		return;
	if (!x->server) {
		x->trailers = trailers ? http_head_dup(trailers) : NULL;
		return;
	}
	if (x->head.extended && !x->raised)
		return; /* with what it raised */
	x->body_begun = true;
	err = x->server->ops->put_last(x->server, trailers);
	if (x->over)
		return;
	if (err < 0) {
		exchange_answer(x, 502, TG_REQUEST_BACKEND_CLOSED);
		return;
	}
	exchange_sent(x);
	exchange_maybe_done(x);
}

static void on_client_room(struct http_end *e)
{
	struct exchange *x = e->exchange;

	if (x->answers)
		exchange_put_own(x);
	else if (x->server)
		x->server->ops->more(x->server);
}

/* HTTP/2 goes on after it; a connection of HTTP/1.1 ends with such a request. */
static void blame(struct exchange *x, enum tg_end why)
{
	if (x->head.major < 2)
		x->client_of->why = (uint8_t)why;
}

static void on_client_invalid(struct http_end *e, enum http_fault f)
{
	blame(e->exchange, TG_END_HTTP_INVALID);
	exchange_answer(e->exchange, http_fault_status(f), decide_fault(f));
}

static void on_client_gone(struct http_end *e, enum tg_end why, bool unseen)
{
	struct exchange *x = e->exchange;

	(void)unseen;
	exchange_stop(x, why);
}

static void on_client_head(struct http_end *e, const struct http_head *h, bool last)
{
	(void)e; /* the owner's, who begins an exchange with it */
	(void)h;
	(void)last;
}

static const struct http_user client_user = { .head = on_client_head,
					      .body = on_client_body,
					      .last = on_client_last,
					      .room = on_client_room,
					      .invalid = on_client_invalid,
					      .gone = on_client_gone };

/* --- deadlines --- */

static void wait_on(struct exchange *x, int64_t ms, unsigned status,
		    enum tg_request reason)
{
	int64_t left = x->active_ms + ms - exchange_now_ms(x);

	if (left > 0)
		exchange_arm(x, left);
	else if (x->answer_begun)
		exchange_finish(x, reason);
	else
		exchange_answer(x, status, reason);
}

static void wait_for_body(struct exchange *x)
{
	int64_t ms = x->listener->http->body_ms;

	if (exchange_now_ms(x) - x->active_ms >= ms)
		blame(x, TG_END_HTTP_BODY_TIMEOUT);
	wait_on(x, ms, 408, TG_REQUEST_BODY_TIMEOUT);
}

static void on_timer(struct ev_timer *timer)
{
	struct exchange *x = container_of(timer, struct exchange, timer);
	const struct route *r = x->dial.route;

	if (x->check)
		exchange_answer(x, 503, TG_REQUEST_AUTH_BUSY);
	else if (x->awaited)
		exchange_skip(x, TG_END_BACKEND_TIMEOUT);
	else if (x->dialing)
		exchange_go_on(x, dial_due(&x->dial, &x->back->conn, &x->client_of->who));
	else if (x->answer_begun && !r->idle_ms)
		return;
	else if (x->answer_begun)
		wait_on(x, r->idle_ms, 504, TG_REQUEST_BACKEND_TIMEOUT);
	else if (x->request_sent || x->held) /* it is the backend's turn */
		wait_on(x, r->http->head_ms, 504, TG_REQUEST_BACKEND_TIMEOUT);
	else
		wait_for_body(x);
}

/* --- the beginning --- */

static struct exchange *make(struct http_client *c, struct http_end *client,
			     const struct http_head *h)
{
	struct exchange *x = malloc(offsetof(struct exchange, head) +
				    offsetof(struct http_head, fields) +
				    (h ? h->n : 0) * sizeof(struct http_field));

	if (!x)
		return NULL;
	memset(x, 0, offsetof(struct exchange, head));
	x->dead.free = exchange_free;
	x->client_of = c;
	x->worker = c->worker;
	x->config = worker_hold(c->worker, c->config);
	x->listener = c->listener;
	x->client = client;
	x->book = c->listener->http->book;
	x->timer.fn = on_timer;
	x->dial.waiter.take = exchange_on_place;
	x->began_ns = util_now_ns();
	x->active_ms = exchange_now_ms(x);
	client->exchange = x;
	client->book = x->book;
	client->user = &client_user;
	c->requests++;
	if (h) {
		http_head_copy(&x->head, h);
		x->method = h->method;
		x->has_head = true;
	}
	return x;
}

struct exchange *exchange_begin_inner(struct exchange *of, struct http_end *end,
				      const struct http_head *h, struct route *r)
{
	struct exchange *x = make(of->client_of, end, h);

	if (!x)
		return NULL;
	worker_release(x->worker, x->config); /* the other's, not the newest */
	x->config = worker_hold(x->worker, of->config);
	x->listener = of->listener;
	x->request_last = x->request_done = true;
	x->dial.route = r;
	x->book = end->book = r->http->book;
	memcpy(x->id, of->id, sizeof(x->id));
	exchange_dial(x);
	return x;
}

/* Limits of its route count requests. */
static bool is_admitted(struct exchange *x)
{
	struct facts f = { .config = x->config,
			   .listener = x->listener,
			   .route = x->dial.route,
			   .client = http_client_addr(x->client_of) };
	enum tg_end reason = decide_route(x->worker, &f, &x->holds);

	if (reason != TG_END_DONE)
		decide_note(x->worker, &f, reason, &x->holds);
	return reason == TG_END_DONE;
}

void exchange_begin(struct http_client *c, struct http_end *client,
		    const struct http_head *h, bool last)
{
	const struct asker asker = { .client = http_client_addr(c),
				     .connection = c->route,
				     .who = c->identity };
	struct exchange *x = make(c, client, h);
	struct verdict v;

	if (!x) {
		client->ops->stop(client, TG_END_RESOURCES);
		return;
	}
	x->request_last = x->request_done = last;
	decide_request(c->listener, &asker, h, &v);
	if (v.route) {
		x->dial.route = v.route;
		x->book = client->book = v.route->http->book;
	}
	forward_id(c->worker, c, h, x->id);
	if ((!v.status || v.reason == TG_REQUEST_PREFLIGHT ||
	     v.reason == TG_REQUEST_ORIGIN) &&
	    !is_admitted(x))
		exchange_answer(x, 429, TG_REQUEST_LIMIT);
	else if (v.status)
		exchange_answer(x, v.status, v.reason);
	else
		exchange_authorize(x);
}

void exchange_refuse(struct http_client *c, struct http_end *client, enum http_fault f)
{
	struct exchange *x = make(c, client, NULL);

	if (x)
		exchange_answer(x, http_fault_status(f), decide_fault(f));
	else
		client->ops->stop(client, TG_END_RESOURCES);
}

void exchange_timeout(struct http_client *c, struct http_end *client)
{
	struct exchange *x = make(c, client, NULL);

	if (x)
		exchange_answer(x, 408, TG_REQUEST_HEAD_TIMEOUT);
	else
		client->ops->stop(client, TG_END_RESOURCES);
}

void exchange_stop(struct exchange *x, enum tg_end why)
{
	enum tg_request reason = TG_REQUEST_CLIENT_GONE;

	if (x->answer_done)
		reason = TG_REQUEST_DONE;
	else if (tg_end_sides[why] == TG_SIDE_PROXY)
		reason = TG_REQUEST_STOPPED;
	(void)exchange_let_go(&x->client);
	exchange_finish(x, reason);
}
