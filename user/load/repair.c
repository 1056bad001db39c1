/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/host.h"
#include "base/log.h"
#include "base/util.h"
#include "book/boundary.h"
#include "book/cgroups.h"
#include "book/hooks.h"
#include "book/pin.h"
#include "load/adopt.h"
#include "load/attach.h"
#include "load/pins.h"
#include "load/repair.h"
#include "nft/nft.h"

struct repair {
	const char *pins;
	struct meta meta;
	struct watched targets[TG_TARGETS_MAX];
	struct hook hooks[TG_HOOKS_MAX];
	size_t hooks_n;
	bool reorder;
	unsigned mended;
	bool missed; /* frames passed while nobody counted them */
};

static int read_load(struct repair *r)
{
	__u32 zero = 0;
	int fd, err;

	err = pin_open(r->pins, "meta", &fd);
	if (err)
		return err;
	err = bpf_map_lookup_elem(fd, &zero, &r->meta) < 0 ? -errno : 0;
	close(fd);
	if (err || r->meta.abi_version != TG_ABI_VERSION || !r->meta.whole)
		return err ? err : -ENOENT;
	err = pin_open(r->pins, "watched", &fd);
	for (__u32 i = 0; !err && i < TG_TARGETS_MAX; i++) {
		if (bpf_map_lookup_elem(fd, &i, &r->targets[i]) < 0)
			err = -errno;
		r->targets[i].name[TG_TARGET_LEN - 1] = '\0';
	}
	if (fd >= 0)
		close(fd);
	return err;
}

static int count_up(struct repair *r, __u32 cursor)
{
	uint64_t n = 0;
	int fd, err = pin_open(r->pins, "cursors", &fd);

	if (err)
		return err;
	if (bpf_map_lookup_elem(fd, &cursor, &n) < 0)
		err = -errno;
	n++;
	if (!err && bpf_map_update_elem(fd, &cursor, &n, BPF_ANY) < 0)
		err = -errno;
	close(fd);
	return err;
}

static void mended(struct repair *r, const char *what, const char *where)
{
	log_warn("%s %s: attached again; what passed meanwhile is in no book", what,
		 where);
	r->mended++;
	(void)count_up(r, TG_CURSOR_REATTACHED);
}

/* --- the cgroup --- */

/* A new link of a pinned program in the place of the pin's dead one. */
static int relink(struct repair *r, const char *prog, const char *pin, int cgroup_fd,
		  enum bpf_attach_type type)
{
	char path[PIN_PATH_BYTES];
	int prog_fd, link_fd, err;

	err = pin_open(r->pins, prog, &prog_fd);
	if (err)
		return err;
	link_fd = bpf_link_create(prog_fd, cgroup_fd, type, NULL);
	err = link_fd < 0 ? -errno : 0;
	close(prog_fd);
	if (err)
		return err;
	(void)unlink(pin_path(path, r->pins, pin));
	err = bpf_obj_pin(link_fd, path) < 0 ? -errno : 0;
	close(link_fd);
	return err;
}

/* The cgroup that is counted now has another number. */
static int write_cgroup(struct repair *r, int cgroup_fd)
{
	struct stat st;
	__u32 zero = 0;
	int fd, err;

	if (fstat(cgroup_fd, &st) < 0)
		return -errno;
	r->meta.cgroup_id = st.st_ino == 1 ? 0 : st.st_ino;
	err = pin_open(r->pins, "meta", &fd);
	if (err)
		return err;
	if (bpf_map_update_elem(fd, &zero, &r->meta, BPF_ANY) < 0)
		err = -errno;
	close(fd);
	return err;
}

static void mend_cgroup(struct repair *r, const struct hook *h)
{
	bool ops = h->kind == TG_HOOK_SOCKOPS;
	int fd = open(h->target, O_RDONLY | O_DIRECTORY | O_CLOEXEC), err;

	if (fd < 0)
		return; /* not back yet */
	err = write_cgroup(r, fd);
	if (!err)
		err = ops ? relink(r, "prog-tcp_sockops", "link-sockops", fd,
				   BPF_CGROUP_SOCK_OPS)
			  : relink(r, "prog-tcp_release", "link-release", fd,
				   BPF_CGROUP_INET_SOCK_RELEASE);
	close(fd);
	if (err) {
		(void)log_errno(err, "cgroup %s: cannot attach %s again", h->target,
				tg_hook_names[h->kind]);
		return;
	}
	mended(r, tg_hook_names[h->kind], h->target);
	/* what was opened there before we came */
	if (ops)
		(void)adopt_run(r->pins, ADOPT_ALL, NULL);
}

/* --- devices --- */

static void mend_wire(struct repair *r, const struct watched *t, const struct device *d,
		      bool tx)
{
	static const char *const programs[2][2] = {
		{ "prog-wire_ingress", "prog-wire_egress" },
		{ "prog-wire_in_l3", "prog-wire_out_l3" },
	};
	int fd, err = pin_open(r->pins, programs[d->l3][tx], &fd);

	if (err)
		return;
	err = attach_wire(r->pins, d->ifindex, tx, fd, (enum load_attach)t->attach);
	close(fd);
	if (err) {
		(void)log_errno(err, "device %s: cannot attach the wire book", d->name);
		return;
	}
	r->missed = true;
	mended(r, tx ? "wire_tx" : "wire_rx", d->name);
}

static void mend_xdp(struct repair *r, const struct device *d)
{
	int fd, err = pin_open(r->pins, "prog-wire_xdp", &fd);

	if (err)
		return;
	err = attach_xdp(r->pins, d->name, d->ifindex, fd);
	close(fd);
	if (err)
		(void)log_errno(err, "device %s: cannot attach XDP", d->name);
	else
		mended(r, "xdp", d->name);
}

static const struct watched *target_of(const struct repair *r, const struct hook *h)
{
	uint32_t kind = h->kind == TG_HOOK_XDP ? TG_TARGET_XDP : TG_TARGET_DEVICE;

	for (size_t i = 0; i < TG_TARGETS_MAX; i++) {
		if (r->targets[i].kind == kind &&
		    hooks_device_fits(r->targets[i].name, h->target))
			return &r->targets[i];
	}
	return NULL;
}

/* Of what is counted already, a device that crosses the same frames would count twice. */
static bool overlaps(const struct repair *r, const struct device *d)
{
	struct device pair[2] = { *d };
	const char *upper, *lower;

	for (size_t i = 0; i < r->hooks_n; i++) {
		const struct hook *h = &r->hooks[i];

		if (h->kind != TG_HOOK_WIRE_RX || !h->attached ||
		    h->ifindex == d->ifindex)
			continue;
		pair[1] = (struct device){ .ifindex = h->ifindex };
		(void)snprintf(pair[1].name, sizeof(pair[1].name), "%.15s", h->target);
		if (attach_find_overlap(pair, 2, &upper, &lower) < 0)
			return true;
	}
	return false;
}

static void mend_device(struct repair *r, const struct hook *h)
{
	const struct watched *t = target_of(r, h);
	struct device d;

	if (!t || attach_find_device(NULL, h->target, &d) < 0 || overlaps(r, &d))
		return;
	if (h->kind == TG_HOOK_XDP)
		mend_xdp(r, &d);
	else
		mend_wire(r, t, &d, h->kind == TG_HOOK_WIRE_TX);
}

/* Taken off and put in front again; for the moment between nothing is counted. */
static void mend_order(struct repair *r, const struct hook *h)
{
	bool tx = h->kind == TG_HOOK_WIRE_TX;
	char name[64], path[PIN_PATH_BYTES];
	int fd;

	log_warn("device %s: %s before %s: ours goes first again", h->target,
		 h->foreign_names, tg_hook_names[h->kind]);
	(void)snprintf(name, sizeof(name), "%s%u",
		       tx ? HOOKS_PIN_WIRE_TX : HOOKS_PIN_WIRE_RX, h->ifindex);
	if (pin_open(r->pins, name, &fd) == 0) {
		(void)bpf_link_detach(fd);
		close(fd);
	} else {
		(void)snprintf(name, sizeof(name), "%s%u",
			       tx ? HOOKS_PIN_CLSACT_TX : HOOKS_PIN_CLSACT_RX,
			       h->ifindex);
		attach_undo(name);
	}
	(void)unlink(pin_path(path, r->pins, name));
	mend_device(r, h);
}

/* Pins of devices that are gone; their numbers may be given to others. */
static void forget_gone(struct repair *r)
{
	static const char *const prefixes[] = { HOOKS_PIN_WIRE_RX, HOOKS_PIN_WIRE_TX,
						HOOKS_PIN_CLSACT_RX, HOOKS_PIN_CLSACT_TX,
						HOOKS_PIN_XDP };
	char path[PIN_PATH_BYTES], device[IF_NAMESIZE];
	struct dirent *e;
	uint64_t ifindex;
	DIR *d = opendir(r->pins);

	while (d && (e = readdir(d))) {
		for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
			size_t len = strlen(prefixes[i]);

			if (strncmp(e->d_name, prefixes[i], len) == 0 &&
			    util_parse_u64(e->d_name + len, INT32_MAX, &ifindex) == 0 &&
			    !if_indextoname((unsigned)ifindex, device))
				(void)unlink(pin_path(path, r->pins, e->d_name));
		}
	}
	if (d)
		closedir(d);
}

/* --- nft --- */

/* 1 if the table was gone and is there again. */
static int mend_table(struct repair *r)
{
	const struct nft_where at = boundary_table(&r->meta);
	const char *family = nft_family_name(at.family);
	char owner[256];
	int err;

	err = nft_table_owner(&at, owner, sizeof(owner));
	if (err != -ENOENT)
		return err;
	err = nft_table_create(&at, r->pins);
	if (err)
		return log_errno(err, "cannot make nft table '%s %s' again", family,
				 at.table);
	log_warn("nft table '%s %s' was gone (nft flush ruleset?) and is made anew; what "
		 "passed meanwhile is not in the nft book",
		 family, at.table);
	r->mended++;
	(void)count_up(r, TG_CURSOR_NFT_LOST);
	return 1;
}

/*
 * nft counts at the devices where the wire book does.  1 if a chain had to be made: of a
 * device that came, or because somebody took it away.
 */
static int mend_chains(struct repair *r)
{
	const struct nft_where at = boundary_table(&r->meta);
	const char *devices[TG_HOOKS_MAX];
	size_t n = 0;
	int err;

	for (size_t i = 0; i < r->hooks_n; i++) {
		if (r->hooks[i].kind == TG_HOOK_WIRE_RX && r->hooks[i].attached)
			devices[n++] = r->hooks[i].target;
	}
	err = nft_devices_set(&at, devices, n);
	if (err < 0)
		return log_errno(err, "nft cannot count at the devices");
	return err;
}

/* 0, or 1 if something was missing: its packets are compared from here on only. */
static int mend_nft(struct repair *r, bool *ret_table_is_new)
{
	int err, chains = 0;

	if (!r->meta.nft || !r->meta.nft_table[0])
		return 0;
	err = mend_table(r);
	*ret_table_is_new = err > 0;
	if (err >= 0 && r->meta.wire)
		chains = mend_chains(r);
	if (chains > 0 && !r->missed && !err) { /* of no device that came */
		log_warn(
			"nft table '%s %s' was without a chain of a watched device, which "
			"is made anew; what passed meanwhile is not in the nft book",
			nft_family_name(NFT_NETDEV), r->meta.nft_table);
		r->mended++;
		(void)count_up(r, TG_CURSOR_NFT_LOST);
	}
	return err > 0 || chains > 0;
}

/* Both books count the same packets from here on. */
static void compare_anew(struct repair *r, bool table_is_new)
{
	struct boundary b;
	int err = boundary_open(r->pins, &b);

	if (!err && table_is_new)
		err = boundary_apply(&b);
	if (!err && b.table[0])
		err = boundary_measure_all(&b);
	if (err && err != -ENOENT)
		(void)log_errno(err, "cannot compare the wire book with nft anew");
	boundary_done(&b);
}

/* --- all of it --- */

static void mend_hooks(struct repair *r)
{
	for (size_t i = 0; i < r->hooks_n; i++) {
		const struct hook *h = &r->hooks[i];

		if (h->kind == TG_HOOK_STATE || h->kind == TG_HOOK_NFT_RX ||
		    h->kind == TG_HOOK_NFT_TX)
			continue; /* a tracepoint does not go away; for chains mend_nft()
				   */
		if (h->attached && h->first)
			continue;
		if (h->attached && r->reorder)
			mend_order(r, h);
		else if (h->attached)
			continue; /* told, not fought over */
		else if (h->kind == TG_HOOK_SOCKOPS || h->kind == TG_HOOK_RELEASE)
			mend_cgroup(r, h);
		else
			mend_device(r, h);
	}
}

/* Those that came since the last look; sockets made before it have rows without one. */
static void name_cgroups(struct repair *r)
{
	int err = r->meta.by_cgroup ? cgroups_scan(r->pins, r->targets[0].name) : 0;
	static int told; /* as long as it lasts, once */

	if (err == -E2BIG && told != err)
		log_warn("more than %d names of cgroups: sockets of the others have rows "
			 "without one",
			 TG_CGROUP_NAMES_MAX);
	else if (err && told != err)
		(void)log_errno(err, "cannot name the cgroups below %s",
				r->targets[0].name);
	told = err;
}

static int repair_locked(struct repair *r)
{
	bool table_is_new = false;
	int err, anew;

	err = read_load(r);
	if (!err)
		err = hooks_measure(r->pins, r->hooks, TG_HOOKS_MAX, &r->hooks_n);
	if (err)
		return err;
	forget_gone(r);
	name_cgroups(r);
	mend_hooks(r);
	/* connections that live have frames that nobody saw: they are not compared */
	if (r->missed)
		(void)count_up(r, TG_CURSOR_EPOCH);
	if (r->mended)
		err = hooks_measure(r->pins, r->hooks, TG_HOOKS_MAX, &r->hooks_n);
	if (err)
		return err;
	anew = mend_nft(r, &table_is_new);
	if (r->missed || anew > 0)
		compare_anew(r, table_is_new);
	if (anew > 0)
		err = hooks_measure(r->pins, r->hooks, TG_HOOKS_MAX, &r->hooks_n);
	return err ? err : (int)r->mended;
}

int repair_run(const char *pins, bool reorder)
{
	struct repair *r = calloc(1, sizeof(*r));
	int dir = open(pins, O_RDONLY | O_DIRECTORY | O_CLOEXEC), err;

	if (!r || dir < 0) {
		err = r ? -errno : -ENOMEM;
	} else if (flock(dir, LOCK_EX | LOCK_NB) < 0) {
		err = errno == EWOULDBLOCK ? 0 : -errno; /* somebody is at it */
	} else {
		r->pins = pins;
		r->reorder = reorder;
		err = repair_locked(r);
	}
	if (dir >= 0)
		close(dir);
	free(r);
	return err;
}
