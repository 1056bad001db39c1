/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a route to a backend that answers: choose one, wait for a place at it, connect,
 * say who the client is; try another as long as no byte was passed.  The client's leg
 * takes its place in the books only then, so that it is the backend's that served it.
 */
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>

#include "balance.h"
#include "base/util.h"
#include "listener.h"
#include "session_state.h"
#include "target.h"

#define HEADER_EXTRA 1024 /* our own TLVs: a name, a protocol, an id, a checksum */

static void upstream_try(struct session *s);
static void connect_to(struct session *s, unsigned i);

static enum tg_end connect_failure(int err)
{
	switch (err) {
	case ECONNREFUSED:
		return TG_END_BACKEND_REFUSED;
	case ETIMEDOUT:
		return TG_END_BACKEND_TIMEOUT;
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
	case EADDRNOTAVAIL:
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
			 const struct pp_info *info, char id[SESSION_ID_LEN + 1],
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
		ret[n++] = (struct pp_tlv){ PP_TYPE_UNIQUE_ID, SESSION_ID_LEN,
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
	ret->src = s->peer;
	addr_from_sockaddr((struct sockaddr *)&ss, &ret->dst);
	ret->known = !had; /* UNKNOWN stays unknown */
	return 0;
}

static int send_header(struct session *s)
{
	uint8_t buf[PP2_MAX + HEADER_EXTRA];
	char id[SESSION_ID_LEN + 1];
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

void upstream_release(struct session *s)
{
	if (!s->holds_place)
		return;
	s->holds_place = false;
	target_release(s->backend->target);
	/* either we see who waits, or they see the place: see wait_for_place() */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (__atomic_load_n(&s->worker->proxy->waiting, __ATOMIC_RELAXED))
		worker_place_free(s->worker);
}

void upstream_stop_waiting(struct session *s)
{
	if (!s->waiter.prev)
		return;
	__atomic_fetch_sub(&s->route->queued, 1, __ATOMIC_RELAXED);
	worker_stop_waiting(s->worker, &s->waiter);
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
	worker_wait(s->worker, &s->waiter);
	session_to(s, ST_QUEUE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	(void)on_place(&s->waiter); /* one that was given back meanwhile */
}

/* --- connecting --- */

static int open_backend(struct session *s)
{
	static const int on = 1;
	struct sockaddr_storage ss;
	socklen_t len;
	int fd;

	if (!target_address(s->backend->target, &s->up_addr))
		return -EHOSTUNREACH; /* its name is not known yet */
	len = addr_to_sockaddr(&s->up_addr, &ss);
	fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	s->up.fd = fd;
	__atomic_fetch_add(&s->worker->proxy->upstreams, 1, __ATOMIC_RELAXED);
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on));
	leg_label(s, &s->up, TG_LEG_UPSTREAM);
	leg_take_slot(&s->up, s->backend->upstream);
	if (connect(fd, (struct sockaddr *)&ss, len) < 0 && errno != EINPROGRESS)
		return -errno;
	return ev_io_add(s->worker->loop, &s->up.io, fd, LEG_EVENTS);
}

/* Another backend may do better; our own shortage would be the same there. */
static void failed(struct session *s, int err)
{
	enum tg_end reason = connect_failure(err);

	if (reason == TG_END_RESOURCES) {
		session_end(s, reason, true);
		if (err == EMFILE ||
		    err == ENFILE) /* after the end, which would resume */
			worker_pause(s->worker);
		return;
	}
	s->failure = (uint8_t)reason;
	s->tried |= 1ull << (s->backend - s->route->backends);
	target_failed(s->backend->target, s->route->eject_failures, s->route->eject_ms,
		      ev_now_ms(s->worker->loop));
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

/* To a backend of the route, of which a place is taken. */
static void connect_to(struct session *s, unsigned i)
{
	int err;

	s->backend = &s->route->backends[i];
	s->holds_place = true;
	session_to(s, ST_CONNECT);
	err = open_backend(s);
	if (err)
		failed(s, -err);
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
	if (err) {
		failed(s, err);
		return;
	}
	target_connected(s->backend->target);
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
