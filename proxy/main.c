/* SPDX-License-Identifier: Apache-2.0 */
/* tollgate-proxy: its options. */
#include <getopt.h>
#include <stdio.h>

#include "base/log.h"
#include "base/version.h"
#include "process/daemon.h"

static void usage(FILE *out)
{
	fputs("usage: tollgate-proxy --config FILE [--upgrade] [--pins DIR] [--log-level LEVEL]\n"
	      "\n"
	      "Route TLS connections by server name and TCP connections by port, and keep\n"
	      "the proxy's book beside the kernel's.  'tollgate load' must have run.\n"
	      "\n"
	      "  -c, --config FILE      the configuration, see tollgate.yaml(5)\n"
	      "      --upgrade          take over from the proxy that is running, with its\n"
	      "                         listening sockets and live connections\n"
	      "      --pins DIR         where the books are pinned (" TG_PINS ")\n"
	      "      --log-level LEVEL  error, warn, info or debug (info)\n"
	      "  -h, --help             this text\n"
	      "  -V, --version          the version\n"
	      "\n"
	      "SIGHUP reads the configuration again; SIGUSR2 starts the program anew, to take\n"
	      "over as with --upgrade; SIGTERM and SIGINT drain and stop,\n"
	      "a second one stops at once.\n"
	      "Exit: 0 fine, 1 cannot run, 2 wrong usage, 3 not loaded or no permission.\n",
	      out);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "pins", required_argument, NULL, 'p' },
		{ "upgrade", no_argument, NULL, 'u' },
		{ "log-level", required_argument, NULL, 'l' },
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
	int opt;

	log_init("tollgate-proxy");
	while ((opt = getopt_long(argc, argv, "c:hV", options, NULL)) != -1) {
		switch (opt) {
		case 'c':
			d.config_path = optarg;
			break;
		case 'p':
			d.pins = optarg;
			break;
		case 'u':
			d.upgrade = true;
			break;
		case 'l':
			if (log_set_level(optarg) < 0) {
				log_error(
					"--log-level %s: not error, warn, info or debug",
					optarg);
				return EXIT_USAGE;
			}
			break;
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
	if (!d.config_path || optind != argc) {
		if (!d.config_path)
			log_error("--config is missing: tollgate-proxy --config FILE");
		usage(stderr);
		return EXIT_USAGE;
	}
	return daemon_run(&d, argv);
}
