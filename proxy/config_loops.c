/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A listener may be the backend of another.  One that comes back to itself, by whatever
 * way, would take a connection round until the last descriptor; where addresses say so it
 * is refused, and what a name hides is found when it happens (loops.h).
 */
#include <string.h>

#include "base/host.h"
#include "config_where.h"

/* Does a connection to the backend arrive at the listener? */
static bool arrives(const struct listener *l, const struct backend *b)
{
	struct addr to;
	bool v4;

	if (l->path || b->path)
		return l->path && b->path && strcmp(l->path, b->path) == 0;
	if (addr_parse(b->name, &to) < 0 || l->addr.port != to.port)
		return false; /* a name, of which nobody knows yet where it leads */
	if (memcmp(l->addr.ip, to.ip, sizeof(to.ip)) == 0)
		return true;
	v4 = addr_is_v4(to.ip);
	if (!addr_is_any(l->addr.ip) || (addr_is_v4(l->addr.ip) && !v4) ||
	    (!addr_is_v4(l->addr.ip) && v4 && l->ipv6_only))
		return false;
	return addr_is_any(to.ip) || host_has_address(to.ip);
}

/* Bits of the listeners that those of `l` lead to. */
static uint64_t next_of(const struct config *c, const struct listener *l)
{
	uint64_t set = 0;

	for (unsigned k = 0; k < l->routes_count; k++) {
		const struct route *r = &l->routes[k];

		for (unsigned n = 0; n < r->backend_names_count; n++) {
			for (unsigned i = 0; i < c->listeners_count; i++)
				set |= (uint64_t)arrives(&c->listeners[i],
							 &r->backends[n])
				       << i;
		}
	}
	return set;
}

/* All that can be come to from `from`, which is in there if it is a loop. */
static uint64_t reach(const uint64_t *next, unsigned from)
{
	uint64_t seen = next[from], before = 0;

	while (seen != before) {
		before = seen;
		for (uint64_t left = seen; left; left &= left - 1)
			seen |= next[__builtin_ctzll(left)];
	}
	return seen;
}

/* The first backend of listener i by which it comes back to itself. */
static int blame(struct where *w, const struct config *c, const uint64_t *next,
		 unsigned i)
{
	const struct listener *l = &c->listeners[i];

	where_enter_key(w, "listeners");
	where_enter_index(w, i);
	where_enter_key(w, "routes");
	for (unsigned k = 0; k < l->routes_count; k++) {
		const struct route *r = &l->routes[k];

		for (unsigned n = 0; n < r->backend_names_count; n++) {
			for (unsigned o = 0; o < c->listeners_count; o++) {
				if (!arrives(&c->listeners[o], &r->backends[n]) ||
				    (o != i && !(reach(next, o) >> i & 1)))
					continue;
				where_enter_index(w, k);
				where_enter_key(w, "backends");
				where_enter_index(w, n);
				return where_wrong(
					w,
					"'%s' is listener '%s'%s: a loop, connections "
					"would go round for ever",
					r->backends[n].name, c->listeners[o].name,
					o == i ? ", its own" : ", which leads back here");
			}
		}
	}
	where_leave(w, 3);
	return 0;
}

int config_check_loops(struct where *w, struct config *c)
{
	uint64_t next[CONFIG_LISTENERS_MAX];
	int err = 0;

	for (unsigned i = 0; i < c->listeners_count; i++)
		next[i] = next_of(c, &c->listeners[i]);
	for (unsigned i = 0; !err && i < c->listeners_count; i++) {
		if (reach(next, i) >> i & 1)
			err = blame(w, c, next, i);
	}
	return err;
}
