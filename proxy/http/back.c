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

static struct back **chain_of(struct http_worker *h, const struct backend *b)
{
	return &h->idle[((uintptr_t)b / sizeof(*b)) % HTTP_BACK_CHAINS];
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
	b->conn.worker->http->idle_n--;
}

static void enter_pool(struct back *b)
{
	struct http_worker *h = b->conn.worker->http;
	struct back **chain = chain_of(h, b->backend);

	b->next = *chain;
	b->prev = chain;
	if (b->next)
		b->next->prev = &b->next;
	*chain = b;
	h->idle_n++;
	b->idle_ms = ev_now_ms(b->conn.worker->loop);
	if (!h->sweep.prev)
		ev_timer_set(b->conn.worker->loop, &h->sweep, 1000);
}

struct back *back_idle(struct worker *w, const struct route *r, const struct backend *b)
{
	for (struct back *x = *chain_of(w->http, b); x; x = x->next) {
		if (x->backend != b || x->route != r || x->conn.ended || x->conn.failed ||
		    x->conn.readable)
			continue;
		leave_pool(x);
		x->used = true;
		return x;
	}
	return NULL;
}

static unsigned idle_of(const struct back *b)
{
	unsigned n = 0;

	for (const struct back *x = *chain_of(b->conn.worker->http, b->backend); x;
	     x = x->next)
		n += x->backend == b->backend && x->route == b->route;
	return n;
}

/* --- life --- */

static void back_free(struct ev_dead *dead)
{
	struct back *b = container_of(dead, struct back, dead);

	config_put(b->config);
	free(b);
}

void back_drop(struct back *b, bool reset)
{
	struct worker *w = b->conn.worker;

	if (b->gone)
		return;
	b->gone = true;
	leave_pool(b);
	if (b->open) {
		h1_close(&b->h1);
		account_connection(b->route->http->book, &b->h1, true);
	}
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

static const struct h1_owner owner = { .idle = on_idle, .over = on_over };

/* --- events --- */

static void on_conn(struct ev_io *io, uint32_t events)
{
	struct back *b = container_of(conn_event(io, events), struct back, conn);

	if (b->gone)
		return;
	if (!b->open)
		b->dialed(b->dialer);
	else if (!b->prev)
		h1_event(&b->h1);
	else if (b->conn.ended || b->conn.failed || b->conn.readable)
		back_drop(b, b->conn.failed); /* it has nothing to say to nobody */
}

struct back *back_new(struct worker *w, struct listener *l, const struct route *r,
		      struct exchange *x, void (*dialed)(struct exchange *x))
{
	struct back *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->dead.free = back_free;
	b->config = config_get(w->config);
	b->listener = l;
	b->route = r;
	b->dialer = x;
	b->dialed = dialed;
	conn_init(&b->conn, w, -1, true, on_conn);
	b->conn.name.listener = l->id;
	return b;
}

void back_open(struct back *b, const struct backend *backend)
{
	const struct http_listener *l = b->listener->http;

	b->backend = backend;
	b->open = true;
	b->dialer = NULL;
	h1_open(&b->h1, &b->conn, true, &owner, NULL, l->head_bytes,
		(uint16_t)HTTP_FIELDS_MAX - 16);
}
