/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker that serves HTTP, its clients and a backend, on one thread: real sockets over
 * loopback, the real event loop a turn at a time, of the books the slots in plain memory.
 */
#ifndef TESTS_UNIT_HTTP_STAGE_H
#define TESTS_UNIT_HTTP_STAGE_H

#include <errno.h>
#include <fcntl.h>

#include "config/http.h"
#include "http/worker.h"
#include "tests/unit/session/stage.h"

#define WEB_PATIENCE 3000 /* turns, of which some take a millisecond */

static struct http_book web_listener_book, web_books[4];
static struct ev_task web_stop;

static void web_books_of(struct config *c)
{
	struct listener *l = &c->listeners[0];

	memset(&web_listener_book, 0, sizeof(web_listener_book));
	memset(web_books, 0, sizeof(web_books));
	l->id = 1;
	l->slot = &st.listener;
	l->hellos = &st.hellos;
	l->http->book = &web_listener_book;
	for (unsigned i = 0; i < l->routes_count; i++) {
		l->routes[i].id = (uint16_t)(i + 1);
		l->routes[i].http->book = &web_books[i];
	}
}

static void web_on_stop(struct ev_task *task)
{
	(void)task;
	ev_loop_stop(st.worker.loop);
}

/* One turn of the loop, which waits for nothing. */
static void web_turn(void)
{
	ev_task_add(st.worker.loop, &web_stop);
	(void)ev_loop_run(st.worker.loop);
}

/* As stage_up(), without a session; PORT of the text is the backend's. */
static void web_up(const char *text)
{
	char yaml[2048], why[CONFIG_ERROR_MAX];
	unsigned port, backends = 0;
	struct config *c;
	size_t n = 0;

	memset(&st, 0, sizeof(st));
	memset(&told, 0, sizeof(told));
	st.listening = stage_listen(&port);
	(void)fcntl(st.listening, F_SETFL, O_NONBLOCK);
	while (*text) {
		size_t k = strncmp(text, "PORT", 4) == 0 ? 4 : 1;

		n += (size_t)snprintf(yaml + n, sizeof(yaml) - n, k == 4 ? "%u" : "%c",
				      k == 4 ? port : (unsigned)*text);
		text += k;
	}
	if (config_parse("test.yaml", yaml, n, &c, why) < 0) {
		printf("# %s\n", why);
		exit(1);
	}
	config_each_backend(c, stage_slots, &backends);
	web_books_of(c);
	st.proxy = (struct proxy){ .workers = &st.worker,
				   .state = &st.state,
				   .workers_n = 1,
				   .limits = limits_new(&st.state.limits_full),
				   .pipes_max = 8,
				   .sockets_max = 1000,
				   .buffers_max = 64 };
	if (names_resolve(c) < 0 || worker_open(&st.worker, &st.proxy) < 0 ||
	    place_open(&st.worker) < 0 || http_open(&st.worker) < 0 ||
	    openings_open(&st.worker, session_evict) < 0)
		exit(1);
	st.worker.config = c;
	st.worker.pool.outbox = outbox_new();
	ev_loop_settle(st.worker.loop, conn_settle, &st.worker);
	web_stop = (struct ev_task){ .fn = web_on_stop };
}

static void web_down(void)
{
	(void)session_end_some(&st.worker, TG_END_DRAINED, 1000);
	web_turn();
	http_close(&st.worker);
	worker_join(&st.worker);
	web_turn();
	openings_close(&st.worker);
	place_close(&st.worker);
	worker_close(&st.worker);
	limits_free(st.proxy.limits);
	close(st.listening);
}

/* Its end is a reset, which leaves no port in TIME_WAIT: there are many of them. */
static void web_close(int fd)
{
	const struct linger now = { .l_onoff = 1 };

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}

/* A client connects: its end, which does not block. */
static int web_client(void)
{
	struct sockaddr_storage ss = { .ss_family = AF_UNSPEC };
	socklen_t len = sizeof(ss);
	int fds[2];

	stage_pair(fds);
	(void)fcntl(fds[0], F_SETFL, O_NONBLOCK);
	(void)getpeername(fds[1], (struct sockaddr *)&ss, &len);
	session_start(&st.worker, &st.worker.config->listeners[0], fds[1],
		      (struct sockaddr *)&ss);
	return fds[0];
}

/* What every byte is, of all that were there: 0 if each was counted once. */
static __attribute__((unused)) uint64_t web_residual(void)
{
	uint64_t n = web_listener_book.residual_bytes;

	for (size_t i = 0; i < sizeof(web_books) / sizeof(web_books[0]); i++)
		n += web_books[i].residual_bytes;
	return n;
}

#endif
