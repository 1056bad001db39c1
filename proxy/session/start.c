/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a session begins: limits first, before anything is done for a connection; then the
 * state its listener asks for.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/loops.h"
#include "base/log.h"
#include "session/state.h"

static bool is_trusted(const struct listener *l, const struct addr *peer)
{
	if (!l->proxy_protocol)
		return false;
	if (l->path) /* who may connect is what its mode and its directory say */
		return true;
	for (unsigned i = 0; i < l->proxy_protocol->from_count; i++) {
		if (prefix_has(&l->trusted[i], peer->ip))
			return true;
	}
	return false;
}

enum tg_end session_admit(struct worker *w, const struct listener *l,
			  const struct config *c, const struct addr *client,
			  struct limits_holds *holds)
{
	int64_t now = ev_now_ms(w->loop);
	enum tg_end reason;

	reason = limits_admit(w->proxy->limits, LIMITS_PROCESS, 0, &c->limits, client,
			      now, holds);
	if (reason == TG_END_DONE)
		reason = limits_admit(w->proxy->limits, LIMITS_LISTENER, l->id,
				      &l->limits, client, now, holds);
	return reason;
}

void session_count(struct session *s, struct config *c)
{
	struct limits_table *t = s->worker->proxy->limits;
	int64_t now = ev_now_ms(s->worker->loop);
	const struct listener *l = config_listener(c, s->listener->id);
	const struct route *r = c == s->config	? s->route
				: l && s->route ? config_route(l, s->route->id)
						: NULL;
	/* of a check of a trusted balancer the source was not counted */
	/* a Unix socket's client has an address if a header says so */
	bool named = s->listener->path
			     ? memcmp(&s->client, &s->peer, sizeof(s->peer)) != 0
			     : !s->trusted ||
				       memcmp(&s->client, &s->peer, sizeof(s->peer)) != 0;

	for (int i = 0; i < 1 + named; i++) {
		const struct addr *client = i ? &s->client : NULL;

		limits_count(t, LIMITS_PROCESS, 0, &c->limits, client, now, &s->holds);
		if (l)
			limits_count(t, LIMITS_LISTENER, l->id, &l->limits, client, now,
				     &s->holds);
		if (r)
			limits_count(t, LIMITS_ROUTE, session_route_id(s), &r->limits,
				     client, now, &s->holds);
	}
}

/* Who began meanwhile is in front, and was counted by it already. */
void session_recount_some(struct worker *w, unsigned max)
{
	for (unsigned i = 0; i < max && w->recount; i++) {
		struct session *s = w->recount;

		w->recount = s->next;
		limits_release(w->proxy->limits, &s->holds);
		session_count(s, w->config);
	}
}

uint32_t session_route_id(const struct session *s)
{
	return (uint32_t)s->listener->id << 16 | s->route->id;
}

void session_note_offender(struct worker *w, const struct listener *l, enum tg_end reason,
			   const struct addr *client)
{
	if (reason >= TG_END_FIRST_REFUSED && reason <= TG_END_LAST_LIMIT)
		writer_offender(w->proxy->writer, l->id, reason, client->ip);
}

/* Nothing was read, and no session made. */
static void refuse(struct worker *w, struct listener *l, int fd, enum tg_end reason,
		   const struct addr *peer)
{
	const struct linger now = { .l_onoff = 1 };
	struct sock_label label = { .listener = l->id,
				    .leg = TG_LEG_DOWNSTREAM,
				    .flags = TG_LABEL_FINAL | TG_LABEL_CLAIMED };

	(void)writer_label(w->proxy->writer, fd, &label); /* counted there */
	session_tell_refused(w, l, fd, reason, peer);
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
	book_add(&l->slot->opened, 1);
	book_add(&l->slot->closed, 1);
	book_add(&l->slot->ends[reason][session_end_sides[reason]], 1);
	session_note_offender(w, l, reason, peer);
}

static void session_begin(struct session *s)
{
	enum session_state first = s->trusted	      ? ST_HEADER
				   : s->listener->tls ? ST_HELLO
						      : ST_CONNECT;

	s->state = ST_OVER; /* so that the first transition arms its deadline */
	session_to(s, first);
	if (first != ST_CONNECT)
		s->opening = calloc(1, sizeof(*s->opening));
	if ((first != ST_CONNECT && !s->opening) ||
	    ev_io_add(s->worker->loop, &s->down.io, s->down.fd, LEG_EVENTS) < 0)
		session_end(s, TG_END_RESOURCES, true);
	else if (first == ST_CONNECT)
		opening_skip(s);
	else
		openings_add(s);
}

void session_start(struct worker *w, struct listener *l, int fd,
		   const struct sockaddr *from)
{
	struct limits_holds holds = { .n = 0 };
	enum tg_end reason;
	struct session *s;
	struct addr peer;
	unsigned hops;
	bool trusted;

	addr_from_sockaddr(from, &peer);
	trusted = is_trusted(l, &peer);
	hops = loops_hops(&peer);
	if (hops > w->config->listeners_count) { /* it must have been somewhere twice */
		reason = TG_END_LOOP;
		log_limited(
			LOG_WARN,
			"listener '%s': a connection of ours came back to us: a loop; "
			"look where the names of backends lead",
			l->name);
	} else {
		reason = session_admit(w, l, w->config, NULL, &holds);
	}
	if (reason == TG_END_DONE && !trusted &&
	    !l->path) /* else its header says who it is */
		reason = session_admit(w, l, w->config, &peer, &holds);
	s = reason == TG_END_DONE ? calloc(1, sizeof(*s)) : NULL;
	if (!s) {
		limits_release(w->proxy->limits, &holds);
		refuse(w, l, fd, reason == TG_END_DONE ? TG_END_RESOURCES : reason,
		       &peer);
		return;
	}
	session_link(s, w);
	s->listener = l;
	s->began_ms = ev_now_ms(w->loop);
	s->holds = holds;
	s->client = s->peer = peer;
	session_leg_init(s, &s->down, fd);
	session_leg_init(s, &s->up, -1);
	s->trusted = trusted;
	s->hops = (uint8_t)hops;
	s->sniff = l->proxy_protocol && !s->trusted;
	__atomic_fetch_add(&w->proxy->sessions, 1, __ATOMIC_RELAXED);
	session_begin(s);
}
