/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small requests and answers over connections that stay.
 *   pingpong serve ADDRESS:PORT                    until it is killed
 *   pingpong run ADDRESS:PORT CONNECTIONS ROUNDS   prints exchanges a second
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/util.h"

#define REQUEST_BYTES	100
#define CONNECTIONS_MAX 256

static struct sockaddr_storage ss;
static socklen_t ss_len;
static uint64_t rounds;

static void die(const char *what)
{
	fprintf(stderr, "pingpong: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void no_delay(int fd)
{
	int one = 1;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

static void *answer(void *arg)
{
	int fd = (int)(intptr_t)arg;
	char buf[REQUEST_BYTES];

	while (recv(fd, buf, sizeof(buf), MSG_WAITALL) == sizeof(buf)) {
		if (send(fd, buf, sizeof(buf), MSG_NOSIGNAL) != sizeof(buf))
			break;
	}
	close(fd);
	return NULL;
}

static void *ask(void *arg)
{
	int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char buf[REQUEST_BYTES] = { 0 };

	(void)arg;
	if (fd < 0 || connect(fd, (void *)&ss, ss_len) < 0)
		die("connect");
	no_delay(fd);
	for (uint64_t i = 0; i < rounds; i++) {
		if (send(fd, buf, sizeof(buf), MSG_NOSIGNAL) != sizeof(buf) ||
		    recv(fd, buf, sizeof(buf), MSG_WAITALL) != sizeof(buf))
			die("exchange");
	}
	close(fd);
	return NULL;
}

static _Noreturn void serve(void)
{
	int l = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
	pthread_t t;

	(void)setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (l < 0 || bind(l, (void *)&ss, ss_len) < 0 || listen(l, 1024) < 0)
		die("listen");
	puts("listening");
	fflush(stdout);
	for (;;) {
		int fd = accept4(l, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			continue;
		no_delay(fd);
		if (pthread_create(&t, NULL, answer, (void *)(intptr_t)fd) == 0)
			(void)pthread_detach(t);
	}
}

int main(int argc, char **argv)
{
	pthread_t threads[CONNECTIONS_MAX];
	uint64_t n, start;
	struct addr a;

	if (argc < 3 || addr_parse(argv[2], &a) < 0)
		return 2;
	ss_len = addr_to_sockaddr(&a, &ss);
	if (strcmp(argv[1], "serve") == 0)
		serve();
	if (argc != 5 || util_parse_u64(argv[3], CONNECTIONS_MAX, &n) < 0 ||
	    util_parse_u64(argv[4], 100000000, &rounds) < 0)
		return 2;
	start = util_now_ns();
	for (uint64_t i = 0; i < n; i++) {
		if (pthread_create(&threads[i], NULL, ask, NULL) != 0)
			die("thread");
	}
	for (uint64_t i = 0; i < n; i++)
		(void)pthread_join(threads[i], NULL);
	printf("%.0f\n", (double)(n * rounds) * 1e9 / (double)(util_now_ns() - start));
	return 0;
}
