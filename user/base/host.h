/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USER_BASE_HOST_H
#define USER_BASE_HOST_H

#include <stddef.h>
#include <stdint.h>

/* Where cgroup v2 is mounted, from /proc/self/mountinfo (proc(5)).  0, or -ENOENT. */
int host_cgroup2(char *ret, size_t cap);

/* 1 if path lies on a bpffs, 0 if not, or a negative errno. */
int host_is_bpffs(const char *path);

/* SO_NETNS_COOKIE of this process's network namespace, 0 if the kernel has none. */
uint64_t host_netns_cookie(void);

/* Raise the descriptor limit to what the system allows; returns the limit in force. */
uint64_t host_raise_nofile(void);

#endif
