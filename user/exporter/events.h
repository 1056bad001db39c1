/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ended connections as JSON lines, of the kernel's records and the proxy's events: the
 * last ones in memory, all of them to a file if asked.  One thread reads both rings; the
 * functions below may be called from any other.
 */
#ifndef USER_EXPORTER_EVENTS_H
#define USER_EXPORTER_EVENTS_H

#include <stdbool.h>
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
void events_stop(struct events *e);  /* ends the thread, if there is one */
void events_close(struct events *e); /* NULL is fine */

/*
 * Records are numbered from 1, over all books; each book keeps its last opts.keep, so
 * that one that tells much does not push another's out.  The newest, 0 if there is none
 * yet.
 */
uint64_t events_newest(struct events *e);

/* Which records are wanted; 0 and NULL: any. */
struct events_filter {
	const char *book;     /* "proxy", "tcp" or "wire" */
	const char *listener; /* name */
	double since;	      /* closed at or after this second of the epoch */
	bool by_ip;
	uint8_t ip[16]; /* of the client, or of either end */
	__be16 port;	/* of either end */
};

/*
 * The first wanted record behind number `after`: a copy of its line without newline, to
 * free, and its number in *ret_number.  NULL if there is none.  *ret_lost, if that is not
 * NULL: records between the two that are not in memory any more (of any book).
 */
char *events_next(struct events *e, const struct events_filter *f, uint64_t after,
		  uint64_t *ret_number, uint64_t *ret_lost);

/* The number behind which `last` wanted records follow. */
uint64_t events_before_last(struct events *e, const struct events_filter *f,
			    uint64_t last);

/* Of this run of the exporter: numbers of another mean other records. */
uint64_t events_epoch(const struct events *e);

/* Open the file anew, because it was moved away; by the reading thread, soon. */
void events_reopen(struct events *e);

/* Lines that could not be written to the file. */
uint64_t events_file_errors(struct events *e);

#endif
