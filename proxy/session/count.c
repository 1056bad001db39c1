/* SPDX-License-Identifier: Apache-2.0 */
/* A session and its limits. */
#include <string.h>

#include "session/state.h"

struct facts session_facts(const struct session *s)
{
	return (struct facts){ .config = s->config,
			       .listener = s->listener,
			       .route = s->dial.route,
			       .client = &s->client };
}

/*
 * Of a check of a trusted balancer the source was not counted; a client of a Unix socket
 * has an address if a header says so.
 */
static bool has_source(const struct session *s)
{
	bool by_header = memcmp(&s->client, &s->peer, sizeof(s->peer)) != 0;

	return by_header || (!s->listener->path && !s->trusted);
}

void session_count(struct session *s, struct config *c)
{
	struct facts f = session_facts(s);

	if (c != s->config) {
		f.config = c;
		f.listener = config_listener(c, s->listener->id);
		f.route = f.listener && s->dial.route
				  ? config_route(f.listener, s->dial.route->id)
				  : NULL;
	}
	if (!has_source(s))
		f.client = NULL;
	decide_count(session_worker(s), &f, &s->holds);
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
