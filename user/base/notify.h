/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Telling the service manager, by the protocol of sd_notify(3).  Without one (no
 * NOTIFY_SOCKET in the environment) nothing is told.
 */
#ifndef USER_BASE_NOTIFY_H
#define USER_BASE_NOTIFY_H

#include <stdint.h>

/*
 * Lines of "NAME=value", such as "READY=1\nSTATUS=serving".  0, also if there is nobody;
 * or a negative errno.
 */
int notify(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* It begins to read its configuration again; READY=1 is said when it is done. */
int notify_reloading(void);

/* How often it wants to hear WATCHDOG=1, in nanoseconds; 0: never. */
uint64_t notify_watchdog_ns(void);

#endif
