/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a schema cannot say about a configuration, and the parsed forms of its strings.
 * Each check leaves `w` where it was on success.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "config_where.h"

/* Names become nft counters and metric labels. */
static int check_name(struct where *w, const char *name)
{
	where_enter_key(w, "name");
	for (const char *p = name; *p; p++) {
		bool letter = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z');

		if (!letter && (p == name || !strchr("0123456789-_", *p)))
			return where_wrong(
				w,
				"'%s' must begin with a letter and have only letters, "
				"digits, '-' and '_'",
				name);
	}
	where_leave(w, 1);
	return 0;
}

static int check_sni(struct where *w, struct route *r)
{
	where_enter_key(w, "sni");
	for (unsigned i = 0; i < r->sni_count; i++) {
		char *name = r->sni[i], *host = name;

		where_enter_index(w, i);
		if (strcmp(name, "*") == 0) {
			where_leave(w, 1);
			continue;
		}
		if (strncmp(name, "*.", 2) == 0)
			host += 2;
		if (!*host ||
		    strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				 "0123456789-_.") != strlen(host))
			return where_wrong(w, "'%s' is no host name, '*.suffix' or '*'",
					   name);
		for (; *host; host++) {
			if (*host >= 'A' && *host <= 'Z')
				*host = (char)(*host - 'A' + 'a');
		}
		where_leave(w, 1);
	}
	where_leave(w, 1);
	return 0;
}

static int check_backends(struct where *w, struct route *r)
{
	struct addr a;

	r->backends = calloc(r->backend_names_count, sizeof(*r->backends));
	if (!r->backends)
		return -ENOMEM;
	where_enter_key(w, "backends");
	for (unsigned i = 0; i < r->backend_names_count; i++) {
		const char *text = r->backend_names[i], *colon = strrchr(text, ':');
		uint64_t port;

		where_enter_index(w, i);
		if (!colon || colon == text || strlen(text) >= 64 ||
		    util_parse_u64(colon + 1, 65535, &port) < 0 || port == 0)
			return where_wrong(
				w,
				"'%s' is not ADDRESS:PORT, [V6ADDRESS]:PORT or "
				"NAME:PORT with a port of 1 to 65535",
				text);
		if ((text[0] == '[' || memchr(text, ':', (size_t)(colon - text))) &&
		    addr_parse(text, &a) < 0)
			return where_wrong(w, "'%s' is not a valid address", text);
		r->backends[i].name = text;
		where_leave(w, 1);
	}
	where_leave(w, 1);
	return 0;
}

static int check_trusted(struct where *w, struct listener *l)
{
	struct proxy_from *p = l->proxy_protocol;

	if (!p)
		return 0;
	l->trusted = calloc(p->from_count, sizeof(*l->trusted));
	if (!l->trusted)
		return -ENOMEM;
	where_enter_key(w, "proxy_protocol");
	where_enter_key(w, "from");
	for (unsigned i = 0; i < p->from_count; i++) {
		where_enter_index(w, i);
		if (prefix_parse(p->from[i], &l->trusted[i]) < 0)
			return where_wrong(
				w,
				"'%s' is not ADDRESS or ADDRESS/BITS without host bits",
				p->from[i]);
		where_leave(w, 1);
	}
	where_leave(w, 2);
	return 0;
}

static int check_routes(struct where *w, struct listener *l)
{
	int err;

	for (unsigned i = 0; i < l->routes_count; i++)
		l->tls |= l->routes[i].sni_count > 0;
	where_enter_key(w, "routes");
	for (unsigned i = 0; i < l->routes_count; i++) {
		struct route *r = &l->routes[i];

		where_enter_index(w, i);
		err = check_name(w, r->name);
		if (!err)
			err = check_sni(w, r);
		if (!err)
			err = check_backends(w, r);
		if (err)
			return err;
		if (l->tls && r->sni_count == 0)
			return where_wrong(
				w,
				"route '%s' has no 'sni', but its listener routes by "
				"server name; for all other names write sni: [\"*\"]",
				r->name);
		if (!l->tls && i > 0)
			return where_wrong(
				w, "a second route without 'sni' can never be reached");
		where_leave(w, 1);
	}
	where_leave(w, 1);
	return 0;
}

/* The same name in two routes of a listener: the second could never be reached. */
static int check_unique_sni(struct where *w, const struct listener *l)
{
	for (unsigned i = 0; i < l->routes_count; i++) {
		for (unsigned k = 0; k < l->routes[i].sni_count; k++) {
			for (unsigned j = 0; j <= i; j++) {
				unsigned n = j < i ? l->routes[j].sni_count : k;

				for (unsigned m = 0; m < n; m++) {
					if (strcmp(l->routes[i].sni[k],
						   l->routes[j].sni[m]))
						continue;
					where_enter_key(w, "routes");
					where_enter_index(w, i);
					where_enter_key(w, "sni");
					where_enter_index(w, k);
					return where_wrong(
						w, "'%s' is in route '%s' already",
						l->routes[i].sni[k], l->routes[j].name);
				}
			}
		}
	}
	return 0;
}

/* Listener names share one table of nft counters with "-reset" and "-refused" behind. */
static int check_listener_name(struct where *w, const char *name)
{
	static const char *const taken[] = { "reset", "refused" };
	size_t n, len = strlen(name);

	for (size_t i = 0; i < ARRAY_SIZE(taken); i++) {
		n = strlen(taken[i]);
		if (len < n || strcmp(name + len - n, taken[i]) != 0 ||
		    (len > n && name[len - n - 1] != '-'))
			continue;
		where_enter_key(w, "name");
		return where_wrong(
			w, "'%s': names that end in '%s' are taken by nft counters", name,
			taken[i]);
	}
	return 0;
}

static int check_listener(struct where *w, struct config *c, unsigned index)
{
	struct listener *l = &c->listeners[index];
	int err;

	err = check_name(w, l->name);
	if (!err)
		err = check_listener_name(w, l->name);
	if (err)
		return err;
	where_enter_key(w, "address");
	if (addr_parse(l->address, &l->addr) < 0)
		return where_wrong(w, "'%s' is not ADDRESS:PORT or [V6ADDRESS]:PORT",
				   l->address);
	for (unsigned i = 0; i < index; i++) {
		if (l->addr.port &&
		    memcmp(&c->listeners[i].addr, &l->addr, sizeof(l->addr)) == 0)
			return where_wrong(w,
					   "%s is the address of listener '%s' already",
					   l->address, c->listeners[i].name);
	}
	where_leave(w, 1);
	where_enter_key(w, "name");
	for (unsigned i = 0; i < index; i++) {
		if (strcmp(c->listeners[i].name, l->name) == 0)
			return where_wrong(w, "a second listener '%s'", l->name);
	}
	where_leave(w, 1);
	err = check_trusted(w, l);
	if (!err)
		err = check_routes(w, l);
	return err ? err : check_unique_sni(w, l);
}

static int check_timeouts(struct where *w, struct timeouts *t)
{
	struct {
		const char *key, *text;
		int64_t *ret;
		int64_t def;
	} all[] = {
		{ "connect", t->connect, &t->connect_ms, 5000 },
		{ "hello", t->hello, &t->hello_ms, 10000 },
		{ "idle", t->idle, &t->idle_ms, 4 * 3600000 },
		{ "drain", t->drain, &t->drain_ms, 30000 },
	};

	where_enter_key(w, "timeouts");
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		*all[i].ret = all[i].def;
		where_enter_key(w, all[i].key);
		if (all[i].text && (util_parse_duration_ms(all[i].text, all[i].ret) < 0 ||
				    *all[i].ret == 0))
			return where_wrong(
				w, "'%s' is not a duration such as 500ms, 10s, 5m or 4h",
				all[i].text);
		where_leave(w, 1);
	}
	where_leave(w, 1);
	return 0;
}

int config_check(struct where *w, struct config *c)
{
	int err;

	if (!c->user && !(c->user = strdup("nobody")))
		return -ENOMEM;
	if (!c->hello_bytes)
		c->hello_bytes = 65536;
	where_enter_key(w, "hello_bytes");
	if (c->hello_bytes < 512 || c->hello_bytes > CONFIG_HELLO_MAX)
		return where_wrong(w, "%u is outside 512 to %u", c->hello_bytes,
				   CONFIG_HELLO_MAX);
	where_leave(w, 1);
	where_enter_key(w, "workers");
	if (c->workers > 256)
		return where_wrong(w, "%u is more than 256", c->workers);
	where_leave(w, 1);
	err = check_timeouts(w, &c->timeouts);
	where_enter_key(w, "listeners");
	for (unsigned i = 0; !err && i < c->listeners_count; i++) {
		where_enter_index(w, i);
		err = check_listener(w, c, i);
		if (!err)
			where_leave(w, 1);
	}
	return err;
}
