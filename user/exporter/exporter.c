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
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/host.h"
#include "base/log.h"
#include "base/notify.h"
#include "base/rundir.h"
#include "base/sandbox.h"
#include "base/util.h"
#include "base/version.h"
#include "book/book.h"
#include "book/explain.h"
#include "book/pin.h"
#include "exporter/events.h"
#include "exporter/http.h"
#include "exporter/pages.h"
#include "exporter/sse.h"
#include "load/keep.h"

#define LISTEN_DEFAULT "127.0.0.1:9980"
#define BACKLOG	       128

enum { EXIT_OK = 0, EXIT_BAD = 1, EXIT_USAGE = 2, EXIT_NOT_LOADED = 3 };

struct exporter {
	struct book *book;
	struct events *events;
	struct sse *sse;
	struct pages *pages;
	struct http *http;
	struct keep keep;
	int lock_fd; /* this load has one exporter; -1: not taken */
};

static void usage(FILE *out)
{
	fprintf(out,
		"usage: tollgate-exporter [--listen WHERE] [--pins DIR] [--user NAME]\n"
		"\n"
		"Serve the books over HTTP: %s.\n"
		"'tollgate load' must have run.\n"
		"\n"
		"  -l, --listen WHERE         ADDRESS:PORT or unix:PATH (" LISTEN_DEFAULT
		")\n"
		"      --pins DIR             where the books are pinned (" TG_PINS ")\n"
		"      --user NAME            whom to become (nobody)\n"
		"      --records N            ended connections of each book to keep in memory\n"
		"                             (1000)\n"
		"      --events-file PATH     write each as a JSON line, - for standard output\n"
		"      --events-size SIZE     rotate the file after so many bytes (64M)\n"
		"      --events-keep N        rotated files to keep, PATH.1 the newest (5)\n"
		"      --log-level LEVEL      error, warn, info or debug (info)\n"
		"      --log-format FORMAT    text, or json: an object a line (text)\n"
		"  -h, --help                 this text\n"
		"  -V, --version              the version\n"
		"\n"
		"SIGHUP opens the events file anew; SIGTERM and SIGINT stop.\n"
		"Exit: 0 fine, 1 cannot run, 2 wrong usage, 3 not loaded or no permission.\n",
		pages_list());
}

/* --- listening --- */

static int bind_unix(const char *path)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	struct stat st;
	int fd, err;

	if (!*path || strlen(path) >= sizeof(name.sun_path)) {
		log_error("--listen unix:%s: a path of 1 to %zu characters", path,
			  sizeof(name.sun_path) - 1);
		return -EINVAL;
	}
	memcpy(name.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return log_errno(-errno, "cannot open a socket");
	/* of an exporter that was killed: nobody answers */
	if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode) &&
	    connect(fd, (struct sockaddr *)&name, sizeof(name)) < 0 &&
	    errno == ECONNREFUSED)
		(void)unlink(path);
	close(fd);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && bind(fd, (struct sockaddr *)&name, sizeof(name)) == 0 &&
	    chmod(path, 0666) == 0) /* the directory says who may */
		return fd;
	err = log_errno(-errno, "cannot listen on %s", path);
	if (fd >= 0)
		close(fd);
	return err;
}

static int bind_tcp(const char *text)
{
	static const int on = 1;
	struct sockaddr_storage ss;
	struct addr addr;
	socklen_t len;
	int fd, err;

	if (addr_parse(text, &addr) < 0) {
		log_error("--listen %s: not ADDRESS:PORT, [V6ADDRESS]:PORT or unix:PATH",
			  text);
		return -EINVAL;
	}
	len = addr_to_sockaddr(&addr, &ss);
	fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
	    bind(fd, (struct sockaddr *)&ss, len) == 0)
		return fd;
	err = log_errno(-errno, "cannot listen on %s", text);
	if (fd >= 0)
		close(fd);
	return err;
}

/* A listening socket, or a negative errno, logged. */
static int listen_on(const char *text)
{
	int fd = strncmp(text, "unix:", 5) == 0 ? bind_unix(text + 5) : bind_tcp(text);

	if (fd >= 0 && listen(fd, BACKLOG) < 0) {
		int err = log_errno(-errno, "cannot listen on %s", text);

		close(fd);
		return err;
	}
	return fd;
}

/* --- life --- */

/* There may be news; and time passes. */
static void on_turn(void *arg)
{
	struct exporter *e = arg;

	http_sweep(e->http);
	sse_wake(e->sse);
}

static void wait_for_end(struct exporter *e, int sigfd)
{
	struct pollfd p = { .fd = sigfd, .events = POLLIN };
	struct signalfd_siginfo sig;

	for (;;) {
		if (poll(&p, 1, -1) <= 0 || read(sigfd, &sig, sizeof(sig)) != sizeof(sig))
			continue;
		if (sig.ssi_signo != SIGHUP)
			return;
		events_reopen(e->events);
	}
}

/*
 * Whom it answers is where it was started; what it reads is of the load's namespace.  If
 * that cannot be entered it serves what there is, and says that it is incomplete.
 */
static void enter_load(const struct exporter *e)
{
	int err = host_enter_netns(book_meta(e->book)->netns_cookie);

	if (err && err != -ESRCH)
		(void)log_errno(err, "cannot enter the network namespace of the load");
	else if (err)
		log_warn(
			"the network namespace of the load is gone; continuing with what "
			"its maps hold");
}

static int serve(struct exporter *e, const char *listen_text, const char *user)
{
	static const cap_value_t keep[] = { CAP_NET_ADMIN };
	sigset_t set;
	int sigfd, fd, err;

	fd = listen_on(listen_text);
	if (fd < 0)
		return fd == -EINVAL ? EXIT_USAGE : EXIT_BAD;
	enter_load(e);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	sigfd = signalfd(-1, &set, SFD_CLOEXEC);
	if (sigfd < 0 || sandbox_enter(user, keep, 1) < 0) {
		close(fd);
		return EXIT_BAD;
	}
	err = http_start(fd, pages_answer, e->pages, &e->http);
	if (err) {
		(void)log_errno(err, "cannot serve on %s", listen_text);
		close(fd);
		return EXIT_BAD;
	}
	err = events_start(e->events, on_turn, e);
	if (!err) {
		log_info("version %s: %s%s/metrics", TOLLGATE_VERSION,
			 strncmp(listen_text, "unix:", 5) == 0 ? "" : "http://",
			 listen_text);
		(void)notify("READY=1\nSTATUS=serving at %.200s", listen_text);
		wait_for_end(e, sigfd);
	}
	events_stop(e->events);
	sse_stop(e->sse);
	http_stop(e->http);
	if (strncmp(listen_text, "unix:", 5) == 0)
		(void)unlink(listen_text + 5);
	close(sigfd);
	return err ? EXIT_BAD : EXIT_OK;
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

/* A second one would take half of the ended connections from the first. */
static int be_alone(const char *pins, struct exporter *e)
{
	char dir[RUNDIR_PATH];
	int err = rundir_make(pin_map_id(pins, "meta"), dir);
	pid_t pid = 0;

	if (!err)
		e->lock_fd = rundir_lock(dir, "exporter.lock", &pid);
	if (!err && e->lock_fd == -EBUSY) {
		log_error(
			"another tollgate-exporter (pid %d) reads the books in %s; stop it "
			"first",
			(int)pid, pins);
		return -EBUSY;
	}
	if (err || e->lock_fd < 0)
		log_warn("cannot see whether another exporter reads these books (%s); "
			 "continuing",
			 strerror(err ? -err : -e->lock_fd));
	return 0;
}

static int open_all(const char *pins, const struct events_opts *opts, struct exporter *e)
{
	int err = book_open(pins, &e->book);

	if (!err)
		err = be_alone(pins, e);
	if (!err)
		err = events_open(pins, e->book, opts, &e->events);
	if (!err) {
		e->sse = sse_new(e->events);
		e->pages = e->sse ? pages_new(e->book, e->events, e->sse) : NULL;
		err = e->pages ? 0 : -ENOMEM;
	}
	return err;
}

static void close_all(struct exporter *e)
{
	events_close(e->events);
	pages_free(e->pages);
	sse_free(e->sse);
	book_close(e->book);
	if (e->lock_fd >= 0)
		close(e->lock_fd);
	keep_end(&e->keep);
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
	case 'F':
		if (log_set_format(optarg) == 0)
			return -1;
		log_error("--log-format %s: not text or json", optarg);
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
		{ "log-format", required_argument, NULL, 'F' },
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
	struct exporter e = { .lock_fd = -1 };
	int err;

	log_init("tollgate-exporter");
	err = parse_options(argc, argv, &o);
	if (err >= 0)
		return err;
	err = keep_begin(o.pins, &e.keep);
	if (err)
		(void)log_errno(err, "nobody attaches again what is detached");
	err = open_all(o.pins, &o.events, &e);
	if (err)
		book_explain(err, o.pins);
	err = err == -EBUSY ? EXIT_BAD
	      : err	    ? EXIT_NOT_LOADED
			    : serve(&e, o.listen_text, o.user);
	close_all(&e);
	return err;
}
