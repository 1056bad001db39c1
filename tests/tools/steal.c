/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Make a program miss what happens to one of its sockets: take the socket whose other
 * end has this port out of the program's epoll sets, with pidfd_getfd(2).  Needs root.
 *   steal PID PORT
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/util.h"

#define OURS 1000 /* descriptors of ours are moved up there, out of the way of theirs */
#define SETS 64

static int peer_port(int fd)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct addr a;

	if (getpeername(fd, (struct sockaddr *)&ss, &len) < 0 ||
	    (ss.ss_family != AF_INET && ss.ss_family != AF_INET6))
		return -1;
	addr_from_sockaddr((struct sockaddr *)&ss, &a);
	return __builtin_bswap16(a.port);
}

/* What fd of theirs is; fills sets and, for the socket, *number. */
static void look_at(int pidfd, const char *pid, int theirs, int port, int *sets,
		    unsigned *sets_n, int *number)
{
	char path[64], what[64] = "";
	int fd = (int)syscall(SYS_pidfd_getfd, pidfd, theirs, 0), high;

	if (fd < 0)
		return;
	high = fcntl(fd, F_DUPFD_CLOEXEC, OURS);
	close(fd);
	(void)snprintf(path, sizeof(path), "/proc/%s/fd/%d", pid, theirs);
	(void)!readlink(path, what, sizeof(what) - 1);
	if (strstr(what, "eventpoll") && *sets_n < SETS)
		sets[(*sets_n)++] = high;
	else if (peer_port(high) == port && dup2(high, theirs) == theirs)
		*number = theirs;
}

int main(int argc, char **argv)
{
	int sets[SETS], number = -1, pidfd, moved;
	unsigned sets_n = 0, all_n = 0;
	uint64_t pid, port, fd, all[OURS];
	char path[64];
	struct dirent *e;
	DIR *d;

	if (argc != 3 || util_parse_u64(argv[1], INT32_MAX, &pid) < 0 ||
	    util_parse_u64(argv[2], 65535, &port) < 0)
		return 2;
	moved = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
	pidfd = fcntl(moved, F_DUPFD_CLOEXEC, OURS);
	(void)snprintf(path, sizeof(path), "/proc/%s/fd", argv[1]);
	d = opendir(path);
	if (pidfd < 0 || !d) {
		perror(path);
		return 1;
	}
	/* first all of it: the directory's descriptor may be where one of theirs must be
	 */
	while ((e = readdir(d)) && all_n < OURS) {
		if (util_parse_u64(e->d_name, OURS - 1, &fd) == 0)
			all[all_n++] = fd;
	}
	closedir(d);
	close(moved);
	for (unsigned i = 0; i < all_n; i++)
		look_at(pidfd, argv[1], (int)all[i], (int)port, sets, &sets_n, &number);
	for (unsigned i = 0; i < sets_n && number >= 0; i++) {
		if (epoll_ctl(sets[i], EPOLL_CTL_DEL, number, NULL) == 0)
			return 0;
	}
	fputs("no such socket is watched\n", stderr);
	return 1;
}
