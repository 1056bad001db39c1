/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preloaded into a program under test: what happens to it happens at a chosen moment.
 *
 * MOMENT=N: the N-th step (connecting, sending or receiving by a Unix socket, or starting
 * a thread) is the one before which it happens; 0, or once it has said "ready": never.
 * MOMENT_DO: die (SIGKILL) or hang (until it is killed).
 * MOMENT_FILE: is made at the start, and not empty once it has happened.
 * MOMENT_NOSPC: a file; while it is not empty, no socket from the address MOMENT_FROM can
 * be watched by epoll (ENOSPC).
 *
 * Steps are counted in the program itself, not in its children.
 */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static unsigned steps, moment;
static int file = -1, nospc = -1; /* opened while we may */
static pid_t self;

static __attribute__((constructor)) void begin(void)
{
	const char *n = getenv("MOMENT"), *path = getenv("MOMENT_FILE"),
		   *no = getenv("MOMENT_NOSPC");

	self = getpid();
	for (; n && *n >= '0' && *n <= '9'; n++)
		moment = moment * 10 + (unsigned)(*n - '0');
	if (path)
		file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (no)
		nospc = open(no, O_RDONLY | O_CREAT | O_CLOEXEC, 0600);
}

static void step(void)
{
	const char *what = getenv("MOMENT_DO");

	if (!moment || getpid() != self ||
	    __atomic_add_fetch(&steps, 1, __ATOMIC_RELAXED) != moment)
		return;
	if (file >= 0)
		(void)!write(file, "x", 1);
	if (what && strcmp(what, "hang") == 0) {
		for (;;)
			pause();
	}
	(void)kill(self, SIGKILL);
}

static int is_unix(int fd)
{
	int domain = 0;
	socklen_t len = sizeof(domain);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 &&
	       domain == AF_UNIX;
}

/* What the program would have called. */
static void *next(const char *name)
{
	return dlsym(RTLD_NEXT, name);
}

int connect(int fd, const struct sockaddr *to, socklen_t len)
{
	int (*real)(int, const struct sockaddr *, socklen_t) = next("connect");

	if (is_unix(fd))
		step();
	return real(fd, to, len);
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
	ssize_t (*real)(int, const struct msghdr *, int) = next("sendmsg");

	if (is_unix(fd))
		step();
	return real(fd, m, flags);
}

ssize_t recvmsg(int fd, struct msghdr *m, int flags)
{
	ssize_t (*real)(int, struct msghdr *, int) = next("recvmsg");

	if (is_unix(fd))
		step();
	return real(fd, m, flags);
}

/* It has said that it is ready: what becomes of it now is no matter of a start. */
ssize_t write(int fd, const void *buf, size_t len)
{
	ssize_t (*real)(int, const void *, size_t) = next("write");

	if (getpid() == self && fd == STDERR_FILENO && memmem(buf, len, ": ready", 7))
		moment = 0;
	return real(fd, buf, len);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *),
		   void *arg)
{
	int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) =
		next("pthread_create");

	step();
	return real(thread, attr, fn, arg);
}

static int is_from(int fd, const char *address)
{
	struct sockaddr_in from = { 0 };
	socklen_t len = sizeof(from);
	char text[INET_ADDRSTRLEN];

	return address && getsockname(fd, (struct sockaddr *)&from, &len) == 0 &&
	       from.sin_family == AF_INET &&
	       inet_ntop(AF_INET, &from.sin_addr, text, sizeof(text)) &&
	       strcmp(text, address) == 0;
}

int epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
	int (*real)(int, int, int, struct epoll_event *) = next("epoll_ctl");
	struct stat st;

	if (op == EPOLL_CTL_ADD && nospc >= 0 && fstat(nospc, &st) == 0 &&
	    st.st_size > 0 && is_from(fd, getenv("MOMENT_FROM"))) {
		errno = ENOSPC;
		return -1;
	}
	return real(epfd, op, fd, event);
}
