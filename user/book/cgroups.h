/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of cgroups, for rows of the host's sockets: the last part of its path that is a
 * service or a scope of systemd, or else the path below the counted cgroup, or "/".
 */
#ifndef USER_BOOK_CGROUPS_H
#define USER_BOOK_CGROUPS_H

#include "bpf/abi.h"

/* The name of the cgroup at `path` below the counted one ("": itself). */
void cgroup_name_of(const char *path, char ret[TG_NAME_LEN]);

/*
 * Tell the kernel programs of every cgroup from the directory `root` on, and forget those
 * that are gone.  A name keeps its id.  0, or a negative errno: -E2BIG if there are more
 * names than TG_CGROUP_NAMES_MAX; sockets of the others have rows without a cgroup.
 */
int cgroups_scan(const char *pins, const char *root);

#endif
