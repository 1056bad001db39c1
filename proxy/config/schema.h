/* SPDX-License-Identifier: Apache-2.0 */
/* The shape of the configuration file. */
#ifndef PROXY_CONFIG_SCHEMA_H
#define PROXY_CONFIG_SCHEMA_H

#include <stddef.h>
#include <stdio.h>

#include "config/config.h"
#include "config/where.h"

/*
 * Put what `defaults` has into each route that it is for (schema_defaults.c).  0, though
 * something may be told; or -ENOMEM.
 */
int schema_put_defaults(struct where *w, struct document *d);

/*
 * Tell all that is none of the schema's, and leave it out, so that the rest can be looked
 * at (schema_shape.c).  Truth, numbers and sizes are as libcyaml reads them afterwards.
 * 0, though something may be told; -EINVAL if what is left is no configuration; or
 * -ENOMEM.
 */
int schema_check(struct where *w, struct document *d);

/* The JSON Schema (draft 7) of the file, for editors (schema_json.c).  0, or -EIO. */
int schema_write_json(FILE *out);

#define SCHEMA_WHAT 512

/*
 * Map a text that schema_check() has left onto a configuration, nothing of it derived or
 * checked.  0 and *ret, which is NULL of an empty text; or -EINVAL or -ENOMEM with what
 * libcyaml says.
 */
int schema_load(const char *text, size_t len, struct config **ret,
		char what[SCHEMA_WHAT]);

/* What schema_load() made; derived forms are the caller's. */
void schema_free(struct config *c);

/* Call fn for each key there is, once for each place of it: for the manual's test. */
void schema_each_key(void (*fn)(const char *key, void *arg), void *arg);

#endif
