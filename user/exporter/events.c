/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "base/log.h"
#include "base/util.h"
#include "book/proxy_ring.h"
#include "book/records.h"
#include "exporter/events.h"
#include "show/event_json.h"

#define POLL_MS	     200 /* the proxy's ring wakes nobody */
#define TURN_RECORDS 256

enum book_kind { OF_PROXY, OF_TCP, OF_WIRE, OF_MAX };

static const char *const kind_names[OF_MAX] = { "proxy", "tcp", "wire" };

/* What is kept of a record: its line, and what it is found by. */
struct kept {
	uint64_t number;
	char *line;
	double closed;
	uint16_t listener;
	uint8_t ips[3][16]; /* of both ends, and of the client that a header named */
	__be16 ports[3];
};

/* The last ones of a book: number n of the book is at n modulo opts.keep. */
struct shelf {
	struct kept *places;
	uint64_t n;
};

struct events {
	struct records *records;
	struct proxy_ring ring;
	struct book *book;
	struct events_opts opts;
	pthread_t thread;
	bool started;
	atomic_bool stop;
	void (*on_new)(void *arg);
	void *arg;
	pthread_mutex_t lock; /* of the shelves */
	struct shelf shelves[OF_MAX];
	uint64_t newest;
	uint64_t epoch;
	uint64_t turn;
	int file;  /* -1: none */
	bool torn; /* its last line is not whole */
	atomic_bool reopen;
	uint64_t file_bytes;
	atomic_uint_fast64_t file_errors;
};

/* --- the file --- */

static int file_open(struct events *e)
{
	struct stat st;

	if (!e->opts.file)
		return 0;
	if (strcmp(e->opts.file, "-") == 0) {
		e->file = STDOUT_FILENO;
		return 0;
	}
	e->file = open(e->opts.file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
	if (e->file < 0 || fstat(e->file, &st) < 0)
		return -errno;
	e->file_bytes = (uint64_t)st.st_size;
	return 0;
}

static void file_close(struct events *e)
{
	if (e->file > STDOUT_FILENO)
		close(e->file);
	e->file = -1;
}

/* PATH.2 to PATH.3, PATH.1 to PATH.2, PATH to PATH.1; the oldest goes. */
static int file_shift(struct events *e)
{
	char from[4096], to[4096];

	for (unsigned i = e->opts.file_keep; i > 0; i--) {
		(void)snprintf(to, sizeof(to), "%s.%u", e->opts.file, i);
		if (i > 1)
			(void)snprintf(from, sizeof(from), "%s.%u", e->opts.file, i - 1);
		else
			(void)snprintf(from, sizeof(from), "%s", e->opts.file);
		if (rename(from, to) < 0 && errno != ENOENT)
			return -errno;
	}
	return e->opts.file_keep == 0 && unlink(e->opts.file) < 0 ? -errno : 0;
}

static void file_error(struct events *e, int err, const char *what)
{
	if (atomic_fetch_add(&e->file_errors, 1) == 0)
		(void)log_errno(err, "%s %s", what, e->opts.file);
}

/* If that fails the old file goes on, and is tried again when it has grown once more. */
static void file_rotate(struct events *e)
{
	int err = file_shift(e);

	if (err) {
		file_error(e, err, "cannot rotate");
		e->file_bytes = 0;
		return;
	}
	file_close(e);
	err = file_open(e);
	if (err)
		file_error(e, err, "cannot open");
}

/* A line is there as a whole or not at all: what a full disk took of it goes again. */
static void file_mend(struct events *e, ssize_t n, off_t whole)
{
	if (n <= 0)
		return;
	if (e->file > STDOUT_FILENO && ftruncate(e->file, whole) == 0)
		return;
	e->torn = true; /* a pipe: at least the next one begins a new line */
}

/* It was moved away: from now on another takes its place. */
static void file_reopen(struct events *e)
{
	int err;

	if (!atomic_exchange(&e->reopen, false) || !e->opts.file ||
	    e->file == STDOUT_FILENO)
		return;
	file_close(e);
	err = file_open(e);
	if (err)
		file_error(e, err, "cannot open");
}

/* line ends with a newline. */
static void file_write(struct events *e, const char *line, size_t len)
{
	struct stat st = { 0 };
	ssize_t n;

	if (!e->opts.file)
		return;
	if (e->file > STDOUT_FILENO && e->opts.file_size && e->file_bytes &&
	    e->file_bytes + len > e->opts.file_size)
		file_rotate(e);
	if (e->file < 0 && file_open(e) < 0) {
		atomic_fetch_add(&e->file_errors, 1);
		return;
	}
	if (e->torn && write(e->file, "\n", 1) == 1)
		e->torn = false;
	(void)fstat(e->file, &st);
	n = write(e->file, line, len);
	if (n == (ssize_t)len) {
		e->file_bytes += (uint64_t)n;
		return;
	}
	file_error(e, n < 0 ? -errno : -ENOSPC, "cannot write to");
	file_mend(e, n, st.st_size);
}

/* --- memory --- */

/* Takes o; NULL is one that could not be made, for want of memory. */
static void keep(struct events *e, enum book_kind kind, json_t *o, struct kept *k)
{
	struct shelf *shelf = &e->shelves[kind];
	struct kept *place;
	size_t len;

	k->line = o ? json_dumps(o, JSON_COMPACT) : NULL;
	if (o)
		k->closed = json_number_value(json_object_get(o, "closed"));
	json_decref(o);
	if (!k->line)
		return;
	len = strlen(k->line);
	k->line[len] = '\n'; /* in the place of its end */
	file_write(e, k->line, len + 1);
	k->line[len] = '\0';
	pthread_mutex_lock(&e->lock);
	k->number = ++e->newest;
	place = &shelf->places[++shelf->n % e->opts.keep];
	free(place->line);
	*place = *k;
	pthread_mutex_unlock(&e->lock);
}

static void set_end(struct kept *k, int i, const uint8_t ip[16], __be16 port)
{
	memcpy(k->ips[i], ip, 16);
	k->ports[i] = port;
}

static int on_record(const struct record *r, void *arg)
{
	struct events *e = arg;
	struct kept k = { .listener = r->row.listener };

	set_end(&k, 0, r->key.local, r->key.local_port);
	set_end(&k, 1, r->key.remote, r->key.remote_port);
	set_end(&k, 2, r->key.remote, r->key.remote_port);
	keep(e,
	     r->key.proto == IPPROTO_TCP && r->reason < TG_CLOSE_MAX ? OF_TCP : OF_WIRE,
	     event_json_record(e->book, r), &k);
	/* now and then the others have their turn, however fast records come */
	return ++e->turn % TURN_RECORDS == 0 || atomic_load(&e->stop);
}

/* True if there may be more. */
static bool take_proxy_events(struct events *e)
{
	struct proxy_event event;
	struct kept k;

	for (int i = 0; i < TURN_RECORDS; i++) {
		if (!proxy_ring_take(&e->ring, util_now_ns(), &event))
			return false;
		k = (struct kept){ .listener = event.listener };
		set_end(&k, 0, event.down.local, event.down.local_port);
		set_end(&k, 1, event.down.remote, event.down.remote_port);
		set_end(&k, 2, event.client, event.client_port);
		keep(e, OF_PROXY, event_json_proxy(e->book, &event), &k);
	}
	return true;
}

static void *reader(void *arg)
{
	static const struct timespec pause = { .tv_sec = 1 };
	struct events *e = arg;
	bool more = false;
	int n;

	while (!atomic_load(&e->stop)) {
		file_reopen(e);
		n = records_poll(e->records, more ? 0 : POLL_MS);
		if (n < 0) {
			(void)log_errno(n, "cannot read the records; trying again");
			(void)nanosleep(&pause, NULL);
		}
		more = take_proxy_events(e);
		e->on_new(e->arg);
	}
	return NULL;
}

int events_open(const char *pins, struct book *book, const struct events_opts *opts,
		struct events **ret)
{
	struct events *e = calloc(1, sizeof(*e));
	int err;

	if (!e)
		return -ENOMEM;
	e->opts = *opts;
	e->file = -1;
	e->book = book;
	pthread_mutex_init(&e->lock, NULL);
	err = getrandom(&e->epoch, sizeof(e->epoch), 0) < 0 ? -errno : 0;
	for (int i = 0; i < OF_MAX && !err; i++) {
		e->shelves[i].places = calloc(opts->keep, sizeof(struct kept));
		err = e->shelves[i].places ? 0 : -ENOMEM;
	}
	if (!err)
		err = records_open(pins, on_record, e, &e->records);
	if (!err)
		err = proxy_ring_open(pins, &e->ring);
	if (err) {
		events_close(e);
		return err;
	}
	*ret = e;
	return 0;
}

int events_start(struct events *e, void (*on_new)(void *arg), void *arg)
{
	int err;

	e->on_new = on_new;
	e->arg = arg;
	err = file_open(e);
	if (err)
		return log_errno(err, "cannot open %s for events", e->opts.file);
	err = pthread_create(&e->thread, NULL, reader, e);
	if (err)
		return log_errno(-err, "cannot start a thread");
	e->started = true;
	return 0;
}

void events_stop(struct events *e)
{
	atomic_store(&e->stop, true);
	if (e->started)
		pthread_join(e->thread, NULL);
	e->started = false;
}

void events_close(struct events *e)
{
	if (!e)
		return;
	events_stop(e);
	file_close(e);
	records_close(e->records);
	proxy_ring_close(&e->ring);
	for (int k = 0; k < OF_MAX; k++) {
		for (size_t i = 0; e->shelves[k].places && i < e->opts.keep; i++)
			free(e->shelves[k].places[i].line);
		free(e->shelves[k].places);
	}
	pthread_mutex_destroy(&e->lock);
	free(e);
}

uint64_t events_newest(struct events *e)
{
	uint64_t newest;

	pthread_mutex_lock(&e->lock);
	newest = e->newest;
	pthread_mutex_unlock(&e->lock);
	return newest;
}

uint64_t events_epoch(const struct events *e)
{
	return e->epoch;
}

void events_reopen(struct events *e)
{
	atomic_store(&e->reopen, true);
}

/* --- looking for some --- */

static bool has_end(const struct kept *k, const struct events_filter *f)
{
	for (int i = 0; i < 3; i++) {
		if ((!f->by_ip || memcmp(k->ips[i], f->ip, 16) == 0) &&
		    (!f->port || k->ports[i] == f->port))
			return true;
	}
	return false;
}

static bool is_wanted(const struct events *e, const struct kept *k,
		      const struct events_filter *f)
{
	char name[TG_NAME_LEN];

	if ((f->by_ip || f->port) && !has_end(k, f))
		return false;
	if (k->closed < f->since)
		return false;
	if (!f->listener)
		return true;
	book_name(e->book, TG_NAME_LISTENER, k->listener, name);
	return strcmp(name, f->listener) == 0;
}

/* The oldest number of a shelf that is in memory, of the shelf's own numbers. */
static uint64_t oldest_of(const struct events *e, const struct shelf *s)
{
	return s->n > e->opts.keep ? s->n - e->opts.keep + 1 : 1;
}

/* Under the lock: the first on this shelf behind `after`; NULL if there is none. */
static const struct kept *shelf_next(const struct events *e, const struct shelf *s,
				     const struct events_filter *f, uint64_t after)
{
	uint64_t low = oldest_of(e, s), high = s->n + 1;

	while (low < high) { /* numbers rise along the shelf */
		uint64_t mid = low + (high - low) / 2;

		if (s->places[mid % e->opts.keep].number <= after)
			low = mid + 1;
		else
			high = mid;
	}
	for (; low <= s->n; low++) {
		const struct kept *k = &s->places[low % e->opts.keep];

		if (is_wanted(e, k, f))
			return k;
	}
	return NULL;
}

/* Under the lock: of numbers in (after, until) how many are on no shelf any more. */
static uint64_t count_lost(const struct events *e, uint64_t after, uint64_t until)
{
	uint64_t there = 0;

	for (int i = 0; i < OF_MAX; i++) {
		const struct shelf *s = &e->shelves[i];

		for (uint64_t n = oldest_of(e, s); n <= s->n; n++) {
			uint64_t number = s->places[n % e->opts.keep].number;

			there += number > after && number < until;
		}
	}
	return until - after - 1 - there;
}

char *events_next(struct events *e, const struct events_filter *f, uint64_t after,
		  uint64_t *ret_number, uint64_t *ret_lost)
{
	const struct kept *next = NULL, *k;
	char *line = NULL;

	pthread_mutex_lock(&e->lock);
	for (int i = 0; i < OF_MAX; i++) {
		if (f->book && strcmp(f->book, kind_names[i]) != 0)
			continue;
		k = shelf_next(e, &e->shelves[i], f, after);
		if (k && (!next || k->number < next->number))
			next = k;
	}
	if (next) {
		*ret_number = next->number;
		/* mostly it is the next, and there is nothing to look for */
		if (ret_lost)
			*ret_lost = next->number == after + 1
					    ? 0
					    : count_lost(e, after, next->number);
		line = strdup(next->line);
	}
	pthread_mutex_unlock(&e->lock);
	return line;
}

uint64_t events_before_last(struct events *e, const struct events_filter *f,
			    uint64_t last)
{
	uint64_t at[OF_MAX], before;

	pthread_mutex_lock(&e->lock);
	before = e->newest;
	for (int i = 0; i < OF_MAX; i++)
		at[i] = e->shelves[i].n;
	while (last > 0) { /* backwards, the newest of all shelves first */
		const struct kept *newest = NULL;
		int from = -1;

		for (int i = 0; i < OF_MAX; i++) {
			const struct shelf *s = &e->shelves[i];
			const struct kept *k = &s->places[at[i] % e->opts.keep];

			if (at[i] < oldest_of(e, s) ||
			    (f->book && strcmp(f->book, kind_names[i]) != 0) ||
			    (newest && k->number < newest->number))
				continue;
			newest = k;
			from = i;
		}
		if (!newest)
			break;
		at[from]--;
		if (is_wanted(e, newest, f)) {
			before = newest->number - 1;
			last--;
		}
	}
	pthread_mutex_unlock(&e->lock);
	return before;
}

uint64_t events_file_errors(struct events *e)
{
	return atomic_load(&e->file_errors);
}
