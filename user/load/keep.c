/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/host.h"
#include "base/links.h"
#include "base/log.h"
#include "base/rundir.h"
#include "book/pin.h"
#include "bpf/abi.h"
#include "load/keep.h"
#include "load/repair.h"

#define LOOK_MS 500

static int be_silent(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	(void)level;
	(void)fmt;
	(void)ap;
	return 0;
}

/* The load that is pinned there: by the kernel's number of one of its maps. */
static uint32_t load_number(const char *pins, uint64_t *ret_cookie)
{
	struct bpf_map_info info = { 0 };
	__u32 len = sizeof(info), zero = 0;
	struct meta m = { 0 };
	int fd;

	if (pin_open(pins, "meta", &fd) < 0)
		return 0;
	if (bpf_obj_get_info_by_fd(fd, &info, &len) < 0 || info.value_size != sizeof(m) ||
	    bpf_map_lookup_elem(fd, &zero, &m) < 0)
		info.id = 0;
	close(fd);
	*ret_cookie = m.netns_cookie;
	return info.id;
}

/* Until the other end of the pipe is closed, or the load is another. */
static void keep_on(int fd, const char *pins)
{
	uint64_t cookie = 0;
	uint32_t number = load_number(pins, &cookie);
	struct pollfd p[2] = { { .fd = fd, .events = POLLIN }, { .fd = -1 } };

	if (!number || host_enter_netns(cookie) < 0)
		return;
	p[1].fd = links_watch();
	p[1].events = POLLIN;
	while (load_number(pins, &cookie) == number) {
		(void)repair_run(pins, false);
		if (poll(p, 2, LOOK_MS) > 0 && p[0].revents)
			return;
		if (p[1].fd >= 0)
			links_watch_drain(p[1].fd);
	}
}

static void run(int fd, const char *pins)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	pid_t parent = getppid();
	char path[RUNDIR_PATH], control[RUNDIR_PATH];
	uint64_t cookie = 0;
	uint32_t load;

	(void)prctl(PR_SET_NAME, "tollgate-keep");
	for (int i = 1; i < NSIG; i++) /* they are for the program, not for us */
		(void)signal(i, i == SIGCHLD ? SIG_DFL : SIG_IGN);
	(void)libbpf_set_print(be_silent);
	/* what the program cannot remove itself by then: where a successor would ask, and
	 * where others do */
	load = load_number(pins, &cookie);
	rundir_socket(load, parent, path);
	rundir_control(load, parent, control);
	keep_on(fd, pins);
	(void)poll(&p, 1, -1);
	(void)unlink(path);
	(void)unlink(control);
	_exit(0);
}

int keep_begin(const char *pins, struct keep *ret)
{
	int fds[2], err;
	pid_t pid;

	*ret = (struct keep){ .fd = -1 };
	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid == 0) {
		/* nothing of the program but its standard streams */
		close(fds[1]);
		(void)dup2(fds[0], STDERR_FILENO + 1);
		(void)close_range(STDERR_FILENO + 2, ~0u, 0);
		run(STDERR_FILENO + 1, pins);
	}
	err = pid < 0 ? -errno : 0;
	close(fds[0]);
	if (err) {
		close(fds[1]);
		return err;
	}
	*ret = (struct keep){ .fd = fds[1], .pid = pid };
	return 0;
}

void keep_end(struct keep *k)
{
	if (k->fd < 0)
		return;
	close(k->fd);
	k->fd = -1;
	while (waitpid(k->pid, NULL, 0) < 0 && errno == EINTR)
		;
}
