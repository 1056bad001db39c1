/* SPDX-License-Identifier: Apache-2.0 */
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
