/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of certificates that change: whoever renews them need not tell us.  Their folders
 * are watched (inotify(7)), so that a file which is replaced, as it should be, is seen,
 * too, and one behind a link that is.  When nothing has happened there for
 * CERTWATCH_QUIET_MS and the files are not those that were read, fn is called.
 */
#ifndef PROXY_PROCESS_CERTWATCH_H
#define PROXY_PROCESS_CERTWATCH_H

#include "base/ev.h"
#include "config/config.h"

#define CERTWATCH_QUIET_MS 500

struct certwatch;

/* fn is called on the loop's thread.  0 or a negative errno; freed before the loop. */
int certwatch_new(struct ev_loop *loop, void (*fn)(void *arg), void *arg,
		  struct certwatch **ret);
void certwatch_free(struct certwatch *w); /* NULL is fine */

/*
 * Those of this configuration, and no others; fn is called, too, if they have changed
 * since it was read.  0 or a negative errno: some are not watched.
 */
int certwatch_set(struct certwatch *w, const struct config *c);

#endif
