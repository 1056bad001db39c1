/* SPDX-License-Identifier: Apache-2.0 */
/* The only file that includes c-ares. */
#include <ares.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "backend/resolve.h"
#include "base/log.h"
#include "base/util.h"

#define ADDRS_MAX  16
#define TIMEOUT_MS 2000 /* of one server */
#define TRIES	   2
#define SOCKETS	   16 /* c-ares uses one a server and protocol */

struct watch {
	struct ev_io io;
	struct resolver *resolver;
	int fd; /* -1: free */
};

struct resolver {
	struct ev_loop *loop;
	ares_channel channel;
	struct ev_timer timer;
	struct watch watches[SOCKETS];
};

struct question {
	resolver_fn fn;
	void *arg;
};

/* When c-ares wants to look at its own timeouts again. */
static void arm(struct resolver *r)
{
	struct timeval tv, *next = ares_timeout(r->channel, NULL, &tv);

	if (next)
		ev_timer_set(r->loop, &r->timer,
			     next->tv_sec * 1000 + next->tv_usec / 1000 + 1);
	else
		ev_timer_del(r->loop, &r->timer);
}

static void on_timer(struct ev_timer *timer)
{
	struct resolver *r = container_of(timer, struct resolver, timer);

	ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	arm(r);
}

static void on_socket(struct ev_io *io, uint32_t events)
{
	struct watch *w = container_of(io, struct watch, io);
	struct resolver *r = w->resolver;

	ares_process_fd(r->channel,
			events & (EPOLLIN | EPOLLERR | EPOLLHUP) ? w->fd
								 : ARES_SOCKET_BAD,
			events & EPOLLOUT ? w->fd : ARES_SOCKET_BAD);
	arm(r);
}

static struct watch *find_watch(struct resolver *r, int fd)
{
	for (size_t i = 0; i < SOCKETS; i++) {
		if (r->watches[i].fd == fd)
			return &r->watches[i];
	}
	return NULL;
}

/* c-ares: this socket waits for that; for nothing when it is about to be closed. */
static void on_state(void *data, ares_socket_t fd, int readable, int writable)
{
	struct resolver *r = data;
	struct watch *w = find_watch(r, fd);
	uint32_t events = (readable ? EPOLLIN : 0) | (writable ? EPOLLOUT : 0);

	if (w && !events) {
		ev_io_del(r->loop, &w->io);
		w->fd = -1;
	} else if (w) {
		(void)ev_io_mod(r->loop, &w->io, events);
	} else if (events && (w = find_watch(r, -1))) {
		w->fd = fd;
		if (ev_io_add(r->loop, &w->io, fd, events) < 0)
			w->fd = -1; /* the query times out */
	}
}

static int set_servers(struct resolver *r, char *const *servers, unsigned n)
{
	char list[1024] = "";
	size_t len = 0;

	for (unsigned i = 0; i < n && len < sizeof(list); i++)
		len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%s",
					i ? "," : "", servers[i]);
	return n ? ares_set_servers_ports_csv(r->channel, list) : ARES_SUCCESS;
}

int resolver_open(struct ev_loop *loop, char *const *servers, unsigned n,
		  struct resolver **ret)
{
	struct resolver *r = calloc(1, sizeof(*r));
	struct ares_options options = { .timeout = TIMEOUT_MS, .tries = TRIES };
	int code;

	if (!r)
		return log_errno(-ENOMEM, "resolver");
	r->loop = loop;
	r->timer.fn = on_timer;
	for (size_t i = 0; i < SOCKETS; i++)
		r->watches[i] = (struct watch){ .io = { .fd = -1, .fn = on_socket },
						.resolver = r,
						.fd = -1 };
	options.sock_state_cb = on_state;
	options.sock_state_cb_data = r;
	code = ares_library_init(ARES_LIB_INIT_ALL);
	if (code == ARES_SUCCESS)
		code = ares_init_options(&r->channel, &options,
					 ARES_OPT_SOCK_STATE_CB | ARES_OPT_TIMEOUTMS |
						 ARES_OPT_TRIES);
	if (code == ARES_SUCCESS)
		code = set_servers(r, servers, n);
	if (code != ARES_SUCCESS) {
		log_error("names cannot be looked up: %s", ares_strerror(code));
		resolver_close(r);
		return -EINVAL;
	}
	*ret = r;
	return 0;
}

void resolver_close(struct resolver *r)
{
	if (!r)
		return;
	if (r->channel)
		ares_destroy(r->channel);
	ev_timer_del(r->loop, &r->timer);
	ares_library_cleanup();
	free(r);
}

static void on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *result)
{
	struct question *q = arg;
	struct addr addrs[ADDRS_MAX];
	unsigned n = 0;
	int ttl = 0;

	(void)timeouts;
	if (status == ARES_EDESTRUCTION) { /* by resolver_close() */
		free(q);
		return;
	}
	for (struct ares_addrinfo_node *a = result ? result->nodes : NULL;
	     a && n < ADDRS_MAX; a = a->ai_next) {
		addr_from_sockaddr(a->ai_addr, &addrs[n++]);
		if (n == 1 || a->ai_ttl < ttl)
			ttl = a->ai_ttl;
	}
	/* what the name leads through lives no longer than any of it */
	for (struct ares_addrinfo_cname *c = result ? result->cnames : NULL; c;
	     c = c->next)
		ttl = c->ttl < ttl ? c->ttl : ttl;
	ttl = ttl < 0 ? 0 : ttl;
	q->fn(q->arg, addrs, n, ttl, ares_strerror(status));
	if (result)
		ares_freeaddrinfo(result);
	free(q);
}

void resolver_ask(struct resolver *r, const char *name, resolver_fn fn, void *arg)
{
	const struct ares_addrinfo_hints hints = { .ai_family = AF_UNSPEC,
						   .ai_socktype = SOCK_STREAM,
						   .ai_flags = ARES_AI_NUMERICSERV };
	const char *colon = strrchr(name, ':');
	struct question *q = malloc(sizeof(*q));
	char host[256];

	if (!q) {
		fn(arg, NULL, 0, 0, "no memory");
		return;
	}
	*q = (struct question){ fn, arg };
	(void)snprintf(host, sizeof(host), "%.*s", (int)(colon - name), name);
	ares_getaddrinfo(r->channel, host, colon + 1, &hints, on_answer, q);
	arm(r);
}
