/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "base/host.h"
#include "base/log.h"
#include "base/util.h"
#include "load/attach.h"
#include "load/pins.h"

const char *pin_path(char buf[PIN_PATH_BYTES], const char *pins, const char *name)
{
	(void)snprintf(buf, PIN_PATH_BYTES, "%s/%s", pins, name);
	return buf;
}

/* The file system, or a message. */
static int check_parent(const char *pins, bool *ret_mounted)
{
	char parent[PIN_PATH_BYTES], *slash;
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
		*ret_mounted = true;
		return 0;
	}
	if (r < 0)
		return log_errno(r, "--pins %s: cannot look at %s", pins, parent);
	if (r == 0) {
		log_error("--pins %s: %s is not a bpf file system; mount one with "
			  "'mount -t bpf bpf %s'",
			  pins, parent, parent);
		return -EINVAL;
	}
	return 0;
}

bool pins_is_empty(const char *pins)
{
	struct dirent *e;
	bool empty = true;
	DIR *d = opendir(pins);

	if (!d)
		return false;
	while (empty && (e = readdir(d)))
		empty = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
	closedir(d);
	return empty;
}

#define LOADING "%s-loading-" /* and the pid */

unsigned pins_remove_stale(const char *pins)
{
	char prefix[PIN_PATH_BYTES], path[PIN_PATH_BYTES], parent[PIN_PATH_BYTES];
	const char *base = strrchr(pins, '/') + 1;
	struct dirent *e;
	unsigned n = 0;
	uint64_t pid;
	DIR *d;

	(void)snprintf(parent, sizeof(parent), "%.*s", (int)(base - pins), pins);
	(void)snprintf(prefix, sizeof(prefix), LOADING, base);
	d = opendir(parent);
	while (d && (e = readdir(d))) {
		if (strncmp(e->d_name, prefix, strlen(prefix)) != 0 ||
		    util_parse_u64(e->d_name + strlen(prefix), INT32_MAX, &pid) < 0 ||
		    (kill((pid_t)pid, 0) == 0 || errno != ESRCH))
			continue;
		(void)snprintf(path, sizeof(path), "%.2000s%.255s", parent, e->d_name);
		log_warn("%s: what a load left that was killed is removed", path);
		n += pins_remove(path) == 0;
	}
	if (d)
		closedir(d);
	return n;
}

int pins_begin(const char *pins, char ret[PIN_PATH_BYTES], bool *ret_mounted)
{
	int err;

	*ret_mounted = false;
	err = check_parent(pins, ret_mounted);
	if (err)
		return err;
	if (access(pins, F_OK) == 0 && !pins_is_empty(pins)) {
		log_error("already loaded: %s exists; 'tollgate unload' removes it",
			  pins);
		return -EEXIST;
	}
	(void)pins_remove_stale(pins);
	(void)snprintf(ret, PIN_PATH_BYTES, LOADING "%d", pins, (int)getpid());
	return mkdir(ret, 0700) < 0 ? log_errno(-errno, "cannot make %s", ret) : 0;
}

int pins_commit(const char *dir, const char *pins)
{
	if (rename(dir, pins) == 0)
		return 0;
	if (errno == ENOTEMPTY || errno == EEXIST) {
		log_error("already loaded: somebody was faster in %s", pins);
		return -EEXIST;
	}
	return log_errno(-errno, "cannot rename %s to %s", dir, pins);
}

void pins_abandon(const char *dir, bool mounted)
{
	if (dir[0])
		(void)pins_remove(dir);
	if (mounted && umount("/sys/fs/bpf") < 0)
		log_warn("cannot unmount /sys/fs/bpf again; continuing");
}

int pins_remove(const char *pins)
{
	char path[PIN_PATH_BYTES];
	struct dirent *e;
	int err = 0;
	DIR *d;

	d = opendir(pins);
	if (!d)
		return -errno;
	while ((e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		attach_undo(e->d_name);
		if (unlink(pin_path(path, pins, e->d_name)) < 0)
			err = log_errno(-errno, "cannot remove %s", path);
	}
	closedir(d);
	if (!err && rmdir(pins) < 0)
		err = log_errno(-errno, "cannot remove %s", pins);
	return err;
}

/* Another version's may be longer or shorter: fields are only ever added at the end. */
int pins_meta(const char *pins, struct meta *ret)
{
	struct bpf_map_info info = { 0 };
	__u32 zero = 0, len = sizeof(info);
	char path[PIN_PATH_BYTES], value[1024] = { 0 };
	int fd, err = 0;

	fd = bpf_obj_get(pin_path(path, pins, "meta"));
	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &len) < 0 ||
	    info.value_size > sizeof(value) || strcmp(info.name, "meta") != 0 ||
	    bpf_map_lookup_elem(fd, &zero, value) < 0) {
		log_error(
			"--pins %s: holds no books of 'tollgate load'; nothing was done",
			pins);
		err = -EINVAL;
	}
	if (fd >= 0)
		close(fd);
	memcpy(ret, value, sizeof(*ret));
	return err;
}
