/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Totals that outlive a load: what `tollgate export-totals` writes and `tollgate load
 * --continue` takes up.  One JSON object, schema 1: rows by the names of listener, route
 * and backend, their counters by the names of the fields in bpf/abi.h (a list where the
 * field is one, by code: those are append-only).  A key that is missing is 0.
 */
#ifndef USER_TOTALS_H
#define USER_TOTALS_H

#include <jansson.h>
#include <stddef.h>

#include "book/book.h"

#define TOTALS_SCHEMA 1

/* A counter, or n of them, of a struct that is made of __u64 alone from there on. */
struct totals_field {
	const char *name; /* NULL ends a list */
	size_t at;	  /* bytes from the beginning of the struct */
	size_t n;
};

extern const struct totals_field totals_tcp[], totals_wire[], totals_slot[];

/*
 * Write the totals of a load to `path`, or to standard output if it is NULL; whole, or
 * not at all.  The proxy must have ended: what it went on to carry would be lost.  0, or
 * a negative errno with the reason logged.
 */
int totals_export(struct book *b, const char *path);

#endif
