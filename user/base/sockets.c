/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "base/sockets.h"
#include "base/util.h"

#define ANSWER_BYTES 32768
#define STATES	     (~(1u << TCP_LISTEN | 1u << TCP_TIME_WAIT | 1u << TCP_CLOSE))

int cookies_add(struct cookies *c, uint64_t cookie)
{
	size_t cap = c->cap ? c->cap * 2 : 64;
	uint64_t *v;

	if (c->n == c->cap) {
		v = realloc(c->v, cap * sizeof(*v));
		if (!v)
			return -ENOMEM;
		c->v = v;
		c->cap = cap;
	}
	c->v[c->n++] = cookie;
	return 0;
}

static int by_value(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

void cookies_sort(struct cookies *c)
{
	if (c->n)
		qsort(c->v, c->n, sizeof(*c->v), by_value);
}

int cookies_has(const struct cookies *c, uint64_t cookie)
{
	return c->n && bsearch(&cookie, c->v, c->n, sizeof(*c->v), by_value) != NULL;
}

void cookies_free(struct cookies *c)
{
	free(c->v);
	*c = (struct cookies){ .v = NULL };
}

uint64_t socket_cookie(int fd)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);

	return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) == 0 ? cookie : 0;
}

static int on_socket(const struct nlmsghdr *h, void *arg)
{
	const struct inet_diag_msg *m = mnl_nlmsg_get_payload(h);
	struct cookies *ret = arg;

	if (mnl_nlmsg_get_payload_len(h) < sizeof(*m))
		return MNL_CB_OK;
	if (cookies_add(ret, (uint64_t)m->id.idiag_cookie[1] << 32 |
				     m->id.idiag_cookie[0]) == 0)
		return MNL_CB_OK;
	errno = ENOMEM;
	return MNL_CB_ERROR;
}

static int dump(struct mnl_socket *nl, uint8_t family, unsigned seq, struct cookies *ret)
{
	char buf[ANSWER_BYTES] __attribute__((aligned(8)));
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	struct inet_diag_req_v2 *req;
	ssize_t n;
	int r = MNL_CB_OK;

	h->nlmsg_type = SOCK_DIAG_BY_FAMILY;
	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	h->nlmsg_seq = seq;
	req = mnl_nlmsg_put_extra_header(h, sizeof(*req));
	req->sdiag_family = family;
	req->sdiag_protocol = IPPROTO_TCP;
	req->idiag_states = STATES;
	if (mnl_socket_sendto(nl, h, h->nlmsg_len) < 0)
		return -errno;
	while (r > MNL_CB_STOP) {
		n = mnl_socket_recvfrom(nl, buf, sizeof(buf));
		if (n < 0)
			return -errno;
		r = mnl_cb_run(buf, (size_t)n, seq, mnl_socket_get_portid(nl), on_socket,
			       ret);
	}
	return r < 0 ? -errno : 0;
}

int sockets_tcp(struct cookies *ret)
{
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_SOCK_DIAG, SOCK_CLOEXEC);
	int err;

	if (!nl)
		return -errno;
	err = mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0 ? -errno : 0;
	if (!err)
		err = dump(nl, AF_INET, 1, ret);
	if (!err)
		err = dump(nl, AF_INET6, 2, ret);
	mnl_socket_close(nl);
	return err;
}

static int is_tcp(int fd)
{
	int protocol = 0, listens = 0;
	socklen_t len = sizeof(int);

	return getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &len) == 0 &&
	       protocol == IPPROTO_TCP &&
	       getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) == 0 && !listens;
}

int sockets_own(struct cookies *ret)
{
	DIR *d = opendir("/proc/self/fd");
	struct dirent *e;
	uint64_t fd;
	int err = 0;

	if (!d)
		return -errno;
	while (!err && (e = readdir(d))) {
		if (util_parse_u64(e->d_name, INT32_MAX, &fd) == 0 && is_tcp((int)fd))
			err = cookies_add(ret, socket_cookie((int)fd));
	}
	closedir(d);
	return err;
}

/* --- whose --- */

#define LISTEN_STATE 0x0a

/* /proc/net/tcp: the inode of a socket that listens on this port; 0 if there is none. */
static unsigned long listening_inode(const char *file, unsigned port)
{
	unsigned long inode, found = 0;
	unsigned local, state;
	char line[512];
	FILE *f;

	f = fopen(file, "re");
	if (!f)
		return 0;
	while (!found && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%*s %*[0-9A-Fa-f]:%x %*s %x %*s %*s %*s %*s %*s %lu",
			   &local, &state, &inode) == 3 &&
		    local == port && state == LISTEN_STATE)
			found = inode;
	}
	fclose(f);
	return found;
}

static bool has_inode(const char *pid, unsigned long inode)
{
	char dir[64], path[512], link[64], want[64];
	struct dirent *e;
	bool has = false;
	ssize_t n;
	DIR *d;

	(void)snprintf(want, sizeof(want), "socket:[%lu]", inode);
	(void)snprintf(dir, sizeof(dir), "/proc/%.16s/fd", pid);
	d = opendir(dir);
	while (d && !has && (e = readdir(d))) {
		(void)snprintf(path, sizeof(path), "%s/%.255s", dir, e->d_name);
		n = readlink(path, link, sizeof(link) - 1);
		if (n > 0) {
			link[n] = '\0';
			has = strcmp(link, want) == 0;
		}
	}
	if (d)
		closedir(d);
	return has;
}

static int name_process(const char *pid, char *ret, size_t cap)
{
	char path[64], *name;
	size_t len;

	(void)snprintf(path, sizeof(path), "/proc/%.16s/comm", pid);
	if (util_read_file(path, 64, &name, &len) < 0)
		return -ENOENT;
	(void)snprintf(ret, cap, "%.*s (pid %.16s)", (int)strcspn(name, "\n"), name, pid);
	free(name);
	return 0;
}

int sockets_owner(const struct addr *a, char *ret, size_t cap)
{
	unsigned port = ntohs(a->port);
	unsigned long inode = listening_inode("/proc/net/tcp", port);
	struct dirent *e;
	int err = -ENOENT;
	DIR *d;

	if (!inode)
		inode = listening_inode("/proc/net/tcp6", port);
	d = inode ? opendir("/proc") : NULL;
	while (d && err && (e = readdir(d))) {
		if (e->d_name[0] >= '1' && e->d_name[0] <= '9' &&
		    has_inode(e->d_name, inode))
			err = name_process(e->d_name, ret, cap);
	}
	if (d)
		closedir(d);
	return err;
}
