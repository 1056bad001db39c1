/* SPDX-License-Identifier: Apache-2.0 */
/* tollgate-proxy: its options. */
#include <getopt.h>
#include <stdio.h>

#include "base/log.h"
#include "base/version.h"
#include "process/daemon.h"

static void usage(FILE *out)
{
	fputs("usage: tollgate-proxy --config FILE [--check | --upgrade] [--apply-at-start]\n"
	      "                      [--pins DIR] [--log-level LEVEL] [--log-format FORMAT]\n"
	      "\n"
	      "Route TLS connections by server name and TCP connections by port, and keep\n"
	      "the proxy's book beside the kernel's.  'tollgate load' must have run.\n"
	      "\n"
	      "  -c, --config FILE      the configuration, see tollgate.yaml(5)\n"
	      "      --check            say all that is wrong with the configuration, and end\n"
	      "      --upgrade          take over from the proxy that is running, with its\n"
	      "                         listening sockets and live connections\n"
	      "      --apply-at-start   with 'state: database': take the file, as 'tollgate\n"
	      "                         apply --take' does, whenever the program starts\n"
	      "      --pins DIR         where the books are pinned (" TG_PINS ")\n"
	      "      --log-level LEVEL  error, warn, info or debug (info)\n"
	      "      --log-format FORMAT  text, or json: an object a line (text)\n"
	      "  -h, --help             this text\n"
	      "  -V, --version          the version\n"
	      "\n"
	      "SIGHUP reads the configuration again; SIGUSR2 starts the program anew, to take\n"
	      "over as with --upgrade; SIGTERM and SIGINT drain and stop,\n"
	      "a second one stops at once.\n"
	      "Exit: 0 fine, 1 cannot run, 2 wrong usage, 3 not loaded or no permission.\n",
	      out);
}

/* One option; -1 to go on, or what to exit with. */
static int parse_option(int opt, struct daemon *d, bool *check)
{
	switch (opt) {
	case 'c':
		d->config_path = optarg;
		return -1;
	case 'p':
		d->pins = optarg;
		return -1;
	case 'u':
		d->upgrade = true;
		return -1;
	case 'a':
		d->apply_at_start = true;
		return -1;
	case 'k':
		*check = true;
		return -1;
	case 'l':
		if (log_set_level(optarg) == 0)
			return -1;
		log_error("--log-level %s: not error, warn, info or debug", optarg);
		return EXIT_USAGE;
	case 'f':
		if (log_set_format(optarg) == 0)
			return -1;
		log_error("--log-format %s: not text or json", optarg);
		return EXIT_USAGE;
	case 'h':
		usage(stdout);
		return EXIT_OK;
	case 'V':
		puts("tollgate-proxy " TOLLGATE_VERSION);
		return EXIT_OK;
	default:
		usage(stderr);
		return EXIT_USAGE;
	}
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "pins", required_argument, NULL, 'p' },
		{ "upgrade", no_argument, NULL, 'u' },
		{ "check", no_argument, NULL, 'k' },
		{ "apply-at-start", no_argument, NULL, 'a' },
		{ "log-level", required_argument, NULL, 'l' },
		{ "log-format", required_argument, NULL, 'f' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ 0 },
	};
	struct daemon d = { .pins = TG_PINS,
			    .sigfd = -1,
			    .endfd = -1,
			    .old_fd = -1,
			    .successor_fd = -1,
			    .given_fd = -1,
			    .control_fd = -1 };
	bool check = false;
	int opt, ret;

	log_init("tollgate-proxy");
	while ((opt = getopt_long(argc, argv, "c:hV", options, NULL)) != -1) {
		ret = parse_option(opt, &d, &check);
		if (ret >= 0)
			return ret;
	}
	if (!d.config_path || optind != argc) {
		if (!d.config_path)
			log_error("--config is missing: tollgate-proxy --config FILE");
		usage(stderr);
		return EXIT_USAGE;
	}
	return check ? daemon_check(&d) : daemon_run(&d, argv);
}
