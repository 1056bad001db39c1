/* SPDX-License-Identifier: Apache-2.0 */
/* A session in RELAY: moving bytes both ways, half-closes, what breaks, deadlines. */
#include <errno.h>
#include <sys/socket.h>

#include "base/util.h"
#include "net/sock.h"
#include "session/state.h"

#define WATCH_MS 1000

/* What was read while waiting for the hello goes first.  0, -EAGAIN or -errno. */
static int opening_flush(struct session *s)
{
	struct opening *o = s->opening;

	while (o->sent < o->len) {
		ssize_t n = send(s->up.fd, o->head + o->sent, o->len - o->sent,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EAGAIN) {
			s->up.writable = false;
			return -EAGAIN;
		}
		if (n < 0)
			return -errno;
		o->sent += (size_t)n;
		leg_add_tx(&s->up, (size_t)n);
	}
	opening_free(s);
	return 0;
}

/*
 * The deadlines of a relay are looked at when the nearest is due, not moved with each
 * byte.  *reason says which one it is; returns the milliseconds until then, or -1.
 */
static int64_t relay_deadline(const struct session *s, enum tg_end *reason)
{
	const struct timeouts *t = &s->config->timeouts;
	int64_t now = ev_now_ms(s->worker->loop), quiet = now - s->active_ms;
	int64_t next = -1;

#define DEADLINE(ms, why)                           \
	do {                                        \
		int64_t left = (ms);                \
		if (next < 0 || left < next) {      \
			next = left > 0 ? left : 0; \
			*reason = (why);            \
		}                                   \
	} while (0)
	if (s->broken) {
		DEADLINE(SESSION_DRAIN_MS - quiet, TG_END_DONE);
		return next;
	}
	if (s->route->idle_ms)
		DEADLINE(s->route->idle_ms - quiet, TG_END_IDLE_TIMEOUT);
	/* from the half-close on, and from the last byte after it */
	if (s->request.eof != s->response.eof)
		DEADLINE(t->half_close_ms -
				 (now - (s->active_ms > s->half_ms ? s->active_ms
								   : s->half_ms)),
			 TG_END_HALF_CLOSE_TIMEOUT);
	if (t->life_ms)
		DEADLINE(t->life_ms - (now - s->began_ms), TG_END_LIFE_MAX);
	if (s->sniff && s->sniff_since_ms)
		DEADLINE(t->hello_ms - (now - s->began_ms - s->sniff_since_ms),
			 TG_END_PROXY_HEADER_UNTRUSTED);
	if (!s->watched)
		DEADLINE(WATCH_MS - (now - s->began_ms), TG_END_DONE);
#undef DEADLINE
	return next;
}

void session_relay_arm(struct session *s)
{
	enum tg_end reason;
	int64_t next = relay_deadline(s, &reason);

	if (next >= 0)
		session_deadline(s, next);
	else
		ev_timer_del(s->worker->loop, &s->timer);
}

/*
 * Four system calls that a short connection does without; an accepted socket has all of
 * it from its listener.
 */
static void watch(struct session *s)
{
	s->watched = true;
	sock_deadlines(s->up.fd, &s->config->timeouts);
}

void session_relay_due(struct session *s)
{
	enum tg_end reason = TG_END_DONE;
	int64_t next;

	if (!s->watched && ev_now_ms(s->worker->loop) - s->began_ms >= WATCH_MS)
		watch(s);
	next = relay_deadline(s, &reason);
	if (next > 0)
		session_deadline(s, next);
	else if (next == 0 && s->broken)
		session_drain(s, s->broken);
	else if (next == 0)
		session_end(s, reason, true);
}

static void dir_finish(struct session *s, struct flow_dir *d)
{
	d->eof = true;
	if (!s->first)
		s->first = d->from;
	if (d->from == s->broken) { /* no FIN: the error was told to an earlier call */
		session_drain(s, d->from);
		return;
	}
	if (s->request.eof && s->response.eof)
		return; /* close() sends the FIN as well */
	/* half-close goes on to the other side; ENOTCONN: it is gone, its own event says
	 * so */
	(void)shutdown(d->to->fd, SHUT_WR);
	d->to->shut_out = true;
	s->half_ms = ev_now_ms(s->worker->loop);
	session_relay_arm(s);
}

/* 1 if something was sent, 0 if nothing waited, -ENOMEM if some of it is lost. */
static int dir_send_now(struct session *s, struct flow_dir *d)
{
	struct relay_moved m = { 0 };
	enum relay_result r;

	if (!d->store.queued)
		return 0;
	r = relay_send_now(&s->worker->pool, &d->store, &m);
	leg_add_tx(d->to, m.out);
	if (r == RELAY_AGAIN_OUT)
		d->to->writable = false;
	if (r == RELAY_ERR_OUT && m.err == -ENOMEM)
		return -ENOMEM;
	if (r == RELAY_ERR_OUT && !d->to->err)
		d->to->err = -m.err; /* the socket tells it once */
	return 1;
}

int session_send_now(struct session *s)
{
	int up = dir_send_now(s, &s->request), down = dir_send_now(s, &s->response);

	/* nobody else looks again at what came behind it */
	if (up || down)
		ev_task_add(s->worker->loop, &s->task);
	return up < 0 || down < 0 ? -ENOMEM : 0;
}

/* From now on it takes nothing, but what it sent before is passed on, for a while. */
static void leg_broke(struct session *s, struct leg *leg)
{
	struct flow_dir *from = leg == &s->down ? &s->request : &s->response;
	socklen_t len = sizeof(leg->err);

	if (s->broken)
		return;
	if (session_send_now(s) < 0) {
		session_end(s, TG_END_RESOURCES, true);
		return;
	}
	if (!leg->err && getsockopt(leg->fd, SOL_SOCKET, SO_ERROR, &leg->err, &len) < 0)
		leg->err = errno;
	s->broken = leg;
	if (!s->first)
		s->first = leg;
	leg->writable = false;
	s->active_ms = ev_now_ms(s->worker->loop);
	if (from->eof)
		session_drain(s, leg);
	else
		session_deadline(s, SESSION_DRAIN_MS);
}

/* Returns true if there may be more to do at once. */
static bool dir_move(struct session *s, struct flow_dir *d)
{
	struct relay_moved m = { 0 };
	enum relay_result r;
	unsigned hints =
		(d->from->ended ? RELAY_ENDED : 0) | (d->from->urgent ? RELAY_URGENT : 0);

	if (d->eof || d->store.queued || d->to == s->broken || !d->to->writable ||
	    (!d->from->readable && !relay_held(&d->store)))
		return false;
	r = relay_move(&s->worker->pool, &d->store, d->from->fd, d->to->fd, hints, &m);
	leg_add_rx(d->from, m.in);
	leg_add_tx(d->to, m.out);
	if (m.in || m.out)
		s->active_ms = ev_now_ms(s->worker->loop);
	switch (r) {
	case RELAY_BUDGET:
		return true;
	case RELAY_AGAIN_IN:
	case RELAY_QUEUED:
		d->from->readable = false;
		return false;
	case RELAY_AGAIN_OUT:
		d->to->writable = false;
		return false;
	case RELAY_EOF:
		dir_finish(s, d);
		return false;
	case RELAY_ERR_IN: /* nothing is held: all it ever sent has gone on */
		d->from->err = -m.err;
		session_drain(s, d->from);
		return false;
	case RELAY_ERR_OUT:
		d->to->err = -m.err;
		leg_broke(s, d->to);
		return false;
	}
	return false;
}

void session_pump(struct session *s)
{
	bool more = false;
	int err;

	if (s->broken != &s->up && (!s->sniff || opening_sniff(s))) {
		err = s->opening ? opening_flush(s) : 0;
		if (err && err != -EAGAIN)
			leg_broke(s, &s->up);
		else if (!err)
			more |= dir_move(s, &s->request);
	}
	if (s->state != ST_RELAY)
		return;
	more |= dir_move(s, &s->response);
	if (s->state != ST_RELAY)
		return;
	if (s->request.eof && s->response.eof)
		session_end(s, TG_END_DONE, false);
	else if (more)
		ev_task_add(s->worker->loop, &s->task);
	else if (s->down.failed)
		leg_broke(s, &s->down);
	else if (s->up.failed)
		leg_broke(s, &s->up);
}

/* --- the outbox, at the end of a turn --- */

static struct session *session_of(struct flow_dir *d)
{
	return d->from->is_up ? container_of(d, struct session, response)
			      : container_of(d, struct session, request);
}

static void on_moved(struct relay_store *store, size_t out)
{
	struct flow_dir *d = container_of(store, struct flow_dir, store);

	leg_add_tx(d->to, out);
}

static void on_sent(struct relay_store *store, enum relay_result r, int err)
{
	struct flow_dir *d = container_of(store, struct flow_dir, store);
	struct session *s = session_of(d);

	if (s->state != ST_RELAY)
		return;
	if (r == RELAY_AGAIN_OUT)
		d->to->writable = false;
	if (r == RELAY_ERR_OUT && err == -ENOMEM) {
		session_end(s, TG_END_RESOURCES, true);
	} else if (r == RELAY_ERR_OUT) {
		d->to->err = -err;
		leg_broke(s, d->to);
	} else if (r == RELAY_BUDGET || d->from->readable) {
		ev_task_add(s->worker->loop, &s->task);
	}
}

void session_settle(void *arg)
{
	static const struct relay_flush_fns fns = { .moved = on_moved,
						    .result = on_sent };
	struct worker *w = arg;

	relay_flush(&w->pool, &fns);
}

void session_relay(struct session *s)
{
	s->active_ms = ev_now_ms(s->worker->loop);
	session_to(s, ST_RELAY);
	session_resume(s);
}

void session_resume(struct session *s)
{
	session_relay_arm(s);
	session_pump(s); /* what is held may be all that is left to do */
}
