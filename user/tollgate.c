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
#include "load.h"
#include "proxy/config.h"
#include "status.h"
#include "version.h"

#define AUDIT_TRIES 20

enum { EXIT_OK = 0, EXIT_BAD = 1, EXIT_USAGE = 2, EXIT_NOT_LOADED = 3 };

struct options {
	const char *pins;
	bool json;
	bool watch;
	bool no_nft;
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
		"  check FILE     check a proxy configuration\n"
		"\n"
		"      --pins DIR         where the books are pinned (%s)\n"
		"      --json             JSON instead of text (status, flows, audit)\n"
		"      --log-level LEVEL  error, warn, info or debug (info)\n"
		"  -h, --help             this text\n"
		"  -V, --version          the version\n"
		"load:\n"
		"      --cgroup DIR       count sockets of this cgroup v2 (its root)\n"
		"      --device IF        watch this device's frames; may be repeated (none)\n"
		"      --attach HOW       tcx, clsact or auto (auto)\n"
		"      --no-nft           do without the nft table\n"
		"flows:\n"
		"      --watch            show again every second until Ctrl-C\n"
		"      --listener NAME, --route NAME, --state STATE   only these\n"
		"      --sort KEY         %s (opened)\n"
		"      --limit N          at most N\n"
		"\n"
		"Exit: 0 fine, 1 bad news, 2 wrong usage, 3 not loaded or no permission.\n",
		PINS_DEFAULT, flows_sorts);
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

static int cmd_load(struct options *o)
{
	int err;

	o->load.pins = o->pins;
	o->load.nft = !o->no_nft;
	err = load_run(&o->load);
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

static int show_status(struct options *o, struct snapshot *s)
{
	if (o->json)
		return print_json(status_json(s));
	status_print(stdout, s, o->pins);
	return EXIT_OK;
}

static int cmd_status(struct options *o)
{
	return with_snapshot(o, BOOK_FLOWS | BOOK_NFT, show_status);
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

static int cmd_audit(struct options *o)
{
	uint64_t sum = 0;
	struct audit a;
	struct book *b;
	int err;

	err = open_book(o, &b);
	if (err)
		return err;
	err = audit_run(b, AUDIT_TRIES, &a);
	book_close(b);
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
	OPT_LIMIT
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
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ 0 },
};

static int parse_attach(struct options *o, const char *text)
{
	static const char *const names[] = { "auto", "tcx", "clsact" };

	for (int i = 0; i < 3; i++) {
		if (strcmp(names[i], text) == 0) {
			o->load.attach = (enum load_attach)i;
			return 0;
		}
	}
	log_error("--attach %s: not auto, tcx or clsact", text);
	return -EINVAL;
}

/* 0, or -EINVAL with the reason said. */
static int parse_option(struct options *o, int opt) /* lint: table */
{
	uint64_t n;

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
	case OPT_CGROUP:
		o->load.cgroup = optarg;
		return 0;
	case OPT_DEVICE:
		if (o->load.devices_n == LOAD_DEVICES_MAX) {
			log_error("--device: at most %d devices", LOAD_DEVICES_MAX);
			return -EINVAL;
		}
		o->load.devices[o->load.devices_n++] = optarg;
		return 0;
	case OPT_ATTACH:
		return parse_attach(o, optarg);
	case OPT_NO_NFT:
		o->no_nft = true;
		return 0;
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
	case OPT_SORT:
		o->flows.sort = optarg;
		return 0;
	case OPT_LIMIT:
		if (util_parse_u64(optarg, 1000000, &n) < 0) {
			log_error("--limit %s: not a number up to 1000000", optarg);
			return -EINVAL;
		}
		o->flows.limit = n;
		return 0;
	default:
		return -EINVAL; /* getopt has said why */
	}
}

int main(int argc, char **argv)
{
	struct options o = { .pins = PINS_DEFAULT };
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
