/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>

#include "base/util.h"
#include "book/dump.h"
#include "book/name_ids.h"

#define IDS 65536

static uint32_t ids_max(enum tg_name_kind kind)
{
	return kind == TG_NAME_LISTENER ? TG_LISTENERS_MAX
	       : kind == TG_NAME_CGROUP ? TG_CGROUP_NAMES_MAX + 1
					: IDS;
}

static struct named **bucket(const struct names *n, enum tg_name_kind kind,
			     const char *name)
{
	uint64_t h = util_hash(name, strlen(name)) + (uint64_t)kind * 0x9e3779b97f4a7c15u;

	return &n->buckets[(h ^ h >> 32) % NAMES_BUCKETS];
}

static bool is_known(uint32_t kind)
{
	return kind < TG_NAME_KIND_MAX;
}

static int add(struct names *n, const struct name_key *key, const struct name_val *val)
{
	struct named *new = malloc(sizeof(*new)), **b;

	if (!new)
		return -ENOMEM;
	new->key = *key;
	new->val = *val;
	new->val.name[sizeof(new->val.name) - 1] = '\0';
	b = bucket(n, (enum tg_name_kind)key->kind, new->val.name);
	new->next = *b;
	*b = new;
	n->used[key->kind][key->id] = 1;
	n->n++;
	return 0;
}

static int read_all(struct names *n)
{
	struct dump d;
	int err = map_dump(n->fd, sizeof(struct name_key), sizeof(struct name_val), &d);

	if (err)
		return err;
	for (size_t i = 0; i < d.n && !err; i++) {
		const struct name_key *key = &((struct name_key *)d.keys)[i];

		if (!is_known(key->kind))
			continue;
		err = add(n, key, &((struct name_val *)d.values)[i]);
		if (key->id > n->last[key->kind])
			n->last[key->kind] = key->id;
	}
	free(d.keys);
	free(d.values);
	return err;
}

int names_open(int fd, struct names *ret)
{
	struct bpf_map_info info = { 0 };
	__u32 len = sizeof(info);
	int err = 0;

	*ret = (struct names){ .fd = fd };
	if (bpf_obj_get_info_by_fd(fd, &info, &len) < 0)
		return -errno;
	ret->max = info.max_entries;
	ret->buckets = calloc(NAMES_BUCKETS, sizeof(struct named *));
	if (!ret->buckets)
		err = -ENOMEM;
	for (int kind = 0; kind < TG_NAME_KIND_MAX && !err; kind++) {
		ret->used[kind] = calloc(IDS, 1);
		if (!ret->used[kind])
			err = -ENOMEM;
	}
	return err ? err : read_all(ret);
}

void names_close(struct names *n)
{
	for (size_t i = 0; n->buckets && i < NAMES_BUCKETS; i++) {
		while (n->buckets[i]) {
			struct named *gone = n->buckets[i];

			n->buckets[i] = gone->next;
			free(gone);
		}
	}
	free(n->buckets);
	for (int kind = 0; kind < TG_NAME_KIND_MAX; kind++)
		free(n->used[kind]);
	*n = (struct names){ .fd = -1 };
}

/* As the map holds it. */
static const char *cut(const char *name, struct name_val *ret)
{
	memset(ret, 0, sizeof(*ret));
	(void)snprintf(ret->name, sizeof(ret->name), "%s", name);
	return ret->name;
}

int names_find(const struct names *n, enum tg_name_kind kind, const char *name,
	       uint16_t *ret)
{
	struct name_val val;
	const char *held = cut(name, &val);

	for (const struct named *i = *bucket(n, kind, held); i; i = i->next) {
		if (i->key.kind == kind && strcmp(i->val.name, held) == 0) {
			*ret = i->key.id;
			return 0;
		}
	}
	return -ENOENT;
}

/* The next one that is free, beginning behind the last that was given. */
static int next_id(const struct names *n, enum tg_name_kind kind, uint16_t *ret)
{
	uint32_t max = ids_max(kind), id = n->last[kind];

	for (uint32_t tried = 1; tried < max; tried++) {
		id = id + 1 < max ? id + 1 : 1;
		if (!n->used[kind][id]) {
			*ret = (uint16_t)id;
			return 0;
		}
	}
	return -ENOSPC;
}

int names_get(struct names *n, enum tg_name_kind kind, const char *name, uint16_t *ret)
{
	struct name_key key = { .kind = (uint16_t)kind };
	struct name_val val;
	int err;

	if (names_find(n, kind, name, ret) == 0)
		return 0;
	(void)cut(name, &val);
	for (;;) {
		err = next_id(n, kind, &key.id);
		if (err)
			return err;
		if (bpf_map_update_elem(n->fd, &key, &val, BPF_NOEXIST) == 0)
			break;
		if (errno != EEXIST)
			return errno == E2BIG ? -ENOSPC : -errno;
		n->used[kind][key.id] = 1; /* by another proxy, meanwhile */
	}
	n->last[kind] = key.id;
	*ret = key.id;
	return add(n, &key, &val);
}

size_t names_forget(struct names *n, enum tg_name_kind kind,
		    bool (*keep)(uint16_t id, void *arg), void *arg)
{
	size_t gone_n = 0;

	for (size_t i = 0; i < NAMES_BUCKETS; i++) {
		for (struct named **p = &n->buckets[i]; *p;) {
			struct named *name = *p;

			if (name->key.kind != kind || keep(name->key.id, arg)) {
				p = &name->next;
				continue;
			}
			(void)bpf_map_delete_elem(n->fd, &name->key);
			n->used[kind][name->key.id] = 0;
			n->n--;
			*p = name->next;
			free(name);
			gone_n++;
		}
	}
	return gone_n;
}
