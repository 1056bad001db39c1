/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "state/merge.h"

struct merging {
	const struct objects *now, *file;
	struct object_index *now_index, *file_index;
	unsigned how;
	struct objects *to;
	struct faults *f;
	int err;
};

static void conflict(struct merging *m, const struct object *o, const char *what)
{
	char name[OBJECT_TEXT];

	faults_add_file(m->f, object_name(o, name), "%s", what);
	m->err = m->err ? m->err : -EEXIST;
}

static void keep(struct merging *m, const struct object *o)
{
	int err = objects_add(m->to, o);

	m->err = err ? err : m->err;
}

static struct object *in_file(const struct merging *m, const struct object *o)
{
	return objects_find(m->file_index, o->kind, o->parent, o->name);
}

/* The file's, and the API says nothing else of it. */
static void keep_file(struct merging *m, const struct object *o)
{
	const struct object *old =
		objects_find(m->now_index, o->kind, o->parent, o->name);

	if (old && old->origin == ORIGIN_API && !(m->how & MERGE_TAKE) &&
	    !objects_alike(old, o))
		conflict(m, o,
			 "was changed by the API, and is another in the file: the file "
			 "is to say the same, or to take it (--take)");
	keep(m, o);
}

static bool is_listener_left(const struct merging *m, const char *name)
{
	const struct object *l;

	if (objects_find(m->file_index, OBJECT_LISTENER, "", name))
		return true;
	l = objects_find(m->now_index, OBJECT_LISTENER, "", name);
	return l && l->origin == ORIGIN_API && !(m->how & MERGE_PRUNE);
}

/* Those of the API that follow it in its list, until the next that the file has. */
static void keep_others(struct merging *m, const struct object *first,
			enum object_kind kind, const char *parent)
{
	const struct object *end = m->now->list + m->now->n;

	for (const struct object *o = first; o < end; o++) {
		if (o->kind != kind || strcmp(o->parent, parent) != 0 || in_file(m, o))
			return;
		if (o->origin == ORIGIN_API && !(m->how & MERGE_PRUNE))
			keep(m, o);
	}
}

static const struct object *first_of(const struct objects *o, enum object_kind kind,
				     const char *parent)
{
	for (size_t i = 0; i < o->n; i++) {
		if (o->list[i].kind == kind && strcmp(o->list[i].parent, parent) == 0)
			return &o->list[i];
	}
	return o->list + o->n;
}

/* A list, as the file has it, with the API's between. */
static void merge_list(struct merging *m, enum object_kind kind, const char *parent)
{
	const struct object *end = m->file->list + m->file->n;

	keep_others(m, first_of(m->now, kind, parent), kind, parent);
	for (const struct object *o = first_of(m->file, kind, parent);
	     o < end && o->kind == kind && strcmp(o->parent, parent) == 0; o++) {
		const struct object *old =
			objects_find(m->now_index, kind, parent, o->name);

		keep_file(m, o);
		if (old)
			keep_others(m, old + 1, kind, parent);
	}
}

/*
 * A listener that the API has changed and the file has no more: with routes of the file's
 * it was the file's, and they would go from under it.
 */
static void find_half_gone(struct merging *m)
{
	for (size_t i = 0; i < m->now->n; i++) {
		const struct object *o = &m->now->list[i], *l;

		if (o->kind != OBJECT_ROUTE || o->origin != ORIGIN_FILE ||
		    (m->how & MERGE_PRUNE) ||
		    objects_find(m->file_index, OBJECT_LISTENER, "", o->parent))
			continue;
		l = objects_find(m->now_index, OBJECT_LISTENER, "", o->parent);
		if (l && l->origin == ORIGIN_API)
			conflict(m, l,
				 "was changed by the API, and the file has it no more: "
				 "remove it, or all that is not the file's (--prune)");
	}
}

/* What would go with its listener, though nobody said so. */
static void find_orphans(struct merging *m)
{
	for (size_t i = 0; i < m->now->n; i++) {
		const struct object *o = &m->now->list[i];

		if (o->kind == OBJECT_ROUTE && o->origin == ORIGIN_API &&
		    !(m->how & MERGE_PRUNE) && !is_listener_left(m, o->parent))
			conflict(m, o,
				 "was made by the API, and the file has its listener no "
				 "more: remove it, or all that is not the file's "
				 "(--prune)");
	}
}

int merge_file(const struct objects *now, const struct objects *file, unsigned how,
	       struct objects *ret, struct faults *f)
{
	struct merging m = { .now = now, .file = file, .how = how, .to = ret, .f = f };
	size_t listeners;

	*ret = (struct objects){ .n = 0 };
	m.err = objects_index(now, &m.now_index);
	if (!m.err)
		m.err = objects_index(file, &m.file_index);
	if (!m.err) {
		merge_list(&m, OBJECT_SETTINGS, "");
		merge_list(&m, OBJECT_LISTENER, "");
		listeners = ret->n;
		for (size_t i = 0; i < listeners && m.err != -ENOMEM; i++) {
			if (ret->list[i].kind == OBJECT_LISTENER)
				merge_list(&m, OBJECT_ROUTE, ret->list[i].name);
		}
		find_half_gone(&m);
		find_orphans(&m);
	}
	objects_index_free(m.now_index);
	objects_index_free(m.file_index);
	return m.err;
}
