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
	const char *key;
	const char *words; /* those there are, a comma between; NULL: it is a list */
};

/*
 * What goes wrong in the text itself: no YAML, tabs, what should be quoted, a second
 * document, aliases, a key that is there twice, one value for a list, an empty list, a
 * word that is none of those there are.  0, or -EINVAL with w->err.
 */
int where_scan(struct where *w, const struct where_rule *rules, size_t n);

/*
 * libcyaml reports an unknown key at the place of the value before it: find the first key
 * of that name from *line on.  *line and *column are kept if there is none.
 */
void where_locate_key(const char *text, size_t len, const char *key, unsigned *line,
		      unsigned *column);

/*
 * check.c: a name that becomes nft counters and metric labels; and a list of
 * prefixes below `key`, into *ret, which is the configuration's in any case.
 */
int config_check_name(struct where *w, const char *name);
int config_check_prefixes(struct where *w, const char *key, char *const *texts,
			  unsigned n, struct prefix **ret);

/* A duration, `def` if there is none, more than 0 if there is one. */
int config_check_duration(struct where *w, const char *key, const char *text, int64_t def,
			  int64_t *ret);

/* Limits below `limits`, and their rates. */
int config_check_limits(struct where *w, struct limits *l);

/* check_route.c: a listener's routes and backends. */
int config_check_routes(struct where *w, struct config *c, struct listener *l);

/*
 * own.c: backends on this host: a listener that is its own, by way of others
 * too, is an error; a port that the kernel hands out a warning.
 */
int config_check_own(struct where *w, struct config *c);

/* check.c: everything a schema cannot say.  0, -EINVAL with w->err, or -ENOMEM. */
int config_check(struct where *w, struct config *c);

#endif
