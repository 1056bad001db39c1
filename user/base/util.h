/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USER_BASE_UTIL_H
#define USER_BASE_UTIL_H

#include <stddef.h>
#include <stdint.h>

#define ARRAY_SIZE(a)		      (sizeof(a) / sizeof((a)[0]))
#define container_of(p, type, member) ((type *)((char *)(p)-offsetof(type, member)))

/* Decimal digits only, at most max.  0, or -EINVAL with *ret untouched. */
int util_parse_u64(const char *text, uint64_t max, uint64_t *ret);

/* A number, of which K, M and G multiply by 1024 and so on.  0, or -EINVAL. */
int util_parse_size(const char *text, uint64_t max, uint64_t *ret);

/* "500ms", "5s", "10m", "4h" to milliseconds.  0, or -EINVAL. */
int util_parse_duration_ms(const char *text, int64_t *ret);

/* CLOCK_MONOTONIC in nanoseconds, as bpf_ktime_get_ns(). */
uint64_t util_now_ns(void);

/* "1.5 MiB" into buf; returns buf. */
#define UTIL_BYTES_STR_MAX 32
char *util_format_bytes(uint64_t n, char buf[UTIL_BYTES_STR_MAX]);

/* Read a whole file into a NUL-terminated heap string of at most max bytes.
 * 0, or a negative errno (-EFBIG over max).  The caller frees *ret. */
int util_read_file(const char *path, size_t max, char **ret, size_t *ret_len);

/* The same of what is open, from where it stands. */
int util_read_fd(int fd, size_t max, char **ret, size_t *ret_len);

/*
 * SipHash-1-3 (Aumasson, Bernstein 2012) of n bytes under a key that nobody outside
 * knows: for tables whose keys are chosen by others.
 */
uint64_t util_hash_keyed(const uint64_t key[2], const void *bytes, size_t n);

/* FNV-1a of n bytes, its upper half mixed into the lower. */
uint64_t util_hash(const void *bytes, size_t n);

#endif
