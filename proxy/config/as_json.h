/* SPDX-License-Identifier: Apache-2.0 */
/* Documents, their differences and their faults as JSON, for who answers in it. */
#ifndef PROXY_CONFIG_AS_JSON_H
#define PROXY_CONFIG_AS_JSON_H

#include <jansson.h>

#include "config/document.h"

/*
 * A node of a document that config_document() has read, whose texts have their types.
 * The caller's; NULL of no memory.
 */
json_t *as_json(const struct node *n);

/*
 * What `after` has that `before` had not: [{kind, key, before, after}], kind added,
 * removed, changed or moved (diff.h).
 */
json_t *as_json_differences(const struct document *before, const struct document *after);

/* [{file, line, column, key, pointer (RFC 6901), detail}]; line 0: of no place. */
json_t *as_json_faults(const struct faults *f);

#endif
