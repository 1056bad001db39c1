/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "net/sock.h"

void sock_deadlines(int fd, const struct timeouts *t)
{
	const int64_t seconds = t->keepalive_ms / 1000;
	const int on = 1, most = 32767; /* tcp(7) */
	const int idle = seconds < 1 ? 1 : seconds > most ? most : (int)seconds;
	const unsigned stuck = (unsigned)t->stuck_ms;

	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &idle, sizeof(idle));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &stuck, sizeof(stuck));
}

int sock_local(int fd, struct addr *ret)
{
	struct sockaddr_storage ss = { 0 };
	socklen_t len = sizeof(ss);

	if (getsockname(fd, (struct sockaddr *)&ss, &len) < 0)
		return -errno;
	if (ss.ss_family != AF_INET && ss.ss_family != AF_INET6)
		return -EAFNOSUPPORT;
	addr_from_sockaddr((struct sockaddr *)&ss, ret);
	return 0;
}
