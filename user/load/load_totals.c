/* SPDX-License-Identifier: Apache-2.0 */
/* load --continue: the totals of an earlier load into the maps of a new one. */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/log.h"
#include "base/util.h"
#include "bpf/abi.h"
#include "load/load_totals.h"
#include "load/totals.h"

struct filling {
	struct programs *programs;
	const char *path;
	size_t cpus;
	void *values;		       /* one of each CPU, of the largest kind */
	json_t *ids[TG_NAME_KIND_MAX]; /* name to id */
	uint64_t host_rows;	       /* of the map that is being filled */
	struct tcp_totals all;
};

#define VALUE_BYTES (sizeof(struct tcp_totals) + sizeof(struct wire_totals))

static int refuse(const struct filling *f, const char *what)
{
	log_error("--continue %s: %s", f->path, what);
	return -EINVAL;
}

static int update(const struct filling *f, const char *map, const void *key,
		  const void *value)
{
	int fd = bpf_map__fd(programs_map(f->programs, map));

	if (bpf_map_update_elem(fd, key, value, BPF_ANY) == 0)
		return 0;
	if (errno != E2BIG)
		return log_errno(-errno, "--continue: cannot write %s", map);
	log_error(
		"--continue %s: more than %s has room for; --size %s=N or --config FILE "
		"makes more",
		f->path, map, strcmp(map, "proxy_ends") == 0 ? "proxy_book" : map);
	return -E2BIG;
}

/* Of no more than n numbers. */
static bool is_list(const json_t *v, size_t n)
{
	if (!json_is_array(v) || json_array_size(v) > n)
		return false;
	for (size_t i = 0; i < json_array_size(v); i++) {
		if (!json_is_integer(json_array_get(v, i)))
			return false;
	}
	return true;
}

/* The counters into *base; a key that is not known would be lost, so it is refused. */
static int read_counters(const struct filling *f, json_t *o,
			 const struct counted_field *fields, void *base)
{
	const char *key;
	json_t *v;

	if (!json_is_object(o))
		return refuse(f, "a row has no counters");
	json_object_foreach(o, key, v)
	{
		const struct counted_field *at = fields;
		uint64_t *out;

		while (at->name && strcmp(at->name, key) != 0)
			at++;
		if (!at->name || (at->n == 1 && !json_is_integer(v)) ||
		    (at->n > 1 && !is_list(v, at->n))) {
			log_error("--continue %s: %s is no counter of this version",
				  f->path, key);
			return -EINVAL;
		}
		out = (void *)((char *)base + at->at);
		if (at->n == 1)
			*out = (uint64_t)json_integer_value(v);
		for (size_t i = 0; at->n > 1 && i < json_array_size(v); i++)
			out[i] = (uint64_t)json_integer_value(json_array_get(v, i));
	}
	return 0;
}

/* 0 for "", and an id of its own for each name else. */
static int id_of(struct filling *f, int kind, const char *name, uint16_t *ret)
{
	struct name_key key = { .kind = (uint16_t)kind };
	struct name_val val = { { 0 } };
	json_t *known;

	*ret = 0;
	if (!name || strlen(name) >= sizeof(val.name))
		return refuse(
			f, "a row without the names of its listener, route and backend");
	if (!name[0])
		return 0;
	known = json_object_get(f->ids[kind], name);
	if (known) {
		*ret = (uint16_t)json_integer_value(known);
		return 0;
	}
	key.id = (uint16_t)(json_object_size(f->ids[kind]) + 1);
	if (key.id == UINT16_MAX ||
	    (kind == TG_NAME_LISTENER && key.id >= TG_LISTENERS_MAX) ||
	    (kind == TG_NAME_CGROUP && key.id > TG_CGROUP_NAMES_MAX))
		return refuse(f, "more names than there are ids");
	memcpy(val.name, name, strlen(name));
	json_object_set_new(f->ids[kind], name, json_integer(key.id));
	*ret = key.id;
	return update(f, "names", &key, &val);
}

static int read_row(struct filling *f, json_t *o, struct row_key *ret)
{
	const char *listener, *route, *backend, *leg, *cgroup = "";
	int role, port, proto, err, i = 0;

	memset(ret, 0, sizeof(*ret));
	if (json_unpack(o, "{s:s, s:s, s:s, s:s, s:i, s:i, s:i, s?s}", "listener",
			&listener, "route", &route, "backend", &backend, "leg", &leg,
			"role", &role, "port", &port, "protocol", &proto, "cgroup",
			&cgroup) < 0)
		return refuse(f, "a row lacks a part of its name");
	while (i < TG_LEG_MAX && strcmp(tg_leg_names[i], leg) != 0)
		i++;
	if (i == TG_LEG_MAX || role < 0 || role > TG_ROLE_CONNECTED || port < 0 ||
	    port > UINT16_MAX || proto < 0 || proto > UINT8_MAX)
		return refuse(f,
			      "a row with a leg, role, port or protocol that none has");
	ret->leg = (uint8_t)i;
	ret->role = (uint8_t)role;
	ret->port = (uint16_t)port;
	ret->proto = (uint8_t)proto;
	err = id_of(f, TG_NAME_LISTENER, listener, &ret->listener);
	if (!err)
		err = id_of(f, TG_NAME_ROUTE, route, &ret->route);
	if (!err && ret->leg == TG_LEG_HOST)
		return id_of(f, TG_NAME_CGROUP, cgroup, &ret->backend);
	return err ? err : id_of(f, TG_NAME_BACKEND, backend, &ret->backend);
}

static void add_all(struct filling *f, const struct tcp_totals *t)
{
	const uint64_t *in = (const void *)t;
	uint64_t *out = (void *)&f->all;

	for (size_t i = 0; i < sizeof(*t) / 8; i++)
		out[i] += in[i];
}

/* Per CPU: all of it is the first one's. */
static int fill_row(struct filling *f, json_t *o, const char *map,
		    const struct counted_field *fields)
{
	struct row_key key;
	int err;

	memset(f->values, 0, f->cpus * VALUE_BYTES);
	err = read_row(f, o, &key);
	if (!err)
		err = read_counters(f, json_object_get(o, "counters"), fields, f->values);
	if (!err)
		err = update(f, map, &key, f->values);
	if (err)
		return err;
	f->host_rows += key.leg == TG_LEG_HOST || key.leg == TG_LEG_FORWARDED;
	if (fields == counts_tcp)
		add_all(f, f->values);
	return 0;
}

static int fill_rows(struct filling *f, json_t *list, const char *map,
		     const struct counted_field *fields, uint32_t cursor)
{
	json_t *o;
	size_t i;
	int err = json_is_array(list) ? 0 : refuse(f, "no list of rows");

	f->host_rows = 0;
	json_array_foreach(list, i, o)
	{
		err = fill_row(f, o, map, fields);
		if (err)
			return err;
	}
	return err ? err : update(f, "cursors", &cursor, &f->host_rows);
}

static int fill_one(struct filling *f, json_t *o, const char *map,
		    const struct counted_field *fields)
{
	uint32_t zero = 0;
	int err;

	memset(f->values, 0, f->cpus * VALUE_BYTES);
	err = read_counters(f, o, fields, f->values);
	if (!err && fields == counts_tcp)
		add_all(f, f->values);
	return err ? err : update(f, map, &zero, f->values);
}

/* The counter `ends`, taken out of `counters`, into the next element of its map. */
static int fill_ends(struct filling *f, json_t *counters, struct proxy_slot *slot,
		     uint32_t *last)
{
	struct proxy_ends ends = { .used = TG_SLOT_USED };
	json_t *list = json_object_get(counters, "ends"), *only;
	int err;

	if (!list && slot->row.leg != TG_LEG_DOWNSTREAM)
		return 0;
	only = list ? json_pack("{s:O}", "ends", list) : json_object();
	err = read_counters(f, only, counts_ends, &ends);
	json_decref(only);
	json_object_del(counters, "ends");
	slot->ends = ++*last;
	return err ? err : update(f, "proxy_ends", last, &ends);
}

/* What is said of HTTP, if anything is. */
static int fill_http(struct filling *f, json_t *counters, struct proxy_slot *slot,
		     uint32_t *last)
{
	static struct http_book book; /* too large for a stack; all of it is written */
	int err;

	if (!counters)
		return 0;
	memset(&book, 0, sizeof(book));
	book.used = TG_SLOT_USED;
	err = read_counters(f, counters, counts_http, &book);
	slot->http = ++*last;
	return err ? err : update(f, "proxy_http", last, &book);
}

static int fill_slots(struct filling *f, json_t *list)
{
	struct proxy_slot slot = { .used = TG_SLOT_USED };
	uint32_t index = 0, ends = 0, http = 0;
	json_t *o;
	size_t i;
	int err = json_is_array(list) ? 0 : refuse(f, "no list of the proxy's rows");

	if (!err) /* the first is nobody's (writer.c) */
		err = update(f, "proxy_book", &index, &slot);
	json_array_foreach(list, i, o)
	{
		index = (uint32_t)i + 1;
		memset(&slot, 0, sizeof(slot));
		slot.used = TG_SLOT_USED;
		err = read_row(f, o, &slot.row);
		if (!err)
			err = fill_ends(f, json_object_get(o, "counters"), &slot, &ends);
		if (!err)
			err = read_counters(f, json_object_get(o, "counters"),
					    counts_slot, &slot);
		if (!err)
			err = fill_http(f, json_object_get(o, "http"), &slot, &http);
		if (!err)
			err = update(f, "proxy_book", &index, &slot);
		if (err)
			return err;
	}
	return err;
}

static int fill_faults(struct filling *f, json_t *o)
{
	int err = 0;

	for (uint32_t i = 0; i < TG_FAULT_MAX && !err; i++) {
		memset(f->values, 0, f->cpus * VALUE_BYTES);
		*(uint64_t *)f->values = (uint64_t)json_integer_value(
			json_object_get(o, tg_fault_names[i]));
		err = update(f, "faults", &i, f->values);
	}
	return err;
}

static int fill(struct filling *f, json_t *o, uint64_t *ret_since)
{
	uint32_t zero = 0;
	int err;

	if (json_integer_value(json_object_get(o, "schema")) != TOTALS_SCHEMA)
		return refuse(
			f, "not written by 'tollgate export-totals', or by a later one");
	*ret_since = (uint64_t)json_integer_value(json_object_get(o, "since_unix"));
	err = fill_rows(f, json_object_get(o, "tcp"), "tcp_totals", counts_tcp,
			TG_CURSOR_ROWS_TCP);
	if (!err)
		err = fill_rows(f, json_object_get(o, "wire"), "wire_totals", counts_wire,
				TG_CURSOR_ROWS_WIRE);
	if (!err)
		err = fill_one(f, json_object_get(o, "tcp_overflow"), "tcp_overflow",
			       counts_tcp);
	if (!err)
		err = fill_one(f, json_object_get(o, "wire_overflow"), "wire_overflow",
			       counts_wire);
	if (!err)
		err = fill_slots(f, json_object_get(o, "proxy"));
	if (!err)
		err = fill_faults(f, json_object_get(o, "faults"));
	if (err)
		return err;
	memset(f->values, 0, f->cpus * VALUE_BYTES);
	memcpy(f->values, &f->all, sizeof(f->all));
	return update(f, "tcp_all", &zero, f->values);
}

int load_totals(struct programs *p, const char *path, uint64_t *ret_since)
{
	struct filling f = { .programs = p, .path = path };
	int cpus = libbpf_num_possible_cpus(), err = -ENOMEM;
	json_error_t why;
	json_t *o;

	o = json_load_file(path, 0, &why);
	if (!o) {
		log_error("--continue %s: line %d: %s", path, why.line, why.text);
		return -EINVAL;
	}
	f.cpus = cpus > 0 ? (size_t)cpus : 1;
	f.values = calloc(f.cpus, VALUE_BYTES);
	for (int i = 0; i < TG_NAME_KIND_MAX; i++)
		f.ids[i] = json_object();
	if (f.values)
		err = fill(&f, o, ret_since);
	for (int i = 0; i < TG_NAME_KIND_MAX; i++)
		json_decref(f.ids[i]);
	free(f.values);
	json_decref(o);
	return err;
}
