/* SPDX-License-Identifier: Apache-2.0 */
/* Files that a configuration names, read whole with it: pages, passwords, keys of tokens.
 */
#ifndef PROXY_CONFIG_FILES_H
#define PROXY_CONFIG_FILES_H

#include <stdbool.h>
#include <stddef.h>

#include "config/config.h"

struct config_file {
	struct config_file *next;
	const char *path; /* of the configuration */
	size_t max;
	bool secret;
	char *text; /* terminated; NULL until config_files_read() */
	size_t len;
};

/*
 * The one at `path`, however often it is named; the configuration's.  `secret`: others
 * should not read it, and it is warned of if they may.  NULL: no memory.
 */
struct config_file *config_file(struct config *c, const char *path, size_t max,
				bool secret);

/*
 * Read all of them.  0; or a negative errno and in `why` which cannot be read, or is too
 * large.
 */
int config_files_read(struct config *c, char why[CONFIG_ERROR_MAX]);

void config_files_free(struct config *c);

#endif
