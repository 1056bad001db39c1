/* SPDX-License-Identifier: Apache-2.0 */
/* The directory where everything of one load is pinned. */
#ifndef USER_PINS_H
#define USER_PINS_H

#include "bpf/abi.h"

#define PIN_PATH_BYTES 4096

/* "<pins>/<name>" in buf, which is returned. */
const char *pin_path(char buf[PIN_PATH_BYTES], const char *pins, const char *name);

/*
 * Make the directory, which must lie on a bpffs; mounts one at /sys/fs/bpf if there is
 * none.  0; -EEXIST if it is there; or another negative errno.  Failures are logged.
 */
int pins_make(const char *pins);

/* Detach and unpin everything in it, and remove it.  0, or a negative errno, logged. */
int pins_remove(const char *pins);

/* What the load, of any version, wrote there; -EINVAL if it is none, logged. */
int pins_meta(const char *pins, struct meta *ret);

#endif
