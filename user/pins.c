/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "attach.h"
#include "base/host.h"
#include "base/log.h"
#include "pins.h"

const char *pin_path(char buf[PIN_PATH_BYTES], const char *pins, const char *name)
{
	(void)snprintf(buf, PIN_PATH_BYTES, "%s/%s", pins, name);
	return buf;
}

int pins_make(const char *pins)
{
	char parent[PIN_PATH_BYTES];
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
	return 0;
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
