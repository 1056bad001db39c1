/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session in SERVE: its client speaks HTTP.  The connection is in the row of the
 * listener, for its requests may be several routes'.
 */
#include "base/util.h"
#include "session/state.h"

struct outcome serve_begin(struct session *s,
			   void (*over)(struct conn *c, struct outcome o))
{
	struct front_options o = { .client = { .worker = session_worker(s),
					       .conn = &s->tunnel.down,
					       .config = s->config,
					       .listener = s->listener,
					       .hops = s->dial.hops },
				   .config = s->config,
				   .over = over };
	/* known from now on, or its bytes would wait for its end */
	const struct conn_name name = { .listener = s->listener->id,
					.leg = TG_LEG_DOWNSTREAM };
	struct opening *opening = s->opening;

	conn_label(&s->tunnel.down, &name);
	if (s->tunnel.down.layer)
		o.client.route = s->dial.route;
	connect_announce(s, &o.client.who, &o.client.header);
	if (opening && !opening->taken) {
		o.first = opening->head + opening->sent;
		o.first_n = opening->len - opening->sent;
		opening->sent = opening->len;
	}
	conn_take_row(&s->tunnel.down, s->listener->slot);
	s->front = front_open(&o);
	if (!s->front)
		return outcome_over(TG_END_RESOURCES, true);
	if (s->config->timeouts.life_ms)
		ev_timer_set(session_worker(s)->loop, &s->timer,
			     s->config->timeouts.life_ms);
	else
		ev_timer_del(session_worker(s)->loop, &s->timer);
	front_begin(s->front);
	if (session_worker(s)->draining && s->front)
		front_drain(s->front);
	return outcome_wait();
}

struct outcome serve_due(struct session *s)
{
	if (s->aged)
		return outcome_over(TG_END_LIFE_MAX, true);
	s->aged = true;
	ev_timer_set(session_worker(s)->loop, &s->timer, s->config->timeouts.drain_ms);
	front_drain(s->front);
	return outcome_wait();
}
