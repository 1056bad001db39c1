/* SPDX-License-Identifier: Apache-2.0 */
/* What this host offers: mounts, namespaces, limits. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/host.h"
#include "base/util.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

int host_cgroup2(char *ret, size_t cap)
{
	char line[4096], point[4096], *tail;
	int err = -ENOENT;
	FILE *f;

	f = fopen("/proc/self/mountinfo", "re");
	if (!f)
		return -errno;
	while (err && fgets(line, sizeof(line), f)) {
		/* id parent major:minor root point options [fields] - type ... */
		tail = strstr(line, " - ");
		if (!tail || strncmp(tail + 3, "cgroup2 ", 8) != 0)
			continue;
		if (sscanf(line, "%*s %*s %*s %*s %4095s", point) != 1 ||
		    strlen(point) >= cap)
			continue;
		memcpy(ret, point, strlen(point) + 1);
		err = 0;
	}
	fclose(f);
	return err;
}

int host_is_bpffs(const char *path)
{
	struct statfs fs;

	if (statfs(path, &fs) < 0)
		return -errno;
	return (unsigned long)fs.f_type == BPF_FS_MAGIC;
}

uint64_t host_netns_cookie(void)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);
	int fd;

	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return 0;
	if (getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &len) < 0)
		cookie = 0;
	close(fd);
	return cookie;
}

/* Namespaces that were visited, by the numbers of their files. */
struct visited {
	ino_t *list;
	size_t n;
	size_t cap;
	size_t refused; /* processes we may not look at; most share a namespace we know */
};

/* 1 if it is new, 0 if not, or -ENOMEM. */
static int visit_mark(struct visited *v, ino_t ino)
{
	ino_t *grown;

	for (size_t i = 0; i < v->n; i++) {
		if (v->list[i] == ino)
			return 0;
	}
	if (v->n == v->cap) {
		v->cap = v->cap ? v->cap * 2 : 64;
		grown = reallocarray(v->list, v->cap, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		v->list = grown;
	}
	v->list[v->n++] = ino;
	return 1;
}

/* A namespace that went away meanwhile has no sockets any more. */
static int visit_netns(struct visited *v, const char *path, int (*fn)(void *), void *arg)
{
	struct stat st;
	int fd, err;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		v->refused += errno == EACCES;
		return errno == EMFILE ? -EMFILE : 0;
	}
	err = fstat(fd, &st) < 0 ? -errno : visit_mark(v, st.st_ino);
	if (err == 1) {
		if (setns(fd, CLONE_NEWNET) == 0)
			err = fn(arg);
		else
			err = errno == EINVAL ? 0 : -errno; /* a file, no namespace */
	}
	close(fd);
	return err;
}

static int visit_below(struct visited *v, const char *dir, const char *tail,
		       int (*fn)(void *), void *arg)
{
	char path[512];
	struct dirent *e;
	int err = 0;
	DIR *d;

	d = opendir(dir);
	if (!d)
		return 0;
	while (!err && (e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		(void)snprintf(path, sizeof(path), "%s/%s%s", dir, e->d_name, tail);
		err = visit_netns(v, path, fn, arg);
	}
	closedir(d);
	return err;
}

int host_each_netns(int (*fn)(void *arg), void *arg)
{
	struct visited v = { 0 };
	struct stat st;
	int own, err;

	own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (own < 0)
		return -errno;
	err = fstat(own, &st) < 0 ? -errno : visit_mark(&v, st.st_ino);
	if (err == 1)
		err = fn(arg);
	if (!err)
		err = visit_below(&v, "/proc", "/ns/net", fn, arg);
	if (!err)
		err = visit_below(&v, "/run/netns", "", fn, arg);
	if (v.n > 1 && setns(own, CLONE_NEWNET) < 0 && err >= 0)
		err = -errno;
	if (!err && v.refused && v.n == 1)
		err = -EPERM;
	close(own);
	free(v.list);
	return err;
}

struct wanted_netns {
	uint64_t cookie;
	int fd;
};

/* 1 ends the search. */
static int is_wanted(void *arg)
{
	struct wanted_netns *w = arg;

	if (host_netns_cookie() != w->cookie)
		return 0;
	w->fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	return w->fd < 0 ? -errno : 1;
}

int host_enter_netns(uint64_t cookie)
{
	struct wanted_netns w = { .cookie = cookie, .fd = -1 };
	int err;

	if (host_netns_cookie() == cookie)
		return 0;
	err = host_each_netns(is_wanted, &w);
	if (err != 1)
		return err < 0 ? err : -ESRCH;
	err = setns(w.fd, CLONE_NEWNET) < 0 ? -errno : 0;
	close(w.fd);
	return err;
}

int host_ephemeral_ports(uint16_t *ret_min, uint16_t *ret_max)
{
	unsigned min, max;
	int err = -EINVAL;
	FILE *f;

	f = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");
	if (!f)
		return -errno;
	if (fscanf(f, "%u %u", &min, &max) == 2 && min <= max && max <= UINT16_MAX) {
		*ret_min = (uint16_t)min;
		*ret_max = (uint16_t)max;
		err = 0;
	}
	fclose(f);
	return err;
}

/* /proc/net/netstat: a line of names, then one of values, both with the same first word.
 */
int host_netstat(const char *name, uint64_t *ret)
{
	char names[8192], values[8192], *n, *v, *n_rest, *v_rest;
	int err = -ENOENT;
	FILE *f;

	f = fopen("/proc/net/netstat", "re");
	if (!f)
		return -errno;
	while (err && fgets(names, sizeof(names), f) &&
	       fgets(values, sizeof(values), f)) {
		n = strtok_r(names, " \n", &n_rest);
		v = strtok_r(values, " \n", &v_rest);
		while (err && n && v) {
			if (strcmp(n, name) == 0)
				err = util_parse_u64(v, UINT64_MAX, ret);
			n = strtok_r(NULL, " \n", &n_rest);
			v = strtok_r(NULL, " \n", &v_rest);
		}
	}
	fclose(f);
	return err;
}

static int compare_ip(const void *a, const void *b)
{
	return memcmp(a, b, 16);
}

int host_addresses_read(struct host_addresses *ret)
{
	struct ifaddrs *all, *i;
	struct addr a;
	size_t n = 0;

	*ret = (struct host_addresses){ 0 };
	if (getifaddrs(&all) < 0)
		return -errno;
	for (i = all; i; i = i->ifa_next)
		n++;
	ret->ip = calloc(n + 1, sizeof(*ret->ip));
	for (i = all; ret->ip && i; i = i->ifa_next) {
		if (!i->ifa_addr || (i->ifa_addr->sa_family != AF_INET &&
				     i->ifa_addr->sa_family != AF_INET6))
			continue;
		addr_from_sockaddr(i->ifa_addr, &a);
		memcpy(ret->ip[ret->n++], a.ip, sizeof(a.ip));
	}
	freeifaddrs(all);
	if (!ret->ip)
		return -ENOMEM;
	qsort(ret->ip, ret->n, sizeof(*ret->ip), compare_ip);
	return 0;
}

void host_addresses_free(struct host_addresses *h)
{
	free(h->ip);
	*h = (struct host_addresses){ 0 };
}

bool host_addresses_has(const struct host_addresses *h, const uint8_t ip[16])
{
	if (addr_is_v4(ip) && ip[12] == 127)
		return true;
	return h->n && bsearch(ip, h->ip, h->n, sizeof(*h->ip), compare_ip);
}

uint64_t host_raise_nofile(void)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) < 0)
		return 1024;
	if (lim.rlim_cur < lim.rlim_max) {
		lim.rlim_cur = lim.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &lim) < 0)
			getrlimit(RLIMIT_NOFILE, &lim);
	}
	return lim.rlim_cur;
}
