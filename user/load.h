/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USER_LOAD_H
#define USER_LOAD_H

#include <stdbool.h>
#include <stddef.h>

#define PINS_DEFAULT	 "/sys/fs/bpf/tollgate"
#define LOAD_DEVICES_MAX 64

enum load_attach { LOAD_AUTO, LOAD_TCX, LOAD_CLSACT };

struct load_opts {
	const char *pins;
	const char *cgroup; /* NULL: the root of the cgroup v2 mount */
	const char *devices[LOAD_DEVICES_MAX];
	size_t devices_n;
	enum load_attach attach; /* how to attach to devices; AUTO: tcx, else clsact */
	bool nft;		 /* install the nft table */
};

/*
 * Load the kernel side, attach and pin it, create the nft table.  Everything that was
 * done is undone on failure, and the reason is logged.  0; -EEXIST if already loaded;
 * -EPERM without the capabilities; or another negative errno.
 */
int load_run(const struct load_opts *opts);

/*
 * Detach and remove what load_run() made under `pins`, and the nft table.  0, -ENOENT if
 * nothing is loaded there, or another negative errno with its reason logged.
 */
int unload_run(const char *pins);

#endif
