/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USER_COMMAND_FOLLOW_H
#define USER_COMMAND_FOLLOW_H

#include <jansson.h>
#include <stdbool.h>

#define FOLLOW_EXPORTER "http://127.0.0.1:9980"

struct follow_opts {
	const char *exporter; /* its address, FOLLOW_EXPORTER */
	bool follow;	      /* go on with what is still to come, until Ctrl-C */
	bool json;	      /* one JSON object a line, as the exporter has it */
	const char *book;     /* only "proxy", "tcp" or "wire"; NULL: all */
	unsigned long last;   /* begin with so many older ones */
	const char *address;  /* only of this address; NULL: any */
	const char *listener; /* only of this one; NULL: any */
	unsigned long port;   /* only of this one; 0: any */
	unsigned long since;  /* only what closed since then, seconds since 1970 */
};

/*
 * Print records of ended connections from an exporter.  One that goes while it is
 * followed is waited for, and asked for what came meanwhile.  0 when there are no more;
 * -ENOENT if there is no exporter; or another negative errno.  Failures are logged.
 */
int follow_run(const struct follow_opts *opts);

/*
 * Call fn for each record that follow_run() would print, without `follow`.  0, or as
 * follow_run().
 */
int follow_each(const struct follow_opts *opts, void (*fn)(const json_t *o, void *arg),
		void *arg);

#endif
