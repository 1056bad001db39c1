/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/util.h"
#include "codec/digest.h"
#include "decide/request.h"
#include "http/account.h"
#include "http/exchange.h"
#include "http/front.h"
#include "http/h1.h"
#include "http/h2.h"
#include "http/worker.h"
#include "net/worker.h"
#include "tls/stream.h"

#define WATCH_MS  500 /* how late a deadline of h2 may be */
#define YOUNG_MS  100 /* what it says may be on its way */
#define LOOKS_MAX 64  /* of the oldest, for one that does nothing */
#define NOTICE_MS 500 /* between the two words of a drain (RFC 9113 6.8) */

struct front {
	struct ev_dead dead;
	struct http_client client;
	void (*over)(struct conn *c, struct outcome o);
	struct ev_timer timer;	     /* of what comes between exchanges */
	struct ev_timer watch;	     /* of h2 */
	struct front *older, *newer; /* of those that may be idle */
	struct config *config; /* a reference: the one its next request comes under */
	union {
		struct h1 h1;
		struct h2 h2;
	};
	int64_t head_ms; /* a head began to come, or what nobody wants */
	int64_t idle_ms; /* it was listed */
	uint64_t wasted; /* that h1 had thrown away when it was looked at */
	bool is_h2 : 1;
	bool closed : 1;
	bool draining : 1;
	bool listed : 1;
};

static const struct http_listener *settings(const struct front *f)
{
	return f->client.listener->http;
}

static int64_t now_ms(const struct front *f)
{
	return ev_now_ms(f->client.worker->loop);
}

static void arm(struct front *f, int64_t ms)
{
	ev_timer_set(f->client.worker->loop, &f->timer, ms);
}

/* --- who may be idle, the oldest first --- */

static void unlist(struct front *f)
{
	struct http_worker *w = f->client.worker->http;

	if (!f->listed)
		return;
	f->listed = false;
	*(f->older ? &f->older->newer : &w->oldest) = f->newer;
	*(f->newer ? &f->newer->older : &w->newest) = f->older;
}

/* It waits from now on; that it does something again is seen when somebody looks. */
static void list(struct front *f)
{
	struct http_worker *w = f->client.worker->http;

	unlist(f);
	f->listed = true;
	f->older = w->newest;
	f->newer = NULL;
	*(f->older ? &f->older->newer : &w->oldest) = f;
	w->newest = f;
	f->idle_ms = now_ms(f);
}

/* Something is under way, or not all of the last answer has gone, or been heard. */
static bool is_busy(const struct front *f)
{
	if (conn_held(f->client.conn))
		return true;
	return f->is_h2 ? f->h2.streams_n > 0 : f->h1.end.exchange || f->h1.lingering;
}

/* It has said something that nobody has read yet: a close would be a reset. */
static bool has_said(const struct front *f)
{
	char byte;

	return recv(f->client.conn->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

/* --- requests --- */

/* The route of its TLS in another configuration, if that would have agreed on the same.
 */
static bool same_connection(const struct front *f, struct listener *l, struct route **ret)
{
	const struct route *was = f->client.route;

	*ret = was ? config_route(l, was->id) : NULL;
	return !was || (*ret && (*ret)->http && decide_same_policy(was, *ret));
}

/* Who its certificate says it is, if a route asks for that.  0 or -ENOMEM. */
static int identify(struct front *f, const struct listener *l)
{
	if (!l->http->asks_identity || f->client.identity)
		return 0;
	return stream_identity(f->client.conn, &f->client.identity);
}

/* Each request comes under the configuration that is in force; false: no other may. */
static bool refresh(struct front *f)
{
	struct config *now = f->client.worker->config;
	struct listener *l;
	struct route *r;

	if (now == f->config)
		return true;
	l = config_listener(now, f->client.listener->id);
	if (!l || !l->serves || !same_connection(f, l, &r) || identify(f, l) < 0)
		return false;
	worker_release(f->client.worker, f->config);
	f->config = worker_hold(f->client.worker, now);
	f->client.config = now;
	f->client.listener = l;
	f->client.who.listener = l;
	f->client.route = r;
	f->client.trusted = http_client_is_trusted(&f->client);
	return true;
}

/* The end of who asks nothing; of HTTP/2 it is announced first. */
static bool is_timed(enum tg_end why)
{
	return why == TG_END_HTTP_KEEP_ALIVE || why == TG_END_HTTP_HEAD_TIMEOUT;
}

static void request(struct front *f, struct http_end *e, const struct http_head *h,
		    bool last)
{
	/* the time is the exchange's now; but for a drain's second word */
	if (!f->is_h2 || !f->draining)
		ev_timer_del(f->client.worker->loop, &f->timer);
	if (is_timed(f->client.why)) /* it was not too late */
		f->client.why = TG_END_DONE;
	if (!refresh(f))
		front_drain(f);
	exchange_begin(&f->client, e, h, last);
}

static struct front *front_of_h1(struct http_end *e)
{
	return container_of(container_of(e, struct h1, end), struct front, h1);
}

static void on_h1_head(struct http_end *e, const struct http_head *h, bool last)
{
	request(front_of_h1(e), e, h, last);
}

static void on_h1_invalid(struct http_end *e, enum http_fault fault)
{
	struct front *f = front_of_h1(e);

	f->client.why = TG_END_HTTP_INVALID;
	exchange_refuse(&f->client, e, fault);
}

static const struct http_user h1_user = { .head = on_h1_head, .invalid = on_h1_invalid };

static struct front *front_of_h2(struct http_end *e)
{
	return container_of(h2_of(e), struct front, h2);
}

static void on_h2_head(struct http_end *e, const struct http_head *h, bool last)
{
	request(front_of_h2(e), e, h, last);
}

static void on_h2_invalid(struct http_end *e, enum http_fault fault)
{
	exchange_refuse(&front_of_h2(e)->client, e, fault);
}

static const struct http_user h2_user = { .head = on_h2_head, .invalid = on_h2_invalid };

/* --- as the owner of its connection --- */

static void over(struct front *f, enum tg_end why, bool reset)
{
	enum tg_end said = f->client.why;

	/* what comes to an end that was announced is not that end */
	if (is_timed(said) && why != TG_END_DONE)
		said = why;
	if (!f->closed)
		f->over(f->client.conn, outcome_over(said ? said : why, reset));
}

static void on_ended(struct h2 *h)
{
	struct front *f = container_of(h, struct front, h2);

	if (h->streams_n || f->closed)
		return;
	if (f->draining)
		return; /* its second word has its time */
	arm(f, settings(f)->keep_alive_ms);
	list(f);
}

static void on_h2_over(struct h2 *h, enum tg_end why, bool reset)
{
	over(container_of(h, struct front, h2), why, reset);
}

/* Deadlines are looked at while something is under way; who is idle costs nothing. */
static void on_worked(struct h2 *h)
{
	struct front *f = container_of(h, struct front, h2);

	if (!f->closed && !f->watch.prev && (h->block_ms || h->streams_n))
		ev_timer_set(f->client.worker->loop, &f->watch, WATCH_MS);
}

static const struct h2_owner h2_owner = { .ended = on_ended,
					  .worked = on_worked,
					  .over = on_h2_over };

/* Header blocks that do not end, windows that do not open. */
static void on_watch(struct ev_timer *timer)
{
	struct front *f = container_of(timer, struct front, watch);
	struct h2 *h = &f->h2;

	if (f->closed || h->over)
		return;
	if (h->block_ms && now_ms(f) - h->block_ms >= settings(f)->head_ms) {
		over(f, TG_END_HTTP_HEAD_TIMEOUT, true);
		return;
	}
	if (h->streams_n)
		h2_end_stalled(h, settings(f)->body_ms);
	on_worked(h);
}

static int become_h2(struct front *f)
{
	const struct http_listener *l = settings(f);

	f->is_h2 = true;
	f->watch.fn = on_watch;
	return h2_open(&f->h2, f->client.conn, false, &h2_owner, &h2_user, l->book,
		       l->head_bytes, (uint16_t)l->fields);
}

static void on_idle(struct h1 *h)
{
	struct front *f = container_of(h, struct front, h1);

	h->end.user = &h1_user;
	if (f->draining) {
		h1_drain(h);
		return;
	}
	arm(f, settings(f)->keep_alive_ms);
	list(f);
}

bool front_evict(struct worker *w)
{
	for (int i = 0; i < LOOKS_MAX && w->http->oldest; i++) {
		struct front *f = w->http->oldest;

		if (!is_busy(f) && now_ms(f) - f->idle_ms < YOUNG_MS)
			return false;
		unlist(f);
		if (is_busy(f) || has_said(f))
			continue; /* it comes back when it idles again */
		f->client.why = TG_END_HTTP_EVICTED;
		over(f, TG_END_HTTP_EVICTED, false);
		return true;
	}
	return false;
}

/* It was no h1: its first bytes are h2's by prior knowledge (RFC 9113 3.3). */
static void change(struct front *f)
{
	struct pool *pool = &f->client.worker->pool;
	struct pool_buffer *in = f->h1.in;
	int err;

	f->h1.in = NULL;
	h1_close(&f->h1);
	err = become_h2(f);
	if (err)
		h2_lose(&f->h2, in->end - in->start);
	else
		h2_feed(&f->h2, in->data + in->start, in->end - in->start);
	pool_buffer_put(pool, in);
	if (err)
		over(f, TG_END_RESOURCES, true);
}

static void on_h1_over(struct h1 *h, enum tg_end why, bool reset)
{
	struct front *f = container_of(h, struct front, h1);

	if (h->preface && !settings(f)->h1_only)
		change(f);
	else
		over(f, h->preface ? TG_END_HTTP_INVALID : why, reset);
}

static void on_lingers(struct h1 *h)
{
	struct front *f = container_of(h, struct front, h1);

	f->head_ms = now_ms(f);
	f->wasted = h->wasted;
	arm(f, HTTP_LINGER_MS);
}

static const struct h1_owner h1_owner = { .idle = on_idle,
					  .lingers = on_lingers,
					  .over = on_h1_over };

/* --- deadlines --- */

static void h2_due(struct front *f)
{
	struct h2 *h = &f->h2;

	if (f->draining && !h->closing) {
		h2_drain(h);
		arm(f, HTTP_LINGER_MS);
	} else if (!h->streams_n && h->closing) {
		over(f, TG_END_DONE, false);
	} else if (!h->streams_n) {
		f->client.why = f->client.requests ? TG_END_HTTP_KEEP_ALIVE
						   : TG_END_HTTP_HEAD_TIMEOUT;
		front_drain(f);
	}
}

/*
 * While an exchange is under way the time is its own; else a head must come: the first in
 * head_timeout, the next one begin in keep_alive_timeout, and be whole in head_timeout.
 */
static void h1_due(struct front *f)
{
	struct h1 *h = &f->h1;
	int64_t waited = now_ms(f) - f->head_ms;

	if (h->lingering && h->wasted != f->wasted && waited < HTTP_LINGER_MOST_MS) {
		f->wasted = h->wasted;
		arm(f, HTTP_LINGER_MS);
	} else if (h->lingering) {
		over(f, TG_END_DONE, false);
	} else if (h->closing) {
		return; /* until all is sent, or the kernel says that it is stuck */
	} else if (h->end.exchange) {
		return; /* on_idle() sets it again */
	} else if (f->draining && h1_is_waiting(h)) {
		h1_drain(h);
	} else if (!h1_is_waiting(h) && waited < settings(f)->head_ms) {
		arm(f, settings(f)->head_ms - waited);
	} else if (!h1_is_waiting(h)) {
		f->client.why = TG_END_HTTP_HEAD_TIMEOUT;
		exchange_timeout(&f->client, &h->end);
	} else {
		f->client.why = f->client.requests ? TG_END_HTTP_KEEP_ALIVE
						   : TG_END_HTTP_HEAD_TIMEOUT;
		h1_drain(h);
	}
}

static void on_timer(struct ev_timer *timer)
{
	struct front *f = container_of(timer, struct front, timer);

	if (f->closed || (f->is_h2 ? f->h2.over : f->h1.over))
		return;
	if (f->is_h2)
		h2_due(f);
	else
		h1_due(f);
}

/* --- life --- */

static void front_free(struct ev_dead *dead)
{
	struct front *f = container_of(dead, struct front, dead);

	worker_release(f->client.worker, f->config);
	free(f->client.certificate);
	free(f->client.identity);
	free(f);
}

static bool speaks_h2(const struct conn *c)
{
	struct stream_client s;

	return stream_client(c, &s) && s.alpn_n == 2 && memcmp(s.alpn, "h2", 2) == 0;
}

/* ":BASE64:", a byte sequence of RFC 8941 3.3.5; NULL: it showed none. */
static char *certificate_of(const struct http_client *c)
{
	uint8_t *der = NULL;
	size_t n = c->route && c->route->client_certificates
			   ? stream_certificate(c->conn, &der)
			   : 0;
	char *ret = n ? malloc((n + 2) / 3 * 4 + 3) : NULL;

	if (ret) {
		ret[0] = ':';
		digest_base64(der, n, ret + 1);
		memcpy(ret + strlen(ret), ":", 2);
	}
	free(der);
	return ret;
}

/* Each of its requests tells it. */
static void write_address(struct http_client *c)
{
	const struct addr *a = http_client_addr(c);
	bool v4 = addr_is_v4(a->ip);

	(void)inet_ntop(v4 ? AF_INET : AF_INET6, a->ip + (v4 ? 12 : 0), c->address,
			sizeof(c->address));
}

struct front *front_open(const struct front_options *o)
{
	struct front *f = calloc(1, sizeof(*f));
	const struct http_listener *l;
	int err;

	if (!f)
		return NULL;
	f->dead.free = front_free;
	f->client = o->client;
	f->client.who.header = o->client.who.header ? &f->client.header : NULL;
	f->client.trusted = http_client_is_trusted(&f->client);
	write_address(&f->client);
	f->client.certificate = certificate_of(&f->client);
	f->config = worker_hold(f->client.worker, o->config);
	f->over = o->over;
	f->timer.fn = on_timer;
	l = settings(f);
	err = identify(f, f->client.listener);
	if (err)
		goto fail; /* who it is would be taken for nobody */
	if (speaks_h2(f->client.conn)) {
		err = become_h2(f);
	} else {
		h1_open(&f->h1, f->client.conn, false, &h1_owner, &h1_user, l->head_bytes,
			(uint16_t)l->fields);
		f->h1.fresh = true;
		err = h1_feed(&f->h1, o->first, o->first_n);
	}
	if (!err) {
		account_begin(l->book, false);
		return f;
	}
fail:
	front_free(&f->dead);
	return NULL;
}

void front_begin(struct front *f)
{
	f->head_ms = now_ms(f);
	arm(f, settings(f)->head_ms);
	list(f);
	f->client.conn->readable = true; /* what came with the handshake, too */
	front_event(f);
}

static void h1_front_event(struct front *f)
{
	bool waited = h1_is_waiting(&f->h1);

	h1_event(&f->h1);
	if (f->closed || f->is_h2 || f->h1.over)
		return;
	if (!f->h1.closing && waited && !h1_is_waiting(&f->h1) && !f->h1.end.exchange) {
		f->head_ms = now_ms(f);
		arm(f, settings(f)->head_ms);
	}
}

void front_event(struct front *f)
{
	if (f->closed)
		return;
	if (!f->is_h2) {
		h1_front_event(f);
		return;
	}
	h2_event(&f->h2);
}

/* Less than the process has, if that ends. */
static int64_t notice_ms(const struct front *f)
{
	int64_t half = f->config->timeouts.drain_ms / 2;

	return half < NOTICE_MS ? half : NOTICE_MS;
}

void front_drain(struct front *f)
{
	if (f->closed || f->draining)
		return;
	f->draining = true;
	if (f->is_h2) {
		h2_drain(&f->h2);
		arm(f, notice_ms(f));
		return;
	}
	f->h1.close = true;
	if (!f->h1.end.exchange && !f->h1.over) /* a request may be on its way */
		arm(f, NOTICE_MS);
}

void front_close(struct front *f, enum tg_end why)
{
	struct account_connection a = { .conn = f->client.conn };

	if (f->closed)
		return;
	f->closed = true;
	unlist(f);
	ev_timer_del(f->client.worker->loop, &f->timer);
	ev_timer_del(f->client.worker->loop, &f->watch);
	if (f->is_h2) {
		h2_close(&f->h2, why);
		a.dropped = f->h2.dropped;
		a.unread = f->h2.unread;
	} else {
		if (f->h1.end.exchange)
			exchange_stop(f->h1.end.exchange, why);
		f->h1.end.exchange = NULL;
		h1_close(&f->h1);
		a.dropped = f->h1.dropped;
		a.unread = f->h1.unread;
	}
	for (int dir = 0; dir < TG_DIR_MAX; dir++) {
		a.own[dir] = f->is_h2 ? f->h2.own[dir] : 0;
		a.told[dir] = f->is_h2 ? h2_carried(&f->h2, (enum tg_dir)dir)
				       : h1_carried(&f->h1, (enum tg_dir)dir);
	}
	account_connection(settings(f)->book, &a, false);
	ev_defer_free(f->client.worker->loop, &f->dead);
}
