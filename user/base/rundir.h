/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A directory of root's for what living processes of one load say to each other and lock:
 * nobody else may enter it, so what is found in it is ours.
 */
#ifndef USER_BASE_RUNDIR_H
#define USER_BASE_RUNDIR_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define RUNDIR_ROOT "/run/tollgate"
#define RUNDIR_PATH 64

/*
 * Make /run/tollgate/<number> (0700, root's) if it is not there, and write its path to
 * ret. Needs root.  0; -EACCES if it is there and another's; or another negative errno.
 */
int rundir_make(uint32_t number, char ret[RUNDIR_PATH]);

/*
 * Take `name` in it for this process, until it ends.  A descriptor; -EBUSY if another has
 * it, whose pid is in *ret_pid (0: not known); or another negative errno.
 */
int rundir_lock(const char *dir, const char *name, pid_t *ret_pid);

/* Where the process `pid` of that load listens for its successor. */
void rundir_socket(uint32_t number, pid_t pid, char ret[RUNDIR_PATH]);

/* Where it is asked and told things (proxy/control/). */
void rundir_control(uint32_t number, pid_t pid, char ret[RUNDIR_PATH]);

/* Remove it and what is in it. */
void rundir_remove(uint32_t number);

#endif
