/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/util.h"
#include "http/account.h"
#include "http/exchange.h"
#include "http/front.h"
#include "http/h1.h"
#include "net/worker.h"

#define LINGER_MS 1000 /* for what a client sends that nobody wants */

struct front {
	struct ev_dead dead;
	struct http_client client;
	void (*over)(struct conn *c, struct outcome o);
	struct ev_timer timer; /* of what comes between exchanges */
	struct h1 h1;
	int64_t head_ms; /* a head began to come */
	uint8_t why;	 /* enum tg_end that we ended it for; DONE: none */
	bool closed;
	bool lingers;
	bool draining;
};

static struct front *front_of(struct h1 *h)
{
	return container_of(h, struct front, h1);
}

static const struct http_listener *settings(const struct front *f)
{
	return f->client.listener->http;
}

static void arm(struct front *f, int64_t ms)
{
	ev_timer_set(f->client.worker->loop, &f->timer, ms);
}

/* --- requests --- */

static struct front *front_of_end(struct http_end *e)
{
	return container_of(container_of(e, struct h1, end), struct front, h1);
}

static void on_head(struct http_end *e, const struct http_head *h, bool last)
{
	exchange_begin(&front_of_end(e)->client, e, h, last);
}

static void on_invalid(struct http_end *e, enum http_fault fault)
{
	exchange_refuse(&front_of_end(e)->client, e, fault);
}

static const struct http_user user = { .head = on_head, .invalid = on_invalid };

/* --- as h1's owner --- */

static void on_idle(struct h1 *h)
{
	struct front *f = front_of(h);

	h->end.user = &user;
	if (f->draining)
		h1_drain(h);
	else
		arm(f, settings(f)->keep_alive_ms);
}

static void on_over(struct h1 *h, enum tg_end why, bool reset)
{
	struct front *f = front_of(h);

	if (!f->closed)
		f->over(h->conn, outcome_over(f->why ? f->why : why, reset));
}

static const struct h1_owner owner = { .idle = on_idle, .over = on_over };

/* --- deadlines --- */

/*
 * While an exchange is under way the time is its own; else a head must come: the first in
 * head_timeout, the next one begin in keep_alive_timeout, and be whole in head_timeout.
 */
static void on_timer(struct ev_timer *timer)
{
	struct front *f = container_of(timer, struct front, timer);
	struct h1 *h = &f->h1;
	int64_t now = ev_now_ms(f->client.worker->loop);

	if (h->over || f->closed)
		return;
	if (h->closing) {
		f->over(h->conn, outcome_over(TG_END_DONE, false));
		return;
	}
	if (h->end.exchange)
		return; /* on_idle() sets it again */
	if (!h1_is_waiting(h) && now - f->head_ms < settings(f)->head_ms) {
		arm(f, settings(f)->head_ms - (now - f->head_ms));
		return;
	}
	if (!h1_is_waiting(h)) {
		f->why = TG_END_HTTP_HEAD_TIMEOUT;
		exchange_timeout(&f->client, &h->end);
		return;
	}
	f->why = f->client.requests ? TG_END_HTTP_KEEP_ALIVE : TG_END_HTTP_HEAD_TIMEOUT;
	h1_drain(h);
}

/* --- life --- */

static void front_free(struct ev_dead *dead)
{
	free(container_of(dead, struct front, dead));
}

static bool is_trusted(const struct http_client *c)
{
	const struct http_listener *l = c->listener->http;

	for (unsigned i = 0; i < l->trusted_count; i++) {
		if (prefix_has(&l->trusted_prefixes[i], http_client_addr(c)->ip))
			return true;
	}
	return false;
}

struct front *front_open(const struct front_options *o)
{
	struct front *f = calloc(1, sizeof(*f));
	const struct http_listener *l;

	if (!f)
		return NULL;
	f->dead.free = front_free;
	f->client = o->client;
	f->client.who.header = o->client.who.header ? &f->client.header : NULL;
	f->client.trusted = is_trusted(&f->client);
	f->over = o->over;
	f->timer.fn = on_timer;
	l = settings(f);
	h1_open(&f->h1, f->client.conn, false, &owner, &user, l->head_bytes,
		(uint16_t)l->fields);
	if (h1_feed(&f->h1, o->first, o->first_n) < 0) {
		free(f);
		return NULL;
	}
	return f;
}

void front_begin(struct front *f)
{
	f->head_ms = ev_now_ms(f->client.worker->loop);
	arm(f, settings(f)->head_ms);
	front_event(f);
}

void front_event(struct front *f)
{
	bool waited = h1_is_waiting(&f->h1);

	if (f->closed)
		return;
	h1_event(&f->h1);
	if (f->closed || f->h1.over)
		return;
	if (f->h1.closing && !f->lingers) {
		f->lingers = true;
		arm(f, LINGER_MS);
	} else if (waited && !h1_is_waiting(&f->h1) && !f->h1.end.exchange) {
		f->head_ms = ev_now_ms(f->client.worker->loop);
		arm(f, settings(f)->head_ms);
	}
}

void front_drain(struct front *f)
{
	f->draining = true;
	h1_drain(&f->h1);
}

void front_close(struct front *f, enum tg_end why)
{
	struct h1 *h = &f->h1;

	if (f->closed)
		return;
	f->closed = true;
	if (h->end.exchange)
		exchange_stop(h->end.exchange, why);
	h->end.exchange = NULL;
	ev_timer_del(f->client.worker->loop, &f->timer);
	h1_close(h);
	account_connection(settings(f)->book, h, false);
	ev_defer_free(f->client.worker->loop, &f->dead);
}
