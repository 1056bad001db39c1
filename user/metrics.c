/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The exposition.  One function a group of families; a family is one HELP, one TYPE and
 * then its samples, as both formats demand.  In OpenMetrics a counter family is named
 * without the _total of its samples; that is the only difference but for the last line.
 */
#include <inttypes.h>
#include <string.h>

#include "base/util.h"
#include "metrics.h"
#include "version.h"

struct page {
	FILE *out;
	const struct snapshot *s;
	bool openmetrics;
};

static const char *const directions[TG_DIR_MAX] = { "rx", "tx" };

static void family(const struct page *p, const char *name, bool counter, const char *help)
{
	const char *suffix = counter && !p->openmetrics ? "_total" : "";

	fprintf(p->out, "# HELP tollgate_%s%s %s\n# TYPE tollgate_%s%s %s\n", name,
		suffix, help, name, suffix, counter ? "counter" : "gauge");
}

/* A label value; names come from a checked configuration, but the format has its rules.
 */
static void put_value(FILE *out, const char *value)
{
	for (; *value; value++) {
		if (*value == '\n') {
			fputs("\\n", out);
			continue;
		}
		if (*value == '"' || *value == '\\')
			fputc('\\', out);
		fputc(*value, out);
	}
}

/* name{rows' labels, extra} begins a sample; extra is "" or `key="value",...` */
static void row_sample(const struct page *p, const char *name, bool counter,
		       const struct row_key *k, const char *extra)
{
	fprintf(p->out, "tollgate_%s%s{leg=\"%s\"", name, counter ? "_total" : "",
		tg_leg_names[k->leg < TG_LEG_MAX ? k->leg : 0]);
	if (k->leg == TG_LEG_HOST) {
		if (k->role == TG_ROLE_NONE) /* past the cap of rows, or no socket's */
			fputs(",port=\"other\"", p->out);
		else
			fprintf(p->out, ",role=\"%s\",port=\"%u\"",
				k->role == TG_ROLE_ACCEPTED ? "accepted" : "connected",
				k->port);
	} else {
		fputs(",listener=\"", p->out);
		put_value(p->out, snapshot_name(p->s, TG_NAME_LISTENER, k->listener));
		fputs("\",route=\"", p->out);
		put_value(p->out, snapshot_name(p->s, TG_NAME_ROUTE, k->route));
		fputs("\",backend=\"", p->out);
		put_value(p->out, snapshot_name(p->s, TG_NAME_BACKEND, k->backend));
		fputc('"', p->out);
	}
	fprintf(p->out, "%s%s} ", extra[0] ? "," : "", extra);
}

static void simple(const struct page *p, const char *name, bool counter, const char *help,
		   uint64_t value)
{
	family(p, name, counter, help);
	fprintf(p->out, "tollgate_%s%s %" PRIu64 "\n", name, counter ? "_total" : "",
		value);
}

/* --- tcp book --- */

/* Rows and, as one more row without labels, what found no place in a row. */
static const struct tcp_totals *tcp_at(const struct snapshot *s, size_t i,
				       struct row_key *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (i == s->tcp_n)
		return &s->tcp_overflow;
	*ret = s->tcp[i].key;
	return &s->tcp[i].totals;
}

static void tcp_direction(const struct page *p, const char *name, const char *help,
			  size_t rx_offset, size_t tx_offset)
{
	const size_t offsets[] = { rx_offset, tx_offset };
	char extra[32];
	struct row_key key;

	family(p, name, true, help);
	for (size_t i = 0; i <= p->s->tcp_n; i++) {
		const struct tcp_totals *t = tcp_at(p->s, i, &key);

		for (int d = 0; d < TG_DIR_MAX; d++) {
			(void)snprintf(extra, sizeof(extra), "direction=\"%s\"",
				       directions[d]);
			row_sample(p, name, true, &key, extra);
			fprintf(p->out, "%" PRIu64 "\n",
				*(const uint64_t *)((const char *)t + offsets[d]));
		}
	}
}

static void tcp_value(const struct page *p, const char *name, const char *help,
		      size_t offset)
{
	struct row_key key;

	family(p, name, true, help);
	for (size_t i = 0; i <= p->s->tcp_n; i++) {
		const struct tcp_totals *t = tcp_at(p->s, i, &key);

		row_sample(p, name, true, &key, "");
		fprintf(p->out, "%" PRIu64 "\n",
			*(const uint64_t *)((const char *)t + offset));
	}
}

static void tcp_closed_by_reason(const struct page *p)
{
	struct row_key key;
	char extra[96];

	family(p, "connections_closed", true,
	       "TCP sockets closed, by how and by which side ended them.");
	for (size_t i = 0; i <= p->s->tcp_n; i++) {
		const struct tcp_totals *t = tcp_at(p->s, i, &key);

		for (int r = 0; r < TG_CLOSE_MAX; r++) {
			if (t->closed[r] == 0 && r != TG_CLOSE_CLOSED_BY_PEER)
				continue;
			(void)snprintf(extra, sizeof(extra), "reason=\"%s\",side=\"%s\"",
				       tg_close_names[r], tg_close_sides[r]);
			row_sample(p, "connections_closed", true, &key, extra);
			fprintf(p->out, "%" PRIu64 "\n", (uint64_t)t->closed[r]);
		}
	}
}

/* Flows of one row whose opening is not in the totals yet. */
struct pending {
	struct row_key row;
	uint64_t n;
	bool shown;
};

static size_t tally_pending(const struct snapshot *s, struct pending *list, size_t cap)
{
	size_t n = 0, k;

	for (size_t i = 0; i < s->flows_n; i++) {
		if (!s->flows[i].flow.pending)
			continue;
		for (k = 0; k < n; k++) {
			if (memcmp(&list[k].row, &s->flows[i].flow.row,
				   sizeof(list[k].row)) == 0)
				break;
		}
		if (k == cap)
			continue; /* more rows than there are listeners: not ours */
		if (k == n)
			list[n++] = (struct pending){ .row = s->flows[i].flow.row };
		list[k].n++;
	}
	return n;
}

/* Opened and not closed, and those whose opening still waits for its route. */
static void tcp_active(const struct page *p)
{
	const struct snapshot *s = p->s;
	struct pending list[TG_LISTENERS_MAX];
	size_t list_n = tally_pending(s, list, TG_LISTENERS_MAX);
	struct row_key key;

	family(p, "connections_active", false,
	       "TCP sockets open now; route is empty until a connection's route is known.");
	for (size_t i = 0; i <= s->tcp_n; i++) {
		const struct tcp_totals *t = tcp_at(s, i, &key);
		uint64_t closed = tcp_closed(t);
		/* both grow while they are read */
		uint64_t n = t->opened > closed ? t->opened - closed : 0;

		for (size_t k = 0; i < s->tcp_n && k < list_n; k++) {
			if (memcmp(&list[k].row, &key, sizeof(key)) != 0)
				continue;
			n += list[k].n;
			list[k].shown = true;
		}
		row_sample(p, "connections_active", false, &key, "");
		fprintf(p->out, "%" PRIu64 "\n", n);
	}
	for (size_t k = 0; k < list_n; k++) { /* of rows that have no total yet */
		if (list[k].shown)
			continue;
		row_sample(p, "connections_active", false, &list[k].row, "");
		fprintf(p->out, "%" PRIu64 "\n", list[k].n);
	}
}

static void tcp_book(const struct page *p)
{
	tcp_value(p, "connections_opened",
		  "TCP sockets opened: connects tried and accepts.",
		  offsetof(struct tcp_totals, opened));
	tcp_closed_by_reason(p);
	tcp_active(p);
	tcp_direction(p, "tcp_payload_bytes",
		      "Bytes of the TCP streams by the kernel's sockets, each byte once.",
		      offsetof(struct tcp_totals, counts.rx_payload_bytes),
		      offsetof(struct tcp_totals, counts.tx_payload_bytes));
	tcp_direction(p, "tcp_segments", "TCP segments by the kernel's sockets.",
		      offsetof(struct tcp_totals, counts.rx_segments),
		      offsetof(struct tcp_totals, counts.tx_segments));
	tcp_value(p, "tcp_retransmitted_bytes", "Payload bytes that were sent again.",
		  offsetof(struct tcp_totals, counts.tx_retransmitted_bytes));
	tcp_value(p, "tcp_unread_bytes",
		  "Received by a closed socket, never read by the proxy.",
		  offsetof(struct tcp_totals, unread_bytes));
	tcp_value(p, "tcp_unsent_bytes",
		  "Written by the proxy, never sent by its closed socket.",
		  offsetof(struct tcp_totals, unsent_bytes));
	tcp_direction(
		p, "tcp_unclaimed_bytes",
		"Bytes of proxy sockets that closed without the proxy's word (it died).",
		offsetof(struct tcp_totals, unclaimed_rx_bytes),
		offsetof(struct tcp_totals, unclaimed_tx_bytes));
}

/* --- proxy book --- */

static void proxy_direction(const struct page *p, const char *name, const char *help,
			    size_t rx_offset, size_t tx_offset)
{
	const size_t offsets[] = { rx_offset, tx_offset };
	char extra[32];

	family(p, name, true, help);
	for (size_t i = 0; i < p->s->slots_n; i++) {
		for (int d = 0; d < TG_DIR_MAX; d++) {
			(void)snprintf(extra, sizeof(extra), "direction=\"%s\"",
				       directions[d]);
			row_sample(p, name, true, &p->s->slots[i].row, extra);
			fprintf(p->out, "%" PRIu64 "\n",
				*(const uint64_t *)((const char *)&p->s->slots[i] +
						    offsets[d]));
		}
	}
}

static void proxy_value(const struct page *p, const char *name, const char *help,
			size_t offset)
{
	family(p, name, true, help);
	for (size_t i = 0; i < p->s->slots_n; i++) {
		row_sample(p, name, true, &p->s->slots[i].row, "");
		fprintf(p->out, "%" PRIu64 "\n",
			*(const uint64_t *)((const char *)&p->s->slots[i] + offset));
	}
}

static void proxy_ends(const struct page *p, const char *name, const char *help, int from,
		       int to)
{
	char extra[64];

	family(p, name, true, help);
	for (size_t i = 0; i < p->s->slots_n; i++) {
		for (int r = from; r < to; r++) {
			if (!p->s->slots[i].ends[r])
				continue;
			(void)snprintf(extra, sizeof(extra), "reason=\"%s\"",
				       tg_end_names[r]);
			row_sample(p, name, true, &p->s->slots[i].row, extra);
			fprintf(p->out, "%" PRIu64 "\n",
				(uint64_t)p->s->slots[i].ends[r]);
		}
	}
}

static void proxy_book(const struct page *p)
{
	const struct proxy_state *st = &p->s->proxy;
	uint64_t up = st->pid && p->s->taken_ns < st->heartbeat_ns + 5000000000u;

	proxy_value(p, "proxy_connections_opened",
		    "Connections by the proxy's own count.",
		    offsetof(struct proxy_slot, opened));
	proxy_value(p, "proxy_connections_closed",
		    "Connections ended, by the proxy's own count.",
		    offsetof(struct proxy_slot, closed));
	proxy_direction(p, "proxy_payload_bytes",
			"Bytes the proxy read and wrote, PROXY headers not included.",
			offsetof(struct proxy_slot, rx_payload_bytes),
			offsetof(struct proxy_slot, tx_payload_bytes));
	proxy_direction(p, "proxy_header_bytes", "Bytes of PROXY protocol headers.",
			offsetof(struct proxy_slot, rx_header_bytes),
			offsetof(struct proxy_slot, tx_header_bytes));
	proxy_value(p, "proxy_undelivered_bytes",
		    "Bytes read on this leg that could not be written to the other.",
		    offsetof(struct proxy_slot, undelivered_bytes));
	proxy_ends(p, "ended", "Relayed connections by how they ended.", 0,
		   TG_END_FIRST_REFUSED);
	proxy_ends(p, "refused", "Connections that were never relayed, by reason.",
		   TG_END_FIRST_REFUSED, TG_END_MAX);
	simple(p, "proxy_up", false,
	       "1 if the proxy wrote its heartbeat in the last 5 s.", up);
	simple(p, "proxy_starts", true, "Times a proxy has started on these books.",
	       st->starts);
	simple(p, "proxy_workers", false, "Worker threads.", up ? st->workers : 0);
	simple(p, "proxy_accept_paused", false,
	       "Workers that do not accept now because descriptors ran out.",
	       st->accept_paused);
	simple(p, "proxy_accept_pauses", true, "Times a worker stopped accepting.",
	       st->accept_pauses);
	simple(p, "proxy_pipes", false, "Pipes held for relaying.", st->pipes);
	simple(p, "proxy_draining", false,
	       "1 while the proxy waits for its last connections.", st->draining);
	simple(p, "proxy_label_errors", true, "Sockets that could not be labelled.",
	       st->label_errors);
	simple(p, "proxy_slot_errors", true,
	       "Rows that found no slot in the proxy's book.", st->slot_errors);
	family(p, "proxy_reloads", true, "Configurations read again, by result.");
	fprintf(p->out,
		"tollgate_proxy_reloads_total{result=\"ok\"} %" PRIu64 "\n"
		"tollgate_proxy_reloads_total{result=\"refused\"} %" PRIu64 "\n",
		(uint64_t)st->reloads_ok, (uint64_t)st->reloads_failed);
}

/* --- wire and nft books --- */

static void wire_family(const struct page *p, const char *name, const char *help,
			size_t offset)
{
	const struct snapshot *s = p->s;
	char extra[64];

	family(p, name, true, help);
	for (size_t i = 0; i <= s->wire_n; i++) {
		struct row_key key = { .leg = TG_LEG_HOST };
		const struct wire_totals *t = &s->wire_overflow;

		if (i < s->wire_n) {
			key = s->wire[i].key;
			t = &s->wire[i].totals;
		}
		for (int d = 0; d < TG_DIR_MAX; d++) {
			(void)snprintf(extra, sizeof(extra),
				       "direction=\"%s\",protocol=\"%u\"", directions[d],
				       key.proto);
			if (key.proto == 6 || key.proto == 17)
				(void)snprintf(extra, sizeof(extra),
					       "direction=\"%s\",protocol=\"%s\"",
					       directions[d],
					       key.proto == 6 ? "tcp" : "udp");
			if (i == s->wire_n)
				(void)snprintf(extra, sizeof(extra),
					       "direction=\"%s\",protocol=\"overflow\"",
					       directions[d]);
			row_sample(p, name, true, &key, extra);
			fprintf(p->out, "%" PRIu64 "\n",
				*(const uint64_t *)((const char *)&t->dir[d] + offset));
		}
	}
}

static void wire_book(const struct page *p)
{
	wire_family(p, "wire_packets",
		    "Packets on the watched links, segments not aggregates.",
		    offsetof(struct wire_counts, packets));
	wire_family(p, "wire_frame_bytes",
		    "Bytes on the watched links, the headers of every segment included.",
		    offsetof(struct wire_counts, frame_bytes));
	wire_family(p, "wire_payload_bytes",
		    "Payload bytes on the watched links, retransmissions included.",
		    offsetof(struct wire_counts, payload_bytes));
}

/* Every listener id once. */
static bool first_of_id(const struct snapshot *s, size_t i)
{
	for (size_t k = 0; k < i; k++) {
		if (s->listeners[k].val.id == s->listeners[i].val.id)
			return false;
	}
	return true;
}

static void nft_family(const struct page *p, const char *name, const char *help,
		       bool bytes)
{
	static const struct {
		const char *infix, *verdict;
	} kinds[] = { { "", "accepted" },
		      { "-reset", "reset" },
		      { "-refused", "refused" } };
	const struct snapshot *s = p->s;
	const struct nft_counter *c;
	char counter[160];

	family(p, name, true, help);
	for (size_t i = 0; i < s->listeners_n; i++) {
		const char *l =
			snapshot_name(s, TG_NAME_LISTENER, s->listeners[i].val.id);

		for (size_t k = 0; first_of_id(s, i) && k < ARRAY_SIZE(kinds) * 2; k++) {
			const char *dir = directions[k % 2],
				   *verdict = kinds[k / 2].verdict;

			(void)snprintf(counter, sizeof(counter), "%s%s-%s", l,
				       kinds[k / 2].infix, dir);
			c = nft_counter_find(s->nft, s->nft_n, counter);
			if (!c)
				continue;
			fprintf(p->out,
				"tollgate_%s_total{leg=\"downstream\",listener=\"", name);
			put_value(p->out, l);
			fprintf(p->out,
				"\",direction=\"%s\",verdict=\"%s\"} %" PRIu64 "\n", dir,
				verdict, bytes ? c->bytes : c->packets);
		}
	}
	c = nft_counter_find(s->nft, s->nft_n, "refused-rx");
	if (c)
		fprintf(p->out,
			"tollgate_%s_total{leg=\"upstream\",direction=\"rx\","
			"verdict=\"refused\"} %" PRIu64 "\n",
			name, bytes ? c->bytes : c->packets);
}

static void nft_book(const struct page *p)
{
	nft_family(p, "nft_packets",
		   "Packets by nftables, where an aggregate of segments counts once.",
		   false);
	nft_family(p, "nft_bytes",
		   "Bytes by nftables, from the IP header on, per aggregate.", true);
}

/* --- the books themselves --- */

static void residuals(const struct page *p, const struct audit *a)
{
	family(p, "residual_bytes", false,
	       "What the books differ by that no named column explains; 0 or something is wrong.");
	for (int i = 0; i < AUDIT_MAX; i++) {
		if (a->compared[i])
			fprintf(p->out,
				"tollgate_residual_bytes{check=\"%s\"} %" PRIu64 "\n",
				audit_names[i], a->residual[i]);
	}
}

static void maps(const struct page *p)
{
	const struct snapshot *s = p->s;
	const struct {
		const char *name;
		size_t n, max;
	} all[] = {
		{ "flows", s->flows_n, TG_FLOWS_MAX },
		{ "tcp_totals", s->tcp_n, TG_ROWS_MAX },
		{ "wire", s->wire_flows_n, TG_WIRE_FLOWS_MAX },
		{ "wire_totals", s->wire_n, TG_ROWS_MAX },
		{ "listeners", s->listeners_n, TG_LISTENERS_MAX },
		{ "names", s->names_n, TG_NAMES_MAX },
		{ "proxy_book", s->slots_n, TG_SLOTS_MAX },
	};

	family(p, "map_entries", false, "Entries in a map of the books.");
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		fprintf(p->out, "tollgate_map_entries{map=\"%s\"} %zu\n", all[i].name,
			all[i].n);
	family(p, "map_capacity", false, "Entries a map of the books can hold.");
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		fprintf(p->out, "tollgate_map_capacity{map=\"%s\"} %zu\n", all[i].name,
			all[i].max);
	family(p, "faults", true,
	       "Entries that found no place and frames that could not be read, by reason.");
	for (int i = TG_FAULT_NONE + 1; i < TG_FAULT_MAX; i++)
		fprintf(p->out, "tollgate_faults_total{reason=\"%s\"} %" PRIu64 "\n",
			tg_fault_names[i], s->faults[i]);
}

void metrics_write(FILE *out, const struct snapshot *s, const struct audit *a,
		   bool openmetrics)
{
	struct page p = { .out = out, .s = s, .openmetrics = openmetrics };

	family(&p, "build_info", false, "1; the version is the label.");
	fprintf(out, "tollgate_build_info{version=\"%s\"} 1\n", TOLLGATE_VERSION);
	tcp_book(&p);
	proxy_book(&p);
	wire_book(&p);
	nft_book(&p);
	residuals(&p, a);
	maps(&p);
	family(&p, "data_age_seconds", false, "Age of the figures on this page.");
	fprintf(out, "tollgate_data_age_seconds %.6f\n",
		(double)(util_now_ns() - s->taken_ns) / 1e9);
	family(&p, "snapshot_seconds", false, "What reading the books took.");
	fprintf(out, "tollgate_snapshot_seconds %.6f\n", (double)s->cost_ns / 1e9);
	if (openmetrics)
		fputs("# EOF\n", out);
}
