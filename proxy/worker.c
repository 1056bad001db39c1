/* SPDX-License-Identifier: Apache-2.0 */
/* One worker: accepting, pausing, taking configurations, draining. */
#include <errno.h>
#include <semaphore.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/util.h"
#include "handover.h"
#include "listener.h"
#include "session.h"
#include "worker.h"

#define ACCEPTS_MAX 64 /* a turn, so that sessions get theirs */
#define RESUME_MS   100
#define QUEUE_MAX   4096  /* what an accept queue may hold when its listener goes */
#define PLACES_MANY 65536 /* of a backend that has come up: nobody counts them */
#define ENDS_MAX    100	  /* sessions ended a turn when the drain is over */

enum message_kind { MSG_CONFIGURE, MSG_DRAIN, MSG_PLACE, MSG_CALL, MSG_ADOPT };

/* Who calls waits for the worker. */
struct call {
	int (*fn)(struct worker *w, void *arg);
	void *arg;
	int result;
	sem_t done;
};

struct worker_message {
	struct worker_message *next;
	enum message_kind kind;
	int64_t deadline_ms;
	struct call *call;
	unsigned places;
	uint8_t *session;
	struct config *config;
	int fds[]; /* one a listener */
};

/* --- accepting --- */

static void set_accepting(struct worker *w, bool on)
{
	for (struct acceptor *a = w->acceptors; a; a = a->next)
		(void)ev_io_mod(w->loop, &a->io, on ? EPOLLIN : 0);
}

void worker_pause(struct worker *w)
{
	if (w->draining)
		return;
	if (!w->paused) {
		w->paused = true;
		set_accepting(w, false);
		relay_pool_trim(&w->pool);
		book_add(&w->proxy->state->accept_paused, 1);
		book_add(&w->proxy->state->accept_pauses, 1);
		log_debug("no descriptors left: accepting pauses");
	}
	ev_timer_set(w->loop, &w->resume, RESUME_MS);
}

static void worker_resume(struct worker *w)
{
	if (!w->paused)
		return;
	w->paused = false;
	ev_timer_del(w->loop, &w->resume);
	__atomic_fetch_sub(&w->proxy->state->accept_paused, 1, __ATOMIC_RELAXED);
	set_accepting(w, true);
}

static bool is_full(const struct worker *w)
{
	unsigned sessions = __atomic_load_n(&w->proxy->sessions, __ATOMIC_RELAXED);
	unsigned upstreams = __atomic_load_n(&w->proxy->upstreams, __ATOMIC_RELAXED);
	unsigned waiting = sessions > upstreams ? sessions - upstreams : 0;

	/* of those that say nothing yet half may still want a socket to a backend */
	return sessions + upstreams + waiting / 2 + 2 > w->proxy->sockets_max;
}

/* Errors of the one connection, not of the listening socket (accept(2)). */
static bool is_connection_error(int err)
{
	switch (err) {
	case ECONNABORTED:
	case EPROTO:
	case EINTR:
	case ENETDOWN:
	case ENOPROTOOPT:
	case EHOSTDOWN:
	case ENONET:
	case EHOSTUNREACH:
	case EOPNOTSUPP:
	case ENETUNREACH:
		return true;
	default:
		return false;
	}
}

static void on_resume(struct ev_timer *timer)
{
	struct worker *w = container_of(timer, struct worker, resume);

	if (is_full(w))
		worker_pause(w);
	else
		worker_resume(w);
}

/* One connection.  0, or a negative errno if there was none or it may not be taken. */
static int accept_one(struct acceptor *a)
{
	struct worker *w = a->worker;
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	int fd;

	if (is_full(w) &&
	    a->keep) { /* a closing listener's queue is taken all the same */
		worker_pause(w);
		return -EMFILE;
	}
	fd = accept4(a->fd, (struct sockaddr *)&ss, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0) {
		session_start(w, a->listener, fd, (struct sockaddr *)&ss);
		return 0;
	}
	if (errno == EAGAIN)
		return -EAGAIN;
	if (is_connection_error(errno))
		return 0; /* take the next */
	worker_pause(w);  /* no descriptors, no memory: not now */
	return -EMFILE;
}

static void on_accept(struct ev_io *io, uint32_t events)
{
	struct acceptor *a = container_of(io, struct acceptor, io);

	(void)events;
	for (int i = 0; i < ACCEPTS_MAX && !a->worker->paused && accept_one(a) == 0; i++)
		;
}

static void acceptors_drop(struct worker *w)
{
	while (w->acceptors) {
		struct acceptor *a = w->acceptors;

		w->acceptors = a->next;
		ev_io_del(w->loop, &a->io);
		close(a->fd);
		free(a);
	}
}

/* What waits in the accept queue was promised a connection: take it before closing. */
static void acceptor_close(struct worker *w, struct acceptor *a)
{
	a->keep = false;
	for (int i = 0; i < QUEUE_MAX && accept_one(a) == 0; i++)
		;
	ev_io_del(w->loop, &a->io);
	close(a->fd);
	free(a);
}

void worker_unique_id(struct worker *w, char ret[SESSION_ID_LEN + 1])
{
	(void)snprintf(ret, SESSION_ID_LEN + 1, "%016" PRIx64 "%016" PRIx64, w->id_high,
		       w->id_next++);
}

void worker_session_done(struct worker *w)
{
	__atomic_fetch_sub(&w->proxy->sessions, 1, __ATOMIC_RELAXED);
	if (w->paused)
		ev_timer_set(w->loop, &w->resume, 0);
	if (w->draining && !w->sessions)
		ev_loop_stop(w->loop);
}

/* --- waiting for a place at a backend --- */

void worker_wait(struct worker *w, struct waiter *x)
{
	x->next = NULL;
	x->prev = w->waiting_tail;
	*w->waiting_tail = x;
	w->waiting_tail = &x->next;
	__atomic_fetch_add(&w->proxy->waiting, 1, __ATOMIC_RELAXED);
}

void worker_stop_waiting(struct worker *w, struct waiter *x)
{
	if (!x->prev)
		return;
	*x->prev = x->next;
	if (x->next)
		x->next->prev = x->prev;
	else
		w->waiting_tail = x->prev;
	x->prev = NULL;
	__atomic_fetch_sub(&w->proxy->waiting, 1, __ATOMIC_RELAXED);
}

/* --- messages --- */

static void acceptor_add(struct worker *w, struct listener *l, int fd)
{
	struct acceptor *a = calloc(1, sizeof(*a));
	int err = -ENOMEM;

	if (a) {
		*a = (struct acceptor){
			.worker = w, .listener = l, .fd = fd, .keep = true
		};
		a->io = (struct ev_io){ .fd = -1, .fn = on_accept };
		err = ev_io_add(w->loop, &a->io, fd, w->paused ? 0 : EPOLLIN);
	}
	if (err) {
		(void)log_errno(err, "listener '%s': a worker cannot accept on it",
				l->name);
		close(fd);
		free(a);
		return;
	}
	a->next = w->acceptors;
	w->acceptors = a;
}

static struct acceptor *acceptor_find(struct worker *w, const struct listener *l)
{
	for (struct acceptor *a = w->acceptors; a; a = a->next) {
		if (a->listener->id == l->id && a->listener->ipv6_only == l->ipv6_only &&
		    memcmp(&a->listener->addr, &l->addr, sizeof(l->addr)) == 0)
			return a;
	}
	return NULL;
}

static void configure(struct worker *w, struct worker_message *m)
{
	struct config *old = w->config, *c = m->config;

	for (struct acceptor *a = w->acceptors; a; a = a->next)
		a->keep = false;
	for (unsigned i = 0; i < c->listeners_count; i++) {
		struct acceptor *a = acceptor_find(w, &c->listeners[i]);

		if (m->fds[i] >= 0) {
			acceptor_add(w, &c->listeners[i], m->fds[i]);
		} else if (a) {
			a->listener = &c->listeners[i];
			a->keep = true;
		}
	}
	/* the last connections of a closing listener still run under its configuration */
	for (struct acceptor **p = &w->acceptors; *p;) {
		struct acceptor *a = *p;

		if (a->keep) {
			p = &a->next;
			continue;
		}
		*p = a->next;
		acceptor_close(w, a);
	}
	for (struct acceptor *a = w->acceptors; a; a = a->next)
		socket_watch(a->fd, &c->timeouts);
	w->config = c;
	session_recount_all(w);
	config_put(old);
}

static void on_drain_deadline(struct ev_timer *timer)
{
	struct worker *w = container_of(timer, struct worker, drain);

	ev_task_add(w->loop, &w->drain_task);
}

/* In batches, so that those which still wait go on meanwhile. */
static void on_drain_task(struct ev_task *task)
{
	struct worker *w = container_of(task, struct worker, drain_task);

	session_end_some(w, TG_END_DRAINED, ENDS_MAX);
	if (w->sessions)
		ev_task_add(w->loop, task);
	else
		ev_loop_stop(w->loop);
}

static void drain(struct worker *w, int64_t deadline_ms)
{
	worker_resume(w);
	while (w->acceptors) {
		struct acceptor *a = w->acceptors;

		w->acceptors = a->next;
		acceptor_close(w, a);
	}
	worker_resume(w);
	w->draining = true;
	if (!w->sessions)
		ev_loop_stop(w->loop);
	else
		ev_timer_set(w->loop, &w->drain, deadline_ms);
}

/* The successor has the same sockets: what waits in their queues is its to take. */
static int hand_over(struct worker *w, void *arg)
{
	struct handover_message m = { 0 };
	int fd = *(int *)arg, err = 0;

	worker_resume(w);
	acceptors_drop(w);
	for (struct session *s = w->sessions, *next; fd >= 0 && s && !err; s = next) {
		next = session_next(s);
		err = session_give(s, fd, &m);
	}
	handover_message_clear(&m);
	return err;
}

static void called(struct worker *w, struct call *c)
{
	c->result = c->fn(w, c->arg);
	sem_post(&c->done);
}

static void adopt(struct worker *w, struct worker_message *m)
{
	session_take(w, m->session, m->fds);
	free(m->session);
}

static void places_told(struct worker *w, unsigned n)
{
	w->places_told += n;
	if (w->places_told > PLACES_MANY)
		w->places_told = PLACES_MANY;
	ev_task_add(w->loop, &w->places_task);
}

static void on_inbox(struct ev_io *io, uint32_t events)
{
	struct worker *w = container_of(io, struct worker, inbox_io);
	struct worker_message *list;
	uint64_t n;

	(void)events;
	(void)!read(w->inbox_fd, &n, sizeof(n)); /* only wakes us */
	pthread_mutex_lock(&w->inbox_lock);
	list = w->inbox;
	w->inbox = NULL;
	w->inbox_tail = &w->inbox;
	pthread_mutex_unlock(&w->inbox_lock);
	while (list) {
		struct worker_message *m = list;

		list = m->next;
		if (m->kind == MSG_CONFIGURE)
			configure(w, m);
		else if (m->kind == MSG_DRAIN)
			drain(w, m->deadline_ms);
		else if (m->kind == MSG_PLACE)
			places_told(w, m->places);
		else if (m->kind == MSG_CALL)
			called(w, m->call);
		else
			adopt(w, m);
		free(m);
	}
}

static void send_message(struct worker *w, struct worker_message *m)
{
	uint64_t one = 1;

	pthread_mutex_lock(&w->inbox_lock);
	*w->inbox_tail = m;
	w->inbox_tail = &m->next;
	pthread_mutex_unlock(&w->inbox_lock);
	(void)!write(w->inbox_fd, &one,
		     sizeof(one)); /* cannot fail below 2^64 messages */
}

static void tell_of_places(struct proxy *p, const struct worker *but, unsigned n)
{
	for (unsigned i = 0; i < p->workers_n; i++) {
		struct worker *w = &p->workers[i];
		struct worker_message *m;

		if (w == but || !(m = calloc(1, sizeof(*m))))
			continue; /* its next release, or the deadline, will do */
		m->kind = MSG_PLACE;
		m->places = n;
		send_message(w, m);
	}
}

void workers_backend_up(struct proxy *p)
{
	/* either we see who waits, or they see the backend: as upstream_release() */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (__atomic_load_n(&p->waiting, __ATOMIC_RELAXED))
		tell_of_places(p, NULL, PLACES_MANY);
}

/*
 * A task, so that a waiter that fails at once does not call the next from within.  Others
 * are told of what was given back here and has no taker, never of what we were told.
 */
static void on_places(struct ev_task *task)
{
	struct worker *w = container_of(task, struct worker, places_task);
	unsigned own = w->places_own, free = own + w->places_told;
	struct waiter *x, *next;

	w->places_own = w->places_told = 0;
	for (x = w->waiting; x && free > 0; x = next) {
		next = x->next;
		free -= x->take(x);
	}
	own = own < free ? own : free;
	if (own > 0 && __atomic_load_n(&w->proxy->waiting, __ATOMIC_RELAXED))
		tell_of_places(w->proxy, w, own);
}

void worker_place_free(struct worker *w)
{
	w->places_own++;
	ev_task_add(w->loop, &w->places_task);
}

int worker_configure(struct worker *w, struct config *c, const int *fds)
{
	size_t size = c->listeners_count * sizeof(*fds);
	struct worker_message *m = calloc(1, sizeof(*m) + size);

	if (!m)
		return -ENOMEM;
	m->kind = MSG_CONFIGURE;
	m->config = c;
	memcpy(m->fds, fds, size);
	send_message(w, m);
	return 0;
}

int worker_call(struct worker *w, int (*fn)(struct worker *w, void *arg), void *arg)
{
	struct worker_message *m = calloc(1, sizeof(*m));
	struct call c = { .fn = fn, .arg = arg };

	if (!m)
		return -ENOMEM;
	sem_init(&c.done, 0, 0);
	m->kind = MSG_CALL;
	m->call = &c;
	send_message(w, m);
	while (sem_wait(&c.done) < 0)
		; /* a signal */
	sem_destroy(&c.done);
	return c.result;
}

int worker_hand_over(struct worker *w, int fd)
{
	return worker_call(w, hand_over, &fd);
}

int worker_adopt(struct worker *w, uint8_t *data, const int *fds, unsigned fds_n)
{
	struct worker_message *m = calloc(1, sizeof(*m) + fds_n * sizeof(*fds));

	if (!m)
		return -ENOMEM;
	m->kind = MSG_ADOPT;
	m->session = data;
	memcpy(m->fds, fds, fds_n * sizeof(*fds));
	send_message(w, m);
	return 0;
}

int worker_drain(struct worker *w, int64_t deadline_ms)
{
	struct worker_message *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	m->kind = MSG_DRAIN;
	m->deadline_ms = deadline_ms;
	send_message(w, m);
	return 0;
}

/* --- life --- */

int worker_init(struct worker *w, struct proxy *p)
{
	int err;

	memset(w, 0, sizeof(*w));
	w->proxy = p;
	w->inbox_tail = &w->inbox;
	w->waiting_tail = &w->waiting;
	w->resume.fn = on_resume;
	w->drain.fn = on_drain_deadline;
	w->drain_task.fn = on_drain_task;
	w->places_task.fn = on_places;
	w->inbox_io = (struct ev_io){ .fd = -1, .fn = on_inbox };
	pthread_mutex_init(&w->inbox_lock, NULL);
	w->inbox_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	err = w->inbox_fd < 0 ? -errno : ev_loop_open(&w->loop);
	if (!err && getrandom(&w->id_high, sizeof(w->id_high), 0) < 0)
		err = -errno;
	if (!err)
		err = relay_pool_init(&w->pool, p->pipes_max, p->buffers_max,
				      &p->state->pipes, &p->state->buffers);
	if (!err)
		err = ev_io_add(w->loop, &w->inbox_io, w->inbox_fd, EPOLLIN);
	return err ? log_errno(err, "cannot set up a worker") : 0;
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	int err;

	w->pool.outbox = w->proxy->io_uring ? outbox_new() : NULL;
	if (w->proxy->io_uring && !w->pool.outbox)
		log_info("no io_uring for us: a system call for each small send");
	ev_loop_settle(w->loop, session_settle, w);
	err = ev_loop_run(w->loop);
	if (err)
		(void)log_errno(err, "a worker's event loop failed");
	return NULL;
}

int worker_start(struct worker *w, int cpu)
{
	pthread_attr_t attr;
	cpu_set_t set;
	int err;

	pthread_attr_init(&attr);
	CPU_ZERO(&set);
	if (cpu >= 0) {
		CPU_SET((size_t)cpu, &set);
		(void)pthread_attr_setaffinity_np(&attr, sizeof(set), &set);
	}
	err = -pthread_create(&w->thread, &attr, worker_main, w);
	pthread_attr_destroy(&attr);
	if (err)
		return log_errno(err, "cannot start a worker");
	w->started = true;
	return 0;
}

void worker_join(struct worker *w)
{
	if (w->started)
		pthread_join(w->thread, NULL);
	acceptors_drop(w);
	relay_pool_done(&w->pool);
	ev_loop_close(w->loop);
	if (w->inbox_fd >= 0)
		close(w->inbox_fd);
	while (w->inbox) { /* came too late, and of no use: places */
		struct worker_message *m = w->inbox;

		w->inbox = m->next;
		free(m);
	}
	config_put(w->config);
	pthread_mutex_destroy(&w->inbox_lock);
}
