/* SPDX-License-Identifier: Apache-2.0 */
/* What a schema cannot say about a configuration, and the parsed forms of its strings. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "config/access.h"
#include "config/check.h"
#include "config/value.h"
#include "config/where.h"

static int check_trusted(struct where *w, struct listener *l)
{
	struct proxy_from *p = l->proxy_protocol;
	int err;

	if (!p)
		return 0;
	where_enter_key(w, "proxy_protocol");
	err = value_prefixes(w, "from", p->from, p->from_count, &l->trusted);
	if (!err)
		where_leave(w, 1);
	return err;
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

static int check_tcp(struct where *w, struct listener *l)
{
	if (strchr(l->address, '%'))
		return where_wrong(w,
				   "'%s': a zone (%%...) is not taken here; listen on "
				   "[::] or on an address that needs none",
				   l->address);
	if (addr_parse(l->address, &l->addr) < 0)
		return where_wrong(
			w,
			"'%s' is not ADDRESS:PORT or [V6ADDRESS]:PORT; for all "
			"addresses write 0.0.0.0 or [::]",
			l->address);
	if (!l->addr.port)
		return where_wrong(w,
				   "'%s': port 0 is any port, and nobody would know "
				   "which; say one",
				   l->address);
	if (l->mode)
		return where_wrong(w, "'%s' has no mode; unix:/path has", l->address);
	return 0;
}

/* What tells the listener from others everywhere is an address: no TCP one has port 0. */
static void addr_of_path(const char *path, struct addr *ret)
{
	uint64_t hash = util_hash(path, strlen(path));

	memset(ret, 0, sizeof(*ret));
	memcpy(ret->ip, "\002unix", 5);
	memcpy(ret->ip + 8, &hash, sizeof(hash));
}

static int check_unix(struct where *w, struct listener *l)
{
	const char *path = l->address + 5;

	if (path[0] != '/' || strlen(path) >= CONFIG_UNIX_MAX)
		return where_wrong(w,
				   "'%s' is not unix: and the whole path of a socket, of "
				   "at most %d characters",
				   l->address, CONFIG_UNIX_MAX - 1);
	l->path = path;
	addr_of_path(path, &l->addr);
	l->unix_mode = CONFIG_UNIX_MODE;
	if (!l->mode)
		return 0;
	where_leave(w, 1);
	where_enter_key(w, "mode");
	if (!l->mode[0] || strlen(l->mode) > 4 ||
	    strspn(l->mode, "01234567") != strlen(l->mode))
		return where_wrong(w, "'%s' is not a mode such as 660", l->mode);
	l->unix_mode = 0;
	for (const char *p = l->mode; *p; p++)
		l->unix_mode = l->unix_mode * 8 + (unsigned)(*p - '0');
	return l->unix_mode <= 0777
		       ? 0
		       : where_wrong(w, "'%s' is not a mode such as 660", l->mode);
}

static int check_listener(struct where *w, struct config *c, unsigned index)
{
	struct listener *l = &c->listeners[index];
	int err;

	err = value_name(w, l->name);
	if (!err)
		err = check_listener_name(w, l->name);
	if (err)
		return err;
	where_enter_key(w, "address");
	err = strncmp(l->address, "unix:", 5) == 0 ? check_unix(w, l) : check_tcp(w, l);
	if (err)
		return err;
	for (unsigned i = 0; i < index; i++) {
		if (memcmp(&c->listeners[i].addr, &l->addr, sizeof(l->addr)) == 0)
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
	err = value_limits(w, &l->limits);
	if (!err)
		err = check_trusted(w, l);
	if (!err)
		err = config_check_certificates(w, c, l);
	return err ? err : config_check_routes(w, c, l);
}

static int check_timeouts(struct where *w, struct timeouts *t)
{
	const struct {
		const char *key, *text;
		int64_t *ret;
		int64_t def;
	} all[] = {
		{ "connect", t->connect, &t->connect_ms, 5000 },
		{ "hello", t->hello, &t->hello_ms, 10000 },
		{ "handshake", t->handshake, &t->handshake_ms, 10000 },
		{ "idle", t->idle, &t->idle_ms, 4 * 3600000 },
		{ "drain", t->drain, &t->drain_ms, 30000 },
		{ "half_close", t->half_close, &t->half_close_ms, 600000 },
		{ "life", t->life, &t->life_ms, 0 },
		{ "stuck", t->stuck, &t->stuck_ms, 300000 },
		{ "keepalive", t->keepalive, &t->keepalive_ms, 60000 },
	};
	int err = 0;

	t->idle_factor = t->idle_factor ? t->idle_factor : 6;
	where_enter_key(w, "timeouts");
	for (size_t i = 0; i < ARRAY_SIZE(all) && !err; i++)
		err = value_duration(w, all[i].key, all[i].text, all[i].def, all[i].ret);
	if (!err && t->zombies && strcmp(t->zombies, "0s") == 0)
		t->zombies_ms = 0; /* never */
	else if (!err)
		err = value_duration(w, "zombies", t->zombies, 60000, &t->zombies_ms);
	if (!err)
		where_leave(w, 1);
	return err;
}

/* What the timeouts are to each route. */
static void set_timeouts(struct config *c)
{
	for (unsigned i = 0; i < c->listeners_count; i++) {
		for (unsigned k = 0; k < c->listeners[i].routes_count; k++) {
			struct route *r = &c->listeners[i].routes[k];

			r->connect_ms = c->timeouts.connect_ms;
			r->idle_ms =
				r->keep_alive == KEEP_ALIVE_IMMORTAL ? 0
				: r->keep_alive == KEEP_ALIVE_EXTENDED
					? c->timeouts.idle_ms * c->timeouts.idle_factor
					: c->timeouts.idle_ms;
		}
	}
}

static int check_dns(struct where *w, const struct dns *d)
{
	struct addr a;

	where_enter_key(w, "dns");
	where_enter_key(w, "servers");
	for (unsigned i = 0; d && i < d->servers_count; i++) {
		where_enter_index(w, i);
		if (addr_parse(d->servers[i], &a) < 0)
			return where_wrong(w, "'%s' is not ADDRESS:PORT", d->servers[i]);
		where_leave(w, 1);
	}
	where_leave(w, 2);
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
	set_timeouts(c);
	if (!err)
		err = value_limits(w, &c->limits);
	if (!err)
		err = check_dns(w, c->dns);
	if (!err)
		err = config_check_acme(w, c);
	if (!err)
		err = config_check_access(w, c->access_log);
	where_enter_key(w, "listeners");
	for (unsigned i = 0; !err && i < c->listeners_count; i++) {
		where_enter_index(w, i);
		err = check_listener(w, c, i);
		if (!err)
			where_leave(w, 1);
	}
	if (!err)
		where_leave(w, 1);
	return err ? err : config_check_own(w, c);
}
