/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "net/pool.h"
#include "net/sock.h"
#include "net/tunnel.h"
#include "net/worker.h"

#define WATCH_MS      1000
#define DRAIN_STEP_MS 5 /* to the first look; the next ones wait longer and longer */
#define DRAIN_WAIT_MS 250

static int64_t now_ms(const struct tunnel *t)
{
	return ev_now_ms(t->down.worker->loop);
}

static struct conn *conn_of(struct tunnel *t, uint8_t end)
{
	return end == TUNNEL_CLIENT ? &t->down : &t->up;
}

static uint8_t end_of(const struct conn *c)
{
	return c->is_up ? TUNNEL_BACKEND : TUNNEL_CLIENT;
}

static struct conn *other(struct tunnel *t, const struct conn *c)
{
	return c->is_up ? &t->down : &t->up;
}

size_t tunnel_held(const struct tunnel *t, enum tunnel_end from)
{
	return from == TUNNEL_CLIENT ? relay_held(&t->down, &t->up)
				     : relay_held(&t->up, &t->down);
}

/* --- deadlines --- */

/* *reason says which one it is; the milliseconds until then, or -1. */
static int64_t nearest(const struct tunnel *t, enum tg_end *reason)
{
	int64_t now = now_ms(t), quiet = now - t->active_ms;
	int64_t next = -1;

#define DEADLINE(ms, why)                           \
	do {                                        \
		int64_t left = (ms);                \
		if (next < 0 || left < next) {      \
			next = left > 0 ? left : 0; \
			*reason = (why);            \
		}                                   \
	} while (0)
	if (t->timeouts->life_ms)
		DEADLINE(t->timeouts->life_ms - (now - t->began_ms), TG_END_LIFE_MAX);
	if (t->broken) {
		DEADLINE(TUNNEL_DRAIN_MS - quiet, TG_END_DONE);
		return next;
	}
	if (t->idle_ms)
		DEADLINE(t->idle_ms - quiet, TG_END_IDLE_TIMEOUT);
	/* from the half-close on, and from the last byte after it */
	if (t->down.over || t->up.over)
		DEADLINE(t->timeouts->half_close_ms -
				 (now - (t->active_ms > t->half_ms ? t->active_ms
								   : t->half_ms)),
			 TG_END_HALF_CLOSE_TIMEOUT);
	if (t->request_waits && t->request_due_ms)
		DEADLINE(t->request_due_ms - (now - t->began_ms),
			 TG_END_PROXY_HEADER_UNTRUSTED);
	if (!t->watched)
		DEADLINE(WATCH_MS - (now - t->began_ms), TG_END_DONE);
#undef DEADLINE
	return next;
}

/* The outcome of a step, with the nearest deadline if the step has changed which it is.
 */
static struct outcome with_due(struct tunnel *t, struct outcome o)
{
	enum tg_end reason;

	if (t->due_changed && !outcome_ends(o))
		o = outcome_until(o, nearest(t, &reason));
	t->due_changed = false;
	return o;
}

/*
 * Four system calls that a short connection does without; an accepted socket has all of
 * it from its listener.
 */
static void watch(struct tunnel *t)
{
	t->watched = true;
	if (t->up.is_tcp)
		sock_deadlines(t->up.fd, t->timeouts);
}

struct outcome tunnel_due(struct tunnel *t)
{
	enum tg_end reason = TG_END_DONE;
	int64_t next;

	if (!t->watched && now_ms(t) - t->began_ms >= WATCH_MS)
		watch(t);
	next = nearest(t, &reason);
	if (next == 0)
		return t->broken ? outcome_next() : outcome_over(reason, true);
	return outcome_until(outcome_wait(), next);
}

/* --- moving --- */

/* All of it was passed on: NEXT if the source is the one that broke. */
static struct outcome finish(struct tunnel *t, struct conn *from)
{
	from->over = true;
	if (!t->first)
		t->first = end_of(from);
	if (end_of(from) == t->broken)
		return outcome_next(); /* no FIN: the error was told to an earlier call */
	/* close() sends the FIN as well, but not a layer's last word */
	if (t->down.over && t->up.over && !other(t, from)->layer)
		return outcome_wait();
	conn_finish(other(t, from));
	t->half_ms = now_ms(t);
	t->due_changed = true;
	return outcome_wait();
}

int tunnel_send_now(struct tunnel *t)
{
	int sent = conn_send_now(&t->up) + conn_send_now(&t->down);

	/* nobody else looks again at what came behind it */
	if (sent)
		ev_task_add(t->down.worker->loop, &t->task);
	return t->up.err == ENOMEM || t->down.err == ENOMEM ? -ENOMEM : 0;
}

/* From now on it takes nothing, but what it sent before is passed on, for a while. */
static struct outcome broke(struct tunnel *t, struct conn *c)
{
	if (t->broken) /* nobody is left to pass anything on to, or it was told */
		return t->broken == end_of(c) ? outcome_wait() : outcome_next();
	if (tunnel_send_now(t) < 0)
		return outcome_over(TG_END_RESOURCES, true);
	c->err = conn_error(c);
	t->broken = end_of(c);
	if (!t->first)
		t->first = t->broken;
	c->writable = false;
	t->active_ms = now_ms(t);
	t->due_changed = true;
	return c->over ? outcome_next() : outcome_wait();
}

/* The last word of a layer, which the socket did not take at once. */
static struct outcome flush_last(struct tunnel *t, struct conn *to)
{
	int err = conn_flush(to);

	if (err == -EAGAIN)
		to->writable = false;
	if (!err || err == -EAGAIN)
		return outcome_wait();
	to->err = -err;
	return broke(t, to);
}

static struct outcome move(struct tunnel *t, struct conn *from)
{
	struct conn *to = other(t, from);
	uint64_t before = from->rx + to->tx;
	enum relay_result r;

	if (from->over && to->out && to->writable)
		return flush_last(t, to);
	to->awaited |= to->queued && from->readable;
	if (from->over || to->queued || end_of(to) == t->broken || !to->writable ||
	    (!from->readable && !relay_held(from, to)))
		return outcome_wait();
	r = relay_move(from, to);
	if (from->rx + to->tx != before)
		t->active_ms = now_ms(t);
	switch (r) {
	case RELAY_BUDGET:
		return outcome_again();
	case RELAY_AGAIN_IN:
	case RELAY_QUEUED:
		from->readable = from->wants_write;
		break;
	case RELAY_AGAIN_OUT:
		to->writable = false;
		break;
	case RELAY_EOF:
		return finish(t, from);
	case RELAY_ERR_IN: /* nothing is held: all it ever sent has gone on */
		t->broken = end_of(from);
		return outcome_next();
	case RELAY_ERR_OUT:
		return broke(t, to);
	}
	return outcome_wait();
}

/* What a call was told of an end, once, nobody is told again. */
static struct outcome break_told(struct tunnel *t)
{
	if (!t->broken && t->down.err)
		return broke(t, &t->down);
	if (!t->broken && t->up.err)
		return broke(t, &t->up);
	return outcome_wait();
}

/*
 * What stood in the way of a layer's own word has left in this pump, after its turn: it
 * has another.  Not while its receiver takes nothing, whose event will do.
 */
static bool may_write(struct tunnel *t, const struct conn *c)
{
	const struct conn *to = other(t, c);

	return c->wants_write && !c->out && !c->queued && !c->over && to->writable &&
	       !to->queued && end_of(to) != t->broken;
}

/*
 * Its layer has sent what was in the outbox, to have its own word behind it: nobody else
 * tells who waited for that.
 */
static bool has_left(struct conn *c)
{
	bool left = c->awaited && !c->queued;

	c->awaited &= !left;
	return left;
}

static struct outcome pump(struct tunnel *t)
{
	struct outcome there = break_told(t), back;

	if (outcome_ends(there))
		return there;
	if (!t->request_waits)
		there = move(t, &t->down);
	if (outcome_ends(there))
		return there;
	back = move(t, &t->up);
	if (outcome_ends(back))
		return back;
	if (t->down.over && t->up.over && !t->down.out && !t->up.out)
		return outcome_over(TG_END_DONE, false);
	t->down.awaited |= t->down.wants_write && t->down.queued;
	t->up.awaited |= t->up.wants_write && t->up.queued;
	if (there.step == STEP_AGAIN || back.step == STEP_AGAIN ||
	    may_write(t, &t->down) || may_write(t, &t->up) || has_left(&t->down) ||
	    has_left(&t->up))
		return outcome_again();
	if (t->down.failed && t->broken != TUNNEL_CLIENT)
		return broke(t, &t->down);
	return t->up.failed ? broke(t, &t->up) : outcome_wait();
}

struct outcome tunnel_pump(struct tunnel *t)
{
	return with_due(t, pump(t));
}

void tunnel_begin(struct tunnel *t, int64_t idle_ms)
{
	t->active_ms = now_ms(t);
	t->idle_ms = idle_ms;
	t->due_changed = true;
}

void tunnel_resume(struct tunnel *t)
{
	t->down.readable = t->up.readable = true;
	t->due_changed = true;
}

/* --- the last bytes of a side that is gone --- */

/*
 * Bytes of the side that is gone that wait in the other side's send queue would be thrown
 * away by a reset of ours, so wait for their acknowledgement, but not for ever.
 */
struct outcome tunnel_drain(struct tunnel *t)
{
	const struct conn *c = other(t, conn_of(t, t->broken));
	int64_t waited = now_ms(t) - t->half_ms, next = waited;
	int queued = 0;

	if (ioctl(c->fd, SIOCOUTQ, &queued) < 0 || queued == 0 || c->failed ||
	    waited >= TUNNEL_DRAIN_MS)
		return outcome_over(t->why, true);
	next = next < DRAIN_STEP_MS ? DRAIN_STEP_MS : next;
	return outcome_until(outcome_wait(), next > DRAIN_WAIT_MS ? DRAIN_WAIT_MS : next);
}

struct outcome tunnel_drain_event(struct tunnel *t)
{
	const struct conn *c = other(t, conn_of(t, t->broken));

	return c->failed ? tunnel_drain(t) : outcome_wait();
}

struct outcome tunnel_drain_begin(struct tunnel *t)
{
	if (tunnel_send_now(t) < 0)
		return outcome_over(TG_END_RESOURCES, true);
	t->why = (uint8_t)conn_gone_reason(conn_of(t, t->broken));
	if (!t->first)
		t->first = t->broken;
	t->half_ms = now_ms(t);
	return tunnel_drain(t);
}

/* --- its end --- */

void tunnel_close(struct tunnel *t, bool reset)
{
	conn_close(&t->up, reset);
	conn_close(&t->down, reset);
}

void tunnel_leave(struct tunnel *t)
{
	conn_leave(&t->up);
	conn_leave(&t->down);
}
