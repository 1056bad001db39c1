/* SPDX-License-Identifier: Apache-2.0 */
/* A configuration that is kept in a store: at the start, in an upgrade, and meanwhile. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sandbox.h"
#include "base/util.h"
#include "config/faults.h"
#include "process/daemon.h"
#include "state/merge.h"
#include "tls/certs.h"

#define PROBE_NS (60 * 1000000000ull)
#define AGAIN_NS (10 * 1000000000ull)

/* What the process does by itself. */
static void begin_change(struct stored_start *s, const char *what)
{
	s->change = (struct store_change){ .at = time(NULL),
					   .uid = getuid(),
					   .login = (uid_t)-1,
					   .pid = getpid(),
					   .program = "tollgate-proxy",
					   .what = what,
					   .message = "",
					   .differences = "",
					   .done = true };
	s->how = (struct state_saving){ .source = SOURCE_FILE,
					.file = s->file,
					.change = &s->change };
}

/* The file with what the API has made beside it, if that is another than `text`. */
static void merge(struct daemon *d, struct stored_start *s, char **text)
{
	struct faults f = { .n = 0 };
	bool same;
	char *merged;
	int err = state_merge(d->state, s->file, MERGE_TAKE, &merged, &same, &f);

	if (err) { /* what is kept can be served all the same */
		for (unsigned i = 0; i < f.n; i++)
			log_error("%s: %s", f.list[i].file, f.list[i].what);
		log_error("--apply-at-start: %s is not taken%s%s; what is kept is served",
			  d->config_path, f.n ? "" : ": ", f.n ? "" : strerror(-err));
	} else if (!same) {
		free(*text);
		*text = merged;
		merged = NULL;
		begin_change(s, "the file was taken at the start (--apply-at-start)");
	}
	free(merged);
	faults_free(&f);
}

/* From the store, in place of the file's. */
static int use_stored(struct daemon *d, struct config **c, const char *text)
{
	struct faults f = { .n = 0 };
	struct config *stored = NULL;
	char *resolved = NULL;
	int err = certs_read_config(d->state->path, text, &stored, &resolved, NULL, &f);

	if (err) {
		faults_log(&f, d->state->path);
		log_error("%s: what it has cannot be served by now; mend what is named, "
			  "or start with --apply-at-start",
			  d->state->path);
	} else {
		config_put(*c);
		*c = stored;
		d->text = resolved;
	}
	faults_free(&f);
	return err;
}

int daemon_open_state(struct daemon *d, struct config **c, struct stored_start *s)
{
	struct state *st;
	char *text = NULL;
	int err;

	*s = (struct stored_start){ .file = NULL };
	if ((*c)->state == STATE_FILE)
		return 0;
	err = state_open((*c)->state_file, (*c)->user, d->upgrade, &d->state);
	if (err)
		return err;
	st = d->state;
	s->file = d->text;
	d->text = NULL;
	err = state_text(st, 0, &text, &st->revision);
	if (err)
		return log_errno(err, "%s", st->why);
	if (!text && !s->file) {
		log_error("%s: nothing is kept yet, so the file must be right", st->path);
		return -EINVAL;
	}
	if (!text) {
		begin_change(s, "the file was taken, as there was nothing yet");
		d->text = strdup(s->file);
		return d->text ? 0 : -ENOMEM;
	}
	state_look_at_file(st, s->file);
	if (d->apply_at_start && st->held && s->file)
		merge(d, s, &text);
	err = use_stored(d, c, text);
	if (!err)
		log_info("revision %" PRIu64 " of %s%s", st->revision, st->path,
			 s->how.change ? ", with the file" : "");
	free(text);
	return err;
}

/* The file's text, if it is to be taken. */
static void read_file(struct daemon *d, struct stored_start *s)
{
	struct faults f = { .n = 0 };
	struct config *c = NULL;

	(void)sandbox_raise(CAP_DAC_READ_SEARCH);
	if (daemon_read(d, &s->file, &c, &f) < 0)
		log_error("--apply-at-start: %s is not taken; what is kept is served",
			  d->config_path);
	(void)sandbox_lower(CAP_DAC_READ_SEARCH);
	config_put(c);
	faults_free(&f);
}

/* What was changed meanwhile, and the file if it is to be.  0 or a negative errno. */
static int catch_up(struct daemon *d)
{
	struct state *st = d->state;
	struct stored_start s = { .file = NULL };
	struct faults f = { .n = 0 };
	char *text = NULL;
	uint64_t latest = 0, before = st->revision;
	int err = state_text(st, 0, &text, &latest);

	if (!err && d->apply_at_start)
		read_file(d, &s);
	if (!err && s.file)
		merge(d, &s, &text);
	st->revision = err ? before : latest; /* what is built upon */
	if (!err && (latest != before || s.how.change))
		err = daemon_change(d, st->path, text, s.how.change ? &s.how : NULL, &f);
	if (err) {
		st->revision = before;
		faults_log(&f, st->path);
		state_wrong(st,
			    "revision %" PRIu64 " goes on, and %" PRIu64
			    " is the latest: it is tried again",
			    before, latest);
	}
	faults_free(&f);
	free(s.file);
	free(text);
	return err;
}

/* Tried from time to time until what is in force is the latest: nothing is built on less.
 */
void daemon_take_state(struct daemon *d)
{
	struct state *st = d->state;

	if (!st || (st->held && !st->behind) || state_take(st) < 0)
		return;
	if (st->behind && util_now_ns() - d->tried_ns < AGAIN_NS)
		return;
	d->tried_ns = util_now_ns();
	st->behind = catch_up(d) < 0;
	if (st->behind)
		return;
	daemon_look_at_file(d);
	state_probe(st);
}

static uint64_t mark_of(const char *path)
{
	struct stat st;
	int err;

	(void)sandbox_raise(CAP_DAC_READ_SEARCH); /* its folder may be root's alone */
	err = stat(path, &st);
	(void)sandbox_lower(CAP_DAC_READ_SEARCH);
	if (err < 0)
		return 1;
	return (uint64_t)st.st_ino ^ (uint64_t)st.st_size << 32 ^
	       (uint64_t)st.st_mtim.tv_sec << 20 ^ (uint64_t)st.st_mtim.tv_nsec;
}

static void tell(const struct daemon *d, const struct state *st)
{
	struct proxy_slot *process = writer_process(d->proxy.writer);

	book_set(&process->store, !st				      ? TG_STORE_NONE
				  : st->held && st->ok && !st->behind ? TG_STORE_FINE
								      : TG_STORE_WRONG);
	book_set(&process->file_differs, st && st->file_differs);
}

/* Of the files that it includes each minute is soon enough. */
static void look(struct daemon *d)
{
	uint64_t now = util_now_ns(), mark = mark_of(d->config_path);
	bool minute = !d->probed_ns || now - d->probed_ns > PROBE_NS;

	daemon_take_state(d);
	if (d->file_mark != mark || minute)
		daemon_look_at_file(d);
	d->file_mark = mark;
	if (minute) {
		d->probed_ns = now;
		if (!d->state->behind)
			state_probe(d->state);
	}
}

void daemon_tend_state(struct daemon *d)
{
	if (d->state && d->state->store)
		look(d);
	tell(d, d->state);
}

void daemon_end_state(struct daemon *d)
{
	state_give_up(d->state);
	if (!d->succeeded) /* else it is another's to say */
		tell(d, NULL);
}
