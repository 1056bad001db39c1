/* SPDX-License-Identifier: Apache-2.0 */
/* The embedded kernel programs and their maps; programs.c is the one file that has them.
 */
#ifndef USER_LOAD_PROGRAMS_H
#define USER_LOAD_PROGRAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bpf_object;
struct bpf_program;
struct bpf_map;

struct programs;

struct load_size {
	char map[32];
	uint32_t entries; /* of rings: bytes, a power of two from 4096 */
};

/*
 * Open the programs, with maps of these sizes; nothing is in the kernel yet.  0 and *ret,
 * or a negative errno, logged.
 */
int programs_open(const struct load_size *sizes, size_t n, struct programs **ret);

/*
 * Leave out what a load like this never attaches: sockops if the tracepoint tells the tcp
 * book everything (hook: enum tg_teller), the wire book if no device is watched, XDP if
 * it is on none.  Most of the time of a load is the verifier's.
 */
void programs_choose(struct programs *p, uint32_t hook, bool wire, bool xdp);

/* Was it chosen? */
bool programs_has(const struct bpf_program *prog);

/* Into the kernel.  0, or a negative errno, logged. */
int programs_load(struct programs *p);

void programs_free(struct programs *p); /* NULL is fine */

/* For libbpf's calls; borrowed.  Programs and maps are found by their names in bpf/. */
struct bpf_object *programs_object(struct programs *p);
struct bpf_program *programs_find(struct programs *p, const char *name);
struct bpf_map *programs_map(struct programs *p, const char *name);

/* Element `index` of an array map.  0, or a negative errno, logged. */
int programs_write(struct programs *p, const char *map, uint32_t index, const void *value,
		   size_t size);

/* CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN: 0, or -EPERM, logged. */
int programs_check_privilege(void);

#endif
