/* SPDX-License-Identifier: Apache-2.0 */
/* From pinned maps to a snapshot.  Hash maps are read in batches, per-CPU values summed.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "base/host.h"
#include "base/util.h"
#include "book/book.h"
#include "book/book_maps.h"
#include "book/boundary.h"
#include "book/dump.h"

#define FOLD_WAIT_MS	5
#define FOLD_LONGEST_NS 30000000000u /* then it is no fold of a living proxy */
#define FOLD_TRIES	100

static uint64_t read_cursor(struct book *b, __u32 which)
{
	uint64_t n = 0;

	return bpf_map_lookup_elem(b->fds[MAP_cursors], &which, &n) < 0 ? 0 : n;
}

/*
 * A reader of this namespace visits the sockets; the program prints a byte for each life
 * it met.  0 and their number, or a negative errno.
 */
static int visit(int link_fd, uint64_t *ret)
{
	char buf[4096];
	ssize_t n;
	int fd;

	fd = bpf_iter_create(link_fd);
	if (fd < 0)
		return -errno;
	do {
		n = read(fd, buf, sizeof(buf));
		*ret += n > 0 ? (uint64_t)n : 0;
	} while (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)));
	n = n < 0 ? -errno : 0;
	close(fd);
	return (int)n;
}

/*
 * What began and did not end must be met, but for what began during the visit: the rest
 * ended without a word.  At least so many, for some that were met may have ended since.
 */
static int visit_sockets(struct book *b, int link_fd, struct snapshot *s)
{
	uint64_t begun = read_cursor(b, TG_CURSOR_BEGUN), met = 0;
	int64_t lost;
	int err;

	if (link_fd < 0)
		return 0;
	err = visit(link_fd, &met);
	begun = read_cursor(b, TG_CURSOR_BEGUN) - begun;
	lost = (int64_t)(read_cursor(b, TG_CURSOR_LIVE) - met - begun);
	s->sockets_lost = !err && s->at_home && lost > 0 ? (uint64_t)lost : 0;
	return err;
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

static int read_faults(struct book *b, struct snapshot *s)
{
	int err = 0;

	for (__u32 i = 0; i < TG_FAULT_MAX && !err; i++)
		err = read_percpu(b->fds[MAP_faults], i, b->cpus, &s->faults[i],
				  sizeof(s->faults[i]));
	for (__u32 i = 0; i < TG_FAULT_MAX && !err && s->meta.xdp; i++)
		err = read_percpu(b->fds[MAP_xdp_reasons], i, b->cpus, &s->xdp_reasons[i],
				  sizeof(s->xdp_reasons[i]));
	for (__u32 i = 0; i < TG_RING_MAX && !err; i++)
		err = read_percpu(b->fds[MAP_records_lost], i, b->cpus,
				  &s->records_lost[i], sizeof(s->records_lost[i]));
	return err;
}

/* How its hooks are, and what an operator has accepted. */
static int read_health(struct book *b, struct snapshot *s)
{
	__u32 zero = 0;

	for (__u32 i = 0; i < TG_HOOKS_MAX; i++) {
		if (bpf_map_lookup_elem(b->fds[MAP_hooks], &i, &s->hooks[i]) < 0)
			return -errno;
		if (s->hooks[i].kind == TG_HOOK_NONE ||
		    s->hooks[i].kind >= TG_HOOK_KIND_MAX)
			break;
		s->hooks_n++;
	}
	if (bpf_map_lookup_elem(b->fds[MAP_accepted], &zero, &s->accepted) < 0)
		return -errno;
	s->accepted.text[sizeof(s->accepted.text) - 1] = '\0';
	s->reattached = read_cursor(b, TG_CURSOR_REATTACHED);
	s->nft_lost = read_cursor(b, TG_CURSOR_NFT_LOST);
	return 0;
}

/* 0, also where it cannot be read: nft_err says why. */
static void read_nft(struct snapshot *s, struct nft_counter **ret, size_t *ret_n)
{
	struct nft_where at;

	if (s->nft_err || !s->meta.nft_table[0])
		return;
	at = boundary_table(&s->meta);
	s->nft_err = s->at_home ? nft_counters_read(&at, ret, ret_n) : -ENXIO;
}

static int snapshot_fill(struct book *b, unsigned want, struct snapshot *s)
{
	__u32 zero = 0;
	int err;

	if (bpf_map_lookup_elem(b->fds[MAP_meta], &zero, &s->meta) < 0)
		return -errno;
	s->meta.nft_table[sizeof(s->meta.nft_table) - 1] = '\0';
	s->at_home = !s->meta.netns_cookie || s->meta.netns_cookie == host_netns_cookie();
	/* the proxy first: what it has read, the sockets have by the time they are
	 * visited */
	err = snapshot_proxy(b, s);
	if (!err)
		err = visit_sockets(b, want & BOOK_FLOWS ? b->list_fd : b->live_fd, s);
	if (!err)
		err = read_tcp(b, s);
	if (!err && want & BOOK_NFT)
		read_nft(s, &s->nft_before, &s->nft_before_n);
	if (!err)
		err = read_wire(b, s);
	if (!err)
		err = read_listeners(b, s);
	if (!err && want & BOOK_NFT)
		read_nft(s, &s->nft, &s->nft_n);
	if (!err && want & BOOK_NFT && !s->nft_err && s->at_home)
		s->nft_err = nft_flowtables(s->flowtables, sizeof(s->flowtables));
	if (!err)
		err = read_names(b, s);
	if (!err)
		err = read_faults(b, s);
	if (!err && want & BOOK_FLOWS)
		err = read_flows(b, s);
	if (!err)
		err = read_odd(b, s);
	if (!err)
		err = read_health(b, s);
	s->flows_entries = read_cursor(b, TG_CURSOR_FLOWS);
	s->wire_entries = read_cursor(b, TG_CURSOR_WIRE);
	s->labels_given = read_cursor(b, TG_CURSOR_LABELS);
	s->records_bytes[TG_RING_TCP] = read_cursor(b, TG_CURSOR_RECORDS);
	s->records_bytes[TG_RING_WIRE] = read_cursor(b, TG_CURSOR_WIRE_RECORDS);
	s->records_capacity[TG_RING_TCP] = b->capacity[MAP_records];
	s->records_capacity[TG_RING_WIRE] = b->capacity[MAP_wire_records];
	s->slots_capacity = b->capacity[MAP_proxy_book];
	s->ends_capacity = b->capacity[MAP_proxy_ends];
	s->http_capacity = b->capacity[MAP_proxy_http];
	s->names_capacity = b->capacity[MAP_names];
	s->proxy_events_capacity = b->capacity[MAP_proxy_events];
	s->flows_capacity = b->capacity[MAP_flows];
	s->tcp_capacity = b->capacity[MAP_tcp_totals];
	s->wire_flows_capacity = b->capacity[MAP_wire];
	s->wire_capacity = b->capacity[MAP_wire_totals];
	return err;
}

/* While the proxy folds rows, sums are in neither or in both. */
static int read_folds(struct book *b, uint64_t *ret, bool *ret_alive)
{
	struct proxy_state state;
	__u32 zero = 0;

	if (bpf_map_lookup_elem(b->fds[MAP_proxy_state], &zero, &state) < 0)
		return -errno;
	*ret = state.folds;
	*ret_alive = state.pid && util_now_ns() < state.heartbeat_ns + FOLD_LONGEST_NS &&
		     (kill((pid_t)state.pid, 0) == 0 || errno == EPERM);
	return 0;
}

/* 0; -EAGAIN if rows were folded meanwhile; or another negative errno. */
static int fill_once(struct book *b, unsigned want, struct snapshot *s)
{
	uint64_t before, after;
	bool alive;
	int err = read_folds(b, &before, &alive);

	if (!err)
		err = snapshot_fill(b, want, s);
	if (!err)
		err = read_folds(b, &after, &alive);
	return err ? err : before != after ? -EAGAIN : 0;
}

/* Between two folds.  One that a proxy was killed in has no end: gaps.c tells of it. */
static int fill(struct book *b, unsigned want, struct snapshot **ret)
{
	const struct timespec pause = { 0, FOLD_WAIT_MS * 1000000L };
	int err = -EAGAIN;

	for (int i = 0; i < FOLD_TRIES && err == -EAGAIN; i++) {
		uint64_t folds = 0;
		bool alive = false;

		snapshot_free(*ret);
		*ret = calloc(1, sizeof(**ret));
		if (!*ret)
			return -ENOMEM;
		err = read_folds(b, &folds, &alive);
		if (!err && folds & 1 && alive) {
			(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
			err = -EAGAIN;
		}
		if (!err)
			err = fill_once(b, want, *ret);
	}
	return err;
}

int snapshot_take(struct book *b, unsigned want, struct snapshot **ret)
{
	struct snapshot *s = NULL;
	uint64_t start = util_now_ns();
	int err;

	err = fill(b, want, &s);
	if (err) {
		snapshot_free(s);
		return err;
	}
	s->taken_ns = util_now_ns();
	s->cost_ns = s->taken_ns - start;
	*ret = s;
	return 0;
}

static size_t names_of(const struct snapshot *s, enum tg_name_kind kind)
{
	size_t n = 0;

	for (size_t i = 0; i < s->names_n; i++)
		n += s->names[i].key.kind == kind;
	return n;
}

size_t snapshot_fills(const struct snapshot *s, struct map_fill ret[MAP_FILLS])
{
	const struct map_fill all[] = {
		{ "flows", s->flows_entries, s->flows_capacity },
		{ "tcp_totals", s->tcp_n, s->tcp_capacity },
		{ "records", s->records_bytes[TG_RING_TCP],
		  s->records_capacity[TG_RING_TCP] },
		{ "wire_records", s->records_bytes[TG_RING_WIRE],
		  s->records_capacity[TG_RING_WIRE] },
		{ "wire", s->wire_entries, s->wire_flows_capacity },
		{ "wire_totals", s->wire_n, s->wire_capacity },
		{ "listeners", s->listeners_n, TG_LISTENERS_MAX },
		{ "names", s->names_n, s->names_capacity },
		{ "proxy_book", s->slots_n, s->slots_capacity },
		{ "proxy_ends", s->ends_n, s->ends_capacity },
		{ "proxy_http", s->http_n, s->http_capacity },
		{ "labels", snapshot_labels(s), TG_LABEL_BUCKETS * TG_LABEL_PLACES },
		{ "proxy_events", s->proxy_ring.written - s->proxy_ring.read,
		  s->proxy_events_capacity },
		{ "cgroup_names", names_of(s, TG_NAME_CGROUP), TG_CGROUP_NAMES_MAX },
	};

	memcpy(ret, all, sizeof(all));
	return ARRAY_SIZE(all);
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
	free(s->ends);
	free(s->http);
	free(s->names);
	free(s->nft_before);
	free(s->nft);
	free(s);
}
