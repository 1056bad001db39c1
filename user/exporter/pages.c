/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each page makes its answer from the last snapshot, which is at most a second old.  What
 * may be long is made while it is sent, from a snapshot that all its readers share.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <microhttpd.h>

#include "base/addr.h"
#include "base/sandbox.h"
#include "base/util.h"
#include "base/version.h"
#include "book/audit.h"
#include "exporter/metrics.h"
#include "exporter/pages.h"
#include "show/flows.h"
#include "show/offenders.h"

#define CACHE_NS      1000000000u
#define AUDIT_TRIES   5
#define FLOWS_LIMIT   10000 /* of one page, if the request says none */
#define FLOWS_READERS 16    /* at once */
#define RECORDS_MAX   1000000

/* A snapshot with the directory, shared by those who read it and the cache. */
struct directory {
	struct snapshot *s;
	unsigned refs;
};

struct pages {
	struct book *book;
	struct events *events;
	struct sse *sse;
	struct snapshot *s; /* the last one */
	struct audit audit;
	struct directory *directory; /* the last one; NULL: none */
	unsigned readers;	     /* of directories */
};

struct pages *pages_new(struct book *book, struct events *events, struct sse *sse)
{
	struct pages *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->book = book;
	p->events = events;
	p->sse = sse;
	return p;
}

static void directory_put(struct directory *d)
{
	if (!d || --d->refs > 0)
		return;
	snapshot_free(d->s);
	free(d);
}

void pages_free(struct pages *p)
{
	if (!p)
		return;
	snapshot_free(p->s);
	audit_free(&p->audit);
	directory_put(p->directory);
	free(p);
}

/* --- figures --- */

static bool is_fresh(const struct snapshot *s)
{
	return s && util_now_ns() - s->taken_ns < CACHE_NS;
}

/* Differences while traffic flows go away when read again; real ones do not. */
static int refresh(struct pages *p)
{
	struct snapshot *s;
	struct audit a;
	int err;

	if (is_fresh(p->s))
		return 0;
	(void)sandbox_raise(CAP_NET_ADMIN); /* the audit tells if it was needed */
	err = audit_run(p->book, AUDIT_TRIES, &s, &a);
	(void)sandbox_lower(CAP_NET_ADMIN);
	if (err)
		return err;
	snapshot_free(p->s);
	audit_free(&p->audit);
	p->s = s;
	p->audit = a;
	return 0;
}

/* --- arguments --- */

/* 0 and *ret, `otherwise` if it is not given; or -EINVAL. */
static int number(const struct request *r, const char *name, uint64_t max,
		  uint64_t otherwise, uint64_t *ret)
{
	const char *text = request_argument(r, name);

	*ret = otherwise;
	return text && *text ? util_parse_u64(text, max, ret) : 0;
}

/* What is empty is not given. */
static const char *word(const struct request *r, const char *name)
{
	const char *text = request_argument(r, name);

	return text && *text ? text : NULL;
}

static int wrong(struct answer *a, const char *name, const char *want)
{
	answer_text(a, MHD_HTTP_BAD_REQUEST, "?%s=: not %s\n", name, want);
	return -EINVAL;
}

static void internal_error(struct answer *a)
{
	answer_text(a, MHD_HTTP_INTERNAL_SERVER_ERROR, "no memory\n");
}

/* Takes json. */
static void answer_json(struct answer *a, json_t *json)
{
	char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;

	json_decref(json);
	if (!text) {
		internal_error(a);
		return;
	}
	a->text = text;
	a->len = strlen(text);
	text[a->len++] = '\n'; /* in the place of its end */
	a->type = "application/json";
	a->gzip = true;
}

/* --- /metrics, /healthz, /offenders, / --- */

static void page_metrics(struct pages *p, const struct request *r, struct answer *a)
{
	const char *accept = request_header(r, MHD_HTTP_HEADER_ACCEPT);
	bool om = http_accepts(accept, "application/openmetrics-text");
	FILE *out = open_memstream(&a->text, &a->len);

	if (!out) {
		internal_error(a);
		return;
	}
	metrics_write(out, p->s, &p->audit, events_file_errors(p->events), om);
	if (fclose(out) != 0) {
		free(a->text);
		internal_error(a);
		return;
	}
	a->gzip = true;
	a->type = om ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
		     : "text/plain; version=0.0.4; charset=utf-8";
}

/* The verdict is the first word; each has its own status. */
static void page_health(struct pages *p, const struct request *r, struct answer *a)
{
	static const unsigned statuses[AUDIT_VERDICT_MAX] = {
		[AUDIT_AGREES] = MHD_HTTP_OK,
		[AUDIT_DIFFERS] = MHD_HTTP_INTERNAL_SERVER_ERROR,
		[AUDIT_INCOMPLETE] = MHD_HTTP_SERVICE_UNAVAILABLE,
	};
	const struct gaps *gaps = &p->audit.gaps;
	char sentence[AUDIT_SENTENCE_MAX];
	FILE *out = open_memstream(&a->text, &a->len);

	(void)r;
	if (!out) {
		internal_error(a);
		return;
	}
	fprintf(out, "%s\n", audit_sentence(&p->audit, sentence));
	for (unsigned i = 0; i < gaps->n; i++)
		fprintf(out, "%s %s: %s\n", gap_names[gaps->list[i].reason],
			gaps->list[i].target, gaps->list[i].text);
	if (events_file_errors(p->events))
		fprintf(out, "%" PRIu64 " events could not be written to their file\n",
			events_file_errors(p->events));
	(void)fclose(out);
	a->status = statuses[p->audit.verdict];
	a->type = "text/plain; charset=utf-8";
}

static void page_offenders(struct pages *p, const struct request *r, struct answer *a)
{
	(void)r;
	answer_json(a, offenders_json(p->s));
}

/* --- /flows --- */

/* One reader's way through a directory. */
struct flows_reader {
	struct pages *pages;
	struct directory *directory;
	const struct live_flow **list; /* what is wanted, in order */
	size_t n, at;
	bool begun;
	char *text; /* of one flow, being handed over */
	size_t text_len, text_done;
};

/* Its own: the directory is only made when somebody asks for it. */
static int directory_get(struct pages *p, struct directory **ret)
{
	struct directory *d;
	int err;

	if (!p->directory || !is_fresh(p->directory->s)) {
		d = calloc(1, sizeof(*d));
		if (!d)
			return -ENOMEM;
		err = snapshot_take(p->book, BOOK_FLOWS, &d->s);
		if (err) {
			free(d);
			return err;
		}
		d->refs = 1;
		directory_put(p->directory);
		p->directory = d;
	}
	p->directory->refs++;
	*ret = p->directory;
	return 0;
}

static void reader_end(void *arg)
{
	struct flows_reader *r = arg;

	r->pages->readers--;
	directory_put(r->directory);
	free(r->list);
	free(r->text);
	free(r);
}

/* The next piece of text; false at the end. */
static bool reader_step(struct flows_reader *r)
{
	const char *before = r->begun ? ",\n" : "[";
	char *line = NULL;
	json_t *o = NULL;
	int n;

	free(r->text);
	r->text = NULL;
	if (r->at > r->n)
		return false;
	if (r->at < r->n) {
		o = flow_json(r->directory->s, r->list[r->at]);
		line = o ? json_dumps(o, JSON_COMPACT) : NULL;
		n = line ? asprintf(&r->text, "%s%s", before, line) : -1;
	} else {
		n = asprintf(&r->text, "%s]\n", r->begun ? "" : "[");
	}
	json_decref(o);
	free(line);
	r->at++;
	r->begun = true;
	r->text_len = n < 0 ? 0 : (size_t)n;
	r->text_done = 0;
	return n >= 0;
}

static ssize_t reader_next(void *arg, char *buf, size_t max)
{
	struct flows_reader *r = arg;
	size_t done = 0, n;

	while (done < max) {
		if (r->text_done == r->text_len && !reader_step(r))
			break;
		n = r->text_len - r->text_done;
		n = n < max - done ? n : max - done;
		memcpy(buf + done, r->text + r->text_done, n);
		r->text_done += n;
		done += n;
	}
	return (ssize_t)done;
}

/* Of one end of a connection: its port, 0 for any, and its address, if *by_ip. */
static int end_arguments(const struct request *r, uint16_t *port, uint8_t ip[16],
			 bool *by_ip, struct answer *a)
{
	const char *address = word(r, "address");
	uint64_t n;

	if (number(r, "port", UINT16_MAX, 0, &n) < 0)
		return wrong(a, "port", "a port");
	*port = htons((uint16_t)n);
	if (address && addr_parse_ip(address, ip) < 0)
		return wrong(a, "address", "an address");
	*by_ip = address != NULL;
	return 0;
}

static int flows_arguments(const struct request *r, struct flows_opts *ret,
			   struct answer *a)
{
	uint64_t n;
	int err;

	*ret = (struct flows_opts){ .listener = word(r, "listener"),
				    .route = word(r, "route"),
				    .state = word(r, "state"),
				    .protocol = word(r, "protocol"),
				    .sort = word(r, "sort") };
	if (number(r, "limit", RECORDS_MAX, FLOWS_LIMIT, &n) < 0)
		return wrong(a, "limit", "a number");
	ret->limit = n ? n : FLOWS_LIMIT;
	if (number(r, "offset", UINT32_MAX, 0, &n) < 0)
		return wrong(a, "offset", "a number");
	ret->offset = n;
	err = end_arguments(r, &ret->port, ret->ip, &ret->by_ip, a);
	if (err)
		return err;
	switch (flows_check(ret)) {
	case FLOWS_BAD_SORT:
		return wrong(a, "sort", flows_sorts);
	case FLOWS_BAD_STATE:
		return wrong(a, "state", "a state of TCP such as ESTABLISHED");
	case FLOWS_BAD_PROTOCOL:
		return wrong(a, "protocol", "tcp, udp, icmp ..., a number or all");
	default:
		return 0;
	}
}

static void page_flows(struct pages *p, const struct request *req, struct answer *a)
{
	struct flows_reader *r;
	struct flows_opts opts;
	bool more = false;
	int err;

	if (flows_arguments(req, &opts, a) < 0)
		return;
	if (p->readers >= FLOWS_READERS) {
		answer_text(a, MHD_HTTP_SERVICE_UNAVAILABLE,
			    "%u clients read the flows already: try again in a second\n",
			    p->readers);
		return;
	}
	r = calloc(1, sizeof(*r));
	err = r ? directory_get(p, &r->directory) : -ENOMEM;
	if (!err) {
		r->pages = p;
		p->readers++;
		r->list = flows_select(r->directory->s, &opts, &r->n, &more);
		if (!r->list) {
			reader_end(r);
			r = NULL;
			err = -ENOMEM;
		}
	}
	if (err) {
		free(r);
		answer_text(a, MHD_HTTP_INTERNAL_SERVER_ERROR, "%s\n", strerror(-err));
		return;
	}
	if (more)
		(void)snprintf(a->link, sizeof(a->link),
			       "</flows?offset=%lu&limit=%lu>; rel=\"next\"",
			       opts.offset + opts.limit, opts.limit);
	a->type = "application/json";
	a->body = (struct body){ .next = reader_next, .end = reader_end, .arg = r };
}

/* --- /records, /events --- */

static int records_arguments(const struct request *r, struct events_filter *ret,
			     struct answer *a)
{
	static const char *const books[] = { "proxy", "tcp", "wire" };
	uint64_t n;

	*ret = (struct events_filter){ .listener = word(r, "listener"),
				       .book = word(r, "book") };
	for (size_t i = 0; ret->book && strcmp(ret->book, books[i]) != 0;) {
		if (++i == ARRAY_SIZE(books))
			return wrong(a, "book", "proxy, tcp or wire");
	}
	if (number(r, "since", INT64_MAX, 0, &n) < 0)
		return wrong(a, "since", "seconds since 1970");
	ret->since = (double)n;
	return end_arguments(r, &ret->port, ret->ip, &ret->by_ip, a);
}

static void page_records(struct pages *p, const struct request *r, struct answer *a)
{
	uint64_t last, n, newest = events_newest(p->events);
	struct events_filter f;
	const char *comma = "";
	char *line;
	FILE *out;

	if (records_arguments(r, &f, a) < 0)
		return;
	if (number(r, "last", UINT64_MAX, UINT64_MAX, &last) < 0) {
		(void)wrong(a, "last", "a number");
		return;
	}
	out = open_memstream(&a->text, &a->len);
	if (!out) {
		internal_error(a);
		return;
	}
	n = events_before_last(p->events, &f, last);
	fputc('[', out);
	/* what comes meanwhile is for the next time, but where it has pushed out all
	 * others */
	while ((line = events_next(p->events, &f, n, &n, NULL)) &&
	       (n <= newest || !comma[0])) {
		fprintf(out, "%s%s", comma, line);
		comma = ",\n";
		free(line);
	}
	free(line);
	fputs("]\n", out);
	(void)fclose(out);
	a->type = "application/json";
	a->gzip = true;
}

/* "EPOCH-N" of Last-Event-ID; false if it is of another exporter, or no id. */
static bool parse_id(const struct pages *p, const char *id, uint64_t *ret)
{
	char epoch[17];

	(void)snprintf(epoch, sizeof(epoch), "%016" PRIx64, events_epoch(p->events));
	return strncmp(id, epoch, 16) == 0 && id[16] == '-' &&
	       util_parse_u64(id + 17, events_newest(p->events), ret) == 0;
}

/* A stream of what is wanted, from Last-Event-ID on, from the last N, or from now. */
static void page_events(struct pages *p, const struct request *r, struct answer *a)
{
	const char *seen = request_header(r, "Last-Event-ID");
	struct events_filter wanted;
	uint64_t after = 0, last;
	bool lost = false;

	if (records_arguments(r, &wanted, a) < 0)
		return;
	if (number(r, "last", UINT64_MAX, 0, &last) < 0) {
		(void)wrong(a, "last", "a number");
		return;
	}
	if (!seen)
		after = events_before_last(p->events, &wanted, last);
	else if (!parse_id(p, seen, &after))
		lost = true; /* and everything there is */
	a->response = sse_response(p->sse, r->connection, &wanted, after, lost);
	if (a->response)
		a->type = "text/event-stream";
	else
		answer_text(a, MHD_HTTP_SERVICE_UNAVAILABLE,
			    "too many clients follow already\n");
}

/* --- all of them --- */

static void page_index(struct pages *p, const struct request *r, struct answer *a);

static const struct page_entry {
	const char *path;
	void (*fn)(struct pages *p, const struct request *r, struct answer *a);
	bool figures; /* made from the last snapshot */
} entries[] = {
	{ "/metrics", page_metrics, true },
	{ "/flows", page_flows, false },
	{ "/records", page_records, false },
	{ "/events", page_events, false },
	{ "/offenders", page_offenders, true },
	{ "/healthz", page_health, true },
	{ "/", page_index, false },
};

const char *pages_list(void)
{
	static char list[256];
	size_t n = 0;

	for (size_t i = 0; i + 1 < ARRAY_SIZE(entries) && n < sizeof(list); i++)
		n += (size_t)snprintf(list + n, sizeof(list) - n, "%s%s", i ? ", " : "",
				      entries[i].path);
	return list;
}

static void page_index(struct pages *p, const struct request *r, struct answer *a)
{
	FILE *out = open_memstream(&a->text, &a->len);

	(void)p;
	(void)r;
	if (!out) {
		internal_error(a);
		return;
	}
	fputs("<!doctype html><title>Tollgate</title><h1>Tollgate " TOLLGATE_VERSION
	      "</h1><ul>",
	      out);
	for (size_t i = 0; i + 1 < ARRAY_SIZE(entries); i++)
		fprintf(out, "<li><a href=\"%s\">%s</a>", entries[i].path,
			entries[i].path);
	fputs("</ul>\n", out);
	(void)fclose(out);
	a->type = "text/html; charset=utf-8";
}

void pages_answer(void *arg, const struct request *r, struct answer *ret)
{
	struct pages *p = arg;
	int err;

	for (size_t i = 0; i < ARRAY_SIZE(entries); i++) {
		if (strcmp(r->path, entries[i].path) != 0)
			continue;
		err = entries[i].figures ? refresh(p) : 0;
		if (!err)
			entries[i].fn(p, r, ret);
		else
			answer_text(ret, MHD_HTTP_SERVICE_UNAVAILABLE,
				    "incomplete: the books cannot be read: %s\n",
				    strerror(-err));
		return;
	}
	answer_text(ret, MHD_HTTP_NOT_FOUND, "no such page; there are %s\n",
		    pages_list());
}
