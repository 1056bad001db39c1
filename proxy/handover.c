/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream socket, so that a message may be as large as it is; descriptors come with its
 * header.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "handover.h"

#define PATIENCE_S 10

struct header {
	uint32_t type, len;
};

/* An abstract address (unix(7)): nothing is left behind in a file system. */
static socklen_t name_of(pid_t pid, struct sockaddr_un *ret)
{
	int n;

	memset(ret, 0, sizeof(*ret));
	ret->sun_family = AF_UNIX;
	n = snprintf(ret->sun_path + 1, sizeof(ret->sun_path) - 1, "tollgate-proxy.%d",
		     (int)pid);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
}

static void be_patient(int fd)
{
	const struct timeval patience = { .tv_sec = PATIENCE_S };

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
}

int handover_listen(void)
{
	struct sockaddr_un name;
	socklen_t len = name_of(getpid(), &name);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), err;

	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&name, len) == 0 && listen(fd, 1) == 0)
		return fd;
	err = -errno;
	close(fd);
	return err;
}

int handover_accept(int listener)
{
	struct ucred who;
	socklen_t len = sizeof(who);
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0 || who.uid != 0) {
		close(fd);
		return -EACCES;
	}
	be_patient(fd);
	return fd;
}

int handover_connect(pid_t pid)
{
	struct sockaddr_un name;
	socklen_t len = name_of(pid, &name);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), err = 0;
	struct ucred who;
	socklen_t who_len = sizeof(who);

	if (fd < 0)
		return -errno;
	be_patient(fd);
	if (connect(fd, (struct sockaddr *)&name, len) < 0)
		err = -errno;
	else if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &who_len) < 0 ||
		 who.pid != pid)
		err = -EACCES; /* somebody else has taken its name */
	if (!err)
		return fd;
	close(fd);
	return err;
}

static int send_rest(int fd, const uint8_t *p, size_t n)
{
	while (n > 0) {
		ssize_t r = send(fd, p, n, MSG_NOSIGNAL);

		if (r < 0)
			return -errno;
		p += r;
		n -= (size_t)r;
	}
	return 0;
}

int handover_send(int fd, enum handover_type type, const void *data, size_t len,
		  const int *fds, unsigned fds_n)
{
	struct header h = { .type = type, .len = (uint32_t)len };
	struct iovec iov = { .iov_base = &h, .iov_len = sizeof(h) };
	union {
		char bytes[CMSG_SPACE(HANDOVER_FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;

	if (fds_n) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(fds_n * sizeof(int));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(fds_n * sizeof(int));
		memcpy(CMSG_DATA(c), fds, fds_n * sizeof(int));
	}
	if (sendmsg(fd, &msg, MSG_NOSIGNAL) != sizeof(h))
		return errno ? -errno : -EIO;
	return send_rest(fd, data, len);
}

static int receive_all(int fd, void *buf, size_t n)
{
	uint8_t *p = buf;

	while (n > 0) {
		ssize_t r = recv(fd, p, n, 0);

		if (r <= 0)
			return r == 0 ? -ECONNRESET : -errno;
		p += r;
		n -= (size_t)r;
	}
	return 0;
}

static void take_fds(struct msghdr *msg, struct handover_message *m)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		m->fds_n = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(m->fds, CMSG_DATA(c), m->fds_n * sizeof(int));
	}
}

int handover_receive(int fd, struct handover_message *m)
{
	union {
		char bytes[CMSG_SPACE(HANDOVER_FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct header h;
	struct iovec iov = { .iov_base = &h, .iov_len = sizeof(h) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.bytes,
			      .msg_controllen = sizeof(control.bytes) };
	ssize_t n;

	m->fds_n = 0;
	if (!m->data && !(m->data = malloc(HANDOVER_DATA_MAX)))
		return -ENOMEM;
	n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC | MSG_WAITALL);
	if (n != sizeof(h))
		return n < 0 ? -errno : -ECONNRESET;
	take_fds(&msg, m);
	if (h.len > HANDOVER_DATA_MAX)
		return -EPROTO;
	m->type = h.type;
	m->len = h.len;
	return receive_all(fd, m->data, h.len);
}

int handover_expect(int fd, enum handover_type type, struct handover_message *m)
{
	int err = handover_receive(fd, m);

	return err ? err : m->type == type ? 0 : -EPROTO;
}

void handover_message_clear(struct handover_message *m)
{
	while (m->fds_n > 0)
		close(m->fds[--m->fds_n]);
	free(m->data);
	m->data = NULL;
}
