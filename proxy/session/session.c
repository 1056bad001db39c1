/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session is one state machine: HEADER -> HELLO -> CONNECT -> RELAY -> over, with DRAIN
 * before the end when one side is gone: what it had sent goes out first.  Steps answer
 * (state.h); here is where their answers lead.  Every state has a deadline; every end has
 * one reason, counted once.  Sockets are watched edge-triggered: a flag remembers
 * readiness until a call says EAGAIN, so a connection costs two epoll_ctl calls in its
 * life.
 *
 * The book's rule: bytes are added to the leg's slot in the step that moved them, and the
 * leg's own sums are given to the kernel as the proxy's claim just before close().
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "base/log.h"
#include "base/util.h"
#include "book/ends.h"
#include "session/state.h"

static const char *const state_names[] = { "header", "hello", "connect",
					   "relay",  "drain", "over" };

/* --- life --- */

static void session_free(struct ev_dead *dead)
{
	struct session *s = container_of(dead, struct session, dead);

	opening_free(s);
	free(s->heard);
	config_put(s->config);
	free(s);
}

/* Whose doing it was. */
static enum tg_side end_side(const struct session *s, enum tg_end reason)
{
	bool either = reason == TG_END_DONE || reason == TG_END_TRUNCATED ||
		      reason == TG_END_STUCK || reason == TG_END_SILENT;

	if (!either || !s->first)
		return tg_end_sides[reason];
	return s->first == &s->down ? TG_SIDE_CLIENT : TG_SIDE_BACKEND;
}

/* Count it off, and tell who waits for room. */
static void leave(struct worker *w)
{
	__atomic_fetch_sub(&w->proxy->sessions, 1, __ATOMIC_RELAXED);
	if (w->room_wanted)
		ev_task_add(w->loop, &w->room);
}

/* Its sockets are closed, or another's: off all lists. */
void session_unlink(struct session *s)
{
	struct worker *w = s->worker;

	s->state = ST_OVER;
	upstream_release(s);
	limits_release(w->proxy->limits, &s->holds);
	ev_timer_del(w->loop, &s->timer);
	ev_task_del(w->loop, &s->task);
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

void session_end(struct session *s, enum tg_end reason, bool reset)
{
	struct facts facts = session_facts(s);
	struct worker *w = s->worker;
	uint64_t lost_up, lost_down;
	enum tg_side side;

	if (s->state == ST_OVER)
		return;
	(void)tunnel_send_now(s); /* what is lost is counted below */
	lost_up = opening_held(s) + relay_held(&s->request.store);
	lost_down = relay_held(&s->response.store);
	openings_remove(s);
	log_debug("session %p: %s -> %s", (void *)s, state_names[s->state],
		  state_names[ST_OVER]);
	s->state = ST_OVER;
	/* a clean end must have delivered everything */
	if (reason == TG_END_DONE && lost_up + lost_down > 0) {
		reason = TG_END_TRUNCATED;
		reset = true;
	}
	upstream_stop_waiting(s);
	if (!s->down.slot && s->backend) /* the last that was tried */
		leg_name(s, &s->down, TG_LEG_DOWNSTREAM);
	leg_take_slot(&s->down, s->backend ? s->backend->downstream : s->listener->slot);
	side = end_side(s, reason);
	writer_end(w->proxy->writer, s->down.slot, reason, side);
	session_tell(s, reason, side, lost_up, lost_down);
	decide_note(w, &facts, reason, &s->holds);
	book_add(&s->down.slot->undelivered_bytes, lost_up);
	if (s->up.slot)
		book_add(&s->up.slot->undelivered_bytes, lost_down);
	upstream_forget(s);
	leg_close(s, &s->up, reset);
	leg_close(s, &s->down, reset);
	relay_store_clear(&w->pool, &s->request.store);
	relay_store_clear(&w->pool, &s->response.store);
	session_unlink(s);
}

/* --- states --- */

static enum session_state next_state(const struct session *s)
{
	switch (s->state) {
	case ST_HEADER:
		return s->listener->tls && !s->route ? ST_HELLO : ST_CONNECT;
	case ST_HELLO:
		return ST_CONNECT;
	case ST_CONNECT:
		return ST_RELAY;
	default:
		return ST_DRAIN;
	}
}

static struct outcome enter(struct session *s, enum session_state state)
{
	log_debug("session %p: %s -> %s", (void *)s, state_names[s->state],
		  state_names[state]);
	s->state = state;
	if (state == ST_HELLO)
		return opening_hello(s);
	openings_remove(s);
	switch (state) {
	case ST_CONNECT:
		return upstream_begin(s);
	case ST_RELAY:
		return tunnel_begin(s);
	default:
		return tunnel_drain_begin(s);
	}
}

/* Only what has changed: most events of a relay change nothing. */
static void arm(struct session *s)
{
	struct ev_loop *loop = s->worker->loop;

	if (s->due_ms == (s->timer.prev ? s->timer.due_ms : -1))
		return;
	if (s->due_ms >= 0)
		ev_timer_set(loop, &s->timer, s->due_ms - ev_now_ms(loop));
	else
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
		ev_task_add(s->worker->loop, &s->task);
	arm(s);
}

void session_evict(struct session *s)
{
	session_end(s, TG_END_EVICTED, true);
	opening_free(s); /* now, not when the session is freed */
}

/* --- events --- */

static struct outcome on_event(struct session *s, const struct leg *leg)
{
	switch (s->state) {
	case ST_HEADER:
	case ST_HELLO:
		return opening_read(s);
	case ST_CONNECT:
		if (leg == &s->up && leg->writable)
			return upstream_ready(s);
		return leg == &s->down && leg->failed
			       ? outcome_over(TG_END_CLIENT_GONE, true)
			       : outcome_wait();
	case ST_RELAY:
		return tunnel_pump(s);
	case ST_DRAIN:
		return tunnel_drain_event(s);
	default:
		return outcome_wait();
	}
}

static void on_leg(struct ev_io *io, uint32_t events)
{
	struct leg *leg = container_of(io, struct leg, io);
	struct session *s = leg->is_up ? container_of(leg, struct session, up)
				       : container_of(leg, struct session, down);

	if (events & (EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLERR | EPOLLHUP))
		leg->readable = true;
	if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
		leg->writable = true;
	leg->urgent |= (events & EPOLLPRI) != 0;
	leg->ended |= (events & (EPOLLRDHUP | EPOLLHUP)) != 0;
	leg->failed |= (events & EPOLLERR) != 0;
	if (s->moving || s->state == ST_OVER)
		return; /* if it stays it is looked at again */
	session_run(s, on_event(s, leg));
}

static void on_task(struct ev_task *task)
{
	struct session *s = container_of(task, struct session, task);

	if (s->state == ST_RELAY && !s->moving)
		session_run(s, tunnel_pump(s));
}

/* Not back to the end of the queue if it was for nothing. */
static bool on_place(struct waiter *x)
{
	struct session *s = container_of(x, struct session, waiter);
	struct outcome o;

	if (!upstream_take_place(s, &o))
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
	case ST_CONNECT:
		return upstream_due(s);
	case ST_RELAY:
		return tunnel_due(s);
	case ST_DRAIN:
		return tunnel_drain(s);
	default:
		return outcome_wait();
	}
}

static void on_timer(struct ev_timer *timer)
{
	struct session *s = container_of(timer, struct session, timer);

	if (!s->moving)
		session_run(s, on_due(s));
}

/* --- the outbox, at the end of a turn --- */

static void on_sent(struct relay_store *store, enum relay_result r, int err)
{
	struct session *s = tunnel_of(store);

	if (s->state == ST_RELAY)
		session_run(s, tunnel_sent(s, store, r, err));
}

void session_settle(void *arg)
{
	static const struct relay_flush_fns fns = { .moved = tunnel_moved,
						    .result = on_sent };
	struct worker *w = arg;

	relay_flush(&w->pool, &fns);
}

/* --- for start.c and move.c, and orders.c above --- */

void session_leg_init(struct session *s, struct leg *leg, int fd)
{
	leg->is_up = leg == &s->up;
	leg->fd = fd;
	leg->io = (struct ev_io){ .fd = -1, .fn = on_leg };
	leg->name.listener = s->listener->id;
	leg->name.leg = TG_LEG_DOWNSTREAM;
}

void session_link(struct session *s, struct worker *w)
{
	s->dead.free = session_free;
	s->worker = w;
	s->config = config_get(w->config);
	s->timer.fn = on_timer;
	s->due_ms = -1;
	s->waiter.take = on_place;
	s->task.fn = on_task;
	s->response.is_response = true;
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
