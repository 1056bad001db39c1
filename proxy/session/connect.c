/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session in CONNECT: the limits of its route, then a backend that answers.  The
 * client's conn takes its place in the books only then, so that it is the backend's that
 * served it.
 */
#include "session/state.h"

void connect_announce(const struct session *s, struct announce *ret,
		      struct pp_info *header)
{
	const struct opening *o = s->opening;

	*ret = (struct announce){ .listener = s->listener,
				  .conn = &s->tunnel.down,
				  .peer = &s->peer,
				  .client = &s->client,
				  .hello_bytes = s->config->hello_bytes };
	if (!o)
		return;
	*header = o->pp;
	header->tlv = header->tlv_len ? o->head + o->tlv_at : NULL;
	ret->header = header;
	ret->head = o->head + o->sent;
	ret->head_len = o->len - o->sent;
	ret->follows = ret->head_len > 0 && !o->taken;
}

static struct outcome connected(struct session *s, struct outcome o)
{
	const struct conn_name name = session_name(s, TG_LEG_DOWNSTREAM);

	if (o.step != STEP_NEXT)
		return o;
	conn_label(&s->tunnel.down, &name);
	conn_take_row(&s->tunnel.down, s->dial.backend->downstream);
	return o;
}

struct outcome connect_begin(struct session *s)
{
	struct facts facts = session_facts(s);
	enum tg_end reason = decide_route(session_worker(s), &facts, &s->holds);
	struct pp_info header;
	struct announce who;

	if (reason != TG_END_DONE)
		return outcome_over(reason, true);
	connect_announce(s, &who, &header);
	return dial_begin(&s->dial, &s->tunnel.up, &who);
}

struct outcome connect_event(struct session *s, const struct conn *c)
{
	struct pp_info header;
	struct announce who;

	if (!c->is_up)
		return c->failed ? outcome_over(TG_END_CLIENT_GONE, true)
				 : outcome_wait();
	connect_announce(s, &who, &header);
	return connected(s, dial_ready(&s->dial, &s->tunnel.up, &who));
}

struct outcome connect_due(struct session *s)
{
	struct pp_info header;
	struct announce who;

	connect_announce(s, &who, &header);
	return dial_due(&s->dial, &s->tunnel.up, &who);
}

bool connect_take_place(struct session *s, struct outcome *ret)
{
	struct pp_info header;
	struct announce who;

	connect_announce(s, &who, &header);
	return dial_take_place(&s->dial, &s->tunnel.up, &who, ret);
}
