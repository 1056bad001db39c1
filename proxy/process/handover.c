/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream socket, so that a message may be as large as it is; descriptors come with its
 * header.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/rundir.h"
#include "base/util.h"
#include "book/writer.h"
#include "process/handover.h"

#define BEAT_MS 1000

struct header {
	uint32_t type, len;
};

static int name_of(uint32_t load, pid_t pid, struct sockaddr_un *ret)
{
	char dir[RUNDIR_PATH];
	int err = rundir_make(load, dir);

	memset(ret, 0, sizeof(*ret));
	ret->sun_family = AF_UNIX;
	if (!err) {
		rundir_socket(load, pid, dir);
		memcpy(ret->sun_path, dir, strlen(dir) + 1);
	}
	return err;
}

int handover_listen(uint32_t load)
{
	struct sockaddr_un name;
	int fd, err = name_of(load, getpid(), &name);

	if (err)
		return err;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	(void)unlink(name.sun_path); /* of a process that had this pid */
	if (bind(fd, (struct sockaddr *)&name, sizeof(name)) == 0 &&
	    chmod(name.sun_path, 0600) == 0 && listen(fd, 1) == 0)
		return fd;
	err = -errno;
	close(fd);
	return err;
}

int handover_accept(int listener)
{
	struct ucred who;
	socklen_t len = sizeof(who);
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return -errno;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0 || who.uid != 0) {
		close(fd);
		return -EACCES;
	}
	return fd;
}

int handover_connect(uint32_t load, pid_t pid)
{
	struct sockaddr_un name;
	int err = name_of(load, pid, &name), fd;
	socklen_t who_len = sizeof(struct ucred);
	struct ucred who;

	if (err)
		return err;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&name, sizeof(name)) < 0)
		err = -errno;
	else if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &who_len) < 0 ||
		 who.pid != pid)
		err = -EACCES;
	if (!err)
		return fd;
	close(fd);
	return err;
}

static void beat(const struct handover *h)
{
	if (h->heartbeat_ns)
		book_set(h->heartbeat_ns, util_now_ns());
}

/* Until the other end is ready for it. */
static int wait_for(const struct handover *h, short events)
{
	struct pollfd p[2] = { { .fd = h->fd, .events = events },
			       { .fd = h->interrupt, .events = POLLIN } };
	int left_ms = h->patience_ms, n = 0;

	while (left_ms > 0 && n == 0) {
		int slice_ms = left_ms < BEAT_MS ? left_ms : BEAT_MS;

		n = poll(p, 2, slice_ms);
		if (n < 0 && errno != EINTR)
			return -errno;
		n = n < 0 ? 0 : n;
		left_ms -= slice_ms;
		beat(h);
	}
	if (n == 0)
		return -EAGAIN;
	return p[0].revents ? 0 : -EINTR;
}

/* What a call that returned r is to be followed by: 0, also after a wait; or -errno. */
static int come_to(const struct handover *h, ssize_t r, short events)
{
	if (r >= 0)
		return 0;
	return errno == EAGAIN ? wait_for(h, events) : -errno;
}

static int send_rest(const struct handover *h, const uint8_t *p, size_t n)
{
	while (n > 0) {
		ssize_t r = send(h->fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
		int err = come_to(h, r, POLLOUT);

		if (err)
			return err;
		p += r > 0 ? r : 0;
		n -= r > 0 ? (size_t)r : 0;
	}
	return 0;
}

int handover_send(const struct handover *h, enum handover_type type, const void *data,
		  size_t len, const int *fds, unsigned fds_n)
{
	struct header head = { .type = type, .len = (uint32_t)len };
	struct iovec iov = { .iov_base = &head, .iov_len = sizeof(head) };
	union {
		char bytes[CMSG_SPACE(HANDOVER_FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;
	ssize_t n;
	int err;

	beat(h);
	if (fds_n) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(fds_n * sizeof(int));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(fds_n * sizeof(int));
		memcpy(CMSG_DATA(c), fds, fds_n * sizeof(int));
	}
	do {
		n = sendmsg(h->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
		err = come_to(h, n, POLLOUT);
		if (err)
			return err;
	} while (n < 0);
	/* descriptors go with the first byte; the rest of a header that was cut follows
	 */
	err = send_rest(h, (uint8_t *)&head + n, sizeof(head) - (size_t)n);
	return err ? err : send_rest(h, data, len);
}

static int receive_all(const struct handover *h, void *buf, size_t n)
{
	uint8_t *p = buf;

	while (n > 0) {
		ssize_t r = recv(h->fd, p, n, MSG_DONTWAIT);
		int err = r == 0 ? -ECONNRESET : come_to(h, r, POLLIN);

		if (err)
			return err;
		p += r > 0 ? r : 0;
		n -= r > 0 ? (size_t)r : 0;
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

int handover_receive(const struct handover *h, struct handover_message *m)
{
	union {
		char bytes[CMSG_SPACE(HANDOVER_FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct header head;
	struct iovec iov = { .iov_base = &head, .iov_len = sizeof(head) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.bytes,
			      .msg_controllen = sizeof(control.bytes) };
	ssize_t n;
	int err;

	m->fds_n = 0;
	if (!m->data && !(m->data = malloc(HANDOVER_DATA_MAX)))
		return -ENOMEM;
	do {
		n = recvmsg(h->fd, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
		err = n == 0 ? -ECONNRESET : come_to(h, n, POLLIN);
		if (err)
			return err;
	} while (n < 0);
	take_fds(&msg, m);
	err = receive_all(h, (uint8_t *)&head + n, sizeof(head) - (size_t)n);
	if (!err && head.len > HANDOVER_DATA_MAX)
		err = -EPROTO;
	if (err)
		return err;
	m->type = head.type;
	m->len = head.len;
	return receive_all(h, m->data, head.len);
}

int handover_expect(const struct handover *h, enum handover_type type,
		    struct handover_message *m)
{
	int err = handover_receive(h, m);

	return err ? err : m->type == type ? 0 : -EPROTO;
}

void handover_message_clear(struct handover_message *m)
{
	while (m->fds_n > 0)
		close(m->fds[--m->fds_n]);
	free(m->data);
	m->data = NULL;
}
