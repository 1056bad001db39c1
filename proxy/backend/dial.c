/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "backend/balance.h"
#include "backend/dial.h"
#include "backend/loops.h"
#include "backend/socket.h"
#include "backend/target.h"
#include "base/log.h"
#include "net/worker.h"
#include "tls/stream.h"

#define ATTEMPT_MS 300 /* RFC 8305 8: 250 ms are recommended, 2 s the most */

static struct outcome try_next(struct dial *d, struct conn *up,
			       const struct announce *who);
static struct outcome connect_to(struct dial *d, struct conn *up,
				 const struct announce *who, unsigned i);
static struct outcome failed(struct dial *d, struct conn *up, const struct announce *who,
			     int err);

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

static int64_t now_ms(const struct conn *up)
{
	return ev_now_ms(up->worker->loop);
}

/* --- a place at a backend --- */

void dial_release(struct dial *d, struct worker *w)
{
	if (!d->holds_place)
		return;
	d->holds_place = false;
	target_release(d->backend->target);
	/* either we see who waits, or they see the place: see wait_for_place() */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (target_is_awaited(d->backend->target))
		place_free(w);
}

/* A place at any backend of it is good news. */
static void await(struct route *r, int by)
{
	for (unsigned i = 0; i < r->backend_names_count; i++)
		target_await(r->backends[i].target, by);
}

static void stop_waiting(struct dial *d, struct worker *w)
{
	if (!dial_waits(d))
		return;
	__atomic_fetch_sub(&d->route->queued, 1, __ATOMIC_RELAXED);
	await(d->route, -1);
	place_stop_waiting(w, &d->waiter);
}

static enum balance_result choose(const struct dial *d, const struct conn *up,
				  const struct announce *who, unsigned *ret)
{
	const struct balance_by by = { .client = who->client,
				       .key = d->key,
				       .keyed = d->keyed,
				       .wanted = d->wanted };

	return balance_choose(d->route, &by, d->tried, now_ms(up), ret);
}

bool dial_take_place(struct dial *d, struct conn *up, const struct announce *who,
		     struct outcome *ret)
{
	unsigned i;

	if (choose(d, up, who, &i) != BALANCE_CHOSEN)
		return false;
	stop_waiting(d, up->worker);
	*ret = connect_to(d, up, who, i);
	return true;
}

static struct outcome wait_for_place(struct dial *d, struct conn *up,
				     const struct announce *who)
{
	const struct queue *q = d->route->queue;
	struct outcome o;

	if (!q || __atomic_fetch_add(&d->route->queued, 1, __ATOMIC_RELAXED) >= q->size) {
		if (q)
			__atomic_fetch_sub(&d->route->queued, 1, __ATOMIC_RELAXED);
		return outcome_over(TG_END_QUEUE_FULL, true);
	}
	await(d->route, 1);
	place_wait(up->worker, &d->waiter);
	o = outcome_until(outcome_wait(), q->timeout_ms);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	(void)dial_take_place(d, up, who, &o); /* one that was given back meanwhile */
	return o;
}

/* --- connecting --- */

static bool is_ephemeral(const struct proxy *p, const struct addr *a)
{
	uint16_t port = ntohs(a->port);

	return port >= p->ephemeral_min && port <= p->ephemeral_max;
}

static void forget(struct dial *d, const struct conn *up)
{
	if (d->in_loops)
		loops_leave(up->fd);
	d->in_loops = false;
}

void dial_end(struct dial *d, struct conn *up)
{
	stop_waiting(d, up->worker);
	forget(d, up);
}

/* To the next address of the backend; labelled before the SYN leaves. */
static int open_backend(struct dial *d, struct conn *up, const struct announce *who)
{
	const struct conn_name name = { .listener = who->listener->id,
					.route = d->route->id,
					.backend = d->backend->id,
					.leg = TG_LEG_UPSTREAM };
	bool more = false, known = true;
	int fd, err;

	if (d->backend->path)
		memset(&d->addr, 0, sizeof(d->addr));
	else
		known = target_pick(d->backend->target, &d->addrs_tried, now_ms(up),
				    &d->addr, &more);
	d->more_addrs = more;
	if (!known)
		return -EHOSTUNREACH; /* its name is not known yet, or all were tried */
	fd = backend_socket(d->route, d->backend, &d->addr);
	if (fd < 0)
		return fd;
	up->fd = fd;
	up->is_tcp = !d->backend->path;
	__atomic_fetch_add(&up->worker->proxy->upstreams, 1, __ATOMIC_RELAXED);
	conn_label(up, &name);
	conn_take_row(up, d->backend->upstream);
	if (loops_is_near(&d->addr))
		d->in_loops = loops_enter(fd, &d->addr, d->hops + 1u) == 0;
	err = backend_connect(d->backend, &d->addr, fd);
	return err ? err : conn_watch(up);
}

/* Who is silent has a moment, if there is another to try. */
static struct outcome next_address(struct dial *d, struct conn *up,
				   const struct announce *who)
{
	int64_t most = d->route->connect_ms;
	int err = open_backend(d, up, who);

	if (err)
		return failed(d, up, who, -err);
	return outcome_until(outcome_wait(),
			     d->more_addrs && most > ATTEMPT_MS ? ATTEMPT_MS : most);
}

static void close_failed(struct conn *up)
{
	conn_close(up, true);
	conn_clear(up);
}

/* All its addresses have failed: another backend may do better. */
static struct outcome backend_failed(struct dial *d, struct conn *up,
				     const struct announce *who, enum tg_end reason)
{
	const struct route *r = d->route;

	d->tried |= 1ull << (d->backend - r->backends);
	if (reason != TG_END_LOCAL_PORTS) /* that is not its fault */
		target_failed(d->backend->target, r->eject_failures, r->eject_ms,
			      now_ms(up));
	if (d->retries == r->retries_max)
		return outcome_over(reason, true);
	d->retries++;
	book_add(&d->backend->upstream->retries, 1);
	close_failed(up);
	dial_release(d, up->worker);
	return try_next(d, up, who);
}

/* This address has failed: the next one, or the next backend. */
static struct outcome address_failed(struct dial *d, struct conn *up,
				     const struct announce *who, enum tg_end reason)
{
	d->failure = (uint8_t)reason;
	d->connected = false;
	if (reason != TG_END_LOCAL_PORTS && !d->backend->path)
		target_address_failed(d->backend->target, &d->addr, now_ms(up));
	if (!d->more_addrs)
		return backend_failed(d, up, who, reason);
	close_failed(up);
	return next_address(d, up, who);
}

/* Our own shortage would be the same elsewhere; anything else is this address's. */
static struct outcome failed(struct dial *d, struct conn *up, const struct announce *who,
			     int err)
{
	enum tg_end reason = connect_failure(err);

	forget(d, up);
	if (reason != TG_END_RESOURCES)
		return address_failed(d, up, who, reason);
	if (err == EMFILE || err == ENFILE)
		ev_task_add(up->worker->loop, &up->worker->shortage);
	return outcome_over(reason, true);
}

/* To a backend of the route, of which a place is taken. */
static struct outcome connect_to(struct dial *d, struct conn *up,
				 const struct announce *who, unsigned i)
{
	d->backend = &d->route->backends[i];
	d->holds_place = true;
	d->addrs_tried = 0;
	d->more_addrs = false;
	d->connected = false;
	d->chosen = d->stepwise;
	return d->chosen ? outcome_next() : next_address(d, up, who);
}

struct outcome dial_skip(struct dial *d, struct conn *up, const struct announce *who,
			 enum tg_end why)
{
	d->chosen = false;
	d->failure = (uint8_t)why;
	d->tried |= 1ull << (d->backend - d->route->backends);
	if (d->retries == d->route->retries_max)
		return outcome_over(d->failure, true);
	d->retries++;
	dial_release(d, up->worker);
	return try_next(d, up, who);
}

struct outcome dial_connect(struct dial *d, struct conn *up, const struct announce *who)
{
	d->chosen = false;
	return next_address(d, up, who);
}

static struct outcome try_next(struct dial *d, struct conn *up,
			       const struct announce *who)
{
	unsigned i;

	switch (choose(d, up, who, &i)) {
	case BALANCE_FULL:
		return wait_for_place(d, up, who);
	case BALANCE_CHOSEN:
		return connect_to(d, up, who, i);
	default:
		return outcome_over(d->failure ? d->failure : TG_END_NO_BACKEND, true);
	}
}

struct outcome dial_begin(struct dial *d, struct conn *up, const struct announce *who)
{
	return try_next(d, up, who);
}

static void works(const struct dial *d)
{
	/* where answers count, too, a connection is no success yet */
	if (!d->route->ejection || !d->route->ejection->status_count)
		target_connected(d->backend->target);
	target_address_worked(d->backend->target, &d->addr);
}

/* --- TLS to it --- */

static struct outcome shake_hands(struct dial *d, struct conn *up,
				  const struct announce *who)
{
	enum tg_end why;
	int err = stream_handshake(up, &why);
	const char *word;
	bool distrusted;

	if (err == -EAGAIN)
		return outcome_wait();
	if (!err) {
		works(d);
		return outcome_next();
	}
	distrusted = stream_is_distrusted(up, &word) && !d->route->trust->insecure;
	if (distrusted)
		log_limited(LOG_WARN, "backend %s: its certificate is not trusted: %s",
			    d->backend->name, word);
	forget(d, up);
	return address_failed(d, up, who,
			      distrusted ? TG_END_BACKEND_TRUST : TG_END_BACKEND_TLS);
}

static struct outcome begin_tls(struct dial *d, struct conn *up,
				const struct announce *who)
{
	const struct backend_tls *b = d->route->backend_tls;
	char name[HELLO_NAME_MAX + 1];
	struct stream_target t = { .route = d->route,
				   .backend = d->backend,
				   .client = who->conn };
	struct outcome o;
	int err;

	backend_own_name(d->backend, name, sizeof(name));
	if (!name[0] && !(b && b->sni)) /* the client's */
		announce_name(who, name);
	t.sni = b && b->sni ? b->sni : name;
	t.name = b && b->name ? b->name : t.sni;
	t.addr = d->backend->path ? NULL : &d->addr;
	err = stream_connect(up, &t);
	if (err == -EACCES) {
		log_limited(
			LOG_WARN,
			"backend %s has no name or address that its certificate could be "
			"verified by: backend_tls needs a name",
			d->backend->name);
		forget(d, up);
		return address_failed(d, up, who, TG_END_BACKEND_TRUST);
	}
	if (err)
		return outcome_over(TG_END_RESOURCES, true);
	d->connected = true;
	o = shake_hands(d, up, who);
	/* it has answered: the moment for an address that is silent is over */
	return o.step == STEP_WAIT && !o.wait_ms ? outcome_until(o, d->route->connect_ms)
						 : o;
}

struct outcome dial_ready(struct dial *d, struct conn *up, const struct announce *who)
{
	int err;

	if (d->connected)
		return shake_hands(d, up, who);
	if (!up->writable)
		return outcome_wait();
	err = up->failed ? conn_error(up) : 0;
	if (!err && is_ephemeral(up->worker->proxy, &d->addr) &&
	    backend_is_itself(up->fd, &d->addr))
		err = ECONNREFUSED; /* nobody is there but we */
	if (err)
		return failed(d, up, who, err);
	if (announce_write(who, d->route, up) < 0)
		return outcome_over(TG_END_BACKEND_RESET, true);
	if (d->route->tls_to_backends)
		return begin_tls(d, up, who);
	works(d);
	return outcome_next();
}

struct outcome dial_due(struct dial *d, struct conn *up, const struct announce *who)
{
	return dial_waits(d) ? outcome_over(TG_END_QUEUE_TIMEOUT, true)
			     : failed(d, up, who, ETIMEDOUT);
}
