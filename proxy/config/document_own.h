/* SPDX-License-Identifier: Apache-2.0 */
/* Of the files of document.h, and nobody else's. */
#ifndef PROXY_CONFIG_DOCUMENT_OWN_H
#define PROXY_CONFIG_DOCUMENT_OWN_H

#include "config/document.h"

/*
 * The root of one file's text, NULL of none.  0, though keys may be there twice, which is
 * told and of which the first is kept; -EINVAL with the reason told; or -ENOMEM.
 */
int yaml_read(struct document *d, unsigned file, const char *text, size_t len,
	      struct faults *f, struct node **ret);

/* --- document_line.c --- */

/* As document_write() in one line; `escape`: to be read again. */
int document_write_line(const struct node *n, bool escape, char **ret);

#endif
