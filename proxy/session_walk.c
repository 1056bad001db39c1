/* SPDX-License-Identifier: Apache-2.0 */
/* A worker's sessions by the cookies of their sockets. */
#include "base/sockets.h"
#include "session_state.h"

#define STEP 512

static int add(const struct leg *leg, struct cookies *ret)
{
	return leg->fd < 0 ? 0 : cookies_add(ret, socket_cookie(leg->fd));
}

/* Sessions that begin meanwhile are in front, and not seen. */
int session_cookies(struct worker *w, void *arg)
{
	struct session_walk *walk = arg;
	int err = 0;

	if (!walk->begun)
		w->walk = w->sessions;
	walk->begun = true;
	for (int i = 0; i < STEP && w->walk && !err; i++) {
		err = add(&w->walk->down, walk->ret);
		if (!err)
			err = add(&w->walk->up, walk->ret);
		w->walk = w->walk->next;
	}
	return err ? err : w->walk != NULL;
}

static bool is_among(const struct leg *leg, const struct cookies *c)
{
	return leg->fd >= 0 && cookies_has(c, socket_cookie(leg->fd));
}

/* Other states have deadlines of their own, and so has a relay of which one side broke.
 */
int session_end_zombies(struct worker *w, void *arg)
{
	const struct cookies *zombies = arg;
	struct session *next;

	for (struct session *s = w->sessions; s; s = next) {
		next = s->next;
		if (s->state == ST_RELAY && !s->broken &&
		    (is_among(&s->down, zombies) || is_among(&s->up, zombies)))
			session_end(s, TG_END_ZOMBIE, true);
	}
	return 0;
}
