/* SPDX-License-Identifier: Apache-2.0 */
/* From a file to what every worker does. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/loops.h"
#include "backend/names.h"
#include "backend/target.h"
#include "base/host.h"
#include "base/log.h"
#include "base/notify.h"
#include "base/sandbox.h"
#include "base/util.h"
#include "config/faults.h"
#include "process/daemon.h"
#include "process/listen.h"
#include "process/orders.h"
#include "tls/certs.h"
#include "tls/tickets.h"

#define NAMES_MS     2000
#define FDS_RESERVED 64

/* The listener of the running configuration that has the same sockets, or NULL. */
static const struct listener *same_listener(const struct config *old,
					    const struct listener *l)
{
	for (unsigned i = 0; old && i < old->listeners_count; i++) {
		if (config_same_listener(&old->listeners[i], l))
			return &old->listeners[i];
	}
	return NULL;
}

/* Two addresses that one connection could come to. */
static bool overlaps(const struct listener *a, const struct listener *b)
{
	if (a->addr.port != b->addr.port)
		return false;
	return memcmp(a->addr.ip, b->addr.ip, sizeof(a->addr.ip)) == 0 ||
	       addr_is_any(a->addr.ip) || addr_is_any(b->addr.ip);
}

/* Does one of these listen there, under whatever name and by whatever address? */
static bool listens_there(const struct config *c, const struct listener *l)
{
	for (unsigned i = 0; c && i < c->listeners_count; i++) {
		if (&c->listeners[i] != l && overlaps(&c->listeners[i], l))
			return true;
	}
	return false;
}

/* What there is; true if every worker has one. */
static bool inherit_all(struct daemon *d, const struct listener *l, int *fds)
{
	bool all = true;

	for (unsigned i = 0; i < d->proxy.workers_n; i++) {
		fds[i] = upgrade_socket(d->inherited, d->inherited_n, l);
		all &= fds[i] >= 0;
	}
	return all;
}

/* fds[listener * workers + worker] of listeners that are new; -1 elsewhere. */
static int open_listeners(struct daemon *d, const struct config *c, int *fds)
{
	unsigned n = d->proxy.workers_n;
	int err;

	for (unsigned i = 0; i < c->listeners_count; i++) {
		const struct listener *l = &c->listeners[i];

		if (same_listener(d->config, l) || inherit_all(d, l, &fds[i * n]))
			continue;
		/* the socket that looks for strangers would meet our own */
		err = listener_open(&d->proxy, l,
				    d->old_fd >= 0 || listens_there(d->config, l) ||
					    listens_there(c, l),
				    &fds[i * n]);
		if (err)
			return err;
	}
	return 0;
}

/* Which socket of which worker is which listener's, for a successor.  Takes fds. */
static void remember_sockets(struct daemon *d, const struct config *c, int *fds)
{
	unsigned n = d->proxy.workers_n;

	for (unsigned i = 0; i < c->listeners_count; i++) {
		const struct listener *old = same_listener(d->config, &c->listeners[i]);

		for (unsigned w = 0; old && w < n; w++) {
			fds[i * n + w] =
				d->fds[(size_t)(old - d->config->listeners) * n + w];
			listener_tune(&c->listeners[i], fds[i * n + w]);
		}
	}
	free(d->fds);
	d->fds = fds;
}

static void is_named(struct listener *l, struct route *r, struct backend *b, void *arg)
{
	(void)l;
	(void)r;
	*(bool *)arg &= target_was_awaited(b->target);
}

static void set_awaited(struct listener *l, struct route *r, struct backend *b, void *arg)
{
	(void)l;
	(void)r;
	(void)arg;
	target_set_awaited(b->target);
}

/*
 * The keeper asks; a moment for the answers, before the first client, once for each name.
 * What ends us goes first.
 */
static void wait_for_names(const struct daemon *d, struct config *c)
{
	struct pollfd p = { .fd = d->endfd, .events = POLLIN };
	bool all = false;

	for (int i = 0; i < NAMES_MS / 10 && !all; i++) {
		all = true;
		config_each_backend(c, is_named, &all);
		if (!all && poll(&p, 1, 10) != 0)
			return;
	}
	config_each_backend(c, set_awaited, NULL);
	if (!all)
		log_warn("names of backends are not known yet; continuing with those "
			 "that are");
}

/* Sockets that listen, and nothing changed yet. */
static int prepare(struct daemon *d, struct config *c, int *fds, size_t fds_n)
{
	int err = listener_names(&d->proxy, c);

	if (!err)
		err = open_listeners(d, c, fds);
	for (size_t i = 0; !err && i < fds_n; i++) {
		if (fds[i] >= 0)
			err = listener_listen(&c->listeners[i / d->proxy.workers_n],
					      fds[i]);
	}
	return err;
}

static void tell_loops(const struct config *c)
{
	struct addr addrs[CONFIG_LISTENERS_MAX];

	for (unsigned i = 0; i < c->listeners_count; i++)
		addrs[i] = c->listeners[i].addr;
	loops_listen(addrs, c->listeners_count);
}

/* What is read at a start only. */
static void compare_with_start(const struct config *now, struct config *c)
{
	const struct {
		const char *key;
		bool differs;
	} all[] = {
		{ "user", strcmp(now->user, c->user) != 0 },
		{ "workers", now->workers != c->workers },
		{ "no_io_uring", now->no_io_uring != c->no_io_uring },
	};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		if (all[i].differs)
			config_warn(c,
				    "%s: is read at a start only: it is in force after "
				    "a restart or an upgrade",
				    all[i].key);
	}
}

/* What a file cannot know: it is legal, and surely felt. */
static void compare_with_now(const struct daemon *d, struct config *c)
{
	unsigned live = __atomic_load_n(&d->proxy.sessions, __ATOMIC_RELAXED);

	if (c->limits.connections && live > c->limits.connections)
		config_warn(c,
			    "limits: connections: %u, and %u live now: no new one is "
			    "taken until they are fewer",
			    c->limits.connections, live);
	if (d->config)
		compare_with_start(d->config, c);
}

static void say_warnings(const struct config *c)
{
	for (const char *p = c->warnings; p && *p; p += strcspn(p, "\n") + 1)
		log_warn("%.*s", (int)strcspn(p, "\n"), p);
}

/* Lines of both configurations go to one file or the other, none to nowhere. */
static int open_log(struct daemon *d, const struct config *c)
{
	int err = access_log_open(d->access_log, c->access_log);

	return err ? log_errno(
			     err,
			     "access_log %s: cannot be opened by user %s; its folder, or "
			     "the file, must be his",
			     c->access_log->file, c->user)
		   : 0;
}

/* All that may fail, with nothing changed for anybody yet.  *logs: the log is c's. */
static int make_ready(struct daemon *d, struct config *c, int *fds, size_t fds_n,
		      bool *logs)
{
	int err = prepare(d, c, fds, fds_n);

	if (!err) {
		err = open_log(d, c);
		*logs = !err;
	}
	return err ? err : listener_register(&d->proxy, c);
}

/* The last that may fail: what is kept is in force in any case. */
static int give(struct daemon *d, struct config *c, const int *fds,
		const struct daemon_saving *saving)
{
	struct orders_plan *plan = NULL;
	int err = orders_prepare(&d->proxy, c, fds, &plan);

	if (!err && saving)
		err = state_save(d->state, saving->text, saving->document, saving->how);
	if (err) {
		orders_forget(plan);
		if (!saving || err == -ENOMEM)
			(void)log_errno(err, "cannot activate the configuration");
		return err;
	}
	orders_configure(&d->proxy, plan);
	return 0;
}

/* As it was. */
static void take_back(struct daemon *d, const struct config *c, int *fds, bool logs,
		      bool told)
{
	unsigned n = d->proxy.workers_n;

	for (unsigned i = 0; i < c->listeners_count; i++) {
		if (fds[i * n] >= 0)
			listener_withdraw(&c->listeners[i]);
	}
	for (size_t i = 0; i < (size_t)c->listeners_count * n; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
	}
	free(fds);
	if (logs && d->config)
		(void)open_log(d, d->config);
	if (told && d->config) {
		keeper_configure(d->keeper, d->config);
		tell_loops(d->config);
	}
}

/* Sockets of paths are where clients look for them from now on. */
static void publish(const struct daemon *d, const struct config *c, const int *fds)
{
	for (unsigned i = 0; i < c->listeners_count; i++) {
		if (fds[i * d->proxy.workers_n] >= 0)
			listener_publish(&c->listeners[i]);
	}
}

int daemon_activate(struct daemon *d, struct config *c,
		    const struct daemon_saving *saving)
{
	size_t fds_n = (size_t)c->listeners_count * d->proxy.workers_n;
	bool told = false, logs = false;
	int *fds, err;

	err = names_resolve(c);
	if (err)
		return log_errno(err, "cannot activate the configuration");
	fds = malloc(fds_n * sizeof(*fds));
	if (!fds)
		return log_errno(-ENOMEM, "cannot activate the configuration");
	memset(fds, 0xff, fds_n * sizeof(*fds));
	err = make_ready(d, c, fds, fds_n, &logs);
	if (!err) {
		told = true;
		upgrade_restore_health();
		keeper_configure(d->keeper, c);
		wait_for_names(d, c);
		tell_loops(c);
		err = give(d, c, fds, saving);
	}
	if (err) {
		take_back(d, c, fds, logs, told);
		return err;
	}
	publish(d, c, fds);
	workers_settle(&d->proxy); /* from here on no connection is under the old one */
	compare_with_now(d, c);
	say_warnings(c);
	daemon_set_limits(d, c);
	remember_sockets(d, c, fds);
	listener_forget_others(&d->proxy, c);
	listener_in_force(&d->proxy, c);
	tickets_use(c->tickets, c->tickets ? c->ticket_keys_count : 0);
	config_put(d->config);
	d->config = config_get(c);
	return 0;
}

int daemon_check_addresses(const struct config *c)
{
	int err = 0;

	for (unsigned i = 0; i < c->listeners_count && !err; i++) {
		if (!listens_there(c, &c->listeners[i]))
			err = listener_check(&c->listeners[i]);
	}
	return err;
}

/* Bound sockets, so that relays have their two, whatever the pipes take. */
void daemon_set_limits(struct daemon *d, const struct config *c)
{
	struct proxy *p = &d->proxy;
	uint64_t fds = host_raise_nofile(), n = p->workers_n;
	uint64_t pipes = fds / 16 / n; /* none is fine: bytes are copied then */
	uint64_t other;

	p->pipes_max = (unsigned)(pipes > 512 ? 512 : pipes);
	/* epoll, eventfd, io_uring and listening sockets of each worker */
	other = FDS_RESERVED + n * (3 + c->listeners_count) + 2 * n * p->pipes_max;
	fds -= fds > other ? other : fds;
	__atomic_store_n(&p->sockets_max, fds > 8 ? (unsigned)fds : 8, __ATOMIC_RELAXED);
}
