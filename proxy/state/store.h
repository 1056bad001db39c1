/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Objects of a configuration and who changed them, in a file of SQLite's: each revision,
 * for as long as it is kept.  What was saved is on the disk (WAL, synchronous FULL).  On
 * one thread.
 */
#ifndef PROXY_STATE_STORE_H
#define PROXY_STATE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "state/objects.h"

#define STORE_WHY   256
#define STORE_KEPT  10000 /* changes, and the revisions that they made */
#define STORE_TEXTS 8192  /* bytes of the differences that are kept of a change */

struct store;

struct store_change {
	uint64_t number;   /* given by the store */
	uint64_t revision; /* that it made; 0: of what is no configuration */
	int64_t at;	   /* seconds since 1970 */
	uid_t uid, login;  /* (uid_t)-1: not known */
	pid_t pid;
	const char *program, *what;
	const char *message;	 /* who did it says why; or "" */
	const char *differences; /* JSON, as as_json_differences(); or "" */
	bool done;
};

/*
 * The file, which is made if it is not there; it is not followed if it is a link.  0;
 * -EUCLEAN if it is none of ours or broken; -EPROTO if a later version made it; another
 * negative errno; with the reason in why.
 */
int store_open(const char *path, struct store **ret, char why[STORE_WHY]);

/* NULL is fine. */
void store_close(struct store *s);

/* The latest; 0: there is none yet.  A negative errno if it cannot be read. */
int64_t store_revision(struct store *s, char why[STORE_WHY]);

/*
 * The objects of a revision, 0: the latest.  0; -ENOENT if it is not kept, or never was;
 * or another negative errno; to be freed in any case.
 */
int store_read(struct store *s, uint64_t revision, struct objects *ret,
	       char why[STORE_WHY]);

/*
 * These are the next revision, `change` says why, and `file`, if it is not NULL, is the
 * text of the file that they come from: all of it, or nothing.  Of `now` the positions
 * only say the order, and an unknown origin is what it was before.  0 and *revision, or a
 * negative errno.
 */
int store_save(struct store *s, struct objects *now, struct store_change *change,
	       const char *file, uint64_t *revision, char why[STORE_WHY]);

/* A change of something else.  0 or a negative errno. */
int store_note(struct store *s, struct store_change *change, char why[STORE_WHY]);

/*
 * The first `max` changes behind `after`, or, of 0, the last; in their order.  0 or a
 * negative errno.
 */
int store_changes(struct store *s, uint64_t after, unsigned max,
		  void (*fn)(const struct store_change *c, void *arg), void *arg,
		  char why[STORE_WHY]);

/* The text of the file that was taken last; *ret is the caller's.  0 or a negative errno.
 */
int store_file(struct store *s, char **ret, char why[STORE_WHY]);

/* Can it be written, and is it still what is found at its path?  0 or a negative errno.
 */
int store_probe(struct store *s, char why[STORE_WHY]);

/* All of it, as a file of its own: *ret is the caller's.  0 or a negative errno. */
int store_snapshot(struct store *s, char **ret, size_t *n, char why[STORE_WHY]);

#endif
