/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A child of a living program that stays root and does one thing: it looks whether the
 * hooks of the load are attached, and mends them (repair.h).  It reads nothing from
 * outside but the kernel's notices that a device changed.
 */
#ifndef USER_LOAD_KEEP_H
#define USER_LOAD_KEEP_H

#include <sys/types.h>

struct keep {
	int fd; /* -1: there is none.  Its other end is the child's life */
	pid_t pid;
};

/*
 * Begin, before privilege is given up and before any thread.  0, or a negative errno:
 * then nobody mends, and the caller goes on.
 */
int keep_begin(const char *pins, struct keep *ret);
void keep_end(struct keep *k);

#endif
