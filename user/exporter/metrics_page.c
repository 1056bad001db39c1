/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The exposition formats.  In OpenMetrics a counter family is named without the _total
 * of its samples; that is the only difference but for the last line.
 */
#include <inttypes.h>
#include <stdio.h>

#include "exporter/metrics_page.h"

const char *const page_directions[TG_DIR_MAX] = { "rx", "tx" };

void page_family(const struct page *p, const char *name, bool counter, const char *help)
{
	const char *suffix = counter && !p->openmetrics ? "_total" : "";

	fprintf(p->out, "# HELP tollgate_%s%s %s\n# TYPE tollgate_%s%s %s\n", name,
		suffix, help, name, suffix, counter ? "counter" : "gauge");
}

/* A label value; names come from a checked configuration, but the format has its rules.
 */
void page_put_value(FILE *out, const char *value)
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

bool page_is_shown(const struct row_key *k, uint64_t value)
{
	return value || (k->leg != TG_LEG_HOST && k->leg != TG_LEG_FORWARDED) || !k->port;
}

/* name{rows' labels, extra} begins a sample; extra is "" or `key="value",...` */
void page_row_sample(const struct page *p, const char *name, bool counter,
		     const struct row_key *k, const char *extra)
{
	fprintf(p->out, "tollgate_%s%s{leg=\"%s\"", name, counter ? "_total" : "",
		tg_leg_names[k->leg < TG_LEG_MAX ? k->leg : 0]);
	if (k->leg == TG_LEG_FORWARDED) {
		/* no socket of this host, no port that means something */
	} else if (k->leg == TG_LEG_HOST) {
		if (k->role == TG_ROLE_NONE) /* past the cap of rows, or no socket's */
			fputs(",port=\"other\"", p->out);
		else
			fprintf(p->out, ",role=\"%s\"",
				k->role == TG_ROLE_ACCEPTED ? "accepted" : "connected");
		if (k->role != TG_ROLE_NONE && k->port)
			fprintf(p->out, ",port=\"%u\"", k->port);
		else if (k->role != TG_ROLE_NONE && k->pad != PAGE_EVERY_PORT)
			fputs(",port=\"other\"", p->out);
		if (k->backend) {
			fputs(",cgroup=\"", p->out);
			page_put_value(p->out,
				       snapshot_name(p->s, TG_NAME_CGROUP, k->backend));
			fputc('"', p->out);
		}
	} else {
		fputs(",listener=\"", p->out);
		page_put_value(p->out,
			       snapshot_name(p->s, TG_NAME_LISTENER, k->listener));
		fputs("\",route=\"", p->out);
		page_put_value(p->out, snapshot_name(p->s, TG_NAME_ROUTE, k->route));
		fputs("\",backend=\"", p->out);
		page_put_value(p->out, snapshot_name(p->s, TG_NAME_BACKEND, k->backend));
		fputc('"', p->out);
		if (!k->proto) /* of Unix sockets; a name may have been TCP's before */
			fputs(",transport=\"unix\"", p->out);
	}
	fprintf(p->out, "%s%s} ", extra[0] ? "," : "", extra);
}

void page_simple(const struct page *p, const char *name, bool counter, const char *help,
		 uint64_t value)
{
	page_family(p, name, counter, help);
	fprintf(p->out, "tollgate_%s%s %" PRIu64 "\n", name, counter ? "_total" : "",
		value);
}

void page_histogram(const struct page *p, const char *name, const char *help)
{
	fprintf(p->out, "# HELP tollgate_%s %s\n# TYPE tollgate_%s histogram\n", name,
		help, name);
}

void page_histogram_row(const struct page *p, const char *name, const struct row_key *key,
			const struct tcp_hist *h, unsigned shift, double unit)
{
	char part[96], extra[32];
	uint64_t n = 0;

	(void)snprintf(part, sizeof(part), "%s_bucket", name);
	for (unsigned b = 0; b < TG_HIST_BUCKETS; b++) {
		n += h->buckets[b];
		if (b % 2 == 0 && b + 1 < TG_HIST_BUCKETS)
			continue; /* its upper neighbour shows both */
		if (b + 1 == TG_HIST_BUCKETS)
			(void)snprintf(extra, sizeof(extra), "le=\"+Inf\"");
		else
			(void)snprintf(extra, sizeof(extra), "le=\"%.9g\"",
				       (double)(1ull << (b + shift)) * unit);
		page_row_sample(p, part, false, key, extra);
		fprintf(p->out, "%" PRIu64 "\n", n);
	}
	(void)snprintf(part, sizeof(part), "%s_sum", name);
	page_row_sample(p, part, false, key, "");
	fprintf(p->out, "%.9g\n", (double)h->sum * unit);
	(void)snprintf(part, sizeof(part), "%s_count", name);
	page_row_sample(p, part, false, key, "");
	fprintf(p->out, "%" PRIu64 "\n", n);
}
