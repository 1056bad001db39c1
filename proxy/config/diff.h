/* SPDX-License-Identifier: Apache-2.0 */
/* What is different in two configurations. */
#ifndef PROXY_CONFIG_DIFF_H
#define PROXY_CONFIG_DIFF_H

#include "config/document.h"

enum diff_kind {
	DIFF_ADDED,
	DIFF_REMOVED,
	DIFF_CHANGED,
	DIFF_MOVED /* the same items of a list in another order */
};

/* `path`: "listeners[web].routes[app].backends", items by their name where they have one.
 */
typedef void diff_fn(enum diff_kind kind, const char *path, const struct node *before,
		     const struct node *after, void *arg);

/*
 * Call fn for each difference, the outermost of it alone.  Texts are compared as they
 * stand: a caller has both from config_read(), resolved.  How many there are.
 */
unsigned diff_documents(const struct document *before, const struct document *after,
			diff_fn *fn, void *arg);

#endif
