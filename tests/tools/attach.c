/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attach a program of an object file, say so, and hold it until a signal comes; with the
 * process it goes.  To a device by tcx, before all that are there.
 *
 *   attach OBJECT PROGRAM sockops CGROUP
 *   attach OBJECT PROGRAM rx|tx DEVICE
 */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#define BPF_TCX_INGRESS_ATTACH 46 /* enum bpf_attach_type of Linux 6.6 */
#define BPF_TCX_EGRESS_ATTACH  47
#define BPF_F_BEFORE	       (1U << 3)

static void die(const char *what)
{
	fprintf(stderr, "attach: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int load(const char *path, const char *name)
{
	struct bpf_object *object = bpf_object__open_file(path, NULL);
	const struct bpf_program *program;

	if (!object || bpf_object__load(object) < 0)
		die(path);
	program = bpf_object__find_program_by_name(object, name);
	if (!program)
		die(name);
	return bpf_program__fd(program);
}

static int to_cgroup(int program, const char *cgroup)
{
	int fd = open(cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		die(cgroup);
	return bpf_link_create(program, fd, BPF_CGROUP_SOCK_OPS, NULL);
}

/* libbpf 1.1 has no call for it. */
static int to_device(int program, const char *device, bool tx)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.link_create.prog_fd = (unsigned)program;
	attr.link_create.target_ifindex = if_nametoindex(device);
	attr.link_create.attach_type =
		tx ? BPF_TCX_EGRESS_ATTACH : BPF_TCX_INGRESS_ATTACH;
	attr.link_create.flags = BPF_F_BEFORE; /* of nothing: the first */
	return (int)syscall(__NR_bpf, BPF_LINK_CREATE, &attr, sizeof(attr));
}

int main(int argc, char **argv)
{
	int program, link;

	if (argc != 5)
		return 2;
	program = load(argv[1], argv[2]);
	if (strcmp(argv[3], "sockops") == 0)
		link = to_cgroup(program, argv[4]);
	else
		link = to_device(program, argv[4], strcmp(argv[3], "tx") == 0);
	if (link < 0)
		die(argv[4]);
	puts("attached");
	fflush(stdout);
	pause();
	return 0;
}
