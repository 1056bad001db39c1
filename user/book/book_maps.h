/* SPDX-License-Identifier: Apache-2.0 */
/* The opened pins of a load, for the files that read them: book.c and snapshot.c. */
#ifndef USER_BOOK_BOOK_MAPS_H
#define USER_BOOK_BOOK_MAPS_H

#include <stddef.h>
#include <stdint.h>

#include "bpf/abi.h"

#define MAPS(X)          \
	X(meta)          \
	X(flows)         \
	X(tcp_totals)    \
	X(tcp_overflow)  \
	X(tcp_all)       \
	X(wire)          \
	X(wire_totals)   \
	X(wire_overflow) \
	X(wire_boundary) \
	X(listeners)     \
	X(faults)        \
	X(names)         \
	X(proxy_book)    \
	X(proxy_ends)    \
	X(proxy_http)    \
	X(hello_book)    \
	X(offenders)     \
	X(proxy_events)  \
	X(proxy_ring)    \
	X(proxy_state)   \
	X(odd)           \
	X(cursors)       \
	X(records)       \
	X(wire_records)  \
	X(records_lost)  \
	X(hooks)         \
	X(accepted)      \
	X(xdp_reasons)

enum book_map {
#define X(name) MAP_##name,
	MAPS(X)
#undef X
		MAP_MAX
};

struct snapshot;

struct book {
	int fds[MAP_MAX];
	int live_fd; /* pinned iterator links; -1 if another loader pinned none */
	int list_fd;
	size_t cpus;
	uint32_t capacity[MAP_MAX];
	struct meta meta; /* when it was opened */
};

/* snapshot_proxy.c: the proxy's part of *s, 0 or a negative errno. */
int snapshot_proxy(struct book *b, struct snapshot *s);

/* Places of `labels` that are taken. */
uint64_t snapshot_labels(const struct snapshot *s);

#endif
