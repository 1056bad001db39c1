/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "book/cgroups.h"
#include "book/dump.h"
#include "book/name_ids.h"
#include "book/pin.h"

#define DEPTH_MAX 16

struct scan {
	int cgroups_fd, names_fd;
	struct names names;
	bool names_open; /* read when a cgroup is new */
	uint64_t seen[TG_CGROUPS_MAX];
	size_t n;
	bool cut;  /* not all were seen */
	bool full; /* some have no name, or no place */
};

static bool ends_with(const char *part, size_t len, const char *end)
{
	size_t n = strlen(end);

	return len > n && strncmp(part + len - n, end, n) == 0;
}

void cgroup_name_of(const char *path, char ret[TG_NAME_LEN])
{
	const char *unit = NULL, *part = path;
	size_t unit_len = 0;

	while (*part) {
		size_t len = strcspn(part, "/");

		if (ends_with(part, len, ".service") || ends_with(part, len, ".scope")) {
			unit = part;
			unit_len = len;
		}
		part += len + (part[len] == '/');
	}
	if (unit)
		(void)snprintf(ret, TG_NAME_LEN, "%.*s", (int)unit_len, unit);
	else
		(void)snprintf(ret, TG_NAME_LEN, "%s", *path ? path : "/");
	/* a directory's name may be any bytes; a label and JSON are text */
	for (char *p = ret; *p; p++) {
		if (*p < ' ' || *p > '~')
			*p = '?';
	}
}

/* The id of a name; of one that is new it is made. */
static int name_id(struct scan *s, const char *path, uint16_t *ret)
{
	char name[TG_NAME_LEN];
	int err;

	if (!s->names_open) {
		err = names_open(s->names_fd, &s->names);
		s->names_open = true;
		if (err)
			return err;
	}
	cgroup_name_of(path, name);
	return names_get(&s->names, TG_NAME_CGROUP, name, ret);
}

static int add(struct scan *s, uint64_t number, const char *path)
{
	uint16_t id;
	uint32_t val;
	int err;

	if (s->n == TG_CGROUPS_MAX) {
		s->cut = true;
		return 0;
	}
	s->seen[s->n++] = number;
	if (bpf_map_lookup_elem(s->cgroups_fd, &number, &val) == 0)
		return 0;
	err = name_id(s, path, &id);
	val = id;
	if (!err && bpf_map_update_elem(s->cgroups_fd, &number, &val, BPF_ANY) < 0)
		err = -errno;
	/* numbers of those that are gone make room below: the next look tries again */
	s->full |= err == -ENOSPC || err == -E2BIG;
	return err == -ENOSPC || err == -E2BIG ? 0 : err;
}

/* dirfd is taken over; path: below the root, "" at first. */
static int walk(struct scan *s, int dirfd, const char *path, int depth)
{
	char below[1024];
	struct dirent *e;
	struct stat st;
	DIR *d;
	int err;

	if (fstat(dirfd, &st) < 0 || !(d = fdopendir(dirfd))) {
		close(dirfd);
		return 0; /* it has gone meanwhile */
	}
	err = add(s, st.st_ino, path);
	while (!err && depth < DEPTH_MAX && (e = readdir(d))) {
		int fd;

		if (e->d_type != DT_DIR || e->d_name[0] == '.' ||
		    (size_t)snprintf(below, sizeof(below), "%s%s%s", path,
				     *path ? "/" : "", e->d_name) >= sizeof(below))
			continue;
		fd = openat(dirfd, e->d_name,
			    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd >= 0)
			err = walk(s, fd, below, depth + 1);
	}
	closedir(d);
	return err;
}

static int by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Numbers of cgroups that are no more; their names stay, for their rows do. */
static int forget_gone(struct scan *s)
{
	struct dump d;
	int err = map_dump(s->cgroups_fd, sizeof(uint64_t), sizeof(uint32_t), &d);

	if (err)
		return err;
	if (s->n)
		qsort(s->seen, s->n, sizeof(s->seen[0]), by_number);
	for (size_t i = 0; i < d.n && !s->cut; i++) {
		const uint64_t *number = &((uint64_t *)d.keys)[i];

		if (!bsearch(number, s->seen, s->n, sizeof(*number), by_number))
			(void)bpf_map_delete_elem(s->cgroups_fd, number);
	}
	free(d.keys);
	free(d.values);
	return 0;
}

int cgroups_scan(const char *pins, const char *root)
{
	struct scan *s = calloc(1, sizeof(*s));
	int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC), err = 0;

	if (!s || fd < 0) {
		err = s ? -errno : -ENOMEM;
		if (fd >= 0)
			close(fd);
		free(s);
		return err;
	}
	s->cgroups_fd = s->names_fd = -1;
	err = pin_open(pins, "cgroups", &s->cgroups_fd);
	if (!err)
		err = pin_open(pins, "names", &s->names_fd);
	if (err)
		close(fd);
	else
		err = walk(s, fd, "", 0);
	if (!err)
		err = forget_gone(s);
	if (!err && (s->cut || s->full))
		err = -E2BIG;
	if (s->names_open)
		names_close(&s->names);
	if (s->cgroups_fd >= 0)
		close(s->cgroups_fd);
	if (s->names_fd >= 0)
		close(s->names_fd);
	free(s);
	return err;
}
