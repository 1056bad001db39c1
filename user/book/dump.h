/* SPDX-License-Identifier: Apache-2.0 */
/* Whole maps into memory. */
#ifndef USER_BOOK_DUMP_H
#define USER_BOOK_DUMP_H

#include <stddef.h>
#include <stdint.h>

struct dump {
	void *keys;
	void *values;
	size_t n;
};

/*
 * A whole hash map, in batches; sizes in bytes, value_size over all CPUs for per-CPU
 * maps. 0 and keys and values to free, or a negative errno.
 */
int map_dump(int fd, size_t key_size, size_t value_size, struct dump *ret);

/* Values of our totals are plain arrays of u64: add those of `cpus` up. */
void sum_cpus(void *ret, const void *values, size_t size, size_t cpus);

/* One element of a per-CPU array, summed.  0, or a negative errno. */
int read_percpu(int fd, uint32_t index, size_t cpus, void *ret, size_t size);

#endif
