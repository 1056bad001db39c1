/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USER_BASE_HOST_H
#define USER_BASE_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where cgroup v2 is mounted, from /proc/self/mountinfo (proc(5)).  0, or -ENOENT. */
int host_cgroup2(char *ret, size_t cap);

/* 1 if path lies on a bpffs, 0 if not, or a negative errno. */
int host_is_bpffs(const char *path);

/* SO_NETNS_COOKIE of this process's network namespace, 0 if the kernel has none. */
uint64_t host_netns_cookie(void);

/*
 * Call fn in every network namespace of the host, each once, this one first: those of
 * processes (proc(5)) and those named below /run/netns (ip-netns(8)).  Needs
 * CAP_SYS_ADMIN for others than this one; the caller is back in its own afterwards.
 * 0, or the first negative value of fn, or -errno; -EPERM after this one if no other
 * could be looked at.
 */
int host_each_netns(int (*fn)(void *arg), void *arg);

/*
 * Make the calling thread's network namespace the one with this cookie.  0, also if it is
 * there already; -ESRCH if no process and no name below /run/netns has it; -EPERM without
 * CAP_SYS_ADMIN; or another negative errno.
 */
int host_enter_netns(uint64_t cookie);

/* The ports the kernel hands out (ip(7), ip_local_port_range).  0 or a negative errno. */
int host_ephemeral_ports(uint16_t *ret_min, uint16_t *ret_max);

/*
 * A counter of /proc/net/netstat of this network namespace, "ListenOverflows" say.  0,
 * -ENOENT if the kernel has none of that name, or another negative errno.
 */
int host_netstat(const char *name, uint64_t *ret);

/* Addresses of this host, in this network namespace, sorted. */
struct host_addresses {
	uint8_t (*ip)[16]; /* malloc; addr.h */
	size_t n;
};

/*
 * Those of its interfaces (getifaddrs(3)).  0 or a negative errno; freed by
 * host_addresses_free(), which is fine of none.
 */
int host_addresses_read(struct host_addresses *ret);
void host_addresses_free(struct host_addresses *h);

/*
 * Is it one of them, or 127.0.0.0/8?  What a local route alone makes ours
 * (ip-route(8), "ip route add local") is not seen.
 */
bool host_addresses_has(const struct host_addresses *h, const uint8_t ip[16]);

/* Raise the descriptor limit to what the system allows; returns the limit in force. */
uint64_t host_raise_nofile(void);

#endif
