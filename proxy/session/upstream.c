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

#define ATTEMPT_MS   300  /* RFC 8305 8: 250 ms are recommended, 2 s the most */
#define HEADER_EXTRA 1024 /* our own TLVs: a name, a protocol, an id, a checksum */

static struct outcome upstream_try(struct session *s);
static struct outcome connect_to(struct session *s, unsigned i);
static struct outcome failed(struct session *s, int err);

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
		loops_leave(s->up.fd);
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

bool upstream_take_place(struct session *s, struct outcome *ret)
{
	unsigned i;

	if (balance_choose(s->route, &s->client, s->tried, ev_now_ms(s->worker->loop),
			   &i) != BALANCE_CHOSEN)
		return false;
	upstream_stop_waiting(s);
	*ret = connect_to(s, i);
	return true;
}

static struct outcome wait_for_place(struct session *s)
{
	const struct queue *q = s->route->queue;
	struct outcome o = outcome_wait();

	if (!q || __atomic_fetch_add(&s->route->queued, 1, __ATOMIC_RELAXED) >= q->size) {
		if (q)
			__atomic_fetch_sub(&s->route->queued, 1, __ATOMIC_RELAXED);
		return outcome_over(TG_END_QUEUE_FULL, true);
	}
	await(s->route, 1);
	place_wait(s->worker, &s->waiter);
	session_due_in(s, q->timeout_ms);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	(void)upstream_take_place(s, &o); /* one that was given back meanwhile */
	return o;
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
		s->in_loops = loops_enter(s->up.fd, &s->up_addr, s->hops + 1u) == 0;
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

/* Who is silent has a moment, if there is another to try. */
static struct outcome next_address(struct session *s)
{
	int64_t most = s->config->timeouts.connect_ms;
	int err = open_backend(s);

	session_due_in(s, s->more_addrs && most > ATTEMPT_MS ? ATTEMPT_MS : most);
	return err ? failed(s, -err) : outcome_wait();
}

/* All its addresses have failed: another backend may do better. */
static struct outcome backend_failed(struct session *s, enum tg_end reason)
{
	s->tried |= 1ull << (s->backend - s->route->backends);
	if (reason != TG_END_LOCAL_PORTS) /* that is not its fault */
		target_failed(s->backend->target, s->route->eject_failures,
			      s->route->eject_ms, ev_now_ms(s->worker->loop));
	if (s->retries == s->route->retries_max)
		return outcome_over(reason, true);
	s->retries++;
	book_add(&s->backend->upstream->retries, 1);
	leg_close(s, &s->up, true);
	leg_reset(&s->up);
	upstream_release(s);
	return upstream_try(s);
}

/* Our own shortage would be the same elsewhere; anything else is this address's. */
static struct outcome failed(struct session *s, int err)
{
	enum tg_end reason = connect_failure(err);

	upstream_forget(s);
	if (reason == TG_END_RESOURCES) {
		if (err == EMFILE || err == ENFILE)
			ev_task_add(s->worker->loop, &s->worker->shortage);
		return outcome_over(reason, true);
	}
	s->failure = (uint8_t)reason;
	if (reason != TG_END_LOCAL_PORTS && !s->backend->path)
		target_address_failed(s->backend->target, &s->up_addr,
				      ev_now_ms(s->worker->loop));
	if (!s->more_addrs)
		return backend_failed(s, reason);
	leg_close(s, &s->up, true);
	leg_reset(&s->up);
	return next_address(s);
}

/* To a backend of the route, of which a place is taken. */
static struct outcome connect_to(struct session *s, unsigned i)
{
	s->backend = &s->route->backends[i];
	s->holds_place = true;
	s->addrs_tried = 0;
	s->more_addrs = false;
	return next_address(s);
}

static struct outcome upstream_try(struct session *s)
{
	unsigned i;

	switch (balance_choose(s->route, &s->client, s->tried, ev_now_ms(s->worker->loop),
			       &i)) {
	case BALANCE_FULL:
		return wait_for_place(s);
	case BALANCE_CHOSEN:
		return connect_to(s, i);
	default:
		return outcome_over(s->failure ? s->failure : TG_END_NO_BACKEND, true);
	}
}

struct outcome upstream_begin(struct session *s)
{
	struct facts facts = session_facts(s);
	enum tg_end reason = decide_route(s->worker, &facts, &s->holds);

	return reason == TG_END_DONE ? upstream_try(s) : outcome_over(reason, true);
}

struct outcome upstream_ready(struct session *s)
{
	socklen_t len = sizeof(int);
	int err = 0;

	if (s->up.failed && getsockopt(s->up.fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
		err = errno;
	if (!err && is_ephemeral(s->worker->proxy, &s->up_addr) &&
	    dial_is_itself(s->up.fd, &s->up_addr))
		err = ECONNREFUSED; /* nobody is there but we */
	if (err)
		return failed(s, err);
	target_connected(s->backend->target);
	target_address_worked(s->backend->target, &s->up_addr);
	leg_label(s, &s->down, TG_LEG_DOWNSTREAM);
	leg_take_slot(&s->down, s->backend->downstream);
	if (s->route->send_proxy && send_header(s) < 0)
		return outcome_over(TG_END_BACKEND_RESET, true);
	return outcome_next();
}

struct outcome upstream_due(struct session *s)
{
	return s->waiter.prev ? outcome_over(TG_END_QUEUE_TIMEOUT, true)
			      : failed(s, ETIMEDOUT);
}
