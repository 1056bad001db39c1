/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A ward for each backend of the configuration: a check (connect, and for TLS a hello
 * that must be answered by one) on its interval, and a look-up of its name when its
 * addresses have lived their time.  A new configuration makes new wards; what was found
 * out stays in the target.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/ev.h"
#include "base/log.h"
#include "base/util.h"
#include "book/writer.h"
#include "hello.h"
#include "keeper.h"
#include "pp.h"
#include "resolve.h"
#include "target.h"
#include "worker.h"

#define TTL_MIN_S     1
#define TTL_MAX_S     3600
#define TTL_DEFAULT_S 60 /* of an answer that says none, such as /etc/hosts */
#define ASK_AGAIN_S   5	 /* after a failure */

struct ward {
	struct ward *next;
	struct keeper *keeper;
	struct route *route;
	struct backend *backend;
	/* the check under way */
	struct ev_io io;
	struct ev_timer timer; /* of the next check, or the end of this one */
	int fd;
	bool said; /* the hello was sent */
	uint8_t answer[HELLO_ANSWER_LEN];
	unsigned answer_n;
	unsigned streak; /* results in a row that differ from the target's state */
	/* the name */
	struct ev_timer age;
	bool named;
};

struct keeper {
	struct proxy *proxy;
	struct ev_loop *loop;
	pthread_t thread;
	bool started;
	struct resolver *resolver;
	struct ward *wards;
	struct config *config; /* a reference */
	pthread_mutex_t lock;
	struct config *incoming; /* a reference, under the lock */
	bool stop;
	struct ev_io wake;
	int wake_fd;
};

/* --- checks --- */

static void check_close(struct ward *w)
{
	if (w->fd < 0)
		return;
	ev_io_del(w->keeper->loop, &w->io);
	close(w->fd);
	w->fd = -1;
}

static void check_result(struct ward *w, bool passed)
{
	const struct health *h = w->route->health;
	struct target *t = w->backend->target;
	struct proxy_slot *slot = w->backend->upstream;
	int64_t now = ev_now_ms(w->keeper->loop);

	check_close(w);
	ev_timer_set(w->keeper->loop, &w->timer, h->interval_ms);
	book_add(passed ? &slot->checks_passed : &slot->checks_failed, 1);
	if (passed == target_is_up(t)) {
		w->streak = 0;
		return;
	}
	if (++w->streak < (passed ? h->rise : h->fall))
		return;
	w->streak = 0;
	if (!target_set_up(t, passed, now))
		return;
	log_info("backend %s of route %s is %s", w->backend->name, w->route->name,
		 passed ? "up" : "down");
	if (passed)
		workers_backend_up(w->keeper->proxy);
}

/* 2.2: checks of a proxy are LOCAL, so that nobody takes us for a client. */
static ssize_t put_local(uint8_t *buf, size_t cap, enum config_send send)
{
	struct pp_info info = { .version = send == CONFIG_SEND_V1 ? PP_V1 : PP_V2,
				.local = true };

	return send == CONFIG_SEND_NONE ? 0 : pp_encode(buf, cap, &info, NULL);
}

static bool check_say(struct ward *w)
{
	const struct health *h = w->route->health;
	uint8_t buf[1024];
	ssize_t n = put_local(buf, sizeof(buf), w->route->send_proxy), m = 0;

	if (n >= 0 && h->type == CHECK_TLS)
		m = hello_make(buf + n, sizeof(buf) - (size_t)n, h->name);
	if (n < 0 || m < 0)
		return false;
	w->said = true;
	return n + m == 0 ||
	       send(w->fd, buf, (size_t)(n + m), MSG_NOSIGNAL | MSG_DONTWAIT) == n + m;
}

static void on_check(struct ev_io *io, uint32_t events)
{
	struct ward *w = container_of(io, struct ward, io);
	ssize_t n;

	if (events & EPOLLERR) {
		check_result(w, false);
		return;
	}
	if (!w->said) {
		if (!check_say(w))
			check_result(w, false);
		else if (w->route->health->type == CHECK_TCP)
			check_result(w, true);
		else
			(void)ev_io_mod(w->keeper->loop, &w->io, EPOLLIN);
		return;
	}
	n = recv(w->fd, w->answer + w->answer_n, sizeof(w->answer) - w->answer_n,
		 MSG_DONTWAIT);
	if (n <= 0) {
		if (n == 0 || errno != EAGAIN)
			check_result(w, false);
		return;
	}
	w->answer_n += (unsigned)n;
	if (w->answer_n == sizeof(w->answer))
		check_result(w, hello_is_answer(w->answer));
}

static void check_begin(struct ward *w)
{
	struct sockaddr_storage ss;
	struct addr a;
	socklen_t len;

	if (!target_address(w->backend->target, &a)) {
		check_result(w, false);
		return;
	}
	len = addr_to_sockaddr(&a, &ss);
	w->said = false;
	w->answer_n = 0;
	w->fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (w->fd < 0) { /* our own shortage says nothing of the backend */
		ev_timer_set(w->keeper->loop, &w->timer, w->route->health->interval_ms);
		return;
	}
	if ((connect(w->fd, (struct sockaddr *)&ss, len) < 0 && errno != EINPROGRESS) ||
	    ev_io_add(w->keeper->loop, &w->io, w->fd, EPOLLOUT) < 0)
		check_result(w, false);
	else
		ev_timer_set(w->keeper->loop, &w->timer, w->route->health->timeout_ms);
}

static void on_ward_timer(struct ev_timer *timer)
{
	struct ward *w = container_of(timer, struct ward, timer);

	if (w->fd >= 0)
		check_result(w, false); /* it took too long */
	else
		check_begin(w);
}

/* --- names --- */

static void on_addresses(void *arg, const struct addr *addrs, unsigned n, int ttl_s,
			 const char *why)
{
	struct ward *w = arg;
	int seconds = ttl_s ? ttl_s : TTL_DEFAULT_S;

	if (n == 0) {
		/* what was known goes on to serve */
		log_warn("backend %s: cannot be looked up: %s", w->backend->name, why);
		book_add(&w->backend->upstream->lookups_failed, 1);
		seconds = ASK_AGAIN_S;
	}
	target_set_addresses(w->backend->target, addrs, n);
	seconds = seconds < TTL_MIN_S ? TTL_MIN_S : seconds;
	seconds = seconds > TTL_MAX_S ? TTL_MAX_S : seconds;
	ev_timer_set(w->keeper->loop, &w->age, (int64_t)seconds * 1000);
}

static void on_age(struct ev_timer *timer)
{
	struct ward *w = container_of(timer, struct ward, age);

	resolver_ask(w->keeper->resolver, w->backend->name, on_addresses, w);
}

/* --- wards --- */

static void wards_free(struct keeper *k)
{
	resolver_close(k->resolver); /* answers nothing after this */
	k->resolver = NULL;
	while (k->wards) {
		struct ward *w = k->wards;

		k->wards = w->next;
		check_close(w);
		ev_timer_del(k->loop, &w->timer);
		ev_timer_del(k->loop, &w->age);
		free(w);
	}
}

static void ward_add(struct keeper *k, struct route *r, struct backend *b,
		     unsigned number)
{
	struct ward *w = calloc(1, sizeof(*w));
	struct addr a;

	if (!w) {
		log_warn("backend %s is not checked: no memory", b->name);
		return;
	}
	*w = (struct ward){ .next = k->wards, .keeper = k, .route = r, .backend = b };
	w->fd = -1;
	w->io = (struct ev_io){ .fd = -1, .fn = on_check };
	w->timer.fn = on_ward_timer;
	w->age.fn = on_age;
	k->wards = w;
	w->named = addr_parse(b->name, &a) < 0;
	if (w->named && k->resolver)
		ev_timer_set(k->loop, &w->age, 0);
	if (r->health) /* not all at one time */
		ev_timer_set(k->loop, &w->timer,
			     number * 37 % (unsigned)r->health->interval_ms);
	else if (target_set_up(b->target, true, 0))
		workers_backend_up(k->proxy);
}

static void configure(struct keeper *k, struct config *c)
{
	struct config *old = k->config;
	unsigned number = 0;

	wards_free(k);
	k->config = c;
	(void)resolver_open(k->loop, c->dns ? c->dns->servers : NULL,
			    c->dns ? c->dns->servers_count : 0, &k->resolver);
	for (unsigned i = 0; i < c->listeners_count; i++) {
		struct listener *l = &c->listeners[i];

		for (unsigned j = 0; j < l->routes_count; j++) {
			for (unsigned n = 0; n < l->routes[j].backend_names_count; n++)
				ward_add(k, &l->routes[j], &l->routes[j].backends[n],
					 number++);
		}
	}
	config_put(old);
}

static void on_wake(struct ev_io *io, uint32_t events)
{
	struct keeper *k = container_of(io, struct keeper, wake);
	struct config *c;
	uint64_t n;
	bool stop;

	(void)events;
	(void)!read(k->wake_fd, &n, sizeof(n)); /* only wakes us */
	pthread_mutex_lock(&k->lock);
	c = k->incoming;
	k->incoming = NULL;
	stop = k->stop;
	pthread_mutex_unlock(&k->lock);
	if (c)
		configure(k, c);
	if (stop)
		ev_loop_stop(k->loop);
}

/* --- the thread --- */

static void *keeper_main(void *arg)
{
	struct keeper *k = arg;
	int err = ev_loop_run(k->loop);

	if (err)
		(void)log_errno(err, "the event loop of checks failed");
	return NULL;
}

int keeper_start(struct proxy *p, struct keeper **ret)
{
	struct keeper *k = calloc(1, sizeof(*k));
	int err = -ENOMEM;

	if (!k)
		goto out;
	pthread_mutex_init(&k->lock, NULL);
	k->proxy = p;
	k->wake = (struct ev_io){ .fd = -1, .fn = on_wake };
	k->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	err = k->wake_fd < 0 ? -errno : ev_loop_open(&k->loop);
	if (!err)
		err = ev_io_add(k->loop, &k->wake, k->wake_fd, EPOLLIN);
	if (!err)
		err = -pthread_create(&k->thread, NULL, keeper_main, k);
	if (err)
		goto out;
	k->started = true;
	*ret = k;
	return 0;
out:
	keeper_stop(k);
	return log_errno(err, "cannot start the thread of checks");
}

static void wake(struct keeper *k)
{
	uint64_t one = 1;

	(void)!write(k->wake_fd, &one, sizeof(one)); /* cannot fail below 2^64 */
}

void keeper_configure(struct keeper *k, struct config *c)
{
	pthread_mutex_lock(&k->lock);
	config_put(k->incoming);
	k->incoming = config_get(c);
	pthread_mutex_unlock(&k->lock);
	wake(k);
}

void keeper_stop(struct keeper *k)
{
	if (!k)
		return;
	if (k->started) {
		pthread_mutex_lock(&k->lock);
		k->stop = true;
		pthread_mutex_unlock(&k->lock);
		wake(k);
		pthread_join(k->thread, NULL);
		wards_free(k);
	}
	config_put(k->config);
	config_put(k->incoming);
	ev_loop_close(k->loop);
	if (k->wake_fd >= 0)
		close(k->wake_fd);
	pthread_mutex_destroy(&k->lock);
	free(k);
}
