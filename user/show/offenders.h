/* SPDX-License-Identifier: Apache-2.0 */
/* Sources that were refused most for a limit: of `tollgate status` and the exporter. */
#ifndef USER_SHOW_OFFENDERS_H
#define USER_SHOW_OFFENDERS_H

#include <jansson.h>
#include <stdio.h>

#include "book/book.h"

/* The first ten, a line each. */
void offenders_print(FILE *out, const struct snapshot *s);

/* All that are known, most refused first; a new reference or NULL. */
json_t *offenders_json(const struct snapshot *s);

#endif
