/* SPDX-License-Identifier: Apache-2.0 */
/* The files that a configuration has of certificates, and whether they have changed. */
#ifndef PROXY_TLS_CERT_FILES_H
#define PROXY_TLS_CERT_FILES_H

#include <stdint.h>

#include "config/config.h"

/* fn for each file that certs_load() reads, until it says other than 0, which is
 * returned. */
int cert_files_each(const struct config *c, int (*fn)(void *arg, const char *path),
		    void *arg);

/*
 * What a file is by now, to be told from what it was: its inode, size and times, added
 * to those of the files before it.  certs_load() leaves that of all in c->files_mark.
 */
uint64_t cert_files_mark(uint64_t before, const char *path);

#endif
