/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel adds to rows at any moment.  So a row that is to go is first listed in the
 * map `folding`, whereupon the programs look no further for it (bpf/maps.h), and what
 * runs already is waited for; then its figures stand still.
 */
#include <errno.h>
#include <linux/membarrier.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "base/util.h"
#include "book/counts.h"
#include "book/dump.h"
#include "book/fold.h"

#define GRACE_MS 100 /* where the kernel does not tell when a program has ended */

/* MEMBARRIER_CMD_GLOBAL is synchronize_rcu() (kernel/sched/membarrier.c). */
static void wait_for_programs(void)
{
	const struct timespec grace = { 0, GRACE_MS * 1000000L };

	if (syscall(__NR_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) < 0)
		(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &grace, NULL);
}

static void set_folding(const struct fold *f, uint64_t n)
{
	__u32 which = TG_CURSOR_FOLDING;

	(void)bpf_map_update_elem(f->cursors_fd, &which, &n, BPF_ANY);
}

static struct row_key past_of(const struct row_key *row)
{
	return (struct row_key){ .leg = row->leg,
				 .role = row->role,
				 .proto = row->proto };
}

/* Is a socket of that row alive?  A row that is not there has none. */
static bool is_live(const struct fold *f, const struct row_key *row, void *values)
{
	struct tcp_totals t;

	if (bpf_map_lookup_elem(f->tcp_fd, row, values) < 0)
		return false;
	sum_cpus(&t, values, sizeof(t), f->cpus);
	return tcp_balance(&t) != 0;
}

/* One row of one map into its past.  0 or a negative errno. */
static int move(const struct fold *f, int map, size_t size, const struct row_key *row,
		uint64_t *values, uint64_t *past)
{
	struct row_key to = past_of(row);

	if (bpf_map_lookup_elem(map, row, values) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (bpf_map_lookup_elem(map, &to, past) < 0) {
		if (errno != ENOENT)
			return -errno;
		memset(past, 0, size * f->cpus);
	}
	for (size_t i = 0; i < size * f->cpus / sizeof(*past); i++)
		past[i] += values[i];
	if (bpf_map_update_elem(map, &to, past, BPF_ANY) < 0)
		return -errno;
	return bpf_map_delete_elem(map, row) < 0 ? -errno : 0;
}

static int fold_all(struct fold *f, struct row_key *rows, size_t *n, uint64_t *values,
		    uint64_t *past)
{
	size_t kept = 0;
	int err = 0;

	for (size_t i = 0; i < *n; i++) {
		__u64 one = 1;

		if (is_live(f, &rows[i], values))
			continue;
		if (bpf_map_update_elem(f->folding_fd, &rows[i], &one, BPF_ANY) < 0)
			continue; /* no place: another time */
		rows[kept++] = rows[i];
	}
	*n = kept;
	set_folding(f, kept);
	wait_for_programs();
	for (size_t i = 0; i < *n && !err; i++) {
		err = move(f, f->tcp_fd, sizeof(struct tcp_totals), &rows[i], values,
			   past);
		if (!err)
			err = move(f, f->wire_fd, sizeof(struct wire_totals), &rows[i],
				   values, past);
		if (err)
			*n = i; /* those that were moved are, the rest stays */
	}
	set_folding(f, 0);
	for (size_t i = 0; i < kept; i++)
		(void)bpf_map_delete_elem(f->folding_fd, &rows[i]);
	return *n ? 0 : err;
}

int fold_rows(struct fold *f, struct row_key *rows, size_t *n)
{
	size_t size = sizeof(struct tcp_totals) > sizeof(struct wire_totals)
			      ? sizeof(struct tcp_totals)
			      : sizeof(struct wire_totals);
	uint64_t *values = calloc(f->cpus, size), *past = calloc(f->cpus, size);
	int err = values && past ? fold_all(f, rows, n, values, past) : -ENOMEM;

	free(values);
	free(past);
	return err;
}

int fold_read(struct fold *f)
{
	int fds[] = { f->tcp_fd, f->wire_fd };
	size_t cap = f->left_n;

	f->left_n = 0;
	for (size_t m = 0; m < ARRAY_SIZE(fds); m++) {
		struct row_key key, *prev = NULL;

		while (bpf_map_get_next_key(fds[m], prev, &key) == 0) {
			if (f->left_n == cap) {
				size_t wanted = cap ? 2 * cap : 1024;
				struct row_key *more =
					reallocarray(f->left, wanted, sizeof(*more));

				if (!more)
					return -ENOMEM;
				f->left = more;
				cap = wanted;
			}
			f->left[f->left_n++] = key;
			prev = &key;
		}
	}
	return 0;
}
