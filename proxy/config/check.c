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

/* "::1:443", which is an address itself, or might be one and a port. */
static bool lacks_brackets(const char *text, char host[64], const char **ret_port)
{
	const char *colon = strrchr(text, ':');
	uint64_t port;
	uint8_t ip[16];
	size_t n = colon ? (size_t)(colon - text) : 0;

	if (!n || text[0] == '[' || n >= 64 ||
	    util_parse_u64(colon + 1, 65535, &port) < 0)
		return false;
	memcpy(host, text, n);
	host[n] = '\0';
	*ret_port = colon;
	return strchr(host, ':') && addr_parse_ip(host, ip) == 0;
}

/* What everybody writes once. */
static int wrong_address(struct where *w, const char *text)
{
	const char *number = text + (text[0] == ':'), *port;
	bool is_bare = text[0] != '[' && strchr(text, ':');
	char host[64];
	uint8_t ip[16];
	uint64_t n;

	if (util_parse_u64(number, 65535, &n) == 0)
		return where_wrong(w,
				   "'%s' is a port alone: for all addresses write "
				   "\"[::]:%s\", for this host only \"127.0.0.1:%s\"",
				   text, number, number);
	if (lacks_brackets(text, host, &port))
		return where_wrong(w, "'%s': an IPv6 address is in brackets: \"[%s]%s\"",
				   text, host, port);
	if (addr_parse_ip(text, ip) == 0)
		return where_wrong(w, "'%s' has no port: \"%s%s%s:PORT\"", text,
				   is_bare ? "[" : "", text, is_bare ? "]" : "");
	if (strstr(text, "://"))
		return where_wrong(
			w, "'%s' is a URL: write the address and the port alone", text);
	port = strrchr(text, ':');
	if (port && util_parse_u64(port + 1, UINT64_MAX, &n) == 0 && n > 65535)
		return where_wrong(w, "'%s': a port is at most 65535", text);
	if (strncmp(text, "*:", 2) == 0)
		return where_wrong(w, "'%s': for all addresses write \"[::]%s\"", text,
				   text + 1);
	if (strncasecmp(text, "localhost:", 10) == 0)
		return where_wrong(w, "'%s': write \"127.0.0.1%s\" or \"[::1]%s\"", text,
				   text + 9, text + 9);
	return where_wrong(w,
			   "'%s' is not ADDRESS:PORT or [V6ADDRESS]:PORT (names are not "
			   "looked up here); for all addresses write 0.0.0.0 or [::]",
			   text);
}

static int check_tcp(struct where *w, struct listener *l)
{
	if (strchr(l->address, '%'))
		return where_wrong(w,
				   "'%s': a zone (%%...) is not taken here; listen on "
				   "[::] or on an address that needs none",
				   l->address);
	if (addr_parse(l->address, &l->addr) < 0)
		return wrong_address(w, l->address);
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

static int check_name(struct where *w, const struct config *c, unsigned index)
{
	const struct listener *l = &c->listeners[index];
	int err = value_name(w, l->name);

	if (!err)
		err = check_listener_name(w, l->name);
	if (err)
		return err;
	where_enter_key(w, "name");
	for (unsigned i = 0; i < index; i++) {
		if (strcmp(c->listeners[i].name, l->name) == 0)
			return where_wrong(w, "a second listener '%s'", l->name);
	}
	where_leave(w, 1);
	return 0;
}

static int check_address(struct where *w, const struct config *c, unsigned index)
{
	struct listener *l = &c->listeners[index];
	int err;

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
	return 0;
}

static int check_options(struct where *w, struct listener *l)
{
	struct listen_options *o = &l->tcp;
	int err = 0;

	where_enter_key(w, "tcp");
	if (l->path && (o->fast_open || o->mss || o->interface))
		err = where_wrong(w,
				  "'fast_open', 'mss' and 'interface' are for TCP, and "
				  "not for a socket's path");
	o->backlog = o->backlog ? o->backlog : CONFIG_BACKLOG;
	where_enter_key(w, "backlog");
	if (o->backlog > 65535)
		err = where_wrong(w, "%u is more than 65535", o->backlog);
	where_leave(w, 1);
	where_enter_key(w, "fast_open");
	if (o->fast_open > 65535)
		err = where_wrong(w, "%u is more than 65535", o->fast_open);
	where_leave(w, 1);
	where_enter_key(w, "mss"); /* tcp_sock.c: do_tcp_setsockopt() */
	if (o->mss && (o->mss < 88 || o->mss > 32767))
		err = where_wrong(w, "%u is outside 88 to 32767", o->mss);
	where_leave(w, 2);
	return err;
}

static int check_listener(struct where *w, struct config *c, unsigned index)
{
	struct listener *l = &c->listeners[index];
	unsigned at = w->depth;
	int err = where_also(w, at, 0, check_name(w, c, index));

	err = where_also(w, at, err, check_address(w, c, index));
	err = where_also(w, at, err, check_options(w, l));
	err = where_also(w, at, err, value_limits(w, &l->limits));
	err = where_also(w, at, err, check_trusted(w, l));
	err = where_also(w, at, err, config_check_certificates(w, c, l));
	return where_also(w, at, err, config_check_routes(w, c, l));
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
	unsigned at = w->depth + 1;
	int err = 0;

	t->idle_factor = t->idle_factor ? t->idle_factor : 6;
	where_enter_key(w, "timeouts");
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		err = where_also(w, at, err,
				 value_duration(w, all[i].key, all[i].text, all[i].def,
						all[i].ret));
	if (t->zombies && strcmp(t->zombies, "0s") == 0)
		t->zombies_ms = 0; /* never */
	else
		err = where_also(
			w, at, err,
			value_duration(w, "zombies", t->zombies, 60000, &t->zombies_ms));
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
	int err = 0;

	where_enter_key(w, "dns");
	where_enter_key(w, "servers");
	for (unsigned i = 0; d && i < d->servers_count; i++) {
		where_enter_index(w, i);
		if (addr_parse(d->servers[i], &a) < 0)
			err = where_wrong(w, "'%s' is not ADDRESS:PORT", d->servers[i]);
		where_leave(w, 1);
	}
	where_leave(w, 2);
	return err;
}

static int check_process(struct where *w, struct config *c)
{
	int err = 0;

	if (!c->hello_bytes)
		c->hello_bytes = 65536;
	where_enter_key(w, "hello_bytes");
	if (c->hello_bytes < 512 || c->hello_bytes > CONFIG_HELLO_MAX)
		err = where_wrong(w, "%u is outside 512 to %u", c->hello_bytes,
				  CONFIG_HELLO_MAX);
	where_leave(w, 1);
	where_enter_key(w, "workers");
	if (c->workers > 256)
		err = where_wrong(w, "%u is more than 256", c->workers);
	where_leave(w, 1);
	return err;
}

static int by_name(const void *a, const void *b)
{
	const struct route *const *r = a, *const *q = b;
	int order = strcmp((*r)->name, (*q)->name);

	return order ? order : (*r > *q) - (*r < *q);
}

/* What is changed by its name needs one of its own. */
static int check_route_names(struct where *w, const struct listener *l)
{
	const struct route **all = calloc(l->routes_count, sizeof(*all));
	int err = 0;

	for (unsigned i = 0; all && i < l->routes_count; i++)
		all[i] = &l->routes[i];
	if (!all)
		return -ENOMEM;
	qsort(all, l->routes_count, sizeof(*all), by_name);
	where_enter_key(w, "routes");
	for (unsigned i = 1; i < l->routes_count; i++) {
		if (strcmp(all[i]->name, all[i - 1]->name) != 0)
			continue;
		where_enter_index(w, (unsigned)(all[i] - l->routes));
		where_enter_key(w, "name");
		err = where_wrong(w,
				  "a second route '%s': with 'state: database' each has "
				  "a name of its own",
				  all[i]->name);
		where_leave(w, 2);
	}
	where_leave(w, 1);
	free(all);
	return err;
}

static int check_state(struct where *w, struct config *c)
{
	int err = 0;

	where_enter_key(w, "state_file");
	if (c->state == STATE_FILE && c->state_file)
		err = where_wrong(w, "is for 'state: database'");
	else if (c->state_file && c->state_file[0] != '/')
		err = where_wrong(w, "'%s' does not begin with '/'", c->state_file);
	else if (c->state_file && strpbrk(c->state_file, "\"\\{"))
		err = where_wrong(w, "'%s' has a '\"', '\\' or '{' in it", c->state_file);
	where_leave(w, 1);
	if (c->state == STATE_FILE)
		return err;
	if (!c->state_file && !(c->state_file = strdup(CONFIG_STATE_FILE)))
		return -ENOMEM;
	where_enter_key(w, "listeners");
	for (unsigned i = 0; i < c->listeners_count; i++) {
		where_enter_index(w, i);
		err = where_also(w, w->depth, err,
				 check_route_names(w, &c->listeners[i]));
		where_leave(w, 1);
	}
	where_leave(w, 1);
	return err;
}

int config_check(struct where *w, struct config *c)
{
	int err;

	if (!c->user && !(c->user = strdup("nobody")))
		return -ENOMEM;
	err = check_process(w, c);
	err = where_also(w, 0, err, check_timeouts(w, &c->timeouts));
	set_timeouts(c);
	err = where_also(w, 0, err, value_limits(w, &c->limits));
	err = where_also(w, 0, err, check_dns(w, c->dns));
	err = where_also(w, 0, err, check_state(w, c));
	err = where_also(w, 0, err, config_check_acme(w, c));
	err = where_also(w, 0, err, config_check_access(w, c->access_log));
	where_enter_key(w, "listeners");
	for (unsigned i = 0; err != -ENOMEM && i < c->listeners_count; i++) {
		where_enter_index(w, i);
		err = where_also(w, 1, err, check_listener(w, c, i));
	}
	where_leave(w, 1);
	return err ? err : config_check_own(w, c);
}
