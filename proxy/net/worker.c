/* SPDX-License-Identifier: Apache-2.0 */
/* One worker: taking messages and configurations, draining. */
#include <errno.h>
#include <semaphore.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sandbox.h"
#include "base/util.h"
#include "net/worker.h"
#include "process/door.h"
#include "session/session.h"

#define PLACES_MANY  65536 /* of a backend that has come up: nobody counts them */
#define ENDS_MAX     100   /* sessions ended a turn when the drain is over */
#define MOVING_MS    10	   /* then, until those on their way have gone or stay */
#define RECOUNTS_MAX 256   /* in a turn */

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
	unsigned fds_n; /* of a session */
	struct config *config;
	int fds[]; /* one a listener */
};

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

static void configure(struct worker *w, struct worker_message *m)
{
	struct config *old = w->config, *c = m->config;

	acceptors_configure(w, c, m->fds);
	w->config = c;
	w->recount = w->sessions;
	ev_task_add(w->loop, &w->recount_task);
	config_put(old);
}

/* In batches: of thousands of connections each has its turns in between. */
static void on_recount(struct ev_task *task)
{
	struct worker *w = container_of(task, struct worker, recount_task);

	session_recount_some(w, RECOUNTS_MAX);
	if (w->recount)
		ev_task_add(w->loop, task);
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

	if (session_end_some(w, TG_END_DRAINED, ENDS_MAX) > 0 && w->sessions)
		ev_task_add(w->loop, task);
	else if (w->sessions)
		ev_timer_set(w->loop, &w->drain, MOVING_MS);
	else
		ev_loop_stop(w->loop);
}

static void drain(struct worker *w, int64_t deadline_ms)
{
	acceptors_resume(w);
	acceptors_close(w, NULL);
	acceptors_resume(w);
	w->draining = true;
	if (!w->sessions)
		ev_loop_stop(w->loop);
	else
		ev_timer_set(w->loop, &w->drain, deadline_ms);
}

int worker_hold(struct worker *w, void *arg)
{
	(void)arg;
	w->held = true;
	acceptors_switch(w);
	return 0;
}

int worker_release(struct worker *w, void *arg)
{
	(void)arg;
	w->held = false;
	acceptors_switch(w);
	return 0;
}

/* The successor has the same sockets: what waits in their queues is its to take. */
int worker_leave_listeners(struct worker *w, void *arg)
{
	const struct worker_leave *leave = arg;

	acceptors_resume(w);
	acceptors_close(w, leave);
	return 0;
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

/* False if the worker has stopped; the message is still the caller's then. */
static bool send_message(struct worker *w, struct worker_message *m)
{
	uint64_t one = 1;
	bool runs;

	pthread_mutex_lock(&w->inbox_lock);
	runs = !w->stopped;
	if (runs) {
		*w->inbox_tail = m;
		w->inbox_tail = &m->next;
	}
	pthread_mutex_unlock(&w->inbox_lock);
	if (runs)
		(void)!write(w->inbox_fd, &one,
			     sizeof(one)); /* cannot fail below 2^64 messages */
	return runs;
}

static void message_free(struct worker_message *m)
{
	while (m->fds_n > 0)
		close(m->fds[--m->fds_n]);
	for (unsigned i = 0; m->config && i < m->config->listeners_count; i++) {
		if (m->fds[i] >= 0)
			close(m->fds[i]);
	}
	config_put(m->config);
	free(m->session);
	free(m);
}

/* Nobody reads messages any more: who waits for an answer has it. */
static void stop_messages(struct worker *w)
{
	struct worker_message *m;

	pthread_mutex_lock(&w->inbox_lock);
	w->stopped = true;
	while ((m = w->inbox)) {
		w->inbox = m->next;
		if (m->kind == MSG_CALL) {
			m->call->result = -ESRCH;
			sem_post(&m->call->done);
		}
		message_free(m);
	}
	w->inbox_tail = &w->inbox;
	pthread_mutex_unlock(&w->inbox_lock);
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
		if (!send_message(w, m))
			message_free(m);
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

static struct worker_message *configuration(const struct proxy *p, unsigned worker,
					    struct config *c, const int *fds)
{
	struct worker_message *m =
		calloc(1, sizeof(*m) + c->listeners_count * sizeof(*m->fds));

	if (!m)
		return NULL;
	m->kind = MSG_CONFIGURE;
	m->config = config_get(c);
	for (unsigned i = 0; i < c->listeners_count; i++)
		m->fds[i] = fds[i * p->workers_n + worker];
	return m;
}

/* All are made before the first is sent: no two workers have different ones. */
int workers_configure(struct proxy *p, struct config *c, const int *fds)
{
	struct worker_message *list = NULL, *m;
	bool all = true;

	for (unsigned w = p->workers_n; all && w-- > 0;) {
		m = configuration(p, w, c, fds);
		all = m != NULL;
		if (m) {
			m->next = list;
			list = m;
		}
	}
	for (unsigned w = 0; list; w++) {
		m = list;
		list = m->next;
		m->next = NULL;
		if (all && send_message(&p->workers[w], m))
			continue;
		config_put(m->config);
		free(m);
	}
	return all ? 0 : -ENOMEM;
}

static int nothing(struct worker *w, void *arg)
{
	(void)w;
	(void)arg;
	return 0;
}

void workers_settle(struct proxy *p)
{
	for (unsigned w = 0; w < p->workers_n; w++) {
		if (p->workers[w].started)
			(void)worker_call(&p->workers[w], nothing, NULL);
	}
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
	if (send_message(w, m)) {
		while (sem_wait(&c.done) < 0)
			; /* a signal */
	} else {
		free(m);
		c.result = -ESRCH;
	}
	sem_destroy(&c.done);
	return c.result;
}

int worker_adopt(struct worker *w, uint8_t *data, const int *fds, unsigned fds_n)
{
	struct worker_message *m = calloc(1, sizeof(*m) + fds_n * sizeof(*fds));

	if (!m)
		return -ENOMEM;
	m->kind = MSG_ADOPT;
	m->session = data;
	m->fds_n = fds_n;
	memcpy(m->fds, fds, fds_n * sizeof(*fds));
	if (send_message(w, m))
		return 0;
	free(m);
	return -ESRCH;
}

int worker_drain(struct worker *w, int64_t deadline_ms)
{
	struct worker_message *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	m->kind = MSG_DRAIN;
	m->deadline_ms = deadline_ms;
	if (!send_message(w, m))
		message_free(m); /* it has stopped already */
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
	w->resume.fn = acceptors_on_resume;
	w->drain.fn = on_drain_deadline;
	w->drain_task.fn = on_drain_task;
	w->recount_task.fn = on_recount;
	w->places_task.fn = on_places;
	w->inbox_io = (struct ev_io){ .fd = -1, .fn = on_inbox };
	pthread_mutex_init(&w->inbox_lock, NULL);
	w->inbox_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	err = w->inbox_fd < 0 ? -errno : ev_loop_open(&w->loop);
	if (!err && getrandom(&w->id_high, sizeof(w->id_high), 0) < 0)
		err = -errno;
	if (!err)
		err = openings_init(&w->openings);
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

	err = sandbox_drop(); /* it reads what comes from outside, and needs nothing */
	if (err)
		(void)log_errno(err, "a worker keeps its capabilities");
	w->pool.outbox = w->proxy->io_uring ? outbox_new() : NULL;
	if (w->proxy->io_uring && !w->pool.outbox)
		log_info("no io_uring for us: a system call for each small send");
	ev_loop_settle(w->loop, session_settle, w);
	err = ev_loop_run(w->loop);
	if (err)
		(void)log_errno(err, "a worker's event loop failed");
	stop_messages(w);
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
	openings_done(&w->openings);
	ev_loop_close(w->loop);
	if (w->inbox_fd >= 0)
		close(w->inbox_fd);
	stop_messages(w); /* of one that never ran */
	config_put(w->config);
	pthread_mutex_destroy(&w->inbox_lock);
}
