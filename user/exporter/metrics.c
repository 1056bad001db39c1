/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The exposition.  One function a group of families; a family is one HELP, one TYPE and
 * then its samples, as both formats demand.
 */
#include <inttypes.h>
#include <string.h>

#include "base/util.h"
#include "base/version.h"
#include "book/hooks.h"
#include "exporter/metrics.h"
#include "exporter/metrics_page.h"

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

	page_family(p, name, true, help);
	for (size_t i = 0; i <= p->s->tcp_n; i++) {
		const struct tcp_totals *t = tcp_at(p->s, i, &key);

		for (int d = 0; d < TG_DIR_MAX; d++) {
			uint64_t n = *(const uint64_t *)((const char *)t + offsets[d]);

			if (!page_is_shown(&key, n))
				continue;
			(void)snprintf(extra, sizeof(extra), "direction=\"%s\"",
				       page_directions[d]);
			page_row_sample(p, name, true, &key, extra);
			fprintf(p->out, "%" PRIu64 "\n", n);
		}
	}
}

static void tcp_value(const struct page *p, const char *name, const char *help,
		      size_t offset)
{
	struct row_key key;

	page_family(p, name, true, help);
	for (size_t i = 0; i <= p->s->tcp_n; i++) {
		const struct tcp_totals *t = tcp_at(p->s, i, &key);
		uint64_t n = *(const uint64_t *)((const char *)t + offset);

		if (!page_is_shown(&key, n))
			continue;
		page_row_sample(p, name, true, &key, "");
		fprintf(p->out, "%" PRIu64 "\n", n);
	}
}

static void tcp_closed_by_reason(const struct page *p)
{
	struct row_key key;
	char extra[96];

	page_family(p, "connections_closed", true,
		    "TCP sockets closed, by how and by which side ended them.");
	for (size_t i = 0; i <= p->s->tcp_n; i++) {
		const struct tcp_totals *t = tcp_at(p->s, i, &key);

		for (int r = 0; r < TG_CLOSE_MAX; r++) {
			if (t->closed[r] == 0 &&
			    (r != TG_CLOSE_CLOSED_BY_PEER || !page_is_shown(&key, 0)))
				continue;
			(void)snprintf(extra, sizeof(extra), "reason=\"%s\",side=\"%s\"",
				       tg_close_names[r], tg_close_sides[r]);
			page_row_sample(p, "connections_closed", true, &key, extra);
			fprintf(p->out, "%" PRIu64 "\n", (uint64_t)t->closed[r]);
		}
	}
}

static void tcp_active(const struct page *p)
{
	struct row_key key;

	page_family(
		p, "connections_active", false,
		"TCP sockets open now; route is empty until a connection's route is known.");
	for (size_t i = 0; i <= p->s->tcp_n; i++) {
		uint64_t n = tcp_live(tcp_at(p->s, i, &key));

		if (!n && key.listener && !row_in_force(p->s, &key))
			continue; /* of who is gone */
		if (!page_is_shown(&key, n))
			continue;
		page_row_sample(p, "connections_active", false, &key, "");
		fprintf(p->out, "%" PRIu64 "\n", n);
	}
}

/* --- histograms --- */

static void hist_sum(struct tcp_hist *to, const struct tcp_hist *from)
{
	to->sum += from->sum;
	for (int i = 0; i < TG_HIST_BUCKETS; i++)
		to->buckets[i] += from->buckets[i];
}

/* Of the host one for each role, whatever the port. */
static void histogram(const struct page *p, const char *name, const char *help,
		      enum tg_hist which, unsigned shift, double unit)
{
	struct tcp_hist host[2] = { 0 };
	struct row_key key;

	page_histogram(p, name, help);
	for (size_t i = 0; i <= p->s->tcp_n; i++) {
		const struct tcp_totals *t = tcp_at(p->s, i, &key);

		if (key.leg == TG_LEG_HOST && key.role != TG_ROLE_NONE)
			hist_sum(&host[key.role == TG_ROLE_ACCEPTED], &t->hist[which]);
		else
			page_histogram_row(p, name, &key, &t->hist[which], shift, unit);
	}
	for (int accepted = 0; accepted < 2; accepted++) {
		key = (struct row_key){ .leg = TG_LEG_HOST, .pad = PAGE_EVERY_PORT };
		key.role = accepted ? TG_ROLE_ACCEPTED : TG_ROLE_CONNECTED;
		page_histogram_row(p, name, &key, &host[accepted], shift, unit);
	}
}

static void histograms(const struct page *p)
{
	histogram(p, "connection_duration_seconds",
		  "Life of closed TCP sockets, without TIME_WAIT.", TG_HIST_DURATION,
		  TG_HIST_DURATION_SHIFT, 1e-9);
	histogram(p, "rtt_seconds", "Smoothed round trip time when a TCP socket closed.",
		  TG_HIST_RTT, TG_HIST_RTT_SHIFT, 1e-6);
	histogram(p, "connection_payload_bytes",
		  "Payload of both directions of closed TCP sockets.", TG_HIST_BYTES,
		  TG_HIST_BYTES_SHIFT, 1);
}

static void tcp_book(const struct page *p)
{
	tcp_value(p, "connections_opened",
		  "TCP sockets opened: connects tried and accepts.",
		  offsetof(struct tcp_totals, opened));
	tcp_value(p, "connections_adopted",
		  "TCP sockets that were open when the books were loaded.",
		  offsetof(struct tcp_totals, adopted));
	tcp_closed_by_reason(p);
	tcp_active(p);
	tcp_direction(p, "tcp_payload_bytes",
		      "Bytes of the TCP streams by the kernel's sockets, each byte once.",
		      offsetof(struct tcp_totals, counts.rx_payload_bytes),
		      offsetof(struct tcp_totals, counts.tx_payload_bytes));
	tcp_direction(
		p, "tcp_adopted_payload_bytes",
		"What adopted sockets had carried before the load; not in the others.",
		offsetof(struct tcp_totals, baseline.rx_payload_bytes),
		offsetof(struct tcp_totals, baseline.tx_payload_bytes));
	tcp_value(p, "tcp_acknowledged_bytes",
		  "Sent payload bytes that the peers have acknowledged.",
		  offsetof(struct tcp_totals, counts.tx_acked_bytes));
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

/* --- the books themselves --- */

static void residuals(const struct page *p, const struct audit *a)
{
	page_family(
		p, "residual_bytes", false,
		"What the books differ by that no named column explains; 0 or something is wrong.");
	for (int i = 0; i < AUDIT_MAX; i++) {
		if (a->compared[i])
			fprintf(p->out,
				"tollgate_residual_bytes{check=\"%s\"} %" PRIu64 "\n",
				audit_names[i], a->residual[i]);
	}
}

/* A label set of which one is 1, as OpenMetrics has it for states. */
static void verdicts(const struct page *p, const struct audit *a)
{
	page_family(
		p, "verdict", false,
		"1 for what the audit of the books says: agrees, differs, incomplete.");
	for (int i = 0; i < AUDIT_VERDICT_MAX; i++)
		fprintf(p->out, "tollgate_verdict{verdict=\"%s\"} %d\n",
			audit_verdicts[i], (int)a->verdict == i);
	page_family(p, "incomplete", false,
		    "What the books cannot know, by reason and what it is missing of.");
	for (unsigned i = 0; i < a->gaps.n; i++) {
		const struct gap *g = &a->gaps.list[i];

		fprintf(p->out, "tollgate_incomplete{reason=\"%s\",target=\"",
			gap_names[g->reason]);
		page_put_value(p->out, g->target);
		fprintf(p->out, "\"} %" PRIu64 "\n", g->count);
	}
}

static void hooks(const struct page *p)
{
	const struct snapshot *s = p->s;

	page_family(p, "attached", false,
		    "1 if the hook is attached where it should be, by its link.");
	for (size_t i = 0; i < s->hooks_n; i++) {
		fprintf(p->out, "tollgate_attached{hook=\"%s\",target=\"",
			tg_hook_names[s->hooks[i].kind]);
		page_put_value(p->out, s->hooks[i].target);
		fprintf(p->out, "\"} %d\n", s->hooks[i].attached != 0);
	}
	page_simple(p, "reattached", true,
		    "Hooks that were found detached and attached again.", s->reattached);
	page_simple(
		p, "nft_table_lost", true,
		"Times the nft table, or a chain of it, was found gone and made anew.",
		s->nft_lost);
	page_simple(p, "callbacks_lost", true,
		    "Ends of sockets whose callback another program took away; the "
		    "tracepoint told them.",
		    s->faults[TG_FAULT_CALLBACKS]);
}

static void records_of(const struct page *p)
{
	static const char *const books[TG_RING_MAX] = { "tcp", "wire" };
	const struct record_loss *l = p->s->records_lost;

	page_family(p, "records_lost", true,
		    "Records of ended connections that found no place in the ring.");
	for (int i = 0; i < TG_RING_MAX; i++)
		fprintf(p->out, "tollgate_records_lost_total{book=\"%s\"} %" PRIu64 "\n",
			books[i], (uint64_t)l[i].records);
	page_simple(
		p, "proxy_events_lost", true,
		"Ended connections of the proxy whose events found no place in the ring.",
		p->s->proxy_ring.lost);
	page_simple(
		p, "proxy_refusals_lost", true,
		"Of these, of connections that were refused: they get three quarters of "
		"the ring at most.",
		p->s->proxy_ring.refusals_lost);
	page_family(p, "records_lost_payload_bytes", true, "Payload in lost records.");
	for (int i = 0; i < TG_RING_MAX; i++)
		fprintf(p->out,
			"tollgate_records_lost_payload_bytes_total{book=\"%s\",direction="
			"\"rx\"} %" PRIu64 "\n"
			"tollgate_records_lost_payload_bytes_total{book=\"%s\",direction="
			"\"tx\"} %" PRIu64 "\n",
			books[i], (uint64_t)l[i].rx_payload_bytes, books[i],
			(uint64_t)l[i].tx_payload_bytes);
}

static void maps(const struct page *p)
{
	const struct snapshot *s = p->s;
	struct map_fill all[MAP_FILLS];
	size_t n = snapshot_fills(s, all);

	page_family(p, "map_entries", false,
		    "Entries in a map of the books; of records: bytes.");
	for (size_t i = 0; i < n; i++)
		fprintf(p->out, "tollgate_map_entries{map=\"%s\"} %zu\n", all[i].name,
			all[i].n);
	page_family(p, "map_capacity", false,
		    "Entries a map of the books can hold; of records: bytes.");
	for (size_t i = 0; i < n; i++)
		fprintf(p->out, "tollgate_map_capacity{map=\"%s\"} %zu\n", all[i].name,
			all[i].max);
	page_family(
		p, "faults", true,
		"Entries that found no place and frames that could not be read, by reason.");
	for (int i = TG_FAULT_NONE + 1; i < TG_FAULT_MAX; i++)
		fprintf(p->out, "tollgate_faults_total{reason=\"%s\"} %" PRIu64 "\n",
			tg_fault_names[i], s->faults[i]);
}

void metrics_write(FILE *out, const struct snapshot *s, const struct audit *a,
		   uint64_t events_file_errors, bool openmetrics)
{
	struct page p = { .out = out, .s = s, .openmetrics = openmetrics };

	page_family(&p, "build_info", false, "1; the version is the label.");
	fprintf(out, "tollgate_build_info{version=\"%s\"} 1\n", TOLLGATE_VERSION);
	tcp_book(&p);
	histograms(&p);
	metrics_proxy(&p);
	metrics_http(&p);
	metrics_packets(&p);
	residuals(&p, a);
	verdicts(&p, a);
	hooks(&p);
	records_of(&p);
	page_simple(&p, "events_file_errors", true,
		    "Records that could not be written to --events-file.",
		    events_file_errors);
	maps(&p);
	page_family(&p, "data_age_seconds", false, "Age of the figures on this page.");
	fprintf(out, "tollgate_data_age_seconds %.6f\n",
		(double)(util_now_ns() - s->taken_ns) / 1e9);
	page_family(&p, "snapshot_seconds", false, "What reading the books took.");
	fprintf(out, "tollgate_snapshot_seconds %.6f\n", (double)s->cost_ns / 1e9);
	if (openmetrics)
		fputs("# EOF\n", out);
}
