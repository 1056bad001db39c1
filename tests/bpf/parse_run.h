/* SPDX-License-Identifier: Apache-2.0 */
/* One frame through parse.h three times: compiled for us, and in the kernel as tc and
 * XDP.
 */
#ifndef TESTS_BPF_PARSE_RUN_H
#define TESTS_BPF_PARSE_RUN_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "tests/bpf/parse_result.h"

#define PARSE_OBJECT   "build/tests/bpf/parse.bpf.o"
#define PARSE_LEN_MIN  14 /* BPF_PROG_TEST_RUN takes nothing shorter (bpf_test_init) */
#define PARSE_LEN_MAX  3000
#define PARSE_PROGRAMS 2

static const char *const parse_programs[PARSE_PROGRAMS] = { "parse_tc", "parse_xdp" };
static int parse_fds[PARSE_PROGRAMS];
static int parse_result_fd;
static struct bpf_object *parse_object;

static void parse_unload(void)
{
	bpf_object__close(parse_object);
}

static void parse_load(void)
{
	const char *path = getenv("PARSE_OBJECT");
	struct bpf_object *o = parse_object =
		bpf_object__open_file(path ? path : PARSE_OBJECT, NULL);

	if (!o || bpf_object__load(o) < 0) {
		fprintf(stderr, "cannot load %s: %s (needs root)\n",
			path ? path : PARSE_OBJECT, strerror(errno));
		exit(1);
	}
	(void)atexit(parse_unload);
	for (int i = 0; i < PARSE_PROGRAMS; i++)
		parse_fds[i] = bpf_program__fd(
			bpf_object__find_program_by_name(o, parse_programs[i]));
	parse_result_fd = bpf_map__fd(bpf_object__find_map_by_name(o, "result"));
}

static void parse_here(const void *data, size_t len, struct parse_result *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->fault = parse_frame(data, (const char *)data + len, &ret->packet);
}

/*
 * 0, or -errno if the kernel would not run it: newer ones build no skb (-EINVAL) of an IP
 * frame that is shorter than its header (bpf_prog_test_run_skb); XDP takes any.
 */
static int parse_there(int program, const void *data, size_t len,
		       struct parse_result *ret)
{
	static char out[PARSE_LEN_MAX + 256];
	__u32 zero = 0;

	DECLARE_LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = data,
			    .data_size_in = (__u32)len, .data_out = out,
			    .data_size_out = sizeof(out), .repeat = 1);

	if (bpf_prog_test_run_opts(parse_fds[program], &opts) < 0)
		return -errno;
	return bpf_map_lookup_elem(parse_result_fd, &zero, ret) < 0 ? -errno : 0;
}

#endif
