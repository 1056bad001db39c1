/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One thread that keeps what is known of backends up to date: it checks their health and
 * looks their names up again when the answers grow old.  It never touches a session.
 */
#ifndef PROXY_BACKEND_KEEPER_H
#define PROXY_BACKEND_KEEPER_H

#include "config/config.h"

struct keeper;
struct proxy;

/*
 * Start the thread, with nothing to do yet; p is told when a backend comes up.  0 and
 * *ret, or a negative errno, logged.
 */
int keeper_start(struct proxy *p, struct keeper **ret);

/* From the main thread: keep the backends of this configuration, and no others. */
void keeper_configure(struct keeper *k, struct config *c);

/* Stop the thread and free it.  NULL is fine. */
void keeper_stop(struct keeper *k);

#endif
