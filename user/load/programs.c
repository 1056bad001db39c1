/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/log.h"
#include "base/sandbox.h"
#include "bpf/abi.h"
#include "load/programs.h"
#include "tollgate.skel.h"

struct programs {
	struct tollgate_bpf *skel;
};

static int on_libbpf(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	char *text = NULL, *line, *rest;

	/* libbpf calls its own expected probes warnings; our callers say what matters */
	if (level == LIBBPF_DEBUG || !log_enabled(LOG_DEBUG))
		return 0;
	/* a verifier's log is one message of many lines, and its end is what counts */
	if (vasprintf(&text, fmt, ap) < 0)
		return 0;
	for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		log_debug("%s", line);
	free(text);
	return 0;
}

int programs_check_privilege(void)
{
	static const cap_value_t need[] = { CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN };
	static const char *const names[] = { "CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN" };
	const char *missing = sandbox_missing(need, names, 3);

	if (!missing)
		return 0;
	log_error("%s is missing: run as root, or with CAP_BPF, CAP_PERFMON and "
		  "CAP_NET_ADMIN",
		  missing);
	return -EPERM;
}

static bool is_sized(const struct load_size *sizes, size_t n, const char *map)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(sizes[i].map, map) == 0)
			return true;
	}
	return false;
}

static int set_sizes(struct programs *p, const struct load_size *sizes, size_t n)
{
	uint32_t slots;

	for (size_t i = 0; i < n; i++) {
		struct bpf_map *map = programs_map(p, sizes[i].map);

		if (!map || bpf_map__set_max_entries(map, sizes[i].entries) < 0)
			return log_errno(-EINVAL, "cannot set the size of %s",
					 sizes[i].map);
	}
	/* what goes with another map */
	slots = bpf_map__max_entries(p->skel->maps.proxy_book);
	if (bpf_map__set_max_entries(p->skel->maps.proxy_ends, TG_ENDS_OF(slots)) < 0)
		return log_errno(-EINVAL, "cannot set the size of proxy_ends");
	if (!is_sized(sizes, n, "proxy_http") &&
	    bpf_map__set_max_entries(p->skel->maps.proxy_http, TG_HTTP_OF(slots)) < 0)
		return log_errno(-EINVAL, "cannot set the size of proxy_http");
	return 0;
}

int programs_open(const struct load_size *sizes, size_t n, struct programs **ret)
{
	struct programs *p = calloc(1, sizeof(*p));
	int err = -ENOMEM;

	libbpf_set_print(on_libbpf);
	if (p && (p->skel = tollgate_bpf__open()))
		err = set_sizes(p, sizes, n);
	else
		err = log_errno(p ? -errno : -ENOMEM, "cannot open the programs");
	if (err) {
		programs_free(p);
		return err;
	}
	*ret = p;
	return 0;
}

void programs_choose(struct programs *p, uint32_t hook, bool wire, bool xdp)
{
	struct bpf_program *prog;

	bpf_object__for_each_program(prog, p->skel->obj)
	{
		const char *name = bpf_program__name(prog);
		bool want = true;

		if (strcmp(name, "tcp_sockops") == 0)
			want = hook == TG_BY_SOCKOPS;
		else if (strcmp(name, "wire_xdp") == 0)
			want = xdp;
		else if (strncmp(name, "wire_", 5) == 0)
			want = wire;
		(void)bpf_program__set_autoload(prog, want);
	}
}

bool programs_has(const struct bpf_program *prog)
{
	return bpf_program__autoload(prog);
}

int programs_load(struct programs *p)
{
	if (tollgate_bpf__load(p->skel) < 0)
		return log_errno(-errno, "the kernel refused the programs "
					 "(--log-level debug shows why)");
	return 0;
}

void programs_free(struct programs *p)
{
	if (p)
		tollgate_bpf__destroy(p->skel);
	free(p);
}

struct bpf_object *programs_object(struct programs *p)
{
	return p->skel->obj;
}

struct bpf_program *programs_find(struct programs *p, const char *name)
{
	return bpf_object__find_program_by_name(p->skel->obj, name);
}

struct bpf_map *programs_map(struct programs *p, const char *name)
{
	return bpf_object__find_map_by_name(p->skel->obj, name);
}

int programs_write(struct programs *p, const char *map, uint32_t index, const void *value,
		   size_t size)
{
	struct bpf_map *m = programs_map(p, map);

	if (!m ||
	    bpf_map__update_elem(m, &index, sizeof(index), value, size, BPF_ANY) < 0)
		return log_errno(m ? -errno : -ENOENT, "cannot write the %s map", map);
	return 0;
}
