/* SPDX-License-Identifier: Apache-2.0 */
/* Requests, by listener and route. */
#include <inttypes.h>

#include "book/ends.h"
#include "exporter/metrics_page.h"

#define DURATION_SHIFT 4 /* microseconds, as proxy/http/account.c has it */

static const char *const legs[] = { "client", "backend" };

/* One family: fn says of number i of n its value, and its label in extra. */
struct family {
	const char *name, *help;
	size_t n;
	uint64_t (*value)(const struct http_book *b, size_t i, char extra[96]);
};

static uint64_t of_request(const struct http_book *b, size_t i, char extra[96])
{
	(void)snprintf(extra, 96, "reason=\"%s\"", tg_request_names[i]);
	return b->requests[i];
}

static uint64_t of_method(const struct http_book *b, size_t i, char extra[96])
{
	(void)snprintf(extra, 96, "method=\"%s\"", tg_method_names[i]);
	return b->methods[i];
}

static uint64_t of_status(const struct http_book *b, size_t i, char extra[96])
{
	(void)snprintf(extra, 96, "status=\"%zu\"", i + TG_HTTP_STATUS_MIN);
	return b->statuses[i];
}

static uint64_t of_bytes(const struct http_book *b, size_t i, char extra[96])
{
	size_t leg = i / (TG_DIR_MAX * TG_HTTP_KIND_MAX);
	size_t dir = i / TG_HTTP_KIND_MAX % TG_DIR_MAX, kind = i % TG_HTTP_KIND_MAX;

	(void)snprintf(extra, 96, "side=\"%s\",direction=\"%s\",kind=\"%s\"", legs[leg],
		       page_directions[dir], tg_http_kind_names[kind]);
	return b->bytes[leg][dir][kind];
}

static uint64_t of_carried(const struct http_book *b, size_t i, char extra[96])
{
	(void)snprintf(extra, 96, "side=\"%s\",direction=\"%s\"", legs[i / TG_DIR_MAX],
		       page_directions[i % TG_DIR_MAX]);
	return b->carried[i / TG_DIR_MAX][i % TG_DIR_MAX];
}

static uint64_t of_connections(const struct http_book *b, size_t i, char extra[96])
{
	(void)snprintf(extra, 96, "side=\"%s\"", legs[i]);
	return b->connections[i];
}

static uint64_t of_unsent(const struct http_book *b, size_t i, char extra[96])
{
	(void)snprintf(extra, 96, "side=\"%s\"", legs[i]);
	return b->unsent[i];
}

static uint64_t of_pool(const struct http_book *b, size_t i, char extra[96])
{
	(void)snprintf(extra, 96, "result=\"%s\"", i ? "miss" : "hit");
	return i ? b->pool_misses : b->pool_hits;
}

static uint64_t of_retries(const struct http_book *b, size_t i, char extra[96])
{
	(void)i;
	(void)extra;
	return b->retries;
}

static uint64_t of_upgrades(const struct http_book *b, size_t i, char extra[96])
{
	(void)i;
	(void)extra;
	return b->upgrades;
}

static uint64_t of_residual(const struct http_book *b, size_t i, char extra[96])
{
	(void)i;
	(void)extra;
	return b->residual_bytes;
}

static const struct family families[] = {
	{ "http_requests", "Requests of HTTP that are over, by how they ended.",
	  TG_REQUEST_MAX, of_request },
	{ "http_methods", "The same by method.", TG_METHOD_MAX, of_method },
	{ "http_responses", "Answers to them, by status; of backends, and of the gate.",
	  TG_HTTP_STATUSES, of_status },
	{ "http_bytes",
	  "Bytes of messages, above TLS: heads, bodies, framing, and what was read and is "
	  "of none.",
	  2 * TG_DIR_MAX *TG_HTTP_KIND_MAX, of_bytes },
	{ "http_carried_bytes",
	  "Bytes that connections carried for HTTP, above TLS, when they have closed.",
	  2 * TG_DIR_MAX, of_carried },
	{ "http_connections_closed", "Connections of HTTP that have closed.", 2,
	  of_connections },
	{ "http_unsent_bytes", "Of messages, what had not left when a connection ended.",
	  2, of_unsent },
	{ "http_residual_bytes",
	  "Sum over connections of |carried - head - body - framing - unread|; 0, or a book "
	  "is wrong.",
	  1, of_residual },
	{ "http_pool",
	  "Requests to backends by whether a connection to it was idle (hit) or was made.",
	  2, of_pool },
	{ "http_retries", "Times a request was sent again.", 1, of_retries },
	{ "http_upgrades", "Connections that became another protocol's.", 1,
	  of_upgrades },
};

/* The first of a family is shown of each row, the others if they are not 0. */
static void show(const struct page *p, const struct family *f)
{
	page_family(p, f->name, true, f->help);
	for (size_t k = 0; k < p->s->slots_n; k++) {
		const struct http_book *b = slot_http(p->s, &p->s->slots[k]);

		for (size_t i = 0; b && i < f->n; i++) {
			char extra[96] = "";
			uint64_t value = f->value(b, i, extra);

			if (!value && i)
				continue;
			page_row_sample(p, f->name, true, &p->s->slots[k].row, extra);
			fprintf(p->out, "%" PRIu64 "\n", value);
		}
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
			page_histogram_row(p, name, &p->s->slots[k].row, h,
					   DURATION_SHIFT, 1e-6);
	}
}

void metrics_http(const struct page *p)
{
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
		show(p, &families[i]);
	show_times(p, "http_request_duration_seconds",
		   "From a request's head to the last byte of its answer.",
		   offsetof(struct http_book, duration_us));
	show_times(p, "http_first_byte_seconds", "From a request's head to its answer's.",
		   offsetof(struct http_book, first_byte_us));
}
