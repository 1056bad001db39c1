/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/util.h"
#include "config/config.h"
#include "config/diff.h"
#include "config/edit.h"
#include "state/merge.h"
#include "state/state.h"

/* What a call of the store said; it is logged when it turns. */
static int told(struct state *st, int err)
{
	if (err && st->ok)
		log_error("%s; what is in force goes on, and changes are refused",
			  st->why);
	if (!err && !st->ok)
		log_info("%s can be written again", st->path);
	st->ok = !err;
	return err;
}

/* The same of reading, which says nothing of writing. */
static int told_reading(struct state *st, int err)
{
	return err ? told(st, err) : 0;
}

void state_wrong(struct state *st, const char *fmt, ...)
{
	char what[STORE_WHY];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	(void)snprintf(st->why, STORE_WHY, "%.100s: %.150s", st->path, what);
	(void)told(st, -EIO);
}

/* --- whose it is --- */

/* Which was made just now, and nothing that somebody put in its place. */
static int give_folder(const char *folder, const struct passwd *user)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), err = 0;

	if (fd < 0 || fchown(fd, user->pw_uid, user->pw_gid) < 0) {
		err = -errno;
		(void)rmdir(folder);
	}
	if (fd >= 0)
		close(fd);
	return err;
}

/* The user's, if it is not there. */
static int make_folder(const char *path, const struct passwd *user)
{
	char *copy = strdup(path), *folder = copy ? dirname(copy) : NULL;
	char *other = folder ? strdup(folder) : NULL;
	int err = other ? 0 : -ENOMEM;

	if (!err && mkdir(dirname(other), 0755) < 0 && errno != EEXIST)
		err = -errno;
	if (!err && mkdir(folder, 0700) < 0)
		err = errno == EEXIST ? 0 : -errno;
	else if (!err)
		err = give_folder(folder, user);
	if (err && err != -EROFS)
		log_error("state_file %s: its folder cannot be made, as user %s's: %s",
			  path, user->pw_name, strerror(-err));
	free(copy);
	free(other);
	return err == -EROFS ? 0 : err; /* what is there can be read */
}

/* Beside it: SQLite's own locks are no longer than a statement. */
static int open_lock(const char *path)
{
	char name[4096];
	int fd;

	(void)snprintf(name, sizeof(name), "%s.lock", path);
	fd = open(name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	return fd < 0 ? -errno : fd;
}

int state_take(struct state *st)
{
	if (!st->held && st->lock >= 0)
		st->held = flock(st->lock, LOCK_EX | LOCK_NB) == 0;
	return st->held ? 0 : -EBUSY;
}

static int open_files(struct state *st, bool waits)
{
	int err;

	st->lock = open_lock(st->path);
	if (st->lock < 0 && st->lock != -EROFS)
		return log_errno(st->lock,
				 "state_file %s: its folder must be of the user that the "
				 "proxy becomes",
				 st->path);
	if (st->lock >= 0 && state_take(st) < 0 && !waits) {
		log_error(
			"state_file %s: another gate has it: each has a file of its own",
			st->path);
		return -EBUSY;
	}
	err = store_open(st->path, &st->store, st->why);
	if (!err && st->lock < 0) { /* until the next start */
		st->ok = false;
		(void)snprintf(st->why, STORE_WHY, "%.150s: %s", st->path,
			       strerror(EROFS));
		log_warn("%s: it is served, and cannot be changed", st->why);
	}
	if (err)
		log_error("%s; move it away to begin with the file again, or put a "
			  "snapshot in its place",
			  st->why);
	return err;
}

/* As the user, whose they are then; root may lack the right to what is not its own. */
static int open_as(struct state *st, const struct passwd *user, bool waits)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();
	mode_t mask;
	int err;

	if (setegid(user->pw_gid) < 0 || seteuid(user->pw_uid) < 0)
		return log_errno(-errno, "state_file %s: cannot become user %s", st->path,
				 user->pw_name);
	mask = umask(077); /* it has all that the file may have said */
	err = open_files(st, waits);
	(void)umask(mask);
	if (seteuid(uid) < 0 || setegid(gid) < 0)
		err = log_errno(-errno, "state_file %s: cannot be root again", st->path);
	return err;
}

int state_open(const char *path, const char *user, bool waits, struct state **ret)
{
	const struct passwd *who = getpwnam(user);
	struct state *st;
	int err;

	if (!who)
		return log_errno(-ENOENT, "there is no user '%s'", user);
	st = calloc(1, sizeof(*st));
	if (!st)
		return log_errno(-ENOMEM, "state_file %s", path);
	*st = (struct state){
		.path = strdup(path), .user = strdup(user), .lock = -1, .ok = true
	};
	err = st->path && st->user ? make_folder(path, who)
				   : log_errno(-ENOMEM, "%s", path);
	if (!err)
		err = open_as(st, who, waits);
	if (err) {
		state_close(st);
		return err;
	}
	*ret = st;
	return 0;
}

void state_give_up(struct state *st)
{
	if (!st)
		return;
	store_close(st->store);
	st->store = NULL;
	if (st->lock >= 0)
		close(st->lock);
	st->lock = -1;
	st->held = false;
}

void state_close(struct state *st)
{
	if (!st)
		return;
	state_give_up(st);
	free(st->path);
	free(st->user);
	free(st->file);
	free(st);
}

/* --- reading --- */

int state_text(struct state *st, uint64_t revision, char **ret, uint64_t *ret_revision)
{
	struct objects o = { .n = 0 };
	int64_t latest = store_revision(st->store, st->why);
	int err = latest < 0 ? (int)latest : 0;

	*ret = NULL;
	if (!err && latest)
		err = store_read(st->store, revision, &o, st->why);
	if (!err && latest)
		err = objects_join(&o, st->path, st->user, ret);
	if (!err && ret_revision)
		*ret_revision = (uint64_t)latest;
	objects_free(&o);
	return err == -ENOENT || err == -ENOMEM ? err : told_reading(st, err);
}

static void count(enum diff_kind kind, const char *path, const struct node *before,
		  const struct node *after, void *arg)
{
	(void)kind;
	(void)path;
	(void)before;
	(void)after;
	(void)arg;
}

static bool is_same(const char *a, const char *b)
{
	static const char *const kept[] = { "state", "state_file", "user" };
	struct faults f = { .n = 0 };
	struct document x, y = { .root = NULL };
	bool same = config_document_text("taken", a, &x, &f) == 0 &&
		    config_document_text("file", b, &y, &f) == 0;

	/* where it is kept need not be said */
	for (size_t i = 0; same && i < ARRAY_SIZE(kept); i++) {
		(void)edit_remove(&x, kept[i]);
		(void)edit_remove(&y, kept[i]);
	}
	same = same && diff_documents(&x, &y, count, NULL) == 0;

	document_free(&x);
	document_free(&y);
	faults_free(&f);
	return same;
}

static bool are_same(const struct objects *a, const struct objects *b)
{
	bool same = a->n == b->n;

	for (size_t i = 0; same && i < a->n; i++) {
		const struct object *x = &a->list[i], *y = &b->list[i];

		same = x->kind == y->kind && x->origin == y->origin &&
		       strcmp(x->parent, y->parent) == 0 &&
		       strcmp(x->name, y->name) == 0 && strcmp(x->body, y->body) == 0;
	}
	return same;
}

int state_merge(struct state *st, const char *file, unsigned how, char **ret, bool *same,
		struct faults *f)
{
	struct objects now, of_file = { .n = 0 }, merged = { .n = 0 };
	char *taken = NULL;
	int err = told_reading(st, store_read(st->store, 0, &now, st->why));

	*ret = NULL;
	if (!err)
		err = objects_split(file, ORIGIN_FILE, &of_file);
	if (!err)
		err = merge_file(&now, &of_file, how, &merged, f);
	if (!err)
		err = objects_join(&merged, st->path, st->user, ret);
	if (!err)
		err = told_reading(st, store_file(st->store, &taken, st->why));
	*same = !err && are_same(&now, &merged) && is_same(taken, file);
	free(taken);
	objects_free(&now);
	objects_free(&of_file);
	objects_free(&merged);
	return err;
}

/* --- saving --- */

/* Those that are in `like` are whose they are there. */
static int take_origins(struct objects *now, const struct objects *like)
{
	struct object_index *index;
	int err = objects_index(like, &index);

	if (err)
		return err;
	for (size_t i = 0; i < now->n; i++) {
		struct object *o = &now->list[i];
		const struct object *old =
			objects_find(index, o->kind, o->parent, o->name);

		if (old)
			o->origin = old->origin;
	}
	objects_index_free(index);
	return 0;
}

static int set_origins(struct state *st, struct objects *now,
		       const struct state_saving *how)
{
	struct objects like = { .n = 0 };
	int err;

	if (how->source == SOURCE_API)
		return 0;
	err = how->source == SOURCE_FILE
		      ? objects_split(how->file, ORIGIN_FILE, &like)
		      : store_read(st->store, how->revision, &like, st->why);
	if (!err)
		err = take_origins(now, &like);
	objects_free(&like);
	return err;
}

int state_save(struct state *st, const char *text, const struct document *d,
	       const struct state_saving *how)
{
	struct objects now = { .n = 0 };
	int err = !st->held ? -EBUSY : 0;
	int64_t latest = err ? -1 : store_revision(st->store, st->why);

	if (err) {
		(void)snprintf(st->why, STORE_WHY, "%.150s: %s", st->path,
			       "another process has it still, or by now");
		return err;
	}
	if (latest >= 0 && (uint64_t)latest != st->revision) {
		(void)snprintf(st->why, STORE_WHY,
			       "%.150s has revision %" PRId64 ", and %" PRIu64
			       " is in force: the log says why",
			       st->path, latest, st->revision);
		st->behind = true; /* it is had, and then built upon */
		return told(st, -ESTALE);
	}
	(void)snprintf(st->why, STORE_WHY, "%s", strerror(ENOMEM));
	if (how->look && d)
		how->look(d, how->arg);
	err = d ? objects_of_document(d, ORIGIN_UNKNOWN, &now)
		: objects_split(text, ORIGIN_UNKNOWN, &now);
	if (!err)
		err = set_origins(st, &now, how);
	if (!err)
		err = store_save(st->store, &now, how->change,
				 how->source == SOURCE_FILE ? how->file : NULL,
				 &st->revision, st->why);
	objects_free(&now);
	return err == -ENOMEM ? err : told(st, err);
}

void state_note(struct state *st, struct store_change *change)
{
	if (st && st->held)
		(void)told(st, store_note(st->store, change, st->why));
}

/* --- looking --- */

void state_look_again(struct state *st)
{
	bool differs = true;
	char *taken;

	if (!st->store || told_reading(st, store_file(st->store, &taken, st->why)) < 0)
		return;
	if (st->file)
		differs = strcmp(taken, st->file) != 0 && !is_same(taken, st->file);
	free(taken);
	if (differs && !st->file_differs)
		log_warn("the file is another than the one that was taken: 'tollgate "
			 "diff FILE' says how, and 'tollgate apply FILE' takes it");
	st->file_differs = differs;
}

void state_look_at_file(struct state *st, const char *text)
{
	free(st->file);
	st->file = text ? strdup(text) : NULL;
	state_look_again(st);
}

void state_probe(struct state *st)
{
	if (st->held)
		(void)told(st, store_probe(st->store, st->why));
}
