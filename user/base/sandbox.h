/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USER_BASE_SANDBOX_H
#define USER_BASE_SANDBOX_H

#include <sys/capability.h>

/*
 * Become `user` and keep only the `n` capabilities of `keep`, permitted but not
 * effective, for every thread started from now on.  0, or a negative errno with a
 * message logged; the process must then stop.  A process that is not root only gives up
 * what it has.
 */
int sandbox_enter(const char *user, const cap_value_t *keep, int n);

/* Make one kept capability effective for this thread, or give it back.  0 or -errno. */
int sandbox_raise(cap_value_t cap);
int sandbox_lower(cap_value_t cap);

/* Give up what this thread kept, for good; others keep theirs.  0 or -errno. */
int sandbox_drop(void);

/* Name of the first of the `n` capabilities this process lacks, NULL if it has all. */
const char *sandbox_missing(const cap_value_t *need, const char *const *names, int n);

#endif
