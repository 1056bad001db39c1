/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands for what a proxy keeps in its store (tollgate-control(7)); each returns the
 * exit code.  What is not as it should be was logged.
 */
#ifndef USER_COMMAND_STATE_H
#define USER_COMMAND_STATE_H

struct options;

int cmd_apply(struct options *o);
int cmd_restore(struct options *o);
int cmd_snapshot(struct options *o);

/* list, show, add, set and rm of one of them; each with its path. */
int cmd_listener(struct options *o);
int cmd_route(struct options *o);
int cmd_backend(struct options *o);

/* Ask for a change, at `path` (of `cap`), and show what has changed. */
struct ask;
int state_change(const struct options *o, struct ask *a, char *path, unsigned long cap);

/* What the file has that what is in force has not. */
int state_diff(const struct options *o, const char *file);

#endif
