/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store as this process has it: whose it is, which revision is in force, whether it
 * can be written, and whether the file says the same as when it was taken.
 */
#ifndef PROXY_STATE_STATE_H
#define PROXY_STATE_STATE_H

#include "config/faults.h"
#include "state/store.h"

struct state {
	struct store *store;
	char *path, *user;
	int lock;
	bool held;	     /* by this process; else another has it still, or by now */
	uint64_t revision;   /* in force; 0: none yet */
	bool ok;	     /* the last try to write or read succeeded */
	bool behind;	     /* what is in force is not the latest */
	bool file_differs;   /* from what was taken of it last */
	char *file;	     /* its text when it was looked at; NULL: it was not fine */
	char why[STORE_WHY]; /* if it is not ok */
};

/*
 * Open it for `user`, as root: the file and its folder are made if they are not there.
 * `waits`: a process that we take over from may have it; else -EBUSY.  0 or a negative
 * errno, logged.
 */
int state_open(const char *path, const char *user, bool waits, struct state **ret);

/* Take it, if nobody has it any more.  0 or -EBUSY. */
int state_take(struct state *st);

/* For a successor.  Nothing is saved from here on. */
void state_give_up(struct state *st);

/* NULL is fine. */
void state_close(struct state *st);

/*
 * The configuration of a revision, 0: the latest, and of the latest its number.  *ret is
 * the caller's; NULL if there is none yet.  0 or a negative errno with st->why.
 */
int state_text(struct state *st, uint64_t revision, char **ret, uint64_t *ret_revision);

/*
 * The file's text, resolved, with what the API has made beside it (state/merge.h):
 * *ret is the caller's.  *same: it is what is kept, whose each part is,
 * and what was taken last.  As
 * merge_file().
 */
int state_merge(struct state *st, const char *file, unsigned how, char **ret, bool *same,
		struct faults *f);

struct document;

/* What a revision comes from. */
enum state_source {
	SOURCE_API,	/* what is another than before is the API's */
	SOURCE_FILE,	/* all that the file has is the file's */
	SOURCE_REVISION /* each is whose it was then */
};

struct state_saving {
	enum state_source source;
	const char *file;  /* its text, resolved; of SOURCE_FILE */
	uint64_t revision; /* of SOURCE_REVISION */
	struct store_change *change;
	/*
	 * What it will be, just before it is saved: for the change's differences; and the
	 * same when it is in force, to be taken over.  NULL: nobody asks.
	 */
	void (*look)(const struct document *d, void *arg);
	void (*keep)(struct document *d, void *arg);
	void *arg;
};

/*
 * A configuration that is ready to be in force, as resolved, and its document (NULL: it
 * is read again): it is the next revision, and is on the disk.  0 or a negative errno
 * with st->why.
 */
int state_save(struct state *st, const char *text, const struct document *d,
	       const struct state_saving *how);

/* A change of something else.  What cannot be kept is in the log all the same. */
void state_note(struct state *st, struct store_change *change);

/*
 * Compare the file's text, resolved, which is copied, with what was taken of it; NULL: it
 * is not fine.  After another file was taken: the same again.
 */
void state_look_at_file(struct state *st, const char *text);
void state_look_again(struct state *st);

/* Something else is wrong with it; it is ok again when it is written. */
void state_wrong(struct state *st, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Try whether it can be written. */
void state_probe(struct state *st);

#endif
