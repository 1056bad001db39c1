/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "book/boundary.h"
#include "book/pin.h"
#include "nft/nft.h"

#define MEASURE_TRIES 100
#define LISTENERS_MAX 64 /* as many as the nft book takes */

struct nft_where boundary_table(const struct meta *m)
{
	return (struct nft_where){ .table = m->nft_table,
				   .family = m->wire ? NFT_NETDEV : NFT_INET };
}

static struct nft_where table_of(const struct boundary *b)
{
	return (struct nft_where){ .table = b->table, .family = b->family };
}

int boundary_open(const char *pins, struct boundary *ret)
{
	struct meta meta;
	__u32 zero = 0;
	int fd, err;

	*ret = (struct boundary){
		.names_fd = -1, .listeners_fd = -1, .boundary_fd = -1, .cursors_fd = -1
	};
	err = pin_open(pins, "names", &ret->names_fd);
	if (!err)
		err = pin_open(pins, "listeners", &ret->listeners_fd);
	if (!err)
		err = pin_open(pins, "wire_boundary", &ret->boundary_fd);
	if (!err)
		err = pin_open(pins, "cursors", &ret->cursors_fd);
	if (!err)
		err = pin_open(pins, "meta", &fd);
	if (err)
		return err;
	if (bpf_map_lookup_elem(fd, &zero, &meta) < 0)
		err = -errno;
	else
		memcpy(ret->table, meta.nft_table, sizeof(ret->table));
	ret->family = boundary_table(&meta).family;
	close(fd);
	return err;
}

void boundary_done(struct boundary *b)
{
	int *fds[] = { &b->names_fd, &b->listeners_fd, &b->boundary_fd, &b->cursors_fd };

	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
}

static int name_of(const struct boundary *b, uint32_t id, struct name_val *ret)
{
	struct name_key key = { .kind = TG_NAME_LISTENER, .id = (uint16_t)id };

	return bpf_map_lookup_elem(b->names_fd, &key, ret) < 0 ? -errno : 0;
}

int boundary_listener(const struct boundary *b, const struct listener_key *key,
		      const struct listener_val *val)
{
	__u32 which = TG_CURSOR_LISTENERS;
	__u64 n;
	int r;

	r = val ? bpf_map_update_elem(b->listeners_fd, key, val, BPF_ANY)
		: bpf_map_delete_elem(b->listeners_fd, key);
	if (r < 0)
		return -errno;
	if (bpf_map_lookup_elem(b->cursors_fd, &which, &n) < 0)
		return -errno;
	n++;
	return bpf_map_update_elem(b->cursors_fd, &which, &n, BPF_ANY) < 0 ? -errno : 0;
}

struct known {
	struct name_val names[TG_LISTENERS_MAX];
	size_t n;
};

static bool is_known(const char *listener, void *arg)
{
	const struct known *k = arg;

	for (size_t i = 0; i < k->n; i++) {
		if (strcmp(k->names[i].name, listener) == 0)
			return true;
	}
	return false;
}

/* Counters of listeners whose name was reclaimed: in no rule, and nobody shows them. */
static void prune_counters(const struct boundary *b, const struct nft_where *at)
{
	struct known *k = calloc(1, sizeof(*k));

	for (uint32_t id = 1; k && id < TG_LISTENERS_MAX; id++)
		k->n += name_of(b, id, &k->names[k->n]) == 0;
	if (k) /* what fails now is done the next time */
		(void)nft_counters_prune(at, is_known, k);
	free(k);
}

int boundary_apply(const struct boundary *b)
{
	struct nft_listener list[LISTENERS_MAX];
	struct name_val names[LISTENERS_MAX];
	struct listener_key key, *prev = NULL;
	const struct nft_where at = table_of(b);
	struct listener_val val;
	size_t n = 0;
	int err;

	if (!b->table[0])
		return -ENOENT;
	while (bpf_map_get_next_key(b->listeners_fd, prev, &key) == 0) {
		if (n == LISTENERS_MAX)
			return -E2BIG;
		prev = &key;
		if (bpf_map_lookup_elem(b->listeners_fd, &key, &val) < 0 ||
		    name_of(b, val.id, &names[n]) < 0)
			continue;
		memcpy(list[n].addr.ip, key.addr, 16);
		list[n].addr.port = key.port;
		list[n].dual = (int)val.dual;
		list[n].name = names[n].name;
		n++;
	}
	err = nft_listeners_set(&at, list, n);
	if (!err)
		prune_counters(b, &at);
	return err;
}

static int read_boundary(const struct boundary *b, uint32_t id, struct wire_boundary *ret)
{
	int cpus = libbpf_num_possible_cpus();
	struct wire_boundary *v;
	int err = 0;

	if (cpus < 0)
		return cpus;
	v = calloc((size_t)cpus, sizeof(*v));
	if (!v)
		return -ENOMEM;
	memset(ret, 0, sizeof(*ret));
	if (bpf_map_lookup_elem(b->boundary_fd, &id, v) < 0)
		err = -errno;
	for (int c = 0; !err && c < cpus; c++) {
		for (int d = 0; d < TG_DIR_MAX; d++) {
			ret->dir[d].skbs += v[c].dir[d].skbs;
			ret->dir[d].skb_bytes += v[c].dir[d].skb_bytes;
		}
	}
	free(v);
	return err;
}

static int read_pair(const struct boundary *b, const char *name,
		     struct nft_counter ret[TG_DIR_MAX])
{
	const struct nft_where at = table_of(b);
	struct nft_counter *all;
	size_t n;
	int err;

	err = nft_counters_read(&at, &all, &n);
	if (err)
		return err;
	for (int d = 0; d < TG_DIR_MAX && !err; d++)
		err = nft_listener_sum(all, n, name, d == TG_TX, &ret[d]);
	free(all);
	return err;
}

/*
 * The wire book and nft begin at two moments; a packet in between would be a difference
 * for ever.  Remember it: read nft, wire, nft until nothing moved meanwhile.
 */
int boundary_measure(const struct boundary *b, const struct listener_key *key,
		     const char *name)
{
	struct nft_counter first[TG_DIR_MAX], second[TG_DIR_MAX];
	struct listener_val val;
	struct wire_boundary w;
	int err;

	if (bpf_map_lookup_elem(b->listeners_fd, key, &val) < 0)
		return -errno;
	for (int i = 0; i < MEASURE_TRIES; i++) {
		err = read_pair(b, name, first);
		if (!err)
			err = read_boundary(b, val.id, &w);
		if (!err)
			err = read_pair(b, name, second);
		if (err)
			return err;
		if (memcmp(first, second, sizeof(first)) == 0)
			break;
	}
	for (int d = 0; d < TG_DIR_MAX; d++) {
		val.before[d].skbs = (int64_t)(second[d].packets - w.dir[d].skbs);
		val.before[d].skb_bytes = (int64_t)(second[d].bytes - w.dir[d].skb_bytes);
	}
	return bpf_map_update_elem(b->listeners_fd, key, &val, BPF_EXIST) < 0 ? -errno
									      : 0;
}

int boundary_measure_all(const struct boundary *b)
{
	struct listener_key key, *prev = NULL;
	struct listener_val val;
	struct name_val name;
	int err = 0, one;

	while (bpf_map_get_next_key(b->listeners_fd, prev, &key) == 0) {
		prev = &key;
		if (bpf_map_lookup_elem(b->listeners_fd, &key, &val) < 0 ||
		    name_of(b, val.id, &name) < 0)
			continue;
		one = boundary_measure(b, &key, name.name);
		err = err ? err : one;
	}
	return err;
}
