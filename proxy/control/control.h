/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is asked of a running proxy, and done to it: an API by HTTP and JSON on a Unix
 * socket (tollgate-control(7)).  2xx is said when it is done; GET changes nothing.  On
 * the main thread.
 */
#ifndef PROXY_CONTROL_CONTROL_H
#define PROXY_CONTROL_CONTROL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/ev.h"
#include "config/config.h"
#include "config/faults.h"
#include "state/state.h"

struct control;
struct proxy;

/* What the "file" of a text is that a client sent. */
#define CONTROL_REQUEST "request"

/* What only the process itself can say and do. */
struct control_process {
	struct proxy *proxy;
	const char *config_path;
	void *arg;
	/* What is in force: borrowed until the next call of any. */
	struct config *(*config)(void *arg);
	const char *(*text)(void *arg); /* as resolved, of it */
	/*
	 * Read the file again and make it what is in force.  0; -EINVAL with what is
	 * wrong with the file in *f; or another negative errno, logged.  Nothing has
	 * changed then.
	 */
	int (*reload)(void *arg, struct faults *f);
	/*
	 * What that would be: the resolved text, the caller's to free, of a file that is
	 * fine, or of a text from elsewhere if `given` is not NULL.  Nothing is changed,
	 * and nothing logged.
	 */
	int (*look)(void *arg, const char *given, char **text, struct faults *f);
	/*
	 * With a store: make a text what is in force, saved as `how` says.  As reload();
	 * of the store, if state->ok is false then.
	 */
	struct state *state; /* NULL: the file is the truth */
	int (*change)(void *arg, const char *text, const struct state_saving *how,
		      struct faults *f);
	bool (*is_draining)(void *arg); /* it ends, and changes nothing any more */
};

/*
 * Listen where the clients of the load look for the process `pid`, as root.  The
 * descriptor, or a negative errno.
 */
int control_listen(uint32_t load, pid_t pid);

/*
 * Answer at that socket, which is taken over in any case.  *p is copied.  0 or a negative
 * errno.
 */
int control_open(const struct control_process *p, struct ev_loop *loop, int fd,
		 struct control **ret);

/* NULL is fine. */
void control_close(struct control *c);

/*
 * Something was changed by another way: in the list of changes, as one of `uid`'s and
 * `pid`'s.
 */
void control_note(struct control *c, uid_t uid, pid_t pid, const char *what, bool done);

#endif
