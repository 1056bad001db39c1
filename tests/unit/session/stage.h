/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker and one session, for unit tests of its steps: real sockets over loopback, real
 * limits, targets and configuration; of the books only the slots, in plain memory, and
 * what the kernel and the readers are told, which is kept here.  The event loop does not
 * run: a test says what an event would (ready()) and calls the step.
 */
#ifndef TESTS_UNIT_SESSION_STAGE_H
#define TESTS_UNIT_SESSION_STAGE_H

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backend/names.h"
#include "backend/place.h"
#include "backend/target.h"
#include "decide/limits.h"
#include "session/openings.h"
#include "session/state.h"
#include "tests/unit/t.h"

struct stage {
	struct proxy_state state;
	struct proxy proxy;
	struct worker worker;
	struct proxy_slot listener, downstream[4], upstream[4];
	unsigned ends[TG_END_MAX][TG_SIDE_MAX];
	struct hello_book hellos;
	struct session *s; /* ended by stage_down() */
	int client;	   /* the other end of its down */
	int listening;	   /* a backend, at PORT of the configuration */
	/* what was told, last */
	struct sock_label label;
	unsigned labels;
	struct proxy_event event;
	unsigned events;
};
static struct stage st;

int writer_label(struct writer *w, int fd, uint32_t *place,
		 const struct sock_label *label)
{
	(void)w;
	(void)place;
	(void)fd;
	st.label = *label;
	st.labels++;
	return 0;
}

void writer_end(struct writer *w, const struct proxy_slot *slot, enum tg_end reason,
		enum tg_side side)
{
	(void)w;
	(void)slot;
	st.ends[reason][side]++;
}

void writer_event(struct writer *w, const struct proxy_event *e)
{
	(void)w;
	st.event = *e;
	st.events++;
}

void writer_offender(struct writer *w, uint16_t listener, enum tg_end reason,
		     const uint8_t ip[16])
{
	(void)w;
	(void)listener;
	(void)reason;
	(void)ip;
}

void writer_hist_add(struct tcp_hist *h, unsigned shift, uint64_t value)
{
	(void)shift;
	h->sum += value;
}

/* A listening socket of loopback; its port in *port. */
static int stage_listen(unsigned *port)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, len) < 0 || listen(fd, 64) < 0 ||
	    getsockname(fd, (struct sockaddr *)&a, &len) < 0) {
		perror("stage_listen");
		exit(1);
	}
	*port = ntohs(a.sin_port);
	return fd;
}

/* Both ends of a connection; ret[1] does not block. */
static void stage_pair(int ret[2])
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	unsigned port;
	int l = stage_listen(&port);

	a.sin_port = htons((uint16_t)port);
	ret[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(ret[0], (struct sockaddr *)&a, sizeof(a)) < 0 ||
	    (ret[1] = accept4(l, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) < 0) {
		perror("stage_pair");
		exit(1);
	}
	close(l);
}

static void stage_slots(struct listener *l, struct route *r, struct backend *b, void *arg)
{
	unsigned *n = arg;

	l->id = 1;
	l->slot = &st.listener;
	l->hellos = &st.hellos;
	r->id = (uint16_t)(r - l->routes + 1);
	b->id = (uint16_t)(++*n);
	b->downstream = &st.downstream[*n - 1];
	b->upstream = &st.upstream[*n - 1];
}

/* The proxy, and a client that has connected to its first listener.  PORT in the text is
 * that of st.listening.
 */
static void stage_up(const char *text)
{
	char yaml[2048], why[CONFIG_ERROR_MAX];
	unsigned port, backends = 0;
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct config *c;
	const char *at;
	int fds[2], n;

	memset(&st, 0, sizeof(st));
	st.listening = stage_listen(&port);
	at = strstr(text, "PORT");
	n = snprintf(yaml, sizeof(yaml), "%.*s%u%s", (int)(at - text), text, port,
		     at + 4);
	if (config_parse("test.yaml", yaml, (size_t)n, &c, why) < 0) {
		printf("# %s\n", why);
		exit(1);
	}
	config_each_backend(c, stage_slots, &backends);
	st.proxy = (struct proxy){ .workers = &st.worker,
				   .state = &st.state,
				   .workers_n = 1,
				   .limits = limits_new(&st.state.limits_full),
				   .pipes_max = 8,
				   .buffers_max = 8 };
	if (names_resolve(c) < 0 || worker_open(&st.worker, &st.proxy) < 0 ||
	    place_open(&st.worker) < 0 || openings_open(&st.worker, session_evict) < 0)
		exit(1);
	st.worker.config = c;
	stage_pair(fds);
	st.client = fds[0];
	st.s = calloc(1, sizeof(*st.s));
	session_link(st.s, &st.worker);
	st.s->listener = &c->listeners[0];
	st.s->began_ms = ev_now_ms(st.worker.loop);
	session_leg_init(st.s, &st.s->down, fds[1]);
	session_leg_init(st.s, &st.s->up, -1);
	(void)getsockname(st.client, (struct sockaddr *)&ss, &len);
	addr_from_sockaddr((struct sockaddr *)&ss, &st.s->peer);
	st.s->client = st.s->peer;
}

static void stage_down(void)
{
	session_end(st.s, TG_END_DRAINED, true);
	worker_join(&st.worker);
	openings_close(&st.worker);
	place_close(&st.worker);
	close(st.client);
	close(st.listening);
	worker_close(&st.worker);
	limits_free(st.proxy.limits);
}

/* What epoll would have said of the leg by now; waits a moment for the wanted events. */
static void ready(struct leg *leg, short wanted)
{
	struct pollfd p = { .fd = leg->fd, .events = POLLIN | POLLOUT | POLLRDHUP };

	for (int i = 0; i < 1000 && (p.revents & wanted) != wanted; i++) {
		(void)poll(&p, 1, 0);
		(void)poll(NULL, 0, (p.revents & wanted) == wanted ? 0 : 1);
	}
	leg->readable |= (p.revents & (POLLIN | POLLRDHUP | POLLERR | POLLHUP)) != 0;
	leg->writable |= (p.revents & (POLLOUT | POLLERR | POLLHUP)) != 0;
	leg->ended |= (p.revents & (POLLRDHUP | POLLHUP)) != 0;
	leg->failed |= (p.revents & POLLERR) != 0;
}

/* The other end writes these, and they are there. */
static __attribute__((unused)) void says(int fd, struct leg *leg, const void *data,
					 size_t n)
{
	if (write(fd, data, n) != (ssize_t)n)
		exit(1);
	ready(leg, POLLIN);
}

#define CHECK_OVER(want, reset_, o)            \
	do {                                   \
		struct outcome o_ = (o);       \
		CHECK_INT(STEP_OVER, o_.step); \
		CHECK_INT(want, o_.reason);    \
		CHECK_INT(reset_, o_.reset);   \
	} while (0)
#define CHECK_STEP(want, o) CHECK_INT(want, (o).step)

#endif
