/* SPDX-License-Identifier: Apache-2.0 */
/* The file of the access log, and the thread that writes it. */
#ifndef PROXY_PROCESS_ACCESS_LOG_H
#define PROXY_PROCESS_ACCESS_LOG_H

#include "config/access.h"
#include "net/worker.h"

struct access_log;

/*
 * A ring for each worker, before they start; the thread begins with access_log_open().
 * NULL without memory.
 */
struct access_log *access_log_new(struct proxy *p);

/*
 * From now on lines go to that file, made if it is not there, with the rights of who we
 * are; opened again if it is the same (it was rotated).  NULL: to none.  Of s nothing is
 * kept.  0, or a negative errno with nothing changed.
 */
int access_log_open(struct access_log *a, const struct access_settings *s);

/* What is in the rings is written, the thread ends. */
void access_log_free(struct access_log *a); /* NULL is fine */

#endif
