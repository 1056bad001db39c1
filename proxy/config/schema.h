/* SPDX-License-Identifier: Apache-2.0 */
/* The shape of the configuration file. */
#ifndef PROXY_CONFIG_SCHEMA_H
#define PROXY_CONFIG_SCHEMA_H

#include <stddef.h>

#include "config/config.h"
#include "config/where.h"

struct schema_fault {
	char what[512];
	char in[512];	       /* of which key; "" if that is not known */
	unsigned line, column; /* 0 if they are not known */
};

/*
 * Map the text onto a configuration, nothing of it derived or checked.  0 and *ret, which
 * is NULL of an empty text; or -EINVAL with *fault.
 */
int schema_load(const char *text, size_t len, struct config **ret,
		struct schema_fault *fault);

/* What schema_load() made; derived forms are the caller's. */
void schema_free(struct config *c);

/* What each list and each choice takes; not thread-safe at its first call. */
const struct where_rule *schema_rules(size_t *n);

/* Call fn for each key there is, once for each place of it: for the manual's test. */
void schema_each_key(void (*fn)(const char *key, void *arg), void *arg);

#endif
