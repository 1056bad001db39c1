/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading and unloading the kernel side.  Links are pinned beside the maps, so nothing
 * needs a living process; unloading is unpinning.  Where the kernel has no tcx the
 * classic clsact filter is used, which has no link: an extra pin of the program,
 * `clsact-<direction>-<ifindex>`, tells unload where it is.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/host.h"
#include "base/log.h"
#include "base/sandbox.h"
#include "base/util.h"
#include "bpf/abi.h"
#include "load.h"
#include "nft/nft.h"
#include "tollgate.skel.h"
#include "version.h"

#define BPF_TCX_INGRESS_ATTACH 46 /* enum bpf_attach_type of Linux 6.6 */
#define BPF_TCX_EGRESS_ATTACH  47
#define CLSACT_PREF	       49151 /* before what tc picks by itself, clear of hand-made ones */
#define PATH_BYTES	       4096

/* One load in progress; what is set is what must be undone. */
struct load {
	const struct load_opts *opts;
	struct tollgate_bpf *skel;
	struct bpf_link *sockops_link;
	struct bpf_link *release_link;
	struct bpf_link *iter_link;
	unsigned ifindex[LOAD_DEVICES_MAX];
	bool made_dir;
	bool nft;
};

static const char *pin_path(char buf[PATH_BYTES], const char *pins, const char *name)
{
	(void)snprintf(buf, PATH_BYTES, "%s/%s", pins, name);
	return buf;
}

static int on_libbpf(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	char text[1024];
	size_t len;

	/* libbpf calls its own expected probes warnings; our callers say what matters */
	if (level == LIBBPF_DEBUG || !log_enabled(LOG_DEBUG))
		return 0;
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	len = strlen(text);
	if (len && text[len - 1] == '\n')
		text[len - 1] = '\0';
	log_debug("%s", text);
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

/* Make DIR on a bpffs; mounts one at /sys/fs/bpf if there is none. */
static int make_pins_dir(struct load *ld)
{
	const char *pins = ld->opts->pins;
	char parent[PATH_BYTES];
	char *slash;
	int r;

	(void)snprintf(parent, sizeof(parent), "%s", pins);
	slash = strrchr(parent, '/');
	if (!slash || slash == parent) {
		log_error("--pins %s: must be a directory below a bpf file system", pins);
		return -EINVAL;
	}
	*slash = '\0';
	r = host_is_bpffs(parent);
	if (r == 0 && strcmp(parent, "/sys/fs/bpf") == 0) {
		if (mount("bpf", parent, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC,
			  "mode=0700") < 0)
			return log_errno(-errno, "cannot mount a bpf file system on %s",
					 parent);
		log_info("mounted a bpf file system on %s", parent);
		r = 1;
	}
	if (r < 0)
		return log_errno(r, "--pins %s: cannot look at %s", pins, parent);
	if (r == 0) {
		log_error("--pins %s: %s is not a bpf file system; mount one with "
			  "'mount -t bpf bpf %s'",
			  pins, parent, parent);
		return -EINVAL;
	}
	if (mkdir(pins, 0700) < 0) {
		if (errno != EEXIST)
			return log_errno(-errno, "cannot make %s", pins);
		log_error("already loaded: %s exists; 'tollgate unload' removes it",
			  pins);
		return -EEXIST;
	}
	ld->made_dir = true;
	return 0;
}

static int pin_link(const struct load *ld, struct bpf_link *link, const char *name)
{
	char path[PATH_BYTES];

	if (bpf_link__pin(link, pin_path(path, ld->opts->pins, name)) < 0)
		return log_errno(-errno, "cannot pin %s", path);
	return 0;
}

static int attach_to_cgroup(struct load *ld, int fd, const char *cgroup)
{
	int err;

	ld->release_link = bpf_program__attach_cgroup(ld->skel->progs.tcp_release, fd);
	if (ld->release_link)
		ld->sockops_link =
			bpf_program__attach_cgroup(ld->skel->progs.tcp_sockops, fd);
	if (!ld->sockops_link)
		return log_errno(-errno, "cannot attach the tcp book to cgroup %s",
				 cgroup);
	err = pin_link(ld, ld->release_link, "link-release");
	return err ? err : pin_link(ld, ld->sockops_link, "link-sockops");
}

static int attach_cgroup(struct load *ld)
{
	const char *cgroup = ld->opts->cgroup;
	char root[PATH_BYTES];
	int fd, err;

	ld->iter_link = bpf_program__attach_iter(ld->skel->progs.tcp_live, NULL);
	if (!ld->iter_link)
		return log_errno(-errno, "cannot attach the socket iterator");
	err = pin_link(ld, ld->iter_link, "live");
	if (err)
		return err;
	if (!cgroup) {
		if (host_cgroup2(root, sizeof(root)) < 0) {
			log_error(
				"no cgroup v2 is mounted (looked in /proc/self/mountinfo); "
				"mount one, or name a directory with --cgroup");
			return -ENOENT;
		}
		cgroup = root;
	}
	fd = open(cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return log_errno(-errno, "cannot open cgroup %s", cgroup);
	err = attach_to_cgroup(ld, fd, cgroup);
	close(fd);
	return err;
}

/* The programs read Ethernet headers; loopback has one of zeros. */
static int check_device(const char *name, unsigned *ret_ifindex)
{
	struct ifreq req = { 0 };
	int fd, err = 0;

	if (strlen(name) >= sizeof(req.ifr_name)) {
		log_error("--device %s: no such device", name);
		return -ENODEV;
	}
	memcpy(req.ifr_name, name, strlen(name));
	*ret_ifindex = if_nametoindex(name);
	if (!*ret_ifindex) {
		log_error("--device %s: no such device; 'ip link' lists them", name);
		return -ENODEV;
	}
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return log_errno(-errno, "cannot open a socket");
	if (ioctl(fd, SIOCGIFHWADDR, &req) < 0) {
		err = log_errno(-errno, "--device %s: cannot read its type", name);
	} else if (req.ifr_hwaddr.sa_family != ARPHRD_ETHER &&
		   req.ifr_hwaddr.sa_family != ARPHRD_LOOPBACK) {
		log_error(
			"--device %s: neither Ethernet nor loopback (type %u); the wire "
			"book cannot read its frames",
			name, req.ifr_hwaddr.sa_family);
		err = -EOPNOTSUPP;
	}
	close(fd);
	return err;
}

/* bpf(BPF_LINK_CREATE) for tcx: libbpf 1.1 has no call for it. */
static int tcx_link(int prog_fd, unsigned ifindex, int attach_type)
{
	union bpf_attr attr;
	long fd;

	memset(&attr, 0, sizeof(attr));
	attr.link_create.prog_fd = (unsigned)prog_fd;
	attr.link_create.target_ifindex = ifindex;
	attr.link_create.attach_type = (unsigned)attach_type;
	fd = syscall(__NR_bpf, BPF_LINK_CREATE, &attr, sizeof(attr));
	return fd < 0 ? -errno : (int)fd;
}

static int attach_tcx(struct load *ld, unsigned ifindex, int tx)
{
	const struct bpf_program *prog =
		tx ? ld->skel->progs.wire_egress : ld->skel->progs.wire_ingress;
	char name[64], path[PATH_BYTES];
	int fd, err = 0;

	fd = tcx_link(bpf_program__fd(prog), ifindex,
		      tx ? BPF_TCX_EGRESS_ATTACH : BPF_TCX_INGRESS_ATTACH);
	if (fd < 0)
		return fd;
	(void)snprintf(name, sizeof(name), "link-wire-%s-%u", tx ? "tx" : "rx", ifindex);
	if (bpf_obj_pin(fd, pin_path(path, ld->opts->pins, name)) < 0)
		err = log_errno(-errno, "cannot pin %s", path);
	close(fd);
	return err;
}

/* name: "clsact-rx-<ifindex>" or "clsact-tx-<ifindex>" */
static void detach_clsact(const char *name)
{
	int tx = strncmp(name, "clsact-tx-", 10) == 0;
	uint64_t ifindex = 0;
	char device[IF_NAMESIZE];

	/* a device that is gone took its filters along; an empty clsact does nothing */
	if (util_parse_u64(name + 10, INT32_MAX, &ifindex) < 0 ||
	    !if_indextoname((unsigned)ifindex, device))
		return;

	DECLARE_LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex,
			    .attach_point = tx ? BPF_TC_EGRESS : BPF_TC_INGRESS);
	DECLARE_LIBBPF_OPTS(bpf_tc_opts, opts, .handle = 1, .priority = CLSACT_PREF);

	if (bpf_tc_detach(&hook, &opts) < 0)
		log_warn("cannot detach the wire book from %s; continuing", device);
}

static int attach_clsact(struct load *ld, unsigned ifindex, int tx)
{
	DECLARE_LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex,
			    .attach_point = tx ? BPF_TC_EGRESS : BPF_TC_INGRESS);
	DECLARE_LIBBPF_OPTS(bpf_tc_opts, opts, .handle = 1, .priority = CLSACT_PREF);
	const struct bpf_program *prog =
		tx ? ld->skel->progs.wire_egress : ld->skel->progs.wire_ingress;
	char name[64], path[PATH_BYTES];
	int err;

	err = bpf_tc_hook_create(&hook);
	if (err < 0 && err != -EEXIST)
		return err;
	opts.prog_fd = bpf_program__fd(prog);
	err = bpf_tc_attach(&hook, &opts);
	if (err < 0)
		return err;
	(void)snprintf(name, sizeof(name), "clsact-%s-%u", tx ? "tx" : "rx", ifindex);
	if (bpf_obj_pin(bpf_program__fd(prog), pin_path(path, ld->opts->pins, name)) <
	    0) {
		err = log_errno(-errno, "cannot pin %s", path);
		detach_clsact(name); /* nobody would find it later */
		return err;
	}
	return 0;
}

static int attach_device(struct load *ld, const char *device, unsigned ifindex)
{
	enum load_attach how = ld->opts->attach;
	int err;

	for (int tx = 0; tx < 2; tx++) {
		err = -EINVAL;
		if (how != LOAD_CLSACT)
			err = attach_tcx(ld, ifindex, tx);
		if (err == -EINVAL && how != LOAD_TCX)
			err = attach_clsact(ld, ifindex, tx);
		if (err < 0)
			return log_errno(err, "--device %s: cannot attach the wire book",
					 device);
	}
	return 0;
}

static int write_meta(struct load *ld)
{
	struct meta m = { .abi_version = TG_ABI_VERSION,
			  .wire = (__u32)ld->opts->devices_n,
			  .nft = ld->opts->nft,
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
	char path[PATH_BYTES];
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

static int remove_pins(const char *pins)
{
	char path[PATH_BYTES];
	struct dirent *e;
	int err = 0;
	DIR *d;

	d = opendir(pins);
	if (!d)
		return -errno;
	while ((e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		if (strncmp(e->d_name, "clsact-", 7) == 0)
			detach_clsact(e->d_name);
		if (unlink(pin_path(path, pins, e->d_name)) < 0)
			err = log_errno(-errno, "cannot remove %s", path);
	}
	closedir(d);
	if (!err && rmdir(pins) < 0)
		err = log_errno(-errno, "cannot remove %s", pins);
	return err;
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

static int load_steps(struct load *ld)
{
	const struct load_opts *o = ld->opts;
	int err;

	for (size_t i = 0; i < o->devices_n; i++) {
		err = check_device(o->devices[i], &ld->ifindex[i]);
		if (err < 0)
			return err;
	}
	err = make_pins_dir(ld);
	if (err < 0)
		return err;
	ld->skel = tollgate_bpf__open_and_load();
	if (!ld->skel)
		return log_errno(-errno, "the kernel refused the programs "
					 "(--log-level debug shows why)");
	err = write_meta(ld);
	if (!err)
		err = pin_maps(ld);
	if (!err && o->nft)
		err = load_nft(ld);
	for (size_t i = 0; !err && i < o->devices_n; i++)
		err = attach_device(ld, o->devices[i], ld->ifindex[i]);
	/* last: from here on connections are in the books */
	return err ? err : attach_cgroup(ld);
}

int load_run(const struct load_opts *opts)
{
	struct load ld = { .opts = opts };
	int err;

	libbpf_set_print(on_libbpf);
	err = check_privilege();
	if (err < 0)
		return err;
	err = load_steps(&ld);
	if (err < 0 && ld.nft)
		(void)nft_table_delete();
	if (err < 0 && ld.made_dir)
		(void)remove_pins(opts->pins);
	bpf_link__destroy(ld.sockops_link);
	bpf_link__destroy(ld.release_link);
	bpf_link__destroy(ld.iter_link);
	tollgate_bpf__destroy(ld.skel);
	return err;
}

/* Is that directory one of load_run()'s?  0 and what it wrote there, or -errno, logged.
 */
static int read_meta(const char *pins, struct meta *ret)
{
	struct bpf_map_info info = { 0 };
	__u32 zero = 0, len = sizeof(info);
	char path[PATH_BYTES];
	int fd, err = 0;

	fd = bpf_obj_get(pin_path(path, pins, "meta"));
	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &len) < 0 ||
	    info.value_size != sizeof(*ret) || strcmp(info.name, "meta") != 0 ||
	    bpf_map_lookup_elem(fd, &zero, ret) < 0) {
		log_error("--pins %s: holds no books of this version of 'tollgate load'; "
			  "nothing was removed",
			  pins);
		err = -EINVAL;
	}
	if (fd >= 0)
		close(fd);
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
	err = read_meta(pins, &meta);
	if (err < 0)
		return err;
	err = remove_pins(pins);
	nft_err = meta.nft ? nft_table_delete() : 0;
	if (nft_err < 0 && nft_err != -ENOENT)
		err = log_errno(nft_err, "cannot remove nft table 'inet tollgate'");
	return err;
}
