/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>

#include "book/dump.h"

/* Room for the next answer: of per-CPU maps one value is large where there are many CPUs.
 */
#define BATCH_BYTES (1u << 20)
#define BATCH_MIN   16
#define BATCH_MAX   4096

struct growing {
	struct dump d;
	size_t cap;
	size_t key_size, value_size;
};

/* Room for n more. */
static int make_room(struct growing *g, size_t n)
{
	size_t cap = g->cap + g->cap / 2;
	void *keys, *values;

	if (g->d.n + n <= g->cap)
		return 0;
	if (cap < g->d.n + n)
		cap = g->d.n + n;
	keys = reallocarray(g->d.keys, cap, g->key_size);
	g->d.keys = keys ? keys : g->d.keys;
	values = reallocarray(g->d.values, cap, g->value_size);
	g->d.values = values ? values : g->d.values;
	if (!keys || !values)
		return -ENOMEM;
	g->cap = cap;
	return 0;
}

static size_t batch_of(size_t value_size)
{
	size_t n = BATCH_BYTES / value_size;

	return n < BATCH_MIN ? BATCH_MIN : n > BATCH_MAX ? BATCH_MAX : n;
}

int map_dump(int fd, size_t key_size, size_t value_size, struct dump *ret)
{
	struct growing g = { .key_size = key_size, .value_size = value_size };
	size_t batch = batch_of(value_size);
	uint8_t at[64], next[64];
	bool first = true, last = false;
	int err = 0;

	while (!last && !err) {
		__u32 count = (__u32)batch;

		err = make_room(&g, batch);
		if (err)
			break;
		if (bpf_map_lookup_batch(fd, first ? NULL : at, next,
					 (char *)g.d.keys + g.d.n * key_size,
					 (char *)g.d.values + g.d.n * value_size, &count,
					 NULL) < 0) {
			/* one bucket holds more than there is room for */
			if (errno == ENOSPC && batch <= UINT32_MAX / 2) {
				batch *= 2;
				continue;
			}
			last = errno == ENOENT; /* that was all */
			err = last ? 0 : -errno;
		}
		if (!err)
			g.d.n += count;
		first = false;
		memcpy(at, next, sizeof(at));
	}
	if (err) {
		free(g.d.keys);
		free(g.d.values);
		return err;
	}
	*ret = g.d;
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
