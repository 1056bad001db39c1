/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session is one state machine: HEADER -> HELLO -> CONNECT -> RELAY -> over, with QUEUE
 * before CONNECT when no backend has a place, and DRAIN before the end when one side is
 * gone: what it had sent goes out first.  Every state has a deadline; every end has one
 * reason, counted once.  Sockets are watched edge-triggered: a flag remembers readiness
 * until a call says EAGAIN, so a connection costs two epoll_ctl calls in its life.
 *
 * The book's rule: bytes are added to the leg's slot in the step that moved them, and the
 * leg's own sums are given to the kernel as the proxy's claim just before close().
 */
#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

#include "base/log.h"
#include "base/util.h"
#include "session/state.h"

#define ATTEMPT_MS    300 /* RFC 8305 8: 250 ms are recommended, 2 s the most */
#define DRAIN_STEP_MS 5	  /* to the first look; the next ones wait longer and longer */
#define DRAIN_WAIT_MS 250

static const char *const state_names[] = { "header", "hello", "queue", "connect",
					   "relay",  "drain", "over" };

const uint8_t session_end_sides[TG_END_MAX] = {
#define X(name, label, side) TG_SIDE_##side,
	TG_ENDS(X)
#undef X
};

/* --- life --- */

static void session_free(struct ev_dead *dead)
{
	struct session *s = container_of(dead, struct session, dead);

	opening_free(s);
	free(s->heard);
	config_put(s->config);
	free(s);
}

static int64_t state_deadline_ms(const struct session *s)
{
	const struct timeouts *t = &s->config->timeouts;

	switch (s->state) {
	case ST_HEADER:
	case ST_HELLO:
		return t->hello_ms;
	case ST_QUEUE:
		return s->route->queue->timeout_ms;
	case ST_CONNECT: /* who is silent has a moment, if there is another to try */
		return s->more_addrs && t->connect_ms > ATTEMPT_MS ? ATTEMPT_MS
								   : t->connect_ms;
	default:
		return SESSION_DRAIN_MS;
	}
}

void session_deadline(struct session *s, int64_t ms)
{
	ev_timer_set(s->worker->loop, &s->timer, ms);
}

void session_to(struct session *s, enum session_state state)
{
	log_debug("session %p: %s -> %s", (void *)s, state_names[s->state],
		  state_names[state]);
	if (state != ST_HEADER && state != ST_HELLO)
		openings_remove(s);
	/* HEADER and HELLO share one deadline: the client's whole opening */
	if (!(s->state == ST_HEADER && state == ST_HELLO) && state != ST_RELAY) {
		s->state = state;
		session_deadline(s, state_deadline_ms(s));
	}
	s->state = state;
}

/* Whose doing it was. */
static enum tg_side end_side(const struct session *s, enum tg_end reason)
{
	bool either = reason == TG_END_DONE || reason == TG_END_TRUNCATED ||
		      reason == TG_END_STUCK || reason == TG_END_SILENT;

	if (!either || !s->first)
		return session_end_sides[reason];
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
	struct worker *w = s->worker;
	uint64_t lost_up, lost_down;
	enum tg_side side;

	if (s->state == ST_OVER)
		return;
	(void)session_send_now(s); /* what is lost is counted below */
	lost_up = opening_held(s) + relay_held(&s->request.store);
	lost_down = relay_held(&s->response.store);
	session_to(s, ST_OVER);
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
	book_add(&s->down.slot->ends[reason][side], 1);
	session_tell(s, reason, side, lost_up, lost_down);
	session_note_offender(w, s->listener, reason, &s->client);
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

/* In DRAIN: the leg that still has bytes to send. */
static const struct leg *draining(const struct session *s)
{
	return s->broken == &s->down ? &s->up : &s->down;
}

/*
 * One side was reset.  Bytes of it that wait in the other side's send queue would be
 * thrown away by a reset of ours, so wait for their acknowledgement, but not for ever.
 */
static void drain_step(struct session *s)
{
	int64_t waited = ev_now_ms(s->worker->loop) - s->half_ms;
	const struct leg *leg = draining(s);
	int64_t next = waited;
	int queued = 0;

	next = next < DRAIN_STEP_MS ? DRAIN_STEP_MS : next;
	next = next > DRAIN_WAIT_MS ? DRAIN_WAIT_MS : next;
	if (ioctl(leg->fd, SIOCOUTQ, &queued) < 0 || queued == 0 || leg->failed ||
	    waited >= SESSION_DRAIN_MS)
		session_end(s, s->why, true);
	else
		session_deadline(s, next);
}

/*
 * Why a leg is gone.  ETIMEDOUT is the kernel's word that nobody answered: bytes of ours
 * that were not acknowledged, or not taken (TCP_USER_TIMEOUT, tcp(7)), or else probes of
 * a connection where nothing was on its way.
 */
static enum tg_end gone_reason(struct session *s, const struct leg *leg)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	if (leg->err != ETIMEDOUT)
		return leg == &s->down ? TG_END_CLIENT_RESET : TG_END_BACKEND_RESET;
	if (getsockopt(leg->fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 &&
	    info.tcpi_bytes_acked < leg->tx + leg->tx_header)
		return TG_END_STUCK;
	return TG_END_SILENT;
}

void session_drain(struct session *s, struct leg *broken)
{
	if (session_send_now(s) < 0) {
		session_end(s, TG_END_RESOURCES, true);
		return;
	}
	s->why = (uint8_t)gone_reason(s, broken);
	if (!s->first)
		s->first = broken;
	s->broken = broken;
	s->half_ms = ev_now_ms(s->worker->loop);
	session_to(s, ST_DRAIN);
	drain_step(s);
}

/* --- events --- */

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
	if (s->moving)
		return; /* if it stays it is looked at again */
	switch (s->state) {
	case ST_HEADER:
	case ST_HELLO:
		opening_read(s);
		break;
	case ST_CONNECT:
	case ST_QUEUE:
		if (leg == &s->up && leg->writable)
			upstream_connected(s);
		else if (leg == &s->down && leg->failed)
			session_end(s, TG_END_CLIENT_GONE, true);
		break;
	case ST_RELAY:
		session_pump(s);
		break;
	case ST_DRAIN:
		if (draining(s)->failed)
			drain_step(s);
		break;
	case ST_OVER:
		break;
	}
}

static void on_task(struct ev_task *task)
{
	struct session *s = container_of(task, struct session, task);

	if (s->state == ST_RELAY && !s->moving)
		session_pump(s);
}

static void on_timer(struct ev_timer *timer)
{
	struct session *s = container_of(timer, struct session, timer);

	if (s->moving)
		return;
	switch (s->state) {
	case ST_HEADER:
	case ST_HELLO:
		session_end(s,
			    opening_begins_header(s) ? TG_END_PROXY_HEADER_UNTRUSTED
						     : TG_END_HELLO_TIMEOUT,
			    true);
		break;
	case ST_QUEUE:
		session_end(s, TG_END_QUEUE_TIMEOUT, true);
		break;
	case ST_CONNECT:
		upstream_timeout(s);
		break;
	case ST_RELAY:
		session_relay_due(s);
		break;
	case ST_DRAIN:
		drain_step(s);
		break;
	case ST_OVER:
		break;
	}
}

/* --- for start.c and move.c --- */

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
	s->task.fn = on_task;
	s->request = (struct flow_dir){ .from = &s->down, .to = &s->up };
	s->response = (struct flow_dir){ .from = &s->up, .to = &s->down };
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
