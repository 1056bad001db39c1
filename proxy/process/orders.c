/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/place.h"
#include "base/log.h"
#include "base/util.h"
#include "http/worker.h"
#include "process/door.h"
#include "process/orders.h"
#include "session/openings.h"
#include "session/session.h"
#include "tls/context.h"

#define ENDS_MAX     100 /* sessions ended a turn when the drain is over */
#define MOVING_MS    10	 /* then, until those on their way have gone or stay */
#define RECOUNTS_MAX 256 /* in a turn */

struct orders {
	struct worker *worker;
	struct ev_task recount;
	struct ev_timer deadline; /* of the drain */
	struct ev_task drain;	  /* it has come */
	bool draining;
};

/* --- a configuration --- */

struct configuration {
	struct worker_post post;
	struct config *config; /* a reference */
	int fds[];	       /* one a listener */
};

static void run_configuration(struct worker *w, struct worker_post *post)
{
	struct configuration *m = container_of(post, struct configuration, post);

	door_configure(w, m->config, m->fds);
	worker_change_config(w, m->config);
	context_forget(w);
	http_forget(w);
	w->recount = w->sessions;
	ev_task_add(w->loop, &w->orders->recount);
	free(m);
}

static void drop_configuration(struct worker_post *post)
{
	struct configuration *m = container_of(post, struct configuration, post);

	for (unsigned i = 0; i < m->config->listeners_count; i++) {
		if (m->fds[i] >= 0)
			close(m->fds[i]);
	}
	config_put(m->config);
	free(m);
}

static struct configuration *configuration(const struct proxy *p, unsigned worker,
					   struct config *c, const int *fds)
{
	struct configuration *m =
		calloc(1, sizeof(*m) + c->listeners_count * sizeof(*m->fds));

	if (!m)
		return NULL;
	m->post.run = run_configuration;
	m->post.drop = drop_configuration;
	m->config = config_get(c);
	for (unsigned i = 0; i < c->listeners_count; i++)
		m->fds[i] = fds[i * p->workers_n + worker];
	return m;
}

/* All are made before the first is sent: no two workers have different ones. */
struct orders_plan {
	unsigned n;
	struct configuration *all[];
};

void orders_forget(struct orders_plan *plan)
{
	for (unsigned i = 0; plan && i < plan->n; i++) {
		if (!plan->all[i])
			continue;
		config_put(plan->all[i]->config); /* the sockets are the caller's */
		free(plan->all[i]);
	}
	free(plan);
}

int orders_prepare(const struct proxy *p, struct config *c, const int *fds,
		   struct orders_plan **ret)
{
	struct orders_plan *plan =
		calloc(1, sizeof(*plan) + p->workers_n * sizeof(struct configuration *));
	bool ok = plan != NULL;

	for (unsigned i = 0; ok && i < p->workers_n; i++) {
		plan->n = i + 1;
		plan->all[i] = configuration(p, i, c, fds);
		ok = plan->all[i] != NULL;
	}
	if (!ok) {
		orders_forget(plan);
		return -ENOMEM;
	}
	*ret = plan;
	return 0;
}

void orders_configure(struct proxy *p, struct orders_plan *plan)
{
	for (unsigned i = 0; i < plan->n; i++) {
		if (worker_post(&p->workers[i], &plan->all[i]->post))
			plan->all[i] = NULL; /* the worker's */
	}
	orders_forget(plan);
}

/* In batches: of thousands of connections each has its turns in between. */
static void on_recount(struct ev_task *task)
{
	struct worker *w = container_of(task, struct orders, recount)->worker;

	session_recount_some(w, RECOUNTS_MAX);
	if (w->recount)
		ev_task_add(w->loop, task);
}

/* --- draining --- */

static void on_deadline(struct ev_timer *timer)
{
	struct orders *o = container_of(timer, struct orders, deadline);

	ev_task_add(o->worker->loop, &o->drain);
}

/* In batches, so that those which still wait go on meanwhile. */
static void on_drain(struct ev_task *task)
{
	struct orders *o = container_of(task, struct orders, drain);
	struct worker *w = o->worker;

	if (session_end_some(w, TG_END_DRAINED, ENDS_MAX) > 0 && w->sessions)
		ev_task_add(w->loop, task);
	else if (w->sessions)
		ev_timer_set(w->loop, &o->deadline, MOVING_MS);
	else
		ev_loop_stop(w->loop);
}

struct drain {
	struct worker_post post;
	int64_t deadline_ms;
};

static void drop_drain(struct worker_post *post)
{
	free(container_of(post, struct drain, post));
}

static void run_drain(struct worker *w, struct worker_post *post)
{
	int64_t deadline_ms = container_of(post, struct drain, post)->deadline_ms;

	drop_drain(post);
	door_close(w, NULL);
	w->orders->draining = w->room_wanted = true;
	w->draining = true;
	session_drain(w);
	if (!w->sessions)
		ev_loop_stop(w->loop);
	else
		ev_timer_set(w->loop, &w->orders->deadline, deadline_ms);
}

int orders_drain(struct worker *w, int64_t deadline_ms)
{
	struct drain *m = malloc(sizeof(*m));

	if (!m)
		return -ENOMEM;
	*m = (struct drain){ .post = { .run = run_drain, .drop = drop_drain },
			     .deadline_ms = deadline_ms };
	if (!worker_post(w, &m->post))
		free(m); /* it has stopped already */
	return 0;
}

/* A session has ended: was it the last one, or is there room for others now? */
static void on_room(struct ev_task *task)
{
	struct worker *w = container_of(task, struct worker, room);

	if (!w->orders->draining)
		door_look(w);
	else if (!w->sessions)
		ev_loop_stop(w->loop);
}

/* --- an upgrade --- */

int orders_hold(struct worker *w, void *arg)
{
	(void)arg;
	door_hold(w, true);
	return 0;
}

int orders_release(struct worker *w, void *arg)
{
	(void)arg;
	door_hold(w, false);
	return 0;
}

/* The successor has the same sockets: what waits in their queues is its to take. */
int orders_leave_listeners(struct worker *w, void *arg)
{
	door_close(w, arg);
	return 0;
}

struct adoption {
	struct worker_post post;
	struct worker *worker;
	uint8_t *data;
	size_t len;
	unsigned fds_n;
	int fds[];
};

static void run_adoption(struct worker *w, struct worker_post *post)
{
	struct adoption *m = container_of(post, struct adoption, post);

	session_take(w, m->data, m->len, m->fds, m->fds_n);
	free(m->data);
	free(m);
}

static void drop_adoption(struct worker_post *post)
{
	struct adoption *m = container_of(post, struct adoption, post);

	session_lost(m->worker->proxy, m->worker->config, m->data, m->len);
	while (m->fds_n > 0)
		close(m->fds[--m->fds_n]);
	free(m->data);
	free(m);
}

int orders_adopt(struct worker *w, uint8_t *data, size_t len, const int *fds,
		 unsigned fds_n)
{
	struct adoption *m = calloc(1, sizeof(*m) + fds_n * sizeof(*fds));

	if (!m)
		return -ENOMEM;
	m->post.run = run_adoption;
	m->post.drop = drop_adoption;
	m->worker = w;
	m->data = data;
	m->len = len;
	m->fds_n = fds_n;
	memcpy(m->fds, fds, fds_n * sizeof(*fds));
	if (worker_post(w, &m->post))
		return 0;
	free(m);
	return -ESRCH;
}

/* --- life --- */

int orders_open(struct worker *w)
{
	struct orders *o = calloc(1, sizeof(*o));
	int err = o ? 0 : -ENOMEM;

	if (o)
		*o = (struct orders){ .worker = w,
				      .recount = { .fn = on_recount },
				      .deadline = { .fn = on_deadline },
				      .drain = { .fn = on_drain } };
	w->orders = o;
	w->room.fn = on_room;
	if (!err)
		err = context_open(w);
	if (!err)
		err = place_open(w);
	if (!err)
		err = http_open(w);
	if (!err)
		err = openings_open(w, session_evict);
	if (!err)
		err = door_open(w);
	return err ? log_errno(err, "cannot set up a worker") : 0;
}

void orders_close(struct worker *w)
{
	door_drop(w);
	openings_close(w);
	http_close(w);
	place_close(w);
	context_close(w);
	free(w->orders);
	w->orders = NULL;
}
