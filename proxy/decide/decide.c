/* SPDX-License-Identifier: Apache-2.0 */
#include "book/ends.h"
#include "decide/decide.h"

bool decide_is_trusted(const struct listener *l, const struct addr *peer)
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

enum tg_end decide_accept(struct worker *w, const struct facts *f,
			  struct limits_holds *holds)
{
	struct limits_table *t = w->proxy->limits;
	int64_t now = ev_now_ms(w->loop);
	enum tg_end reason;

	reason = limits_admit(t, LIMITS_PROCESS, 0, &f->config->limits, f->client, now,
			      holds);
	if (reason == TG_END_DONE)
		reason = limits_admit(t, LIMITS_LISTENER, f->listener->id,
				      &f->listener->limits, f->client, now, holds);
	return reason;
}

/* The number of its route for limits. */
static uint32_t route_id(const struct facts *f)
{
	return (uint32_t)f->listener->id << 16 | f->route->id;
}

enum tg_end decide_route(struct worker *w, const struct facts *f,
			 struct limits_holds *holds)
{
	struct limits_table *t = w->proxy->limits;
	const struct limits *l = &f->route->limits;
	int64_t now = ev_now_ms(w->loop);
	uint32_t id = route_id(f);
	enum tg_end reason;

	reason = limits_admit(t, LIMITS_ROUTE, id, l, NULL, now, holds);
	if (reason == TG_END_DONE)
		reason = limits_admit(t, LIMITS_ROUTE, id, l, f->client, now, holds);
	return reason;
}

void decide_count(struct worker *w, const struct facts *f, struct limits_holds *holds)
{
	struct limits_table *t = w->proxy->limits;
	int64_t now = ev_now_ms(w->loop);

	for (int i = 0; i < 1 + (f->client != NULL); i++) {
		const struct addr *client = i ? f->client : NULL;

		limits_count(t, LIMITS_PROCESS, 0, &f->config->limits, client, now,
			     holds);
		if (f->listener)
			limits_count(t, LIMITS_LISTENER, f->listener->id,
				     &f->listener->limits, client, now, holds);
		if (f->listener && f->route)
			limits_count(t, LIMITS_ROUTE, route_id(f), &f->route->limits,
				     client, now, holds);
	}
}

void decide_note(struct worker *w, const struct facts *f, enum tg_end reason,
		 struct limits_holds *holds)
{
	if (tg_end_classes[reason] != TG_END_CLASS_LIMIT)
		return;
	writer_offender(w->proxy->writer, f->listener->id, reason, f->client->ip);
	limits_refused(w->proxy->limits, holds);
}
