/* SPDX-License-Identifier: Apache-2.0 */
/* A worker's sessions for who runs the gate: to look at, and to end. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/sockets.h"
#include "session/state.h"

#define LIST_STEP 512
#define KILL_STEP 100

/* What is cheap is asked first. */
static bool is_wanted(const struct session *s, const struct session_filter *f)
{
	const struct route *r = s->dial.route;
	const struct backend *b = s->dial.backend;

	if (s->state == ST_OVER)
		return false;
	if (f->listener && strcmp(f->listener, s->listener->name) != 0)
		return false;
	if (f->route && (!r || strcmp(f->route, r->name) != 0))
		return false;
	if (f->backend && (!b || strcmp(f->backend, b->name) != 0))
		return false;
	if (f->state && strcmp(f->state, session_states[s->state]) != 0)
		return false;
	if (f->by_client && (memcmp(f->client.ip, s->client.ip, 16) != 0 ||
			     (f->client.port && f->client.port != s->client.port)))
		return false;
	return !f->id || socket_cookie(s->tunnel.down.fd) == f->id;
}

static void describe(const struct session *s, struct session_info *ret)
{
	const struct conn *down = &s->tunnel.down, *up = &s->tunnel.up;
	const struct heard *h = s->heard;

	*ret = (struct session_info){ .id = socket_cookie(down->fd),
				      .state = s->state,
				      .client = s->client,
				      .peer = s->peer,
				      .began_ms = s->tunnel.began_ms,
				      .rx = { down->rx, up->fd >= 0 ? up->rx : 0 },
				      .tx = { down->tx, up->fd >= 0 ? up->tx : 0 } };
	(void)snprintf(ret->listener, sizeof(ret->listener), "%s", s->listener->name);
	if (s->dial.route)
		(void)snprintf(ret->route, sizeof(ret->route), "%s", s->dial.route->name);
	if (s->dial.backend)
		(void)snprintf(ret->backend, sizeof(ret->backend), "%s",
			       s->dial.backend->name);
	if (h)
		(void)snprintf(ret->server_name, sizeof(ret->server_name), "%.*s",
			       h->name_len, (const char *)h->bytes);
}

static int add(struct session_list *l, const struct session *s)
{
	struct session_info *list;

	l->matched++;
	if (l->n == l->max)
		return 0;
	if (l->n == l->room) {
		l->room = l->room ? 2 * l->room : 64;
		list = reallocarray(l->list, l->room, sizeof(*list));
		if (!list)
			return -ENOMEM;
		l->list = list;
	}
	describe(s, &l->list[l->n++]);
	return 0;
}

int session_list(struct worker *w, void *arg)
{
	struct session_list *l = arg;
	int err = 0;

	if (!l->begun)
		w->walk = w->sessions;
	l->begun = true;
	for (int i = 0; i < LIST_STEP && w->walk && !err; i++) {
		if (is_wanted(w->walk, &l->filter))
			err = add(l, w->walk);
		w->walk = w->walk->next;
	}
	l->begun = w->walk != NULL;
	return err ? err : w->walk != NULL;
}

int session_kill(struct worker *w, void *arg)
{
	struct session_list *l = arg;
	struct session *s;
	unsigned killed = 0;

	if (!l->begun)
		w->walk = w->sessions;
	for (int i = 0; i < LIST_STEP && killed < KILL_STEP && w->walk &&
			l->matched + killed < l->max;
	     i++) {
		s = w->walk;
		w->walk = s->next; /* it may be gone afterwards */
		if (s->moving || !is_wanted(s, &l->filter))
			continue;
		session_end(s, TG_END_KILLED, true);
		killed++;
	}
	l->matched += killed;
	if (l->matched >= l->max)
		w->walk = NULL;
	l->begun = w->walk != NULL;
	return w->walk != NULL;
}
