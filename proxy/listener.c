/* SPDX-License-Identifier: Apache-2.0 */
/* Listening sockets and their places in the books. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sandbox.h"
#include "listener.h"
#include "target.h"

#define BACKLOG 4096 /* the kernel cuts it to net.core.somaxconn */

static int name_id(struct proxy *p, enum tg_name_kind kind, const char *name,
		   uint16_t *ret)
{
	if (writer_name(p->writer, kind, name, ret) == 0)
		return 0;
	log_error("no place left for the name '%s' (%d names since the load); 'tollgate "
		  "unload' and 'load' begin anew",
		  name, TG_NAMES_MAX);
	return -ENOSPC;
}

static int route_books(struct proxy *p, struct listener *l, struct route *r)
{
	struct row_key row = { .listener = l->id, .proto = IPPROTO_TCP };
	int err;

	err = name_id(p, TG_NAME_ROUTE, r->name, &r->id);
	for (unsigned i = 0; !err && i < r->backend_names_count; i++) {
		struct backend *b = &r->backends[i];

		err = name_id(p, TG_NAME_BACKEND, b->name, &b->id);
		if (err)
			break;
		row.route = r->id;
		row.backend = b->id;
		row.leg = TG_LEG_DOWNSTREAM;
		b->downstream = writer_slot(p->writer, &row);
		row.leg = TG_LEG_UPSTREAM;
		b->upstream = writer_slot(p->writer, &row);
		target_set_slot(b->target, b->upstream);
	}
	return err;
}

int listener_register(struct proxy *p, const struct config *c)
{
	struct writer_listener list[CONFIG_LISTENERS_MAX];
	int err;

	for (unsigned i = 0; i < c->listeners_count; i++) {
		const struct listener *l = &c->listeners[i];

		list[i] = (struct writer_listener){ .name = l->name, .addr = l->addr };
		list[i].dual = !addr_is_v4(l->addr.ip) && addr_is_any(l->addr.ip) &&
			       !l->ipv6_only;
	}
	err = sandbox_raise(CAP_NET_ADMIN);
	if (err)
		return log_errno(err, "CAP_NET_ADMIN is needed for the nft book");
	err = writer_listeners(p->writer, list, c->listeners_count);
	(void)sandbox_lower(CAP_NET_ADMIN);
	return err;
}

int listener_names(struct proxy *p, struct config *c)
{
	int err;

	for (unsigned i = 0; i < c->listeners_count; i++) {
		struct listener *l = &c->listeners[i];
		struct row_key row = { .proto = IPPROTO_TCP, .leg = TG_LEG_DOWNSTREAM };

		err = name_id(p, TG_NAME_LISTENER, l->name, &l->id);
		if (err)
			return err;
		row.listener = l->id;
		l->slot = writer_slot(p->writer, &row);
		l->hellos = writer_hellos(p->writer, l->id);
		for (unsigned k = 0; k < l->routes_count; k++) {
			err = route_books(p, l, &l->routes[k]);
			if (err)
				return err;
		}
	}
	return 0;
}

void socket_watch(int fd, const struct timeouts *t)
{
	const int64_t seconds = t->keepalive_ms / 1000;
	const int on = 1, most = 32767; /* tcp(7) */
	const int idle = seconds < 1 ? 1 : seconds > most ? most : (int)seconds;
	const unsigned stuck = (unsigned)t->stuck_ms;

	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &idle, sizeof(idle));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &stuck, sizeof(stuck));
}

static int open_one(const struct listener *l, bool shared)
{
	static const int on = 1;
	struct sockaddr_storage ss;
	socklen_t len = addr_to_sockaddr(&l->addr, &ss);
	int v6only = l->ipv6_only, fd, err = 0;

	fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    (shared && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) < 0) ||
	    /* inherited by what is accepted */
	    setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 ||
	    (ss.ss_family == AF_INET6 &&
	     setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof(v6only)) < 0))
		err = -errno;
	if (!err) {
		(void)sandbox_raise(
			CAP_NET_BIND_SERVICE); /* bind() says if it was needed */
		if (bind(fd, (struct sockaddr *)&ss, len) < 0)
			err = -errno;
		(void)sandbox_lower(CAP_NET_BIND_SERVICE);
	}
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

/*
 * SO_REUSEPORT lets any program of the same user share a port in silence.  A socket
 * without it is refused if anybody listens there.
 */
static int check_unused(const struct listener *l)
{
	int fd = open_one(l, false), err = 0;

	if (fd < 0)
		return fd;
	if (listen(fd, 1) < 0)
		err = -errno;
	close(fd);
	return err;
}

int listener_open(struct proxy *p, const struct listener *l, bool replaces, int *fds)
{
	const struct sock_label label = { .listener = l->id, .leg = TG_LEG_DOWNSTREAM };
	int err = replaces ? 0 : check_unused(l);

	for (unsigned i = 0; i < p->workers_n && !err; i++) {
		if (fds[i] >= 0)
			continue; /* of the process before us, and labelled */
		fds[i] = open_one(l, true);
		err = fds[i] < 0 ? fds[i] : writer_label(p->writer, fds[i], &label);
	}
	if (err == -EADDRINUSE)
		log_error("listener '%s': %s is in use by another program", l->name,
			  l->address);
	else if (err)
		(void)log_errno(err, "listener '%s': cannot open %s", l->name,
				l->address);
	return err;
}

int listener_listen(const struct listener *l, int fd)
{
	if (listen(fd, BACKLOG) == 0)
		return 0;
	return log_errno(-errno, "listener '%s': cannot listen on %s", l->name,
			 l->address);
}
