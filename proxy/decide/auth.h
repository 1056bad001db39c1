/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names and passwords (RFC 7617).  A hash that is made to take time is not computed on a
 * worker, which has others to serve: threads of their own do that, at a lower priority,
 * and the answer comes as a post.  What was right is remembered by a keyed hash, for as
 * long as the file of passwords is the same; what was wrong is not.
 */
#ifndef PROXY_DECIDE_AUTH_H
#define PROXY_DECIDE_AUTH_H

#include "config/passwords.h"
#include "net/worker.h"

#define AUTH_QUEUE_MAX 256 /* that wait to be computed */

struct auth;
struct auth_check;

enum auth_result {
	AUTH_FINE,
	AUTH_MISSING, /* no name and password are there */
	AUTH_WRONG,
	AUTH_BUSY,  /* too many are waiting, or there is no memory */
	AUTH_LATER, /* done() is called */
};

/* NULL without memory; threads begin with the first that is to be computed. */
struct auth *auth_new(struct proxy *p);

/* When the workers have ended, and before they are gone. */
void auth_stop(struct auth *a); /* NULL is fine */
void auth_free(struct auth *a); /* NULL is fine */

/*
 * Who is it?  With AUTH_LATER, *ret is what is going on, until done(arg, is it right) is
 * called on this worker's thread, or auth_forget().  With it, and with AUTH_FINE, `name`
 * is who it says it is.
 */
enum auth_result auth_basic(struct auth *a, struct worker *w,
			    const struct http_basic_auth *b, const struct http_head *h,
			    char name[PASSWORD_NAME_MAX + 1],
			    void (*done)(void *arg, bool right), void *arg,
			    struct auth_check **ret);

/* Nobody waits for it any more. */
void auth_forget(struct auth_check *c);

#endif
