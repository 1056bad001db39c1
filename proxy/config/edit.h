/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changing parts of a configuration.  A path has the keys and the items of lists, with
 * '/' between: "listeners/web/routes/app/backends/10.0.0.1:80"; "" is all of it.  An item
 * is found by its `name` or `address`, as the word that it is or begins with, or by its
 * number from 0; of a list the whole rest of the path, first, as it may have a '/'
 * itself. What is put in may be of another document, which then lives as long as this
 * one.
 */
#ifndef PROXY_CONFIG_EDIT_H
#define PROXY_CONFIG_EDIT_H

#include "config/document.h"

/* NULL if there is none. */
struct node *edit_find(const struct document *d, const char *path);

/*
 * `value` at `path`: instead of what is there, or behind the last
 * of what it is in (*created).  A mapping that is to be an item and has no `name` gets
 * the path's.  0; -ENOENT if there is nothing that it could be in; -EEXIST if it has
 * another name than the path; -ENOMEM.
 */
int edit_put(struct document *d, const char *path, struct node *value, bool *created);

/* 0 or -ENOENT. */
int edit_remove(struct document *d, const char *path);

/*
 * What is there, changed by a patch as RFC 7396 has it for JSON: keys of mappings one by
 * one, all else as a whole, and null takes away.  0; -ENOENT; or -EEXIST if the patch
 * would give it another name.
 */
int edit_patch(struct document *d, const char *path, struct node *patch);

#endif
