/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading, upgrading and unloading the kernel side.  Links are pinned beside the maps, so
 * nothing needs a living process; unloading is unpinning.  A load is made beside its
 * place and moved there when it is whole, so that what is found there always is.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/host.h"
#include "base/log.h"
#include "base/util.h"
#include "base/version.h"
#include "book/cgroups.h"
#include "book/hooks.h"
#include "book/pin.h"
#include "bpf/abi.h"
#include "load/adopt.h"
#include "load/attach.h"
#include "load/load.h"
#include "load/load_totals.h"
#include "load/pins.h"
#include "load/programs.h"
#include "load/repair.h"
#include "nft/nft.h"

#define DEVICES_MAX 256 /* that patterns may stand for */

/* One load in progress; what is set is what must be undone. */
struct load {
	const struct load_opts *opts;
	char dir[PIN_PATH_BYTES]; /* where it is pinned; empty: nowhere yet */
	bool mounted;		  /* we mounted the file system below it */
	struct programs *programs;
	struct bpf_link *sockops_link;
	struct bpf_link *release_link;
	struct bpf_link *state_link;
	struct bpf_link *iter_link;
	struct bpf_link *list_link;
	struct device devices[DEVICES_MAX];
	size_t devices_n;
	struct device xdp[DEVICES_MAX];
	size_t xdp_n;
	char cgroup[TG_TARGET_LEN];
	int cgroup_fd; /* -1: not open */
	uint64_t cgroup_id;
	uint64_t totals_unix;
	char table[TG_TABLE_LEN];
	struct nft_where nft_at;
	bool nft;
};

static int pin_link(const struct load *ld, struct bpf_link *link, const char *name)
{
	char path[PIN_PATH_BYTES];

	if (bpf_link__pin(link, pin_path(path, ld->dir, name)) < 0)
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
	if (!realpath(cgroup, root) || strlen(root) >= sizeof(ld->cgroup)) {
		log_error("--cgroup %s: its path is longer than %d", cgroup,
			  TG_TARGET_LEN - 1);
		return -ENAMETOOLONG;
	}
	memcpy(ld->cgroup, root, strlen(root) + 1);
	/* the number of its directory is the kernel's id of a cgroup; 1 is the root */
	ld->cgroup_id = st.st_ino == 1 ? 0 : st.st_ino;
	return 0;
}

static int explain_attach(const struct load *ld, int err)
{
	if (err == -EPERM) {
		log_error(
			"cannot attach to cgroup %s: a program there, or above it, admits "
			"no others (attached without BPF_F_ALLOW_MULTI); 'bpftool cgroup "
			"tree' shows it",
			ld->cgroup);
		return -EBUSY;
	}
	return log_errno(err, "cannot attach the tcp book");
}

/* With sockops the tracepoint is the net below (tcp.bpf.c). */
static int attach_hooks(struct load *ld)
{
	int err = 0;

	ld->release_link = bpf_program__attach_cgroup(
		programs_find(ld->programs, "tcp_release"), ld->cgroup_fd);
	if (ld->release_link)
		ld->state_link =
			bpf_program__attach(programs_find(ld->programs, "tcp_state"));
	if (ld->state_link && ld->opts->hook == TG_BY_SOCKOPS)
		ld->sockops_link = bpf_program__attach_cgroup(
			programs_find(ld->programs, "tcp_sockops"), ld->cgroup_fd);
	if (!ld->state_link || (ld->opts->hook == TG_BY_SOCKOPS && !ld->sockops_link))
		return explain_attach(ld, -errno);
	err = pin_link(ld, ld->release_link, "link-release");
	if (!err)
		err = pin_link(ld, ld->state_link, "link-state");
	if (!err && ld->sockops_link)
		err = pin_link(ld, ld->sockops_link, "link-sockops");
	return err;
}

static int attach_tcp(struct load *ld)
{
	int err;

	ld->iter_link =
		bpf_program__attach_iter(programs_find(ld->programs, "tcp_live"), NULL);
	ld->list_link =
		bpf_program__attach_iter(programs_find(ld->programs, "tcp_list"), NULL);
	if (!ld->iter_link || !ld->list_link)
		return log_errno(-errno, "cannot attach the socket iterators");
	err = pin_link(ld, ld->iter_link, "live");
	if (!err)
		err = pin_link(ld, ld->list_link, "list");
	if (!err)
		err = attach_hooks(ld);
	return err ? err : adopt_run(ld->dir, ld->opts->adopt, NULL);
}

static int attach_device(struct load *ld, const struct device *d)
{
	const struct bpf_program *rx = programs_find(ld->programs, "wire_ingress");
	const struct bpf_program *tx = programs_find(ld->programs, "wire_egress");
	int err;

	if (d->l3) {
		rx = programs_find(ld->programs, "wire_in_l3");
		tx = programs_find(ld->programs, "wire_out_l3");
	}
	err = attach_wire(ld->dir, d->ifindex, false, bpf_program__fd(rx),
			  ld->opts->attach);
	if (!err)
		err = attach_wire(ld->dir, d->ifindex, true, bpf_program__fd(tx),
				  ld->opts->attach);
	return err ? log_errno(err, "--device %s: cannot attach the wire book", d->name)
		   : 0;
}

static int attach_devices(struct load *ld)
{
	int err = 0;

	for (size_t i = 0; !err && i < ld->devices_n; i++)
		err = attach_device(ld, &ld->devices[i]);
	for (size_t i = 0; !err && i < ld->xdp_n; i++) {
		err = attach_xdp(
			ld->dir, ld->xdp[i].name, ld->xdp[i].ifindex,
			bpf_program__fd(programs_find(ld->programs, "wire_xdp")));
		if (err < 0)
			return log_errno(err, "--xdp %s: cannot attach", ld->xdp[i].name);
	}
	return err;
}

/* A quarter of the smaller table of rows. */
static uint64_t host_rows_max(const struct load *ld)
{
	uint64_t tcp = bpf_map__max_entries(programs_map(ld->programs, "tcp_totals"));
	uint64_t wire = bpf_map__max_entries(programs_map(ld->programs, "wire_totals"));
	uint64_t n = (tcp < wire ? tcp : wire) / 4;

	return n ? n : 1;
}

static int continue_totals(struct load *ld)
{
	if (!ld->opts->totals)
		return 0;
	return load_totals(ld->programs, ld->opts->totals, &ld->totals_unix);
}

static int write_meta(struct load *ld, bool whole)
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
			  .loaded_unix = (__u64)time(NULL),
			  .totals_unix = ld->totals_unix,
			  .by_cgroup = ld->opts->by_cgroup,
			  .whole = whole };

	(void)snprintf(m.version, sizeof(m.version), "%s", TOLLGATE_VERSION);
	if (ld->opts->nft)
		memcpy(m.nft_table, ld->table, sizeof(m.nft_table));
	(void)host_ephemeral_ports(&m.ephemeral_min, &m.ephemeral_max); /* else none */
	return programs_write(ld->programs, "meta", 0, &m, sizeof(m));
}

/* What was asked for, by name, for whoever has to attach it again. */
static int write_watched(struct load *ld)
{
	const struct load_opts *o = ld->opts;
	__u32 n = 1 + (__u32)o->devices_n + (__u32)o->xdp_n;
	int err = 0;

	if (n > TG_TARGETS_MAX) {
		log_error(
			"more than %d devices are named; a pattern ('eth*') stands for many",
			TG_TARGETS_MAX - 1);
		return -E2BIG;
	}
	for (__u32 i = 0; i < n && !err; i++) {
		struct watched t = { .kind = TG_TARGET_CGROUP, .attach = o->attach };
		const char *name = ld->cgroup;

		if (i > o->devices_n) {
			t.kind = TG_TARGET_XDP;
			name = o->xdp[i - 1 - o->devices_n];
		} else if (i > 0) {
			t.kind = TG_TARGET_DEVICE;
			name = o->devices[i - 1];
		}
		(void)snprintf(t.name, sizeof(t.name), "%s", name);
		err = programs_write(ld->programs, "watched", i, &t, sizeof(t));
	}
	return err;
}

static int pin_all(struct load *ld)
{
	char path[PIN_PATH_BYTES], name[64];
	struct bpf_program *prog;
	struct bpf_map *map;

	bpf_object__for_each_map(map, programs_object(ld->programs))
	{
		if (bpf_map__is_internal(map))
			continue;
		pin_path(path, ld->dir, bpf_map__name(map));
		if (bpf_map__pin(map, path) < 0)
			return log_errno(-errno, "cannot pin %s", path);
	}
	/* for whoever attaches them again (repair.c) */
	bpf_object__for_each_program(prog, programs_object(ld->programs))
	{
		if (!programs_has(prog))
			continue;
		(void)snprintf(name, sizeof(name), "prog-%s", bpf_program__name(prog));
		if (bpf_obj_pin(bpf_program__fd(prog), pin_path(path, ld->dir, name)) < 0)
			return log_errno(-errno, "cannot pin %s", path);
	}
	return 0;
}

static int load_nft(struct load *ld)
{
	const char *family = nft_family_name(ld->nft_at.family);
	int err;

	/* for there is no other load of these pins now */
	if (nft_tables_remove_owned(ld->table, ld->opts->pins))
		log_warn("an nft table '%s' was left from a load that was killed, and is "
			 "replaced",
			 ld->table);
	err = nft_table_create(&ld->nft_at, ld->opts->pins);
	if (err == -EEXIST) {
		log_error(
			"nft table '%s %s' exists already in this network namespace and is "
			"not of a load of %s; 'nft delete table %s %s' removes it, or give "
			"these books another name with --pins",
			family, ld->table, ld->opts->pins, family, ld->table);
		return err;
	}
	if (err < 0)
		return log_errno(err, "cannot create nft table '%s %s'", family,
				 ld->table);
	ld->nft = true;
	return 0;
}

/* Where the wire book counts, once it does. */
static int load_nft_devices(struct load *ld)
{
	const char *names[DEVICES_MAX];
	int err;

	for (size_t i = 0; i < ld->devices_n; i++)
		names[i] = ld->devices[i].name;
	err = nft_devices_set(&ld->nft_at, names, ld->devices_n);
	if (err == -EOPNOTSUPP) {
		log_error(
			"nft cannot count at a device: the kernel is without its egress "
			"hook (CONFIG_NETFILTER_EGRESS); --no-nft does without");
		return err;
	}
	return err < 0 ? log_errno(err, "nft cannot count at the devices") : 0;
}

/* A device by name must be there; of a pattern there may be none yet. */
static int find_devices(const char *option, const char *const *names, size_t n,
			struct device *list, size_t *ret_n)
{
	struct if_nameindex *all = if_nameindex();
	int err = all ? 0 : log_errno(-errno, "cannot list the devices");

	for (size_t i = 0; !err && i < n; i++) {
		size_t len = strlen(names[i]);
		bool pattern = len && names[i][len - 1] == '*';

		if (!pattern && *ret_n < DEVICES_MAX)
			err = attach_find_device(option, names[i], &list[(*ret_n)++]);
		for (struct if_nameindex *d = all; pattern && d->if_index; d++) {
			if (*ret_n < DEVICES_MAX &&
			    hooks_device_fits(names[i], d->if_name) &&
			    attach_find_device(NULL, d->if_name, &list[*ret_n]) == 0)
				++*ret_n;
		}
	}
	if_freenameindex(all);
	return err;
}

static int check_devices(struct load *ld)
{
	const struct load_opts *o = ld->opts;
	const char *upper, *lower;
	int err;

	err = find_devices("device", (const char *const *)o->devices, o->devices_n,
			   ld->devices, &ld->devices_n);
	if (!err)
		err = find_devices("xdp", (const char *const *)o->xdp, o->xdp_n, ld->xdp,
				   &ld->xdp_n);
	if (!err && attach_find_overlap(ld->devices, ld->devices_n, &upper, &lower) < 0) {
		log_error(
			"--device %s and --device %s: the same frames cross both (%s is a "
			"part of %s) and would count twice; watch one of them",
			upper, lower, lower, upper);
		err = -EINVAL;
	}
	for (size_t i = 0; !err && i < ld->xdp_n; i++) {
		if (!ld->xdp[i].l3)
			continue;
		log_error("--xdp %s: its frames have no Ethernet header, which XDP reads",
			  ld->xdp[i].name);
		err = -EOPNOTSUPP;
	}
	return err;
}

/* Somebody asked us to stop: what was done is undone. */
static int interrupted(int err)
{
	static const int asked[] = { SIGINT, SIGTERM, SIGHUP };
	sigset_t pending;

	if (err || sigpending(&pending) < 0)
		return err;
	for (size_t i = 0; i < ARRAY_SIZE(asked); i++) {
		if (!sigismember(&pending, asked[i]))
			continue;
		log_error("interrupted: nothing is loaded");
		return -EINTR;
	}
	return 0;
}

static int name_cgroups(struct load *ld)
{
	int err = cgroups_scan(ld->dir, ld->cgroup);

	if (!err || err == -E2BIG) /* who looks after the hooks says that */
		return 0;
	return log_errno(err, "cannot name the cgroups below %s", ld->cgroup);
}

static int load_steps(struct load *ld)
{
	const struct load_opts *o = ld->opts;
	int err = open_cgroup(ld, o->cgroup);

	if (!err)
		err = check_devices(ld);
	if (!err)
		err = programs_open(o->sizes, o->sizes_n, &ld->programs);
	if (!err) {
		programs_choose(ld->programs, o->hook, o->devices_n > 0, o->xdp_n > 0);
		err = interrupted(programs_load(ld->programs));
	}
	if (!err)
		err = pins_begin(ld->opts->pins, ld->dir, &ld->mounted);
	if (!err)
		err = write_watched(ld);
	if (!err)
		err = continue_totals(ld);
	if (!err)
		err = write_meta(ld, false);
	if (!err)
		err = pin_all(ld);
	if (!err && o->by_cgroup)
		err = name_cgroups(ld);
	if (!err && ld->opts->nft)
		err = load_nft(ld);
	if (!err)
		err = interrupted(attach_devices(ld));
	if (!err && ld->opts->nft && ld->opts->devices_n)
		err = load_nft_devices(ld);
	/* last: from here on connections are in the books */
	if (!err)
		err = interrupted(attach_tcp(ld));
	if (!err)
		err = write_meta(ld, true);
	return err ? err : pins_commit(ld->dir, ld->opts->pins);
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
	programs_free(ld->programs);
	free(ld);
}

static struct load *load_new(const struct load_opts *opts)
{
	struct load *ld = calloc(1, sizeof(*ld));

	if (!ld) {
		(void)log_errno(-ENOMEM, "load");
		return NULL;
	}
	ld->opts = opts;
	ld->cgroup_fd = -1;
	return ld;
}

/* Each instance has a table of its own, named as the last part of its path. */
static int name_table(struct load *ld)
{
	const char *base = strrchr(ld->opts->pins, '/');

	base = base ? base + 1 : ld->opts->pins;
	if (!*base || strlen(base) >= sizeof(ld->table)) {
		log_error("--pins %s: its last part names the nft table and has 1 to %zu "
			  "characters",
			  ld->opts->pins, sizeof(ld->table) - 1);
		return -EINVAL;
	}
	memcpy(ld->table, base, strlen(base) + 1);
	ld->nft_at.table = ld->table;
	ld->nft_at.family = ld->opts->devices_n ? NFT_NETDEV : NFT_INET;
	return 0;
}

int load_run(const struct load_opts *opts)
{
	struct load *ld = load_new(opts);
	sigset_t stop, before;
	int err;

	if (!ld)
		return -ENOMEM;
	sigemptyset(&stop);
	sigaddset(&stop, SIGINT);
	sigaddset(&stop, SIGTERM);
	sigaddset(&stop, SIGHUP);
	sigprocmask(SIG_BLOCK, &stop, &before);
	err = programs_check_privilege();
	if (!err)
		err = name_table(ld);
	if (!err)
		err = load_steps(ld);
	if (err < 0 && ld->nft)
		(void)nft_table_delete(&ld->nft_at);
	if (err < 0)
		pins_abandon(ld->dir, ld->mounted);
	load_free(ld);
	if (!err)
		err = repair_run(opts->pins,
				 false); /* only to write down how the hooks are */
	sigprocmask(SIG_SETMASK, &before, NULL);
	return err < 0 ? err : 0;
}
