/* SPDX-License-Identifier: Apache-2.0 */
/* From pinned maps to a snapshot.  Hash maps are read in batches, per-CPU values summed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/util.h"
#include "book/book.h"
#include "book/pin.h"
#include "book/dump.h"

#define PATH_BYTES	4096
#define PROXY_SILENT_NS 5000000000u

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
	X(hello_book)    \
	X(offenders)     \
	X(proxy_events)  \
	X(proxy_ring)    \
	X(proxy_state)   \
	X(odd)           \
	X(cursors)       \
	X(records)       \
	X(records_lost)  \
	X(xdp_reasons)

enum book_map {
#define X(name) MAP_##name,
	MAPS(X)
#undef X
		MAP_MAX
};

static const char *const map_names[] = {
#define X(name) #name,
	MAPS(X)
#undef X
};

struct book {
	int fds[MAP_MAX];
	int live_fd; /* pinned iterator links; -1 if another loader pinned none */
	int list_fd;
	size_t cpus;
	uint32_t capacity[MAP_MAX];
};

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
static int check_shapes(const struct book *b)
{
	struct meta meta;
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
		{ MAP_hello_book, 4, sizeof(struct hello_book) },
		{ MAP_offenders, 4, sizeof(struct offender) },
		{ MAP_proxy_events, 4, sizeof(struct proxy_event) },
		{ MAP_proxy_ring, 4, sizeof(struct proxy_ring_state) },
		{ MAP_proxy_state, 4, sizeof(struct proxy_state) },
		{ MAP_odd, 4, sizeof(struct odd) },
	};

	/* 0: by another loader, of the same object */
	if (bpf_map_lookup_elem(b->fds[MAP_meta], &zero, &meta) == 0 &&
	    meta.abi_version && meta.abi_version != TG_ABI_VERSION)
		return -EPROTO;
	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		struct bpf_map_info info = { 0 };
		__u32 len = sizeof(info);

		if (bpf_obj_get_info_by_fd(b->fds[want[i].map], &info, &len) < 0)
			return -errno;
		if (info.key_size != want[i].key || info.value_size != want[i].value)
			return -EPROTO;
	}
	return 0;
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

/* A reader of this namespace visits the sockets; the program has nothing to say. */
static int visit_sockets(int link_fd)
{
	char buf[4096];
	ssize_t n;
	int fd;

	if (link_fd < 0)
		return 0;
	fd = bpf_iter_create(link_fd);
	if (fd < 0)
		return -errno;
	do {
		n = read(fd, buf, sizeof(buf));
	} while (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)));
	n = n < 0 ? -errno : 0;
	close(fd);
	return (int)n;
}

static int read_tcp(struct book *b, struct snapshot *s)
{
	size_t size = sizeof(struct tcp_totals);
	struct dump d;
	int err;

	err = read_percpu(b->fds[MAP_tcp_all], 0, b->cpus, &s->tcp_all_before, size);
	if (err)
		return err;
	err = map_dump(b->fds[MAP_tcp_totals], sizeof(struct row_key), size * b->cpus,
		       &d);
	if (err)
		return err;
	s->tcp = calloc(d.n + 1, sizeof(*s->tcp));
	if (s->tcp) {
		for (size_t i = 0; i < d.n; i++) {
			s->tcp[i].key = ((struct row_key *)d.keys)[i];
			sum_cpus(&s->tcp[i].totals, (char *)d.values + i * size * b->cpus,
				 size, b->cpus);
		}
		s->tcp_n = d.n;
	}
	free(d.keys);
	free(d.values);
	if (!s->tcp)
		return -ENOMEM;
	err = read_percpu(b->fds[MAP_tcp_overflow], 0, b->cpus, &s->tcp_overflow, size);
	return err ? err
		   : read_percpu(b->fds[MAP_tcp_all], 0, b->cpus, &s->tcp_all, size);
}

static int read_wire(struct book *b, struct snapshot *s)
{
	size_t size = sizeof(struct wire_totals);
	struct dump d;
	int err;

	err = map_dump(b->fds[MAP_wire_totals], sizeof(struct row_key), size * b->cpus,
		       &d);
	if (err)
		return err;
	s->wire = calloc(d.n + 1, sizeof(*s->wire));
	if (s->wire) {
		for (size_t i = 0; i < d.n; i++) {
			s->wire[i].key = ((struct row_key *)d.keys)[i];
			sum_cpus(&s->wire[i].totals,
				 (char *)d.values + i * size * b->cpus, size, b->cpus);
		}
		s->wire_n = d.n;
	}
	free(d.keys);
	free(d.values);
	if (!s->wire)
		return -ENOMEM;
	return read_percpu(b->fds[MAP_wire_overflow], 0, b->cpus, &s->wire_overflow,
			   size);
}

/* Listeners, and what crossed the boundary of each. */
static int read_listeners(struct book *b, struct snapshot *s)
{
	struct listener_row *rows;
	struct dump d;
	int err;

	err = map_dump(b->fds[MAP_listeners], sizeof(struct listener_key),
		       sizeof(struct listener_val), &d);
	if (err)
		return err;
	rows = calloc(d.n + 1, sizeof(*rows));
	for (size_t i = 0; rows && i < d.n; i++) {
		rows[i].key = ((struct listener_key *)d.keys)[i];
		rows[i].val = ((struct listener_val *)d.values)[i];
	}
	s->listeners = rows;
	s->listeners_n = rows ? d.n : 0;
	free(d.keys);
	free(d.values);
	err = rows ? 0 : -ENOMEM;
	for (size_t i = 0; !err && i < s->listeners_n; i++) {
		__u32 id = rows[i].val.id;

		if (id < TG_LISTENERS_MAX)
			err = read_percpu(b->fds[MAP_wire_boundary], id, b->cpus,
					  &s->boundary[id], sizeof(s->boundary[id]));
	}
	return err;
}

static int read_names(struct book *b, struct snapshot *s)
{
	struct dump d;
	int err;

	err = map_dump(b->fds[MAP_names], sizeof(struct name_key),
		       sizeof(struct name_val), &d);
	if (err)
		return err;
	s->names = calloc(d.n + 1, sizeof(*s->names));
	for (size_t i = 0; s->names && i < d.n; i++) {
		s->names[i].key = ((struct name_key *)d.keys)[i];
		s->names[i].val = ((struct name_val *)d.values)[i];
		s->names_n++;
	}
	free(d.keys);
	free(d.values);
	return s->names ? 0 : -ENOMEM;
}

/* A flow's whole life: what is in a row already, and what is not yet. */
static void wire_of(const struct wire_flow *w, struct live_flow *ret)
{
	for (int d = 0; d < TG_DIR_MAX; d++) {
		const struct wire_counts *a = &w->drained[d], *b = &w->counts[d];

		ret->wire[d].packets = a->packets + b->packets;
		ret->wire[d].l3_bytes = a->l3_bytes + b->l3_bytes;
		ret->wire[d].frame_bytes = a->frame_bytes + b->frame_bytes;
		ret->wire[d].payload_bytes = a->payload_bytes + b->payload_bytes;
	}
	ret->has_wire = true;
}

static void flow_of_wire(const struct flow_key *key, const struct wire_flow *w,
			 struct live_flow *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->key = *key;
	ret->flow.opened_ns = w->opened_ns;
	ret->flow.seen_ns = w->seen_ns;
	ret->flow.role = w->active ? TG_ROLE_CONNECTED : TG_ROLE_ACCEPTED;
	ret->flow.row.listener = w->listener;
	ret->flow.row.leg = w->leg;
	ret->flow.row.proto = (__u8)key->proto;
	wire_of(w, ret);
	ret->flow.counts.rx_payload_bytes = ret->wire[TG_RX].payload_bytes;
	ret->flow.counts.tx_payload_bytes = ret->wire[TG_TX].payload_bytes;
	ret->flow.counts.rx_segments = ret->wire[TG_RX].packets;
	ret->flow.counts.tx_segments = ret->wire[TG_TX].packets;
}

/* What is no TCP connection is known to the wire book only. */
static int add_wire_flows(struct book *b, struct snapshot *s)
{
	struct live_flow *grown;
	struct dump d;
	int err;

	err = map_dump(b->fds[MAP_wire], sizeof(struct flow_key),
		       sizeof(struct wire_flow), &d);
	if (err)
		return err;
	grown = reallocarray(s->flows, s->flows_n + d.n + 1, sizeof(*grown));
	if (grown) {
		s->flows = grown;
		for (size_t i = 0; i < d.n; i++) {
			const struct flow_key *key = &((struct flow_key *)d.keys)[i];
			const struct wire_flow *w = &((struct wire_flow *)d.values)[i];

			if (!w->socket)
				flow_of_wire(key, w, &s->flows[s->flows_n++]);
		}
	}
	free(d.keys);
	free(d.values);
	return grown ? 0 : -ENOMEM;
}

static int read_flows(struct book *b, struct snapshot *s)
{
	struct dump d;
	int err;

	err = map_dump(b->fds[MAP_flows], sizeof(struct flow_key), sizeof(struct flow),
		       &d);
	if (err)
		return err;
	s->flows = calloc(d.n + 1, sizeof(*s->flows));
	for (size_t i = 0; s->flows && i < d.n; i++) {
		struct live_flow *f = &s->flows[s->flows_n++];
		struct wire_flow w;

		f->key = ((struct flow_key *)d.keys)[i];
		f->flow = ((struct flow *)d.values)[i];
		if (s->meta.wire &&
		    bpf_map_lookup_elem(b->fds[MAP_wire], &f->key, &w) == 0)
			wire_of(&w, f);
	}
	free(d.keys);
	free(d.values);
	if (!s->flows)
		return -ENOMEM;
	return s->meta.wire ? add_wire_flows(b, s) : 0;
}

static uint64_t read_cursor(struct book *b, __u32 which)
{
	uint64_t n = 0;

	return bpf_map_lookup_elem(b->fds[MAP_cursors], &which, &n) < 0 ? 0 : n;
}

/* The last connections whose books differed, newest first. */
static int read_odd(struct book *b, struct snapshot *s)
{
	uint64_t next = read_cursor(b, TG_CURSOR_ODD);

	s->odd_total = next;
	for (; next && s->odd_n < TG_ODD_MAX; next--) {
		__u32 index = (__u32)((next - 1) % TG_ODD_MAX);

		if (bpf_map_lookup_elem(b->fds[MAP_odd], &index, &s->odd[s->odd_n]) < 0)
			return -errno;
		s->odd_n++;
	}
	return 0;
}

static int by_refused(const void *a, const void *b)
{
	const struct offender *x = a, *y = b;

	return x->refused > y->refused ? -1 : x->refused < y->refused;
}

static int read_offenders(struct book *b, struct snapshot *s)
{
	for (__u32 i = 0; i < TG_OFFENDERS_MAX; i++) {
		struct offender *o = &s->offenders[s->offenders_n];

		if (bpf_map_lookup_elem(b->fds[MAP_offenders], &i, o) < 0)
			return -errno;
		s->offenders_n += o->used;
	}
	qsort(s->offenders, s->offenders_n, sizeof(*s->offenders), by_refused);
	return 0;
}

/* The proxy's maps are arrays of 4 KiB pages; mapped, only the used part costs. */
static int read_proxy(struct book *b, struct snapshot *s)
{
	size_t size = sizeof(struct proxy_slot) * TG_SLOTS_MAX;
	const struct proxy_slot *slots;
	__u32 zero = 0;

	if (bpf_map_lookup_elem(b->fds[MAP_proxy_state], &zero, &s->proxy) < 0 ||
	    bpf_map_lookup_elem(b->fds[MAP_proxy_ring], &zero, &s->proxy_ring) < 0)
		return -errno;
	if (s->proxy_ring.read > s->proxy_ring.written) /* read while both moved */
		s->proxy_ring.written = s->proxy_ring.read;
	slots = mmap(NULL, size, PROT_READ, MAP_SHARED, b->fds[MAP_proxy_book], 0);
	if (slots == MAP_FAILED)
		return -errno;
	while (s->slots_n < TG_SLOTS_MAX && slots[s->slots_n].used)
		s->slots_n++;
	s->slots = calloc(s->slots_n + 1, sizeof(*s->slots));
	if (s->slots)
		memcpy(s->slots, slots, s->slots_n * sizeof(*s->slots));
	munmap((void *)slots, size);
	if (!s->slots)
		return -ENOMEM;
	for (__u32 id = 0; id < TG_LISTENERS_MAX; id++) {
		if (bpf_map_lookup_elem(b->fds[MAP_hello_book], &id, &s->hellos[id]) < 0)
			return -errno;
	}
	return read_offenders(b, s);
}

static int read_faults(struct book *b, struct snapshot *s)
{
	int err = 0;

	for (__u32 i = 0; i < TG_FAULT_MAX && !err; i++)
		err = read_percpu(b->fds[MAP_faults], i, b->cpus, &s->faults[i],
				  sizeof(s->faults[i]));
	for (__u32 i = 0; i < TG_FAULT_MAX && !err && s->meta.xdp; i++)
		err = read_percpu(b->fds[MAP_xdp_reasons], i, b->cpus, &s->xdp_reasons[i],
				  sizeof(s->xdp_reasons[i]));
	return err ? err
		   : read_percpu(b->fds[MAP_records_lost], 0, b->cpus, &s->records_lost,
				 sizeof(s->records_lost));
}

static int snapshot_fill(struct book *b, unsigned want, struct snapshot *s)
{
	__u32 zero = 0;
	int err;

	if (bpf_map_lookup_elem(b->fds[MAP_meta], &zero, &s->meta) < 0)
		return -errno;
	err = visit_sockets(want & BOOK_FLOWS ? b->list_fd : b->live_fd);
	if (!err)
		err = read_proxy(b, s);
	if (!err)
		err = read_tcp(b, s);
	if (!err && want & BOOK_NFT)
		s->nft_err = nft_counters_read(&s->nft_before, &s->nft_before_n);
	if (!err)
		err = read_wire(b, s);
	if (!err)
		err = read_listeners(b, s);
	if (!err && want & BOOK_NFT && !s->nft_err)
		s->nft_err = nft_counters_read(&s->nft, &s->nft_n);
	if (!err && want & BOOK_NFT && !s->nft_err)
		s->nft_err = nft_flowtables(s->flowtables, sizeof(s->flowtables));
	if (!err)
		err = read_names(b, s);
	if (!err)
		err = read_faults(b, s);
	if (!err && want & BOOK_FLOWS)
		err = read_flows(b, s);
	if (!err)
		err = read_odd(b, s);
	s->flows_entries = read_cursor(b, TG_CURSOR_FLOWS);
	s->wire_entries = read_cursor(b, TG_CURSOR_WIRE);
	s->records_bytes = read_cursor(b, TG_CURSOR_RECORDS);
	s->records_capacity = b->capacity[MAP_records];
	s->proxy_events_capacity = b->capacity[MAP_proxy_events];
	s->flows_capacity = b->capacity[MAP_flows];
	s->tcp_capacity = b->capacity[MAP_tcp_totals];
	s->wire_flows_capacity = b->capacity[MAP_wire];
	s->wire_capacity = b->capacity[MAP_wire_totals];
	return err;
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

int snapshot_take(struct book *b, unsigned want, struct snapshot **ret)
{
	struct snapshot *s = calloc(1, sizeof(*s));
	uint64_t start = util_now_ns();
	int err;

	if (!s)
		return -ENOMEM;
	err = snapshot_fill(b, want, s);
	if (err) {
		snapshot_free(s);
		return err;
	}
	s->taken_ns = util_now_ns();
	s->cost_ns = s->taken_ns - start;
	*ret = s;
	return 0;
}

uint64_t slot_ends(const struct proxy_slot *slot, enum tg_end reason)
{
	uint64_t n = 0;

	for (int side = 0; side < TG_SIDE_MAX; side++)
		n += slot->ends[reason][side];
	return n;
}

bool snapshot_proxy_up(const struct snapshot *s)
{
	return s->proxy.pid && s->taken_ns < s->proxy.heartbeat_ns + PROXY_SILENT_NS;
}

void snapshot_free(struct snapshot *s)
{
	if (!s)
		return;
	free(s->tcp);
	free(s->wire);
	free(s->listeners);
	free(s->flows);
	free(s->slots);
	free(s->names);
	free(s->nft_before);
	free(s->nft);
	free(s);
}
