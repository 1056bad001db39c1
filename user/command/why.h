/* SPDX-License-Identifier: Apache-2.0 */
/* "My connection is reset: why?" */
#ifndef USER_COMMAND_WHY_H
#define USER_COMMAND_WHY_H

#include <stdbool.h>

struct why_opts {
	const char *exporter;
	const char *address; /* of the client */
	unsigned long last;  /* look at so many of its connections */
	bool json;
};

/*
 * Tell why the last connections of an address ended, with what each reason means and what
 * to do.  0; -ENOENT if there is no exporter; or another negative
 * errno, logged.
 */
int why_run(const struct why_opts *opts);

#endif
