/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections that stay: opens them between two network namespaces, moves a different
 * number of bytes on each, and waits on standard input.  Each line there makes it move
 * more; "close" closes everything.  After each step it prints the clients' sums.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/util.h"

#define CONNECTIONS_MAX 8000

struct pair {
	int client;
	int server;
};

static struct pair pairs[CONNECTIONS_MAX];
static uint64_t sent, received;

static void die(const char *what)
{
	fprintf(stderr, "hold: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void enter(const char *netns)
{
	int fd = open(netns, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
		die(netns);
	close(fd);
}

static void move(int from, int to, size_t n)
{
	static char buf[4096];

	while (n) {
		size_t part = n < sizeof(buf) ? n : sizeof(buf);
		ssize_t r = send(from, buf, part, MSG_NOSIGNAL);

		if (r <= 0 || recv(to, buf, (size_t)r, MSG_WAITALL) != r)
			die("move");
		n -= (size_t)r;
	}
}

static void move_all(uint64_t n, unsigned step)
{
	for (uint64_t i = 0; i < n; i++) {
		size_t up = (i * 7 + step * 131) % 3000, down = (i * 13 + step) % 5000;

		move(pairs[i].client, pairs[i].server, up);
		move(pairs[i].server, pairs[i].client, down);
		sent += up;
		received += down;
	}
	printf("{\"step\":%u,\"connections\":%llu,\"tx\":%llu,\"rx\":%llu}\n", step,
	       (unsigned long long)n, (unsigned long long)sent,
	       (unsigned long long)received);
	fflush(stdout);
}

static void open_all(uint64_t n, const char *address, const char *client_ns,
		     const char *server_ns)
{
	struct sockaddr_storage ss;
	struct addr a;
	socklen_t len;
	int l;

	if (addr_parse(address, &a) < 0)
		die(address);
	len = addr_to_sockaddr(&a, &ss);
	enter(server_ns);
	l = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (l < 0 || bind(l, (void *)&ss, len) < 0 || listen(l, 1) < 0)
		die("listen");
	enter(client_ns);
	for (uint64_t i = 0; i < n; i++) {
		pairs[i].client = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (pairs[i].client < 0 || connect(pairs[i].client, (void *)&ss, len) < 0)
			die("connect");
		pairs[i].server = accept4(l, NULL, NULL, SOCK_CLOEXEC);
		if (pairs[i].server < 0)
			die("accept");
	}
	close(l);
}

/* hold CONNECTIONS ADDRESS:PORT CLIENT-NETNS SERVER-NETNS */
int main(int argc, char **argv)
{
	unsigned step = 1;
	char line[16];
	uint64_t n;

	if (argc != 5 || util_parse_u64(argv[1], CONNECTIONS_MAX, &n) < 0)
		return 2;
	alarm(240);
	open_all(n, argv[2], argv[3], argv[4]);
	move_all(n, step++);
	while (fgets(line, sizeof(line), stdin) && strcmp(line, "close\n") != 0)
		move_all(n, step++);
	for (uint64_t i = 0; i < n; i++) {
		close(pairs[i].client);
		if (recv(pairs[i].server, line, 1, 0) != 0)
			die("end of stream");
		close(pairs[i].server);
	}
	puts("closed");
	return 0;
}
