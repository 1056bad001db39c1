/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/links.h"
#include "base/log.h"
#include "base/util.h"
#include "book/hooks.h"
#include "load/attach.h"

#define BPF_TCX_INGRESS_ATTACH 46 /* enum bpf_attach_type of Linux 6.6 */
#define BPF_TCX_EGRESS_ATTACH  47
#ifndef BPF_F_BEFORE
#define BPF_F_BEFORE (1u << 3) /* Linux 6.6 */
#endif
#define PATH_BYTES 4096

/* Types of devices (linux/if_arp.h) whose frames begin with the IP header. */
static bool is_l3(unsigned short type)
{
	switch (type) {
	case ARPHRD_NONE: /* wireguard, tun */
	case ARPHRD_PPP:
	case ARPHRD_RAWIP:
	case ARPHRD_TUNNEL:
	case ARPHRD_TUNNEL6:
	case ARPHRD_SIT:
		return true;
	default:
		return false;
	}
}

static int find_failed(const char *option, const char *name, int err)
{
	if (option)
		log_error("--%s %s: no such device; 'ip link' lists them", option, name);
	return err;
}

int attach_find_device(const char *option, const char *name, struct device *ret)
{
	struct ifreq req = { 0 };
	unsigned short type;
	int fd, err = 0;

	if (strlen(name) >= sizeof(req.ifr_name))
		return find_failed(option, name, -ENODEV);
	memcpy(req.ifr_name, name, strlen(name));
	*ret = (struct device){ .ifindex = if_nametoindex(name) };
	memcpy(ret->name, name, strlen(name));
	if (!ret->ifindex)
		return find_failed(option, name, -ENODEV);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return log_errno(-errno, "cannot open a socket");
	if (ioctl(fd, SIOCGIFHWADDR, &req) < 0) {
		err = log_errno(-errno, "device %s: cannot read its type", name);
	} else {
		type = req.ifr_hwaddr.sa_family;
		ret->l3 = is_l3(type);
		if (!ret->l3 && type != ARPHRD_ETHER && type != ARPHRD_LOOPBACK)
			err = -EOPNOTSUPP;
		if (err && option)
			log_error(
				"--%s %s: neither Ethernet nor loopback nor bare IP (type "
				"%u); the wire book cannot read its frames",
				option, name, type);
	}
	close(fd);
	return err;
}

static bool is_driver(const char *device, const char *driver)
{
	struct ethtool_drvinfo info = { .cmd = ETHTOOL_GDRVINFO };
	struct ifreq req = { .ifr_data = (void *)&info };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool is;

	if (fd < 0)
		return false;
	memcpy(req.ifr_name, device, strnlen(device, sizeof(req.ifr_name) - 1));
	is = ioctl(fd, SIOCETHTOOL, &req) == 0 && strcmp(info.driver, driver) == 0;
	close(fd);
	return is;
}

/* Is `upper` made of `lower`? */
static bool is_made_of(const struct device *upper, const struct device *lower)
{
	struct link_facts facts;

	if (link_facts_read(lower->ifindex, &facts) == 0 &&
	    facts.master == upper->ifindex)
		return true;
	/* the other end of a veth is no lower device, though it is called so */
	return link_facts_read(upper->ifindex, &facts) == 0 &&
	       facts.link == lower->ifindex && !facts.link_elsewhere &&
	       !is_driver(upper->name, "veth");
}

int attach_find_overlap(const struct device *devices, size_t n, const char **ret_upper,
			const char **ret_lower)
{
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < n; k++) {
			if (i == k || !is_made_of(&devices[i], &devices[k]))
				continue;
			*ret_upper = devices[i].name;
			*ret_lower = devices[k].name;
			return -EEXIST;
		}
	}
	return 0;
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
	attr.link_create.flags = BPF_F_BEFORE; /* of nobody: before all others */
	fd = syscall(__NR_bpf, BPF_LINK_CREATE, &attr, sizeof(attr));
	return fd < 0 ? -errno : (int)fd;
}

static int pin(const char *pins, int fd, const char *prefix, unsigned ifindex)
{
	char path[PATH_BYTES];

	(void)snprintf(path, sizeof(path), "%s/%s%u", pins, prefix, ifindex);
	(void)unlink(path); /* of a device that had this number before */
	if (bpf_obj_pin(fd, path) < 0)
		return log_errno(-errno, "cannot pin %s", path);
	return 0;
}

static int attach_tcx(const char *pins, unsigned ifindex, bool tx, int prog_fd)
{
	int fd, err;

	fd = tcx_link(prog_fd, ifindex,
		      tx ? BPF_TCX_EGRESS_ATTACH : BPF_TCX_INGRESS_ATTACH);
	if (fd < 0)
		return fd;
	err = pin(pins, fd, tx ? HOOKS_PIN_WIRE_TX : HOOKS_PIN_WIRE_RX, ifindex);
	close(fd);
	return err;
}

/* --- clsact --- */

/* name: "clsact-rx-<ifindex>" or "clsact-tx-<ifindex>"; -1 if the device is gone */
static int clsact_parse(const char *name, struct bpf_tc_hook *ret)
{
	uint64_t ifindex = 0;
	char device[IF_NAMESIZE];

	memset(ret, 0, sizeof(*ret));
	ret->sz = sizeof(*ret);
	if (util_parse_u64(name + 10, INT32_MAX, &ifindex) < 0 ||
	    !if_indextoname((unsigned)ifindex, device))
		return -1;
	ret->ifindex = (int)ifindex;
	ret->attach_point =
		strncmp(name, "clsact-tx-", 10) == 0 ? BPF_TC_EGRESS : BPF_TC_INGRESS;
	return 0;
}

static int attach_clsact(const char *pins, unsigned ifindex, bool tx, int prog_fd)
{
	DECLARE_LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex,
			    .attach_point = tx ? BPF_TC_EGRESS : BPF_TC_INGRESS);
	DECLARE_LIBBPF_OPTS(bpf_tc_opts, opts, .handle = 1,
			    .priority = HOOKS_CLSACT_PREF);
	DECLARE_LIBBPF_OPTS(bpf_tc_opts, undo, .handle = 1,
			    .priority = HOOKS_CLSACT_PREF);
	int err;

	err = bpf_tc_hook_create(&hook);
	if (err < 0 && err != -EEXIST)
		return err;
	opts.prog_fd = prog_fd;
	err = bpf_tc_attach(&hook, &opts);
	if (err < 0)
		return err;
	err = pin(pins, prog_fd, tx ? HOOKS_PIN_CLSACT_TX : HOOKS_PIN_CLSACT_RX, ifindex);
	if (err < 0)
		(void)bpf_tc_detach(&hook, &undo); /* nobody would find it later */
	return err;
}

int attach_clsact_replace(const char *pins, const char *name, int prog_fd)
{
	DECLARE_LIBBPF_OPTS(bpf_tc_opts, opts, .handle = 1, .priority = HOOKS_CLSACT_PREF,
			    .prog_fd = prog_fd, .flags = BPF_TC_F_REPLACE);
	struct bpf_tc_hook hook;
	char path[PATH_BYTES];
	int err;

	if (clsact_parse(name, &hook) < 0)
		return 0;
	err = bpf_tc_attach(&hook, &opts);
	if (err < 0)
		return err;
	(void)snprintf(path, sizeof(path), "%s/%s", pins, name);
	(void)unlink(path);
	return bpf_obj_pin(prog_fd, path) < 0 ? -errno : 0;
}

void attach_undo(const char *name)
{
	DECLARE_LIBBPF_OPTS(bpf_tc_opts, opts, .handle = 1,
			    .priority = HOOKS_CLSACT_PREF);
	struct bpf_tc_hook hook;

	/* a device that is gone took its filters along; an empty clsact does nothing */
	if (strncmp(name, "clsact-", 7) != 0 || clsact_parse(name, &hook) < 0)
		return;
	if (bpf_tc_detach(&hook, &opts) < 0)
		log_warn("cannot detach the wire book from device %d; continuing",
			 hook.ifindex);
}

int attach_wire(const char *pins, unsigned ifindex, bool tx, int prog_fd,
		enum load_attach how)
{
	int err = -EINVAL;

	if (how != LOAD_CLSACT)
		err = attach_tcx(pins, ifindex, tx, prog_fd);
	if (err == -EINVAL && how != LOAD_TCX)
		err = attach_clsact(pins, ifindex, tx, prog_fd);
	return err;
}

/* --- XDP --- */

const char *attach_xdp_mode(unsigned ifindex)
{
	DECLARE_LIBBPF_OPTS(bpf_xdp_query_opts, opts);

	if (bpf_xdp_query((int)ifindex, 0, &opts) < 0)
		return "none";
	return opts.attach_mode == XDP_ATTACHED_SKB    ? "generic"
	       : opts.attach_mode == XDP_ATTACHED_NONE ? "none"
						       : "native";
}

static void warn_of_xdp(const char *device, const char *mode)
{
	if (strcmp(mode, "generic") == 0)
		log_warn(
			"--xdp %s: generic, the driver has no XDP: every frame is copied, "
			"and aggregates count once",
			device);
	else if (is_driver(device, "veth"))
		log_warn("--xdp %s: on a veth this turns segmentation offload towards it "
			 "off; bulk traffic costs several times the CPU",
			 device);
}

int attach_xdp(const char *pins, const char *device, unsigned ifindex, int prog_fd)
{
	DECLARE_LIBBPF_OPTS(bpf_link_create_opts, generic, .flags = XDP_FLAGS_SKB_MODE);
	int fd, err;

	/* no flag: in the driver if it has XDP (net/core/dev.c dev_xdp_mode), which may
	 * refuse: a large MTU, too few queues */
	fd = bpf_link_create(prog_fd, (int)ifindex, BPF_XDP, NULL);
	if (fd < 0 && errno != EBUSY)
		fd = bpf_link_create(prog_fd, (int)ifindex, BPF_XDP, &generic);
	if (fd < 0)
		return -errno;
	err = pin(pins, fd, HOOKS_PIN_XDP, ifindex);
	close(fd);
	if (!err)
		warn_of_xdp(device, attach_xdp_mode(ifindex));
	return err;
}

void attach_each_xdp(const char *pins,
		     void (*fn)(const char *device, const char *mode, void *arg),
		     void *arg)
{
	char device[IF_NAMESIZE + 16];
	struct dirent *e;
	uint64_t ifindex;
	DIR *d;

	d = opendir(pins);
	if (!d)
		return;
	while ((e = readdir(d))) {
		if (strncmp(e->d_name, "link-xdp-", 9) != 0 ||
		    util_parse_u64(e->d_name + 9, INT32_MAX, &ifindex) < 0)
			continue;
		if (!if_indextoname((unsigned)ifindex, device))
			(void)snprintf(device, sizeof(device), "#%u", (unsigned)ifindex);
		fn(device, attach_xdp_mode((unsigned)ifindex), arg);
	}
	closedir(d);
}
