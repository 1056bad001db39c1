/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kinds of values that stand in several places.  Each is looked for below where `w`
 * stands, which is left as it was on success; 0, -EINVAL with all that is wrong told, or
 * -ENOMEM.
 */
#ifndef PROXY_CONFIG_VALUE_H
#define PROXY_CONFIG_VALUE_H

#include "config/config.h"
#include "config/where.h"

/* A name that becomes nft counters and metric labels. */
int value_name(struct where *w, const char *name);

/* A list of prefixes below `key`, into *ret, which is the configuration's in any case. */
int value_prefixes(struct where *w, const char *key, char *const *texts, unsigned n,
		   struct prefix **ret);

/* A duration, `def` if there is none, more than 0 if there is one. */
int value_duration(struct where *w, const char *key, const char *text, int64_t def,
		   int64_t *ret);

/*
 * Names of hosts below `key`, in lower case afterwards, and their expressions, into *ret,
 * which is the configuration's in any case (value_names.c).
 */
int value_names(struct where *w, struct config *c, const char *key, char *const *names,
		unsigned n, struct pattern ***ret);

/* "~EXPRESSION" into *ret; warns of one that takes too many steps. */
int value_pattern(struct where *w, struct config *c, const char *text,
		  struct pattern **ret);

/* `status`, a list of "404" (as 404) and "4xx" (as 4), into ret[n]. */
int value_statuses(struct where *w, char *const *texts, unsigned n, uint16_t *ret);

/* "N/DURATION", "N/DURATION burst M". */
int value_rate(struct where *w, const char *key, const char *text, struct rate *ret);

/* Limits below `limits`, and their rates. */
int value_limits(struct where *w, struct limits *l);

#endif
