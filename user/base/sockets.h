/* SPDX-License-Identifier: Apache-2.0 */
/* What sockets there are: this process's, and the kernel's. */
#ifndef USER_BASE_SOCKETS_H
#define USER_BASE_SOCKETS_H

#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

/* SO_COOKIEs of sockets. */
struct cookies {
	uint64_t *v; /* malloc */
	size_t n, cap;
};

/* 0 or -ENOMEM. */
int cookies_add(struct cookies *c, uint64_t cookie);

/* For cookies_has(), which is a binary search. */
void cookies_sort(struct cookies *c);
int cookies_has(const struct cookies *c, uint64_t cookie);
void cookies_free(struct cookies *c); /* and empty it */

/* SO_COOKIE (socket(7)), 0 on any error. */
uint64_t socket_cookie(int fd);

/*
 * TCP sockets of this network namespace that listen for nothing and are not closed, by
 * sock_diag(7).  0; -ENOENT if the kernel has no inet_diag; or another negative errno.
 */
int sockets_tcp(struct cookies *ret);

/* TCP sockets among this process's descriptors, listening ones not.  0 or -errno. */
int sockets_own(struct cookies *ret);

/*
 * "NAME (pid N)" of a program that listens on that address and port, or on a wildcard
 * with that port, by /proc; it takes the right to look into it.  0, or -ENOENT with *ret
 * untouched.
 */
int sockets_owner(const struct addr *a, char *ret, size_t cap);

#endif
