/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a session begins: limits first, before anything is done for a connection; then the
 * state its listener asks for.
 */
#include <stdlib.h>
#include <unistd.h>

#include "backend/loops.h"
#include "base/log.h"
#include "book/ends.h"
#include "session/state.h"

/* Nothing was read, and no session made. */
static void refuse(struct worker *w, struct listener *l, int fd, enum tg_end reason,
		   const struct addr *peer, struct limits_holds *holds)
{
	const struct facts facts = { .listener = l, .client = peer };
	struct conn c;

	conn_init(&c, w, fd, false, NULL);
	c.is_tcp = !l->path;
	c.name = (struct conn_name){ .listener = l->id, .leg = TG_LEG_DOWNSTREAM };
	conn_take_row(&c, l->slot);
	session_tell_refused(w, l, fd, reason, peer);
	conn_close(&c, true);
	writer_end(w->proxy->writer, l->slot, reason, tg_end_sides[reason]);
	decide_note(w, &facts, reason, holds);
}

/* The first state; where nothing is said before the relay, its end. */
static struct outcome begin(struct session *s)
{
	bool says = s->trusted || s->listener->tls;

	s->state = s->trusted || !s->listener->tls ? ST_HEADER : ST_HELLO;
	if (says)
		s->opening = calloc(1, sizeof(*s->opening));
	if ((says && !s->opening) || conn_watch(&s->tunnel.down) < 0)
		return outcome_over(TG_END_RESOURCES, true);
	if (!says && s->listener->serves)
		return outcome_next();
	if (!says)
		return opening_skip(s);
	openings_add(s);
	return outcome_until(outcome_wait(), s->config->timeouts.hello_ms);
}

void session_start(struct worker *w, struct listener *l, int fd,
		   const struct sockaddr *from)
{
	struct facts facts = { .config = w->config, .listener = l };
	struct limits_holds holds = { .n = 0 };
	enum tg_end reason;
	struct session *s;
	struct addr peer;
	unsigned hops;
	bool trusted;

	addr_from_sockaddr(from, &peer);
	trusted = decide_is_trusted(l, &peer);
	hops = loops_hops(&peer);
	if (hops > w->config->listeners_count) { /* it must have been somewhere twice */
		reason = TG_END_LOOP;
		log_limited(
			LOG_WARN,
			"listener '%s': a connection of ours came back to us: a loop; "
			"look where the names of backends lead",
			l->name);
	} else {
		reason = decide_accept(w, &facts, &holds);
	}
	/* else its header says who it is */
	if (reason == TG_END_DONE && !trusted && !l->path) {
		facts.client = &peer;
		reason = decide_accept(w, &facts, &holds);
	}
	s = reason == TG_END_DONE ? calloc(1, sizeof(*s)) : NULL;
	if (!s) {
		refuse(w, l, fd, reason == TG_END_DONE ? TG_END_RESOURCES : reason, &peer,
		       &holds);
		limits_release(w->proxy->limits, &holds);
		return;
	}
	session_link(s, w, l, fd, -1);
	s->tunnel.began_ms = ev_now_ms(w->loop);
	s->holds = holds;
	s->client = s->peer = peer;
	s->trusted = trusted;
	s->dial.hops = (uint8_t)hops;
	s->sniff = l->proxy_protocol && !s->trusted;
	session_run(s, begin(s));
}
