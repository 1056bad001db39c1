/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ended connections as JSON lines, of the kernel's records and the proxy's events: the
 * last ones in memory, all of them to a file if asked.  One thread reads both rings; the
 * functions below may be called from any other.
 */
#ifndef USER_EVENTS_H
#define USER_EVENTS_H

#include <stddef.h>
#include <stdint.h>

#include "book/book.h"

struct events_opts {
	size_t keep;	    /* records in memory */
	const char *file;   /* JSON lines go here too; "-": standard output; NULL: no */
	uint64_t file_size; /* bytes after which the file is rotated; 0: never */
	unsigned file_keep; /* rotated files to keep: PATH.1 the newest */
};

struct events;

/* Open the rings, which needs privilege.  0, or a negative errno as of book_open(). */
int events_open(const char *pins, struct book *book, const struct events_opts *opts,
		struct events **ret);

/*
 * Open the file with the rights of now, and start to read.  on_new is called by the
 * reading thread after new records, and at least every second.  0, or a negative errno,
 * logged.
 */
int events_start(struct events *e, void (*on_new)(void *arg), void *arg);
void events_close(struct events *e); /* stops the thread; NULL is fine */

/* Records are numbered from 1.  The newest, 0 if there is none yet; *ret_oldest: the
 * oldest that is in memory. */
uint64_t events_newest(struct events *e, uint64_t *ret_oldest);

/* A copy of that record's line without newline, to free; NULL if it is not in memory. */
char *events_line(struct events *e, uint64_t number);

/* Lines that could not be written to the file. */
uint64_t events_file_errors(struct events *e);

#endif
