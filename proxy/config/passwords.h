/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of names and hashed passwords, as htpasswd(1) -B and mkpasswd(1) make them: a
 * line "NAME:HASH" each; empty ones, and those that begin with '#', say nothing.
 */
#ifndef PROXY_CONFIG_PASSWORDS_H
#define PROXY_CONFIG_PASSWORDS_H

#include "config/http.h"

#define PASSWORDS_BYTES	  (1u << 20)
#define PASSWORD_NAME_MAX 255
#define PASSWORD_HASH_MAX 255

struct password {
	struct text name, hash; /* of the file's text */
	unsigned line;
};

struct passwords {
	struct password *all; /* by name */
	size_t n;
	uint64_t mark; /* of the text: another when it has changed */
};

/*
 * Of a file that was read.  0 and *ret, the caller's to free; -ENOMEM; or -EINVAL and the
 * line, and in `why` what is wrong with it.
 */
int passwords_read(const struct config_file *f, struct passwords **ret, unsigned *line,
		   char why[160]);
void passwords_free(struct passwords *p); /* NULL is fine */

/* Those of all routes, of files that were read.  0; or a negative errno and why. */
int config_passwords_read(struct config *c, char why[CONFIG_ERROR_MAX]);

/* NULL: nobody has that name. */
const struct password *passwords_find(const struct passwords *p, struct text name);

#endif
