/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker for unit tests of what moves bytes: real sockets over loopback, of the books
 * what the kernel and the readers are told, which is kept here.  The event loop does not
 * run: a test says what an event would (ready()) and calls the step.
 */
#ifndef TESTS_UNIT_NET_STAGE_H
#define TESTS_UNIT_NET_STAGE_H

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/conn.h"
#include "net/outbox.h"
#include "net/outcome.h"
#include "net/worker.h"
#include "tests/unit/t.h"

/* What was told: the last, and how often. */
static struct {
	struct sock_label label;
	unsigned labels;
	struct proxy_event event;
	unsigned events;
	unsigned ends[TG_END_MAX][TG_SIDE_MAX];
} told;

int writer_label(struct writer *w, int fd, uint32_t *place,
		 const struct sock_label *label)
{
	(void)w;
	(void)place;
	(void)fd;
	told.label = *label;
	told.labels++;
	return 0;
}

void writer_end(struct writer *w, const struct proxy_slot *slot, enum tg_end reason,
		enum tg_side side)
{
	(void)w;
	(void)slot;
	told.ends[reason][side]++;
}

void writer_event(struct writer *w, const struct proxy_event *e)
{
	(void)w;
	told.event = *e;
	told.events++;
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
static __attribute__((unused)) void stage_pair(int ret[2])
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

static __attribute__((unused)) struct proxy_state net_state;
static __attribute__((unused)) struct proxy net_proxy;
static __attribute__((unused)) struct worker net_worker;

/* A worker that nobody runs, and with it so many pipes and buffers, and an outbox. */
static __attribute__((unused)) void net_up(unsigned pipes, unsigned buffers)
{
	memset(&told, 0, sizeof(told));
	net_proxy = (struct proxy){ .workers = &net_worker,
				    .state = &net_state,
				    .workers_n = 1,
				    .pipes_max = pipes,
				    .buffers_max = buffers };
	if (worker_open(&net_worker, &net_proxy) < 0)
		exit(1);
	net_worker.pool.outbox = outbox_new();
}

static __attribute__((unused)) void net_down(void)
{
	worker_join(&net_worker);
	worker_close(&net_worker);
	CHECK_INT(0, net_state.pipes);
	CHECK_INT(0, net_state.buffers);
	CHECK_INT(0, net_proxy.upstreams);
}

/* What epoll would have said of the conn by now; waits a moment for the wanted events. */
static __attribute__((unused)) void ready(struct conn *c, short wanted)
{
	struct pollfd p = { .fd = c->fd, .events = POLLIN | POLLOUT | POLLRDHUP };

	(void)poll(&p, 1, 0);
	for (int i = 0; i < 1000 && (p.revents & wanted) != wanted; i++) {
		(void)poll(NULL, 0, 1);
		(void)poll(&p, 1, 0);
	}
	CHECK_INT(wanted, p.revents & wanted);
	c->stirred |= (p.revents & (POLLIN | POLLRDHUP | POLLERR | POLLHUP)) != 0;
	c->readable |= (p.revents & (POLLIN | POLLRDHUP | POLLERR | POLLHUP)) != 0;
	c->writable |= (p.revents & (POLLOUT | POLLERR | POLLHUP)) != 0;
	c->ended |= (p.revents & (POLLRDHUP | POLLHUP)) != 0;
	c->failed |= (p.revents & POLLERR) != 0;
}

/* The other end writes these, and they are there. */
static __attribute__((unused)) void says(int fd, struct conn *c, const void *data,
					 size_t n)
{
	if (write(fd, data, n) != (ssize_t)n)
		exit(1);
	ready(c, POLLIN);
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
