/* SPDX-License-Identifier: Apache-2.0 */
/* One client connection and its backend connection; see proxy/README.md for its states.
 */
#ifndef PROXY_SESSION_H
#define PROXY_SESSION_H

#include <sys/socket.h>

#include "bpf/abi.h"
#include "worker.h"

/*
 * Take over an accepted socket (closed in any case, also on failure); `peer` is its
 * other end.  The session frees itself when it ends.
 */
void session_start(struct worker *w, struct listener *l, int fd,
		   const struct sockaddr *peer);

/* End up to `max` sessions of the worker now. */
void session_end_some(struct worker *w, enum tg_end reason, unsigned max);

#endif
