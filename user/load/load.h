/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USER_LOAD_LOAD_H
#define USER_LOAD_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/abi.h"
#include "load/adopt.h"
#include "load/attach.h"
#include "load/programs.h"

#define LOAD_DEVICES_MAX 64

#define LOAD_SIZES_MAX	 16

struct load_opts {
	const char *pins;
	const char *cgroup; /* NULL: the root of the cgroup v2 mount */
	const char *devices[LOAD_DEVICES_MAX];
	size_t devices_n;
	const char *xdp[LOAD_DEVICES_MAX]; /* devices with the XDP program */
	size_t xdp_n;
	const char *totals; /* file to continue from, or NULL */
	struct load_size sizes[LOAD_SIZES_MAX];
	size_t sizes_n;
	enum tg_teller hook;
	enum adopt_whose adopt;
	int64_t idle_ms;	 /* after which a flow without socket ends; 0: 60 s */
	enum load_attach attach; /* how to attach to devices; AUTO: tcx, else clsact */
	bool nft;		 /* install the nft table */
	bool by_cgroup;		 /* rows of the host by cgroup */
};

/*
 * Load the kernel side, attach and pin it, create the nft table.  Everything that was
 * done is undone on failure, and the reason is logged.  0; -EEXIST if already loaded;
 * -EPERM without the capabilities; or another negative errno.
 */
int load_run(const struct load_opts *opts);

/*
 * Replace every program of a load by this version's, or none, and keep every map: no
 * connection and no byte is missed.  What is not attached any more is attached again.  0;
 * -ENOENT if nothing is loaded; -EPROTO if the maps have
 * another shape; or another negative errno, logged.
 */
int upgrade_run(const char *pins);

/*
 * Detach and remove what load_run() made under `pins`, and the nft table.  0, -ENOENT if
 * nothing is loaded there, or another negative errno with its reason logged.
 */
int unload_run(const char *pins);

#endif
