/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of a configuration that change, of certificates above all: whoever renews them
 * need not tell us.  What they are (tls/cert_files.h) is compared with what was read when
 * anything happens in their folders (inotify(7)), and every `look_ms` all the same: a
 * folder can be replaced, or be another host's.  fn is called when they have stayed for
 * CERTWATCH_QUIET_MS what they are by now.
 */
#ifndef PROXY_PROCESS_CERTWATCH_H
#define PROXY_PROCESS_CERTWATCH_H

#include "base/ev.h"
#include "config/config.h"

#define CERTWATCH_QUIET_MS 500
#define CERTWATCH_LOOK_MS  (60 * 1000)

struct certwatch;

/* fn is called on the loop's thread.  0 or -ENOMEM; freed before the loop. */
int certwatch_new(struct ev_loop *loop, int64_t look_ms, void (*fn)(void *arg), void *arg,
		  struct certwatch **ret);
void certwatch_free(struct certwatch *w); /* NULL is fine */

/*
 * Those of this configuration, and no others; fn is called, too, if they have changed
 * since it was read.  0 or a negative errno: some are only looked at.
 */
int certwatch_set(struct certwatch *w, struct config *c);

#endif
