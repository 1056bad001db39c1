/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets as few programs make them.
 *
 *   tricks repair PORT
 *     A connection on loopback whose connecting end is put away and made again with
 *     TCP_REPAIR, as CRIU does.  1,000 bytes before, 5,000 after.
 *   tricks twice LOCAL:PORT REMOTE:PORT DEVICE DEVICE
 *     Two connections of the same addresses and ports, each bound to its device.  1,000
 *     bytes by the first, 30,000 by the second, one of both before the other's.
 *
 * Where net.ipv4.tcp_timestamps and tcp_window_scaling are 0: they are not restored.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/util.h"

#define BEFORE 1000
#define AFTER  5000

static void check(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "tricks: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int tcp_socket(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	check(fd >= 0, "socket");
	check(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0,
	      "SO_REUSEADDR");
	return fd;
}

static void put(int fd, size_t n)
{
	static const char zeros[65536];

	check(n <= sizeof(zeros) && send(fd, zeros, n, MSG_NOSIGNAL) == (ssize_t)n,
	      "send");
}

static void get(int fd, size_t n)
{
	static char buf[65536];

	check(n <= sizeof(buf) && recv(fd, buf, n, MSG_WAITALL) == (ssize_t)n, "recv");
}

static void get_end(int fd)
{
	char c;

	check(recv(fd, &c, 1, 0) == 0, "end of stream");
}

/* --- repair --- */

static void option(int fd, int name, int value)
{
	check(setsockopt(fd, IPPROTO_TCP, name, &value, sizeof(value)) == 0,
	      "an option of TCP_REPAIR");
}

static unsigned queue_seq(int fd, int queue)
{
	unsigned seq;
	socklen_t len = sizeof(seq);

	option(fd, TCP_REPAIR_QUEUE, queue);
	check(getsockopt(fd, IPPROTO_TCP, TCP_QUEUE_SEQ, &seq, &len) == 0,
	      "TCP_QUEUE_SEQ");
	return seq;
}

static int made_again(int old)
{
	struct sockaddr_in local, remote;
	socklen_t len = sizeof(local);
	unsigned sent, received;
	int fd = tcp_socket();

	check(getsockname(old, (void *)&local, &len) == 0 &&
		      getpeername(old, (void *)&remote, &len) == 0,
	      "names");
	option(old, TCP_REPAIR, 1);
	sent = queue_seq(old, TCP_SEND_QUEUE);
	received = queue_seq(old, TCP_RECV_QUEUE);
	close(old); /* without a word */
	option(fd, TCP_REPAIR, 1);
	option(fd, TCP_REPAIR_QUEUE, TCP_SEND_QUEUE);
	option(fd, TCP_QUEUE_SEQ, (int)sent);
	option(fd, TCP_REPAIR_QUEUE, TCP_RECV_QUEUE);
	option(fd, TCP_QUEUE_SEQ, (int)received);
	check(bind(fd, (void *)&local, len) == 0, "bind");
	check(connect(fd, (void *)&remote, len) == 0, "connect");
	option(fd, TCP_REPAIR, 0);
	return fd;
}

static void repair(uint16_t port)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_port = htons(port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int listener = tcp_socket(), client = tcp_socket(), server;

	check(bind(listener, (void *)&at, sizeof(at)) == 0 && listen(listener, 1) == 0,
	      "listen");
	check(connect(client, (void *)&at, sizeof(at)) == 0, "connect");
	server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	check(server >= 0, "accept");
	put(client, BEFORE);
	get(server, BEFORE);
	client = made_again(client);
	put(client, AFTER);
	get(server, AFTER);
	close(client);
	get_end(server);
	close(server);
	close(listener);
}

/* --- twice --- */

static int bound(const char *local, const char *remote, const char *device)
{
	struct sockaddr_storage ss;
	struct addr a;
	int fd = tcp_socket();

	check(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device,
			 (socklen_t)strlen(device)) == 0,
	      device);
	check(addr_parse(local, &a) == 0, local);
	check(bind(fd, (void *)&ss, addr_to_sockaddr(&a, &ss)) == 0, "bind");
	check(addr_parse(remote, &a) == 0, remote);
	check(connect(fd, (void *)&ss, addr_to_sockaddr(&a, &ss)) == 0, "connect");
	return fd;
}

static void twice(char **argv)
{
	int first = bound(argv[2], argv[3], argv[4]);
	int second = bound(argv[2], argv[3], argv[5]);

	put(first, 1);
	put(second, 29999);
	put(first, 999);
	put(second, 1);
	shutdown(first, SHUT_WR);
	get_end(first);
	close(first);
	shutdown(second, SHUT_WR);
	get_end(second);
	close(second);
}

int main(int argc, char **argv)
{
	uint64_t port;

	alarm(30);
	if (argc == 3 && strcmp(argv[1], "repair") == 0 &&
	    util_parse_u64(argv[2], 65535, &port) == 0)
		repair((uint16_t)port);
	else if (argc == 6 && strcmp(argv[1], "twice") == 0)
		twice(argv);
	else
		return 2;
	return 0;
}
