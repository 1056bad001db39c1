/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "base/log.h"
#include "base/util.h"
#include "book/proxy_ring.h"
#include "book/records.h"
#include "event_json.h"
#include "events.h"

#define POLL_MS	     200 /* the proxy's ring wakes nobody */
#define TURN_RECORDS 256

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
	pthread_mutex_t lock; /* of the lines */
	char **lines;	      /* number n is at n modulo opts.keep */
	uint64_t newest;
	uint64_t turn;
	int file; /* -1: none */
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

/* line ends with a newline and is written whole or, on a full disk, not counted. */
static void file_write(struct events *e, const char *line, size_t len)
{
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
	n = write(e->file, line, len);
	if (n > 0)
		e->file_bytes += (uint64_t)n;
	if (n != (ssize_t)len)
		file_error(e, n < 0 ? -errno : -ENOSPC, "cannot write to");
}

/* --- memory --- */

/* Takes o; NULL is one that could not be made, for want of memory. */
static void keep(struct events *e, json_t *o)
{
	char *line = o ? json_dumps(o, JSON_COMPACT) : NULL;
	char **place;
	size_t len;

	json_decref(o);
	if (!line)
		return;
	len = strlen(line);
	line[len] = '\n'; /* in the place of its end */
	file_write(e, line, len + 1);
	line[len] = '\0';
	pthread_mutex_lock(&e->lock);
	e->newest++;
	place = &e->lines[e->newest % e->opts.keep];
	free(*place);
	*place = line;
	pthread_mutex_unlock(&e->lock);
}

static int on_record(const struct record *r, void *arg)
{
	struct events *e = arg;

	keep(e, event_json_record(e->book, r));
	/* now and then the others have their turn, however fast records come */
	return ++e->turn % TURN_RECORDS == 0 || atomic_load(&e->stop);
}

/* True if there may be more. */
static bool take_proxy_events(struct events *e)
{
	struct proxy_event event;

	for (int i = 0; i < TURN_RECORDS; i++) {
		if (!proxy_ring_take(&e->ring, util_now_ns(), &event))
			return false;
		keep(e, event_json_proxy(e->book, &event));
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
	e->lines = calloc(opts->keep, sizeof(*e->lines));
	err = e->lines ? records_open(pins, on_record, e, &e->records) : -ENOMEM;
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

void events_close(struct events *e)
{
	if (!e)
		return;
	atomic_store(&e->stop, true);
	if (e->started)
		pthread_join(e->thread, NULL);
	file_close(e);
	records_close(e->records);
	proxy_ring_close(&e->ring);
	for (size_t i = 0; e->lines && i < e->opts.keep; i++)
		free(e->lines[i]);
	free(e->lines);
	pthread_mutex_destroy(&e->lock);
	free(e);
}

uint64_t events_newest(struct events *e, uint64_t *ret_oldest)
{
	uint64_t newest;

	pthread_mutex_lock(&e->lock);
	newest = e->newest;
	*ret_oldest = newest > e->opts.keep ? newest - e->opts.keep + 1 : 1;
	pthread_mutex_unlock(&e->lock);
	return newest;
}

char *events_line(struct events *e, uint64_t number)
{
	char *line = NULL;

	pthread_mutex_lock(&e->lock);
	if (number && number <= e->newest && number + e->opts.keep > e->newest)
		line = strdup(e->lines[number % e->opts.keep]);
	pthread_mutex_unlock(&e->lock);
	return line;
}

uint64_t events_file_errors(struct events *e)
{
	return atomic_load(&e->file_errors);
}
