/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Backends on this host.  One may be a listener of ours: what comes back to itself, by
 * whatever way, would take a connection round until the last descriptor; where addresses
 * say so it is refused, and what a name hides is found when it happens (loops.h).  And
 * its port may be one that the kernel hands out.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/host.h"
#include "config/check.h"
#include "config/where.h"

/* Does a connection to the backend arrive at the listener? */
static bool arrives(const struct host_addresses *own, const struct listener *l,
		    const struct backend *b)
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
	return addr_is_any(to.ip) || host_addresses_has(own, to.ip);
}

/* Bits of the listeners that those of `l` lead to. */
static uint64_t next_of(const struct host_addresses *own, const struct config *c,
			const struct listener *l)
{
	uint64_t set = 0;

	for (unsigned k = 0; k < l->routes_count; k++) {
		const struct route *r = &l->routes[k];

		for (unsigned n = 0; n < r->backend_names_count; n++) {
			for (unsigned i = 0; i < c->listeners_count; i++)
				set |= (uint64_t)arrives(own, &c->listeners[i],
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
static int blame(struct where *w, const struct host_addresses *own,
		 const struct config *c, const uint64_t *next, unsigned i)
{
	const struct listener *l = &c->listeners[i];

	where_enter_key(w, "listeners");
	where_enter_index(w, i);
	where_enter_key(w, "routes");
	for (unsigned k = 0; k < l->routes_count; k++) {
		const struct route *r = &l->routes[k];

		for (unsigned n = 0; n < r->backend_names_count; n++) {
			for (unsigned o = 0; o < c->listeners_count; o++) {
				if (!arrives(own, &c->listeners[o], &r->backends[n]) ||
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

static int check_loops(struct where *w, const struct host_addresses *own,
		       const struct config *c)
{
	uint64_t next[CONFIG_LISTENERS_MAX];
	int err = 0;

	for (unsigned i = 0; i < c->listeners_count; i++)
		next[i] = next_of(own, c, &c->listeners[i]);
	for (unsigned i = 0; !err && i < c->listeners_count; i++) {
		if (reach(next, i) >> i & 1)
			err = blame(w, own, c, next, i);
	}
	return err;
}

/* --- ports that the kernel hands out --- */

struct handed_out {
	const struct host_addresses *own;
	uint16_t min, max;
	const char *first; /* backend of which that is so */
	unsigned n;
};

static void is_handed_out(struct listener *l, struct route *r, struct backend *b,
			  void *arg)
{
	struct handed_out *h = arg;
	struct addr a;

	(void)l;
	(void)r;
	if (b->path || addr_parse(b->name, &a) < 0 || ntohs(a.port) < h->min ||
	    ntohs(a.port) > h->max || !host_addresses_has(h->own, a.ip))
		return;
	if (!h->n++)
		h->first = b->name;
}

/* Where nobody listens there the kernel may connect a client with itself. */
static void warn_of_ports(struct where *w, const struct host_addresses *own,
			  struct config *c)
{
	struct handed_out h = { .own = own };
	char others[64] = "";

	if (host_ephemeral_ports(&h.min, &h.max) < 0)
		return;
	config_each_backend(c, is_handed_out, &h);
	if (!h.n)
		return;
	if (h.n > 1)
		(void)snprintf(others, sizeof(others), " (and of %u more backends)",
			       h.n - 1);
	where_warn(w, &c->warnings,
		   "backend %s: its port%s is one that the kernel hands out "
		   "(ip_local_port_range, %u to %u), also on this host, while nobody "
		   "listens there",
		   h.first, others, h.min, h.max);
}

int config_check_own(struct where *w, struct config *c)
{
	struct host_addresses own;
	int err = host_addresses_read(&own);

	if (err)
		return err;
	err = check_loops(w, &own, c);
	if (!err)
		warn_of_ports(w, &own, c);
	host_addresses_free(&own);
	return err;
}
