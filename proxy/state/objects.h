/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A configuration as objects: its listeners, their routes, and the settings that are
 * neither, each with who it comes from.
 */
#ifndef PROXY_STATE_OBJECTS_H
#define PROXY_STATE_OBJECTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum object_kind { OBJECT_SETTINGS, OBJECT_LISTENER, OBJECT_ROUTE };
/* UNKNOWN: as it was before if it is the same, else of the API (store_save()). */
enum object_origin { ORIGIN_FILE, ORIGIN_API, ORIGIN_UNKNOWN };

struct object {
	enum object_kind kind;
	enum object_origin origin;
	char *parent; /* the listener of a route; or "" */
	char *name;   /* "" of settings */
	char *body; /* in one line, to be read as a file: of a listener without routes */
	int64_t position; /* in its list, compared with the others' */
	int64_t row;	  /* the store's */
};

/* By kind, and in the order of their lists. */
struct objects {
	struct object *list;
	size_t n, room;
};

/*
 * A configuration's, from its resolved text; all of `origin`.  The keys that say where it
 * is kept and as whom, state, state_file and user, are none of them.  0, -EINVAL or
 * -ENOMEM; to be freed in any case.  The same of a document, which is as it was when this
 * returns.
 */
int objects_split(const char *text, enum object_origin origin, struct objects *ret);
struct document;
int objects_of_document(const struct document *d, enum object_origin origin,
			struct objects *ret);

/* The other way round, with the keys of where it is kept: *ret is the caller's to free.
 * 0 or -ENOMEM. */
int objects_join(const struct objects *o, const char *state_file, const char *user,
		 char **ret);

/* One more, whose texts are copied. */
int objects_add(struct objects *o, const struct object *one);

void objects_free(struct objects *o);

/* Which number of its list it is; o->n if it is not there. */
struct object_index;
int objects_index(const struct objects *o, struct object_index **ret);
struct object *objects_find(const struct object_index *index, enum object_kind kind,
			    const char *parent, const char *name);
void objects_index_free(struct object_index *index);

/* Do two say the same, however it is spelt? */
bool objects_alike(const struct object *a, const struct object *b);

/* "listeners[web].routes[app]", as differences name it. */
#define OBJECT_TEXT 160
char *object_name(const struct object *o, char ret[OBJECT_TEXT]);

#endif
