/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/links.h"
#include "base/util.h"
#include "book/boundary.h"
#include "book/hooks.h"
#include "book/pin.h"

#define PROGS_MAX   64
#define TCX_INGRESS 46 /* enum bpf_attach_type of Linux 6.6 */
#define TCX_EGRESS  47

const char *const tg_hook_names[TG_HOOK_KIND_MAX] = {
#define X(name, label) [TG_HOOK_##name] = label,
	TG_HOOKS(X)
#undef X
};

struct measuring {
	const char *pins;
	struct hook *list;
	size_t n, max;
	struct meta meta;
	struct nft_chains *chains; /* NULL: there are none, or they cannot be read */
};

bool hooks_device_fits(const char *target, const char *name)
{
	size_t len = strlen(target);

	if (len && target[len - 1] == '*')
		return strncmp(target, name, len - 1) == 0;
	return strcmp(target, name) == 0;
}

static struct hook *hook_add(struct measuring *m, enum tg_hook_kind kind,
			     const char *target)
{
	struct hook *h;

	if (m->n == m->max)
		return NULL;
	h = &m->list[m->n++];
	memset(h, 0, sizeof(*h));
	h->kind = kind;
	h->first = 1;
	h->checked_ns = util_now_ns();
	(void)snprintf(h->target, sizeof(h->target), "%s", target);
	return h;
}

/* The link of a pin.  0, or a negative errno; -ENOENT: there is no such pin. */
static int link_info(const char *pins, const char *pin, struct bpf_link_info *ret)
{
	__u32 len = sizeof(*ret);
	int fd, err;

	memset(ret, 0, sizeof(*ret));
	err = pin_open(pins, pin, &fd);
	if (err)
		return err;
	if (bpf_obj_get_info_by_fd(fd, ret, &len) < 0)
		err = -errno;
	close(fd);
	return err;
}

static uint32_t pinned_prog_id(const char *pins, const char *pin)
{
	struct bpf_prog_info info = { 0 };
	__u32 len = sizeof(info);
	int fd;

	if (pin_open(pins, pin, &fd) < 0)
		return 0;
	if (bpf_obj_get_info_by_fd(fd, &info, &len) < 0)
		info.id = 0;
	close(fd);
	return info.id;
}

static void name_foreign(struct hook *h, uint32_t id)
{
	size_t len = strlen(h->foreign_names);
	struct bpf_prog_info info = { 0 };
	__u32 info_len = sizeof(info);
	int fd = bpf_prog_get_fd_by_id(id);

	if (fd >= 0) {
		(void)bpf_obj_get_info_by_fd(fd, &info, &info_len);
		close(fd);
	}
	(void)snprintf(h->foreign_names + len, sizeof(h->foreign_names) - len, "%s%s#%u",
		       len ? " " : "", info.name[0] ? info.name : "?", id);
	h->foreign++;
}

/*
 * Who else is asked there, in order; where: a cgroup's descriptor or an ifindex.  The
 * number before ours, or a negative errno.
 */
static int count_foreign(struct hook *h, int where, int type, uint32_t flags)
{
	__u32 ids[PROGS_MAX], n = PROGS_MAX, attach_flags = 0;
	int before = 0;
	bool met = false;

	if (bpf_prog_query(where, (enum bpf_attach_type)type, flags, &attach_flags, ids,
			   &n) < 0)
		return -errno;
	for (__u32 i = 0; i < n && i < PROGS_MAX; i++) {
		if (ids[i] == h->prog_id) {
			met = true;
			continue;
		}
		before += !met;
		name_foreign(h, ids[i]);
	}
	return before;
}

/* --- the cgroup's --- */

static void measure_cgroup(struct measuring *m, const char *path)
{
	static const struct {
		enum tg_hook_kind kind;
		const char *pin;
		int type;
	} all[] = {
		{ TG_HOOK_SOCKOPS, "link-sockops", BPF_CGROUP_SOCK_OPS },
		{ TG_HOOK_RELEASE, "link-release", BPF_CGROUP_INET_SOCK_RELEASE },
	};
	struct bpf_link_info info;
	struct hook *h;
	int fd;

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		if (all[i].kind == TG_HOOK_SOCKOPS && m->meta.hook != TG_BY_SOCKOPS)
			continue;
		h = hook_add(m, all[i].kind, path);
		if (!h || link_info(m->pins, all[i].pin, &info) < 0)
			continue;
		/* 0: the cgroup was removed, and with it our program
		 * (kernel/bpf/cgroup.c) */
		h->attached = info.cgroup.cgroup_id != 0;
		h->prog_id = info.prog_id;
		fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0)
			continue;
		/* all of them are run, in any order: none hides a socket from another */
		(void)count_foreign(h, fd, all[i].type, BPF_F_QUERY_EFFECTIVE);
		close(fd);
	}
}

static void measure_state(struct measuring *m)
{
	struct hook *h = hook_add(m, TG_HOOK_STATE, "inet_sock_set_state");
	struct bpf_link_info info;

	if (!h || link_info(m->pins, "link-state", &info) < 0)
		return;
	h->attached = 1;
	h->prog_id = info.prog_id;
}

/* --- a device's --- */

static bool clsact_is(const char *pins, unsigned ifindex, bool tx, uint32_t *ret_id)
{
	DECLARE_LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex,
			    .attach_point = tx ? BPF_TC_EGRESS : BPF_TC_INGRESS);
	DECLARE_LIBBPF_OPTS(bpf_tc_opts, opts, .handle = 1,
			    .priority = HOOKS_CLSACT_PREF);
	char pin[64];

	(void)snprintf(pin, sizeof(pin), "%s%u",
		       tx ? HOOKS_PIN_CLSACT_TX : HOOKS_PIN_CLSACT_RX, ifindex);
	*ret_id = pinned_prog_id(pins, pin);
	return *ret_id && bpf_tc_query(&hook, &opts) == 0 && opts.prog_id == *ret_id;
}

static void measure_wire(struct measuring *m, const char *device, unsigned ifindex,
			 bool tx)
{
	struct hook *h = hook_add(m, tx ? TG_HOOK_WIRE_TX : TG_HOOK_WIRE_RX, device);
	struct bpf_link_info info;
	bool by_clsact = false;
	char pin[64];
	int before;

	if (!h || !ifindex)
		return;
	h->ifindex = ifindex;
	(void)snprintf(pin, sizeof(pin), "%s%u",
		       tx ? HOOKS_PIN_WIRE_TX : HOOKS_PIN_WIRE_RX, ifindex);
	if (link_info(m->pins, pin, &info) == 0) {
		/* in one place with that of XDP; 0: the device is gone */
		h->attached = info.xdp.ifindex == ifindex;
		h->prog_id = info.prog_id;
	} else {
		by_clsact = true;
		h->attached = clsact_is(m->pins, ifindex, tx, &h->prog_id);
	}
	before = count_foreign(h, (int)ifindex, tx ? TCX_EGRESS : TCX_INGRESS, 0);
	h->first = before <= 0;
	if (!by_clsact || !h->attached || !h->first)
		return;
	before = links_filters_before(ifindex, tx, HOOKS_CLSACT_PREF, 1);
	h->first = before <= 0;
	if (!h->first)
		(void)snprintf(h->foreign_names, sizeof(h->foreign_names),
			       "%d filters of clsact", before);
}

static void measure_xdp(struct measuring *m, const char *device, unsigned ifindex)
{
	struct hook *h = hook_add(m, TG_HOOK_XDP, device);
	struct bpf_link_info info;
	char pin[64];

	(void)snprintf(pin, sizeof(pin), HOOKS_PIN_XDP "%u", ifindex);
	if (!h || !ifindex || link_info(m->pins, pin, &info) < 0)
		return;
	h->ifindex = ifindex;
	h->attached = info.xdp.ifindex == ifindex;
	h->prog_id = info.prog_id;
}

/* nft counts where the wire book does. */
static void measure_nft(struct measuring *m, const char *device, unsigned ifindex,
			bool tx)
{
	struct hook *h;

	if (!m->chains ||
	    !(h = hook_add(m, tx ? TG_HOOK_NFT_TX : TG_HOOK_NFT_RX, device)))
		return;
	h->ifindex = ifindex;
	h->attached = ifindex && nft_chains_have(m->chains, device, tx);
}

static void measure_device(struct measuring *m, const struct watched *t,
			   const char *device, unsigned ifindex)
{
	if (t->kind == TG_TARGET_XDP) {
		measure_xdp(m, device, ifindex);
		return;
	}
	for (int tx = 0; tx < TG_DIR_MAX; tx++) {
		measure_wire(m, device, ifindex, tx);
		measure_nft(m, device, ifindex, tx);
	}
}

/* A name that no device has (yet) is a hook that is not attached. */
static void measure_devices(struct measuring *m, const struct watched *t)
{
	struct if_nameindex *all = if_nameindex();
	bool met = false;

	for (struct if_nameindex *i = all; i && i->if_index; i++) {
		if (!hooks_device_fits(t->name, i->if_name))
			continue;
		met = true;
		measure_device(m, t, i->if_name, i->if_index);
	}
	if (!met)
		measure_device(m, t, t->name, 0);
	if_freenameindex(all);
}

static int write_map(const struct measuring *m)
{
	static const struct hook none;
	int fd, err;

	err = pin_open(m->pins, "hooks", &fd);
	if (err)
		return err;
	for (__u32 i = 0; i < TG_HOOKS_MAX && !err; i++) {
		const struct hook *h = i < m->n ? &m->list[i] : &none;
		struct hook old;

		/* what is not used and was not before needs no writing */
		if (i >= m->n &&
		    (bpf_map_lookup_elem(fd, &i, &old) < 0 || old.kind == TG_HOOK_NONE))
			break;
		if (bpf_map_update_elem(fd, &i, h, BPF_ANY) < 0)
			err = -errno;
	}
	close(fd);
	return err;
}

/* Without CAP_NET_ADMIN they are not known, and gaps.c says that the book cannot be read.
 */
static void read_chains(struct measuring *m)
{
	const struct nft_where at = boundary_table(&m->meta);

	if (m->meta.nft && m->meta.wire && m->meta.nft_table[0])
		(void)nft_chains_read(&at, &m->chains);
}

int hooks_measure(const char *pins, struct hook *list, size_t max, size_t *ret_n)
{
	struct measuring m = { .pins = pins, .list = list, .max = max };
	struct watched t;
	__u32 zero = 0;
	int fd, err;

	err = pin_open(pins, "meta", &fd);
	if (err)
		return err;
	if (bpf_map_lookup_elem(fd, &zero, &m.meta) < 0)
		err = -errno;
	close(fd);
	if (err || !m.meta.abi_version) /* of another loader: nothing is known of it */
		return err;
	err = pin_open(pins, "watched", &fd);
	if (err)
		return err;
	read_chains(&m);
	measure_state(&m);
	for (__u32 i = 0; i < TG_TARGETS_MAX; i++) {
		if (bpf_map_lookup_elem(fd, &i, &t) < 0 || t.kind == TG_TARGET_NONE)
			break;
		t.name[sizeof(t.name) - 1] = '\0';
		if (t.kind == TG_TARGET_CGROUP)
			measure_cgroup(&m, t.name);
		else
			measure_devices(&m, &t);
	}
	close(fd);
	nft_chains_free(m.chains);
	*ret_n = m.n;
	return write_map(&m);
}
