/* SPDX-License-Identifier: Apache-2.0 */
/* Listening sockets and their places in the books. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "backend/target.h"
#include "base/log.h"
#include "config/http.h"
#include "base/sandbox.h"
#include "base/sockets.h"
#include "process/listen.h"
#include "tls/certs.h"

/*
 * Rows that no configuration has any more, and that are shown by their own names all the
 * same: who changes names twice a day finds those of last week.
 */
#define PAST_KEPT 64

/* --- names and slots --- */

static int take_slot(struct proxy *p, const struct row_key *row, struct proxy_slot **ret)
{
	*ret = writer_slot(p->writer, row);
	return *ret ? 0 : -ENOSPC;
}

static int backend_books(struct proxy *p, const struct listener *l, const struct route *r,
			 struct backend *b)
{
	struct row_key row = { .listener = l->id,
			       .route = r->id,
			       .leg = TG_LEG_DOWNSTREAM };
	int err = writer_name(p->writer, TG_NAME_BACKEND, b->name, &b->id);

	row.backend = b->id;
	/* 0: no socket of TCP, and the kernel's book knows nothing of it (audit.c) */
	row.proto = l->path ? 0 : IPPROTO_TCP;
	if (!err)
		err = take_slot(p, &row, &b->downstream);
	row.leg = TG_LEG_UPSTREAM;
	row.proto = b->path ? 0 : IPPROTO_TCP;
	return err ? err : take_slot(p, &row, &b->upstream);
}

static int http_books(struct proxy *p, const struct listener *l, struct route *r)
{
	const struct row_key row = { .listener = l->id,
				     .route = r->id,
				     .leg = TG_LEG_DOWNSTREAM,
				     .proto = l->path ? 0 : IPPROTO_TCP };

	return take_slot(p, &row, &r->http->slot);
}

static int listener_books(struct proxy *p, struct listener *l)
{
	struct row_key row = { .proto = l->path ? 0 : IPPROTO_TCP,
			       .leg = TG_LEG_DOWNSTREAM };
	int err = writer_name(p->writer, TG_NAME_LISTENER, l->name, &l->id);

	row.listener = l->id;
	if (!err)
		err = take_slot(p, &row, &l->slot);
	if (!err && l->serves && !(l->http->book = writer_http(p->writer, l->slot)))
		err = -ENOSPC;
	return err;
}

static int route_books(struct proxy *p, const struct listener *l, struct route *r)
{
	int err = writer_name(p->writer, TG_NAME_ROUTE, r->name, &r->id);

	if (!err && r->http)
		err = http_books(p, l, r);
	for (unsigned i = 0; i < r->backend_names_count && !err; i++)
		err = backend_books(p, l, r, &r->backends[i]);
	return err;
}

/*
 * Requests of a route without a place of its own are in the listener's row.  How many
 * such routes there are.
 */
static unsigned request_books(struct proxy *p, struct config *c)
{
	unsigned without = 0;

	for (unsigned i = 0; i < c->listeners_count; i++) {
		struct listener *l = &c->listeners[i];

		for (unsigned k = 0; k < l->routes_count; k++) {
			struct http_route *h = l->routes[k].http;

			if (!h)
				continue;
			h->book = writer_http(p->writer, h->slot);
			if (h->book)
				continue;
			h->book = l->http->book;
			without++;
		}
	}
	return without;
}

static void put_slot(struct writer *w, struct proxy_slot **slot)
{
	if (*slot)
		writer_slot_put(w, *slot);
	*slot = NULL;
}

static void put_backend(struct listener *l, struct route *r, struct backend *b, void *arg)
{
	(void)l;
	(void)r;
	put_slot(arg, &b->downstream);
	put_slot(arg, &b->upstream);
}

static void release(struct config *c, void *arg)
{
	for (unsigned i = 0; i < c->listeners_count; i++) {
		struct listener *l = &c->listeners[i];

		put_slot(arg, &l->slot);
		for (unsigned k = 0; k < l->routes_count; k++) {
			if (l->routes[k].http)
				put_slot(arg, &l->routes[k].http->slot);
		}
	}
	config_each_backend(c, put_backend, arg);
}

static int all_books(struct proxy *p, struct config *c)
{
	int err = 0;

	config_on_release(c, release, p->writer);
	/* those of listeners first: what a route has no place for is in them */
	for (unsigned i = 0; i < c->listeners_count && !err; i++)
		err = listener_books(p, &c->listeners[i]);
	for (unsigned i = 0; i < c->listeners_count && !err; i++) {
		struct listener *l = &c->listeners[i];

		for (unsigned k = 0; k < l->routes_count && !err; k++)
			err = route_books(p, l, &l->routes[k]);
	}
	if (err)
		release(c, p->writer);
	return err;
}

static void tell_slot(struct listener *l, struct route *r, struct backend *b, void *arg)
{
	(void)l;
	(void)r;
	(void)arg;
	target_set_slot(b->target, b->upstream);
}

static void place_requests(struct proxy *p, struct config *c, int busy)
{
	unsigned without = request_books(p, c);
	size_t n;

	if (without && !busy && writer_reclaim(p->writer, 0, &n) == 0)
		without = request_books(p, c);
	if (without)
		log_warn("requests of %u routes are counted in their listener's row, for "
			 "there is no room for more: 'tollgate load --config FILE' makes "
			 "enough, or --size proxy_http=N",
			 without);
}

int listener_names(struct proxy *p, struct config *c)
{
	size_t n;
	int err, busy;

	busy = writer_reclaim(p->writer, SIZE_MAX, &n);
	err = all_books(p, c);
	if (err == -ENOSPC && !busy && writer_reclaim(p->writer, 0, &n) == 0)
		err = all_books(p, c);
	if (!err && !busy) /* those of this configuration have references by now */
		(void)writer_reclaim(p->writer, PAST_KEPT, &n);
	if (err == -ENOSPC)
		log_error("there is no room in the books for all listeners, routes and "
			  "backends%s: 'tollgate load --config FILE' makes enough",
			  busy == -EBUSY ? " while another proxy of this load lives"
					 : "");
	else if (err)
		(void)log_errno(err, "cannot name the rows of the books");
	if (err)
		return err;
	place_requests(p, c, busy);
	for (unsigned i = 0; i < c->listeners_count; i++)
		c->listeners[i].hellos = writer_hellos(p->writer, c->listeners[i].id);
	config_each_backend(c, tell_slot, NULL);
	return 0;
}

static void slot_in_force(struct listener *l, struct route *r, struct backend *b,
			  void *arg)
{
	(void)l;
	(void)r;
	book_set(&b->downstream->configured, *(const uint64_t *)arg);
	book_set(&b->upstream->configured, *(const uint64_t *)arg);
	target_show_drained(b->target, b->upstream, b->drain);
}

void listener_in_force(struct proxy *p, struct config *c)
{
	uint64_t number = p->state->configuration + 1;

	for (unsigned i = 0; i < c->listeners_count; i++) {
		const struct listener *l = &c->listeners[i];

		book_set(&l->slot->configured, number);
		for (unsigned k = 0; k < l->routes_count; k++) {
			if (l->routes[k].http)
				book_set(&l->routes[k].http->slot->configured, number);
		}
		book_set(&l->hellos->expires_unix, (uint64_t)certs_expire(l->certs));
		book_set(&l->hellos->missing, l->certs ? l->certs->missing : 0);
	}
	config_each_backend(c, slot_in_force, &number);
	book_set(&p->state->configuration, number);
}

/* --- listeners --- */

/* Those of TCP, and how many. */
static size_t describe(const struct config *c,
		       struct writer_listener ret[CONFIG_LISTENERS_MAX])
{
	size_t n = 0;

	for (unsigned i = 0; i < c->listeners_count; i++) {
		const struct listener *l = &c->listeners[i];

		if (l->path)
			continue;
		ret[n] = (struct writer_listener){ .name = l->name, .addr = l->addr };
		ret[n++].dual = !addr_is_v4(l->addr.ip) && addr_is_any(l->addr.ip) &&
				!l->ipv6_only;
	}
	return n;
}

int listener_register(struct proxy *p, const struct config *c)
{
	struct writer_listener list[CONFIG_LISTENERS_MAX];
	size_t n = describe(c, list);
	int err = sandbox_raise(CAP_NET_ADMIN);

	if (err)
		return log_errno(err, "CAP_NET_ADMIN is needed for the nft book");
	err = writer_listeners(p->writer, list, n);
	(void)sandbox_lower(CAP_NET_ADMIN);
	return err;
}

void listener_forget_others(struct proxy *p, const struct config *c)
{
	struct writer_listener list[CONFIG_LISTENERS_MAX];
	size_t n = describe(c, list);

	if (sandbox_raise(CAP_NET_ADMIN) < 0)
		return; /* they are counted on, to nobody's harm */
	writer_forget_others(p->writer, list, n);
	(void)sandbox_lower(CAP_NET_ADMIN);
}

static int connect_path(const char *path, struct sockaddr_un *ret)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), err;

	if (fd < 0)
		return -errno;
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(ret->sun_path, path, strlen(path));
	err = connect(fd, (struct sockaddr *)ret, sizeof(*ret)) < 0 ? -errno : 0;
	close(fd);
	return err;
}

/*
 * Nothing, or a socket that nobody listens on, or ours if it replaces one: 0; else
 * -EADDRINUSE or another errno.
 */
static int check_path(const char *path, bool replaces)
{
	struct sockaddr_un at;
	struct stat st;
	int err;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST; /* it is somebody's file */
	if (replaces)
		return 0;
	err = connect_path(path, &at);
	if (err == -ECONNREFUSED || err == -ENOENT)
		return 0;
	return err == 0 || err == -EAGAIN ? -EADDRINUSE : err; /* a full queue is, too */
}

/*
 * Bound beside its place and moved there, so that there is always one to connect to; what
 * a process that has ended left there goes.  replaces: what listens there is ours.
 */
static int open_path(const struct listener *l, bool replaces)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd, err = check_path(l->path, replaces);

	if (err)
		return err;
	if ((size_t)snprintf(at.sun_path, sizeof(at.sun_path), "%s+", l->path) >=
	    sizeof(at.sun_path))
		return -ENAMETOOLONG;
	err = check_path(at.sun_path, false);
	if (err)
		return err;
	(void)unlink(at.sun_path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	err = bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 ? -errno : 0;
	if (!err && (chmod(at.sun_path, l->unix_mode) < 0 ||
		     listen(fd, (int)l->tcp.backlog) < 0)) {
		err = -errno;
		(void)unlink(at.sun_path);
	}
	if (err)
		close(fd);
	return err ? err : fd;
}

/* One for all workers. */
static int open_path_all(const struct proxy *p, const struct listener *l, bool replaces,
			 int *fds)
{
	int err = 0, first = -1;

	for (unsigned i = 0; i < p->workers_n && first < 0; i++)
		first = fds[i];
	for (unsigned i = 0; i < p->workers_n && !err; i++) {
		if (fds[i] >= 0)
			continue;
		fds[i] = first < 0 ? open_path(l, replaces)
				   : fcntl(first, F_DUPFD_CLOEXEC, 0);
		if (fds[i] < 0)
			err = first < 0 ? fds[i] : -errno;
		first = fds[i];
	}
	return err;
}

/* What may be set at any time; what is accepted inherits it. */
static int tune(const struct listener *l, int fd)
{
	int mss = l->tcp.mss, queue = (int)l->tcp.fast_open;

	if (l->path)
		return 0;
	return setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &mss, sizeof(mss)) < 0 ||
			       setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN, &queue,
					  sizeof(queue)) < 0
		       ? -errno
		       : 0;
}

static int bind_to_device(const struct listener *l, int fd)
{
	const char *name = l->tcp.interface;

	return name && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name,
				  (socklen_t)strlen(name)) < 0
		       ? -errno
		       : 0;
}

/* Of a socket that is there already; SO_BINDTODEVICE takes privilege then. */
static bool is_of_device(const struct listener *l, int fd)
{
	const char *want = l->tcp.interface ? l->tcp.interface : "";
	char name[IF_NAMESIZE] = "";
	socklen_t len = sizeof(name);

	return getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, &len) < 0 ||
	       strcmp(name, want) == 0;
}

void listener_tune(const struct listener *l, int fd)
{
	(void)listener_listen(l, fd); /* which says what cannot be */
	if (!l->path && !is_of_device(l, fd))
		log_warn("listener '%s': 'interface' is as it was until the proxy is "
			 "stopped and started",
			 l->name);
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
	if (!err && l->freebind &&
	    setsockopt(fd, ss.ss_family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6,
		       ss.ss_family == AF_INET ? IP_FREEBIND : IPV6_FREEBIND, &on,
		       sizeof(on)) < 0)
		err = -errno;
	if (!err)
		err = bind_to_device(l, fd);
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
	int fd, err = 0;

	if (l->path)
		return check_path(l->path, false);
	fd = open_one(l, false);
	if (fd < 0)
		return fd;
	if (listen(fd, 1) < 0)
		err = -errno;
	close(fd);
	return err;
}

int listener_check(const struct listener *l)
{
	char owner[64] = "another program";
	int err = check_unused(l);

	if (err != -EADDRINUSE)
		return 0; /* anything else is said when it is opened */
	if (!l->path)
		(void)sockets_owner(&l->addr, owner, sizeof(owner));
	log_error("listener '%s': %s is in use by %s", l->name, l->address, owner);
	return err;
}

int listener_open(struct proxy *p, const struct listener *l, bool replaces, int *fds)
{
	const struct sock_label label = { .listener = l->id, .leg = TG_LEG_DOWNSTREAM };
	int err = replaces ? 0 : check_unused(l);

	if (!err && l->path)
		err = open_path_all(p, l, replaces, fds);
	for (unsigned i = 0; i < p->workers_n && !err; i++) {
		if (fds[i] >= 0)
			continue; /* of the process before us, and labelled; or a path's
				   */
		fds[i] = open_one(l, true);
		err = fds[i] < 0 ? fds[i]
				 : writer_label_listener(p->writer, fds[i], &label);
	}
	if (err == -EADDRINUSE)
		log_error("listener '%s': %s is in use by another program", l->name,
			  l->address);
	else if (err == -EEXIST)
		log_error("listener '%s': %s is there and is no socket", l->name,
			  l->path);
	else if (err)
		(void)log_errno(err, "listener '%s': cannot open %s", l->name,
				l->address);
	return err;
}

#define PATH_BEFORE 128

/* Where a socket is until the configuration is in force. */
static void path_before(const struct listener *l, char ret[PATH_BEFORE])
{
	(void)snprintf(ret, PATH_BEFORE, "%s+", l->path);
}

void listener_publish(const struct listener *l)
{
	char path[PATH_BEFORE];

	if (!l->path)
		return;
	path_before(l, path);
	if (rename(path, l->path) < 0 && errno != ENOENT)
		(void)log_errno(-errno, "listener '%s': %s", l->name, l->path);
}

void listener_withdraw(const struct listener *l)
{
	char path[PATH_BEFORE];

	if (!l->path)
		return;
	path_before(l, path);
	(void)unlink(path);
}

int listener_listen(const struct listener *l, int fd)
{
	int err = tune(l, fd);

	if (!err && listen(fd, (int)l->tcp.backlog) == 0)
		return 0;
	return log_errno(err ? err : -errno, "listener '%s': cannot listen on %s",
			 l->name, l->address);
}
