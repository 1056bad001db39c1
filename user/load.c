/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading, upgrading and unloading the kernel side.  Links are pinned beside the maps, so
 * nothing needs a living process; unloading is unpinning.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "attach.h"
#include "base/host.h"
#include "base/log.h"
#include "base/sandbox.h"
#include "base/util.h"
#include "bpf/abi.h"
#include "load.h"
#include "nft/nft.h"
#include "pins.h"
#include "tollgate.skel.h"
#include "version.h"

/* One load in progress; what is set is what must be undone. */
struct load {
	const struct load_opts *opts;
	struct tollgate_bpf *skel;
	struct bpf_link *sockops_link;
	struct bpf_link *release_link;
	struct bpf_link *state_link;
	struct bpf_link *iter_link;
	struct bpf_link *list_link;
	unsigned ifindex[LOAD_DEVICES_MAX];
	unsigned xdp_ifindex[LOAD_DEVICES_MAX];
	int cgroup_fd; /* -1: not open */
	uint64_t cgroup_id;
	bool made_dir;
	bool nft;
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

static int check_privilege(void)
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

static int pin_link(const struct load *ld, struct bpf_link *link, const char *name)
{
	char path[PIN_PATH_BYTES];

	if (bpf_link__pin(link, pin_path(path, ld->opts->pins, name)) < 0)
		return log_errno(-errno, "cannot pin %s", path);
	return 0;
}

/* --- the tcp book --- */

static int open_cgroup(struct load *ld, const char *cgroup)
{
	char root[PIN_PATH_BYTES];
	struct stat st;

	if (!cgroup) {
		if (host_cgroup2(root, sizeof(root)) < 0) {
			log_error(
				"no cgroup v2 is mounted (looked in /proc/self/mountinfo); "
				"mount one, or name a directory with --cgroup");
			return -ENOENT;
		}
		cgroup = root;
	}
	ld->cgroup_fd = open(cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (ld->cgroup_fd < 0 || fstat(ld->cgroup_fd, &st) < 0)
		return log_errno(-errno, "cannot open cgroup %s", cgroup);
	/* the number of its directory is the kernel's id of a cgroup; 1 is the root */
	ld->cgroup_id = st.st_ino == 1 ? 0 : st.st_ino;
	return 0;
}

/* With sockops the tracepoint is for adopted sockets, and goes if none needs it. */
static int attach_hooks(struct load *ld)
{
	int err = 0;

	ld->release_link =
		bpf_program__attach_cgroup(ld->skel->progs.tcp_release, ld->cgroup_fd);
	if (ld->release_link)
		ld->state_link = bpf_program__attach(ld->skel->progs.tcp_state);
	if (ld->state_link && ld->opts->hook == TG_HOOK_SOCKOPS)
		ld->sockops_link = bpf_program__attach_cgroup(ld->skel->progs.tcp_sockops,
							      ld->cgroup_fd);
	if (!ld->state_link || (ld->opts->hook == TG_HOOK_SOCKOPS && !ld->sockops_link))
		return log_errno(-errno, "cannot attach the tcp book");
	err = pin_link(ld, ld->release_link, "link-release");
	if (!err && ld->sockops_link)
		err = pin_link(ld, ld->sockops_link, "link-sockops");
	return err;
}

/* In one network namespace: run the iterator and count its marks. */
struct adoption {
	int link_fd;
	uint64_t adopted;
	uint64_t by_tracepoint;
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
	       (n < 0 && (errno == EAGAIN || errno == EINTR))) {
		for (ssize_t i = 0; i < n; i++) {
			a->adopted++;
			a->by_tracepoint += buf[i] == '-';
		}
	}
	n = n < 0 ? -errno : 0;
	close(fd);
	return (int)n;
}

static int adopt(struct load *ld)
{
	struct adoption a = { 0 };
	struct bpf_link *link;
	int err = 0;

	if (ld->opts->adopt != LOAD_ADOPT_NONE) {
		link = bpf_program__attach_iter(ld->skel->progs.tcp_adopt, NULL);
		if (!link)
			return log_errno(-errno, "cannot attach the adopting iterator");
		a.link_fd = bpf_link__fd(link);
		err = ld->opts->adopt == LOAD_ADOPT_HERE
			      ? adopt_here(&a)
			      : host_each_netns(adopt_here, &a);
		bpf_link__destroy(link);
		if (err == -EPERM && ld->opts->adopt == LOAD_ADOPT_ALL) {
			log_warn("no permission to enter other network namespaces; their "
				 "connections are not adopted");
			err = 0;
		}
		if (err < 0)
			return log_errno(err, "cannot visit the sockets that are open");
	}
	if (a.adopted)
		log_info("%llu connections older than the books adopted",
			 (unsigned long long)a.adopted);
	if (ld->opts->hook == TG_HOOK_TRACEPOINT || a.by_tracepoint)
		return pin_link(ld, ld->state_link, "link-state");
	bpf_link__destroy(ld->state_link);
	ld->state_link = NULL;
	return 0;
}

static int attach_tcp(struct load *ld)
{
	int err;

	ld->iter_link = bpf_program__attach_iter(ld->skel->progs.tcp_live, NULL);
	ld->list_link = bpf_program__attach_iter(ld->skel->progs.tcp_list, NULL);
	if (!ld->iter_link || !ld->list_link)
		return log_errno(-errno, "cannot attach the socket iterators");
	err = pin_link(ld, ld->iter_link, "live");
	if (!err)
		err = pin_link(ld, ld->list_link, "list");
	if (!err)
		err = attach_hooks(ld);
	return err ? err : adopt(ld);
}

static int attach_devices(struct load *ld)
{
	const struct load_opts *o = ld->opts;
	int err = 0;

	for (size_t i = 0; !err && i < o->devices_n; i++) {
		err = attach_wire(o->pins, ld->ifindex[i], false,
				  bpf_program__fd(ld->skel->progs.wire_ingress),
				  o->attach);
		if (!err)
			err = attach_wire(o->pins, ld->ifindex[i], true,
					  bpf_program__fd(ld->skel->progs.wire_egress),
					  o->attach);
		if (err < 0)
			return log_errno(err, "--device %s: cannot attach the wire book",
					 o->devices[i]);
	}
	for (size_t i = 0; !err && i < o->xdp_n; i++) {
		err = attach_xdp(o->pins, o->xdp[i], ld->xdp_ifindex[i],
				 bpf_program__fd(ld->skel->progs.wire_xdp));
		if (err < 0)
			return log_errno(err, "--xdp %s: cannot attach", o->xdp[i]);
	}
	return err;
}

/* A quarter of the smaller table of rows. */
static uint64_t host_rows_max(const struct load *ld)
{
	uint64_t tcp = bpf_map__max_entries(ld->skel->maps.tcp_totals);
	uint64_t wire = bpf_map__max_entries(ld->skel->maps.wire_totals);
	uint64_t n = (tcp < wire ? tcp : wire) / 4;

	return n ? n : 1;
}

static int write_meta(struct load *ld)
{
	struct meta m = { .abi_version = TG_ABI_VERSION,
			  .wire = (__u32)ld->opts->devices_n,
			  .xdp = (__u32)ld->opts->xdp_n,
			  .nft = ld->opts->nft,
			  .hook = ld->opts->hook,
			  .cgroup_id = ld->cgroup_id,
			  .idle_ns = (__u64)ld->opts->idle_ms * 1000000,
			  .host_rows_max = host_rows_max(ld),
			  .netns_cookie = host_netns_cookie(),
			  .loaded_ns = util_now_ns(),
			  .loaded_unix = (__u64)time(NULL) };
	__u32 zero = 0;

	(void)snprintf(m.version, sizeof(m.version), "%s", TOLLGATE_VERSION);
	if (bpf_map__update_elem(ld->skel->maps.meta, &zero, sizeof(zero), &m, sizeof(m),
				 BPF_ANY) < 0)
		return log_errno(-errno, "cannot write the meta map");
	return 0;
}

/* Maps only: an unlinked program stays alive through the link that uses it. */
static int pin_maps(struct load *ld)
{
	char path[PIN_PATH_BYTES];
	struct bpf_map *map;

	bpf_object__for_each_map(map, ld->skel->obj)
	{
		if (bpf_map__is_internal(map))
			continue;
		pin_path(path, ld->opts->pins, bpf_map__name(map));
		if (bpf_map__pin(map, path) < 0)
			return log_errno(-errno, "cannot pin %s", path);
	}
	return 0;
}

static int load_nft(struct load *ld)
{
	int err;

	err = nft_table_create(ld->ifindex, ld->opts->devices_n);
	if (err == -EEXIST) {
		log_error(
			"nft table 'inet tollgate' exists already in this network "
			"namespace; 'tollgate unload' or 'nft delete table inet tollgate' "
			"removes it");
		return err;
	}
	if (err < 0)
		return log_errno(err, "cannot create nft table 'inet tollgate'");
	ld->nft = true;
	return 0;
}

static int check_devices(struct load *ld)
{
	const struct load_opts *o = ld->opts;
	int err = 0;

	for (size_t i = 0; !err && i < o->devices_n; i++)
		err = attach_check_device("device", o->devices[i], &ld->ifindex[i]);
	for (size_t i = 0; !err && i < o->xdp_n; i++)
		err = attach_check_device("xdp", o->xdp[i], &ld->xdp_ifindex[i]);
	return err;
}

static int open_programs(struct load *ld)
{
	ld->skel = tollgate_bpf__open();
	if (!ld->skel)
		return log_errno(-errno, "cannot open the programs");
	for (size_t i = 0; i < ld->opts->sizes_n; i++) {
		const struct load_size *size = &ld->opts->sizes[i];
		struct bpf_map *map =
			bpf_object__find_map_by_name(ld->skel->obj, size->map);

		if (!map || bpf_map__set_max_entries(map, size->entries) < 0)
			return log_errno(-EINVAL, "cannot set the size of %s", size->map);
	}
	return 0;
}

static int load_programs(struct load *ld)
{
	if (tollgate_bpf__load(ld->skel) < 0)
		return log_errno(-errno, "the kernel refused the programs "
					 "(--log-level debug shows why)");
	return 0;
}

static int load_steps(struct load *ld)
{
	int err;

	err = check_devices(ld);
	if (!err) {
		err = pins_make(ld->opts->pins);
		ld->made_dir = !err;
	}
	if (!err)
		err = open_programs(ld);
	if (!err)
		err = load_programs(ld);
	if (!err)
		err = open_cgroup(ld, ld->opts->cgroup);
	if (!err)
		err = write_meta(ld);
	if (!err)
		err = pin_maps(ld);
	if (!err && ld->opts->nft)
		err = load_nft(ld);
	if (!err)
		err = attach_devices(ld);
	/* last: from here on connections are in the books */
	return err ? err : attach_tcp(ld);
}

static void load_free(struct load *ld)
{
	bpf_link__destroy(ld->sockops_link);
	bpf_link__destroy(ld->release_link);
	bpf_link__destroy(ld->state_link);
	bpf_link__destroy(ld->iter_link);
	bpf_link__destroy(ld->list_link);
	if (ld->cgroup_fd >= 0)
		close(ld->cgroup_fd);
	tollgate_bpf__destroy(ld->skel);
}

int load_run(const struct load_opts *opts)
{
	struct load ld = { .opts = opts, .cgroup_fd = -1 };
	int err;

	libbpf_set_print(on_libbpf);
	err = check_privilege();
	if (err < 0)
		return err;
	err = load_steps(&ld);
	if (err < 0 && ld.nft)
		(void)nft_table_delete();
	if (err < 0 && ld.made_dir)
		(void)pins_remove(opts->pins);
	load_free(&ld);
	return err;
}

/* --- upgrade --- */

/* Take over a map that is pinned; one that this version added is made and pinned. */
static int reuse_map(const struct load *ld, struct bpf_map *map)
{
	struct bpf_map_info info = { 0 };
	__u32 len = sizeof(info);
	char path[PIN_PATH_BYTES];
	int fd, err = 0;

	fd = bpf_obj_get(pin_path(path, ld->opts->pins, bpf_map__name(map)));
	if (fd < 0)
		return errno == ENOENT ? bpf_map__set_pin_path(map, path) : -errno;
	if (bpf_obj_get_info_by_fd(fd, &info, &len) < 0)
		err = -errno;
	else if (info.type != bpf_map__type(map) ||
		 info.key_size != bpf_map__key_size(map) ||
		 info.value_size != bpf_map__value_size(map)) {
		log_error("--upgrade: this version keeps other figures in %s; 'tollgate "
			  "unload' and 'load' again",
			  path);
		err = -EPROTO;
	} else {
		err = bpf_map__reuse_fd(map, fd);
	}
	close(fd);
	return err;
}

static int reuse_maps(struct load *ld)
{
	struct bpf_map *map;
	int err;

	bpf_object__for_each_map(map, ld->skel->obj)
	{
		if (bpf_map__is_internal(map))
			continue;
		err = reuse_map(ld, map);
		if (err)
			return err;
	}
	return 0;
}

static int update_link(const struct load *ld, const char *name,
		       const struct bpf_program *prog)
{
	char path[PIN_PATH_BYTES];
	int fd, err = 0;

	fd = bpf_obj_get(pin_path(path, ld->opts->pins, name));
	if (fd < 0)
		return log_errno(-errno, "cannot open %s", path);
	/* ENOLINK: its device is gone, and with it the need */
	if (bpf_link_update(fd, bpf_program__fd(prog), NULL) < 0 && errno != ENOLINK)
		err = log_errno(-errno, "cannot replace the program of %s", path);
	close(fd);
	return err;
}

/* A tracing link knows no update: the new one is there before the old one goes, and the
 * second of two sees that the work is done. */
static int replace_state(struct load *ld)
{
	char path[PIN_PATH_BYTES];

	ld->state_link = bpf_program__attach(ld->skel->progs.tcp_state);
	if (!ld->state_link)
		return log_errno(-errno, "cannot attach the tracepoint");
	(void)unlink(pin_path(path, ld->opts->pins, "link-state"));
	return pin_link(ld, ld->state_link, "link-state");
}

static bool starts(const char *name, const char *prefix)
{
	return strncmp(name, prefix, strlen(prefix)) == 0;
}

static int upgrade_pin(struct load *ld, const char *name)
{
	const struct bpf_program *rx = ld->skel->progs.wire_ingress;
	const struct bpf_program *tx = ld->skel->progs.wire_egress;

	if (strcmp(name, "link-sockops") == 0)
		return update_link(ld, name, ld->skel->progs.tcp_sockops);
	if (strcmp(name, "link-release") == 0)
		return update_link(ld, name, ld->skel->progs.tcp_release);
	if (strcmp(name, "live") == 0)
		return update_link(ld, name, ld->skel->progs.tcp_live);
	if (strcmp(name, "list") == 0)
		return update_link(ld, name, ld->skel->progs.tcp_list);
	if (strcmp(name, "link-state") == 0)
		return replace_state(ld);
	if (starts(name, "link-xdp-"))
		return update_link(ld, name, ld->skel->progs.wire_xdp);
	if (starts(name, "link-wire-"))
		return update_link(ld, name, starts(name, "link-wire-rx-") ? rx : tx);
	if (starts(name, "clsact-"))
		return attach_clsact_replace(
			ld->opts->pins, name,
			bpf_program__fd(starts(name, "clsact-rx-") ? rx : tx));
	return 0; /* a map */
}

/* Names first: a pin that is replaced must not be met twice. */
static int upgrade_pins(struct load *ld)
{
	struct dirent **names;
	int n, err = 0;

	n = scandir(ld->opts->pins, &names, NULL, alphasort);
	if (n < 0)
		return log_errno(-errno, "cannot read %s", ld->opts->pins);
	for (int i = 0; i < n; i++) {
		if (!err)
			err = upgrade_pin(ld, names[i]->d_name);
		free(names[i]);
	}
	free(names);
	return err;
}

static int mark_upgrade(struct load *ld, struct meta *m)
{
	__u32 zero = 0;

	m->upgrades++;
	memset(m->version, 0, sizeof(m->version));
	(void)snprintf(m->version, sizeof(m->version), "%s", TOLLGATE_VERSION);
	if (bpf_map__update_elem(ld->skel->maps.meta, &zero, sizeof(zero), m, sizeof(*m),
				 BPF_ANY) < 0)
		return log_errno(-errno, "cannot write the meta map");
	return 0;
}

int upgrade_run(const struct load_opts *opts)
{
	struct load ld = { .opts = opts, .cgroup_fd = -1 };
	struct meta m;
	int err;

	libbpf_set_print(on_libbpf);
	err = check_privilege();
	if (!err && access(opts->pins, F_OK) < 0) {
		err = -errno;
		log_error("not loaded: there is no %s to upgrade", opts->pins);
	}
	if (!err)
		err = pins_meta(opts->pins, &m);
	if (!err && m.abi_version != TG_ABI_VERSION) {
		log_error("--upgrade: the books in %s have another shape (%u, not %u); "
			  "'tollgate unload' and 'load' again",
			  opts->pins, m.abi_version, TG_ABI_VERSION);
		err = -EPROTO;
	}
	if (!err)
		err = open_programs(&ld);
	if (!err)
		err = reuse_maps(&ld);
	if (!err)
		err = load_programs(&ld);
	if (!err)
		err = upgrade_pins(&ld);
	if (!err)
		err = mark_upgrade(&ld, &m);
	load_free(&ld);
	return err;
}

int unload_run(const char *pins)
{
	struct meta meta;
	int err, nft_err;

	libbpf_set_print(on_libbpf);
	err = check_privilege();
	if (err < 0)
		return err;
	if (access(pins, F_OK) < 0) {
		err = -errno;
		if (err == -ENOENT)
			log_error("not loaded: there is no %s", pins);
		return err;
	}
	err = pins_meta(pins, &meta);
	if (err < 0)
		return err;
	err = pins_remove(pins);
	nft_err = meta.nft ? nft_table_delete() : 0;
	if (nft_err < 0 && nft_err != -ENOENT)
		err = log_errno(nft_err, "cannot remove nft table 'inet tollgate'");
	return err;
}
