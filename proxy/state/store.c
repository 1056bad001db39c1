/* SPDX-License-Identifier: Apache-2.0 */
/* The file: its tables, reading it, and what is wrong with it. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "state/store_own.h"

#define BUSY_MS	    250
#define APPLICATION 0x546f6c6c /* "Toll" (SQLite's application_id) */

/*
 * An object is a row for each body, place and origin that it had, from the revision that
 * made it so to that which ended it: any revision can be read, and what changed is what
 * begins or ends with it.  From each version the next one's statements lead on.
 */
static const char *const versions[] = {
	"CREATE TABLE object(kind INTEGER NOT NULL, parent TEXT NOT NULL,"
	" name TEXT NOT NULL, position INTEGER NOT NULL, body TEXT NOT NULL,"
	" origin INTEGER NOT NULL, since INTEGER NOT NULL, until INTEGER) STRICT;"
	"CREATE UNIQUE INDEX living ON object(kind, parent, name) WHERE until IS NULL;"
	"CREATE INDEX ended ON object(until) WHERE until IS NOT NULL;"
	"CREATE TABLE change(number INTEGER PRIMARY KEY AUTOINCREMENT,"
	" revision INTEGER NOT NULL, at INTEGER NOT NULL, uid INTEGER NOT NULL,"
	" login INTEGER NOT NULL, pid INTEGER NOT NULL, program TEXT NOT NULL,"
	" what TEXT NOT NULL, message TEXT NOT NULL, differences TEXT NOT NULL,"
	" done INTEGER NOT NULL) STRICT;"
	"CREATE TABLE meta(key TEXT PRIMARY KEY, value ANY NOT NULL) STRICT;"
	"INSERT INTO meta VALUES('revision', 0), ('oldest', 1), ('file', ''), ('looked', 0);",
};

int store_wrong(struct store *s, char why[STORE_WHY])
{
	int code = sqlite3_errcode(s->db);

	(void)snprintf(why, STORE_WHY, "%.100s: %.100s", s->path, sqlite3_errmsg(s->db));
	switch (code & 0xff) {
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return -EUCLEAN;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_CANTOPEN:
	case SQLITE_PERM:
		return -EACCES;
	default:
		return -EIO;
	}
}

sqlite3_stmt *store_prepare(struct store *s, const char *sql)
{
	sqlite3_stmt *statement = NULL;

	(void)sqlite3_prepare_v2(s->db, sql, -1, &statement, NULL);
	return statement;
}

/* Of one number; -1 with *err if it cannot be had. */
static int64_t number_of(struct store *s, const char *sql, int *err, char why[STORE_WHY])
{
	sqlite3_stmt *q = store_prepare(s, sql);
	int64_t ret = -1;

	*err = 0;
	if (q && sqlite3_step(q) == SQLITE_ROW)
		ret = sqlite3_column_int64(q, 0);
	else
		*err = store_wrong(s, why);
	(void)sqlite3_finalize(q);
	return ret;
}

int store_run(struct store *s, const char *sql, char why[STORE_WHY])
{
	return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK
		       ? 0
		       : store_wrong(s, why);
}

/* --- opening --- */

static int make_tables(struct store *s, int64_t version, char why[STORE_WHY])
{
	char sql[96];
	int err = store_run(s, "BEGIN IMMEDIATE", why);

	for (size_t i = (size_t)version; !err && i < ARRAY_SIZE(versions); i++)
		err = store_run(s, versions[i], why);
	(void)snprintf(sql, sizeof(sql),
		       "PRAGMA application_id=%d; PRAGMA user_version=%zu; COMMIT",
		       APPLICATION, ARRAY_SIZE(versions));
	if (!err)
		err = store_run(s, sql, why);
	if (err)
		(void)sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
	return err;
}

static int is_sound(struct store *s, char why[STORE_WHY])
{
	sqlite3_stmt *q = store_prepare(s, "PRAGMA quick_check(1)");
	int err = 0;

	if (!q || sqlite3_step(q) != SQLITE_ROW) {
		err = store_wrong(s, why);
	} else if (strcmp((const char *)sqlite3_column_text(q, 0), "ok") != 0) {
		(void)snprintf(why, STORE_WHY, "%.100s is damaged: %.100s", s->path,
			       (const char *)sqlite3_column_text(q, 0));
		err = -EUCLEAN;
	}
	(void)sqlite3_finalize(q);
	return err;
}

static int fit_version(struct store *s, char why[STORE_WHY])
{
	int err;
	int64_t id = number_of(s, "PRAGMA application_id", &err, why), tables, version;

	if (err)
		return err;
	version = number_of(s, "PRAGMA user_version", &err, why);
	if (err)
		return err;
	tables = number_of(s, "SELECT count(*) FROM sqlite_schema", &err, why);
	if (err)
		return err;
	if (tables && id != APPLICATION) {
		(void)snprintf(why, STORE_WHY, "%.200s is another program's", s->path);
		return -EUCLEAN;
	}
	if (version > (int64_t)ARRAY_SIZE(versions)) {
		(void)snprintf(why, STORE_WHY,
			       "%.150s was made by a later version of Tollgate "
			       "(%" PRId64 ", this one knows %zu)",
			       s->path, version, ARRAY_SIZE(versions));
		return -EPROTO;
	}
	if (version < (int64_t)ARRAY_SIZE(versions))
		return make_tables(s, version, why);
	return 0;
}

/* Is there something in the log that is not in the file yet? */
static bool has_log(const struct store *s)
{
	char name[4096];
	struct stat st;

	(void)snprintf(name, sizeof(name), "%s-wal", s->path);
	return stat(name, &st) == 0 ? st.st_size > 0 : errno != ENOENT;
}

/*
 * A disk that cannot be written is no reason not to read.  What is not in the file yet
 * would be passed over in silence: then it is refused.
 */
static int open_read_only(struct store *s, char why[STORE_WHY])
{
	char *uri;
	int code;

	if (has_log(s)) {
		(void)snprintf(why, STORE_WHY,
			       "%.150s: cannot be written, and its latest changes are "
			       "in its -wal, which takes that",
			       s->path);
		return -EROFS;
	}
	uri = sqlite3_mprintf("file:%s?immutable=1", s->path);
	if (!uri)
		return -ENOMEM;
	(void)sqlite3_close(s->db);
	s->db = NULL;
	s->read_only = true;
	code = sqlite3_open_v2(uri, &s->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL);
	sqlite3_free(uri);
	return code == SQLITE_OK ? 0 : store_wrong(s, why);
}

static int prepare(struct store *s, char why[STORE_WHY])
{
	int err;

	(void)sqlite3_extended_result_codes(s->db, 1);
	(void)sqlite3_busy_timeout(s->db, BUSY_MS); /* of who copies it */
	err = store_run(s,
			"PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON;"
			"PRAGMA synchronous=FULL",
			why);
	if (!err && !s->read_only)
		err = store_run(s, "PRAGMA journal_mode=WAL", why);
	if (!err)
		err = is_sound(s, why);
	return err ? err : fit_version(s, why);
}

/* Which file it is, wherever its path leads later. */
static int know(struct store *s, char why[STORE_WHY])
{
	struct stat st;

	if (lstat(s->path, &st) < 0) {
		int err = -errno;

		(void)snprintf(why, STORE_WHY, "%.150s: %s", s->path, strerror(-err));
		return err;
	}
	s->dev = st.st_dev;
	s->ino = st.st_ino;
	return 0;
}

/* A file, or nothing yet: a link there is somebody else's idea. */
static int is_file(const char *path, char why[STORE_WHY])
{
	struct stat st;

	if (lstat(path, &st) < 0 || S_ISREG(st.st_mode))
		return 0;
	(void)snprintf(why, STORE_WHY, "%.200s is no file", path);
	return -EUCLEAN;
}

int store_open(const char *path, struct store **ret, char why[STORE_WHY])
{
	struct store *s;
	int err = is_file(path, why);

	if (err)
		return err;
	s = calloc(1, sizeof(*s));
	err = -ENOMEM;
	(void)snprintf(why, STORE_WHY, "%.150s: %s", path, strerror(ENOMEM));
	if (!s)
		return err;
	s->path = strdup(path);
	if (s->path) {
		err = sqlite3_open_v2(path, &s->db,
				      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
				      NULL) == SQLITE_OK
			      ? prepare(s, why)
			      : store_wrong(s, why);
		if ((err == -EROFS || err == -EACCES || err == -ENOSPC) &&
		    access(path, F_OK) == 0) {
			err = open_read_only(s, why);
			if (!err)
				err = prepare(s, why);
		}
	}
	if (!err)
		err = know(s, why);
	if (err) {
		store_close(s);
		return err;
	}
	*ret = s;
	return 0;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	(void)sqlite3_close(s->db);
	free(s->path);
	free(s);
}

/* --- what is wrong by now --- */

int store_is_there(const struct store *s, char why[STORE_WHY])
{
	struct stat st = { .st_ino = 0 };

	if (lstat(s->path, &st) < 0 && errno != ENOENT) {
		int err = -errno;

		(void)snprintf(why, STORE_WHY, "%.150s: %s", s->path, strerror(-err));
		return err;
	}
	if (st.st_dev == s->dev && st.st_ino == s->ino)
		return 0;
	(void)snprintf(why, STORE_WHY,
		       "%.150s is not the file any more that was opened: it was removed "
		       "or replaced",
		       s->path);
	return -ESTALE;
}

int store_probe(struct store *s, char why[STORE_WHY])
{
	int err = store_is_there(s, why);

	return err ? err
		   : store_run(s,
			       "UPDATE meta SET value = CAST(strftime('%s') AS INTEGER) "
			       "WHERE key = 'looked'",
			       why);
}

int64_t store_revision(struct store *s, char why[STORE_WHY])
{
	int err;
	int64_t n =
		number_of(s, "SELECT value FROM meta WHERE key = 'revision'", &err, why);

	return err ? err : n;
}

/* --- reading --- */

static const char *text_at(sqlite3_stmt *q, int column)
{
	const char *text = (const char *)sqlite3_column_text(q, column);

	return text ? text : "";
}

static int add_row(sqlite3_stmt *q, struct objects *ret)
{
	const struct object o = {
		.row = sqlite3_column_int64(q, 0),
		.kind = (enum object_kind)sqlite3_column_int(q, 1),
		.parent = (char *)text_at(q, 2),
		.name = (char *)text_at(q, 3),
		.position = sqlite3_column_int64(q, 4),
		.body = (char *)text_at(q, 5),
		.origin = (enum object_origin)sqlite3_column_int(q, 6),
	};

	return objects_add(ret, &o);
}

int store_rows(struct store *s, const char *sql, uint64_t revision, struct objects *ret,
	       char why[STORE_WHY])
{
	sqlite3_stmt *q = store_prepare(s, sql);
	int step = SQLITE_ERROR, err = 0;

	*ret = (struct objects){ .n = 0 };
	if (q && revision)
		(void)sqlite3_bind_int64(q, 1, (sqlite3_int64)revision);
	while (q && !err && (step = sqlite3_step(q)) == SQLITE_ROW)
		err = add_row(q, ret);
	if (!err && step != SQLITE_DONE)
		err = store_wrong(s, why);
	(void)sqlite3_finalize(q);
	return err;
}

#define ROWS	 "SELECT o.rowid, o.kind, o.parent, o.name, o.position, o.body, o.origin "
#define IN_ORDER " ORDER BY o.kind, l.position, o.position"

int store_read(struct store *s, uint64_t revision, struct objects *ret,
	       char why[STORE_WHY])
{
	int64_t latest = store_revision(s, why), oldest;
	int err = latest < 0 ? (int)latest : 0;

	*ret = (struct objects){ .n = 0 };
	if (err)
		return err;
	if (!revision || revision == (uint64_t)latest)
		return store_rows(
			s,
			ROWS "FROM object o LEFT JOIN object l ON l.kind = 1 AND "
			     "l.parent = '' AND l.name = o.parent AND l.until IS NULL "
			     "WHERE o.until IS NULL" IN_ORDER,
			0, ret, why);
	oldest = number_of(s, "SELECT value FROM meta WHERE key = 'oldest'", &err, why);
	if (err)
		return err;
	if (revision > (uint64_t)latest || revision < (uint64_t)oldest) {
		(void)snprintf(why, STORE_WHY,
			       "there is no revision %" PRIu64 ": those from %" PRId64
			       " to %" PRId64 " are kept",
			       revision, oldest, latest);
		return -ENOENT;
	}
	return store_rows(s,
			  "WITH r AS (SELECT rowid, * FROM object WHERE since <= ?1 AND "
			  "(until IS NULL OR until > ?1)) " ROWS
			  "FROM r o LEFT JOIN r l ON l.kind = 1 AND l.name = o.parent "
			  "AND o.kind = 2" IN_ORDER,
			  revision, ret, why);
}

static void tell_change(sqlite3_stmt *q,
			void (*fn)(const struct store_change *c, void *arg), void *arg)
{
	const struct store_change c = {
		.number = (uint64_t)sqlite3_column_int64(q, 0),
		.revision = (uint64_t)sqlite3_column_int64(q, 1),
		.at = sqlite3_column_int64(q, 2),
		.uid = (uid_t)sqlite3_column_int64(q, 3),
		.login = (uid_t)sqlite3_column_int64(q, 4),
		.pid = (pid_t)sqlite3_column_int64(q, 5),
		.program = text_at(q, 6),
		.what = text_at(q, 7),
		.message = text_at(q, 8),
		.differences = text_at(q, 9),
		.done = sqlite3_column_int(q, 10) != 0,
	};

	fn(&c, arg);
}

#define CHANGES                                                                 \
	"SELECT number, revision, at, uid, login, pid, program, what, message," \
	" differences, done FROM change "

int store_changes(struct store *s, uint64_t after, unsigned max,
		  void (*fn)(const struct store_change *c, void *arg), void *arg,
		  char why[STORE_WHY])
{
	sqlite3_stmt *q = store_prepare(
		s, after ? CHANGES "WHERE number > ?1 ORDER BY number LIMIT ?2"
			 : "SELECT * FROM (" CHANGES
			   "WHERE number > ?1 ORDER BY number DESC LIMIT ?2)"
			   " ORDER BY number");
	int step = SQLITE_ERROR;

	if (q && sqlite3_bind_int64(q, 1, (sqlite3_int64)after) == SQLITE_OK &&
	    sqlite3_bind_int64(q, 2, max) == SQLITE_OK) {
		while ((step = sqlite3_step(q)) == SQLITE_ROW)
			tell_change(q, fn, arg);
	}
	(void)sqlite3_finalize(q);
	return step == SQLITE_DONE ? 0 : store_wrong(s, why);
}

int store_file(struct store *s, char **ret, char why[STORE_WHY])
{
	sqlite3_stmt *q = store_prepare(s, "SELECT value FROM meta WHERE key = 'file'");
	int err = 0;

	*ret = NULL;
	if (!q || sqlite3_step(q) != SQLITE_ROW)
		err = store_wrong(s, why);
	else if (!(*ret = strdup(text_at(q, 0))))
		err = -ENOMEM;
	(void)sqlite3_finalize(q);
	return err;
}

int store_snapshot(struct store *s, char **ret, size_t *n, char why[STORE_WHY])
{
	sqlite3_int64 size = 0;
	unsigned char *bytes = sqlite3_serialize(s->db, "main", &size, 0);

	*ret = bytes ? malloc((size_t)size) : NULL;
	if (*ret)
		memcpy(*ret, bytes, (size_t)size);
	sqlite3_free(bytes);
	*n = (size_t)size;
	if (*ret)
		return 0;
	(void)snprintf(why, STORE_WHY, "%.150s: cannot be copied: %s", s->path,
		       sqlite3_errmsg(s->db));
	return -EIO;
}
