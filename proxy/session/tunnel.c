/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session in RELAY and DRAIN: moving bytes both ways, half-closes, what breaks,
 * deadlines; and the last bytes of a side that is gone.
 */
#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/util.h"
#include "net/sock.h"
#include "session/state.h"

#define WATCH_MS      1000
#define DRAIN_STEP_MS 5 /* to the first look; the next ones wait longer and longer */
#define DRAIN_WAIT_MS 250

static struct session *session_of(struct flow_dir *d)
{
	return d->is_response ? container_of(d, struct session, response)
			      : container_of(d, struct session, request);
}

static struct leg *from_of(struct flow_dir *d)
{
	return d->is_response ? &session_of(d)->up : &session_of(d)->down;
}

static struct leg *to_of(struct flow_dir *d)
{
	return d->is_response ? &session_of(d)->down : &session_of(d)->up;
}

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
		DEADLINE(TUNNEL_DRAIN_MS - quiet, TG_END_DONE);
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

static void arm(struct session *s)
{
	enum tg_end reason;
	int64_t next = relay_deadline(s, &reason);

	if (next >= 0)
		session_due_in(s, next);
	else
		s->due_ms = -1;
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

struct outcome tunnel_due(struct session *s)
{
	enum tg_end reason = TG_END_DONE;
	int64_t next;

	if (!s->watched && ev_now_ms(s->worker->loop) - s->began_ms >= WATCH_MS)
		watch(s);
	next = relay_deadline(s, &reason);
	if (next == 0)
		return s->broken ? outcome_next() : outcome_over(reason, true);
	if (next > 0)
		session_due_in(s, next);
	else
		s->due_ms = -1;
	return outcome_wait();
}

/* All of it was passed on: NEXT if the source is the one that broke. */
static struct outcome dir_finish(struct session *s, struct flow_dir *d)
{
	d->eof = true;
	if (!s->first)
		s->first = from_of(d);
	if (from_of(d) == s->broken) /* no FIN: the error was told to an earlier call */
		return outcome_next();
	if (s->request.eof && s->response.eof)
		return outcome_wait(); /* close() sends the FIN as well */
	/* half-close goes on to the other side; ENOTCONN: it is gone, its own event says
	 * so */
	(void)shutdown(to_of(d)->fd, SHUT_WR);
	to_of(d)->shut_out = true;
	s->half_ms = ev_now_ms(s->worker->loop);
	arm(s);
	return outcome_wait();
}

/* 1 if something was sent, 0 if nothing waited, -ENOMEM if some of it is lost. */
static int dir_send_now(struct session *s, struct flow_dir *d)
{
	struct relay_moved m = { 0 };
	enum relay_result r;

	if (!d->store.queued)
		return 0;
	r = relay_send_now(&s->worker->pool, &d->store, &m);
	leg_add_tx(to_of(d), m.out);
	if (r == RELAY_AGAIN_OUT)
		to_of(d)->writable = false;
	if (r == RELAY_ERR_OUT && m.err == -ENOMEM)
		return -ENOMEM;
	if (r == RELAY_ERR_OUT && !to_of(d)->err)
		to_of(d)->err = -m.err; /* the socket tells it once */
	return 1;
}

int tunnel_send_now(struct session *s)
{
	int up = dir_send_now(s, &s->request), down = dir_send_now(s, &s->response);

	/* nobody else looks again at what came behind it */
	if (up || down)
		ev_task_add(s->worker->loop, &s->task);
	return up < 0 || down < 0 ? -ENOMEM : 0;
}

/* From now on it takes nothing, but what it sent before is passed on, for a while. */
static struct outcome leg_broke(struct session *s, struct leg *leg)
{
	struct flow_dir *from = leg == &s->down ? &s->request : &s->response;
	socklen_t len = sizeof(leg->err);

	if (s->broken)
		return outcome_wait();
	if (tunnel_send_now(s) < 0)
		return outcome_over(TG_END_RESOURCES, true);
	if (!leg->err && getsockopt(leg->fd, SOL_SOCKET, SO_ERROR, &leg->err, &len) < 0)
		leg->err = errno;
	s->broken = leg;
	if (!s->first)
		s->first = leg;
	leg->writable = false;
	s->active_ms = ev_now_ms(s->worker->loop);
	if (from->eof)
		return outcome_next();
	session_due_in(s, TUNNEL_DRAIN_MS);
	return outcome_wait();
}

static struct outcome dir_move(struct session *s, struct flow_dir *d)
{
	struct relay_moved m = { 0 };
	enum relay_result r;
	unsigned hints = (from_of(d)->ended ? RELAY_ENDED : 0) |
			 (from_of(d)->urgent ? RELAY_URGENT : 0);

	if (d->eof || d->store.queued || to_of(d) == s->broken || !to_of(d)->writable ||
	    (!from_of(d)->readable && !relay_held(&d->store)))
		return outcome_wait();
	r = relay_move(&s->worker->pool, &d->store, from_of(d)->fd, to_of(d)->fd, hints,
		       &m);
	leg_add_rx(from_of(d), m.in);
	leg_add_tx(to_of(d), m.out);
	if (m.in || m.out)
		s->active_ms = ev_now_ms(s->worker->loop);
	switch (r) {
	case RELAY_BUDGET:
		return outcome_again();
	case RELAY_AGAIN_IN:
	case RELAY_QUEUED:
		from_of(d)->readable = false;
		break;
	case RELAY_AGAIN_OUT:
		to_of(d)->writable = false;
		break;
	case RELAY_EOF:
		return dir_finish(s, d);
	case RELAY_ERR_IN: /* nothing is held: all it ever sent has gone on */
		from_of(d)->err = -m.err;
		s->broken = from_of(d);
		return outcome_next();
	case RELAY_ERR_OUT:
		to_of(d)->err = -m.err;
		return leg_broke(s, to_of(d));
	}
	return outcome_wait();
}

static struct outcome request_move(struct session *s)
{
	bool waits = s->sniff_since_ms != 0;
	struct outcome o;
	int err;

	if (s->broken == &s->up)
		return outcome_wait();
	if (s->sniff) {
		o = opening_sniff(s);
		if (!waits && s->sniff_since_ms)
			arm(s); /* not for ever */
		if (o.step != STEP_NEXT)
			return o;
	}
	err = s->opening ? opening_flush(s) : 0;
	if (err == -EAGAIN)
		return outcome_wait();
	return err ? leg_broke(s, &s->up) : dir_move(s, &s->request);
}

struct outcome tunnel_pump(struct session *s)
{
	struct outcome there = request_move(s), back;

	if (outcome_ends(there))
		return there;
	back = dir_move(s, &s->response);
	if (outcome_ends(back))
		return back;
	if (s->request.eof && s->response.eof)
		return outcome_over(TG_END_DONE, false);
	if (there.step == STEP_AGAIN || back.step == STEP_AGAIN)
		return outcome_again();
	if (s->down.failed)
		return leg_broke(s, &s->down);
	return s->up.failed ? leg_broke(s, &s->up) : outcome_wait();
}

/* --- the outbox, at the end of a turn --- */

struct session *tunnel_of(struct relay_store *store)
{
	return session_of(container_of(store, struct flow_dir, store));
}

void tunnel_moved(struct relay_store *store, size_t out)
{
	struct flow_dir *d = container_of(store, struct flow_dir, store);

	leg_add_tx(to_of(d), out);
}

struct outcome tunnel_sent(struct session *s, struct relay_store *store,
			   enum relay_result r, int err)
{
	struct flow_dir *d = container_of(store, struct flow_dir, store);

	if (r == RELAY_AGAIN_OUT)
		to_of(d)->writable = false;
	if (r == RELAY_ERR_OUT && err == -ENOMEM)
		return outcome_over(TG_END_RESOURCES, true);
	if (r == RELAY_ERR_OUT) {
		to_of(d)->err = -err;
		return leg_broke(s, to_of(d));
	}
	return r == RELAY_BUDGET || from_of(d)->readable ? outcome_again()
							 : outcome_wait();
}

/* --- RELAY --- */

struct outcome tunnel_begin(struct session *s)
{
	s->active_ms = ev_now_ms(s->worker->loop);
	return tunnel_resume(s);
}

struct outcome tunnel_resume(struct session *s)
{
	arm(s);
	return tunnel_pump(s); /* what is held may be all that is left to do */
}

/* --- DRAIN --- */

/* The leg that still has bytes to send. */
static const struct leg *draining(const struct session *s)
{
	return s->broken == &s->down ? &s->up : &s->down;
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

/*
 * Bytes of the side that is gone that wait in the other side's send queue would be thrown
 * away by a reset of ours, so wait for their acknowledgement, but not for ever.
 */
struct outcome tunnel_drain(struct session *s)
{
	int64_t waited = ev_now_ms(s->worker->loop) - s->half_ms;
	const struct leg *leg = draining(s);
	int64_t next = waited;
	int queued = 0;

	if (ioctl(leg->fd, SIOCOUTQ, &queued) < 0 || queued == 0 || leg->failed ||
	    waited >= TUNNEL_DRAIN_MS)
		return outcome_over(s->why, true);
	next = next < DRAIN_STEP_MS ? DRAIN_STEP_MS : next;
	session_due_in(s, next > DRAIN_WAIT_MS ? DRAIN_WAIT_MS : next);
	return outcome_wait();
}

struct outcome tunnel_drain_event(struct session *s)
{
	return draining(s)->failed ? tunnel_drain(s) : outcome_wait();
}

struct outcome tunnel_drain_begin(struct session *s)
{
	if (tunnel_send_now(s) < 0)
		return outcome_over(TG_END_RESOURCES, true);
	s->why = (uint8_t)gone_reason(s, s->broken);
	if (!s->first)
		s->first = s->broken;
	s->half_ms = ev_now_ms(s->worker->loop);
	return tunnel_drain(s);
}
