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
#include "process/door.h"
#include "process/listen.h"
#include "session/session.h"

#define ACCEPTS_MAX 64 /* a turn, so that sessions get theirs */
#define RESUME_MS   100
#define QUEUE_MAX   4096 /* what an accept queue may hold when its listener goes */

void acceptors_switch(struct worker *w)
{
	bool on = !w->paused && !w->held;

	for (struct acceptor *a = w->acceptors; a; a = a->next)
		(void)ev_io_mod(w->loop, &a->io, on ? EPOLLIN : 0);
}

void worker_pause(struct worker *w)
{
	if (w->draining)
		return;
	if (!w->paused) {
		w->paused = true;
		acceptors_switch(w);
		relay_pool_trim(&w->pool);
		book_add(&w->proxy->state->accept_paused, 1);
		book_add(&w->proxy->state->accept_pauses, 1);
		log_limited(LOG_WARN,
			    "no descriptors left for more connections: accepting pauses "
			    "until some end (ulimit -n)");
	}
	ev_timer_set(w->loop, &w->resume, RESUME_MS);
}

void acceptors_resume(struct worker *w)
{
	if (!w->paused)
		return;
	w->paused = false;
	ev_timer_del(w->loop, &w->resume);
	__atomic_fetch_sub(&w->proxy->state->accept_paused, 1, __ATOMIC_RELAXED);
	acceptors_switch(w);
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

void acceptors_on_resume(struct ev_timer *timer)
{
	struct worker *w = container_of(timer, struct worker, resume);

	if (is_full(w) && !openings_evict(w))
		worker_pause(w);
	else
		acceptors_resume(w);
}

/* One connection.  0, or a negative errno if there was none or it may not be taken. */
static int accept_one(struct acceptor *a)
{
	struct worker *w = a->worker;
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	int fd;

	/* a closing listener's queue is taken all the same */
	if (is_full(w) && a->keep && !openings_evict(w)) {
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
	for (int i = 0; i < ACCEPTS_MAX && !a->worker->paused && !a->worker->held &&
			accept_one(a) == 0;
	     i++)
		;
}

static void acceptor_leave(struct worker *w, struct acceptor *a)
{
	ev_io_del(w->loop, &a->io);
	close(a->fd);
	free(a);
}

void acceptors_drop(struct worker *w)
{
	while (w->acceptors) {
		struct acceptor *a = w->acceptors;

		w->acceptors = a->next;
		acceptor_leave(w, a);
	}
}

/* What waits in the accept queue was promised a connection: take it before closing. */
static void acceptor_close(struct worker *w, struct acceptor *a)
{
	a->keep = false;
	for (int i = 0; i < QUEUE_MAX && accept_one(a) == 0; i++)
		;
	acceptor_leave(w, a);
}

static void acceptor_add(struct worker *w, struct listener *l, int fd)
{
	struct acceptor *a = calloc(1, sizeof(*a));
	int err = -ENOMEM;

	if (a) {
		*a = (struct acceptor){
			.worker = w, .listener = l, .fd = fd, .keep = true
		};
		a->io = (struct ev_io){ .fd = -1, .fn = on_accept };
		err = ev_io_add(w->loop, &a->io, fd, w->paused || w->held ? 0 : EPOLLIN);
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

void acceptors_configure(struct worker *w, struct config *c, const int *fds)
{
	for (struct acceptor *a = w->acceptors; a; a = a->next)
		a->keep = false;
	for (unsigned i = 0; i < c->listeners_count; i++) {
		struct acceptor *a = acceptor_find(w, &c->listeners[i]);

		if (fds[i] >= 0) {
			acceptor_add(w, &c->listeners[i], fds[i]);
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
}

void acceptors_close(struct worker *w, const struct worker_leave *leave)
{
	while (w->acceptors) {
		struct acceptor *a = w->acceptors;

		w->acceptors = a->next;
		if (leave && leave->has(a->listener, leave->arg))
			acceptor_leave(w, a);
		else
			acceptor_close(w, a);
	}
}
