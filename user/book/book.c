/* SPDX-License-Identifier: Apache-2.0 */
/* Opening the pins of a load, and looking whether they are what we were built to read. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/util.h"
#include "book/book.h"
#include "book/book_maps.h"
#include "book/pin.h"

static const char *const map_names[] = {
#define X(name) #name,
	MAPS(X)
#undef X
};

const struct meta *book_meta(const struct book *b)
{
	return &b->meta;
}

void book_close(struct book *b)
{
	if (!b)
		return;
	for (int i = 0; i < MAP_MAX; i++) {
		if (b->fds[i] >= 0)
			close(b->fds[i]);
	}
	if (b->live_fd >= 0)
		close(b->live_fd);
	if (b->list_fd >= 0)
		close(b->list_fd);
	free(b);
}

/* How much each map can hold, which the load decided. */
static int read_capacities(struct book *b)
{
	for (int i = 0; i < MAP_MAX; i++) {
		struct bpf_map_info info = { 0 };
		__u32 len = sizeof(info);

		if (bpf_obj_get_info_by_fd(b->fds[i], &info, &len) < 0)
			return -errno;
		b->capacity[i] = info.max_entries;
	}
	return 0;
}

/* Keys and values must be as this program was built to read them. */
static int check_shapes(struct book *b)
{
	__u32 zero = 0;

	static const struct {
		enum book_map map;
		size_t key, value;
	} want[] = {
		{ MAP_meta, 4, sizeof(struct meta) },
		{ MAP_flows, sizeof(struct flow_key), sizeof(struct flow) },
		{ MAP_tcp_totals, sizeof(struct row_key), sizeof(struct tcp_totals) },
		{ MAP_wire, sizeof(struct flow_key), sizeof(struct wire_flow) },
		{ MAP_wire_totals, sizeof(struct row_key), sizeof(struct wire_totals) },
		{ MAP_wire_boundary, 4, sizeof(struct wire_boundary) },
		{ MAP_listeners, sizeof(struct listener_key),
		  sizeof(struct listener_val) },
		{ MAP_names, sizeof(struct name_key), sizeof(struct name_val) },
		{ MAP_proxy_book, 4, sizeof(struct proxy_slot) },
		{ MAP_proxy_ends, 4, sizeof(struct proxy_ends) },
		{ MAP_proxy_http, 4, sizeof(struct http_book) },
		{ MAP_hello_book, 4, sizeof(struct hello_book) },
		{ MAP_offenders, 4, sizeof(struct offender) },
		{ MAP_proxy_events, 4, sizeof(struct proxy_event) },
		{ MAP_proxy_ring, 4, sizeof(struct proxy_ring_state) },
		{ MAP_proxy_state, 4, sizeof(struct proxy_state) },
		{ MAP_odd, 4, sizeof(struct odd) },
		{ MAP_hooks, 4, sizeof(struct hook) },
		{ MAP_accepted, 4, sizeof(struct accepted) },
	};

	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		struct bpf_map_info info = { 0 };
		__u32 len = sizeof(info);

		if (bpf_obj_get_info_by_fd(b->fds[want[i].map], &info, &len) < 0)
			return -errno;
		if (info.key_size != want[i].key || info.value_size != want[i].value)
			return -EPROTO;
	}
	if (bpf_map_lookup_elem(b->fds[MAP_meta], &zero, &b->meta) < 0)
		return -errno;
	/* 0: by another loader, of the same object */
	return b->meta.abi_version && b->meta.abi_version != TG_ABI_VERSION ? -EPROTO : 0;
}

int book_open(const char *pins, struct book **ret)
{
	struct book *b = calloc(1, sizeof(*b));
	int err = 0, cpus;

	if (!b)
		return -ENOMEM;
	memset(b->fds, 0xff, sizeof(b->fds));
	b->live_fd = b->list_fd = -1;
	for (int i = 0; i < MAP_MAX && !err; i++) {
		err = pin_open(pins, map_names[i], &b->fds[i]);
		if (err == -ENOENT && i > MAP_meta)
			err = -EPROTO; /* there is a load, but not of our kind */
	}
	if (!err) {
		(void)pin_open(pins, "live", &b->live_fd);
		(void)pin_open(pins, "list", &b->list_fd);
		cpus = libbpf_num_possible_cpus();
		err = cpus < 0 ? cpus : check_shapes(b);
		if (!err)
			err = read_capacities(b);
		b->cpus = (size_t)cpus;
	}
	if (err) {
		book_close(b);
		return err;
	}
	*ret = b;
	return 0;
}

void book_name(const struct book *b, enum tg_name_kind kind, unsigned id,
	       char ret[TG_NAME_LEN])
{
	struct name_key key = { .kind = (uint16_t)kind, .id = (uint16_t)id };
	struct name_val val;

	memset(ret, 0, TG_NAME_LEN);
	if (id && bpf_map_lookup_elem(b->fds[MAP_names], &key, &val) == 0)
		memcpy(ret, val.name, TG_NAME_LEN - 1);
}
