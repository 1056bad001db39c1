/* SPDX-License-Identifier: Apache-2.0 */
/* Requests, by listener and route. */
#include <inttypes.h>

#include "book/ends.h"
#include "exporter/metrics_page.h"

#define LABEL_MAX 64

/*
 * One family: `value` says number i of `n`, and `label`, if there is one, what i is.  Of
 * values of both legs the first half is the clients'.
 */
struct family {
	const char *name, *help;
	size_t n;
	enum { OF_CLIENTS, OF_BACKENDS, OF_BOTH } legs;
	uint64_t (*value)(const struct http_book *b, size_t i);
	void (*label)(size_t i, char ret[LABEL_MAX]);
};

static uint64_t requests(const struct http_book *b, size_t i)
{
	return b->requests[i];
}

static void reason(size_t i, char ret[LABEL_MAX])
{
	(void)snprintf(ret, LABEL_MAX, "reason=\"%s\"", tg_request_names[i]);
}

static uint64_t methods(const struct http_book *b, size_t i)
{
	return b->methods[i];
}

static void method(size_t i, char ret[LABEL_MAX])
{
	(void)snprintf(ret, LABEL_MAX, "method=\"%s\"", tg_method_names[i]);
}

static uint64_t statuses(const struct http_book *b, size_t i)
{
	return b->statuses[i];
}

static void status(size_t i, char ret[LABEL_MAX])
{
	(void)snprintf(ret, LABEL_MAX, "status=\"%zu\"", i + TG_HTTP_STATUS_MIN);
}

static uint64_t bytes(const struct http_book *b, size_t i)
{
	const size_t kinds = TG_HTTP_KIND_MAX;

	return b->bytes[i / kinds / TG_DIR_MAX][i / kinds % TG_DIR_MAX][i % kinds];
}

static void kind(size_t i, char ret[LABEL_MAX])
{
	(void)snprintf(ret, LABEL_MAX, "direction=\"%s\",kind=\"%s\"",
		       page_directions[i / TG_HTTP_KIND_MAX % TG_DIR_MAX],
		       tg_http_kind_names[i % TG_HTTP_KIND_MAX]);
}

static uint64_t carried(const struct http_book *b, size_t i)
{
	return b->carried[i / TG_DIR_MAX][i % TG_DIR_MAX];
}

static void direction(size_t i, char ret[LABEL_MAX])
{
	(void)snprintf(ret, LABEL_MAX, "direction=\"%s\"",
		       page_directions[i % TG_DIR_MAX]);
}

static uint64_t connections(const struct http_book *b, size_t i)
{
	return b->connections[i];
}

static uint64_t unsent(const struct http_book *b, size_t i)
{
	return b->unsent[i];
}

static uint64_t pool(const struct http_book *b, size_t i)
{
	return i ? b->pool_misses : b->pool_hits;
}

static void result(size_t i, char ret[LABEL_MAX])
{
	(void)snprintf(ret, LABEL_MAX, "result=\"%s\"", i ? "miss" : "hit");
}

static uint64_t retries(const struct http_book *b, size_t i)
{
	(void)i;
	return b->retries;
}

static uint64_t upgrades(const struct http_book *b, size_t i)
{
	(void)i;
	return b->upgrades;
}

static uint64_t residual(const struct http_book *b, size_t i)
{
	(void)i;
	return b->residual_bytes;
}

static const struct family families[] = {
	{ "http_requests", "Requests that are over, by how they ended.", TG_REQUEST_MAX,
	  OF_CLIENTS, requests, reason },
	{ "http_methods", "Requests that are over, by method.", TG_METHOD_MAX, OF_CLIENTS,
	  methods, method },
	{ "http_responses",
	  "Requests that are over, by the status they were answered with, by a backend or "
	  "by the gate.",
	  TG_HTTP_STATUSES, OF_CLIENTS, statuses, status },
	{ "http_bytes",
	  "Bytes of messages, above TLS: heads, bodies, framing, and what was read and is "
	  "of none.",
	  2 * TG_DIR_MAX *TG_HTTP_KIND_MAX, OF_BOTH, bytes, kind },
	{ "http_carried_bytes",
	  "Bytes that connections carried for HTTP, above TLS, when they have closed.",
	  2 * TG_DIR_MAX, OF_BOTH, carried, direction },
	{ "http_connections_closed", "Connections of HTTP that have closed.", 2, OF_BOTH,
	  connections, NULL },
	{ "http_unsent_bytes",
	  "Bytes of messages that had not left when their connection ended.", 2, OF_BOTH,
	  unsent, NULL },
	{ "http_residual_bytes",
	  "What connections carried and their messages (with unread, without unsent) do "
	  "not make up; 0, or a book is wrong.",
	  1, OF_CLIENTS, residual, NULL },
	{ "http_pool",
	  "Requests to backends: over a connection that was there (hit), or that was made "
	  "for it (miss).",
	  2, OF_BACKENDS, pool, result },
	{ "http_retries", "Times a request was sent again.", 1, OF_BACKENDS, retries,
	  NULL },
	{ "http_upgrades", "Requests that became a tunnel (Upgrade, CONNECT).", 1,
	  OF_CLIENTS, upgrades, NULL },
};

static enum tg_leg leg_of(const struct family *f, size_t i)
{
	bool back = f->legs == OF_BACKENDS || (f->legs == OF_BOTH && i >= f->n / 2);

	return back ? TG_LEG_UPSTREAM : TG_LEG_DOWNSTREAM;
}

/* The first of a leg is shown of each row, the others if they are not 0. */
static bool is_shown(const struct family *f, size_t i, uint64_t value)
{
	return value || !i || (f->legs == OF_BOTH && i == f->n / 2);
}

static void show_row(const struct page *p, const struct family *f, struct row_key row,
		     const struct http_book *b)
{
	for (size_t i = 0; i < f->n; i++) {
		char extra[LABEL_MAX] = "";
		uint64_t value = f->value(b, i);

		if (!is_shown(f, i, value))
			continue;
		if (f->label)
			f->label(i, extra);
		row.leg = (__u8)leg_of(f, i);
		page_row_sample(p, f->name, true, &row, extra);
		fprintf(p->out, "%" PRIu64 "\n", value);
	}
}

static void show(const struct page *p, const struct family *f)
{
	page_family(p, f->name, true, f->help);
	for (size_t k = 0; k < p->s->slots_n; k++) {
		const struct http_book *b = slot_http(p->s, &p->s->slots[k]);

		if (b)
			show_row(p, f, p->s->slots[k].row, b);
	}
}

static void show_times(const struct page *p, const char *name, const char *help,
		       size_t offset)
{
	page_histogram(p, name, help);
	for (size_t k = 0; k < p->s->slots_n; k++) {
		const struct http_book *b = slot_http(p->s, &p->s->slots[k]);
		const struct tcp_hist *h =
			b ? (const void *)((const char *)b + offset) : NULL;

		if (h && h->sum)
			page_histogram_row(p, name, &p->s->slots[k].row, h, TG_HTTP_SHIFT,
					   1e-6);
	}
}

void metrics_http(const struct page *p)
{
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
		show(p, &families[i]);
	show_times(
		p, "http_request_duration_seconds",
		"From a request's head until it is over, its body and its answer through.",
		offsetof(struct http_book, duration_us));
	show_times(p, "http_first_byte_seconds",
		   "From a request's head to the head of its answer.",
		   offsetof(struct http_book, first_byte_us));
}
