/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an old proxy and its successor say to each other, over a Unix socket of the host's
 * own namespace: whole messages with descriptors beside them (unix(7), SCM_RIGHTS).
 *
 *   new                                 old
 *   HELLO version              ──────►
 *                              ◄──────  LISTENER address, socket   for each
 *                              ◄──────  LISTENERS_END
 *   READY to accept            ──────►
 *                              ◄──────  GO: it stops accepting
 *                              ◄──────  SESSION state, sockets, pipes
 *   TAKEN or NOT_MINE          ──────►  forgets it, or goes on with it
 *                              ◄──────  DONE
 */
#ifndef PROXY_HANDOVER_H
#define PROXY_HANDOVER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define HANDOVER_VERSION  1
#define HANDOVER_FDS_MAX  6
#define HANDOVER_DATA_MAX (2 * 1024 * 1024) /* the largest opening fits */

enum handover_type {
	HANDOVER_HELLO = 1,
	HANDOVER_LISTENER,
	HANDOVER_LISTENERS_END,
	HANDOVER_READY,
	HANDOVER_GO,
	HANDOVER_SESSION,
	HANDOVER_TAKEN,
	HANDOVER_NOT_MINE,
	HANDOVER_DONE,
};

/* One message; data is the receiver's until the next, descriptors are its to close. */
struct handover_message {
	uint32_t type;
	uint32_t len;
	uint8_t *data; /* HANDOVER_DATA_MAX, allocated at the first message */
	int fds[HANDOVER_FDS_MAX];
	unsigned fds_n;
};

/* The socket a successor connects to, by the pid of this process.  fd or -errno. */
int handover_listen(void);

/* A successor, if it is root; -EACCES if it is not.  fd or -errno. */
int handover_accept(int listener);

/* To the proxy of that pid.  fd or -errno. */
int handover_connect(pid_t pid);

/* 0 or -errno; a peer that says nothing for 10 s is -EAGAIN. */
int handover_send(int fd, enum handover_type type, const void *data, size_t len,
		  const int *fds, unsigned fds_n);
int handover_receive(int fd, struct handover_message *m);

/* The next message must be of this type.  0, or -errno, -EPROTO for another one. */
int handover_expect(int fd, enum handover_type type, struct handover_message *m);

/* Close descriptors that nobody took, free the data. */
void handover_message_clear(struct handover_message *m);

#endif
