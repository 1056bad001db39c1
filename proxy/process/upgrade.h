/* SPDX-License-Identifier: Apache-2.0 */
/* The conversation of an upgrade, both sides (handover.h); on the main threads. */
#ifndef PROXY_PROCESS_UPGRADE_H
#define PROXY_PROCESS_UPGRADE_H

#include "base/addr.h"
#include "config/config.h"
#include "net/worker.h"

/* A listening socket of the old process. */
struct inherited {
	struct addr addr;
	uint16_t listener; /* id */
	uint8_t ipv6_only;
	uint8_t used;
	int fd; /* -1: it is somebody's now */
};

/* --- the successor --- */

/*
 * Say which version we speak, HANDOVER_VERSION or the one before, and take the listening
 * sockets and what is known of backends.  0 and a list of *n to free, or a negative
 * errno: the old process may speak the other one.
 */
int upgrade_begin(int fd, uint32_t version, struct inherited **ret, unsigned *n);

/* What was known of backends is put where they are now, whose targets exist. */
void upgrade_restore_health(void);

/* A socket for this listener, which is then the caller's; -1 if there is none left. */
int upgrade_socket(struct inherited *list, unsigned n, const struct listener *l);

/* As many workers as sockets of a listener, or what waits in the others is lost. */
unsigned upgrade_workers(const struct inherited *list, unsigned n, unsigned wanted);

/* Every thread runs, and accepts nothing.  0: the old process does not accept any more.
 */
int upgrade_agree(int fd, const struct inherited *list, unsigned n);

/*
 * Take the sessions of the old process.  0: it waits for upgrade_accepting(); or a
 * negative errno, logged: if the old one lives it goes on, and we must not accept.
 */
int upgrade_take(int fd, struct proxy *p, struct config *c);

/* We accept.  0 or a negative errno. */
int upgrade_accepting(int fd);

/* Take what began to relay later; the descriptor is readable.  0; -ECONNRESET when the
 * old process has gone; or another negative errno. */
int upgrade_take_late(int fd, struct proxy *p, struct config *c);

/* --- the old process --- */

/*
 * Give listening sockets (fds[listener * workers + worker]) and sessions.  0: the
 * successor accepts and our listening sockets are closed; or a negative errno, logged:
 * then we accept again, as if nothing had been.  `interrupt`: a descriptor that, when
 * readable, ends it.
 */
int upgrade_give(int fd, int interrupt, struct proxy *p, const struct config *c,
		 const int *fds);

/*
 * Give what relays by now.  1: some may still move, when they relay; 0; or a negative
 * errno: the successor is gone.
 */
int upgrade_give_late(int fd, int interrupt, struct proxy *p);

#endif
