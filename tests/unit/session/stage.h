/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker and one session, for unit tests of its steps: as tests/unit/net/stage.h, with
 * real limits, targets and configuration; of the books only the slots, in plain memory.
 */
#ifndef TESTS_UNIT_SESSION_STAGE_H
#define TESTS_UNIT_SESSION_STAGE_H

#include "backend/names.h"
#include "backend/place.h"
#include "backend/target.h"
#include "decide/limits.h"
#include "session/openings.h"
#include "session/state.h"
#include "tests/unit/net/stage.h"

struct stage {
	struct proxy_state state;
	struct proxy proxy;
	struct worker worker;
	struct proxy_slot listener, downstream[4], upstream[4];
	struct hello_book hellos;
	struct session *s; /* ended by stage_down() */
	int client;	   /* the other end of its down */
	int listening;	   /* a backend, at PORT of the configuration */
};
static struct stage st;

static void stage_slots(struct listener *l, struct route *r, struct backend *b, void *arg)
{
	unsigned *n = arg;

	l->id = 1;
	l->slot = &st.listener;
	l->hellos = &st.hellos;
	r->id = (uint16_t)(r - l->routes + 1);
	b->id = (uint16_t)(++*n);
	b->downstream = &st.downstream[*n - 1];
	b->upstream = &st.upstream[*n - 1];
}

/* The proxy, and a client that has connected to its first listener.  PORT in the text is
 * that of st.listening.
 */
static __attribute__((unused)) void stage_up(const char *text)
{
	char yaml[2048], why[CONFIG_ERROR_MAX];
	unsigned port, backends = 0;
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct config *c;
	const char *at;
	int fds[2], n;

	memset(&st, 0, sizeof(st));
	memset(&told, 0, sizeof(told));
	st.listening = stage_listen(&port);
	at = strstr(text, "PORT");
	n = snprintf(yaml, sizeof(yaml), "%.*s%u%s", (int)(at - text), text, port,
		     at + 4);
	if (config_parse("test.yaml", yaml, (size_t)n, &c, why) < 0) {
		printf("# %s\n", why);
		exit(1);
	}
	config_each_backend(c, stage_slots, &backends);
	st.proxy = (struct proxy){ .workers = &st.worker,
				   .state = &st.state,
				   .workers_n = 1,
				   .limits = limits_new(&st.state.limits_full),
				   .pipes_max = 8,
				   .buffers_max = 8 };
	if (names_resolve(c) < 0 || worker_open(&st.worker, &st.proxy) < 0 ||
	    place_open(&st.worker) < 0 || openings_open(&st.worker, session_evict) < 0)
		exit(1);
	st.worker.config = c;
	stage_pair(fds);
	st.client = fds[0];
	st.s = calloc(1, sizeof(*st.s));
	session_link(st.s, &st.worker, &c->listeners[0], fds[1], -1);
	st.s->tunnel.began_ms = ev_now_ms(st.worker.loop);
	(void)getsockname(st.client, (struct sockaddr *)&ss, &len);
	addr_from_sockaddr((struct sockaddr *)&ss, &st.s->peer);
	st.s->client = st.s->peer;
}

static __attribute__((unused)) void stage_down(void)
{
	session_end(st.s, TG_END_DRAINED, true);
	worker_join(&st.worker);
	openings_close(&st.worker);
	place_close(&st.worker);
	close(st.client);
	close(st.listening);
	worker_close(&st.worker);
	limits_free(st.proxy.limits);
}

#endif
