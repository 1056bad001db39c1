/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "base/log.h"
#include "base/util.h"
#include "book/records.h"
#include "events.h"
#include "flows.h"

#define POLL_MS	     1000
#define TURN_RECORDS 256

struct events {
	struct records *records;
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

/* --- one record --- */

static const char *reason_name(const struct record *r)
{
	return r->reason < TG_CLOSE_MAX	     ? tg_close_names[r->reason]
	       : r->reason == TG_RECORD_IDLE ? "idle"
					     : "ended";
}

static const char *side_name(const struct record *r)
{
	return r->reason < TG_CLOSE_MAX ? tg_close_sides[r->reason] : "none";
}

static void set(json_t *o, const char *key, uint64_t value)
{
	json_object_set_new(o, key, json_integer((json_int_t)value));
}

static void set_name(struct events *e, json_t *o, const char *key, enum tg_name_kind kind,
		     uint16_t id)
{
	char name[TG_NAME_LEN];

	book_name(e->book, kind, id, name);
	json_object_set_new(o, key, json_string(name));
}

static void set_counts(json_t *o, const struct record *r)
{
	const struct tcp_counts *c = &r->counts;

	set(o, "rx_payload_bytes", c->rx_payload_bytes);
	set(o, "tx_payload_bytes", c->tx_payload_bytes);
	set(o, "tx_acked_bytes", c->tx_acked_bytes);
	set(o, "tx_retransmitted_bytes", c->tx_retransmitted_bytes);
	set(o, "rx_segments", c->rx_segments);
	set(o, "tx_segments", c->tx_segments);
	if (r->adopted) {
		set(o, "before_load_rx_payload_bytes", r->baseline.rx_payload_bytes);
		set(o, "before_load_tx_payload_bytes", r->baseline.tx_payload_bytes);
	}
	if (r->has_wire) {
		set(o, "rx_packets", r->wire[TG_RX].packets);
		set(o, "tx_packets", r->wire[TG_TX].packets);
		set(o, "rx_l3_bytes", r->wire[TG_RX].l3_bytes);
		set(o, "tx_l3_bytes", r->wire[TG_TX].l3_bytes);
		set(o, "rx_frame_bytes", r->wire[TG_RX].frame_bytes);
		set(o, "tx_frame_bytes", r->wire[TG_TX].frame_bytes);
	}
}

/* Seconds since the epoch of a moment of CLOCK_MONOTONIC. */
static double wall_time(uint64_t ns)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9 -
	       ((double)util_now_ns() - (double)ns) / 1e9;
}

static json_t *record_json(struct events *e, const struct record *r)
{
	char local[ADDR_STR_MAX], remote[ADDR_STR_MAX];
	json_t *o;

	o = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:f, s:f, s:f, s:b}",
		      "protocol", protocol_name(r->key.proto), "local",
		      flow_end_format(r->key.local, r->key.local_port, local), "remote",
		      flow_end_format(r->key.remote, r->key.remote_port, remote), "role",
		      r->role == TG_ROLE_ACCEPTED ? "accepted" : "connected", "leg",
		      tg_leg_names[r->row.leg < TG_LEG_MAX ? r->row.leg : 0], "reason",
		      reason_name(r), "side", side_name(r), "opened",
		      wall_time(r->opened_ns), "closed", wall_time(r->closed_ns),
		      "duration_seconds", (double)(r->closed_ns - r->opened_ns) / 1e9,
		      "adopted", r->adopted != 0);
	if (!o)
		return NULL;
	set_name(e, o, "listener", TG_NAME_LISTENER, r->row.listener);
	set_name(e, o, "route", TG_NAME_ROUTE, r->row.route);
	set_name(e, o, "backend", TG_NAME_BACKEND, r->row.backend);
	set_counts(o, r);
	set(o, "srtt_us", r->srtt_us);
	set(o, "min_rtt_us", r->min_rtt_us);
	set(o, "handshake_us", r->handshake_us);
	set(o, "generation", r->generation);
	set(o, "netns_cookie", r->key.netns_cookie);
	return o;
}

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

static int on_record(const struct record *r, void *arg)
{
	struct events *e = arg;
	json_t *o = record_json(e, r);
	char *line = o ? json_dumps(o, JSON_COMPACT) : NULL;
	char **place;
	size_t len;

	json_decref(o);
	if (!line)
		return 0;
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
	/* now and then the others have their turn, however fast records come */
	return ++e->turn % TURN_RECORDS == 0 || atomic_load(&e->stop);
}

static void *reader(void *arg)
{
	static const struct timespec pause = { .tv_sec = 1 };
	struct events *e = arg;
	int n;

	while (!atomic_load(&e->stop)) {
		n = records_poll(e->records, POLL_MS);
		if (n < 0) {
			(void)log_errno(n, "cannot read the records; trying again");
			(void)nanosleep(&pause, NULL);
		}
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
