/* SPDX-License-Identifier: Apache-2.0 */
/* Of the files of schema.c, and nobody else's. */
#ifndef PROXY_CONFIG_SCHEMA_OWN_H
#define PROXY_CONFIG_SCHEMA_OWN_H

#include <cyaml/cyaml.h>

#include "config/where.h"

#define LIST(key, type, max)                                                            \
	CYAML_FIELD_SEQUENCE(#key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, type, key, \
			     &schema_string, 1, max)
#define WORD(key, type, max)                                                         \
	CYAML_FIELD_STRING_PTR(#key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, type, \
			       key, 1, max)
#define FLAG(key, type)	  CYAML_FIELD_BOOL(#key, CYAML_FLAG_OPTIONAL, type, key)
#define NUMBER(key, type) CYAML_FIELD_UINT(#key, CYAML_FLAG_OPTIONAL, type, key)

#define DURATION(key, type)                                                          \
	CYAML_FIELD_STRING_PTR(#key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, type, \
			       key, 1, 16)

extern const cyaml_schema_value_t schema_string;

/* schema.c: the document, a listener, and a route. */
extern const cyaml_schema_field_t schema_config[], schema_listener[], schema_route[];

/* schema_http.c: `http` of a listener, and of a route. */
extern const cyaml_schema_field_t schema_http_listener[], schema_http_route[];

struct checker {
	struct where *w;
	struct document *d;
	bool partial; /* of mappings that others add to: nothing must be there */
	bool no_memory;
};

/* A mapping, `whole`: with all that it must have.  False if it cannot stay as it is. */
bool schema_check_fields(struct checker *c, const cyaml_schema_field_t *fields,
			 struct node *map, bool whole);

/* Is a key's value a size, which may have a unit? */
bool schema_is_size(const char *key);

/* Is a key of a route, or of its `http`, no matter of defaults? */
bool schema_is_own(const char *key, bool http);

#endif
