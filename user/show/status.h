/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USER_SHOW_STATUS_H
#define USER_SHOW_STATUS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "book/audit.h"
#include "book/book.h"

/* Summary of a snapshot and of its audit; JSON is a new reference or NULL. */
void status_print(FILE *out, const struct snapshot *s, const struct audit *a,
		  const char *pins);
json_t *status_json(const struct snapshot *s, const struct audit *a);

/* The verdict, the checks, and with `rows` every row (else only those that differ). */
void audit_print(FILE *out, const struct audit *a, bool rows);
json_t *audit_json(const struct audit *a);

#endif
