/* SPDX-License-Identifier: Apache-2.0 */
/* Of the files of store.h, and nobody else's. */
#ifndef PROXY_STATE_STORE_OWN_H
#define PROXY_STATE_STORE_OWN_H

#include <sqlite3.h>

#include "state/store.h"

struct store {
	sqlite3 *db;
	char *path;
	dev_t dev;
	ino_t ino;
	bool read_only;
};

/* What SQLite says of the last call, as a negative errno with the reason in why. */
int store_wrong(struct store *s, char why[STORE_WHY]);

/* Is the file still the one that was opened?  0 or -ESTALE. */
int store_is_there(const struct store *s, char why[STORE_WHY]);

/* NULL if it cannot be: store_wrong() says why. */
sqlite3_stmt *store_prepare(struct store *s, const char *sql);

/* Statements without results.  0 or a negative errno. */
int store_run(struct store *s, const char *sql, char why[STORE_WHY]);

/* Rows of objects, by a query whose ?1 is the revision if that is not 0. */
int store_rows(struct store *s, const char *sql, uint64_t revision, struct objects *ret,
	       char why[STORE_WHY]);

#endif
