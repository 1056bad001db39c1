/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>

#include "backend/place.h"
#include "base/util.h"

#define PLACES_MANY 65536 /* of a backend that has come up: nobody counts them */

struct places {
	struct worker *worker;
	struct waiter *waiting, **tail; /* oldest first */
	unsigned own;  /* at a backend, given back here and not offered yet */
	unsigned told; /* of by another worker, or the keeper */
	struct ev_task task;
};

/* Word to another worker. */
struct word {
	struct worker_post post;
	unsigned places;
};

void place_wait(struct worker *w, struct waiter *x)
{
	struct places *p = w->places;

	x->next = NULL;
	x->prev = p->tail;
	*p->tail = x;
	p->tail = &x->next;
	__atomic_fetch_add(&w->proxy->waiting, 1, __ATOMIC_RELAXED);
}

void place_stop_waiting(struct worker *w, struct waiter *x)
{
	if (!x->prev)
		return;
	*x->prev = x->next;
	if (x->next)
		x->next->prev = x->prev;
	else
		w->places->tail = x->prev;
	x->prev = NULL;
	__atomic_fetch_sub(&w->proxy->waiting, 1, __ATOMIC_RELAXED);
}

static void drop_word(struct worker_post *post)
{
	free(container_of(post, struct word, post));
}

static void run_word(struct worker *w, struct worker_post *post)
{
	struct places *p = w->places;

	p->told += container_of(post, struct word, post)->places;
	if (p->told > PLACES_MANY)
		p->told = PLACES_MANY;
	ev_task_add(w->loop, &p->task);
	drop_word(post);
}

static void tell_others(struct proxy *p, const struct worker *but, unsigned n)
{
	for (unsigned i = 0; i < p->workers_n; i++) {
		struct worker *w = &p->workers[i];
		struct word *word;

		if (w == but || !(word = malloc(sizeof(*word))))
			continue; /* its next release, or the deadline, will do */
		*word = (struct word){ .post = { .run = run_word, .drop = drop_word },
				       .places = n };
		if (!worker_post(w, &word->post))
			free(word);
	}
}

void place_backend_up(struct proxy *p)
{
	/* either we see who waits, or they see the backend: as dial_release() */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (__atomic_load_n(&p->waiting, __ATOMIC_RELAXED))
		tell_others(p, NULL, PLACES_MANY);
}

/*
 * A task, so that a waiter that fails at once does not call the next from within.  Others
 * are told of what was given back here and has no taker, never of what we were told.
 */
static void on_places(struct ev_task *task)
{
	struct places *p = container_of(task, struct places, task);
	struct proxy *proxy = p->worker->proxy;
	unsigned own = p->own, free = own + p->told;
	struct waiter *x, *next;

	p->own = p->told = 0;
	for (x = p->waiting; x && free > 0; x = next) {
		next = x->next;
		free -= x->take(x);
	}
	own = own < free ? own : free;
	if (own > 0 && __atomic_load_n(&proxy->waiting, __ATOMIC_RELAXED))
		tell_others(proxy, p->worker, own);
}

void place_free(struct worker *w)
{
	w->places->own++;
	ev_task_add(w->loop, &w->places->task);
}

int place_open(struct worker *w)
{
	struct places *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->worker = w;
	p->tail = &p->waiting;
	p->task.fn = on_places;
	w->places = p;
	return 0;
}

void place_close(struct worker *w)
{
	free(w->places);
	w->places = NULL;
}
