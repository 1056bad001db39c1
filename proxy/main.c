/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tollgate-proxy: start, give up privilege, run the workers, obey signals.  The main
 * thread does all that may block (files, names, nft); it never touches a client's byte.
 */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/host.h"
#include "base/log.h"
#include "base/sandbox.h"
#include "base/util.h"
#include "book/explain.h"
#include "config.h"
#include "keep.h"
#include "keeper.h"
#include "handover.h"
#include "listener.h"
#include "starter.h"
#include "target.h"
#include "upgrade.h"
#include "version.h"
#include "worker.h"
#include "zombies.h"

#define HEARTBEAT_MS 1000
#define NAMES_MS     3000
#define FDS_RESERVED 64
#define BUFFERS_MAX  4096 /* a worker: 64 MiB */

enum { EXIT_OK = 0, EXIT_BAD = 1, EXIT_USAGE = 2, EXIT_NOT_LOADED = 3 };

struct daemon {
	struct proxy proxy;
	struct keeper *keeper;
	struct zombies *zombies;
	struct config *config; /* a reference */
	int *fds;	       /* its listening sockets, [listener * workers + worker] */
	const char *config_path;
	const char *pins;
	bool upgrade; /* we take over from a running proxy */
	int old_fd;   /* to it, -1 if there is none */
	struct inherited *inherited;
	unsigned inherited_n;
	int successor_fd;	/* where one may come */
	struct starter starter; /* for SIGUSR2 */
	struct keep keep;	/* attaches again what was detached */
	bool succeeded;		/* one has come, and these are our last connections */
};

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

/* --- activating a configuration --- */

/* The listener of the running configuration that has the same sockets, or NULL. */
static const struct listener *same_listener(const struct config *old,
					    const struct listener *l)
{
	for (unsigned i = 0; old && i < old->listeners_count; i++) {
		const struct listener *o = &old->listeners[i];

		if (o->id == l->id && o->ipv6_only == l->ipv6_only &&
		    memcmp(&o->addr, &l->addr, sizeof(l->addr)) == 0)
			return o;
	}
	return NULL;
}

/* Does the running configuration listen on that address, under whatever name? */
static bool listens_there(const struct config *old, const struct listener *l)
{
	for (unsigned i = 0; old && i < old->listeners_count; i++) {
		if (memcmp(&old->listeners[i].addr, &l->addr, sizeof(l->addr)) == 0)
			return true;
	}
	return false;
}

/* What there is; true if every worker has one. */
static bool inherit_all(struct daemon *d, const struct listener *l, int *fds)
{
	bool all = true;

	for (unsigned i = 0; i < d->proxy.workers_n; i++) {
		fds[i] = upgrade_socket(d->inherited, d->inherited_n, l);
		all &= fds[i] >= 0;
	}
	return all;
}

/* fds[listener * workers + worker] of listeners that are new; -1 elsewhere. */
static int open_listeners(struct daemon *d, const struct config *c, int *fds)
{
	unsigned n = d->proxy.workers_n;
	int err;

	for (unsigned i = 0; i < c->listeners_count; i++) {
		if (same_listener(d->config, &c->listeners[i]) ||
		    inherit_all(d, &c->listeners[i], &fds[i * n]))
			continue;
		err = listener_open(&d->proxy, &c->listeners[i],
				    d->old_fd >= 0 ||
					    listens_there(d->config, &c->listeners[i]),
				    &fds[i * n]);
		if (err)
			return err;
	}
	return 0;
}

/* Which socket of which worker is which listener's, for a successor.  Takes fds. */
static void remember_sockets(struct daemon *d, const struct config *c, int *fds)
{
	unsigned n = d->proxy.workers_n;

	for (unsigned i = 0; i < c->listeners_count; i++) {
		const struct listener *old = same_listener(d->config, &c->listeners[i]);

		for (unsigned w = 0; old && w < n; w++)
			fds[i * n + w] =
				d->fds[(size_t)(old - d->config->listeners) * n + w];
	}
	free(d->fds);
	d->fds = fds;
}

/*
 * Make `c` the configuration of every worker.  Until all its sockets are open nothing
 * changes, so a configuration that cannot be had leaves the old one untouched.
 */
static int activate(struct daemon *d, struct config *c)
{
	unsigned n = d->proxy.workers_n;
	size_t fds_n = (size_t)c->listeners_count * n;
	int own[CONFIG_LISTENERS_MAX];
	unsigned sent = 0;
	char why[CONFIG_ERROR_MAX];
	int *fds, err;

	err = config_resolve(c, why);
	if (err) {
		log_error("%s", why);
		return err;
	}
	fds = malloc(fds_n * sizeof(*fds));
	if (!fds)
		return log_errno(-ENOMEM, "cannot activate the configuration");
	memset(fds, 0xff, fds_n * sizeof(*fds));
	err = listener_names(&d->proxy, c);
	if (!err)
		err = open_listeners(d, c, fds);
	if (!err)
		err = listener_register(&d->proxy, c);
	for (size_t i = 0; !err && i < fds_n; i++) {
		if (fds[i] >= 0)
			err = listener_listen(&c->listeners[i / n], fds[i]);
	}
	for (unsigned w = 0; !err && w < n; w++) {
		for (unsigned i = 0; i < c->listeners_count; i++)
			own[i] = fds[i * n + w]; /* now the worker's */
		err = worker_configure(&d->proxy.workers[w], config_get(c), own);
		sent = w + 1;
	}
	for (size_t i = 0; err && i < fds_n; i++) {
		if (fds[i] >= 0 && i % n >= sent)
			close(fds[i]);
	}
	if (err) {
		free(fds);
		return err;
	}
	remember_sockets(d, c, fds);
	keeper_configure(d->keeper, c);
	config_put(d->config);
	d->config = config_get(c);
	return 0;
}

static void reload(struct daemon *d)
{
	char why[CONFIG_ERROR_MAX];
	struct config *c = NULL;
	int err;

	(void)sandbox_raise(CAP_DAC_READ_SEARCH); /* open() says if it was needed */
	err = config_load(d->config_path, &c, why);
	(void)sandbox_lower(CAP_DAC_READ_SEARCH);
	if (err)
		log_error("%s", why);
	else
		err = activate(d, c);
	config_put(c);
	book_add(err ? &d->proxy.state->reloads_failed : &d->proxy.state->reloads_ok, 1);
	if (err)
		log_error(
			"the configuration was not changed: the one before stays in force");
	else
		log_info("configuration %s read again", d->config_path);
}

/* --- running --- */

static bool workers_alive(struct daemon *d)
{
	for (unsigned i = 0; i < d->proxy.workers_n; i++) {
		if (d->proxy.workers[i].started &&
		    pthread_tryjoin_np(d->proxy.workers[i].thread, NULL) != 0)
			return true;
		d->proxy.workers[i].started = false;
	}
	return false;
}

static void begin_drain(struct daemon *d, int64_t deadline_ms)
{
	if (!d->succeeded)
		book_set(&d->proxy.state->draining, 1);
	for (unsigned i = 0; i < d->proxy.workers_n; i++) {
		if (worker_drain(&d->proxy.workers[i], deadline_ms) < 0)
			_exit(EXIT_BAD); /* no memory even for that */
	}
}

/* Somebody is at the socket for successors. */
static void on_successor(struct daemon *d)
{
	int fd = handover_accept(d->successor_fd), err;

	if (fd < 0) {
		(void)log_errno(fd, "refused who asked to take over");
		return;
	}
	log_info("a successor takes over");
	err = upgrade_give(fd, &d->proxy, d->config, d->fds);
	close(fd);
	d->succeeded = !err || err == -EPIPE;
}

static void start_successor(struct daemon *d)
{
	int err = starter_ask(&d->starter);

	if (err)
		(void)log_errno(err, "cannot start a successor; run --upgrade as root");
	else
		log_info("a successor is started");
}

static int run(struct daemon *d, int sigfd)
{
	struct pollfd p[2] = { { .fd = sigfd, .events = POLLIN },
			       { .fd = d->successor_fd, .events = POLLIN } };
	struct signalfd_siginfo sig;
	bool draining = false;

	while (!draining || workers_alive(d)) {
		int n = poll(p, draining ? 1 : 2, draining ? 20 : HEARTBEAT_MS);

		if (!d->succeeded)
			book_set(&d->proxy.state->heartbeat_ns, util_now_ns());
		if (!draining)
			zombies_look(d->zombies, &d->proxy,
				     d->config->timeouts.zombies_ms);
		if (n > 0 && p[1].revents && !draining) {
			on_successor(d);
			if (d->succeeded) {
				begin_drain(d, d->config->timeouts.drain_ms);
				draining = true;
			}
		}
		if (n <= 0 || read(sigfd, &sig, sizeof(sig)) != sizeof(sig))
			continue;
		if (sig.ssi_signo == SIGUSR2) {
			if (!draining)
				start_successor(d);
			continue;
		}
		if (sig.ssi_signo == SIGHUP) {
			if (!draining)
				reload(d);
			continue;
		}
		log_info("%s: %s", strsignal((int)sig.ssi_signo),
			 draining ? "stopping at once" : "draining");
		begin_drain(d, draining ? 0 : d->config->timeouts.drain_ms);
		draining = true;
	}
	log_info("stopped");
	return EXIT_OK;
}

/* Bound sockets, so that relays have their two, whatever the pipes take. */
static void set_limits(struct proxy *p, const struct config *c)
{
	uint64_t fds = host_raise_nofile(), n = p->workers_n;
	uint64_t pipes = fds / 16 / n; /* none is fine: bytes are copied then */
	uint64_t other;

	p->pipes_max = (unsigned)(pipes > 512 ? 512 : pipes);
	p->buffers_max = BUFFERS_MAX;
	/* epoll, eventfd, io_uring and listening sockets of each worker */
	other = FDS_RESERVED + n * (3 + c->listeners_count) + 2 * n * p->pipes_max;
	fds -= fds > other ? other : fds;
	p->sockets_max = fds > 8 ? (unsigned)fds : 8;
}

/* The CPUs we may use, and how many they are. */
static int cpus_allowed(cpu_set_t *ret)
{
	CPU_ZERO(ret);
	if (sched_getaffinity(0, sizeof(*ret), ret) < 0 || CPU_COUNT(ret) == 0)
		CPU_SET(0, ret);
	return CPU_COUNT(ret);
}

/* One worker a CPU stays there: two on one while another idles double the 99th
 * percentile. */
static int cpu_of(unsigned worker)
{
	cpu_set_t cpus;

	(void)cpus_allowed(&cpus);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (CPU_ISSET((size_t)cpu, &cpus) && worker-- == 0)
			return cpu;
	}
	return -1;
}

static int start_workers(struct daemon *d)
{
	unsigned n = d->proxy.workers_n;
	int err = 0;

	d->proxy.workers = calloc(n, sizeof(*d->proxy.workers));
	if (!d->proxy.workers)
		return log_errno(-ENOMEM, "cannot set up workers");
	for (unsigned i = 0; i < n && !err; i++)
		err = worker_init(&d->proxy.workers[i], &d->proxy);
	return err;
}

static bool all_named(const struct config *c)
{
	for (unsigned i = 0; i < c->listeners_count; i++) {
		for (unsigned k = 0; k < c->listeners[i].routes_count; k++) {
			const struct route *r = &c->listeners[i].routes[k];

			for (unsigned n = 0; n < r->backend_names_count; n++) {
				if (!target_has_address(r->backends[n].target))
					return false;
			}
		}
	}
	return true;
}

/* With name servers of its own the keeper asks: give it a moment before the first client.
 */
static void wait_for_names(const struct config *c)
{
	for (int i = 0; i < NAMES_MS / 10 && !all_named(c); i++)
		(void)poll(NULL, 0, 10);
}

/* As root, so that the old process knows that it may trust us. */
static int find_old(struct daemon *d)
{
	pid_t pid;

	if (writer_running(d->proxy.writer, &pid) < 0) {
		log_error(
			"--upgrade: no proxy is running on these books; start without it");
		return -ESRCH;
	}
	d->old_fd = handover_connect(pid);
	if (d->old_fd < 0)
		return log_errno(d->old_fd, "cannot reach the running proxy (pid %d)",
				 (int)pid);
	return upgrade_begin(d->old_fd, &d->inherited, &d->inherited_n);
}

/* The workers accept: what else the old process has is ours now. */
static void take_over(struct daemon *d, struct config *c)
{
	writer_succeed(d->proxy.writer);
	(void)upgrade_finish(d->old_fd, &d->proxy, c);
	close(d->old_fd);
	d->old_fd = -1;
	for (unsigned i = 0; i < d->inherited_n; i++) {
		if (d->inherited[i].fd >= 0) /* listeners that are no more */
			close(d->inherited[i].fd);
	}
	free(d->inherited);
	d->inherited = NULL;
	d->inherited_n = 0;
}

static int serve(struct daemon *d, struct config *c)
{
	static const cap_value_t keep[] = { CAP_NET_ADMIN, CAP_NET_BIND_SERVICE,
					    CAP_DAC_READ_SEARCH };
	sigset_t set;
	int sigfd, err;

	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL); /* inherited by every worker */
	(void)signal(SIGPIPE, SIG_IGN);	    /* splice(2) knows no MSG_NOSIGNAL */
	sigfd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (sigfd < 0)
		return log_errno(-errno, "signalfd");
	err = d->upgrade ? find_old(d) : 0;
	if (!err)
		d->proxy.workers_n =
			upgrade_workers(d->inherited, d->inherited_n, d->proxy.workers_n);
	set_limits(&d->proxy, c);
	if (!err)
		err = sandbox_enter(c->user, keep, 3);
	d->proxy.limits = limits_new(&d->proxy.state->limits_full);
	d->zombies = zombies_new();
	if (!err && (!d->proxy.limits || !d->zombies))
		err = log_errno(-ENOMEM, "cannot start");
	if (!err)
		err = start_workers(d);
	if (!err)
		err = keeper_start(&d->proxy, &d->keeper);
	if (!err)
		err = activate(d, c);
	if (!err)
		wait_for_names(c);
	if (!err && d->upgrade)
		err = upgrade_agree(d->old_fd);
	for (unsigned i = 0; !err && i < d->proxy.workers_n; i++)
		err = worker_start(&d->proxy.workers[i], c->workers ? -1 : cpu_of(i));
	if (!err && d->upgrade)
		take_over(d, c);
	if (!err) {
		book_set(&d->proxy.state->workers, d->proxy.workers_n);
		d->successor_fd = handover_listen();
		if (d->successor_fd < 0)
			(void)log_errno(d->successor_fd, "no upgrade will be possible");
		log_info("version %s, %u workers, user %s: ready", TOLLGATE_VERSION,
			 d->proxy.workers_n, c->user);
		err = run(d, sigfd);
	}
	close(sigfd);
	if (d->successor_fd >= 0)
		close(d->successor_fd);
	return err;
}

static int daemon_main(struct daemon *d, char **argv)
{
	char why[CONFIG_ERROR_MAX];
	struct config *c;
	cpu_set_t cpus;
	int err;

	if (config_load(d->config_path, &c, why) < 0) {
		log_error("%s", why);
		return EXIT_BAD;
	}
	err = starter_begin(argv, &d->starter);
	if (err)
		(void)log_errno(err, "SIGUSR2 will start no successor");
	err = keep_begin(d->pins, &d->keep);
	if (err)
		(void)log_errno(err, "nobody attaches again what is detached");
	err = writer_open(d->pins, d->upgrade, &d->proxy.writer);
	if (err) {
		book_explain(err, d->pins);
		config_put(c);
		starter_end(&d->starter);
		keep_end(&d->keep);
		return err == -EBUSY ? EXIT_BAD : EXIT_NOT_LOADED;
	}
	d->proxy.state = writer_state(d->proxy.writer);
	d->proxy.io_uring = !c->no_io_uring;
	d->proxy.netns_cookie = host_netns_cookie();
	d->proxy.workers_n = c->workers ? c->workers : (unsigned)cpus_allowed(&cpus);
	err = serve(d, c);
	keeper_stop(d->keeper);
	config_put(c);
	for (unsigned i = 0; d->proxy.workers && i < d->proxy.workers_n; i++)
		worker_join(&d->proxy.workers[i]);
	free(d->proxy.workers);
	config_put(d->config);
	free(d->fds);
	limits_free(d->proxy.limits);
	zombies_free(d->zombies);
	writer_close(d->proxy.writer);
	starter_end(&d->starter);
	keep_end(&d->keep);
	return err ? EXIT_BAD : EXIT_OK;
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
	struct daemon d = { .pins = TG_PINS, .old_fd = -1, .successor_fd = -1 };
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
		usage(stderr);
		return EXIT_USAGE;
	}
	return daemon_main(&d, argv);
}
