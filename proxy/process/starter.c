/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "process/starter.h"

#define ASK_SUCCESSOR 'u'
#define ASK_ACME      'a'

/* They are for the proxy, though a terminal or a service manager tells the whole group.
 */
static const int not_ours[] = { SIGHUP, SIGINT, SIGTERM, SIGUSR2, SIGCHLD };

static void set_signals(void (*handler)(int))
{
	for (size_t i = 0; i < sizeof(not_ours) / sizeof(not_ours[0]); i++)
		(void)signal(not_ours[i], handler);
}

/* As we were started, and to take over. */
static void run(const char *program, char **argv)
{
	char takes_over[] = "--upgrade", **args;
	int n = 0, given = 0;

	while (argv[n])
		given |= strcmp(argv[n++], takes_over) == 0;
	args = calloc((size_t)n + 2, sizeof(*args));
	if (!args)
		_exit(1);
	args[0] = argv[0];
	args[1] = takes_over;
	for (int i = 1; i < n; i++)
		args[i + !given] = argv[i];
	set_signals(SIG_DFL);
	(void)execv(program, args);
	(void)log_errno(-errno, "cannot start %s", program);
	_exit(1);
}

/* Of our own folder, as it was installed with us. */
static void run_acme(const char *program, const char *config, const char *pins)
{
	char path[PATH_MAX + 16];
	int len = (int)(strrchr(program, '/') - program);

	(void)snprintf(path, sizeof(path), "%.*s/tollgate", len, program);
	set_signals(SIG_DFL);
	(void)execl(path, path, "acme", config, "--pins", pins, (char *)NULL);
	(void)log_errno(-errno, "cannot start %s", path);
	_exit(1);
}

/* The second waits until the first has ended, and reads what the configuration is then.
 */
static void start_acme(pid_t acme[2], const char *program, const char *config,
		       const char *pins)
{
	for (int i = 0; i < 2; i++) {
		if (acme[i] > 0 && waitpid(acme[i], NULL, WNOHANG) == 0)
			continue;
		acme[i] = fork();
		if (acme[i] == 0)
			run_acme(program, config, pins);
		if (acme[i] < 0)
			(void)log_errno(-errno, "cannot start tollgate acme");
		return;
	}
	log_info("certificates are asked for already, and will be again");
}

static void serve(int fd, const char *program, char **argv, const char *config,
		  const char *pins)
{
	pid_t last = 0, acme[2] = { 0 }; /* one that runs, and one that waits for it */
	char byte;

	(void)prctl(PR_SET_NAME, "tollgate-start");
	set_signals(SIG_IGN);
	(void)signal(SIGCHLD, SIG_DFL);
	while (read(fd, &byte, 1) == 1) {
		if (byte == ASK_ACME) {
			start_acme(acme, program, config, pins);
			continue;
		}
		if (last > 0 && waitpid(last, NULL, WNOHANG) == 0)
			continue; /* one at a time: it is still on its way */
		last = fork();
		if (last == 0)
			run(program, argv);
		if (last < 0)
			(void)log_errno(-errno, "cannot start a successor");
		else
			log_info("a successor is started");
	}
	_exit(0);
}

int starter_begin(char **argv, const char *config, const char *pins, struct starter *ret)
{
	char program[PATH_MAX];
	ssize_t n;
	pid_t pid;
	int fds[2];

	*ret = (struct starter){ .fd = -1 };
	n = readlink("/proc/self/exe", program, sizeof(program) - 1);
	if (n < 0 || pipe(fds) < 0)
		return -errno;
	program[n] = '\0'; /* the path: another file may be there by then */
	pid = fork();
	if (pid < 0) {
		int err = -errno;

		close(fds[0]);
		close(fds[1]);
		return err;
	}
	if (pid == 0) {
		/* nothing of the proxy but its standard streams */
		close(fds[1]);
		(void)dup2(fds[0], STDERR_FILENO + 1);
		(void)close_range(STDERR_FILENO + 2, ~0u, 0);
		(void)fcntl(STDERR_FILENO + 1, F_SETFD, FD_CLOEXEC);
		serve(STDERR_FILENO + 1, program, argv, config, pins);
	}
	close(fds[0]);
	(void)fcntl(fds[1], F_SETFD, FD_CLOEXEC);
	*ret = (struct starter){ .fd = fds[1], .pid = pid };
	return 0;
}

int starter_ask(const struct starter *s)
{
	const char byte = ASK_SUCCESSOR;

	return s->fd >= 0 && write(s->fd, &byte, 1) == 1 ? 0 : -EPIPE;
}

int starter_ask_acme(const struct starter *s)
{
	const char byte = ASK_ACME;

	return s->fd >= 0 && write(s->fd, &byte, 1) == 1 ? 0 : -EPIPE;
}

void starter_end(struct starter *s)
{
	if (s->fd < 0)
		return;
	close(s->fd);
	s->fd = -1;
	while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR)
		;
}
