/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "backend/socket.h"
#include "net/sock.h"

static int bind_source(const struct addr *source, int family, int fd)
{
	static const int on = 1;
	struct sockaddr_storage ss;
	socklen_t len = addr_to_sockaddr(source, &ss);

	if (ss.ss_family != family)
		return -EADDRNOTAVAIL;
	/* the port is chosen when the destination is known: as many for each of them */
	(void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	return bind(fd, (struct sockaddr *)&ss, len) < 0 ? -errno : 0;
}

int backend_socket(const struct route *r, const struct backend *b, const struct addr *a)
{
	static const int on = 1;
	int family = b->path ? AF_UNIX : addr_is_v4(a->ip) ? AF_INET : AF_INET6;
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), err = 0;

	if (fd < 0)
		return -errno;
	if (family != AF_UNIX) {
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		(void)setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on));
		if (r->source)
			err = bind_source(&r->source_addr, family, fd);
	}
	if (!err)
		return fd;
	close(fd);
	return err;
}

static socklen_t address_of(const struct backend *b, const struct addr *a,
			    struct sockaddr_storage *ret)
{
	struct sockaddr_un *un = (struct sockaddr_un *)ret;

	if (!b->path)
		return addr_to_sockaddr(a, ret);
	memset(un, 0, sizeof(*un));
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, b->path, strnlen(b->path, sizeof(un->sun_path) - 1));
	return sizeof(*un);
}

int backend_connect(const struct backend *b, const struct addr *a, int fd)
{
	struct sockaddr_storage ss;
	socklen_t len = address_of(b, a, &ss);

	if (connect(fd, (struct sockaddr *)&ss, len) == 0 || errno == EINPROGRESS)
		return 0;
	/* of a Unix socket: nobody is there, or its queue is full */
	if (b->path && (errno == ENOENT || errno == EAGAIN))
		return -ECONNREFUSED;
	return -errno;
}

bool backend_is_itself(int fd, const struct addr *to)
{
	struct addr own;

	return sock_local(fd, &own) == 0 && memcmp(&own, to, sizeof(own)) == 0;
}

void backend_own_name(const struct backend *b, char *ret, size_t cap)
{
	size_t len = b->named ? strcspn(b->name, ":") : 0;

	len = len < cap ? len : 0;
	memcpy(ret, b->name, len);
	ret[len] = '\0';
}
