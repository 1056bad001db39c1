/* SPDX-License-Identifier: Apache-2.0 */
/* Where in a configuration file a value stands, for errors that a schema cannot find. */
#ifndef PROXY_CONFIG_WHERE_H
#define PROXY_CONFIG_WHERE_H

#include <stdbool.h>
#include <stddef.h>

#include "config/config.h"

#define PATH_MAX_KEYS 16

struct where {
	const char *path; /* of the file */
	const char *text;
	size_t len;
	char *err; /* CONFIG_ERROR_MAX */
	/* keys and, where a key is NULL, indexes from the root down */
	const char *keys[PATH_MAX_KEYS];
	unsigned indexes[PATH_MAX_KEYS];
	unsigned depth;
};

/* Step into a key or an index, and out again; a checker leaves as it came. */
void where_enter_key(struct where *w, const char *key);
void where_enter_index(struct where *w, unsigned index);
void where_leave(struct where *w, unsigned levels);

/*
 * Write "FILE:LINE:COLUMN: KEY: ..." for the value that `w` leads to, or for what lacks
 * it, into w->err.  Always -EINVAL.
 */
int where_wrong(struct where *w, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* The same for a place that is known. */
int where_wrong_at(struct where *w, unsigned line, unsigned column, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* A line for the operator, about the value that `w` leads to; it is no error. */
void where_warn(struct where *w, char **warnings, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Does a null of YAML, not quoted (~, null, nothing), stand there? */
bool where_is_null(const struct where *w);

/* What a key takes, to say it in plain words before the schema speaks. */
struct where_rule {
	const char *in; /* the key of the mapping that has it; "": the document */
	const char *key;
	const char *words; /* those there are, a comma between; NULL: it is a list */
	bool is_mapping;   /* and they are its keys, or the first of them */
};

/*
 * What goes wrong in the text itself: no YAML, tabs, what should be quoted, a second
 * document, aliases, a key that is there twice, one value for a list or a mapping, an
 * empty list, a word that is none of those there are.  0, or -EINVAL with w->err.
 */
int where_scan(struct where *w, const struct where_rule *rules, size_t n);

/*
 * libcyaml reports an unknown key at the place of the value before it: find the first key
 * of that name from *line on.  *line and *column are kept if there is none.
 */
void where_locate_key(const char *text, size_t len, const char *key, unsigned *line,
		      unsigned *column);

#endif
