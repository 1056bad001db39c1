/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>

#include "book/dump.h"

#define BATCH 4096

int map_dump(int fd, size_t key_size, size_t value_size, struct dump *ret)
{
	struct dump d = { 0 };
	size_t cap = 0;
	uint8_t next[64];
	bool first = true;
	int err = 0;

	for (;;) {
		__u32 count = BATCH;

		if (d.n + BATCH > cap) {
			void *keys, *values;

			cap = cap ? cap * 2 : BATCH;
			keys = reallocarray(d.keys, cap, key_size);
			d.keys = keys ? keys : d.keys;
			values = reallocarray(d.values, cap, value_size);
			d.values = values ? values : d.values;
			if (!keys || !values) {
				err = -ENOMEM;
				break;
			}
		}
		err = bpf_map_lookup_batch(
			fd, first ? NULL : next, next, (char *)d.keys + d.n * key_size,
			(char *)d.values + d.n * value_size, &count, NULL);
		first = false;
		if (err && errno != ENOENT) {
			err = -errno;
			break;
		}
		d.n += count;
		if (err) { /* ENOENT: that was the last batch */
			err = 0;
			break;
		}
	}
	if (err) {
		free(d.keys);
		free(d.values);
		return err;
	}
	*ret = d;
	return 0;
}

void sum_cpus(void *ret, const void *values, size_t size, size_t cpus)
{
	uint64_t *out = ret;

	memset(out, 0, size);
	for (size_t c = 0; c < cpus; c++) {
		const uint64_t *in = (const void *)((const char *)values + c * size);

		for (size_t i = 0; i < size / 8; i++)
			out[i] += in[i];
	}
}

int read_percpu(int fd, uint32_t index, size_t cpus, void *ret, size_t size)
{
	void *values = calloc(cpus, size);
	int err = 0;

	if (!values)
		return -ENOMEM;
	if (bpf_map_lookup_elem(fd, &index, values) < 0)
		err = -errno;
	else
		sum_cpus(ret, values, size, cpus);
	free(values);
	return err;
}
