/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A ward for each backend of the configuration: checks of its addresses (probe.c) on its
 * interval, and a look-up of its name when its addresses have lived their time.  A new
 * configuration makes new wards; what was found out stays in the target.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "backend/keeper.h"
#include "backend/place.h"
#include "backend/probe.h"
#include "backend/resolve.h"
#include "backend/target.h"
#include "base/ev.h"
#include "base/log.h"
#include "base/sandbox.h"
#include "base/util.h"
#include "book/writer.h"
#include "tls/context.h"

#define TTL_MIN_S   1
#define TTL_MAX_S   3600
#define ASK_AGAIN_S 5 /* after a failure; twice as long after each, up to ... */
#define ASK_MOST_S  60

struct ward;

/* A check of one address. */
struct watch {
	struct ward *ward;
	struct probe probe;
};

struct ward {
	struct ward *next;
	struct keeper *keeper;
	struct route *route;
	struct backend *backend;
	struct ev_timer timer; /* of the next check of all its addresses */
	struct watch *watches; /* TARGET_ADDRS_MAX of them; NULL: it is not checked */
	/* the name */
	struct ev_timer age;
	bool named;
	unsigned failures; /* to look it up, one after the other */
};

struct keeper {
	struct proxy *proxy;
	struct prober prober;
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

static void say_state(const struct ward *w)
{
	bool up = target_is_up(w->backend->target);

	log_info("backend %s of route %s is %s", w->backend->name, w->route->name,
		 up ? "up" : "down");
	if (up)
		place_backend_up(w->keeper->proxy);
}

static void on_checked(struct probe *p, bool passed)
{
	struct watch *x = container_of(p, struct watch, probe);
	struct ward *w = x->ward;
	const struct health *h = w->route->health;
	struct proxy_slot *slot = w->backend->upstream;

	book_add(passed ? &slot->checks_passed : &slot->checks_failed, 1);
	if (target_checked(w->backend->target, &p->addr, passed, h->rise, h->fall,
			   ev_now_ms(w->keeper->prober.loop)))
		say_state(w);
}

static void on_ward_timer(struct ev_timer *timer)
{
	struct ward *w = container_of(timer, struct ward, timer);
	int64_t interval = w->route->health->interval_ms;
	struct addr addrs[TARGET_ADDRS_MAX];
	unsigned n = target_addresses(w->backend->target, addrs);

	for (unsigned i = 0; i < n; i++)
		probe_begin(&w->watches[i].probe, &addrs[i]);
	ev_timer_set(w->keeper->prober.loop, &w->timer, interval);
	target_set_next_check(w->backend->target,
			      ev_now_ms(w->keeper->prober.loop) + interval);
}

/* --- names --- */

/* Sooner or later; the first failures are asked again soon. */
static int again_s(const struct ward *w)
{
	unsigned doubled = w->failures > 4 ? 4 : w->failures ? w->failures - 1 : 0;
	int seconds = ASK_AGAIN_S << doubled;

	return seconds > ASK_MOST_S ? ASK_MOST_S : seconds;
}

static void on_addresses(void *arg, const struct addr *addrs, unsigned n, int ttl_s,
			 const char *why)
{
	struct ward *w = arg;
	bool known = target_has_address(w->backend->target);
	int seconds = ttl_s;

	if (n == 0) {
		/* what was known goes on to serve */
		if (w->failures++ == 0)
			log_warn(
				"backend %s of route %s: its name cannot be looked up: %s; %s",
				w->backend->name, w->route->name, why,
				known ? "the addresses that are known go on to serve"
				      : "it is asked for again");
		book_add(&w->backend->upstream->lookups_failed, 1);
		seconds = again_s(w);
	} else {
		if (w->failures)
			log_info("backend %s of route %s: its name is known again",
				 w->backend->name, w->route->name);
		w->failures = 0;
	}
	if (target_set_addresses(w->backend->target, addrs, n,
				 ev_now_ms(w->keeper->prober.loop)))
		say_state(w);
	else if (n && !known)
		place_backend_up(w->keeper->proxy);
	seconds = seconds < TTL_MIN_S ? TTL_MIN_S : seconds;
	seconds = seconds > TTL_MAX_S ? TTL_MAX_S : seconds;
	ev_timer_set(w->keeper->prober.loop, &w->age, (int64_t)seconds * 1000);
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
		for (unsigned i = 0; w->watches && i < TARGET_ADDRS_MAX; i++)
			probe_stop(&w->watches[i].probe);
		ev_timer_del(k->prober.loop, &w->timer);
		ev_timer_del(k->prober.loop, &w->age);
		free(w->watches);
		free(w);
	}
}

static bool watches_make(struct ward *w)
{
	w->watches = calloc(TARGET_ADDRS_MAX, sizeof(*w->watches));
	for (unsigned i = 0; w->watches && i < TARGET_ADDRS_MAX; i++) {
		w->watches[i].ward = w;
		probe_init(&w->watches[i].probe, &w->keeper->prober, w->route, w->backend,
			   on_checked);
	}
	return w->watches != NULL;
}

/* When it would have been checked without the new configuration; a new one not at the
 * same time as all others. */
static int64_t first_check(const struct ward *w, unsigned number)
{
	int64_t interval = w->route->health->interval_ms,
		now = ev_now_ms(w->keeper->prober.loop);
	int64_t next = target_next_check(w->backend->target);

	if (!next)
		return number * 37 % (unsigned)interval;
	return next <= now ? 0 : next - now < interval ? next - now : interval;
}

static void ward_add(struct keeper *k, struct route *r, struct backend *b,
		     unsigned number)
{
	struct ward *w = calloc(1, sizeof(*w));

	if (w) {
		*w = (struct ward){
			.next = k->wards, .keeper = k, .route = r, .backend = b
		};
		w->timer.fn = on_ward_timer;
		w->age.fn = on_age;
	}
	if (!w || (r->health && !watches_make(w))) {
		log_warn("backend %s is not checked: no memory", b->name);
		free(w);
		return;
	}
	k->wards = w;
	w->named = b->named;
	if (w->named && k->resolver)
		ev_timer_set(k->prober.loop, &w->age, 0);
	else if (w->named) /* nobody can be asked, which was logged */
		book_add(&b->upstream->lookups_failed, 1);
	if (r->health)
		ev_timer_set(k->prober.loop, &w->timer, first_check(w, number));
	else if (target_unchecked(b->target, 0))
		place_backend_up(k->proxy);
}

static void configure(struct keeper *k, struct config *c)
{
	struct config *old = k->config;
	unsigned number = 0;

	wards_free(k);
	if (k->prober.tls.tls)
		context_forget(&k->prober.tls);
	k->config = c;
	(void)resolver_open(k->prober.loop, c->dns ? c->dns->servers : NULL,
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
		ev_loop_stop(k->prober.loop);
}

/* --- the thread --- */

static void *keeper_main(void *arg)
{
	struct keeper *k = arg;
	int err = sandbox_drop();

	if (err)
		(void)log_errno(err, "the thread of checks keeps its capabilities");
	err = ev_loop_run(k->prober.loop);

	if (err) { /* every backend would stay as it is for ever, and all look well */
		(void)log_errno(err, "the event loop of checks failed");
		_exit(EXIT_FAILURE);
	}
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
	err = k->wake_fd < 0 ? -errno : ev_loop_open(&k->prober.loop);
	if (!err)
		err = ev_io_add(k->prober.loop, &k->wake, k->wake_fd, EPOLLIN);
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
	context_close(&k->prober.tls);
	config_put(k->config);
	config_put(k->incoming);
	ev_loop_close(k->prober.loop);
	if (k->wake_fd >= 0)
		close(k->wake_fd);
	pthread_mutex_destroy(&k->lock);
	free(k);
}
