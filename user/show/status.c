/* SPDX-License-Identifier: Apache-2.0 */
/* `tollgate status` and `tollgate audit`, for people and as JSON. */
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "base/util.h"
#include "book/boundary.h"
#include "book/hooks.h"
#include "book/ends.h"
#include "show/flows.h"
#include "show/offenders.h"
#include "show/status.h"

static uint64_t ends(const struct snapshot *s, bool relayed)
{
	uint64_t n = 0;

	for (size_t i = 0; i < s->slots_n; i++) {
		for (unsigned r = 0; r < TG_END_MAX; r++) {
			if (tg_end_is_relayed(r) == relayed)
				n += slot_ends(s, &s->slots[i], (int)r);
		}
	}
	return n;
}

/* Of that reason, if it refused them. */
static uint64_t refusals(const struct snapshot *s, const struct proxy_slot *slot,
			 unsigned reason)
{
	return tg_end_is_relayed(reason) ? 0 : slot_ends(s, slot, (int)reason);
}

static void print_refused(FILE *out, const struct snapshot *s)
{
	fprintf(out, "relayed    %" PRIu64 " connections ended, %" PRIu64 " refused\n",
		ends(s, true), ends(s, false));
	for (size_t i = 0; i < s->slots_n; i++) {
		for (unsigned r = 0; r < TG_END_MAX; r++) {
			if (refusals(s, &s->slots[i], r))
				fprintf(out, "           %s: %s %" PRIu64 "\n",
					snapshot_name(s, TG_NAME_LISTENER,
						      s->slots[i].row.listener),
					tg_end_names[r], refusals(s, &s->slots[i], r));
		}
	}
}

static void print_faults(FILE *out, const struct snapshot *s)
{
	static const char *const rings[TG_RING_MAX] = { "of sockets", "of the link" };

	for (int i = 0; i < TG_RING_MAX; i++) {
		if (s->records_lost[i].records)
			fprintf(out,
				"records    %" PRIu64
				" %s lost (no exporter reads them?)\n",
				(uint64_t)s->records_lost[i].records, rings[i]);
	}
	if (s->proxy_ring.lost)
		fprintf(out,
			"events     %" PRIu64 " of the proxy lost, %" PRIu64
			" of them refusals (no exporter reads them?)\n",
			(uint64_t)s->proxy_ring.lost,
			(uint64_t)s->proxy_ring.refusals_lost);
	for (int i = TG_FAULT_NONE + 1; i < TG_FAULT_MAX; i++) {
		if (s->faults[i])
			fprintf(out, "fault      %s: %" PRIu64 "\n", tg_fault_names[i],
				s->faults[i]);
	}
	if (s->reattached || s->nft_lost)
		fprintf(out,
			"mended     %" PRIu64
			" hooks attached again, nft table or chain made anew "
			"%" PRIu64 " times\n",
			s->reattached, s->nft_lost);
}

static void print_hooks(FILE *out, const struct snapshot *s)
{
	for (size_t i = 0; i < s->hooks_n; i++) {
		const struct hook *h = &s->hooks[i];

		fprintf(out, "hook       %-8s %s: %s%s%s%s\n", tg_hook_names[h->kind],
			h->target,
			!h->attached ? "NOT ATTACHED"
			: h->first   ? "attached"
				     : "attached, but not first",
			h->foreign ? ", beside " : "", h->foreign_names,
			h->checked_ns ? "" : " (never looked at)");
	}
}

static void print_verdict(FILE *out, const struct audit *a)
{
	char sentence[AUDIT_SENTENCE_MAX];

	fprintf(out, "verdict    %s\n", audit_sentence(a, sentence));
	for (unsigned i = 1; i < a->gaps.n; i++)
		fprintf(out, "           %s: %s\n", gap_names[a->gaps.list[i].reason],
			a->gaps.list[i].text);
	if (a->accepted.at_unix)
		fprintf(out, "accepted   %s\n", a->accepted.text);
}

static json_t *gaps_json(const struct gaps *g)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < g->n; i++)
		json_array_append_new(list,
				      json_pack("{s:s, s:s, s:I, s:s}", "reason",
						gap_names[g->list[i].reason], "target",
						g->list[i].target, "count",
						(json_int_t)g->list[i].count, "text",
						g->list[i].text));
	return list;
}

static json_t *accepted_json(const struct accepted *a)
{
	return a->at_unix ? json_pack("{s:I, s:s}", "at_unix", (json_int_t)a->at_unix,
				      "text", a->text)
			  : json_null();
}

static json_t *hooks_json(const struct snapshot *s)
{
	json_t *list = json_array();

	for (size_t i = 0; i < s->hooks_n; i++) {
		const struct hook *h = &s->hooks[i];

		json_array_append_new(
			list,
			json_pack("{s:s, s:s, s:b, s:b, s:I, s:s, s:I, s:I}", "hook",
				  tg_hook_names[h->kind], "target", h->target, "attached",
				  h->attached != 0, "first", h->first != 0, "foreign",
				  (json_int_t)h->foreign, "foreign_names",
				  h->foreign_names, "ifindex", (json_int_t)h->ifindex,
				  "prog_id", (json_int_t)h->prog_id));
	}
	return list;
}

/* Backends that get nothing, because nobody knows where they are. */
static void print_nameless(FILE *out, const struct snapshot *s)
{
	for (size_t i = 0; i < s->slots_n; i++) {
		const struct proxy_slot *slot = &s->slots[i];

		if (slot->row.leg != TG_LEG_UPSTREAM || slot->addresses ||
		    !slot->lookups_failed || !slot_in_force(s, slot))
			continue;
		fprintf(out, "NO ADDRESS %s of route %s: its name cannot be looked up\n",
			snapshot_name(s, TG_NAME_BACKEND, slot->row.backend),
			snapshot_name(s, TG_NAME_ROUTE, slot->row.route));
	}
}

/* How full the tables are; a warning from 80 % on. */
static void print_fill(FILE *out, const struct snapshot *s)
{
	struct map_fill fill[MAP_FILLS];
	size_t n = snapshot_fills(s, fill);

	for (size_t i = 0; i < n; i++) {
		if (fill[i].max && fill[i].n * 5 >= fill[i].max * 4)
			fprintf(out, "FILLING    %s: %zu of %zu\n", fill[i].name,
				fill[i].n, fill[i].max);
	}
}

/* Of a proxy that lives, and keeps its configuration in one. */
static void print_store(FILE *out, const struct snapshot *s)
{
	bool differs;
	enum tg_store kept = snapshot_store(s, &differs);

	if (kept == TG_STORE_NONE)
		return;
	fprintf(out, "state      database, %s%s\n",
		kept == TG_STORE_FINE
			? "can be written"
			: "CANNOT BE WRITTEN: changes are refused, the proxy's log says "
			  "why",
		differs ? "; the file is another than the one that was taken ('tollgate "
			  "diff FILE')"
			: "");
}

static json_t *store_json(const struct snapshot *s)
{
	bool differs;
	enum tg_store kept = snapshot_store(s, &differs);

	if (kept == TG_STORE_NONE)
		return json_null();
	return json_pack("{s:b, s:b}", "ok", kept == TG_STORE_FINE, "file_differs",
			 differs);
}

void status_print(FILE *out, const struct snapshot *s, const struct audit *a,
		  const char *pins)
{
	const struct tcp_totals *t = &s->tcp_all;
	char rx[UTIL_BYTES_STR_MAX], tx[UTIL_BYTES_STR_MAX],
		when[64] = "by another loader";
	time_t loaded = (time_t)s->meta.loaded_unix;
	struct tm tm;

	if (loaded && localtime_r(&loaded, &tm))
		(void)strftime(when, sizeof(when), "since %F %T", &tm);
	print_verdict(out, a);
	fprintf(out, "books      %s, %s, version %s\n", pins, when,
		s->meta.version[0] ? s->meta.version : "?");
	if (s->meta.totals_unix) {
		loaded = (time_t)s->meta.totals_unix;
		if (localtime_r(&loaded, &tm) &&
		    strftime(when, sizeof(when), "%F %T", &tm))
			fprintf(out, "totals     go on from %s\n", when);
	}
	if (!s->meta.wire)
		fputs("wire book  off (load with --device to watch one)\n", out);
	fprintf(out, "tcp book   by %s%s\n",
		s->meta.hook == TG_BY_SOCKOPS ? "sockops" : "tracepoint",
		s->meta.upgrades ? ", upgraded" : "");
	fprintf(out, "nft book   %s%s%s\n",
		s->nft_err || s->nft_n == 0
			? ""
			: nft_family_name(boundary_table(&s->meta).family),
		s->nft_err || s->nft_n == 0 ? "" : " ",
		s->nft_err	? "cannot be read (no privilege?)"
		: s->nft_n == 0 ? "off"
				: s->meta.nft_table);
	if (snapshot_proxy_up(s))
		fprintf(out,
			"proxy      running, pid %" PRIu64 ", %" PRIu64 " workers%s%s\n",
			(uint64_t)s->proxy.pid, (uint64_t)s->proxy.workers,
			s->proxy.draining ? ", draining" : "",
			s->proxy.accept_paused ? ", accepting is paused: no descriptors"
					       : "");
	else
		fputs("proxy      not running\n", out);
	print_store(out, s);
	fprintf(out,
		"sockets    %" PRIu64 " opened, %" PRIu64 " closed, %" PRIu64 " live\n",
		(uint64_t)t->opened, tcp_closed(t), tcp_live(t));
	if (t->adopted)
		fprintf(out, "adopted    %" PRIu64 " older than the books\n",
			(uint64_t)t->adopted);
	fprintf(out, "payload    %s received, %s sent, %" PRIu64 " bytes retransmitted\n",
		util_format_bytes(t->counts.rx_payload_bytes, rx),
		util_format_bytes(t->counts.tx_payload_bytes, tx),
		(uint64_t)t->counts.tx_retransmitted_bytes);
	print_hooks(out, s);
	print_refused(out, s);
	print_nameless(out, s);
	print_fill(out, s);
	offenders_print(out, s);
	print_faults(out, s);
}

/* Of the first hook of this kind, "" if there is none. */
static const char *target_of(const struct snapshot *s, enum tg_hook_kind kind)
{
	for (size_t i = 0; i < s->hooks_n; i++) {
		if (s->hooks[i].kind == kind)
			return s->hooks[i].target;
	}
	return "";
}

static json_t *devices_json(const struct snapshot *s)
{
	json_t *list = json_array();

	for (size_t i = 0; i < s->hooks_n; i++) {
		if (s->hooks[i].kind == TG_HOOK_WIRE_RX)
			json_array_append_new(list, json_string(s->hooks[i].target));
	}
	return list;
}

json_t *status_json(const struct snapshot *s, const struct audit *a)
{
	const struct tcp_totals *t = &s->tcp_all;
	json_t *refused = json_object(), *faults = json_object(), *o;

	for (size_t i = 0; i < s->slots_n; i++) {
		for (unsigned r = 0; r < TG_END_MAX; r++) {
			json_t *old = json_object_get(refused, tg_end_names[r]);

			if (refusals(s, &s->slots[i], r))
				json_object_set_new(
					refused, tg_end_names[r],
					json_integer(
						(json_int_t)refusals(s, &s->slots[i], r) +
						json_integer_value(old)));
		}
	}
	for (int i = TG_FAULT_NONE + 1; i < TG_FAULT_MAX; i++)
		json_object_set_new(faults, tg_fault_names[i],
				    json_integer((json_int_t)s->faults[i]));
	o = json_pack(
		"{s:s, s:I, s:I, s:b, s:{s:b, s:I, s:I, s:b, s:b}, s:{s:I, s:I, s:I, s:I}, "
		"s:{s:I, s:I, s:I}, s:o, s:o, s:o}",
		"version", s->meta.version, "loaded_unix",
		(json_int_t)s->meta.loaded_unix, "wire_devices", (json_int_t)s->meta.wire,
		"nft", s->nft_n > 0, "proxy", "running", snapshot_proxy_up(s), "pid",
		(json_int_t)s->proxy.pid, "workers", (json_int_t)s->proxy.workers,
		"draining", s->proxy.draining != 0, "accept_paused",
		s->proxy.accept_paused != 0, "sockets", "opened", (json_int_t)t->opened,
		"adopted", (json_int_t)t->adopted, "closed", (json_int_t)tcp_closed(t),
		"live", (json_int_t)tcp_live(t), "payload", "rx_payload_bytes",
		(json_int_t)t->counts.rx_payload_bytes, "tx_payload_bytes",
		(json_int_t)t->counts.tx_payload_bytes, "tx_retransmitted_bytes",
		(json_int_t)t->counts.tx_retransmitted_bytes, "refused", refused,
		"offenders", offenders_json(s), "faults", faults);
	json_object_set_new(o, "schema", json_integer(1));
	json_object_set_new(o, "store", store_json(s));
	json_object_set_new(o, "verdict", json_string(audit_verdicts[a->verdict]));
	json_object_set_new(o, "incomplete", gaps_json(&a->gaps));
	json_object_set_new(o, "accepted", accepted_json(&a->accepted));
	json_object_set_new(o, "hooks", hooks_json(s));
	json_object_set_new(o, "cgroup", json_string(target_of(s, TG_HOOK_RELEASE)));
	json_object_set_new(o, "devices", devices_json(s));
	json_object_set_new(o, "netns", json_integer((json_int_t)s->meta.netns_cookie));
	json_object_set_new(o, "at_home", json_boolean(s->at_home));
	json_object_set_new(
		o, "hook",
		json_string(s->meta.hook == TG_BY_SOCKOPS ? "sockops" : "tracepoint"));
	json_object_set_new(o, "nft_table", json_string(s->meta.nft_table));
	json_object_set_new(
		o, "nft_family",
		json_string(nft_family_name(boundary_table(&s->meta).family)));
	json_object_set_new(o, "reattached", json_integer((json_int_t)s->reattached));
	json_object_set_new(o, "nft_table_lost", json_integer((json_int_t)s->nft_lost));
	return o;
}

static const char *const odd_checks[] = {
	[TG_ODD_NONE] = "-",
	[TG_ODD_PROXY_TCP] = "proxy_tcp",
	[TG_ODD_TCP_WIRE] = "tcp_wire",
};

static const char *odd_check(const struct odd *o)
{
	return o->check < ARRAY_SIZE(odd_checks) ? odd_checks[o->check] : "-";
}

static void audit_print_odd(FILE *out, const struct audit *a)
{
	char local[ADDR_STR_MAX], remote[ADDR_STR_MAX];

	if (a->odd_n)
		fprintf(out,
			"%" PRIu64 " connections differed when they closed; the last:\n",
			a->odd_total);
	for (unsigned i = 0; i < a->odd_n; i++) {
		const struct odd *o = &a->odd[i].odd;

		fprintf(out,
			"  %s %s - %s, %s, %.0f s ago: tcp rx %" PRIu64 " tx %" PRIu64
			", other rx %" PRIu64 " tx %" PRIu64 "\n",
			odd_check(o),
			flow_end_format(o->key.local, o->key.local_port, local),
			flow_end_format(o->key.remote, o->key.remote_port, remote),
			a->odd[i].what, a->odd[i].age_seconds,
			(uint64_t)o->tcp_bytes[TG_RX], (uint64_t)o->tcp_bytes[TG_TX],
			(uint64_t)o->other_bytes[TG_RX], (uint64_t)o->other_bytes[TG_TX]);
	}
}

static json_t *audit_json_odd(const struct audit *a)
{
	char local[ADDR_STR_MAX], remote[ADDR_STR_MAX];
	json_t *list = json_array();

	for (unsigned i = 0; i < a->odd_n; i++) {
		const struct odd *o = &a->odd[i].odd;

		json_array_append_new(
			list,
			json_pack("{s:s, s:s, s:s, s:s, s:f, s:I, s:I, s:I, s:I}",
				  "check", odd_check(o), "local",
				  flow_end_format(o->key.local, o->key.local_port, local),
				  "remote",
				  flow_end_format(o->key.remote, o->key.remote_port,
						  remote),
				  "what", a->odd[i].what, "age_seconds",
				  a->odd[i].age_seconds, "tcp_rx_bytes",
				  (json_int_t)o->tcp_bytes[TG_RX], "tcp_tx_bytes",
				  (json_int_t)o->tcp_bytes[TG_TX], "other_rx_bytes",
				  (json_int_t)o->other_bytes[TG_RX], "other_tx_bytes",
				  (json_int_t)o->other_bytes[TG_TX]));
	}
	return list;
}

static void audit_print_rows(FILE *out, const struct audit *a, int check)
{
	for (unsigned k = 0; k < a->lines_n; k++) {
		const struct audit_line *l = &a->lines[k];

		if ((int)l->check != check)
			continue;
		fprintf(out, "  %s%s\n   ", l->residual ? "DIFFERS " : "", l->what);
		for (unsigned c = 0; c < l->columns_n; c++)
			fprintf(out, " %s %" PRIu64, l->columns[c].name,
				l->columns[c].value);
		fputc('\n', out);
	}
}

void audit_print(FILE *out, const struct audit *a, bool rows)
{
	char sentence[AUDIT_SENTENCE_MAX];

	fprintf(out, "%s\n", audit_sentence(a, sentence));
	for (unsigned i = 0; i < a->gaps.n; i++)
		fprintf(out, "  %s %s: %s\n", gap_names[a->gaps.list[i].reason],
			a->gaps.list[i].target, a->gaps.list[i].text);
	for (int i = 0; i < AUDIT_MAX; i++) {
		if (a->compared[i])
			fprintf(out, "%-15s residual %" PRIu64 " bytes\n", audit_names[i],
				a->residual[i]);
		else
			fprintf(out, "%-15s nothing to compare\n", audit_names[i]);
		if (rows || a->residual[i])
			audit_print_rows(out, a, i);
	}
	if (a->odd_book)
		fprintf(out, "odd one out: %s\n", a->odd_book);
	if (rows || a->odd_book)
		audit_print_odd(out, a);
	if (a->accepted.at_unix)
		fprintf(out, "accepted earlier, and not told again: %s\n",
			a->accepted.text);
	if (a->flowtables[0])
		fprintf(out,
			"note: flowtable %s: nft counters stand still for forwarded flows "
			"it takes over\n",
			a->flowtables);
}

json_t *audit_json(const struct audit *a)
{
	json_t *residuals = json_object(), *checks = json_array();

	for (int i = 0; i < AUDIT_MAX; i++)
		json_object_set_new(residuals, audit_names[i],
				    a->compared[i]
					    ? json_integer((json_int_t)a->residual[i])
					    : json_null());
	for (unsigned k = 0; k < a->lines_n; k++) {
		const struct audit_line *l = &a->lines[k];
		json_t *o = json_pack("{s:s, s:s, s:I}", "check", audit_names[l->check],
				      "what", l->what, "residual_bytes",
				      (json_int_t)l->residual);

		for (unsigned c = 0; c < l->columns_n; c++)
			json_object_set_new(
				o, l->columns[c].name,
				json_integer((json_int_t)l->columns[c].value));
		json_array_append_new(checks, o);
	}
	return json_pack("{s:i, s:s, s:o, s:o, s:o, s:o, s:s?, s:I, s:o, s:s}", "schema",
			 1, "verdict", audit_verdicts[a->verdict], "incomplete",
			 gaps_json(&a->gaps), "accepted", accepted_json(&a->accepted),
			 "residual_bytes", residuals, "checks", checks, "odd_book",
			 a->odd_book, "odd_connections_total", (json_int_t)a->odd_total,
			 "odd_connections", audit_json_odd(a), "flowtables",
			 a->flowtables);
}
