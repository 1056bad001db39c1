/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/sockets.h"
#include "base/util.h"
#include "book/writer.h"
#include "process/zombies.h"
#include "session/session.h"

/* One look: what there was, in the order it was asked. */
struct look {
	struct cookies own, table, alive, kernel;
};

struct zombies {
	uint64_t last_ns;
	bool failed;		    /* said once */
	struct cookies gone, stray; /* suspects of the last time, sorted */
};

struct zombies *zombies_new(void)
{
	struct zombies *z = calloc(1, sizeof(*z));

	if (z)
		z->last_ns = util_now_ns();
	return z;
}

void zombies_free(struct zombies *z)
{
	if (!z)
		return;
	cookies_free(&z->gone);
	cookies_free(&z->stray);
	free(z);
}

/* In steps, so that the worker's connections have their turns in between. */
static int walk(struct worker *w, struct look *ret)
{
	struct session_walk steps = { .all = &ret->table, .alive = &ret->alive };
	int more;

	do {
		more = worker_call(w, session_cookies, &steps);
	} while (more > 0);
	return more;
}

static int look(struct proxy *p, struct look *ret)
{
	int err = sockets_own(&ret->own);

	for (unsigned i = 0; i < p->workers_n && !err; i++)
		err = walk(&p->workers[i], ret);
	if (!err)
		err = sockets_tcp(&ret->kernel);
	cookies_sort(&ret->own);
	cookies_sort(&ret->table);
	cookies_sort(&ret->alive);
	cookies_sort(&ret->kernel);
	return err;
}

/*
 * Those of `all` that are (not) in `in`, and not in `but`, become the suspects; those
 * that were suspects before are added to *twice.
 */
static int suspect(struct cookies *suspects, const struct cookies *all,
		   const struct cookies *in, bool want, const struct cookies *but,
		   struct cookies *twice)
{
	struct cookies now = { .v = NULL };
	int err = 0;

	for (size_t i = 0; i < all->n && !err; i++) {
		uint64_t c = all->v[i];

		if (cookies_has(in, c) != want || (but && cookies_has(but, c)))
			continue;
		err = cookies_add(&now, c);
		if (!err && cookies_has(suspects, c))
			err = cookies_add(twice, c);
	}
	cookies_free(suspects);
	*suspects = now; /* sorted as `all` is */
	return err;
}

static int judge(struct zombies *z, struct proxy *p, const struct look *l)
{
	struct cookies dead = { .v = NULL }, strays = { .v = NULL };
	struct session_zombies zombies = { .cookies = &dead };
	int err = suspect(&z->gone, &l->alive, &l->kernel, false, NULL, &dead);

	if (!err)
		err = suspect(&z->stray, &l->own, &l->kernel, true, &l->table, &strays);
	if (strays.n && strays.n != p->state->stray_sockets)
		log_warn("%zu sockets of this process belong to no session", strays.n);
	book_set(&p->state->stray_sockets, strays.n);
	for (unsigned i = 0; dead.n && i < p->workers_n && !err; i++)
		err = worker_call(&p->workers[i], session_end_zombies, &zombies);
	if (zombies.ended)
		log_warn("%u sessions were ended whose sockets had gone in the kernel "
			 "without a word (reason zombie)",
			 zombies.ended);
	cookies_free(&dead);
	cookies_free(&strays);
	return err;
}

void zombies_look(struct zombies *z, struct proxy *p, int64_t interval_ms)
{
	struct look l = { .own = { .v = NULL } };
	uint64_t now = util_now_ns();
	int err;

	if (!interval_ms || now - z->last_ns < (uint64_t)interval_ms * 1000000)
		return;
	z->last_ns = now;
	err = look(p, &l);
	if (!err)
		err = judge(z, p, &l);
	cookies_free(&l.own);
	cookies_free(&l.table);
	cookies_free(&l.alive);
	cookies_free(&l.kernel);
	if (!err)
		book_add(&p->state->zombie_checks, 1);
	else if (!z->failed)
		(void)log_errno(err, "cannot compare sessions with the kernel's sockets");
	z->failed = err != 0;
}
