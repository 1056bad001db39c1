/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "book/pin.h"

#define PATH_BYTES 4096

int pin_open(const char *pins, const char *name, int *ret)
{
	char path[PATH_BYTES];

	(void)snprintf(path, sizeof(path), "%s/%s", pins, name);
	*ret = bpf_obj_get(path);
	return *ret < 0 ? -errno : 0;
}

uint32_t pin_map_id(const char *pins, const char *name)
{
	struct bpf_map_info info = { 0 };
	__u32 len = sizeof(info);
	int fd;

	if (pin_open(pins, name, &fd) < 0)
		return 0;
	if (bpf_obj_get_info_by_fd(fd, &info, &len) < 0)
		info.id = 0;
	close(fd);
	return info.id;
}

int pin_map(const char *pins, const char *name, size_t value_size, void **ret,
	    size_t *ret_n)
{
	struct bpf_map_info info = { 0 };
	__u32 len = sizeof(info);
	void *p = MAP_FAILED;
	int fd, err;

	err = pin_open(pins, name, &fd);
	if (err)
		return err;
	if (bpf_obj_get_info_by_fd(fd, &info, &len) < 0)
		err = -errno;
	else if (info.value_size != value_size)
		err = -EPROTO;
	if (!err) {
		p = mmap(NULL, value_size * info.max_entries, PROT_READ | PROT_WRITE,
			 MAP_SHARED, fd, 0);
		err = p == MAP_FAILED ? -errno : 0;
	}
	close(fd);
	if (err)
		return err;
	*ret = p;
	if (ret_n)
		*ret_n = info.max_entries;
	return 0;
}
