/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>

#include "base/util.h"
#include "http/back.h"
#include "http/sender.h"
#include "http/worker.h"

#define IDLE_MS	 55000 /* a connection of the pool; backends close theirs after 60 s */
#define SWEEP_MS 1000

/* What was gathered goes; who is behind a blocked socket hears of that by its event. */
static void on_flush(struct ev_task *task)
{
	struct http_worker *h = container_of(task, struct http_worker, flush);

	while (h->staged) {
		struct sender *s = h->staged;
		int err;

		h->staged = s->next;
		if (h->staged)
			h->staged->prev = &h->staged;
		s->prev = NULL;
		err = sender_flush(s);
		if (err && err != -EAGAIN) { /* its owner finds it there */
			s->conn->err = -err;
			s->conn->failed = true;
			s->conn->io.fn(&s->conn->io, EPOLLERR);
		}
	}
}

static bool is_old(const struct back *b, void *arg)
{
	return !back_is_busy(b) && *(const int64_t *)arg - b->idle_ms >= IDLE_MS;
}

static void on_sweep(struct ev_timer *timer)
{
	struct http_worker *h = container_of(timer, struct http_worker, sweep);
	int64_t now = ev_now_ms(h->worker->loop);

	(void)back_end_idle(h->worker, is_old, &now, UINT32_MAX);
	if (h->idle_n)
		ev_timer_set(h->worker->loop, &h->sweep, SWEEP_MS);
}

static bool is_foreign(const struct back *b, void *arg)
{
	return b->config != arg && !back_is_busy(b);
}

void http_forget(struct worker *w)
{
	(void)back_end_idle(w, is_foreign, w->config, UINT32_MAX);
}

static bool is_any(const struct back *b, void *arg)
{
	(void)arg;
	return !back_is_busy(b);
}

bool http_make_room(struct worker *w)
{
	return back_end_idle(w, is_any, NULL, 1) > 0;
}

int http_each_socket(struct worker *w, int (*fn)(const struct conn *c, void *arg),
		     void *arg)
{
	int err = 0;

	for (struct back *b = w->http->all; b && !err; b = b->next_all)
		err = b->conn.fd >= 0 ? fn(&b->conn, arg) : 0;
	return err;
}

const char *http_date(struct worker *w)
{
	struct http_worker *h = w->http;
	time_t now = time(NULL);
	struct tm tm;

	if (now != h->date_at) {
		h->date_at = now;
		(void)gmtime_r(&now, &tm);
		(void)strftime(h->date, sizeof(h->date), "%a, %d %b %Y %H:%M:%S GMT",
			       &tm);
	}
	return h->date;
}

static bool is_every(const struct back *b, void *arg)
{
	(void)b;
	(void)arg;
	return true;
}

int http_open(struct worker *w)
{
	struct http_worker *h = calloc(1, sizeof(*h));

	if (!h)
		return -ENOMEM;
	h->bulk = malloc(sizeof(*h->bulk) + HTTP_BULK_BYTES);
	if (!h->bulk) {
		free(h);
		return -ENOMEM;
	}
	*h->bulk = (struct pool_buffer){ .cap = HTTP_BULK_BYTES };
	h->worker = w;
	h->flush.fn = on_flush;
	h->sweep.fn = on_sweep;
	w->http = h;
	return 0;
}

void http_close(struct worker *w)
{
	if (w->http)
		(void)back_end_idle(w, is_every, NULL, UINT32_MAX);
	if (w->http)
		free(w->http->bulk);
	free(w->http);
	w->http = NULL;
}
