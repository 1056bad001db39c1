/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one hot packet costs in each program that sees packets, by BPF_PROG_TEST_RUN:
 * nanoseconds, the best of several runs, less what an empty program costs there.
 *   packet BUILD-DIRECTORY
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bpf/abi.h"

#define REPEAT 2000000
#define RUNS   9

static const unsigned char ethernet_ip_tcp[] = {
	2,    0, 0,   0,    0,	  1,	2,    0,    0,	  0,	0, 2, 8,   0,
	0x45, 0, 0,   0x54, 0x12, 0x34, 0,    0,    0x40, 6,	0, 0, 192, 0,
	2,    1, 192, 0,    2,	  2,	0x9c, 0x40, 0x1f, 0x90, 1, 2, 3,   4,
	0,    0, 0,   1,    0x50, 0x02, 0xff, 0xff, 0,	  0,	0, 0,
};
#define TCP_FLAGS_AT 47
#define PROTOCOL_AT  23

static struct bpf_object *open_object(const char *dir, const char *file)
{
	char path[4096];
	struct bpf_object *o;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, file);
	o = bpf_object__open_file(path, NULL);
	if (!o || bpf_object__load(o) < 0) {
		fprintf(stderr, "packet: cannot load %s: %s\n", path, strerror(errno));
		exit(1);
	}
	return o;
}

static int program(struct bpf_object *o, const char *name)
{
	struct bpf_program *p = bpf_object__find_program_by_name(o, name);

	return p ? bpf_program__fd(p) : -1;
}

/* One run of so many packets: nanoseconds a packet. */
static unsigned run(int fd, const void *data, size_t len, int repeat)
{
	DECLARE_LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = data,
			    .data_size_in = (__u32)len, .repeat = repeat);

	if (bpf_prog_test_run_opts(fd, &opts) < 0) {
		fprintf(stderr, "packet: cannot run: %s\n", strerror(errno));
		exit(1);
	}
	return opts.duration;
}

static unsigned best(int fd, const void *data, size_t len)
{
	unsigned least = run(fd, data, len, REPEAT);

	for (int i = 1; i < RUNS; i++) {
		unsigned n = run(fd, data, len, REPEAT);

		least = n < least ? n : least;
	}
	return least;
}

int main(int argc, char **argv)
{
	static const char *const names[] = { "wire_ingress", "wire_egress", "wire_xdp" };
	unsigned char tcp[98] = { 0 }, udp[98] = { 0 };
	struct bpf_object *books, *empty;
	struct meta meta = { .abi_version = TG_ABI_VERSION, .wire = 1, .xdp = 1 };
	__u32 zero = 0;

	if (argc != 2)
		return 2;
	memcpy(tcp, ethernet_ip_tcp, sizeof(ethernet_ip_tcp));
	memcpy(udp, tcp, sizeof(udp));
	udp[PROTOCOL_AT] = 17;
	books = open_object(argv[1], "tollgate.bpf.o");
	empty = open_object(argv[1], "tests/bench/empty.bpf.o");
	(void)bpf_map_update_elem(bpf_object__find_map_fd_by_name(books, "meta"), &zero,
				  &meta, BPF_ANY);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		int fd = program(books, names[i]);
		int floor_fd =
			program(empty, strcmp(names[i], "wire_xdp") == 0 ? "empty_xdp"
									 : "empty_tc");
		unsigned floor_ns = best(floor_fd, tcp, sizeof(tcp)), tcp_ns, udp_ns;

		tcp[TCP_FLAGS_AT] = 0x02; /* a SYN makes the flow */
		(void)run(fd, tcp, sizeof(tcp), 1);
		tcp[TCP_FLAGS_AT] = 0x10;
		tcp_ns = best(fd, tcp, sizeof(tcp));
		udp_ns = best(fd, udp, sizeof(udp));
		printf("%-14s tcp %u ns, udp %u ns (an empty program: %u ns)\n", names[i],
		       tcp_ns - floor_ns, udp_ns - floor_ns, floor_ns);
	}
	bpf_object__close(books);
	bpf_object__close(empty);
	return 0;
}
