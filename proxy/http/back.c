/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "backend/loops.h"
#include "base/util.h"
#include "config/http.h"
#include "http/account.h"
#include "http/back.h"
#include "http/worker.h"
#include "net/worker.h"

static struct back *back_of(struct h1 *h)
{
	return container_of(h, struct back, h1);
}

static size_t chain_of(const struct backend *b)
{
	return ((uintptr_t)b / sizeof(*b)) % HTTP_BACK_CHAINS;
}

/* --- the pool --- */

static void leave_pool(struct back *b)
{
	if (!b->prev)
		return;
	*b->prev = b->next;
	if (b->next)
		b->next->prev = b->prev;
	b->prev = NULL;
	b->conn.worker->http->idle_of[chain_of(b->backend)]--;
	b->conn.worker->http->idle_n--;
}

static void enter_pool(struct back *b)
{
	struct http_worker *h = b->conn.worker->http;
	struct back **chain = &h->idle[chain_of(b->backend)];

	b->next = *chain;
	b->prev = chain;
	if (b->next)
		b->next->prev = &b->next;
	*chain = b;
	h->idle_of[chain_of(b->backend)]++;
	h->idle_n++;
	b->idle_ms = ev_now_ms(b->conn.worker->loop);
	if (!h->sweep.prev)
		ev_timer_set(b->conn.worker->loop, &h->sweep, 1000);
}

struct back *back_idle(struct worker *w, const struct route *r, const struct backend *b)
{
	for (struct back *x = w->http->idle[chain_of(b)]; x; x = x->next) {
		if (x->backend != b || x->route != r || x->conn.ended || x->conn.failed ||
		    (x->conn.readable && !x->is_h2))
			continue;
		if (x->is_h2 && !h2_has_place(&x->h2))
			continue;
		if (!x->is_h2)
			leave_pool(x);
		return x;
	}
	return NULL;
}

/* Or of another backend that shares its chain, which is rare, and does no harm. */
static unsigned idle_of(const struct back *b)
{
	return b->conn.worker->http->idle_of[chain_of(b->backend)];
}

struct back *back_opening(struct worker *w, const struct route *r,
			  const struct backend *b)
{
	struct back *x = w->http->opening;

	while (x && (x->backend != b || x->route != r))
		x = x->next_opening;
	return x;
}

void back_begin_opening(struct back *b, const struct backend *backend)
{
	struct http_worker *h = b->conn.worker->http;

	b->backend = backend;
	b->next_opening = h->opening;
	b->prev_opening = &h->opening;
	if (b->next_opening)
		b->next_opening->prev_opening = &b->next_opening;
	h->opening = b;
}

void back_end_opening(struct back *b)
{
	if (!b->prev_opening)
		return;
	*b->prev_opening = b->next_opening;
	if (b->next_opening)
		b->next_opening->prev_opening = b->prev_opening;
	b->prev_opening = NULL;
}

/* --- life --- */

static void back_free(struct ev_dead *dead)
{
	struct back *b = container_of(dead, struct back, dead);

	worker_release(b->conn.worker, b->config);
	free(b);
}

static void close_ends(struct back *b)
{
	struct account_connection a = { .conn = &b->conn };

	if (b->is_h2) {
		h2_close(&b->h2, TG_END_BACKEND_RESET);
		a.dropped = b->h2.dropped;
		a.unread = b->h2.unread;
	} else {
		h1_close(&b->h1);
		a.dropped = b->h1.dropped;
		a.unread = b->h1.unread;
	}
	for (int dir = 0; dir < TG_DIR_MAX; dir++) {
		a.own[dir] = b->is_h2 ? b->h2.own[dir] : 0;
		a.told[dir] = b->is_h2 ? h2_carried(&b->h2, (enum tg_dir)dir)
				       : h1_carried(&b->h1, (enum tg_dir)dir);
	}
	account_connection(b->route->http->book, &a, true);
}

void back_drop(struct back *b, bool reset)
{
	struct worker *w = b->conn.worker;

	if (b->gone)
		return;
	b->gone = true;
	*b->prev_all = b->next_all;
	if (b->next_all)
		b->next_all->prev_all = b->prev_all;
	leave_pool(b);
	(void)conn_send_now(&b->conn);
	if (b->open)
		close_ends(b);
	if (b->in_loops)
		loops_leave(b->conn.fd);
	conn_close(&b->conn, reset);
	ev_defer_free(w->loop, &b->dead);
}

unsigned back_end_idle(struct worker *w, bool (*fn)(const struct back *b, void *arg),
		       void *arg, unsigned max)
{
	unsigned n = 0;

	for (unsigned i = 0; i < HTTP_BACK_CHAINS; i++) {
		struct back *next;

		for (struct back *b = w->http->idle[i]; b && n < max; b = next) {
			next = b->next;
			if (!fn(b, arg))
				continue;
			back_drop(b, false);
			n++;
		}
	}
	return n;
}

/* --- as h1's owner --- */

static void on_idle(struct h1 *h)
{
	struct back *b = back_of(h);

	if (b->route->send_proxy || b->config != b->conn.worker->config || h->in ||
	    idle_of(b) >= b->route->http->pool_max)
		back_drop(b, false);
	else
		enter_pool(b);
}

static void on_over(struct h1 *h, enum tg_end why, bool reset)
{
	(void)why;
	back_drop(back_of(h), reset);
}

static void on_ended(struct h2 *h)
{
	struct back *b = container_of(h, struct back, h2);

	b->idle_ms = ev_now_ms(b->conn.worker->loop);
	if (b->gone || h->streams_n)
		return;
	if (b->route->send_proxy || b->config != b->conn.worker->config || h->closing)
		h2_drain(h);
}

static void on_h2_over(struct h2 *h, enum tg_end why, bool reset)
{
	(void)why;
	back_drop(container_of(h, struct back, h2), reset);
}

static const struct h2_owner h2_owner = { .ended = on_ended, .over = on_h2_over };

static const struct h1_owner owner = { .idle = on_idle, .over = on_over };

/* --- events --- */

static void on_conn(struct ev_io *io, uint32_t events)
{
	struct back *b = container_of(conn_event(io, events), struct back, conn);

	if (b->gone)
		return;
	if (!b->open)
		b->dialed(b->dialer);
	else if (b->is_h2)
		h2_event(&b->h2);
	else
		h1_event(&b->h1);
}

struct back *back_new(struct worker *w, struct config *c, struct listener *l,
		      const struct route *r, struct exchange *x,
		      void (*dialed)(struct exchange *x))
{
	struct back *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->dead.free = back_free;
	b->config = worker_hold(w, c);
	b->listener = l;
	b->route = r;
	b->dialer = x;
	b->dialed = dialed;
	b->next_all = w->http->all;
	b->prev_all = &w->http->all;
	if (b->next_all)
		b->next_all->prev_all = &b->next_all;
	w->http->all = b;
	conn_init(&b->conn, w, -1, true, on_conn);
	b->conn.name.listener = l->id;
	return b;
}

int back_open(struct back *b, const struct backend *backend)
{
	const struct http_listener *l = b->listener->http;
	int err = 0;

	b->backend = backend;
	b->is_h2 = b->route->http->protocol == PROTOCOL_H2;
	if (b->is_h2)
		err = h2_open(&b->h2, &b->conn, true, &h2_owner, NULL,
			      b->route->http->book, l->head_bytes, HTTP_FIELDS_READ);
	else
		h1_open(&b->h1, &b->conn, true, &owner, NULL, l->head_bytes,
			HTTP_FIELDS_READ);
	if (err)
		return err;
	b->open = true;
	account_begin(b->route->http->book, true);
	b->dialer = NULL;
	if (b->is_h2 && !b->route->send_proxy)
		enter_pool(b);
	return 0;
}

struct http_end *back_use(struct back *b, struct exchange *x,
			  const struct http_user *user)
{
	if (b->is_h2)
		return h2_use(&b->h2, x, user);
	h1_use(&b->h1, x, user);
	return &b->h1.end;
}
