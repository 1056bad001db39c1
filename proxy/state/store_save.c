/* SPDX-License-Identifier: Apache-2.0 */
/* Another revision, and a change that makes none: each one transaction. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "state/store_own.h"

#define GAP (1 << 20) /* between two positions, so that others find room */

/* What is there, and what shall be. */
struct saving {
	struct store *store;
	struct objects *now;
	struct objects before; /* row 0: it stays as it is */
	struct object_index *index;
	int64_t *next; /* of each of `now`: the place that the next old one has */
	int64_t revision;
	char *why;
};

static struct object *old_of(const struct saving *v, const struct object *o)
{
	return objects_find(v->index, o->kind, o->parent, o->name);
}

static bool is_one_list(const struct object *a, const struct object *b)
{
	return a->kind == b->kind && strcmp(a->parent, b->parent) == 0;
}

/*
 * Each behind the one before it, and where it was if that will do, so that a change of
 * one is a row of one.
 */
static void place(struct saving *v)
{
	struct objects *now = v->now;
	int64_t next = INT64_MAX, last = 0;

	for (size_t i = now->n; i-- > 0;) {
		const struct object *old = old_of(v, &now->list[i]);

		if (i + 1 < now->n && !is_one_list(&now->list[i], &now->list[i + 1]))
			next = INT64_MAX;
		v->next[i] = next;
		next = old ? old->position : next;
	}
	for (size_t i = 0; i < now->n; i++) {
		const struct object *old = old_of(v, &now->list[i]);

		if (i > 0 && !is_one_list(&now->list[i], &now->list[i - 1]))
			last = 0;
		if (old && old->position > last)
			last = old->position;
		else if (v->next[i] != INT64_MAX && v->next[i] > last + 1)
			last += (v->next[i] - last) / 2;
		else
			last += GAP;
		now->list[i].position = last;
	}
}

static bool is_same(const struct object *a, const struct object *b)
{
	return a->position == b->position && a->origin == b->origin &&
	       strcmp(a->body, b->body) == 0;
}

/* --- statements --- */

static int done(struct saving *v, sqlite3_stmt *q)
{
	int code = q ? sqlite3_step(q) : SQLITE_ERROR;

	if (q)
		(void)sqlite3_reset(q);
	return code == SQLITE_DONE ? 0 : store_wrong(v->store, v->why);
}

static int end_rows(struct saving *v)
{
	sqlite3_stmt *q =
		store_prepare(v->store, "UPDATE object SET until = ?1 WHERE rowid = ?2");
	int err = 0;

	for (size_t i = 0; i < v->before.n && !err; i++) {
		if (!v->before.list[i].row)
			continue;
		(void)sqlite3_bind_int64(q, 1, v->revision);
		(void)sqlite3_bind_int64(q, 2, v->before.list[i].row);
		err = done(v, q);
	}
	(void)sqlite3_finalize(q);
	return err;
}

static int add_rows(struct saving *v)
{
	sqlite3_stmt *q = store_prepare(
		v->store, "INSERT INTO object(kind, parent, name, position, body, origin,"
			  " since) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)");
	int err = 0;

	for (size_t i = 0; i < v->now->n && !err; i++) {
		const struct object *o = &v->now->list[i];

		if (!o->row)
			continue;
		(void)sqlite3_bind_int(q, 1, o->kind);
		(void)sqlite3_bind_text(q, 2, o->parent, -1, SQLITE_STATIC);
		(void)sqlite3_bind_text(q, 3, o->name, -1, SQLITE_STATIC);
		(void)sqlite3_bind_int64(q, 4, o->position);
		(void)sqlite3_bind_text(q, 5, o->body, -1, SQLITE_STATIC);
		(void)sqlite3_bind_int(q, 6, o->origin);
		(void)sqlite3_bind_int64(q, 7, v->revision);
		err = done(v, q);
	}
	(void)sqlite3_finalize(q);
	return err;
}

static int put_meta(struct saving *v, const char *key, int64_t number, const char *text)
{
	sqlite3_stmt *q =
		store_prepare(v->store, "UPDATE meta SET value = ?2 WHERE key = ?1");
	int err;

	(void)sqlite3_bind_text(q, 1, key, -1, SQLITE_STATIC);
	if (text)
		(void)sqlite3_bind_text(q, 2, text, -1, SQLITE_STATIC);
	else
		(void)sqlite3_bind_int64(q, 2, number);
	err = done(v, q);
	(void)sqlite3_finalize(q);
	return err;
}

static int forget_old(struct saving *v)
{
	int64_t oldest = v->revision > STORE_KEPT ? v->revision - STORE_KEPT + 1 : 1;
	char sql[128];
	int err = put_meta(v, "oldest", oldest, NULL);

	(void)snprintf(sql, sizeof(sql), "DELETE FROM object WHERE until <= %" PRId64,
		       oldest);
	return err ? err : store_run(v->store, sql, v->why);
}

static int add_change(struct saving *v, struct store_change *c)
{
	sqlite3_stmt *q = store_prepare(
		v->store,
		"INSERT INTO change(revision, at, uid, login, pid, program, what,"
		" message, differences, done)"
		" VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)");
	char sql[96];
	int err;

	(void)sqlite3_bind_int64(q, 1, v->revision);
	(void)sqlite3_bind_int64(q, 2, c->at);
	(void)sqlite3_bind_int64(q, 3, c->uid);
	(void)sqlite3_bind_int64(q, 4, c->login);
	(void)sqlite3_bind_int64(q, 5, c->pid);
	(void)sqlite3_bind_text(q, 6, c->program, -1, SQLITE_STATIC);
	(void)sqlite3_bind_text(q, 7, c->what, -1, SQLITE_STATIC);
	(void)sqlite3_bind_text(q, 8, c->message, -1, SQLITE_STATIC);
	(void)sqlite3_bind_text(q, 9, c->differences, -1, SQLITE_STATIC);
	(void)sqlite3_bind_int(q, 10, c->done);
	err = done(v, q);
	(void)sqlite3_finalize(q);
	if (err)
		return err;
	c->number = (uint64_t)sqlite3_last_insert_rowid(v->store->db);
	c->revision = (uint64_t)v->revision;
	(void)snprintf(sql, sizeof(sql), "DELETE FROM change WHERE number <= %" PRId64,
		       (int64_t)c->number - STORE_KEPT);
	return store_run(v->store, sql, v->why);
}

/* --- saving --- */

/* What is as it was is marked, on both sides, by row 0. */
static int compare(struct saving *v)
{
	int err = store_rows(v->store,
			     "SELECT rowid, kind, parent, name, position, body, origin "
			     "FROM object WHERE until IS NULL",
			     0, &v->before, v->why);

	if (!err)
		err = objects_index(&v->before, &v->index);
	if (err)
		return err;
	v->next = calloc(v->now->n + 1, sizeof(*v->next));
	if (!v->next)
		return -ENOMEM;
	place(v);
	for (size_t i = 0; i < v->now->n; i++) {
		struct object *o = &v->now->list[i], *old = old_of(v, o);

		o->row = 1;
		if (o->origin == ORIGIN_UNKNOWN)
			o->origin =
				old && objects_alike(old, o) ? old->origin : ORIGIN_API;
		if (old && is_same(old, o))
			old->row = o->row = 0;
	}
	return 0;
}

static int save(struct saving *v, struct store_change *change, const char *file)
{
	int64_t latest = store_revision(v->store, v->why);
	int err = latest < 0 ? (int)latest : 0;

	v->revision = latest + 1;
	if (!err)
		err = compare(v);
	if (!err)
		err = end_rows(v);
	if (!err)
		err = add_rows(v);
	if (!err && file)
		err = put_meta(v, "file", 0, file);
	if (!err)
		err = put_meta(v, "revision", v->revision, NULL);
	if (!err)
		err = forget_old(v);
	return err ? err : add_change(v, change);
}

static int begin(struct saving *v)
{
	int err = store_is_there(v->store, v->why);

	if (!err && v->store->read_only) {
		(void)snprintf(v->why, STORE_WHY, "%.150s: %s", v->store->path,
			       strerror(EROFS));
		err = -EROFS;
	}
	return err ? err : store_run(v->store, "BEGIN IMMEDIATE", v->why);
}

static int end(struct saving *v, int err)
{
	if (!err)
		err = store_run(v->store, "COMMIT", v->why);
	else if (err == -ENOMEM)
		(void)snprintf(v->why, STORE_WHY, "%s", strerror(ENOMEM));
	if (err) /* SQLite may have done it by itself */
		(void)sqlite3_exec(v->store->db, "ROLLBACK", NULL, NULL, NULL);
	return err;
}

int store_save(struct store *s, struct objects *now, struct store_change *change,
	       const char *file, uint64_t *revision, char why[STORE_WHY])
{
	struct saving v = { .store = s, .now = now, .why = why };
	int err = begin(&v);

	if (err)
		return err;
	err = end(&v, save(&v, change, file));
	if (!err)
		*revision = (uint64_t)v.revision;
	free(v.next);
	objects_index_free(v.index);
	objects_free(&v.before);
	return err;
}

int store_note(struct store *s, struct store_change *change, char why[STORE_WHY])
{
	struct saving v = { .store = s, .why = why };
	int err = begin(&v);

	return err ? err : end(&v, add_change(&v, change));
}
