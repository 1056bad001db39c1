/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a route to a backend that answers: choose one, wait for a place at it, connect,
 * say who the client is; try another as long as no byte was passed.  The client's leg
 * takes its place in the books only then, so that it is the backend's that served it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "backend/balance.h"
#include "backend/dial.h"
#include "backend/loops.h"
#include "backend/target.h"
#include "base/util.h"
#include "session/state.h"

#define HEADER_EXTRA 1024 /* our own TLVs: a name, a protocol, an id, a checksum */

static void upstream_try(struct session *s);
static void connect_to(struct session *s, unsigned i);
static void failed(struct session *s, int err);

static enum tg_end connect_failure(int err)
{
	switch (err) {
	case ECONNREFUSED:
		return TG_END_BACKEND_REFUSED;
	case ETIMEDOUT:
		return TG_END_BACKEND_TIMEOUT;
	case EADDRNOTAVAIL:
	case EADDRINUSE:
		return TG_END_LOCAL_PORTS;
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
	case ENOSPC: /* epoll_ctl(2): watches of the user */
	case EAGAIN:
		return TG_END_RESOURCES;
	default:
		return TG_END_BACKEND_UNREACHABLE;
	}
}

/* Once more from its bytes, which are kept and what was found in them is not. */
static void read_hello(const struct session *s, struct hello *ret)
{
	const struct opening *o = s->opening;
	struct hello_scan scan = { 0 };

	if (!o || hello_scan(&scan, o->head + o->sent, o->len - o->sent,
			     s->config->hello_bytes, ret) <= 0)
		memset(ret, 0, sizeof(*ret)); /* it is none, or malformed */
}

/*
 * TLVs of our own, for what the header we had does not say.  An application protocol is
 * named if the client offers one only: which of several is taken we cannot know.
 */
static unsigned own_tlvs(struct session *s, const struct hello *h,
			 const struct pp_info *info, char id[WORKER_ID_LEN + 1],
			 struct pp_tlv ret[3])
{
	unsigned n = 0;

	if (h->alpn_len && h->alpn[0] + 1 == h->alpn_len &&
	    !pp_has_tlv(info, PP_TYPE_ALPN))
		ret[n++] = (struct pp_tlv){ PP_TYPE_ALPN, h->alpn[0], h->alpn + 1 };
	if (h->has_sni && !pp_has_tlv(info, PP_TYPE_AUTHORITY))
		ret[n++] = (struct pp_tlv){ PP_TYPE_AUTHORITY, (uint16_t)strlen(h->sni),
					    (const uint8_t *)h->sni };
	if (!pp_has_tlv(info, PP_TYPE_UNIQUE_ID)) {
		worker_unique_id(s->worker, id);
		ret[n++] = (struct pp_tlv){ PP_TYPE_UNIQUE_ID, WORKER_ID_LEN,
					    (const uint8_t *)id };
	}
	return n;
}

/* The real client, and where it connected to. */
static int header_info(const struct session *s, struct pp_info *ret)
{
	const struct opening *o = s->opening;
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	bool had;

	*ret = (struct pp_info){ 0 };
	if (o) {
		*ret = o->pp;
		ret->tlv = ret->tlv_len ? o->head + o->tlv_at : NULL;
	}
	had = ret->version != PP_NONE;
	ret->version = s->route->send_proxy == CONFIG_SEND_V1 ? PP_V1 : PP_V2;
	if (ret->known || ret->local)
		return 0;
	if (getsockname(s->down.fd, (struct sockaddr *)&ss, &len) < 0)
		return -errno;
	if (s->listener->path) /* nobody knows where from */
		return 0;
	ret->src = s->peer;
	addr_from_sockaddr((struct sockaddr *)&ss, &ret->dst);
	ret->known = !had; /* UNKNOWN stays unknown */
	return 0;
}

static int send_header(struct session *s)
{
	uint8_t buf[PP2_MAX + HEADER_EXTRA];
	char id[WORKER_ID_LEN + 1];
	struct pp_extra extra = { .checksum = true };
	struct pp_tlv own[3];
	struct hello hello;
	struct pp_info info;
	ssize_t n;
	int err;

	err = header_info(s, &info);
	if (err)
		return err;
	if (s->route->send_proxy != CONFIG_SEND_V2_TLVS) {
		info.tlv_len = 0;
		n = pp_encode(buf, sizeof(buf), &info, NULL);
	} else {
		extra.tlvs = own;
		read_hello(s, &hello);
		extra.n = own_tlvs(s, &hello, &info, id, own);
		n = pp_encode(buf, sizeof(buf), &info, &extra);
	}
	if (n < 0)
		return (int)n;
	/* a fresh socket takes some kilobytes; anything less is a failure */
	if (send(s->up.fd, buf, (size_t)n,
		 MSG_NOSIGNAL | MSG_MORE * (opening_held(s) > 0)) != n)
		return -EIO;
	s->up.tx_header += (uint32_t)n;
	book_add(&s->up.slot->tx_header_bytes, (uint64_t)n);
	return 0;
}

/* --- a place at a backend --- */

void upstream_forget(struct session *s)
{
	if (s->in_loops)
		loops_leave(&s->loop_end);
	s->in_loops = false;
}

void upstream_release(struct session *s)
{
	if (!s->holds_place)
		return;
	s->holds_place = false;
	target_release(s->backend->target);
	/* either we see who waits, or they see the place: see wait_for_place() */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (target_is_awaited(s->backend->target))
		place_free(s->worker);
}

/* A place at any backend of it is good news. */
static void await(struct route *r, int by)
{
	for (unsigned i = 0; i < r->backend_names_count; i++)
		target_await(r->backends[i].target, by);
}

void upstream_stop_waiting(struct session *s)
{
	if (!s->waiter.prev)
		return;
	__atomic_fetch_sub(&s->route->queued, 1, __ATOMIC_RELAXED);
	await(s->route, -1);
	place_stop_waiting(s->worker, &s->waiter);
}

/* Not back to the end of the queue if it was for nothing. */
static bool on_place(struct waiter *x)
{
	struct session *s = container_of(x, struct session, waiter);
	unsigned i;

	if (balance_choose(s->route, &s->client, s->tried, ev_now_ms(s->worker->loop),
			   &i) != BALANCE_CHOSEN)
		return false;
	upstream_stop_waiting(s);
	connect_to(s, i);
	return true;
}

static void wait_for_place(struct session *s)
{
	const struct queue *q = s->route->queue;

	if (!q || __atomic_fetch_add(&s->route->queued, 1, __ATOMIC_RELAXED) >= q->size) {
		if (q)
			__atomic_fetch_sub(&s->route->queued, 1, __ATOMIC_RELAXED);
		session_end(s, TG_END_QUEUE_FULL, true);
		return;
	}
	s->waiter.take = on_place;
	await(s->route, 1);
	place_wait(s->worker, &s->waiter);
	session_to(s, ST_QUEUE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	(void)on_place(&s->waiter); /* one that was given back meanwhile */
}

/* --- connecting --- */

static bool is_ephemeral(const struct proxy *p, const struct addr *a)
{
	uint16_t port = ntohs(a->port);

	return port >= p->ephemeral_min && port <= p->ephemeral_max;
}

static void note_loop(struct session *s)
{
	if (loops_is_near(&s->up_addr))
		s->in_loops = loops_enter(s->up.fd, &s->up_addr, s->hops + 1u,
					  &s->loop_end) == 0;
}

/* To the next address of the backend. */
static int open_backend(struct session *s)
{
	int64_t now = ev_now_ms(s->worker->loop);
	int fd, err;

	if (s->backend->path)
		memset(&s->up_addr, 0, sizeof(s->up_addr));
	else if (!target_pick(s->backend->target, &s->addrs_tried, now, &s->up_addr,
			      &s->more_addrs))
		return -EHOSTUNREACH; /* its name is not known yet */
	fd = dial_socket(s->route, s->backend, &s->up_addr);
	if (fd < 0)
		return fd;
	s->up.fd = fd;
	__atomic_fetch_add(&s->worker->proxy->upstreams, 1, __ATOMIC_RELAXED);
	leg_label(s, &s->up, TG_LEG_UPSTREAM);
	leg_take_slot(&s->up, s->backend->upstream);
	note_loop(s);
	err = dial_connect(s->backend, &s->up_addr, fd);
	return err ? err : ev_io_add(s->worker->loop, &s->up.io, fd, LEG_EVENTS);
}

static void next_address(struct session *s)
{
	int err;

	session_to(s, ST_CONNECT);
	err = open_backend(s);
	session_to(s, ST_CONNECT); /* its deadline depends on what else there is to try */
	if (err)
		failed(s, -err);
}

/* All its addresses have failed: another backend may do better. */
static void backend_failed(struct session *s, enum tg_end reason)
{
	s->tried |= 1ull << (s->backend - s->route->backends);
	if (reason != TG_END_LOCAL_PORTS) /* that is not its fault */
		target_failed(s->backend->target, s->route->eject_failures,
			      s->route->eject_ms, ev_now_ms(s->worker->loop));
	if (s->retries == s->route->retries_max) {
		session_end(s, reason, true);
		return;
	}
	s->retries++;
	book_add(&s->backend->upstream->retries, 1);
	leg_close(s, &s->up, true);
	leg_reset(&s->up);
	upstream_release(s);
	upstream_try(s);
}

/* Our own shortage would be the same elsewhere; anything else is this address's. */
static void failed(struct session *s, int err)
{
	enum tg_end reason = connect_failure(err);

	upstream_forget(s);
	if (reason == TG_END_RESOURCES) {
		session_end(s, reason, true);
		if (err == EMFILE || err == ENFILE)
			ev_task_add(s->worker->loop, &s->worker->shortage);
		return;
	}
	s->failure = (uint8_t)reason;
	if (reason != TG_END_LOCAL_PORTS && !s->backend->path)
		target_address_failed(s->backend->target, &s->up_addr,
				      ev_now_ms(s->worker->loop));
	if (!s->more_addrs) {
		backend_failed(s, reason);
		return;
	}
	leg_close(s, &s->up, true);
	leg_reset(&s->up);
	next_address(s);
}

/* To a backend of the route, of which a place is taken. */
static void connect_to(struct session *s, unsigned i)
{
	s->backend = &s->route->backends[i];
	s->holds_place = true;
	s->addrs_tried = 0;
	s->more_addrs = false;
	next_address(s);
}

static void upstream_try(struct session *s)
{
	unsigned i;

	switch (balance_choose(s->route, &s->client, s->tried, ev_now_ms(s->worker->loop),
			       &i)) {
	case BALANCE_FULL:
		wait_for_place(s);
		break;
	case BALANCE_NONE:
		session_end(s, s->failure ? s->failure : TG_END_NO_BACKEND, true);
		break;
	case BALANCE_CHOSEN:
		connect_to(s, i);
		break;
	}
}

static enum tg_end upstream_admit(struct session *s)
{
	struct limits_table *t = s->worker->proxy->limits;
	uint32_t id = session_route_id(s);
	int64_t now = ev_now_ms(s->worker->loop);
	const struct limits *l = &s->route->limits;
	enum tg_end reason;

	reason = limits_admit(t, LIMITS_ROUTE, id, l, NULL, now, &s->holds);
	if (reason == TG_END_DONE)
		reason = limits_admit(t, LIMITS_ROUTE, id, l, &s->client, now, &s->holds);
	return reason;
}

void upstream_connect(struct session *s)
{
	enum tg_end reason = upstream_admit(s);

	if (reason == TG_END_DONE)
		upstream_try(s);
	else
		session_end(s, reason, true);
}

void upstream_connected(struct session *s)
{
	socklen_t len = sizeof(int);
	int err = 0;

	if (s->up.failed && getsockopt(s->up.fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
		err = errno;
	if (!err && is_ephemeral(s->worker->proxy, &s->up_addr) &&
	    dial_is_itself(s->up.fd))
		err = ECONNREFUSED; /* nobody is there but we */
	if (err) {
		failed(s, err);
		return;
	}
	target_connected(s->backend->target);
	target_address_worked(s->backend->target, &s->up_addr);
	leg_label(s, &s->down, TG_LEG_DOWNSTREAM);
	leg_take_slot(&s->down, s->backend->downstream);
	if (s->route->send_proxy && send_header(s) < 0)
		session_end(s, TG_END_BACKEND_RESET, true);
	else
		session_relay(s);
}

void upstream_timeout(struct session *s)
{
	failed(s, ETIMEDOUT);
}
