/* SPDX-License-Identifier: Apache-2.0 */
/* One worker: its thread, its loop and its inbox. */
#include <errno.h>
#include <inttypes.h>
#include <semaphore.h>
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
#include "net/conn.h"
#include "net/outbox.h"
#include "net/worker.h"

void worker_unique_id(struct worker *w, char ret[WORKER_ID_LEN + 1])
{
	(void)snprintf(ret, WORKER_ID_LEN + 1, "%016" PRIx64 "%016" PRIx64, w->id_high,
		       w->id_next++);
}

/* --- inbox --- */

static struct worker_post *take_all(struct worker *w, bool stop)
{
	struct worker_post *list;

	pthread_mutex_lock(&w->inbox_lock);
	list = w->inbox;
	w->inbox = NULL;
	w->inbox_tail = &w->inbox;
	w->stopped |= stop;
	pthread_mutex_unlock(&w->inbox_lock);
	return list;
}

static void on_inbox(struct ev_io *io, uint32_t events)
{
	struct worker *w = container_of(io, struct worker, inbox_io);
	struct worker_post *list, *post;
	uint64_t n;

	(void)events;
	(void)!read(w->inbox_fd, &n, sizeof(n)); /* only wakes us */
	list = take_all(w, false);
	while ((post = list)) {
		list = post->next;
		post->run(w, post);
	}
}

bool worker_post(struct worker *w, struct worker_post *post)
{
	uint64_t one = 1;
	bool runs;

	post->next = NULL;
	pthread_mutex_lock(&w->inbox_lock);
	runs = !w->stopped;
	if (runs) {
		*w->inbox_tail = post;
		w->inbox_tail = &post->next;
	}
	pthread_mutex_unlock(&w->inbox_lock);
	/* cannot fail below 2^64 posts */
	if (runs)
		(void)!write(w->inbox_fd, &one, sizeof(one));
	return runs;
}

/* Nobody reads it any more: who waits for an answer has it. */
static void stop_inbox(struct worker *w)
{
	struct worker_post *list = take_all(w, true), *post;

	while ((post = list)) {
		list = post->next;
		post->drop(post);
	}
}

/* Who calls waits for the worker. */
struct call {
	struct worker_post post;
	int (*fn)(struct worker *w, void *arg);
	void *arg;
	int result;
	sem_t done;
};

static void run_call(struct worker *w, struct worker_post *post)
{
	struct call *c = container_of(post, struct call, post);

	c->result = c->fn(w, c->arg);
	sem_post(&c->done);
}

static void drop_call(struct worker_post *post)
{
	struct call *c = container_of(post, struct call, post);

	c->result = -ESRCH;
	sem_post(&c->done);
}

int worker_call(struct worker *w, int (*fn)(struct worker *w, void *arg), void *arg)
{
	struct call c = { .post = { .run = run_call, .drop = drop_call },
			  .fn = fn,
			  .arg = arg };

	sem_init(&c.done, 0, 0);
	if (!worker_post(w, &c.post))
		drop_call(&c.post);
	while (sem_wait(&c.done) < 0)
		; /* a signal */
	sem_destroy(&c.done);
	return c.result;
}

static int nothing(struct worker *w, void *arg)
{
	(void)w;
	(void)arg;
	return 0;
}

void workers_settle(struct proxy *p)
{
	for (unsigned i = 0; i < p->workers_n; i++) {
		if (p->workers[i].started)
			(void)worker_call(&p->workers[i], nothing, NULL);
	}
}

/* --- life --- */

int worker_open(struct worker *w, struct proxy *p)
{
	int err;

	memset(w, 0, sizeof(*w));
	w->proxy = p;
	w->inbox_tail = &w->inbox;
	w->inbox_io = (struct ev_io){ .fd = -1, .fn = on_inbox };
	pthread_mutex_init(&w->inbox_lock, NULL);
	w->inbox_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	err = w->inbox_fd < 0 ? -errno : ev_loop_open(&w->loop);
	if (!err && getrandom(&w->id_high, sizeof(w->id_high), 0) < 0)
		err = -errno;
	if (!err)
		err = pool_open(&w->pool, p->pipes_max, p->buffers_max, &p->state->pipes,
				&p->state->buffers);
	if (!err)
		err = ev_io_add(w->loop, &w->inbox_io, w->inbox_fd, EPOLLIN);
	return err ? log_errno(err, "cannot set up a worker") : 0;
}

struct config *worker_hold(struct worker *w, struct config *c)
{
	if (c != w->config)
		return config_get(c);
	w->held++;
	return c;
}

void worker_release(struct worker *w, struct config *c)
{
	if (c == w->config)
		w->held--;
	else
		config_put(c);
}

/* What was counted here are references of their own from now on. */
static void leave_config(struct worker *w)
{
	if (w->config)
		config_get_more(w->config, w->held);
	w->held = 0;
	config_put(w->config);
}

void worker_change_config(struct worker *w, struct config *c)
{
	leave_config(w);
	w->config = c;
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
	ev_loop_settle(w->loop, conn_settle, w);
	err = ev_loop_run(w->loop);
	if (err) { /* what it listens on would wait for ever, and all else look well */
		(void)log_errno(err, "a worker's event loop failed");
		_exit(EXIT_FAILURE);
	}
	stop_inbox(w);
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
	w->started = false;
	if (w->inbox_tail)
		stop_inbox(w); /* of one that never ran */
}

void worker_close(struct worker *w)
{
	if (!w->inbox_tail)
		return; /* it was never opened */
	pool_close(&w->pool);
	ev_loop_close(w->loop);
	if (w->inbox_fd >= 0)
		close(w->inbox_fd);
	leave_config(w);
	pthread_mutex_destroy(&w->inbox_lock);
}
