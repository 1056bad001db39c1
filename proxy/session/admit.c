/* SPDX-License-Identifier: Apache-2.0 */
/* May it come in: the limits of the process, the listener and the route. */
#include <string.h>

#include "book/ends.h"
#include "decide/limits.h"
#include "session/state.h"

bool admit_is_trusted(const struct listener *l, const struct addr *peer)
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

enum tg_end admit_accept(struct worker *w, const struct listener *l,
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

/* The number of its route for limits. */
static uint32_t route_id(const struct session *s)
{
	return (uint32_t)s->listener->id << 16 | s->route->id;
}

enum tg_end admit_route(struct session *s)
{
	struct limits_table *t = s->worker->proxy->limits;
	int64_t now = ev_now_ms(s->worker->loop);
	const struct limits *l = &s->route->limits;
	uint32_t id = route_id(s);
	enum tg_end reason;

	reason = limits_admit(t, LIMITS_ROUTE, id, l, NULL, now, &s->holds);
	if (reason == TG_END_DONE)
		reason = limits_admit(t, LIMITS_ROUTE, id, l, &s->client, now, &s->holds);
	return reason;
}

void admit_count(struct session *s, struct config *c)
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
			limits_count(t, LIMITS_ROUTE, route_id(s), &r->limits, client,
				     now, &s->holds);
	}
}

/* Who began meanwhile is in front, and was counted by it already. */
void session_recount_some(struct worker *w, unsigned max)
{
	for (unsigned i = 0; i < max && w->recount; i++) {
		struct session *s = w->recount;

		w->recount = s->next;
		limits_release(w->proxy->limits, &s->holds);
		admit_count(s, w->config);
	}
}

void admit_note(struct worker *w, const struct listener *l, enum tg_end reason,
		const struct addr *client)
{
	if (tg_end_classes[reason] == TG_END_CLASS_LIMIT)
		writer_offender(w->proxy->writer, l->id, reason, client->ip);
}
