/* SPDX-License-Identifier: Apache-2.0 */
/* Where in a configuration a checker is, for what it has to say. */
#ifndef PROXY_CONFIG_WHERE_H
#define PROXY_CONFIG_WHERE_H

#include <errno.h>

#include "config/document.h"

#define WHERE_KEYS (2 * DOCUMENT_DEPTH)
#define WHERE_TEXT 512

struct where {
	const struct document *doc;
	struct faults *faults;
	/* keys and, where a key is NULL, indexes from the root down */
	const char *keys[WHERE_KEYS];
	unsigned indexes[WHERE_KEYS];
	unsigned depth;
};

/* Step into a key or an index, and out again. */
void where_enter_key(struct where *w, const char *key);
void where_enter_index(struct where *w, unsigned index);
void where_leave(struct where *w, unsigned levels);

/*
 * One thing of several was checked: w stands at `depth` again, wherever that left it, and
 * what was wrong before and now is one result: 0, -EINVAL, or -ENOMEM before all others.
 */
static inline int where_also(struct where *w, unsigned depth, int before, int now)
{
	w->depth = depth;
	return before == -ENOMEM || !now ? before : now;
}

/*
 * The value that `w` leads to, or what lacks it, is wrong.  Always -EINVAL.  Of what
 * lacks something that was left out, because it is wrong itself, nothing is told.
 */
int where_wrong(struct where *w, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * Is a key wrong itself, or something in it, of the mapping that is so many steps above?
 * What depends on it is then not known.
 */
bool where_lost(const struct where *w, unsigned up, const char *key);

/* The same for who looks for that himself: told in any case. */
int where_wrong_shape(struct where *w, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* The same of the key itself of a node that `w` leads to, of which there may be two. */
int where_wrong_key(struct where *w, const struct node *n, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* A line for the operator, about the value that `w` leads to; it is no error. */
void where_warn(struct where *w, char **warnings, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* "listeners[0].routes[1]", as deep as `w` is, into buf. */
const char *where_path(const struct where *w, char buf[WHERE_TEXT]);

#endif
