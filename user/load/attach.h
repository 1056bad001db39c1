/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs on devices: tcx or clsact for the wire book, XDP in front of it.  What is
 * attached is found again by the names of its pins:
 *   link-wire-rx-<ifindex>, link-wire-tx-<ifindex>   tcx links
 *   clsact-rx-<ifindex>, clsact-tx-<ifindex>         programs of filters (no link)
 *   link-xdp-<ifindex>                               XDP link
 */
#ifndef USER_LOAD_ATTACH_H
#define USER_LOAD_ATTACH_H

#include <stdbool.h>
#include <stddef.h>

enum load_attach { LOAD_AUTO, LOAD_TCX, LOAD_CLSACT };

struct device {
	char name[16]; /* IF_NAMESIZE */
	unsigned ifindex;
	bool l3; /* its frames begin with the IP header: wireguard, tun, ppp */
};

/*
 * A device that exists.  option: what to call it in a message, NULL for none.  0;
 * -ENODEV; or -EOPNOTSUPP for one whose frames nobody here can read.
 */
int attach_find_device(const char *option, const char *name, struct device *ret);

/*
 * Would a frame cross two of these devices, because one is the other's lower device
 * (VLAN, macvlan), port (bridge) or member (bond)?  Both would count it.  -EEXIST and the
 * two names, or 0.
 */
int attach_find_overlap(const struct device *devices, size_t n, const char **ret_upper,
			const char **ret_lower);

/*
 * Attach one direction in front of all other programs, and pin it below `pins`.  0, or a
 * negative errno.
 */
int attach_wire(const char *pins, unsigned ifindex, bool tx, int prog_fd,
		enum load_attach how);

/*
 * Attach XDP and pin the link: in the driver where it can, else generic.  Warns of what
 * it costs the device.  0, or a negative errno.
 */
int attach_xdp(const char *pins, const char *device, unsigned ifindex, int prog_fd);

/* "native", "generic" or "none", as the kernel says it is attached. */
const char *attach_xdp_mode(unsigned ifindex);

/* Call fn for each device with an XDP pin: its name ("#<ifindex>" if it is gone) and
 * mode.
 */
void attach_each_xdp(const char *pins,
		     void (*fn)(const char *device, const char *mode, void *arg),
		     void *arg);

/* Take away what the pin `name` stands for, if unpinning does not do it. */
void attach_undo(const char *name);

/* Put prog_fd in the place of the program of a clsact pin.  0, or a negative errno. */
int attach_clsact_replace(const char *pins, const char *name, int prog_fd);

#endif
