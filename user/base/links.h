/* SPDX-License-Identifier: Apache-2.0 */
/* Network devices by rtnetlink(7), in this network namespace. */
#ifndef USER_BASE_LINKS_H
#define USER_BASE_LINKS_H

#include <stdbool.h>

struct link_facts {
	unsigned master;     /* the bridge or bond it belongs to, 0 if none */
	unsigned link;	     /* the device below it, 0 if none */
	bool link_elsewhere; /* that one is in another network namespace */
};

/* 0 and *ret; -ENODEV, or another negative errno. */
int link_facts_read(unsigned ifindex, struct link_facts *ret);

/*
 * A non-blocking socket that becomes readable when a device comes, goes or changes; what
 * it says need not be looked at.  A descriptor, or a negative errno.
 */
int links_watch(void);

/* Read what a watch has to say, and throw it away. */
void links_watch_drain(int fd);

/*
 * How many filters of clsact (tc(8)) are asked before the one with this preference and
 * handle, ingress or egress; -ENOENT if that one is not there; or another negative errno.
 */
int links_filters_before(unsigned ifindex, bool egress, unsigned pref, unsigned handle);

#endif
