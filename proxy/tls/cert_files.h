/* SPDX-License-Identifier: Apache-2.0 */
/* The files that a configuration has, of certificates above all, and whether they have
 * changed. */
#ifndef PROXY_TLS_CERT_FILES_H
#define PROXY_TLS_CERT_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"

struct cert_path {
	char *chain, *key; /* key NULL: in the same file */
	char *staple;	   /* NULL: none */
	bool is_default;
};

struct cert_paths {
	struct cert_path *all;
	size_t n;
	char **folders; /* "DIR/.", that may get others */
	size_t folders_n;
};

/*
 * Of one entry of the configuration: its files, those of ACME if they are there by now,
 * or those that are in its directory now, by name:
 *
 *   NAME/fullchain.pem  NAME/privkey.pem  NAME/ocsp.der   as certbot and dehydrated have
 * it NAME.crt            NAME.key          NAME.ocsp       as lego has it NAME.pem
 * NAME.key          NAME.ocsp       without NAME.key it is in NAME.pem
 *
 * Others are left alone.  0 and *ret, to be freed with cert_paths_free() in either case;
 * or a negative errno.
 */
int cert_paths_find(const struct certificate *from, struct cert_paths *ret);
void cert_paths_free(struct cert_paths *p);

/* What challenges that are open now are answered with, below the state of ACME. */
int cert_paths_challenges(const char *state, struct cert_paths *ret);

/*
 * fn for each file that certs_load() would read now, and "DIR/." for each folder in which
 * it would look for some, until it says other than 0, which is returned.
 */
int cert_files_each(const struct config *c, int (*fn)(void *arg, const char *path),
		    void *arg);

/*
 * What all of them are by now, to be told from what they were: which there are, their
 * inodes, sizes and times.  certs_load() leaves it in c->files_mark.
 */
uint64_t cert_files_mark(const struct config *c);

#endif
