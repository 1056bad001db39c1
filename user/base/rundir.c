/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/rundir.h"

static int make(const char *path, mode_t mode)
{
	struct stat st;

	if (mkdir(path, mode) < 0 && errno != EEXIST)
		return -errno;
	if (lstat(path, &st) < 0)
		return -errno;
	return S_ISDIR(st.st_mode) && st.st_uid == 0 && !(st.st_mode & 022) ? 0 : -EACCES;
}

int rundir_make(uint32_t number, char ret[RUNDIR_PATH])
{
	int err = make(RUNDIR_ROOT, 0755);

	if (err)
		return err;
	(void)snprintf(ret, RUNDIR_PATH, RUNDIR_ROOT "/%u", number);
	err = make(ret, 0700);
	return err ? err : chmod(ret, 0700) < 0 ? -errno : 0;
}

void rundir_socket(uint32_t number, pid_t pid, char ret[RUNDIR_PATH])
{
	(void)snprintf(ret, RUNDIR_PATH, RUNDIR_ROOT "/%u/handover-%d.sock", number,
		       (int)pid);
}

void rundir_control(uint32_t number, pid_t pid, char ret[RUNDIR_PATH])
{
	(void)snprintf(ret, RUNDIR_PATH, RUNDIR_ROOT "/%u/control-%d.sock", number,
		       (int)pid);
}

int rundir_lock(const char *dir, const char *name, pid_t *ret_pid)
{
	char path[RUNDIR_PATH + 64], text[16] = "";
	int fd, err;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
		if (ftruncate(fd, 0) < 0)
			return fd; /* an old pid is in it, of no use */
		(void)dprintf(fd, "%d", (int)getpid());
		return fd;
	}
	err = errno == EWOULDBLOCK ? -EBUSY : -errno;
	*ret_pid = 0;
	if (read(fd, text, sizeof(text) - 1) > 0)
		(void)sscanf(text, "%d", ret_pid);
	close(fd);
	return err;
}

void rundir_remove(uint32_t number)
{
	char dir[RUNDIR_PATH], path[RUNDIR_PATH + 256];
	struct dirent *e;
	DIR *d;

	(void)snprintf(dir, sizeof(dir), RUNDIR_ROOT "/%u", number);
	d = opendir(dir);
	while (d && (e = readdir(d))) {
		(void)snprintf(path, sizeof(path), "%s/%.255s", dir, e->d_name);
		if (e->d_name[0] != '.')
			(void)unlink(path);
	}
	if (d)
		closedir(d);
	(void)rmdir(dir);
	(void)rmdir(RUNDIR_ROOT); /* if it was the last */
}
