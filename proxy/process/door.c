/* SPDX-License-Identifier: Apache-2.0 */
/* Listening sockets of one worker: accepting, pausing, closing without loss. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/util.h"
#include "http/front.h"
#include "http/worker.h"
#include "net/sock.h"
#include "process/door.h"
#include "session/openings.h"
#include "session/session.h"

#define ACCEPTS_MAX 64 /* a turn, so that sessions get theirs */
#define RESUME_MS   100
#define QUEUE_MAX   4096 /* what an accept queue may hold when its listener goes */

/* A listening socket of one worker. */
struct acceptor {
	struct ev_io io;
	struct worker *worker;
	struct listener *listener; /* in the worker's configuration */
	int fd;
	bool closing; /* its queue is taken all the same */
	struct acceptor *next;
};

struct door {
	struct worker *worker;
	struct acceptor *acceptors;
	struct ev_timer resume; /* accepting is paused until then */
	bool paused;
	bool held;   /* by an upgrade: nothing is accepted until it is let go */
	bool closed; /* for good: no pause any more */
};

static bool is_open(const struct door *d)
{
	return !d->paused && !d->held;
}

static void watch(struct worker *w)
{
	for (struct acceptor *a = w->door->acceptors; a; a = a->next)
		(void)ev_io_mod(w->loop, &a->io, is_open(w->door) ? EPOLLIN : 0);
}

static void pause_for_a_moment(struct worker *w)
{
	struct door *d = w->door;

	if (d->closed)
		return;
	if (!d->paused) {
		d->paused = w->room_wanted = true;
		watch(w);
		pool_trim(&w->pool);
		book_add(&w->proxy->state->accept_paused, 1);
		book_add(&w->proxy->state->accept_pauses, 1);
		log_limited(LOG_WARN,
			    "no descriptors left for more connections: accepting pauses "
			    "until some end (ulimit -n)");
	}
	ev_timer_set(w->loop, &d->resume, RESUME_MS);
}

/* After the end of the session that told of it, which is no reason to go on at once. */
static void on_shortage(struct ev_task *task)
{
	struct worker *w = container_of(task, struct worker, shortage);

	pause_for_a_moment(w);
	if (!w->door->closed) /* else somebody waits for the last one */
		ev_task_del(w->loop, &w->room);
}

static void resume(struct worker *w)
{
	struct door *d = w->door;

	if (!d->paused)
		return;
	d->paused = w->room_wanted = false;
	ev_timer_del(w->loop, &d->resume);
	__atomic_fetch_sub(&w->proxy->state->accept_paused, 1, __ATOMIC_RELAXED);
	watch(w);
}

void door_hold(struct worker *w, bool held)
{
	w->door->held = held;
	watch(w);
}

static bool is_full(const struct worker *w)
{
	unsigned sessions = __atomic_load_n(&w->proxy->sessions, __ATOMIC_RELAXED);
	unsigned upstreams = __atomic_load_n(&w->proxy->upstreams, __ATOMIC_RELAXED);
	unsigned waiting = sessions > upstreams ? sessions - upstreams : 0;

	/* of those that say nothing yet half may still want a socket to a backend */
	return sessions + upstreams + waiting / 2 + 2 >
	       __atomic_load_n(&w->proxy->sockets_max, __ATOMIC_RELAXED);
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

/* Of what does nothing, what costs least: kept for later, not begun, between requests. */
static bool make_room(struct worker *w)
{
	return http_make_room(w) || openings_evict(w) || front_evict(w);
}

void door_look(struct worker *w)
{
	if (!w->door->paused)
		return;
	if (is_full(w) && !make_room(w))
		pause_for_a_moment(w);
	else
		resume(w);
}

static void on_resume(struct ev_timer *timer)
{
	door_look(container_of(timer, struct door, resume)->worker);
}

/* One connection.  0, or a negative errno if there was none or it may not be taken. */
static int accept_one(struct acceptor *a)
{
	struct worker *w = a->worker;
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	int fd;

	if (is_full(w) && !a->closing && !make_room(w)) {
		pause_for_a_moment(w);
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
		return 0;      /* take the next */
	pause_for_a_moment(w); /* no descriptors, no memory: not now */
	return -EMFILE;
}

/* The first one that finds no descriptor for its backend stops those that come behind. */
static bool may_accept(const struct worker *w)
{
	return is_open(w->door) && !w->shortage.queued;
}

static void on_accept(struct ev_io *io, uint32_t events)
{
	struct acceptor *a = container_of(io, struct acceptor, io);

	(void)events;
	for (int i = 0; i < ACCEPTS_MAX && may_accept(a->worker) && accept_one(a) == 0;
	     i++)
		;
}

static void acceptor_leave(struct worker *w, struct acceptor *a)
{
	ev_io_del(w->loop, &a->io);
	close(a->fd);
	free(a);
}

/* What waits in the accept queue was promised a connection: take it before closing. */
static void acceptor_close(struct worker *w, struct acceptor *a)
{
	a->closing = true;
	for (int i = 0; i < QUEUE_MAX && accept_one(a) == 0; i++)
		;
	acceptor_leave(w, a);
}

static void acceptor_add(struct worker *w, struct listener *l, int fd)
{
	struct acceptor *a = calloc(1, sizeof(*a));
	int err = -ENOMEM;

	if (a) {
		*a = (struct acceptor){ .worker = w, .listener = l, .fd = fd };
		a->io = (struct ev_io){ .fd = -1, .fn = on_accept };
		err = ev_io_add(w->loop, &a->io, fd, is_open(w->door) ? EPOLLIN : 0);
	}
	if (err) {
		(void)log_errno(err, "listener '%s': a worker cannot accept on it",
				l->name);
		close(fd);
		free(a);
		return;
	}
	a->next = w->door->acceptors;
	w->door->acceptors = a;
}

static struct acceptor *acceptor_find(struct worker *w, const struct listener *l)
{
	for (struct acceptor *a = w->door->acceptors; a; a = a->next) {
		if (config_same_listener(a->listener, l))
			return a;
	}
	return NULL;
}

void door_configure(struct worker *w, struct config *c, const int *fds)
{
	for (struct acceptor *a = w->door->acceptors; a; a = a->next)
		a->closing = true;
	for (unsigned i = 0; i < c->listeners_count; i++) {
		struct acceptor *a = acceptor_find(w, &c->listeners[i]);

		if (fds[i] >= 0) {
			acceptor_add(w, &c->listeners[i], fds[i]);
		} else if (a) {
			a->listener = &c->listeners[i];
			a->closing = false;
		}
	}
	/* the last connections of a closing listener still run under its configuration */
	for (struct acceptor **p = &w->door->acceptors; *p;) {
		struct acceptor *a = *p;

		if (!a->closing) {
			p = &a->next;
			continue;
		}
		*p = a->next;
		acceptor_close(w, a);
	}
	for (struct acceptor *a = w->door->acceptors; a; a = a->next)
		sock_deadlines(a->fd, &c->timeouts);
}

void door_close(struct worker *w, const struct door_leave *leave)
{
	struct door *d = w->door;

	while (d->acceptors) {
		struct acceptor *a = d->acceptors;

		d->acceptors = a->next;
		if (leave ? leave->has(a->listener, leave->arg) : d->held)
			acceptor_leave(w, a);
		else
			acceptor_close(w, a);
	}
	resume(w); /* that may have been too much */
	d->closed |= !leave;
}

int door_open(struct worker *w)
{
	struct door *d = calloc(1, sizeof(*d));

	if (!d)
		return -ENOMEM;
	d->worker = w;
	d->resume.fn = on_resume;
	w->shortage.fn = on_shortage;
	w->door = d;
	return 0;
}

void door_drop(struct worker *w)
{
	struct acceptor *a;

	while (w->door && (a = w->door->acceptors)) {
		w->door->acceptors = a->next;
		acceptor_leave(w, a);
	}
	free(w->door);
	w->door = NULL;
}
