/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USER_FOLLOW_H
#define USER_FOLLOW_H

#include <stdbool.h>

#define FOLLOW_EXPORTER "http://127.0.0.1:9980"

struct follow_opts {
	const char *exporter; /* its address, FOLLOW_EXPORTER */
	bool follow;	      /* go on with what is still to come, until Ctrl-C */
	bool json;	      /* one JSON object a line, as the exporter has it */
	const char *book;     /* only "proxy", "tcp" or "wire"; NULL: all */
	unsigned long last;   /* begin with so many older ones */
};

/*
 * Print records of ended connections from an exporter.  0 when there are no more;
 * -ENOENT if there is no exporter; or another negative errno.  Failures are logged.
 */
int follow_run(const struct follow_opts *opts);

#endif
