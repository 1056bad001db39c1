/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an old proxy and its successor say to each other, over a Unix socket in a
 * directory of root's (base/rundir.h): whole messages with descriptors beside them
 * (unix(7), SCM_RIGHTS).
 *
 *   new                                 old
 *   HELLO version              ──────►
 *                              ◄──────  LISTENER address, socket   for each
 *                              ◄──────  HEALTH name, addresses     for each backend
 *                              ◄──────  TICKETS keys of TLS sessions
 *                              ◄──────  LISTENERS_END
 *   READY: which sockets it uses ────►  every thread runs, none accepts yet
 *                              ◄──────  GO: it does not accept any more
 *                              ◄──────  SESSION state, sockets, pipes   some of them
 *   TAKEN or NOT_MINE          ──────►  for each
 *                              ◄──────  COMMIT: what was taken is the successor's
 *                                       ... until there are no more
 *                              ◄──────  DONE
 *   ACCEPTING                  ──────►  it closes its listening sockets, and drains
 *                              ◄──────  SESSION ... COMMIT of what begins to relay later
 *
 * Until ACCEPTING the old process goes on if anything fails: it accepts again, and what
 * was not committed is its own.
 */
#ifndef PROXY_PROCESS_HANDOVER_H
#define PROXY_PROCESS_HANDOVER_H

#include <linux/types.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define HANDOVER_VERSION     3 /* the one before is spoken, too */
#define HANDOVER_FDS_MAX     6
#define HANDOVER_DATA_MAX    (2 * 1024 * 1024) /* the largest opening fits */
#define HANDOVER_PATIENCE_MS 10000	       /* for the other end to say something */

enum handover_type {
	HANDOVER_HELLO = 1,
	HANDOVER_LISTENER,
	HANDOVER_HEALTH,
	HANDOVER_LISTENERS_END,
	HANDOVER_READY,
	HANDOVER_GO,
	HANDOVER_SESSION,
	HANDOVER_TAKEN,
	HANDOVER_NOT_MINE,
	HANDOVER_COMMIT,
	HANDOVER_DONE,
	HANDOVER_ACCEPTING,
	HANDOVER_TICKETS,
};

/* One message; data is the receiver's until the next, descriptors are its to close. */
struct handover_message {
	uint32_t type;
	uint32_t len;
	uint8_t *data; /* HANDOVER_DATA_MAX, allocated at the first message */
	int fds[HANDOVER_FDS_MAX];
	unsigned fds_n;
};

/*
 * The socket a successor connects to, in the run directory of this load (its number is
 * that of its first map), by the pid of this process.  As root, before privilege is given
 * up; a descriptor or -errno.
 */
int handover_listen(uint32_t load);

/* A successor, if it is root; -EACCES if it is not.  fd or -errno. */
int handover_accept(int listener);

/* To the proxy of that pid.  fd or -errno. */
int handover_connect(uint32_t load, pid_t pid);

/*
 * A message.  0 or -errno: -EAGAIN of a peer that says nothing, or takes nothing, for
 * `patience_ms`; -EINTR when `interrupt` (a descriptor, or -1) becomes readable
 * meanwhile.  Who serves clients meanwhile says so: `heartbeat_ns`, if it is given, is
 * set to the time of CLOCK_MONOTONIC at each message and each second of waiting.
 */
struct handover {
	int fd;
	int interrupt;
	int patience_ms;
	__u64 *heartbeat_ns;
};

int handover_send(const struct handover *h, enum handover_type type, const void *data,
		  size_t len, const int *fds, unsigned fds_n);
int handover_receive(const struct handover *h, struct handover_message *m);

/* The next message must be of this type.  0, or -errno, -EPROTO for another one. */
int handover_expect(const struct handover *h, enum handover_type type,
		    struct handover_message *m);

/* Close descriptors that nobody took, free the data. */
void handover_message_clear(struct handover_message *m);

#endif
