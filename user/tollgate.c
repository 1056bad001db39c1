/* SPDX-License-Identifier: Apache-2.0 */
/* The command: options, one function a subcommand, exit codes. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "base/log.h"
#include "base/util.h"
#include "book/audit.h"
#include "book/book.h"
#include "book/explain.h"
#include "flows.h"
#include "follow.h"
#include "load.h"
#include "proxy/config.h"
#include "status.h"
#include "version.h"

#define AUDIT_TRIES 20
#define IDLE_MS_MAX (7 * 24 * 3600 * 1000ll)

enum { EXIT_OK = 0, EXIT_BAD = 1, EXIT_USAGE = 2, EXIT_NOT_LOADED = 3 };

struct options {
	const char *pins;
	bool json;
	bool watch;
	bool no_nft;
	bool upgrade;
	struct follow_opts events;
	struct load_opts load;
	struct flows_opts flows;
	char **args;
	int args_n;
};

static void usage(FILE *out)
{
	fprintf(out,
		"usage: tollgate COMMAND [OPTION]...\n"
		"\n"
		"  load           load the kernel side: programs, maps, nft table\n"
		"  unload         remove it again, and with it every count\n"
		"  status         what is loaded, who runs, how much was counted\n"
		"  flows          live connections\n"
		"  audit          compare the four books; exit 1 if they differ\n"
		"  events         ended connections, as the exporter has recorded them\n"
		"  check FILE     check a proxy configuration\n"
		"\n"
		"      --pins DIR         where the books are pinned (%s)\n"
		"      --json             JSON instead of text (status, flows, audit, events)\n"
		"      --log-level LEVEL  error, warn, info or debug (info)\n"
		"  -h, --help             this text\n"
		"  -V, --version          the version\n"
		"load:\n"
		"      --cgroup DIR       count sockets of this cgroup v2 (its root)\n"
		"      --device IF        watch this device's frames; may be repeated (none)\n"
		"      --attach HOW       tcx, clsact or auto (auto)\n"
		"      --xdp IF           watch this device and count before the stack, too (none)\n"
		"      --no-nft           do without the nft table\n"
		"      --hook HOW         sockops or tracepoint tell of open and close (sockops)\n"
		"      --adopt WHOSE      take in open connections of all network namespaces,\n"
		"                         of this one (here), or none (all)\n"
		"      --size MAP=N       room of flows, tcp_totals, wire, wire_totals,\n"
		"                         proxy_events (entries)\n"
		"                         or records (bytes, a power of two)\n"
		"      --idle TIME        end of a flow that no socket owns (60s)\n"
		"      --upgrade          replace the programs of a load, keep its books\n"
		"flows:\n"
		"      --watch            show again every second until Ctrl-C (audit too)\n"
		"      --protocol NAME    tcp, udp, icmp ... or all, by the wire book (tcp)\n"
		"      --listener NAME, --route NAME, --state STATE   only these\n"
		"      --sort KEY         %s (opened)\n"
		"      --limit N          at most N\n"
		"events:\n"
		"      --follow           go on with what ends from now on, until Ctrl-C\n"
		"      --last N           begin with the last N (10)\n"
		"      --book NAME        only of the book proxy, tcp or wire\n"
		"      --exporter URL     whom to ask (" FOLLOW_EXPORTER ")\n"
		"\n"
		"Exit: 0 fine, 1 bad news, 2 wrong usage, 3 not loaded or no permission.\n",
		TG_PINS, flows_sorts);
}

static int open_book(const struct options *o, struct book **ret)
{
	int err = book_open(o->pins, ret);

	if (err)
		book_explain(err, o->pins);
	return err ? EXIT_NOT_LOADED : EXIT_OK;
}

static int print_json(json_t *json)
{
	if (!json) {
		(void)log_errno(-ENOMEM, "cannot print");
		return EXIT_BAD;
	}
	(void)json_dumpf(json, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(json);
	return EXIT_OK;
}

/* What XDP counts is compared with the wire book, so the device is watched, too. */
static void watch_xdp_devices(struct load_opts *load)
{
	for (size_t i = 0; i < load->xdp_n; i++) {
		bool watched = false;

		for (size_t k = 0; k < load->devices_n; k++)
			watched |= strcmp(load->devices[k], load->xdp[i]) == 0;
		if (!watched && load->devices_n < LOAD_DEVICES_MAX)
			load->devices[load->devices_n++] = load->xdp[i];
	}
}

static int cmd_load(struct options *o)
{
	int err;

	watch_xdp_devices(&o->load);
	o->load.pins = o->pins;
	o->load.nft = !o->no_nft;
	err = o->upgrade ? upgrade_run(&o->load) : load_run(&o->load);
	if (o->upgrade && err == -ENOENT)
		return EXIT_NOT_LOADED;
	if (err == -EPERM || err == -EACCES)
		return EXIT_NOT_LOADED;
	return err ? EXIT_BAD : EXIT_OK;
}

static int cmd_unload(struct options *o)
{
	int err = unload_run(o->pins);

	return err == 0						   ? EXIT_OK
	       : err == -ENOENT || err == -EPERM || err == -EACCES ? EXIT_NOT_LOADED
								   : EXIT_BAD;
}

static int with_snapshot(struct options *o, unsigned want,
			 int (*show)(struct options *o, struct snapshot *s))
{
	struct snapshot *s;
	struct book *b;
	int err;

	err = open_book(o, &b);
	if (err)
		return err;
	err = snapshot_take(b, want, &s);
	if (err) {
		(void)log_errno(err, "cannot read the books in %s", o->pins);
		err = EXIT_BAD;
	} else {
		err = show(o, s);
		snapshot_free(s);
	}
	book_close(b);
	return err;
}

static void print_xdp(const char *device, const char *mode, void *arg)
{
	(void)arg;
	printf("xdp        %s %s\n", device, mode);
}

static void add_xdp(const char *device, const char *mode, void *arg)
{
	json_object_set_new(arg, device, json_string(mode));
}

static int show_status(struct options *o, struct snapshot *s)
{
	json_t *json, *xdp;

	if (!o->json) {
		status_print(stdout, s, o->pins);
		attach_each_xdp(o->pins, print_xdp, NULL);
		return EXIT_OK;
	}
	json = status_json(s);
	xdp = json_object();
	attach_each_xdp(o->pins, add_xdp, xdp);
	json_object_set_new(json, "xdp", xdp);
	return print_json(json);
}

static int cmd_status(struct options *o)
{
	return with_snapshot(o, BOOK_NFT, show_status);
}

static int show_flows(struct options *o, struct snapshot *s)
{
	if (o->json)
		return print_json(flows_json(s, &o->flows));
	if (flows_print(stdout, s, &o->flows) == 0)
		puts("(no live connection)");
	return EXIT_OK;
}

static int cmd_flows(struct options *o)
{
	static const struct timespec second = { .tv_sec = 1 };
	int err;

	if (flows_check(&o->flows) < 0) {
		log_error("--sort %s: not one of %s", o->flows.sort, flows_sorts);
		return EXIT_USAGE;
	}
	for (;;) {
		if (o->watch && isatty(STDOUT_FILENO))
			fputs("\033[H\033[2J", stdout);
		err = with_snapshot(o, BOOK_FLOWS, show_flows);
		if (err || !o->watch)
			return err;
		fflush(stdout);
		(void)nanosleep(&second, NULL);
	}
}

static int audit_once(struct options *o, struct book *b)
{
	uint64_t sum = 0;
	struct audit a;
	int err;

	err = audit_run(b, AUDIT_TRIES, &a);
	if (err) {
		(void)log_errno(err, "cannot read the books in %s", o->pins);
		return EXIT_BAD;
	}
	if (o->json)
		(void)print_json(audit_json(&a));
	else
		audit_print(stdout, &a);
	for (int i = 0; i < AUDIT_MAX; i++)
		sum += a.residual[i];
	audit_free(&a);
	return sum ? EXIT_BAD : EXIT_OK;
}

/* With --watch: again every second, one JSON object a line or the text anew. */
static int cmd_audit(struct options *o)
{
	static const struct timespec second = { .tv_sec = 1 };
	struct book *b;
	int err;

	err = open_book(o, &b);
	if (err)
		return err;
	for (;;) {
		if (o->watch && !o->json && isatty(STDOUT_FILENO))
			fputs("\033[H\033[2J", stdout);
		err = audit_once(o, b);
		if (!o->watch || fflush(stdout) != 0)
			break;
		(void)nanosleep(&second, NULL);
	}
	book_close(b);
	return err;
}

static int cmd_events(struct options *o)
{
	int err;

	o->events.json = o->json;
	err = follow_run(&o->events);
	return err == -ENOENT ? EXIT_NOT_LOADED : err ? EXIT_BAD : EXIT_OK;
}

static int cmd_check(struct options *o)
{
	char why[CONFIG_ERROR_MAX];
	struct config *c;

	if (o->args_n != 1) {
		log_error("check: name one file");
		return EXIT_USAGE;
	}
	if (config_load(o->args[0], &c, why) < 0 || config_resolve(c, why) < 0) {
		log_error("%s", why);
		return EXIT_BAD;
	}
	printf("%s: fine, %u listener%s\n", o->args[0], c->listeners_count,
	       c->listeners_count == 1 ? "" : "s");
	config_put(c);
	return EXIT_OK;
}

static const struct {
	const char *name;
	int (*fn)(struct options *o);
	int args; /* words after the command */
} commands[] = {
	{ "load", cmd_load, 0 },     { "unload", cmd_unload, 0 },
	{ "status", cmd_status, 0 }, { "flows", cmd_flows, 0 },
	{ "audit", cmd_audit, 0 },   { "check", cmd_check, 1 },
	{ "events", cmd_events, 0 },
};

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
	OPT_PROTOCOL,
	OPT_FOLLOW,
	OPT_LAST,
	OPT_BOOK,
	OPT_EXPORTER
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
	{ "upgrade", no_argument, NULL, OPT_UPGRADE },
	{ "protocol", required_argument, NULL, OPT_PROTOCOL },
	{ "follow", no_argument, NULL, OPT_FOLLOW },
	{ "last", required_argument, NULL, OPT_LAST },
	{ "book", required_argument, NULL, OPT_BOOK },
	{ "exporter", required_argument, NULL, OPT_EXPORTER },
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
	static const char *const maps[] = { "flows",   "tcp_totals",  "wire",
					    "records", "wire_totals", "proxy_events",
					    NULL };
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
	    (strcmp(size->map, "records") == 0 && (n < 4096 || (n & (n - 1))))) {
		log_error("--size %s: from 1 to 1G; records a power of two from 4096",
			  text);
		return -EINVAL;
	}
	size->entries = (uint32_t)n;
	o->load.sizes_n++;
	return 0;
}

static int parse_count(const char *option, unsigned long *ret)
{
	uint64_t n;

	if (util_parse_u64(optarg, 1000000, &n) < 0) {
		log_error("--%s %s: not a number up to 1000000", option, optarg);
		return -EINVAL;
	}
	*ret = n;
	return 0;
}

static int parse_load_option(struct options *o, int opt)
{
	static const char *const attach[] = { "auto", "tcx", "clsact", NULL };
	static const char *const hooks[] = { "sockops", "tracepoint", NULL };
	static const char *const adopt[] = { "all", "here", "none", NULL };
	int n = 0;

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
		o->load.hook = n < 0 ? TG_HOOK_SOCKOPS : (enum tg_hook)n;
		break;
	case OPT_ADOPT:
		n = parse_word("adopt", adopt, optarg);
		o->load.adopt = n < 0 ? LOAD_ADOPT_ALL : (enum load_adopt)n;
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

/* 0, or -EINVAL with the reason said. */
static int parse_option(struct options *o, int opt)
{
	static const char *const books[] = { "proxy", "tcp", "wire", NULL };
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
	case OPT_LISTENER:
		o->flows.listener = optarg;
		return 0;
	case OPT_ROUTE:
		o->flows.route = optarg;
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
		return parse_count("limit", &o->flows.limit);
	case OPT_FOLLOW:
		o->events.follow = true;
		return 0;
	case OPT_LAST:
		return parse_count("last", &o->events.last);
	case OPT_BOOK:
		o->events.book = optarg;
		return parse_word("book", books, optarg) < 0 ? -EINVAL : 0;
	case OPT_EXPORTER:
		o->events.exporter = optarg;
		return 0;
	default:
		return parse_load_option(o, opt);
	}
}

int main(int argc, char **argv)
{
	struct options o = { .pins = TG_PINS,
			     .events = { .exporter = FOLLOW_EXPORTER, .last = 10 } };
	const char *command;
	int opt;

	log_init("tollgate");
	while ((opt = getopt_long(argc, argv, "hV", long_options, NULL)) != -1) {
		if (opt == 'h') {
			usage(stdout);
			return EXIT_OK;
		}
		if (opt == 'V') {
			puts("tollgate " TOLLGATE_VERSION);
			return EXIT_OK;
		}
		if (parse_option(&o, opt) < 0)
			return EXIT_USAGE;
	}
	if (optind == argc) {
		usage(stderr);
		return EXIT_USAGE;
	}
	command = argv[optind++];
	o.args = argv + optind;
	o.args_n = argc - optind;
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		if (strcmp(command, commands[i].name) != 0)
			continue;
		if (o.args_n > commands[i].args) {
			log_error("%s: '%s' is one word too many", command,
				  o.args[commands[i].args]);
			return EXIT_USAGE;
		}
		return commands[i].fn(&o);
	}
	log_error("no command '%s'; 'tollgate --help' lists them", command);
	return EXIT_USAGE;
}
