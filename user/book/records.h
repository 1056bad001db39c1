/* SPDX-License-Identifier: Apache-2.0 */
/* The ring of ended connections.  It has one reader: the exporter. */
#ifndef USER_BOOK_RECORDS_H
#define USER_BOOK_RECORDS_H

#include "bpf/abi.h"

struct records;

/* Not 0: records_poll() is to return before the ring is empty. */
typedef int (*records_fn)(const struct record *r, void *arg);

/*
 * Open the ring pinned below `pins` and hand each record to fn.  0, or a negative errno
 * as of book_open().
 */
int records_open(const char *pins, records_fn fn, void *arg, struct records **ret);
void records_close(struct records *r);

/* Wait at most `ms` for records and hand them out.  0, or a negative errno. */
int records_poll(struct records *r, int ms);

#endif
