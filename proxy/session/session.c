/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session is one state machine: HEADER -> HELLO -> HANDSHAKE -> CONNECT -> RELAY ->
 * over, with DRAIN before the end when one side is gone: what it had sent goes out first.
 * Steps answer (state.h); here is where their answers lead.  Every state has a deadline;
 * every end has one reason, counted once.  Sockets are watched edge-triggered: a flag
 * remembers readiness until a call says EAGAIN, so a connection costs two epoll_ctl calls
 * in its life.
 *
 * The book's rule is the conn's (net/conn.h).
 */
#include <stdlib.h>

#include "base/log.h"
#include "base/util.h"
#include "book/ends.h"
#include "session/state.h"

const char *const session_states[] = { "header", "hello", "handshake", "connect",
				       "relay",	 "drain", "serve",     "over" };

/* --- life --- */

static void session_free(struct ev_dead *dead)
{
	struct session *s = container_of(dead, struct session, dead);

	opening_free(s);
	free(s->heard);
	worker_release(session_worker(s), s->config);
	free(s);
}

/* Whose doing it was. */
static enum tg_side end_side(const struct session *s, enum tg_end reason)
{
	bool either = reason == TG_END_DONE || reason == TG_END_TRUNCATED ||
		      reason == TG_END_STUCK || reason == TG_END_SILENT ||
		      reason == TG_END_TLS_TRUNCATED || reason == TG_END_TLS_ERROR;

	if (!either || !s->tunnel.first)
		return tg_end_sides[reason];
	return s->tunnel.first == TUNNEL_CLIENT ? TG_SIDE_CLIENT : TG_SIDE_BACKEND;
}

/* Count it off, and tell who waits for room. */
static void leave(struct worker *w)
{
	__atomic_fetch_sub(&w->proxy->sessions, 1, __ATOMIC_RELAXED);
	if (w->room_wanted)
		ev_task_add(w->loop, &w->room);
}

void session_drain(struct worker *w)
{
	struct session *next;

	for (struct session *s = w->sessions; s; s = next) {
		next = s->next;
		if (s->state == ST_SERVE)
			front_drain(s->front);
	}
}

/* Its sockets are closed, or another's: off all lists. */
void session_unlink(struct session *s)
{
	struct worker *w = session_worker(s);

	s->state = ST_OVER;
	dial_release(&s->dial, w);
	limits_release(w->proxy->limits, &s->holds);
	ev_timer_del(w->loop, &s->timer);
	ev_task_del(w->loop, &s->tunnel.task);
	if (w->walk == s)
		w->walk = s->next;
	if (w->recount == s)
		w->recount = s->next;
	if (w->offer == s)
		w->offer = s->next;
	*s->prev = s->next;
	if (s->next)
		s->next->prev = s->prev;
	leave(w);
	ev_defer_free(w->loop, &s->dead);
}

/* The client's row: of the last backend that was tried, or the listener's. */
static void take_last_row(struct session *s)
{
	struct backend *b = s->dial.backend;
	struct conn *down = &s->tunnel.down;
	struct conn_name name;

	if (!down->slot && b) {
		name = session_name(s, TG_LEG_DOWNSTREAM);
		conn_set_name(down, &name);
	}
	conn_take_row(down, b ? b->downstream : s->listener->slot);
}

void session_end(struct session *s, enum tg_end reason, bool reset)
{
	struct facts facts = session_facts(s);
	struct worker *w = session_worker(s);
	struct tunnel *t = &s->tunnel;
	uint64_t lost_up, lost_down;
	enum tg_side side;

	if (s->state == ST_OVER)
		return;
	(void)tunnel_send_now(t); /* what is lost is counted below */
	lost_up = opening_held(s) + tunnel_held(t, TUNNEL_CLIENT);
	lost_down = tunnel_held(t, TUNNEL_BACKEND);
	openings_remove(s);
	log_debug("session %p: %s -> over", (void *)s, session_states[s->state]);
	s->state = ST_OVER;
	take_last_row(s);
	if (s->front)
		front_close(s->front, reason);
	/* a clean end must have delivered everything */
	if (reason == TG_END_DONE && lost_up + lost_down > 0) {
		reason = TG_END_TRUNCATED;
		reset = true;
	}
	side = end_side(s, reason);
	writer_end(w->proxy->writer, t->down.slot, reason, side);
	session_tell(s, reason, side, lost_up, lost_down);
	decide_note(w, &facts, reason, &s->holds);
	book_add(&t->down.slot->undelivered_bytes, lost_up);
	if (t->up.slot)
		book_add(&t->up.slot->undelivered_bytes, lost_down);
	dial_end(&s->dial, &t->up);
	tunnel_close(t, reset);
	session_unlink(s);
}

/* --- states --- */

static enum session_state next_state(const struct session *s)
{
	switch (s->state) {
	case ST_HEADER:
		if (s->listener->serves && !s->listener->tls)
			return ST_SERVE;
		return s->listener->tls && !s->dial.route ? ST_HELLO : ST_CONNECT;
	case ST_HELLO:
		return s->dial.route->tls != TLS_PASSTHROUGH ? ST_HANDSHAKE : ST_CONNECT;
	case ST_HANDSHAKE:
		return s->dial.route->http ? ST_SERVE : ST_CONNECT;
	case ST_CONNECT:
		return ST_RELAY;
	default:
		return ST_DRAIN;
	}
}

static void on_served(struct conn *c, struct outcome o);

static struct outcome enter(struct session *s, enum session_state state)
{
	log_debug("session %p: %s -> %s", (void *)s, session_states[s->state],
		  session_states[state]);
	s->state = state;
	if (state == ST_HELLO)
		return opening_hello(s);
	if (state == ST_HANDSHAKE)
		return handshake_begin(s);
	openings_remove(s);
	switch (state) {
	case ST_CONNECT:
		return connect_begin(s);
	case ST_RELAY:
		return opening_relay(s);
	case ST_SERVE:
		return serve_begin(s, on_served);
	default:
		return tunnel_drain_begin(&s->tunnel);
	}
}

/* Most events of a relay change nothing of it. */
static void arm(struct session *s, int32_t wait_ms)
{
	struct ev_loop *loop = session_worker(s)->loop;

	if (wait_ms > 0)
		ev_timer_set(loop, &s->timer, wait_ms);
	else if (wait_ms < 0)
		ev_timer_del(loop, &s->timer);
}

void session_run(struct session *s, struct outcome o)
{
	while (o.step == STEP_NEXT)
		o = enter(s, next_state(s));
	if (o.step == STEP_OVER) {
		session_end(s, o.reason, o.reset);
		return;
	}
	if (o.step == STEP_AGAIN)
		ev_task_add(session_worker(s)->loop, &s->tunnel.task);
	arm(s, o.wait_ms);
}

void session_evict(struct session *s)
{
	session_end(s, TG_END_EVICTED, true);
	opening_free(s); /* now, not when the session is freed */
}

/* --- events --- */

static struct session *session_of(struct conn *c)
{
	return c->is_up ? container_of(c, struct session, tunnel.up)
			: container_of(c, struct session, tunnel.down);
}

static void on_served(struct conn *c, struct outcome o)
{
	session_run(session_of(c), o);
}

static struct outcome on_event(struct session *s, const struct conn *c)
{
	switch (s->state) {
	case ST_HEADER:
	case ST_HELLO:
		return opening_read(s);
	case ST_HANDSHAKE:
		return handshake_event(s);
	case ST_CONNECT:
		return connect_event(s, c);
	case ST_RELAY:
		return opening_pump(s);
	case ST_SERVE:
		front_event(s->front);
		return outcome_wait();
	default:
		return tunnel_drain_event(&s->tunnel);
	}
}

static void on_conn(struct ev_io *io, uint32_t events)
{
	struct conn *c = conn_event(io, events);
	struct session *s = session_of(c);

	if (!s->moving && s->state != ST_OVER) /* if it stays it is looked at again */
		session_run(s, on_event(s, c));
}

static void on_task(struct ev_task *task)
{
	struct session *s = container_of(task, struct session, tunnel.task);

	if (s->moving)
		return; /* if it stays it is looked at again */
	if (s->state == ST_RELAY)
		session_run(s, opening_pump(s));
	else if (s->state == ST_HANDSHAKE)
		session_run(s, handshake_event(s));
}

/* Not back to the end of the queue if it was for nothing. */
static bool on_place(struct waiter *x)
{
	struct session *s = container_of(x, struct session, dial.waiter);
	struct outcome o;

	if (!connect_take_place(s, &o))
		return false;
	session_run(s, o);
	return true;
}

static struct outcome on_due(struct session *s)
{
	switch (s->state) {
	case ST_HEADER:
	case ST_HELLO:
		return opening_due(s);
	case ST_HANDSHAKE:
		return outcome_over(TG_END_TLS_TIMEOUT, true);
	case ST_CONNECT:
		return connect_due(s);
	case ST_RELAY:
		return tunnel_due(&s->tunnel);
	case ST_SERVE:
		return serve_due(s);
	default:
		return tunnel_drain(&s->tunnel);
	}
}

static void on_timer(struct ev_timer *timer)
{
	struct session *s = container_of(timer, struct session, timer);

	if (!s->moving && s->state != ST_OVER)
		session_run(s, on_due(s));
}

/* --- for start.c and move.c, and orders.c above --- */

void session_link(struct session *s, struct worker *w, struct listener *l, int down,
		  int up)
{
	struct tunnel *t = &s->tunnel;

	s->dead.free = session_free;
	s->config = worker_hold(w, w->config);
	s->listener = l;
	s->timer.fn = on_timer;
	s->dial.waiter.take = on_place;
	t->task.fn = on_task;
	t->timeouts = &s->config->timeouts;
	conn_init(&t->down, w, down, false, on_conn);
	conn_init(&t->up, w, up, true, on_conn);
	t->down.name.listener = t->up.name.listener = l->id;
	t->down.is_tcp = !l->path;
	__atomic_fetch_add(&w->proxy->sessions, 1, __ATOMIC_RELAXED);
	s->next = w->sessions;
	s->prev = &w->sessions;
	if (s->next)
		s->next->prev = &s->next;
	w->sessions = s;
}

unsigned session_end_some(struct worker *w, enum tg_end reason, unsigned max)
{
	struct session *next;
	unsigned n = 0;

	for (struct session *s = w->sessions; s && n < max; s = next) {
		next = s->next;
		if (s->moving)
			continue;
		session_end(s, reason, true);
		n++;
	}
	return n;
}
