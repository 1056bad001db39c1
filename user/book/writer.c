/* SPDX-License-Identifier: Apache-2.0 */
/* The proxy's side of the books; see writer.h for what needs privilege and what not. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "base/host.h"
#include "base/log.h"
#include "base/rundir.h"
#include "base/util.h"
#include "book/boundary.h"
#include "book/labels.h"
#include "book/pin.h"
#include "book/places.h"
#include "book/proxy_ring.h"
#include "book/writer.h"

#define LISTENERS_MAX 64 /* as many as the nft book takes */

struct writer {
	struct labels labels;
	struct boundary boundary;
	bool at_home; /* our sockets live where the load watches */
	struct proxy_slot *slots;
	size_t slots_max;
	struct proxy_ends *ends;
	size_t ends_max;
	struct http_book *http;
	size_t http_max;
	struct places places;
	int alive_fd; /* shared lock of all living proxies of the load */
	struct hello_book *hellos;
	struct offender *offenders;
	pthread_mutex_t offenders_lock;
	struct proxy_state *state;
	struct proxy_ring ring;
};

void writer_close(struct writer *w)
{
	if (!w)
		return;
	labels_close(&w->labels);
	if (w->state) {
		if (w->state->pid == (uint64_t)getpid()) /* else a successor's */
			book_set(&w->state->pid, 0);
		munmap(w->state, sizeof(*w->state));
	}
	if (w->slots)
		munmap(w->slots, sizeof(*w->slots) * w->slots_max);
	if (w->ends)
		munmap(w->ends, sizeof(*w->ends) * w->ends_max);
	if (w->http)
		munmap(w->http, sizeof(*w->http) * w->http_max);
	if (w->hellos)
		munmap(w->hellos, sizeof(*w->hellos) * TG_LISTENERS_MAX);
	if (w->offenders)
		munmap(w->offenders, sizeof(*w->offenders) * TG_OFFENDERS_MAX);
	proxy_ring_close(&w->ring);
	places_close(&w->places);
	if (w->alive_fd >= 0)
		close(w->alive_fd);
	boundary_done(&w->boundary);
	free(w);
}

/* Unlike flock(2) it goes from one kind to the other without a moment between. */
static int share(int fd, short type, int how)
{
	struct flock all = { .l_type = type, .l_whence = SEEK_SET };

	return fcntl(fd, how, &all);
}

/* Others have this lock, too, while they live; alone one may have it for itself. */
static bool is_alone(const struct writer *w)
{
	return share(w->alive_fd, F_WRLCK, F_OFD_SETLK) == 0;
}

/* What they had carried is not known, but what was told of their messages is. */
static void leave_http(struct http_book *b)
{
	for (int leg = 0; leg < 2; leg++) {
		uint64_t over = b->connections[leg] + b->left[leg];

		if (b->begun[leg] > over)
			book_add(&b->left[leg], b->begun[leg] - over);
	}
}

/* What a killed proxy left open is over: its sockets died with it. */
static void close_orphans(struct writer *w)
{
	for (size_t i = 1; i < w->http_max; i++) {
		if (w->http[i].used == TG_SLOT_USED)
			leave_http(&w->http[i]);
	}
	for (size_t i = 0; i < w->slots_max && w->slots[i].used != TG_SLOT_NEVER; i++) {
		struct proxy_slot *s = &w->slots[i];
		uint64_t open = s->opened - s->closed;

		if (!open || s->used != TG_SLOT_USED)
			continue;
		book_add(&s->closed, open);
		if (s->ends)
			book_add(&w->ends[s->ends].n[TG_END_PROXY_DIED][TG_SIDE_PROXY],
				 open);
	}
}

/* A pid may have been given to another program since. */
static bool is_proxy(uint64_t pid)
{
	char path[64], *name = NULL;
	size_t len;
	bool is;

	(void)snprintf(path, sizeof(path), "/proc/%llu/comm", (unsigned long long)pid);
	if (pid == 0 || util_read_file(path, 64, &name, &len) < 0)
		return false;
	is = strcmp(name, "tollgate-proxy\n") == 0;
	free(name);
	return is && kill((pid_t)pid, 0) == 0;
}

/* From now on they are ours. */
static void sign(struct proxy_state *st)
{
	book_set(&st->pid, (uint64_t)getpid());
	book_set(&st->started_unix, (uint64_t)time(NULL));
	book_set(&st->heartbeat_ns, util_now_ns());
	book_set(&st->draining, 0);
	book_set(&st->stray_sockets, 0);
	book_set(&st->netns_cookie, host_netns_cookie());
}

/*
 * What a proxy left that was killed.  Not while another lives, such as one whose
 * successor was killed and whose last connections go on: which are whose is not in the
 * book.
 */
static void bury(struct writer *w)
{
	if (w->alive_fd >= 0 && !is_alone(w)) {
		log_warn(
			"another proxy of these books still has connections: what one that "
			"was killed left open stays so in its book until a start without "
			"others");
		return;
	}
	close_orphans(w);
	labels_leave(&w->labels);
	if (w->alive_fd >= 0)
		(void)share(w->alive_fd, F_RDLCK, F_OFD_SETLK);
}

static int take_over(struct writer *w)
{
	struct proxy_state *st = w->state;

	if (is_proxy(st->pid)) {
		log_error(
			"another tollgate-proxy (pid %llu) writes these books; stop it, or "
			"give this one its own with --pins",
			(unsigned long long)st->pid);
		return -EBUSY;
	}
	bury(w);
	if (st->folds & 1) {
		book_add(&st->folds_broken, 1);
		book_add(&st->folds, 1);
	}
	book_set(&st->accept_paused, 0);
	book_set(&st->pipes, 0);
	book_set(&st->buffers, 0);
	sign(st);
	book_add(&st->starts, 1);
	return 0;
}

int writer_running(const struct writer *w, pid_t *ret)
{
	if (!is_proxy(w->state->pid))
		return -ESRCH;
	*ret = (pid_t)w->state->pid;
	return 0;
}

void writer_succeed(struct writer *w)
{
	sign(w->state);
	book_add(&w->state->upgrades, 1);
}

/* In another network namespace than the load there is no packet of ours to compare. */
static int find_home(const char *pins, struct writer *w)
{
	struct meta m;
	__u32 zero = 0;
	int fd, err = pin_open(pins, "meta", &fd);

	if (err)
		return err;
	if (bpf_map_lookup_elem(fd, &zero, &m) < 0)
		err = -errno;
	else if (m.abi_version && m.abi_version != TG_ABI_VERSION)
		err = -EPROTO;
	close(fd);
	w->at_home = !err && (!m.netns_cookie || m.netns_cookie == host_netns_cookie());
	return err;
}

/* Without it nothing is reclaimed, and everything else goes on. */
static int alive(const char *pins)
{
	char dir[RUNDIR_PATH], path[RUNDIR_PATH + 16];
	uint32_t load = pin_map_id(pins, "meta");
	int fd;

	if (!load || rundir_make(load, dir) < 0)
		return -1;
	(void)snprintf(path, sizeof(path), "%s/proxies", dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || share(fd, F_RDLCK, F_OFD_SETLKW) < 0)
		log_warn("names that nobody uses any more will not be reclaimed: %s",
			 strerror(errno));
	return fd;
}

static int open_places(const char *pins, struct writer *w)
{
	w->places.slots = w->slots;
	w->places.slots_max = w->slots_max;
	w->places.ends = w->ends;
	w->places.ends_max = w->ends_max;
	w->places.http = w->http;
	w->places.http_max = w->http_max;
	w->places.hellos = w->hellos;
	w->places.state = w->state;
	return places_open(pins, w->boundary.names_fd, &w->places);
}

int writer_open(const char *pins, bool successor, struct writer **ret)
{
	struct writer *w = calloc(1, sizeof(*w));
	int err;

	if (!w)
		return -ENOMEM;
	pthread_mutex_init(&w->offenders_lock, NULL);
	w->labels.fd = w->alive_fd = -1;
	w->places = (struct places){ .tcp_fd = -1,
				     .wire_fd = -1,
				     .folding_fd = -1,
				     .cursors_fd = -1,
				     .boundary_fd = -1 };
	err = boundary_open(pins, &w->boundary);
	if (!err)
		err = find_home(pins, w);
	if (!err)
		err = pin_map(pins, "proxy_book", sizeof(*w->slots), (void **)&w->slots,
			      &w->slots_max);
	if (!err)
		err = pin_map(pins, "proxy_ends", sizeof(*w->ends), (void **)&w->ends,
			      &w->ends_max);
	if (!err)
		err = pin_map(pins, "proxy_http", sizeof(*w->http), (void **)&w->http,
			      &w->http_max);
	if (!err)
		err = pin_map(pins, "hello_book", sizeof(*w->hellos), (void **)&w->hellos,
			      NULL);
	if (!err)
		err = pin_map(pins, "offenders", sizeof(*w->offenders),
			      (void **)&w->offenders, NULL);
	if (!err)
		err = pin_map(pins, "proxy_state", sizeof(*w->state), (void **)&w->state,
			      NULL);
	if (!err)
		err = labels_open(pins, w->state, &w->labels);
	if (!err)
		err = proxy_ring_open(pins, &w->ring);
	if (!err && !w->slots[0].used)
		w->slots[0].used = 1; /* no row is there: 0 means none in places.h */
	if (!err) /* before what is there is read: from now on nothing is reclaimed */
		w->alive_fd = alive(pins);
	if (!err && !successor)
		err = take_over(w);
	if (!err)
		err = open_places(pins, w);
	if (!err && !successor)
		places_mend(&w->places);
	if (err) {
		if (err == -EBUSY && w->state) { /* not ours to clear */
			munmap(w->state, sizeof(*w->state));
			w->state = NULL;
		}
		writer_close(w);
		return err;
	}
	*ret = w;
	return 0;
}

struct http_book *writer_http(struct writer *w, struct proxy_slot *slot)
{
	return places_http(&w->places, slot);
}

struct hello_book *writer_hellos(struct writer *w, uint16_t listener)
{
	return &w->hellos[listener];
}

static struct offender *offender_place(struct offender *all, const struct offender *who)
{
	struct offender *least = all;

	for (int i = 0; i < TG_OFFENDERS_MAX; i++) {
		if (!all[i].used)
			return &all[i];
		if (all[i].listener == who->listener && all[i].reason == who->reason &&
		    memcmp(all[i].ip, who->ip, sizeof(who->ip)) == 0)
			return &all[i];
		if (all[i].refused < least->refused)
			least = &all[i];
	}
	return least;
}

void writer_offender(struct writer *w, uint16_t listener, enum tg_end reason,
		     const uint8_t ip[16])
{
	struct offender who = { .listener = listener,
				.reason = (uint8_t)reason,
				.used = 1 };
	struct offender *o;

	memcpy(who.ip, ip, sizeof(who.ip));
	pthread_mutex_lock(&w->offenders_lock);
	o = offender_place(w->offenders, &who);
	if (o->used && (o->listener != listener || o->reason != reason ||
			memcmp(o->ip, ip, sizeof(o->ip)) != 0))
		who.over = who.refused = o->refused; /* in the place of the least */
	else if (o->used)
		who = *o;
	who.refused++;
	who.last_ns = util_now_ns();
	*o = who;
	pthread_mutex_unlock(&w->offenders_lock);
}

static unsigned log2_ceil(uint64_t value)
{
	return value > 1 ? 64 - (unsigned)__builtin_clzll(value - 1) : 0;
}

void writer_end(struct writer *w, const struct proxy_slot *slot, enum tg_end reason,
		enum tg_side side)
{
	book_add(&w->ends[slot->ends].n[reason][side], 1);
}

void writer_hist_add(struct tcp_hist *h, unsigned shift, uint64_t value)
{
	unsigned k = log2_ceil(value), bucket = k > shift ? k - shift : 0;

	book_add(&h->sum, value);
	book_add(&h->buckets[bucket < TG_HIST_BUCKETS ? bucket : TG_HIST_BUCKETS - 1], 1);
}

void writer_event(struct writer *w, const struct proxy_event *e)
{
	proxy_ring_put(&w->ring, e);
}

struct proxy_state *writer_state(struct writer *w)
{
	return w->state;
}

int writer_name(struct writer *w, enum tg_name_kind kind, const char *name, uint16_t *ret)
{
	return names_get(&w->places.names, kind, name, ret);
}

struct proxy_slot *writer_slot(struct writer *w, const struct row_key *row)
{
	return places_take(&w->places, row);
}

void writer_slot_put(struct writer *w, struct proxy_slot *slot)
{
	places_put(&w->places, slot);
}

int writer_reclaim(struct writer *w, size_t keep, size_t *ret)
{
	*ret = 0;
	/* another proxy may have added to it, and be gone */
	places_refresh(&w->places);
	if (w->alive_fd < 0)
		return -ENOLCK;
	if (!is_alone(w))
		return -EBUSY;
	*ret = places_reclaim(&w->places, keep);
	(void)share(w->alive_fd, F_RDLCK, F_OFD_SETLK);
	return 0;
}

int writer_label(struct writer *w, int fd, uint32_t *place,
		 const struct sock_label *label)
{
	return labels_set(&w->labels, fd, place, label);
}

int writer_label_listener(struct writer *w, int fd, const struct sock_label *label)
{
	return labels_call(&w->labels, fd, label);
}

void writer_sweep(struct writer *w)
{
	labels_sweep(&w->labels);
}

/* --- listeners --- */

static void listener_to_key(const struct writer_listener *l, struct listener_key *ret)
{
	memset(ret, 0, sizeof(*ret));
	memcpy(ret->addr, l->addr.ip, 16);
	ret->port = l->addr.port;
}

static bool is_listed(const struct listener_key *key, const struct writer_listener *l,
		      size_t n)
{
	struct listener_key own;

	for (size_t i = 0; i < n; i++) {
		listener_to_key(&l[i], &own);
		if (memcmp(key, &own, sizeof(own)) == 0)
			return true;
	}
	return false;
}

/* Addresses that nobody listens on any more.  Their counters stay until the name goes. */
void writer_forget_others(struct writer *w, const struct writer_listener *l, size_t n)
{
	struct listener_key keys[TG_LISTENERS_MAX];
	size_t keys_n = 0;
	bool any = false;

	while (keys_n < TG_LISTENERS_MAX &&
	       bpf_map_get_next_key(w->boundary.listeners_fd,
				    keys_n ? &keys[keys_n - 1] : NULL,
				    &keys[keys_n]) == 0)
		keys_n++;
	for (size_t i = 0; i < keys_n; i++) {
		if (is_listed(&keys[i], l, n))
			continue;
		(void)boundary_listener(&w->boundary, &keys[i], NULL);
		any = true;
	}
	if (any && w->at_home)
		(void)boundary_apply(&w->boundary);
}

static void forget_fresh(struct writer *w, const struct writer_listener *l,
			 const bool *fresh, size_t n)
{
	struct listener_key key;

	for (size_t i = 0; i < n; i++) {
		listener_to_key(&l[i], &key);
		if (fresh[i])
			(void)boundary_listener(&w->boundary, &key, NULL);
	}
}

int writer_listeners(struct writer *w, const struct writer_listener *l, size_t n)
{
	bool fresh[LISTENERS_MAX] = { false };
	struct listener_val val;
	struct listener_key key;
	uint16_t id;
	int err;

	if (n > LISTENERS_MAX) {
		log_error("%zu listeners; at most %d", n, LISTENERS_MAX);
		return -E2BIG;
	}
	for (size_t i = 0; i < n; i++) {
		if (writer_name(w, TG_NAME_LISTENER, l[i].name, &id) < 0) {
			log_error("no place for the name of listener '%s': more than %d "
				  "listeners since the load",
				  l[i].name, TG_LISTENERS_MAX - 1);
			return -ENOSPC;
		}
		listener_to_key(&l[i], &key);
		fresh[i] =
			bpf_map_lookup_elem(w->boundary.listeners_fd, &key, &val) < 0 ||
			val.id != id || val.dual != (uint32_t)l[i].dual;
		if (!fresh[i])
			continue;
		memset(&val, 0, sizeof(val));
		val.id = id;
		val.dual = (uint32_t)l[i].dual;
		err = boundary_listener(&w->boundary, &key, &val);
		if (err)
			return log_errno(err, "cannot register listener '%s'", l[i].name);
	}
	if (!w->at_home) {
		log_warn("the books were loaded in another network namespace: continuing "
			 "without wire and nft book");
		return 0;
	}
	err = boundary_apply(&w->boundary);
	if (err == -ENOENT) {
		log_warn("no nft table '%s %s' here: continuing without the nft book",
			 nft_family_name(w->boundary.family), w->boundary.table);
		return 0;
	}
	if (err) {
		forget_fresh(w, l, fresh,
			     n); /* or they would not be measured next time */
		return log_errno(err, "cannot set the nft rules of the listeners");
	}
	for (size_t i = 0; i < n; i++) {
		listener_to_key(&l[i], &key);
		if (!fresh[i])
			continue;
		err = boundary_measure(&w->boundary, &key, l[i].name);
		if (err) {
			forget_fresh(w, l, fresh, n);
			return log_errno(err, "cannot compare the books of listener '%s'",
					 l[i].name);
		}
	}
	return 0;
}

struct proxy_slot *writer_process(struct writer *w)
{
	return &w->slots[0];
}
