/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"
#include "base/version.h"
#include "command/options.h"

#define COUNT_MAX   1000000
#define IDLE_MS_MAX (7 * 24 * 3600 * 1000ll)

static void usage(FILE *out) /* lint: table */
{
	fprintf(out,
		"usage: tollgate COMMAND [OPTION]...\n"
		"\n"
		"  load           load the kernel side: programs, maps, nft table\n"
		"  unload         remove it again, and with it every count\n"
		"  export-totals [FILE]\n"
		"                 the totals, for 'load --continue'; the proxy must have ended\n"
		"  status         what is loaded, who runs, how much was counted\n"
		"  flows          live connections\n"
		"  audit          compare the four books; exit 1 if they differ, 4 if\n"
		"                 something is missing\n"
		"  events         ended connections, as the exporter has recorded them\n"
		"  why ADDRESS    why its last connections were refused or ended, and what to\n"
		"                 do about it\n"
		"  check FILE     check a proxy configuration, and say all that is wrong\n"
		"  export FILE    it as it is understood: with what it includes, with variables\n"
		"                 and defaults put in; JSON with --json\n"
		"  diff [BEFORE] AFTER\n"
		"                 what is different in two, or in one from what is in force;\n"
		"                 exit 1 if anything is\n"
		"  schema         the JSON Schema of the file, for editors\n"
		"  explain FILE URL\n"
		"                 what a request would meet: route, refusal, where it goes\n"
		"  acme FILE      have the certificates that it names by 'acme' issued and\n"
		"                 renewed; the proxy does it by itself, twice a day\n"
		"of the proxy that runs, as root:\n"
		"  reload         read its configuration again, and say what has changed; fails\n"
		"                 with all that is wrong if it is refused; --dry-run changes\n"
		"                 nothing\n"
		"  connections    its connections, by --listener, --route, --backend, --state,\n"
		"                 --address and --port; each with an id\n"
		"  kill [ID]      end one of them, or all that the same options name; --rate N/TIME:\n"
		"                 so many at a time\n"
		"  backends       its backends, and how they are\n"
		"  drain [BACKEND]  nobody new goes to it, or to those of --listener, --route\n"
		"  undrain [BACKEND]\n"
		"                 takes that back\n"
		"  changes        who changed what, the latest\n"
		"  log-level [LEVEL]\n"
		"                 how much it logs, until it ends\n"
		"of one that keeps its configuration in a store (state: database), as root:\n"
		"  apply FILE     take a file: what it has becomes so, what was made by commands\n"
		"                 stays; --prune removes it, --take takes what both have\n"
		"  listener list | show NAME | add NAME KEY=VALUE... | set NAME KEY=VALUE... | rm NAME\n"
		"                 one by one\n"
		"  route ...      the same, by LISTENER/ROUTE; list LISTENER\n"
		"  backend ...    the same, by LISTENER/ROUTE/BACKEND and its words, such as weight=3\n"
		"  restore REVISION\n"
		"                 make it what is in force again, as the next one\n"
		"  snapshot FILE  a copy of the store, while it is written\n"
		"\n"
		"      --pins DIR         where the books are pinned (%s)\n"
		"      --json             JSON instead of text (all but load, unload, explain, acme)\n"
		"      --log-level LEVEL  error, warn, info or debug (info)\n"
		"  -h, --help             this text\n"
		"  -V, --version          the version\n"
		"changes of the configuration:\n"
		"      --dry-run          say what would change, and change nothing\n"
		"      --if-revision N    only if that is what is in force\n"
		"  -m, --message WHY      for the list of changes\n"
		"load:\n"
		"      --cgroup DIR       count sockets of this cgroup v2 (its root)\n"
		"      --device IF        watch this device's frames; may be repeated (none);\n"
		"                         'eth*' is every device that begins so, now and later\n"
		"      --attach HOW       tcx, clsact or auto (auto)\n"
		"      --xdp IF           watch this device and count before the stack, too (none)\n"
		"      --no-nft           do without the nft table\n"
		"      --hook HOW         sockops or tracepoint tell of open and close (sockops)\n"
		"      --adopt WHOSE      take in open connections of all network namespaces,\n"
		"                         of this one (here), or none (all)\n"
		"      --size MAP=N       room of flows, tcp_totals, wire, wire_totals, names,\n"
		"                         proxy_book, proxy_http, proxy_events (entries),\n"
		"                         records or wire_records (bytes, a power of two)\n"
		"      --config FILE      room for twice what this proxy configuration names\n"
		"      --continue FILE    go on with the totals that export-totals wrote\n"
		"      --by-cgroup        sockets of the host by cgroup (unit of systemd), too\n"
		"      --idle TIME        end of a flow that no socket owns (60s)\n"
		"      --upgrade          replace the programs of a load, keep its books, attach\n"
		"                         again what is not attached any more; alone\n"
		"flows:\n"
		"      --watch            show again every second until Ctrl-C (audit too)\n"
		"      --protocol NAME    tcp, udp, icmp ... or all, by the wire book (tcp)\n"
		"      --listener NAME, --route NAME, --state STATE   only these\n"
		"      --address IP, --port N   only with this at either end (events too)\n"
		"      --sort KEY         %s (opened)\n"
		"      --limit N, --offset N    at most N, behind the first N\n"
		"audit:\n"
		"      --rows             every row, not only those that differ\n"
		"      --accept TEXT      what is there now was looked into: tell only what\n"
		"                         comes after it; TEXT says why\n"
		"events:\n"
		"      --follow           go on with what ends from now on, until Ctrl-C\n"
		"      --last N           begin with the last N (10)\n"
		"      --book NAME        only of the book proxy, tcp or wire\n"
		"      --since TIME       only what ended since then (seconds since 1970)\n"
		"      --listener NAME    only of this one\n"
		"      --exporter URL     whom to ask, unix:PATH too (" FOLLOW_EXPORTER
		")\n"
		"explain:\n"
		"      --method NAME, --header 'NAME: VALUE'   of the request (GET, none)\n"
		"      --address IP       who asks; --listener NAME only at this one\n"
		"      --certificate NAME, or its SHA-256: as if the client had shown it\n"
		"\n"
		"Exit: 0 fine, 1 bad news, 2 wrong usage, 3 not loaded or no permission,\n"
		"4 incomplete: what could be compared agrees, but something is missing.\n",
		TG_PINS, flows_sorts);
}

enum {
	OPT_PINS = 256,
	OPT_JSON,
	OPT_LOG,
	OPT_CGROUP,
	OPT_DEVICE,
	OPT_ATTACH,
	OPT_NO_NFT,
	OPT_WATCH,
	OPT_LISTENER,
	OPT_ROUTE,
	OPT_STATE,
	OPT_SORT,
	OPT_LIMIT,
	OPT_XDP,
	OPT_HOOK,
	OPT_ADOPT,
	OPT_SIZE,
	OPT_IDLE,
	OPT_UPGRADE,
	OPT_CONFIG,
	OPT_CONTINUE,
	OPT_BY_CGROUP,
	OPT_PROTOCOL,
	OPT_FOLLOW,
	OPT_LAST,
	OPT_BOOK,
	OPT_EXPORTER,
	OPT_ROWS,
	OPT_ACCEPT,
	OPT_ADDRESS,
	OPT_PORT,
	OPT_OFFSET,
	OPT_SINCE,
	OPT_METHOD,
	OPT_HEADER,
	OPT_CERTIFICATE,
	OPT_BACKEND,
	OPT_DRY_RUN,
	OPT_RATE,
	OPT_PRUNE,
	OPT_TAKE,
	OPT_IF_REVISION
};

static const struct option long_options[] = {
	{ "pins", required_argument, NULL, OPT_PINS },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "log-level", required_argument, NULL, OPT_LOG },
	{ "cgroup", required_argument, NULL, OPT_CGROUP },
	{ "device", required_argument, NULL, OPT_DEVICE },
	{ "attach", required_argument, NULL, OPT_ATTACH },
	{ "no-nft", no_argument, NULL, OPT_NO_NFT },
	{ "watch", no_argument, NULL, OPT_WATCH },
	{ "listener", required_argument, NULL, OPT_LISTENER },
	{ "route", required_argument, NULL, OPT_ROUTE },
	{ "state", required_argument, NULL, OPT_STATE },
	{ "sort", required_argument, NULL, OPT_SORT },
	{ "limit", required_argument, NULL, OPT_LIMIT },
	{ "xdp", required_argument, NULL, OPT_XDP },
	{ "hook", required_argument, NULL, OPT_HOOK },
	{ "adopt", required_argument, NULL, OPT_ADOPT },
	{ "size", required_argument, NULL, OPT_SIZE },
	{ "idle", required_argument, NULL, OPT_IDLE },
	{ "config", required_argument, NULL, OPT_CONFIG },
	{ "by-cgroup", no_argument, NULL, OPT_BY_CGROUP },
	{ "continue", required_argument, NULL, OPT_CONTINUE },
	{ "upgrade", no_argument, NULL, OPT_UPGRADE },
	{ "protocol", required_argument, NULL, OPT_PROTOCOL },
	{ "follow", no_argument, NULL, OPT_FOLLOW },
	{ "last", required_argument, NULL, OPT_LAST },
	{ "book", required_argument, NULL, OPT_BOOK },
	{ "exporter", required_argument, NULL, OPT_EXPORTER },
	{ "rows", no_argument, NULL, OPT_ROWS },
	{ "accept", required_argument, NULL, OPT_ACCEPT },
	{ "address", required_argument, NULL, OPT_ADDRESS },
	{ "port", required_argument, NULL, OPT_PORT },
	{ "offset", required_argument, NULL, OPT_OFFSET },
	{ "since", required_argument, NULL, OPT_SINCE },
	{ "method", required_argument, NULL, OPT_METHOD },
	{ "header", required_argument, NULL, OPT_HEADER },
	{ "certificate", required_argument, NULL, OPT_CERTIFICATE },
	{ "backend", required_argument, NULL, OPT_BACKEND },
	{ "dry-run", no_argument, NULL, OPT_DRY_RUN },
	{ "rate", required_argument, NULL, OPT_RATE },
	{ "prune", no_argument, NULL, OPT_PRUNE },
	{ "take", no_argument, NULL, OPT_TAKE },
	{ "if-revision", required_argument, NULL, OPT_IF_REVISION },
	{ "message", required_argument, NULL, 'm' },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ 0 },
};

/* Which of the words, of which the last is NULL; -EINVAL with the reason said. */
static int parse_word(const char *option, const char *const *words, const char *text)
{
	for (int i = 0; words[i]; i++) {
		if (strcmp(words[i], text) == 0)
			return i;
	}
	log_error("--%s %s: not known; 'tollgate --help' says what may stand there",
		  option, text);
	return -EINVAL;
}

static int parse_device(const char *option, const char **list, size_t *n)
{
	if (*n == LOAD_DEVICES_MAX) {
		log_error("--%s: at most %d devices", option, LOAD_DEVICES_MAX);
		return -EINVAL;
	}
	list[(*n)++] = optarg;
	return 0;
}

/* MAP=N.  The ring wants a power of two and whole pages (bpf(2)). */
static int parse_size(struct options *o, const char *text)
{
	static const char *const maps[] = {
		"flows",	"tcp_totals",	"wire",	      "wire_totals",
		"proxy_events", "proxy_book",	"proxy_http", "names",
		"records",	"wire_records", NULL
	};
	struct load_size *size = &o->load.sizes[o->load.sizes_n];
	const char *equals = strchr(text, '=');
	uint64_t n;

	if (o->load.sizes_n == LOAD_SIZES_MAX || !equals ||
	    (size_t)(equals - text) >= sizeof(size->map)) {
		log_error("--size %s: not MAP=N", text);
		return -EINVAL;
	}
	(void)snprintf(size->map, sizeof(size->map), "%.*s", (int)(equals - text), text);
	if (parse_word("size", maps, size->map) < 0)
		return -EINVAL;
	if (util_parse_size(equals + 1, 1u << 30, &n) < 0 || n == 0 ||
	    (strstr(size->map, "records") && (n < 4096 || (n & (n - 1))))) {
		log_error("--size %s: from 1 to 1G; rings of records a power of two from "
			  "4096",
			  text);
		return -EINVAL;
	}
	size->entries = (uint32_t)n;
	o->load.sizes_n++;
	return 0;
}

static int parse_count(const char *option, uint64_t max, unsigned long *ret)
{
	uint64_t n;

	if (util_parse_u64(optarg, max, &n) < 0) {
		log_error("--%s %s: not a number up to %llu", option, optarg,
			  (unsigned long long)max);
		return -EINVAL;
	}
	*ret = n;
	return 0;
}

static int parse_address(struct options *o)
{
	if (addr_parse_ip(optarg, o->flows.ip) < 0) {
		log_error(
			"--address %s: not an address such as 203.0.113.9 or 2001:db8::9",
			optarg);
		return -EINVAL;
	}
	o->flows.by_ip = true;
	o->address = optarg;
	return 0;
}

/* What to show, of flows and events. */
static int parse_filter(struct options *o, int opt)
{
	unsigned long n = 0;

	switch (opt) {
	case OPT_ADDRESS:
		return parse_address(o);
	case OPT_PORT:
		if (parse_count("port", UINT16_MAX, &n) < 0)
			return -EINVAL;
		o->flows.port = htons((uint16_t)n);
		return 0;
	case OPT_OFFSET:
		return parse_count("offset", COUNT_MAX, &o->flows.offset);
	case OPT_SINCE:
		return parse_count("since", INT64_MAX, &o->events.since);
	case OPT_LISTENER:
		o->flows.listener = optarg;
		return 0;
	case OPT_ROUTE:
		o->flows.route = optarg;
		return 0;
	case OPT_BACKEND:
		o->backend = optarg;
		return 0;
	case OPT_STATE:
		o->flows.state = optarg;
		return 0;
	case OPT_PROTOCOL:
		o->flows.protocol = optarg;
		return 0;
	case OPT_SORT:
		o->flows.sort = optarg;
		return 0;
	case OPT_LIMIT:
		return parse_count("limit", COUNT_MAX, &o->flows.limit);
	default:
		return -ENOENT;
	}
}

static int parse_load_option(struct options *o, int opt)
{
	static const char *const attach[] = { "auto", "tcx", "clsact", NULL };
	static const char *const hooks[] = { "sockops", "tracepoint", NULL };
	static const char *const adopt[] = { "all", "here", "none", NULL };
	int n = 0;

	for (size_t i = 0; opt != OPT_UPGRADE && long_options[i].name; i++) {
		if (long_options[i].val == opt)
			o->load_only = long_options[i].name;
	}
	switch (opt) {
	case OPT_CGROUP:
		o->load.cgroup = optarg;
		return 0;
	case OPT_DEVICE:
		return parse_device("device", o->load.devices, &o->load.devices_n);
	case OPT_XDP:
		return parse_device("xdp", o->load.xdp, &o->load.xdp_n);
	case OPT_ATTACH:
		n = parse_word("attach", attach, optarg);
		o->load.attach = n < 0 ? LOAD_AUTO : (enum load_attach)n;
		break;
	case OPT_HOOK:
		n = parse_word("hook", hooks, optarg);
		o->load.hook = n < 0 ? TG_BY_SOCKOPS : (enum tg_teller)n;
		break;
	case OPT_ADOPT:
		n = parse_word("adopt", adopt, optarg);
		o->load.adopt = n < 0 ? ADOPT_ALL : (enum adopt_whose)n;
		break;
	case OPT_SIZE:
		return parse_size(o, optarg);
	case OPT_IDLE:
		n = util_parse_duration_ms(optarg, &o->load.idle_ms);
		if (n < 0 || o->load.idle_ms == 0 || o->load.idle_ms > IDLE_MS_MAX) {
			log_error("--idle %s: not a time such as 30s or 5m, up to 168h",
				  optarg);
			return -EINVAL;
		}
		break;
	case OPT_CONFIG:
		o->config = optarg;
		return 0;
	case OPT_BY_CGROUP:
		o->load.by_cgroup = true;
		return 0;
	case OPT_CONTINUE:
		o->load.totals = optarg;
		return 0;
	case OPT_NO_NFT:
		o->no_nft = true;
		return 0;
	case OPT_UPGRADE:
		o->upgrade = true;
		return 0;
	default:
		return -EINVAL; /* getopt has said why */
	}
	return n < 0 ? -EINVAL : 0;
}

/* N/TIME, as rates are in a configuration. */
static int parse_rate(struct options *o)
{
	const char *slash = strchr(optarg, '/');
	char number[24];
	uint64_t n = 0;

	if (slash && (size_t)(slash - optarg) < sizeof(number)) {
		memcpy(number, optarg, (size_t)(slash - optarg));
		number[slash - optarg] = '\0';
		if (util_parse_u64(number, COUNT_MAX, &n) < 0 ||
		    util_parse_duration_ms(slash + 1, &o->rate_ms) < 0)
			n = 0;
	}
	if (!n || o->rate_ms <= 0 || o->rate_ms > 3600000) {
		log_error("--rate %s: not NUMBER/TIME such as 50/1s, of at most 1h",
			  optarg);
		return -EINVAL;
	}
	o->rate_n = n;
	return 0;
}

/* Of what changes the configuration. */
static int parse_change(struct options *o, int opt)
{
	switch (opt) {
	case OPT_DRY_RUN:
		o->dry_run = true;
		return 0;
	case OPT_PRUNE:
		o->prune = true;
		return 0;
	case OPT_TAKE:
		o->take = true;
		return 0;
	case OPT_IF_REVISION:
		if (parse_count("if-revision", INT64_MAX, &o->if_revision) < 0)
			return -EINVAL;
		if (o->if_revision)
			return 0;
		log_error("--if-revision 0: they begin with 1");
		return -EINVAL;
	case 'm':
		o->message = optarg;
		if (optarg[0])
			return 0;
		log_error("--message: say why, or leave it out");
		return -EINVAL;
	default:
		return -ENOENT;
	}
}

/* One more; whether it is one of HTTP is explain's to say. */
static int parse_header(struct options *o)
{
	if (o->headers_n == OPTIONS_HEADERS_MAX || strpbrk(optarg, "\r\n")) {
		log_error("--header: at most %d, of one line each", OPTIONS_HEADERS_MAX);
		return -EINVAL;
	}
	o->headers[o->headers_n++] = optarg;
	return 0;
}

/* 0, or -EINVAL with the reason said. */
static int parse_option(struct options *o, int opt)
{
	static const char *const books[] = { "proxy", "tcp", "wire", NULL };
	int err;

	switch (opt) {
	case OPT_PINS:
		o->pins = optarg;
		return 0;
	case OPT_JSON:
		o->json = true;
		return 0;
	case OPT_LOG:
		if (log_set_level(optarg) == 0)
			return 0;
		log_error("--log-level %s: not error, warn, info or debug", optarg);
		return -EINVAL;
	case OPT_WATCH:
		o->watch = true;
		return 0;
	case OPT_FOLLOW:
		o->events.follow = true;
		return 0;
	case OPT_LAST:
		return parse_count("last", COUNT_MAX, &o->events.last);
	case OPT_BOOK:
		o->events.book = optarg;
		return parse_word("book", books, optarg) < 0 ? -EINVAL : 0;
	case OPT_EXPORTER:
		o->events.exporter = optarg;
		return 0;
	case OPT_ROWS:
		o->rows = true;
		return 0;
	case OPT_ACCEPT:
		o->accept = optarg;
		return 0;
	case OPT_METHOD:
		o->method = optarg;
		return 0;
	case OPT_CERTIFICATE:
		o->certificate = optarg;
		return 0;
	case OPT_HEADER:
		return parse_header(o);
	case OPT_RATE:
		return parse_rate(o);
	default:
		err = parse_change(o, opt);
		if (err == -ENOENT)
			err = parse_filter(o, opt);
		return err == -ENOENT ? parse_load_option(o, opt) : err;
	}
}

int options_parse(int argc, char **argv, struct options *ret)
{
	int opt;

	while ((opt = getopt_long(argc, argv, "hVm:", long_options, NULL)) != -1) {
		if (opt == 'h') {
			usage(stdout);
			return EXIT_OK;
		}
		if (opt == 'V') {
			puts("tollgate " TOLLGATE_VERSION);
			return EXIT_OK;
		}
		if (parse_option(ret, opt) < 0)
			return EXIT_USAGE;
	}
	if (optind == argc) {
		usage(stderr);
		return EXIT_USAGE;
	}
	ret->args = argv + optind;
	ret->args_n = argc - optind;
	return -1;
}
