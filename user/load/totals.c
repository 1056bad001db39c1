/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/util.h"
#include "load/totals.h"

#define WAIT_TRIES 25
#define WAIT_NS	   200000000

static json_t *field_json(const void *base, const struct counted_field *f)
{
	const uint64_t *v = (const void *)((const char *)base + f->at);
	json_t *list;

	if (f->n == 1)
		return json_integer((json_int_t)*v);
	list = json_array();
	for (size_t i = 0; i < f->n; i++)
		json_array_append_new(list, json_integer((json_int_t)v[i]));
	return list;
}

static bool is_zero(const void *base, const struct counted_field *f)
{
	const uint64_t *v = (const void *)((const char *)base + f->at);

	for (size_t i = 0; i < f->n; i++) {
		if (v[i])
			return false;
	}
	return true;
}

static json_t *counters(const void *base, const struct counted_field *fields)
{
	json_t *o = json_object();

	for (const struct counted_field *f = fields; f->name; f++) {
		if (!is_zero(base, f))
			json_object_set_new(o, f->name, field_json(base, f));
	}
	return o;
}

static json_t *row_json(const struct snapshot *s, const struct row_key *k,
			const void *base, const struct counted_field *fields)
{
	bool host = k->leg == TG_LEG_HOST;

	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:i, s:i, s:i, s:o}", "listener",
			 snapshot_name(s, TG_NAME_LISTENER, k->listener), "route",
			 snapshot_name(s, TG_NAME_ROUTE, k->route), "backend",
			 host ? "" : snapshot_name(s, TG_NAME_BACKEND, k->backend),
			 "cgroup",
			 host ? snapshot_name(s, TG_NAME_CGROUP, k->backend) : "", "leg",
			 tg_leg_names[k->leg], "role", (int)k->role, "port", (int)k->port,
			 "protocol", (int)k->proto, "counters", counters(base, fields));
}

/* What is still open ends where nobody counts. */
static json_t *tcp_json(const struct snapshot *s, const struct tcp_row *row)
{
	struct tcp_totals t = row->totals;

	t.left += tcp_live(&row->totals);
	return row_json(s, &row->key, &t, counts_tcp);
}

/* Its ends are a counter among the others. */
static json_t *slot_json(const struct snapshot *s, const struct proxy_slot *slot)
{
	json_t *row = row_json(s, &slot->row, slot, counts_slot);
	json_t *ends = slot->ends ? counters(&s->ends[slot->ends], counts_ends) : NULL;

	if (ends)
		json_object_update(json_object_get(row, "counters"), ends);
	json_decref(ends);
	if (slot->http)
		json_object_set_new(row, "http",
				    counters(slot_http(s, slot), counts_http));
	return row;
}

static json_t *overflow_json(const struct tcp_totals *overflow)
{
	struct tcp_totals t = *overflow;

	t.left += tcp_live(overflow);
	return counters(&t, counts_tcp);
}

/* 0; a row that cannot be written would be a counter that goes back. */
static int append(json_t *list, json_t *row)
{
	return json_array_append_new(list, row) < 0 ? -1 : 0;
}

static json_t *document(const struct snapshot *s)
{
	int bad = 0;
	json_t *tcp = json_array(), *wire = json_array(), *proxy = json_array(),
	       *faults = json_object();

	for (size_t i = 0; i < s->tcp_n; i++)
		bad |= append(tcp, tcp_json(s, &s->tcp[i]));
	for (size_t i = 0; i < s->wire_n; i++)
		bad |= append(wire, row_json(s, &s->wire[i].key, &s->wire[i].totals,
					     counts_wire));
	for (size_t i = 0; i < s->slots_n; i++) {
		if (s->slots[i].row.leg != TG_LEG_HOST) /* the first is nobody's */
			bad |= append(proxy, slot_json(s, &s->slots[i]));
	}
	for (int i = 0; i < TG_FAULT_MAX; i++) {
		if (s->faults[i])
			json_object_set_new(faults, tg_fault_names[i],
					    json_integer((json_int_t)s->faults[i]));
	}
	return json_pack("{s:i, s:s, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o}", "schema",
			 TOTALS_SCHEMA, "version", s->meta.version, "since_unix",
			 (json_int_t)(s->meta.totals_unix ? s->meta.totals_unix
							  : s->meta.loaded_unix),
			 "exported_unix", (json_int_t)time(NULL), "tcp", tcp,
			 "tcp_overflow", overflow_json(&s->tcp_overflow), "wire", wire,
			 "wire_overflow", counters(&s->wire_overflow, counts_wire),
			 "proxy", proxy, "faults", faults);
}

/* Beside it, then in its place: who reads it finds all of the old or all of the new. */
static int write_file(json_t *o, const char *path)
{
	char part[4096];
	FILE *out = stdout;
	int err = 0;

	if (path && (size_t)snprintf(part, sizeof(part), "%s.part", path) >= sizeof(part))
		return -ENAMETOOLONG;
	if (path)
		out = fopen(part, "we");
	if (!out)
		return -errno;
	if (json_dumpf(o, out, JSON_INDENT(1) | JSON_SORT_KEYS) < 0 ||
	    fputc('\n', out) == EOF || fflush(out) != 0 ||
	    (path && fsync(fileno(out)) < 0))
		err = errno ? -errno : -EIO;
	if (path && fclose(out) != 0 && !err)
		err = -errno;
	if (path && !err && rename(part, path) < 0)
		err = -errno;
	if (path && err)
		(void)unlink(part);
	return err;
}

/* Connections of the proxy that TCP has not ended yet. */
static uint64_t still_open(const struct snapshot *s)
{
	uint64_t n = 0;

	for (size_t i = 0; i < s->tcp_n; i++) {
		if (s->tcp[i].key.leg != TG_LEG_HOST)
			n += tcp_live(&s->tcp[i].totals);
	}
	return n;
}

/* At rest; what does not come to rest is named. */
static int take(struct book *b, struct snapshot **ret)
{
	static const struct timespec pause = { .tv_nsec = WAIT_NS };
	int err;

	for (int i = 0;; i++) {
		err = snapshot_take(b, 0, ret);
		if (err)
			return log_errno(err, "export-totals: cannot read the books");
		if (snapshot_proxy_up(*ret)) {
			log_error("export-totals: the proxy runs (pid %llu): stop it "
				  "first, or what it goes on to carry is in no book",
				  (unsigned long long)(*ret)->proxy.pid);
			snapshot_free(*ret);
			return -EBUSY;
		}
		if (!still_open(*ret) || i == WAIT_TRIES)
			break;
		snapshot_free(*ret);
		(void)nanosleep(&pause, NULL);
	}
	if (still_open(*ret))
		log_warn(
			"export-totals: %llu connections of the proxy are still open: how "
			"they end will be in no book",
			(unsigned long long)still_open(*ret));
	return 0;
}

int totals_export(struct book *b, const char *path)
{
	struct snapshot *s;
	json_t *o;
	int err = take(b, &s);

	if (err)
		return err;
	o = document(s);
	snapshot_free(s);
	if (!o)
		return log_errno(-ENOMEM, "export-totals");
	err = write_file(o, path);
	json_decref(o);
	return err ? log_errno(err, "export-totals: cannot write %s", path ? path : "")
		   : 0;
}
