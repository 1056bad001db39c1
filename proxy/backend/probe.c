/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backend/probe.h"
#include "backend/socket.h"
#include "base/log.h"
#include "base/util.h"
#include "codec/ask.h"
#include "codec/pp.h"
#include "config/http.h"
#include "tls/context.h"
#include "tls/probe.h"

#define READ_BYTES 16384

void probe_stop(struct probe *p)
{
	if (p->step == PROBE_IDLE)
		return;
	ev_io_del(p->prober->loop, &p->io);
	ev_timer_del(p->prober->loop, &p->timer);
	tls_probe_free(p->tls);
	ask_free(p->ask);
	p->tls = NULL;
	p->ask = NULL;
	close(p->fd);
	p->fd = -1;
	p->step = PROBE_IDLE;
}

static void result(struct probe *p, bool passed)
{
	probe_stop(p);
	p->done(p, passed);
}

/* It says why, in the gate's log. */
static void failed(struct probe *p, const char *why)
{
	log_limited(LOG_WARN, "backend %s of route %s: its check failed: %s",
		    p->backend->name, p->route->name, why);
	result(p, false);
}

/*
 * No check could be made.  Our own shortage says nothing of the backend; but a source
 * that is none of ours fails its clients just as well.
 */
static void not_made(struct probe *p, int err)
{
	log_limited(LOG_WARN, "backend %s of route %s cannot be checked: %s",
		    p->backend->name, p->route->name, strerror(-err));
	if (err == -EADDRNOTAVAIL)
		result(p, false);
	else
		probe_stop(p);
}

static void wait_for(struct probe *p, bool writes)
{
	(void)ev_io_mod(p->prober->loop, &p->io, writes ? EPOLLOUT : EPOLLIN);
}

/* --- a request --- */

static bool is_by_h2(const struct route *r)
{
	return r->health->type == CHECK_GRPC ||
	       (r->http && r->http->protocol == PROTOCOL_H2);
}

static bool asks(const struct route *r)
{
	return r->health->type == CHECK_HTTP || r->health->type == CHECK_GRPC;
}

/* Host: what was said, or the backend's own name. */
static struct text host_of(const struct probe *p)
{
	const struct health *h = p->route->health;

	if (h->name)
		return text_of_string(h->name);
	return p->backend->path ? TEXT("localhost") : text_of_string(p->backend->name);
}

/* grpc.health.v1.HealthCheckRequest: field 1, of bytes; CONFIG_NAME_MAX at most. */
static size_t put_service(char *buf, const char *service)
{
	size_t n = service ? strlen(service) : 0;

	if (!n)
		return 0;
	buf[0] = 1 << 3 | 2;
	buf[1] = (char)n;
	memcpy(buf + 2, service, n);
	return n + 2;
}

static int make_request(struct probe *p)
{
	const struct health *h = p->route->health;
	char message[2 + CONFIG_NAME_MAX];
	struct ask_request r = {
		.is_h2 = is_by_h2(p->route),
		.is_tls = p->tls != NULL,
		.is_grpc = h->type == CHECK_GRPC,
		.host = host_of(p),
		.path = h->path ? text_of_string(h->path) : TEXT("/"),
		.wants_body = h->body || h->type == CHECK_GRPC,
	};

	if (r.is_grpc) {
		r.path = TEXT("/grpc.health.v1.Health/Check");
		r.message = text_of(message, put_service(message, h->service));
	}
	return ask_new(&r, &p->ask);
}

/* HealthCheckResponse: field 1 is SERVING. */
static bool is_serving(const struct ask_answer *a)
{
	return a->grpc == 0 && a->body.n == 7 &&
	       memcmp(a->body.p + 5, "\x08\x01", 2) == 0;
}

static void judge(struct probe *p)
{
	const struct health *h = p->route->health;
	const struct ask_answer a = ask_answer(p->ask);
	bool fits = h->status ? a.status == h->status : a.status >= 200 && a.status < 400;

	if (h->type == CHECK_GRPC)
		fits = a.status == 200 && is_serving(&a);
	else if (h->body)
		fits &= memmem(a.body.p, a.body.n, h->body, strlen(h->body)) != NULL;
	result(p, fits);
}

/* True: all of it. */
static bool send_request(struct probe *p)
{
	bool writes = true;
	struct text t;

	while ((t = ask_to_send(p->ask)).n) {
		ssize_t n = p->tls ? tls_probe_write(p->tls, t.p, t.n, &writes)
				   : send(p->fd, t.p, t.n, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n > 0) {
			ask_sent(p->ask, (size_t)n);
			continue;
		}
		if (n == -EAGAIN || (!p->tls && errno == EAGAIN))
			wait_for(p, writes);
		else
			result(p, false);
		return false;
	}
	return true;
}

/* Bytes; 0: it has ended; -EAGAIN, or another. */
static ssize_t read_answer(struct probe *p, uint8_t *buf, bool *writes)
{
	ssize_t n;

	*writes = false;
	if (p->tls)
		return tls_probe_read(p->tls, buf, READ_BYTES, writes);
	n = recv(p->fd, buf, READ_BYTES, MSG_DONTWAIT);
	return n < 0 ? -errno : n;
}

/* Both ways, as far as it goes. */
static void go_on(struct probe *p)
{
	uint8_t buf[READ_BYTES];
	bool writes;

	while (send_request(p)) {
		ssize_t n = read_answer(p, buf, &writes);

		if (n == -EAGAIN) {
			wait_for(p, writes);
			return;
		}
		switch (n < 0 ? ASK_BAD : ask_came(p->ask, buf, (size_t)n)) {
		case ASK_MORE:
			break;
		case ASK_DONE:
			judge(p);
			return;
		default:
			result(p, false);
			return;
		}
	}
}

static void begin_asking(struct probe *p)
{
	int err = make_request(p);

	if (err) {
		not_made(p, err);
		return;
	}
	p->step = PROBE_ASKS;
	go_on(p);
}

/* --- TLS that is ours --- */

/*
 * As dial.c does it for a client, who may have named it; here the check does, or nobody,
 * and then any name is fine.
 */
static int make_tls(struct probe *p)
{
	const struct route *r = p->route;
	const struct backend_tls *b = r->backend_tls;
	char name[HELLO_NAME_MAX + 1];
	struct stream_target t = { .route = r, .backend = p->backend };
	struct text protocol = TEXT("");
	struct worker *w = &p->prober->tls;
	int err = w->tls ? 0 : context_open(w);

	backend_own_name(p->backend, name, sizeof(name));
	if (r->health->name) {
		struct text host = http_host(text_of_string(r->health->name));

		(void)snprintf(name, sizeof(name), "%.*s", (int)host.n, host.p);
	}
	t.sni = b && b->sni ? b->sni : name;
	t.name = b && b->name ? b->name : t.sni;
	if (asks(r) || r->http)
		protocol = is_by_h2(r) ? TEXT("h2") : TEXT("http/1.1");
	if (err)
		context_close(w);
	return err ? err : tls_probe_new(w, &t, protocol, p->fd, &p->tls);
}

static void shake_hands(struct probe *p)
{
	const char *why = "";
	bool writes = false;
	int err = tls_probe_step(p->tls, &writes, &why);

	if (err == -EAGAIN)
		wait_for(p, writes);
	else if (err)
		failed(p, why);
	else if (asks(p->route))
		begin_asking(p);
	else
		result(p, true);
}

static void begin_tls(struct probe *p)
{
	int err = make_tls(p);

	if (err) {
		not_made(p, err);
		return;
	}
	p->step = PROBE_SHAKES;
	shake_hands(p);
}

/* --- TLS that is not --- */

static void begin_listening(struct probe *p)
{
	uint8_t buf[2048];
	ssize_t n = hello_make(buf, sizeof(buf), p->route->health->name);

	if (n < 0 || send(p->fd, buf, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT) != n) {
		result(p, false);
		return;
	}
	p->step = PROBE_LISTENS;
	wait_for(p, false);
}

static void listen_on(struct probe *p)
{
	ssize_t n = recv(p->fd, p->answer + p->answer_n, sizeof(p->answer) - p->answer_n,
			 MSG_DONTWAIT);

	if (n <= 0) {
		if (n == 0 || errno != EAGAIN)
			result(p, false);
		return;
	}
	p->answer_n = (uint8_t)(p->answer_n + n);
	if (p->answer_n == sizeof(p->answer))
		result(p, hello_is_answer(p->answer));
}

/* --- connecting --- */

/* 2.2: checks of a proxy are LOCAL, so that nobody takes us for a client. */
static bool say_local(const struct probe *p)
{
	enum config_send send_proxy = p->route->send_proxy;
	struct pp_info info = { .version = send_proxy == CONFIG_SEND_V1 ? PP_V1 : PP_V2,
				.local = true };
	uint8_t buf[128];
	ssize_t n;

	if (send_proxy == CONFIG_SEND_NONE)
		return true;
	n = pp_encode(buf, sizeof(buf), &info, NULL);
	return n >= 0 && send(p->fd, buf, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT) == n;
}

static void connected(struct probe *p)
{
	const struct route *r = p->route;

	if (backend_is_itself(p->fd, &p->addr) || !say_local(p))
		result(p, false);
	else if (r->health->type == CHECK_TCP)
		result(p, true);
	else if (r->tls_to_backends)
		begin_tls(p);
	else if (r->health->type == CHECK_TLS)
		begin_listening(p);
	else
		begin_asking(p);
}

static void on_io(struct ev_io *io, uint32_t events)
{
	struct probe *p = container_of(io, struct probe, io);

	if (events & EPOLLERR) {
		result(p, false);
		return;
	}
	switch (p->step) {
	case PROBE_CONNECTS:
		connected(p);
		break;
	case PROBE_SHAKES:
		shake_hands(p);
		break;
	case PROBE_LISTENS:
		listen_on(p);
		break;
	case PROBE_ASKS:
		go_on(p);
		break;
	default:
		break;
	}
}

static void on_timer(struct ev_timer *timer)
{
	result(container_of(timer, struct probe, timer), false); /* too long */
}

void probe_init(struct probe *p, struct prober *prober, const struct route *r,
		const struct backend *b, void (*done)(struct probe *p, bool passed))
{
	*p = (struct probe){ .prober = prober,
			     .route = r,
			     .backend = b,
			     .done = done,
			     .io = { .fd = -1, .fn = on_io },
			     .timer = { .fn = on_timer },
			     .fd = -1 };
}

void probe_begin(struct probe *p, const struct addr *a)
{
	int err;

	if (p->step != PROBE_IDLE)
		return;
	p->addr = *a;
	p->answer_n = 0;
	err = backend_socket(p->route, p->backend, a);
	if (err < 0) {
		not_made(p, err);
		return;
	}
	p->fd = err;
	p->step = PROBE_CONNECTS;
	if (backend_connect(p->backend, a, p->fd) < 0) {
		result(p, false);
		return;
	}
	err = ev_io_add(p->prober->loop, &p->io, p->fd, EPOLLOUT);
	if (err) {
		not_made(p, err);
		return;
	}
	ev_timer_set(p->prober->loop, &p->timer, p->route->health->timeout_ms);
}
