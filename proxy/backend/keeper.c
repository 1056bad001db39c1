/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A ward for each backend of the configuration: a check (connect, and for TLS a hello
 * that must be answered by one, or where TLS to it is ours its handshake) on its
 * interval, and a look-up of its name when its addresses have lived their time.  A new
 * configuration makes new wards; what was found out stays in the target.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backend/socket.h"
#include "backend/keeper.h"
#include "backend/place.h"
#include "backend/resolve.h"
#include "backend/target.h"
#include "base/ev.h"
#include "base/log.h"
#include "base/sandbox.h"
#include "base/util.h"
#include "book/writer.h"
#include "codec/hello.h"
#include "codec/pp.h"
#include "tls/context.h"
#include "tls/probe.h"

#define TTL_MIN_S   1
#define TTL_MAX_S   3600
#define ASK_AGAIN_S 5 /* after a failure; twice as long after each, up to ... */
#define ASK_MOST_S  60

#define STATUS_LEN  12 /* "HTTP/1.1 200" */
_Static_assert(STATUS_LEN >= HELLO_ANSWER_LEN, "either begins an answer");

struct ward;

/* A check of one address of a backend. */
struct probe {
	struct ward *ward;
	struct addr addr;
	struct ev_io io;
	struct ev_timer timer;	    /* the end of this check */
	int fd;			    /* -1: none is under way */
	bool said;		    /* the hello was sent */
	struct tls_probe *tls;	    /* the handshake, if it is ours */
	uint8_t answer[STATUS_LEN]; /* the first bytes of it */
	unsigned answer_n;
};

struct ward {
	struct ward *next;
	struct keeper *keeper;
	struct route *route;
	struct backend *backend;
	struct ev_timer timer; /* of the next check of all its addresses */
	struct probe *probes;  /* TARGET_ADDRS_MAX of them; NULL: it is not checked */
	/* the name */
	struct ev_timer age;
	bool named;
	unsigned failures; /* to look it up, one after the other */
};

struct keeper {
	struct proxy *proxy;
	struct ev_loop *loop;
	pthread_t thread;
	bool started;
	struct resolver *resolver;
	struct worker tls; /* none, but for contexts of handshakes */
	struct ward *wards;
	struct config *config; /* a reference */
	pthread_mutex_t lock;
	struct config *incoming; /* a reference, under the lock */
	bool stop;
	struct ev_io wake;
	int wake_fd;
};

/* --- checks --- */

static void probe_close(struct probe *p)
{
	if (p->fd < 0)
		return;
	ev_io_del(p->ward->keeper->loop, &p->io);
	ev_timer_del(p->ward->keeper->loop, &p->timer);
	tls_probe_free(p->tls);
	p->tls = NULL;
	close(p->fd);
	p->fd = -1;
}

static void say_state(const struct ward *w)
{
	bool up = target_is_up(w->backend->target);

	log_info("backend %s of route %s is %s", w->backend->name, w->route->name,
		 up ? "up" : "down");
	if (up)
		place_backend_up(w->keeper->proxy);
}

static void probe_result(struct probe *p, bool passed)
{
	struct ward *w = p->ward;
	const struct health *h = w->route->health;
	struct proxy_slot *slot = w->backend->upstream;

	probe_close(p);
	book_add(passed ? &slot->checks_passed : &slot->checks_failed, 1);
	if (target_checked(w->backend->target, &p->addr, passed, h->rise, h->fall,
			   ev_now_ms(w->keeper->loop)))
		say_state(w);
}

/*
 * No check could be made.  Our own shortage says nothing of the backend; but a source
 * that is none of ours fails its clients just as well.
 */
static void probe_not_made(struct probe *p, int err)
{
	const struct ward *w = p->ward;

	log_limited(LOG_WARN, "backend %s of route %s cannot be checked: %s",
		    w->backend->name, w->route->name, strerror(-err));
	if (err == -EADDRNOTAVAIL)
		probe_result(p, false);
}

/* 2.2: checks of a proxy are LOCAL, so that nobody takes us for a client. */
static ssize_t put_local(uint8_t *buf, size_t cap, enum config_send send)
{
	struct pp_info info = { .version = send == CONFIG_SEND_V1 ? PP_V1 : PP_V2,
				.local = true };

	return send == CONFIG_SEND_NONE ? 0 : pp_encode(buf, cap, &info, NULL);
}

/* RFC 9112 3: a request of its own connection. */
static ssize_t put_request(uint8_t *buf, size_t cap, const struct ward *w)
{
	const struct health *h = w->route->health;
	int n = snprintf((char *)buf, cap,
			 "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: tollgate-check\r\n"
			 "Connection: close\r\n\r\n",
			 h->path ? h->path : "/",
			 h->name	    ? h->name
			 : w->backend->path ? "localhost"
					    : w->backend->name);

	return n > 0 && (size_t)n < cap ? n : -EMSGSIZE;
}

static bool probe_say(struct probe *p)
{
	const struct route *r = p->ward->route;
	uint8_t buf[2048];
	ssize_t n = put_local(buf, sizeof(buf), r->send_proxy), m = 0;

	if (n >= 0 && r->health->type == CHECK_TLS && !r->trust)
		m = hello_make(buf + n, sizeof(buf) - (size_t)n, r->health->name);
	else if (n >= 0 && r->health->type == CHECK_HTTP)
		m = put_request(buf + n, sizeof(buf) - (size_t)n, p->ward);
	if (n < 0 || m < 0)
		return false;
	p->said = true;
	return n + m == 0 ||
	       send(p->fd, buf, (size_t)(n + m), MSG_NOSIGNAL | MSG_DONTWAIT) == n + m;
}

/*
 * As dial.c does it for a client, who may have named it; here the check does, or nobody,
 * and then any name is fine.
 */
static int probe_tls(struct probe *p)
{
	const struct route *r = p->ward->route;
	const struct backend_tls *b = r->backend_tls;
	char name[HELLO_NAME_MAX + 1];
	struct stream_target t = { .route = r, .backend = p->ward->backend };
	struct worker *w = &p->ward->keeper->tls;
	int err = w->tls ? 0 : context_open(w);

	backend_own_name(p->ward->backend, name, sizeof(name));
	if (r->health->name)
		(void)snprintf(name, sizeof(name), "%s", r->health->name);
	t.sni = b && b->sni ? b->sni : name;
	t.name = b && b->name ? b->name : t.sni;
	if (err)
		context_close(w);
	return err ? err : tls_probe_new(w, &t, p->fd, &p->tls);
}

/* The handshake goes on. */
static void probe_step(struct probe *p)
{
	const struct ward *w = p->ward;
	const char *why = "";
	bool writes = false;
	int err = p->tls ? 0 : probe_tls(p);

	if (err) {
		probe_close(p);
		probe_not_made(p, err);
		return;
	}
	err = tls_probe_step(p->tls, &writes, &why);
	if (err == -EAGAIN) {
		(void)ev_io_mod(w->keeper->loop, &p->io, writes ? EPOLLOUT : EPOLLIN);
		return;
	}
	if (err)
		log_limited(LOG_WARN, "backend %s of route %s: its check failed: %s",
			    w->backend->name, w->route->name, why);
	probe_result(p, err == 0);
}

static bool is_handshake(const struct route *r)
{
	return r->health->type == CHECK_TLS && r->trust;
}

/* It is connected. */
static void probe_begun(struct probe *p)
{
	const struct ward *w = p->ward;

	if (backend_is_itself(p->fd, &p->addr) || !probe_say(p))
		probe_result(p, false);
	else if (w->route->health->type == CHECK_TCP)
		probe_result(p, true);
	else if (is_handshake(w->route))
		probe_step(p);
	else
		(void)ev_io_mod(w->keeper->loop, &p->io, EPOLLIN);
}

static size_t answer_len(const struct probe *p)
{
	return p->ward->route->health->type == CHECK_HTTP ? STATUS_LEN : HELLO_ANSWER_LEN;
}

static bool answer_is_good(const struct probe *p)
{
	const struct health *h = p->ward->route->health;
	const uint8_t *s = p->answer + 9;
	unsigned status = 0;

	if (h->type != CHECK_HTTP)
		return hello_is_answer(p->answer);
	if (memcmp(p->answer, "HTTP/1.", 7) != 0 || p->answer[8] != ' ')
		return false;
	for (int i = 0; i < 3; i++) {
		if (s[i] < '0' || s[i] > '9')
			return false;
		status = status * 10 + (unsigned)(s[i] - '0');
	}
	return h->status ? status == h->status : status >= 200 && status < 400;
}

static void on_probe(struct ev_io *io, uint32_t events)
{
	struct probe *p = container_of(io, struct probe, io);
	ssize_t n;

	if (events & EPOLLERR) {
		probe_result(p, false);
		return;
	}
	if (!p->said) {
		probe_begun(p);
		return;
	}
	if (p->tls) {
		probe_step(p);
		return;
	}
	n = recv(p->fd, p->answer + p->answer_n, answer_len(p) - p->answer_n,
		 MSG_DONTWAIT);
	if (n <= 0) {
		if (n == 0 || errno != EAGAIN)
			probe_result(p, false);
		return;
	}
	p->answer_n += (unsigned)n;
	if (p->answer_n == answer_len(p))
		probe_result(p, answer_is_good(p));
}

static void on_probe_timer(struct ev_timer *timer)
{
	probe_result(container_of(timer, struct probe, timer), false); /* too long */
}

static void probe_begin(struct probe *p, const struct addr *a)
{
	struct ward *w = p->ward;
	int err;

	p->addr = *a;
	p->said = false;
	p->answer_n = 0;
	err = backend_socket(w->route, w->backend, a);
	if (err < 0) {
		probe_not_made(p, err);
		return;
	}
	p->fd = err;
	if (backend_connect(w->backend, a, p->fd) < 0) {
		probe_result(p, false);
		return;
	}
	err = ev_io_add(w->keeper->loop, &p->io, p->fd, EPOLLOUT);
	if (err) {
		close(p->fd);
		p->fd = -1;
		probe_not_made(p, err);
		return;
	}
	ev_timer_set(w->keeper->loop, &p->timer, w->route->health->timeout_ms);
}

static void on_ward_timer(struct ev_timer *timer)
{
	struct ward *w = container_of(timer, struct ward, timer);
	int64_t interval = w->route->health->interval_ms;
	struct addr addrs[TARGET_ADDRS_MAX];
	unsigned n = target_addresses(w->backend->target, addrs);

	for (unsigned i = 0; i < n; i++) {
		if (w->probes[i].fd < 0)
			probe_begin(&w->probes[i], &addrs[i]);
	}
	ev_timer_set(w->keeper->loop, &w->timer, interval);
	target_set_next_check(w->backend->target, ev_now_ms(w->keeper->loop) + interval);
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
				 ev_now_ms(w->keeper->loop)))
		say_state(w);
	else if (n && !known)
		place_backend_up(w->keeper->proxy);
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
		for (unsigned i = 0; w->probes && i < TARGET_ADDRS_MAX; i++)
			probe_close(&w->probes[i]);
		ev_timer_del(k->loop, &w->timer);
		ev_timer_del(k->loop, &w->age);
		free(w->probes);
		free(w);
	}
}

static bool probes_make(struct ward *w)
{
	w->probes = calloc(TARGET_ADDRS_MAX, sizeof(*w->probes));
	for (unsigned i = 0; w->probes && i < TARGET_ADDRS_MAX; i++) {
		w->probes[i] = (struct probe){ .ward = w, .fd = -1 };
		w->probes[i].io = (struct ev_io){ .fd = -1, .fn = on_probe };
		w->probes[i].timer.fn = on_probe_timer;
	}
	return w->probes != NULL;
}

/* When it would have been checked without the new configuration; a new one not at the
 * same time as all others. */
static int64_t first_check(const struct ward *w, unsigned number)
{
	int64_t interval = w->route->health->interval_ms,
		now = ev_now_ms(w->keeper->loop);
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
	if (!w || (r->health && !probes_make(w))) {
		log_warn("backend %s is not checked: no memory", b->name);
		free(w);
		return;
	}
	k->wards = w;
	w->named = b->named;
	if (w->named && k->resolver)
		ev_timer_set(k->loop, &w->age, 0);
	else if (w->named) /* nobody can be asked, which was logged */
		book_add(&b->upstream->lookups_failed, 1);
	if (r->health)
		ev_timer_set(k->loop, &w->timer, first_check(w, number));
	else if (target_unchecked(b->target, 0))
		place_backend_up(k->proxy);
}

static void configure(struct keeper *k, struct config *c)
{
	struct config *old = k->config;
	unsigned number = 0;

	wards_free(k);
	if (k->tls.tls)
		context_forget(&k->tls);
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
	int err = sandbox_drop();

	if (err)
		(void)log_errno(err, "the thread of checks keeps its capabilities");
	err = ev_loop_run(k->loop);

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
	context_close(&k->tls);
	config_put(k->config);
	config_put(k->incoming);
	ev_loop_close(k->loop);
	if (k->wake_fd >= 0)
		close(k->wake_fd);
	pthread_mutex_destroy(&k->lock);
	free(k);
}
