/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Totals that outlive a load: what `tollgate export-totals` writes and `tollgate load
 * --continue` takes up.  One JSON object, schema 1: rows by the names of listener, route
 * and backend, their counters by the names of the fields in bpf/abi.h (a list where the
 * field is one, by code: those are append-only).  A key that is missing is 0.
 */
#ifndef USER_LOAD_TOTALS_H
#define USER_LOAD_TOTALS_H

#include <jansson.h>
#include <stddef.h>

#include "book/book.h"

#define TOTALS_SCHEMA 1

/*
 * Write the totals of a load to `path`, or to standard output if it is NULL; whole, or
 * not at all.  The proxy must have ended: what it went on to carry would be lost.  0, or
 * a negative errno with the reason logged.
 */
int totals_export(struct book *b, const char *path);

#endif
