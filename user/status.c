/* SPDX-License-Identifier: Apache-2.0 */
/* `tollgate status` and `tollgate audit`, for people and as JSON. */
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "base/util.h"
#include "flows.h"
#include "offenders.h"
#include "status.h"

static uint64_t ends(const struct snapshot *s, int from, int to)
{
	uint64_t n = 0;

	for (size_t i = 0; i < s->slots_n; i++) {
		for (int r = from; r < to; r++)
			n += slot_ends(&s->slots[i], r);
	}
	return n;
}

static void print_refused(FILE *out, const struct snapshot *s)
{
	fprintf(out, "relayed    %" PRIu64 " connections ended, %" PRIu64 " refused\n",
		ends(s, 0, TG_END_FIRST_REFUSED),
		ends(s, TG_END_FIRST_REFUSED, TG_END_MAX));
	for (size_t i = 0; i < s->slots_n; i++) {
		for (int r = TG_END_FIRST_REFUSED; r < TG_END_MAX; r++) {
			if (slot_ends(&s->slots[i], r))
				fprintf(out, "           %s: %s %" PRIu64 "\n",
					snapshot_name(s, TG_NAME_LISTENER,
						      s->slots[i].row.listener),
					tg_end_names[r], slot_ends(&s->slots[i], r));
		}
	}
}

static void print_faults(FILE *out, const struct snapshot *s)
{
	if (s->records_lost.records)
		fprintf(out, "records    %" PRIu64 " lost (no exporter reads them?)\n",
			(uint64_t)s->records_lost.records);
	if (s->proxy_ring.lost)
		fprintf(out,
			"events     %" PRIu64
			" of the proxy lost (no exporter reads them?)\n",
			(uint64_t)s->proxy_ring.lost);
	for (int i = TG_FAULT_NONE + 1; i < TG_FAULT_MAX; i++) {
		if (s->faults[i])
			fprintf(out, "fault      %s: %" PRIu64 "\n", tg_fault_names[i],
				s->faults[i]);
	}
}

void status_print(FILE *out, const struct snapshot *s, const char *pins)
{
	const struct tcp_totals *t = &s->tcp_all;
	char rx[UTIL_BYTES_STR_MAX], tx[UTIL_BYTES_STR_MAX],
		when[64] = "by another loader";
	time_t loaded = (time_t)s->meta.loaded_unix;
	struct tm tm;

	if (loaded && localtime_r(&loaded, &tm))
		(void)strftime(when, sizeof(when), "since %F %T", &tm);
	fprintf(out, "books      %s, %s\n", pins, when);
	if (s->meta.wire)
		fprintf(out, "wire book  on %u device%s\n", s->meta.wire,
			s->meta.wire == 1 ? "" : "s");
	else
		fputs("wire book  off (load with --device to watch one)\n", out);
	fprintf(out, "tcp book   by %s%s\n",
		s->meta.hook == TG_HOOK_SOCKOPS ? "sockops" : "tracepoint",
		s->meta.upgrades ? ", upgraded" : "");
	fprintf(out, "nft book   %s\n",
		s->nft_err	? "cannot be read (no privilege?)"
		: s->nft_n == 0 ? "off"
				: "on");
	if (snapshot_proxy_up(s))
		fprintf(out,
			"proxy      running, pid %" PRIu64 ", %" PRIu64 " workers%s%s\n",
			(uint64_t)s->proxy.pid, (uint64_t)s->proxy.workers,
			s->proxy.draining ? ", draining" : "",
			s->proxy.accept_paused ? ", accepting is paused: no descriptors"
					       : "");
	else
		fputs("proxy      not running\n", out);
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
	print_refused(out, s);
	offenders_print(out, s);
	print_faults(out, s);
}

json_t *status_json(const struct snapshot *s)
{
	const struct tcp_totals *t = &s->tcp_all;
	json_t *refused = json_object(), *faults = json_object(), *o;

	for (size_t i = 0; i < s->slots_n; i++) {
		for (int r = TG_END_FIRST_REFUSED; r < TG_END_MAX; r++) {
			json_t *old = json_object_get(refused, tg_end_names[r]);

			if (slot_ends(&s->slots[i], r))
				json_object_set_new(
					refused, tg_end_names[r],
					json_integer(
						(json_int_t)slot_ends(&s->slots[i], r) +
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

void audit_print(FILE *out, const struct audit *a)
{
	for (int i = 0; i < AUDIT_MAX; i++) {
		if (a->compared[i])
			fprintf(out, "%-15s residual %" PRIu64 " bytes\n", audit_names[i],
				a->residual[i]);
		else
			fprintf(out, "%-15s nothing to compare\n", audit_names[i]);
		for (unsigned k = 0; k < a->lines_n; k++) {
			const struct audit_line *l = &a->lines[k];

			if ((int)l->check != i)
				continue;
			fprintf(out, "  %s%s\n   ", l->residual ? "DIFFERS " : "",
				l->what);
			for (unsigned c = 0; c < l->columns_n; c++)
				fprintf(out, " %s %" PRIu64, l->columns[c].name,
					l->columns[c].value);
			fputc('\n', out);
		}
	}
	if (a->odd_book)
		fprintf(out, "odd one out: %s\n", a->odd_book);
	audit_print_odd(out, a);
	if (a->flowtables[0])
		fprintf(out,
			"note: flowtable %s: nft counters stand still for forwarded flows "
			"it takes over\n",
			a->flowtables);
	if (a->nft_err)
		fprintf(out, "the nft book cannot be read: %s\n", strerror(-a->nft_err));
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
	return json_pack("{s:o, s:o, s:s?, s:I, s:o, s:s}", "residual_bytes", residuals,
			 "checks", checks, "odd_book", a->odd_book,
			 "odd_connections_total", (json_int_t)a->odd_total,
			 "odd_connections", audit_json_odd(a), "flowtables",
			 a->flowtables);
}
