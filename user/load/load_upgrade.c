/* SPDX-License-Identifier: Apache-2.0 */
/* Upgrading a load in place, and taking it away. */
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/host.h"
#include "base/log.h"
#include "base/rundir.h"
#include "base/util.h"
#include "base/version.h"
#include "book/boundary.h"
#include "book/pin.h"
#include "bpf/abi.h"
#include "load/attach.h"
#include "load/load.h"
#include "load/pins.h"
#include "load/programs.h"
#include "load/repair.h"
#include "nft/nft.h"

#define ABI_NFT_AT_DEVICES 5

struct upgrade {
	const char *pins;
	struct programs *programs;
};

/* Take over a map that is pinned; one that this version added is made and pinned. */
static int reuse_map(struct upgrade *ld, struct bpf_map *map)
{
	struct bpf_map_info info = { 0 };
	__u32 len = sizeof(info);
	char path[PIN_PATH_BYTES];
	int fd, err = 0;

	fd = bpf_obj_get(pin_path(path, ld->pins, bpf_map__name(map)));
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

static int reuse_maps(struct upgrade *ld)
{
	struct bpf_map *map;
	int err;

	bpf_object__for_each_map(map, programs_object(ld->programs))
	{
		if (bpf_map__is_internal(map))
			continue;
		err = reuse_map(ld, map);
		if (err)
			return err;
	}
	return 0;
}

/* What is to be replaced, and what was there. */
struct change {
	char pin[256];
	int link_fd; /* -1: a filter of clsact */
	int old_fd, new_fd;
};

struct changes {
	struct change *list;
	size_t n;
};

static bool starts(const char *name, const char *prefix)
{
	return strncmp(name, prefix, strlen(prefix)) == 0;
}

/* The program that replaces the one of this name. */
static int new_program(struct upgrade *ld, const char *name)
{
	struct bpf_program *p;

	bpf_object__for_each_program(p, programs_object(ld->programs))
	{
		if (strncmp(bpf_program__name(p), name, strlen(name)) == 0)
			return bpf_program__fd(p);
	}
	return -ENOENT;
}

static int old_program(uint32_t id, struct bpf_prog_info *ret)
{
	__u32 len = sizeof(*ret);
	int fd = bpf_prog_get_fd_by_id(id);

	memset(ret, 0, sizeof(*ret));
	if (fd >= 0 && bpf_obj_get_info_by_fd(fd, ret, &len) < 0) {
		close(fd);
		fd = -1;
	}
	return fd < 0 ? -errno : fd;
}

/* One pin: a link of a program of ours, which is known by its name, or a filter. */
static int plan_change(struct upgrade *ld, const char *pin, struct changes *c)
{
	struct change *more, one = { .link_fd = -1, .old_fd = -1 };
	struct bpf_link_info link = { 0 };
	struct bpf_prog_info prog;
	__u32 len = sizeof(link);
	int fd, err;

	if (!starts(pin, "link-") && !starts(pin, "clsact-") &&
	    strcmp(pin, "live") != 0 && strcmp(pin, "list") != 0)
		return 0;
	err = pin_open(ld->pins, pin, &fd);
	if (err)
		return log_errno(err, "cannot open %s/%s", ld->pins, pin);
	(void)snprintf(one.pin, sizeof(one.pin), "%s", pin);
	len = sizeof(link);
	if (starts(pin, "clsact-")) {
		len = sizeof(prog);
		memset(&prog, 0, sizeof(prog));
		err = bpf_obj_get_info_by_fd(fd, &prog, &len) < 0 ? -errno : 0;
		one.old_fd = fd;
	} else {
		one.link_fd = fd;
		err = bpf_obj_get_info_by_fd(fd, &link, &len) < 0 ? -errno : 0;
		one.old_fd = err ? -1 : old_program(link.prog_id, &prog);
		err = one.old_fd < 0 ? one.old_fd : err;
	}
	if (!err)
		err = one.new_fd = new_program(ld, prog.name);
	more = err < 0 ? NULL : reallocarray(c->list, c->n + 1, sizeof(*more));
	if (!more) {
		close(fd);
		if (one.old_fd >= 0 && one.old_fd != fd)
			close(one.old_fd);
		return log_errno(err < 0 ? err : -ENOMEM, "cannot upgrade %s", pin);
	}
	c->list = more;
	c->list[c->n++] = one;
	return 0;
}

static int plan_changes(struct upgrade *ld, struct changes *c)
{
	struct dirent **names;
	int n, err = 0;

	n = scandir(ld->pins, &names, NULL, alphasort);
	if (n < 0)
		return log_errno(-errno, "cannot read %s", ld->pins);
	for (int i = 0; i < n; i++) {
		if (!err)
			err = plan_change(ld, names[i]->d_name, c);
		free(names[i]);
	}
	free(names);
	return err;
}

/*
 * A tracing link knows no update: the new one is there before the old one goes, and the
 * second of two sees that the work is done.
 */
static int replace_state(struct upgrade *ld, int prog_fd)
{
	char path[PIN_PATH_BYTES];
	int fd = bpf_raw_tracepoint_open(NULL, prog_fd), err;

	if (fd < 0)
		return -errno;
	(void)unlink(pin_path(path, ld->pins, "link-state"));
	err = bpf_obj_pin(fd, path) < 0 ? -errno : 0;
	close(fd);
	return err;
}

static int make_change(struct upgrade *ld, const struct change *c, int prog_fd)
{
	if (c->link_fd < 0)
		return attach_clsact_replace(ld->pins, c->pin, prog_fd);
	if (strcmp(c->pin, "link-state") == 0)
		return replace_state(ld, prog_fd);
	/* ENOLINK: what it was attached to is gone; repair_run() looks for it */
	return bpf_link_update(c->link_fd, prog_fd, NULL) < 0 && errno != ENOLINK ? -errno
										  : 0;
}

/* All of them, or none: a mixture would count by two sets of rules. */
static int make_changes(struct upgrade *ld, const struct changes *c)
{
	size_t done = 0;
	int err = 0;

	while (done < c->n && !err) {
		err = make_change(ld, &c->list[done], c->list[done].new_fd);
		done += !err;
	}
	if (!err)
		return 0;
	(void)log_errno(err, "cannot replace the program of %s: the old ones go on",
			c->list[done].pin);
	while (done-- > 0) {
		if (make_change(ld, &c->list[done], c->list[done].old_fd) < 0)
			log_error(
				"%s: the new program stays, because it cannot be undone",
				c->list[done].pin);
	}
	return err;
}

static void changes_free(struct changes *c)
{
	for (size_t i = 0; i < c->n; i++) {
		if (c->list[i].link_fd >= 0)
			close(c->list[i].link_fd);
		close(c->list[i].old_fd);
	}
	free(c->list);
}

/* The programs that are attached again later are these, too. */
static int repin_programs(struct upgrade *ld)
{
	char path[PIN_PATH_BYTES], name[64];
	struct bpf_program *p;

	bpf_object__for_each_program(p, programs_object(ld->programs))
	{
		if (!programs_has(p))
			continue;
		(void)snprintf(name, sizeof(name), "prog-%s", bpf_program__name(p));
		(void)unlink(pin_path(path, ld->pins, name));
		if (bpf_obj_pin(bpf_program__fd(p), path) < 0)
			return log_errno(-errno, "cannot pin %s", path);
	}
	return 0;
}

static int upgrade_pins(struct upgrade *ld)
{
	struct changes c = { .list = NULL };
	int err = plan_changes(ld, &c);

	if (!err)
		err = make_changes(ld, &c);
	changes_free(&c);
	return err ? err : repin_programs(ld);
}

static int mark_upgrade(struct upgrade *ld, struct meta *m)
{
	m->upgrades++;
	memset(m->version, 0, sizeof(m->version));
	(void)snprintf(m->version, sizeof(m->version), "%s", TOLLGATE_VERSION);
	return programs_write(ld->programs, "meta", 0, m, sizeof(*m));
}

/* In the namespace of the load, where its devices and its nft table are. */
static int enter_load(const char *pins, const struct meta *m)
{
	int err = host_enter_netns(m->netns_cookie);

	if (err == -ESRCH)
		log_error("%s was loaded in a network namespace that is no more", pins);
	else if (err)
		(void)log_errno(err,
				"%s was loaded in another network namespace, which "
				"cannot be entered",
				pins);
	return err;
}

int upgrade_run(const char *pins)
{
	struct upgrade u = { .pins = pins };
	struct meta m;
	int err;

	err = programs_check_privilege();
	if (!err && access(pins, F_OK) < 0) {
		err = -errno;
		log_error("not loaded: there is no %s to upgrade", pins);
	}
	if (!err)
		err = pins_meta(pins, &m);
	if (!err && m.abi_version != TG_ABI_VERSION) {
		log_error("--upgrade: the books in %s have another shape (%u, not %u); "
			  "'tollgate unload' and 'load' again",
			  pins, m.abi_version, TG_ABI_VERSION);
		err = -EPROTO;
	}
	if (!err)
		err = enter_load(pins, &m);
	if (!err)
		err = programs_open(NULL, 0, &u.programs);
	if (!err)
		err = reuse_maps(&u);
	if (!err) {
		programs_choose(u.programs, m.hook, m.wire > 0, m.xdp > 0);
		err = programs_load(u.programs);
	}
	if (!err)
		err = upgrade_pins(&u);
	if (!err)
		err = mark_upgrade(&u, &m);
	programs_free(u.programs);
	if (!err)
		err = repair_run(pins, true);
	return err < 0 ? err : 0;
}

/* The nft table of a load of these pins that was killed. */
static bool remove_stale_table(const char *pins)
{
	const char *base = strrchr(pins, '/');

	return base && nft_tables_remove_owned(base + 1, pins) > 0;
}

/* Before ABI_NFT_AT_DEVICES it was of family inet, with devices too. */
static int remove_table(const struct meta *m)
{
	struct nft_where at = boundary_table(m);
	int err = nft_table_delete(&at);

	if (err == -ENOENT && m->abi_version < ABI_NFT_AT_DEVICES) {
		at.family = NFT_INET;
		err = nft_table_delete(&at);
	}
	if (err && err != -ENOENT)
		return log_errno(err, "cannot remove nft table '%s %s'",
				 nft_family_name(at.family), at.table);
	return 0;
}

/* A directory without books: empty, or left by a load that was killed. */
static int unload_remains(const char *pins)
{
	unsigned stale = pins_remove_stale(pins);

	if (access(pins, F_OK) < 0 || pins_is_empty(pins))
		stale += remove_stale_table(pins);
	if (access(pins, F_OK) < 0) {
		if (stale)
			return 0;
		log_error("not loaded: there is no %s", pins);
		return -ENOENT;
	}
	if (!pins_is_empty(pins))
		return -EEXIST;
	if (rmdir(pins) < 0)
		return log_errno(-errno, "cannot remove %s", pins);
	log_info("%s was empty: nothing was loaded there", pins);
	return 0;
}

int unload_run(const char *pins)
{
	struct meta meta;
	uint32_t number;
	int err;

	err = programs_check_privilege();
	if (!err)
		err = unload_remains(pins);
	if (err != -EEXIST)
		return err;
	err = pins_meta(pins, &meta);
	if (err < 0)
		return err;
	number = pin_map_id(pins, "meta");
	/* of a namespace that is gone, the table is gone too */
	err = meta.nft_table[0] || meta.wire ? host_enter_netns(meta.netns_cookie) : 0;
	if (err && err != -ESRCH)
		return log_errno(err,
				 "%s was loaded in another network namespace, which "
				 "cannot be entered; nothing was done",
				 pins);
	if (!err && meta.nft && meta.nft_table[0])
		err = remove_table(&meta);
	if (err == -ESRCH)
		err = 0;
	rundir_remove(number);
	return pins_remove(pins) < 0 ? -EIO : err;
}
