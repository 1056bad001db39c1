/* SPDX-License-Identifier: Apache-2.0 */
/* Connections that live: to look at, and to end. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/util.h"
#include "control/control_own.h"
#include "session/session.h"

#define LIST_DEFAULT 1000
#define LIST_MAX     100000

/* Hexadecimal digits, as it is shown. */
static bool read_id(const char *text, uint64_t *ret)
{
	size_t n = strlen(text);

	*ret = 0;
	if (!n || n > 16 || strspn(text, "0123456789abcdef") != n)
		return false;
	for (; *text; text++)
		*ret = *ret << 4 |
		       (uint64_t)(*text <= '9' ? *text - '0' : *text - 'a' + 10);
	return *ret != 0;
}

static bool is_state(const char *text)
{
	for (int i = 0; i < 7; i++) {
		if (strcmp(session_states[i], text) == 0)
			return true;
	}
	return false;
}

/* ADDRESS or ADDRESS:PORT. */
static bool read_client(const char *text, struct session_filter *ret)
{
	ret->by_client = true;
	return addr_parse_ip(text, ret->client.ip) == 0 ||
	       addr_parse(text, &ret->client) == 0;
}

/* What the query asks for; false with the answer made.  *any: it asks for nothing. */
static bool read_filter(const struct server_request *r, struct session_filter *ret,
			bool *any, struct server_answer *a)
{
	static const char *const names[] = { "listener", "route", "backend", "state",
					     "client",	 "id",	  "limit",   NULL };
	const char *wrong = server_unknown_argument(r, names);
	const char *client = server_argument(r, "client");
	const char *id = server_argument(r, "id");

	*ret = (struct session_filter){ .listener = server_argument(r, "listener"),
					.route = server_argument(r, "route"),
					.backend = server_argument(r, "backend"),
					.state = server_argument(r, "state") };
	*any = !client && !id && !ret->listener && !ret->route && !ret->backend &&
	       !ret->state;
	if (wrong) /* with less said there would be more connections */
		control_problem(a, 400, "bad-argument",
				"%.40s: is no argument, or has no value; there are "
				"listener, route, backend, state, client, id and limit",
				wrong);
	else if (client && !read_client(client, ret))
		control_problem(a, 400, "bad-client",
				"client: '%.80s' is not ADDRESS or ADDRESS:PORT", client);
	else if (id && !read_id(id, &ret->id))
		control_problem(a, 400, "bad-id", "id: '%.40s' is none", id);
	else if (ret->state && !is_state(ret->state))
		control_problem(
			a, 400, "bad-state",
			"state: '%.40s' is not header, hello, handshake, connect, "
			"relay, drain or serve",
			ret->state);
	else
		return true;
	return false;
}

/* How many at most, into *ret if it is said. */
static bool read_limit(const struct server_request *r, unsigned *ret,
		       struct server_answer *a)
{
	const char *limit = server_argument(r, "limit");
	uint64_t max;

	if (!limit)
		return true;
	if (util_parse_u64(limit, LIST_MAX, &max) < 0) {
		control_problem(a, 400, "bad-limit", "limit: '%.40s' is not 0 to %d",
				limit, LIST_MAX);
		return false;
	}
	*ret = (unsigned)max;
	return true;
}

static json_t *info_json(const struct session_info *i, int64_t now_ms)
{
	char id[20], client[ADDR_STR_MAX], peer[ADDR_STR_MAX];
	json_t *o;

	(void)snprintf(id, sizeof(id), "%" PRIx64, i->id);
	o = json_pack(
		"{s:s, s:s, s:s, s:s, s:s, s:f, s:I, s:I, s:I, s:I}", "id", id, "client",
		addr_format(&i->client, client), "peer", addr_format(&i->peer, peer),
		"listener", i->listener, "state", session_states[i->state], "age_seconds",
		(double)(now_ms - i->began_ms) / 1000, "rx_bytes", (json_int_t)i->rx[0],
		"tx_bytes", (json_int_t)i->tx[0], "backend_rx_bytes",
		(json_int_t)i->rx[1], "backend_tx_bytes", (json_int_t)i->tx[1]);
	if (i->route[0])
		json_object_set_new(o, "route", json_string(i->route));
	if (i->backend[0])
		json_object_set_new(o, "backend", json_string(i->backend));
	if (i->server_name[0])
		json_object_set_new(o, "server_name", json_string(i->server_name));
	return o;
}

/* Of all workers, in steps that do not hold their clients up. */
static int walk(const struct proxy *p, int (*fn)(struct worker *w, void *arg),
		struct session_list *l)
{
	int more = 0;

	for (unsigned i = 0; i < p->workers_n && more >= 0; i++) {
		l->begun = false;
		do {
			more = worker_call(&p->workers[i], fn, l);
		} while (more > 0);
		if (more == -ESRCH)
			more = 0; /* it has ended, and its connections with it */
	}
	return more;
}

static json_t *list_json(const struct session_list *l)
{
	json_t *list = json_array();
	int64_t now = (int64_t)(util_now_ns() / 1000000);

	for (unsigned i = 0; i < l->n; i++)
		json_array_append_new(list, info_json(&l->list[i], now));
	return list;
}

void control_list_connections(struct control *c, const struct server_request *r,
			      const char *rest, struct server_answer *ret)
{
	struct session_list l = { .max = LIST_DEFAULT };
	bool any;

	(void)rest;
	if (!read_filter(r, &l.filter, &any, ret) || !read_limit(r, &l.max, ret))
		return;
	if (walk(c->process.proxy, session_list, &l) < 0)
		control_problem(ret, 503, "no-memory", "no memory for the list");
	else
		control_answer(ret, 200,
			       json_pack("{s:I, s:o}", "matched", (json_int_t)l.matched,
					 "connections", list_json(&l)));
	free(l.list);
}

void control_get_connection(struct control *c, const struct server_request *r,
			    const char *rest, struct server_answer *ret)
{
	struct session_list l = { .max = 1 };

	(void)r;
	if (!read_id(rest, &l.filter.id) ||
	    walk(c->process.proxy, session_list, &l) < 0 || !l.n)
		control_problem(ret, 404, "no-such-connection",
				"no connection has the id %.40s (any more)", rest);
	else
		control_answer(ret, 200,
			       info_json(&l.list[0], (int64_t)(util_now_ns() / 1000000)));
	free(l.list);
}

static void say_filter(const struct session_filter *f, const char *client, char *buf,
		       size_t cap)
{
	const char *const words[][2] = { { "listener", f->listener },
					 { "route", f->route },
					 { "backend", f->backend },
					 { "state", f->state },
					 { "client", client } };
	size_t n = 0;

	buf[0] = '\0';
	if (f->id)
		n = (size_t)snprintf(buf, cap, " id %" PRIx64, f->id);
	for (size_t i = 0; i < ARRAY_SIZE(words) && n < cap; i++) {
		if (words[i][1])
			n += (size_t)snprintf(buf + n, cap - n, " %s %.64s", words[i][0],
					      words[i][1]);
	}
}

static unsigned kill(struct control *c, const struct server_request *r,
		     struct session_list *l)
{
	char what[200];

	(void)walk(c->process.proxy, session_kill, l);
	say_filter(&l->filter, server_argument(r, "client"), what, sizeof(what));
	control_changed(c, r, true, "kill%s: %u connections", what, l->matched);
	return l->matched;
}

void control_kill_connections(struct control *c, const struct server_request *r,
			      const char *rest, struct server_answer *ret)
{
	struct session_list l = { .max = UINT_MAX };
	bool any;

	(void)rest;
	if (!read_filter(r, &l.filter, &any, ret) || !read_limit(r, &l.max, ret))
		return;
	if (any) {
		control_problem(ret, 400, "all-connections",
				"which? listener, route, backend, client, state or id; "
				"all of them end with the proxy");
		return;
	}
	control_answer(ret, 200,
		       json_pack("{s:I}", "killed", (json_int_t)kill(c, r, &l)));
}

void control_kill_connection(struct control *c, const struct server_request *r,
			     const char *rest, struct server_answer *ret)
{
	struct session_list l = { .max = 1 };

	if (read_id(rest, &l.filter.id) && kill(c, r, &l))
		control_answer(ret, 200, json_pack("{s:i}", "killed", 1));
	else
		control_problem(ret, 404, "no-such-connection",
				"no connection has the id %.40s (any more)", rest);
}
