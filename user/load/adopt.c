/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "base/host.h"
#include "base/log.h"
#include "book/pin.h"
#include "load/adopt.h"

/* In one network namespace: run the iterator and count its marks. */
struct adoption {
	int link_fd;
	uint64_t adopted;
};

static int adopt_here(void *arg)
{
	struct adoption *a = arg;
	char buf[4096];
	ssize_t n;
	int fd;

	fd = bpf_iter_create(a->link_fd);
	if (fd < 0)
		return -errno;
	while ((n = read(fd, buf, sizeof(buf))) > 0 ||
	       (n < 0 && (errno == EAGAIN || errno == EINTR)))
		a->adopted += n > 0 ? (uint64_t)n : 0;
	n = n < 0 ? -errno : 0;
	close(fd);
	return (int)n;
}

int adopt_run(const char *pins, enum adopt_whose whose, uint64_t *ret_n)
{
	struct adoption a = { .adopted = 0 };
	int fd, err;

	if (ret_n)
		*ret_n = 0;
	if (whose == ADOPT_NONE)
		return 0;
	err = pin_open(pins, "prog-tcp_adopt", &fd);
	if (err)
		return log_errno(err, "cannot open the adopting iterator");
	a.link_fd = bpf_link_create(fd, 0, BPF_TRACE_ITER, NULL);
	err = a.link_fd < 0 ? -errno : 0;
	close(fd);
	if (err)
		return log_errno(err, "cannot attach the adopting iterator");
	err = whose == ADOPT_HERE ? adopt_here(&a) : host_each_netns(adopt_here, &a);
	close(a.link_fd);
	if (err == -EPERM && whose == ADOPT_ALL) {
		log_warn("no permission to enter other network namespaces; their "
			 "connections are not adopted");
		err = 0;
	}
	if (err < 0)
		return log_errno(err, "cannot visit the sockets that are open");
	if (a.adopted)
		log_info("%llu connections older than the books adopted",
			 (unsigned long long)a.adopted);
	if (ret_n)
		*ret_n = a.adopted;
	return 0;
}
