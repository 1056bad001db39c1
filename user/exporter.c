/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tollgate-exporter: the pinned maps and the nft counters over HTTP.  It opens the pins,
 * becomes nobody, and keeps one capability, CAP_NET_ADMIN, without which the kernel lets
 * nobody read nft counters; it is effective only while they are read.
 */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <jansson.h>
#include <microhttpd.h>

#include "base/addr.h"
#include "base/log.h"
#include "base/sandbox.h"
#include "base/util.h"
#include "book/audit.h"
#include "book/book.h"
#include "book/explain.h"
#include "events.h"
#include "flows.h"
#include "keep.h"
#include "offenders.h"
#include "metrics.h"
#include "sse.h"
#include "version.h"

#define LISTEN_DEFAULT	"127.0.0.1:9980"
#define CACHE_NS	1000000000u
#define AUDIT_TRIES	5
#define CONNECTIONS_MAX 64
#define TIMEOUT_SECONDS 10

enum { EXIT_OK = 0, EXIT_BAD = 1, EXIT_USAGE = 2, EXIT_NOT_LOADED = 3 };

/* One thread serves all requests, so this needs no lock. */
struct exporter {
	struct book *book;
	struct snapshot *s; /* the last one */
	struct audit audit;
	struct events *events;
	struct sse *sse;
};

static void usage(FILE *out)
{
	fputs("usage: tollgate-exporter [--listen ADDRESS:PORT] [--pins DIR] [--user NAME]\n"
	      "\n"
	      "Serve the books over HTTP: /metrics (Prometheus and OpenMetrics), /flows,\n"
	      "/records (JSON), /events (server-sent events), /healthz.  'tollgate load' must have run.\n"
	      "\n"
	      "  -l, --listen ADDRESS:PORT  where (" LISTEN_DEFAULT ")\n"
	      "      --pins DIR             where the books are pinned (" TG_PINS ")\n"
	      "      --user NAME            whom to become (nobody)\n"
	      "      --records N            ended connections to keep in memory (1000)\n"
	      "      --events-file PATH     write each as a JSON line, - for standard output\n"
	      "      --events-size SIZE     rotate the file after so many bytes (64M)\n"
	      "      --events-keep N        rotated files to keep, PATH.1 the newest (5)\n"
	      "      --log-level LEVEL      error, warn, info or debug (info)\n"
	      "  -h, --help                 this text\n"
	      "  -V, --version              the version\n"
	      "\n"
	      "Exit: 0 fine, 1 cannot run, 2 wrong usage, 3 not loaded or no permission.\n",
	      out);
}

/* --- figures --- */

/* Differences while traffic flows go away when read again; real ones do not. */
static int refresh(struct exporter *e)
{
	struct snapshot *s;
	struct audit a;
	int err;

	if (e->s && util_now_ns() - e->s->taken_ns < CACHE_NS)
		return 0;
	(void)sandbox_raise(CAP_NET_ADMIN); /* the audit tells if it was needed */
	err = audit_run(e->book, AUDIT_TRIES, &s, &a);
	(void)sandbox_lower(CAP_NET_ADMIN);
	if (err)
		return err;
	snapshot_free(e->s);
	audit_free(&e->audit);
	e->s = s;
	e->audit = a;
	return 0;
}

/* --- pages; each writes its body and returns the HTTP status --- */

struct request {
	struct MHD_Connection *connection;
	const char *type; /* of the answer */
};

static unsigned page_metrics(struct exporter *e, struct request *r, FILE *out)
{
	const char *accept = MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND,
							 MHD_HTTP_HEADER_ACCEPT);
	bool om = accept && strstr(accept, "application/openmetrics-text");

	r->type = om ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
		     : "text/plain; version=0.0.4; charset=utf-8";
	metrics_write(out, e->s, &e->audit, events_file_errors(e->events), om);
	return MHD_HTTP_OK;
}

static unsigned page_flows(struct exporter *e, struct request *r, FILE *out)
{
	static const struct flows_opts all;
	struct snapshot *s;
	json_t *flows;

	/* its own: the directory is only made when somebody asks for it */
	if (snapshot_take(e->book, BOOK_FLOWS, &s) < 0)
		return MHD_HTTP_INTERNAL_SERVER_ERROR;
	flows = flows_json(s, &all);
	snapshot_free(s);
	if (!flows)
		return MHD_HTTP_INTERNAL_SERVER_ERROR;
	r->type = "application/json";
	(void)json_dumpf(flows, out, JSON_COMPACT);
	fputc('\n', out);
	json_decref(flows);
	return MHD_HTTP_OK;
}

/* The value of an argument as a number, or `otherwise`. */
static uint64_t argument(struct request *r, const char *name, uint64_t otherwise)
{
	const char *text =
		MHD_lookup_connection_value(r->connection, MHD_GET_ARGUMENT_KIND, name);
	uint64_t n;

	return text && util_parse_u64(text, UINT64_MAX, &n) == 0 ? n : otherwise;
}

/* The number of the record before the last `last`. */
static uint64_t before_last(struct exporter *e, uint64_t last)
{
	uint64_t oldest, newest = events_newest(e->events, &oldest);

	return last < newest ? newest - last : 0;
}

static unsigned page_records(struct exporter *e, struct request *r, FILE *out)
{
	uint64_t n = before_last(e, argument(r, "last", UINT64_MAX)), oldest;
	const char *comma = "";
	char *line;

	(void)events_newest(e->events, &oldest);
	r->type = "application/json";
	fputc('[', out);
	for (n = n + 1 < oldest ? oldest - 1 : n; (line = events_line(e->events, n + 1));
	     n++) {
		fprintf(out, "%s%s", comma, line);
		comma = ",\n";
		free(line);
	}
	fputs("]\n", out);
	return MHD_HTTP_OK;
}

static unsigned page_offenders(struct exporter *e, struct request *r, FILE *out)
{
	json_t *list = offenders_json(e->s);

	if (!list)
		return MHD_HTTP_INTERNAL_SERVER_ERROR;
	r->type = "application/json";
	(void)json_dumpf(list, out, JSON_COMPACT);
	fputc('\n', out);
	json_decref(list);
	return MHD_HTTP_OK;
}

/* The verdict is the first word; each has its own status. */
static unsigned page_health(struct exporter *e, struct request *r, FILE *out)
{
	static const unsigned statuses[AUDIT_VERDICT_MAX] = {
		[AUDIT_AGREES] = MHD_HTTP_OK,
		[AUDIT_DIFFERS] = MHD_HTTP_INTERNAL_SERVER_ERROR,
		[AUDIT_INCOMPLETE] = MHD_HTTP_SERVICE_UNAVAILABLE,
	};
	char sentence[AUDIT_SENTENCE_MAX];

	(void)r;
	fprintf(out, "%s\n", audit_sentence(&e->audit, sentence));
	for (unsigned i = 0; i < e->audit.gaps.n; i++)
		fprintf(out, "%s %s: %s\n", gap_names[e->audit.gaps.list[i].reason],
			e->audit.gaps.list[i].target, e->audit.gaps.list[i].text);
	if (events_file_errors(e->events))
		fprintf(out, "%llu events could not be written to their file\n",
			(unsigned long long)events_file_errors(e->events));
	return statuses[e->audit.verdict];
}

static unsigned page_index(struct exporter *e, struct request *r, FILE *out)
{
	(void)e;
	r->type = "text/html; charset=utf-8";
	fputs("<!doctype html><title>Tollgate</title><h1>Tollgate " TOLLGATE_VERSION
	      "</h1>"
	      "<ul><li><a href=\"/metrics\">/metrics</a><li><a href=\"/flows\">/flows</a>"
	      "<li><a href=\"/records\">/records</a>"
	      "<li><a href=\"/events\">/events</a>"
	      "<li><a href=\"/offenders\">/offenders</a>"
	      "<li><a href=\"/healthz\">/healthz</a></ul>\n",
	      out);
	return MHD_HTTP_OK;
}

static const struct {
	const char *path;
	unsigned (*fn)(struct exporter *e, struct request *r, FILE *out);
} pages[] = {
	{ "/metrics", page_metrics }, { "/flows", page_flows },
	{ "/records", page_records }, { "/offenders", page_offenders },
	{ "/healthz", page_health },  { "/", page_index },
};

static unsigned answer(struct exporter *e, struct request *r, const char *path, FILE *out)
{
	int err;

	for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
		if (strcmp(path, pages[i].path) != 0)
			continue;
		err = refresh(e);
		if (!err)
			return pages[i].fn(e, r, out);
		fprintf(out, "the books cannot be read: %s\n", strerror(-err));
		return MHD_HTTP_SERVICE_UNAVAILABLE;
	}
	fputs("no such page; there are /metrics, /flows, /records, /events, /offenders and /healthz\n",
	      out);
	return MHD_HTTP_NOT_FOUND;
}

static enum MHD_Result refuse_stream(struct request *r)
{
	static char text[] = "too many clients follow already\n";
	struct MHD_Response *response = MHD_create_response_from_buffer(
		sizeof(text) - 1, text, MHD_RESPMEM_PERSISTENT);
	enum MHD_Result result;

	if (!response)
		return MHD_NO;
	result =
		MHD_queue_response(r->connection, MHD_HTTP_SERVICE_UNAVAILABLE, response);
	MHD_destroy_response(response);
	return result;
}

/* A stream, from Last-Event-ID or ?last=N on, or from now. */
static enum MHD_Result stream(struct exporter *e, struct request *r)
{
	const char *seen = MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND,
						       "Last-Event-ID");
	struct MHD_Response *response;
	enum MHD_Result result;
	uint64_t after, oldest;

	if (!seen || util_parse_u64(seen, UINT64_MAX, &after) < 0)
		after = before_last(e, argument(r, "last", 0));
	if (after > events_newest(e->events, &oldest))
		after = 0; /* of an earlier exporter: everything is new */
	response = sse_response(e->sse, r->connection, after);
	if (!response)
		return refuse_stream(r);
	(void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
				      "text/event-stream");
	result = MHD_queue_response(r->connection, MHD_HTTP_OK, response);
	MHD_destroy_response(response);
	return result;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection,
				  const char *url, const char *method,
				  const char *version, const char *upload_data,
				  size_t *upload_size, void **state)
{
	struct request r = { .connection = connection,
			     .type = "text/plain; charset=utf-8" };
	bool reads = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
	unsigned status = MHD_HTTP_METHOD_NOT_ALLOWED;
	struct MHD_Response *response;
	enum MHD_Result result;
	char *body = NULL;
	size_t size = 0;
	FILE *out;

	(void)version;
	(void)upload_data;
	(void)state;
	*upload_size = 0;
	if (reads && strcmp(url, "/events") == 0)
		return stream(cls, &r);
	out = open_memstream(&body, &size);
	if (!out)
		return MHD_NO;
	if (reads)
		status = answer(cls, &r, url, out);
	else
		fputs("only GET and HEAD\n", out);
	if (fclose(out) != 0) {
		free(body);
		return MHD_NO;
	}
	response = MHD_create_response_from_buffer(size, body, MHD_RESPMEM_MUST_FREE);
	if (!response) {
		free(body);
		return MHD_NO;
	}
	(void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, r.type);
	result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return result;
}

static int wait_for_signal(int sigfd)
{
	struct pollfd p = { .fd = sigfd, .events = POLLIN };

	while (poll(&p, 1, -1) < 0 && errno == EINTR)
		;
	return EXIT_OK;
}

static int serve(struct exporter *e, const char *listen_text, const char *user)
{
	static const cap_value_t keep[] = { CAP_NET_ADMIN };
	struct sockaddr_storage ss;
	struct MHD_Daemon *mhd;
	struct addr addr;
	unsigned flags =
		MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL | MHD_ALLOW_SUSPEND_RESUME;
	sigset_t set;
	int sigfd;

	if (addr_parse(listen_text, &addr) < 0) {
		log_error("--listen %s: not ADDRESS:PORT or [V6ADDRESS]:PORT",
			  listen_text);
		return EXIT_USAGE;
	}
	(void)addr_to_sockaddr(&addr, &ss);
	if (ss.ss_family == AF_INET6)
		flags |= MHD_USE_IPv6;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	sigfd = signalfd(-1, &set, SFD_CLOEXEC);
	if (sigfd < 0 || sandbox_enter(user, keep, 1) < 0)
		return EXIT_BAD;
	mhd = MHD_start_daemon(flags, 0, NULL, NULL, on_request, e, MHD_OPTION_SOCK_ADDR,
			       &ss, MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX,
			       MHD_OPTION_CONNECTION_TIMEOUT, TIMEOUT_SECONDS,
			       MHD_OPTION_END);
	if (!mhd) {
		(void)log_errno(-errno, "cannot listen on %s", listen_text);
		return EXIT_BAD;
	}
	if (events_start(e->events, sse_wake, e->sse) < 0) {
		sse_stop(e->sse);
		MHD_stop_daemon(mhd);
		return EXIT_BAD;
	}
	log_info("version %s: http://%s/metrics", TOLLGATE_VERSION, listen_text);
	wait_for_signal(sigfd);
	sse_stop(e->sse);
	MHD_stop_daemon(mhd);
	close(sigfd);
	return EXIT_OK;
}

/* A number for an option, or -EINVAL with the reason said. */
static int number(const char *option, uint64_t max, uint64_t *ret)
{
	if (util_parse_size(optarg, max, ret) == 0)
		return 0;
	log_error("--%s %s: not a number (K, M or G may follow) up to %llu", option,
		  optarg, (unsigned long long)max);
	return -EINVAL;
}

static int open_all(const char *pins, const struct events_opts *opts, struct exporter *e)
{
	int err = book_open(pins, &e->book);

	if (!err)
		err = events_open(pins, e->book, opts, &e->events);
	if (!err) {
		e->sse = sse_new(e->events);
		err = e->sse ? 0 : -ENOMEM;
	}
	return err;
}

struct options {
	const char *listen_text;
	const char *pins;
	const char *user;
	struct events_opts events;
};

/* One option; -1 to go on, or what to exit with. */
static int parse_option(int opt, struct options *ret)
{
	uint64_t n;

	switch (opt) {
	case 'l':
		ret->listen_text = optarg;
		return -1;
	case 'p':
		ret->pins = optarg;
		return -1;
	case 'u':
		ret->user = optarg;
		return -1;
	case 'r':
		if (number("records", 1000000, &n) < 0)
			return EXIT_USAGE;
		ret->events.keep = n ? n : 1;
		return -1;
	case 'f':
		ret->events.file = optarg;
		return -1;
	case 's':
		return number("events-size", UINT64_MAX, &ret->events.file_size) < 0
			       ? EXIT_USAGE
			       : -1;
	case 'k':
		if (number("events-keep", 1000, &n) < 0)
			return EXIT_USAGE;
		ret->events.file_keep = (unsigned)n;
		return -1;
	case 'L':
		if (log_set_level(optarg) == 0)
			return -1;
		log_error("--log-level %s: not error, warn, info or debug", optarg);
		return EXIT_USAGE;
	case 'h':
		usage(stdout);
		return EXIT_OK;
	case 'V':
		puts("tollgate-exporter " TOLLGATE_VERSION);
		return EXIT_OK;
	default:
		usage(stderr);
		return EXIT_USAGE;
	}
}

static int parse_options(int argc, char **argv, struct options *ret)
{
	static const struct option options[] = {
		{ "listen", required_argument, NULL, 'l' },
		{ "pins", required_argument, NULL, 'p' },
		{ "user", required_argument, NULL, 'u' },
		{ "records", required_argument, NULL, 'r' },
		{ "events-file", required_argument, NULL, 'f' },
		{ "events-size", required_argument, NULL, 's' },
		{ "events-keep", required_argument, NULL, 'k' },
		{ "log-level", required_argument, NULL, 'L' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ 0 },
	};
	int opt, status = -1;

	while (status < 0 && (opt = getopt_long(argc, argv, "l:hV", options, NULL)) != -1)
		status = parse_option(opt, ret);
	if (status < 0 && optind != argc) {
		usage(stderr);
		status = EXIT_USAGE;
	}
	return status;
}

int main(int argc, char **argv)
{
	struct options o = {
		.listen_text = LISTEN_DEFAULT,
		.pins = TG_PINS,
		.user = "nobody",
		.events = { .keep = 1000, .file_size = 64 << 20, .file_keep = 5 }
	};
	struct exporter e = { 0 };
	struct keep keep;
	int err;

	log_init("tollgate-exporter");
	err = parse_options(argc, argv, &o);
	if (err >= 0)
		return err;
	err = keep_begin(o.pins, &keep);
	if (err)
		(void)log_errno(err, "nobody attaches again what is detached");
	err = open_all(o.pins, &o.events, &e);
	if (err) {
		keep_end(&keep);
		book_explain(err, o.pins);
		return EXIT_NOT_LOADED;
	}
	err = serve(&e, o.listen_text, o.user);
	events_close(e.events);
	sse_free(e.sse);
	snapshot_free(e.s);
	audit_free(&e.audit);
	book_close(e.book);
	keep_end(&keep);
	return err;
}
