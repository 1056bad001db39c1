/* SPDX-License-Identifier: Apache-2.0 */
/* The directory where everything of one load is pinned. */
#ifndef USER_LOAD_PINS_H
#define USER_LOAD_PINS_H

#include <stdbool.h>

#include "bpf/abi.h"

#define PIN_PATH_BYTES 4096

/* "<pins>/<name>" in buf, which is returned. */
const char *pin_path(char buf[PIN_PATH_BYTES], const char *pins, const char *name);

/*
 * Make a directory for a load that is being made, beside `pins`, which must not be one of
 * a load and must lie on a bpffs; mounts one at /sys/fs/bpf if there is none, and then
 * *ret_mounted is true.  What earlier loads left that were killed is removed.  0 and its
 * path in ret; -EEXIST if something is loaded in `pins`; or another negative errno.
 * Failures are logged.
 */
int pins_begin(const char *pins, char ret[PIN_PATH_BYTES], bool *ret_mounted);

/* The load is whole: from now on it is found in `pins`.  0 or a negative errno, logged.
 */
int pins_commit(const char *dir, const char *pins);

/* Undo pins_begin() and whatever was pinned since. */
void pins_abandon(const char *dir, bool mounted);

/* Detach and unpin everything in it, and remove it.  0, or a negative errno, logged. */
int pins_remove(const char *pins);

/* Remove what loads for `pins` left that did not come to their end; how many. */
unsigned pins_remove_stale(const char *pins);

/* Is the directory there and empty? */
bool pins_is_empty(const char *pins);

/* What the load, of any version, wrote there; -EINVAL if it is none, logged. */
int pins_meta(const char *pins, struct meta *ret);

#endif
