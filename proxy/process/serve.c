/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of the process: privilege is given up, workers start, signals are obeyed, a
 * successor takes over.  The main thread does all that may block (files, nft); it never
 * touches a client's byte.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "backend/loops.h"
#include "base/ev.h"
#include "base/log.h"
#include "base/notify.h"
#include "base/sandbox.h"
#include "base/util.h"
#include "base/version.h"
#include "book/labels.h"
#include "decide/auth.h"
#include "decide/limits.h"
#include "process/certwatch.h"
#include "process/daemon.h"
#include "process/handover.h"
#include "process/orders.h"
#include "tls/certs.h"
#include "tls/tickets.h"

#define HEARTBEAT_MS 1000
#define DRAINING_MS  20	 /* between two looks whether the workers have ended */
#define LATE_MS	     100 /* between two looks for what relays by now */
#define ACME_SOON_NS (3600 * 1000000000ull) /* servers count what fails */
#define ACME_NS	     (12 * 3600 * 1000000000ull)
#define BUFFERS_MAX  4096 /* a worker: 64 MiB */

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
		if (orders_drain(&d->proxy.workers[i], deadline_ms) < 0)
			_exit(EXIT_BAD); /* no memory even for that */
	}
}

static void start_successor(struct daemon *d)
{
	int err = starter_ask(&d->starter);

	if (err)
		(void)log_errno(err, "cannot start a successor; run --upgrade as root");
}

/* Somebody is at the socket for successors: true if he has taken over. */
static bool take_successor(struct daemon *d)
{
	int fd = handover_accept(d->successor_fd), err;

	if (fd < 0) {
		log_limited(LOG_WARN, "refused who asked to take over: %s",
			    strerror(-fd));
		return false;
	}
	log_info("a successor takes over");
	err = upgrade_give(fd, d->endfd, &d->proxy, d->config, d->fds);
	if (err) {
		close(fd);
		return false;
	}
	d->given_fd = fd;
	d->succeeded = true;
	return true;
}

/* What waited for a hello or a backend relays by now: it need not end with us. */
static void give_late(struct daemon *d)
{
	if (upgrade_give_late(d->given_fd, d->endfd, &d->proxy) > 0)
		return; /* there is more to come */
	close(d->given_fd);
	d->given_fd = -1;
}

static bool may_ask(const struct signalfd_siginfo *sig)
{
	/* who we became may be many others, too */
	return sig->ssi_uid == 0 || (getuid() == sig->ssi_uid && getuid() != 65534);
}

static void on_usr2(struct daemon *d, const struct signalfd_siginfo *sig)
{
	if (!may_ask(sig)) {
		log_limited(LOG_WARN,
			    "SIGUSR2 of uid %u (pid %u) is ignored: only root may "
			    "ask for a successor",
			    sig->ssi_uid, sig->ssi_pid);
		return;
	}
	start_successor(d);
}

static void on_hup(struct daemon *d, const struct signalfd_siginfo *sig)
{
	struct faults f = { .n = 0 };
	int err = daemon_reload(d, &f);

	control_note(d->control, sig->ssi_uid, (pid_t)sig->ssi_pid, "reload by SIGHUP",
		     !err);
	faults_free(&f);
}

/* --- the loop of the main thread --- */

struct serving {
	struct daemon *d;
	struct ev_loop *loop;
	struct ev_io signals, successor, old;
	struct ev_timer tick;
	uint64_t late_ns; /* the last look for what relays by now */
	uint64_t swept_ns, beat_ns;
	/* for which configuration, of which text, certificates were asked for, and when
	 */
	uint64_t acme_number, acme_text, acme_ns;
	struct certwatch *certs;
	uint64_t watched; /* the number of the configuration whose files are */
	bool draining;
};

/* The old process goes on with what it has. */
static void forget_old(struct serving *v)
{
	if (v->d->old_fd < 0)
		return;
	ev_io_del(v->loop, &v->old);
	close(v->d->old_fd);
	v->d->old_fd = -1;
}

/* The files of the configuration that is in force by now; the one before is let go. */
static void watch_certs(struct serving *v)
{
	uint64_t number = v->d->proxy.state->configuration;
	int err;

	if (!v->certs || v->watched == number)
		return;
	v->watched = number;
	err = certwatch_set(v->certs, v->d->config);
	if (err)
		(void)log_errno(err, "not every folder of certificates is watched: they "
				     "are looked at once a minute");
}

static void drain(struct serving *v, int64_t deadline_ms)
{
	forget_old(v);
	daemon_end_state(v->d);
	begin_drain(v->d, deadline_ms);
	v->draining = true;
	ev_io_del(v->loop, &v->successor);
	ev_timer_set(v->loop, &v->tick, DRAINING_MS);
}

static void on_signal(struct ev_io *io, uint32_t events)
{
	struct serving *v = container_of(io, struct serving, signals);
	struct signalfd_siginfo sig;

	(void)events;
	if (read(v->d->sigfd, &sig, sizeof(sig)) != sizeof(sig))
		return;
	if (sig.ssi_signo == SIGUSR2 || sig.ssi_signo == SIGHUP) {
		if (v->draining)
			return;
		if (sig.ssi_signo == SIGUSR2)
			on_usr2(v->d, &sig);
		else
			on_hup(v->d, &sig);
		watch_certs(v);
		return;
	}
	log_info("%s: %s", strsignal((int)sig.ssi_signo),
		 v->draining ? "stopping at once" : "draining");
	(void)notify("STOPPING=1\nSTATUS=draining");
	drain(v, v->draining ? 0 : v->d->config->timeouts.drain_ms);
}

static void on_successor(struct ev_io *io, uint32_t events)
{
	struct serving *v = container_of(io, struct serving, successor);

	(void)events;
	if (take_successor(v->d))
		drain(v, v->d->config->timeouts.drain_ms);
}

/* The old process sends what has begun to relay meanwhile, until it ends. */
static void on_old(struct ev_io *io, uint32_t events)
{
	struct serving *v = container_of(io, struct serving, old);
	struct daemon *d = v->d;

	(void)events;
	if (upgrade_take_late(d->old_fd, &d->proxy, d->config) < 0)
		forget_old(v);
}

/* Places of labels that the kernel programs do not give back; a successor does it. */
static void sweep(struct serving *v, uint64_t now)
{
	if (now - v->swept_ns < LABELS_SWEEP_MS * 1000000ull)
		return;
	v->swept_ns = now;
	writer_sweep(v->d->proxy.writer);
}

/* After how long certificates are asked for again; 0: there are none to ask for. */
static uint64_t acme_again_ns(const struct config *c)
{
	uint64_t again = 0;

	for (unsigned i = 0; i < c->listeners_count; i++) {
		const struct listener *l = &c->listeners[i];

		if (l->acme && l->certs->missing)
			return ACME_SOON_NS;
		again = l->acme ? ACME_NS : again;
	}
	return again;
}

/* At the start, for each other configuration, and twice a day: it renews what is due. */
static void ask_acme(struct serving *v, uint64_t now)
{
	uint64_t again = acme_again_ns(v->d->config);
	uint64_t number = v->d->proxy.state->configuration;
	uint64_t before = v->acme_text;

	if (!again)
		return;
	if (v->acme_number != number) /* its files may have changed, and nothing else */
		v->acme_text = util_hash(v->d->text, strlen(v->d->text));
	v->acme_number = number;
	if (v->acme_text == before && now - v->acme_ns < again)
		return;
	v->acme_ns = now;
	if (starter_ask_acme(&v->d->starter) < 0)
		log_error("nobody asks for certificates: run 'tollgate acme %s' as root",
			  v->d->config_path);
}

static void on_renewed(void *arg)
{
	struct serving *v = arg;

	if (v->draining)
		return;
	daemon_renew(v->d);
	watch_certs(v);
}

/* Without it the proxy serves all the same. */
static void begin_watching(struct serving *v)
{
	int err = certwatch_new(v->loop, CERTWATCH_LOOK_MS, on_renewed, v, &v->certs);

	if (err)
		(void)log_errno(err, "files of certificates are not watched: SIGHUP "
				     "reads them again");
}

/* Of all workers, so that nobody takes one that hangs for well. */
static void beat(struct serving *v, uint64_t now)
{
	struct daemon *d = v->d;

	if (d->succeeded || now - v->beat_ns < (HEARTBEAT_MS - 1) * 1000000ull)
		return;
	v->beat_ns = now;
	if (pulse_take(d->pulse, now)) {
		book_set(&d->proxy.state->heartbeat_ns, now);
		daemon_tell_alive(d);
	}
}

static void on_tick(struct ev_timer *timer)
{
	struct serving *v = container_of(timer, struct serving, tick);
	struct daemon *d = v->d;
	uint64_t now = util_now_ns();

	beat(v, now);
	if (!v->draining) {
		zombies_look(d->zombies, &d->proxy, d->config->timeouts.zombies_ms);
		loops_look();
		sweep(v, now);
		watch_certs(v);
		ask_acme(v, now);
		tickets_rotate((int64_t)(now / 1000000));
		daemon_tend_state(d);
	}
	if (d->given_fd >= 0 && now - v->late_ns > LATE_MS * 1000000ull) {
		v->late_ns = now;
		give_late(d);
	}
	if (v->draining && !workers_alive(d))
		ev_loop_stop(v->loop);
	else
		ev_timer_set(v->loop, timer, v->draining ? DRAINING_MS : HEARTBEAT_MS);
}

static int watch(struct serving *v)
{
	struct daemon *d = v->d;
	int err = ev_loop_open(&v->loop);

	if (!err)
		err = ev_io_add(v->loop, &v->signals, d->sigfd, EPOLLIN);
	if (!err && d->successor_fd >= 0)
		err = ev_io_add(v->loop, &v->successor, d->successor_fd, EPOLLIN);
	if (!err && d->old_fd >= 0)
		err = ev_io_add(v->loop, &v->old, d->old_fd, EPOLLIN);
	if (!err) {
		begin_watching(v);
		daemon_open_control(d, v->loop, &v->draining);
		ev_timer_set(v->loop, &v->tick, 0);
	}
	return err;
}

static int run(struct daemon *d)
{
	struct serving v = { .d = d,
			     .swept_ns = util_now_ns(),
			     .signals = { .fd = -1, .fn = on_signal },
			     .successor = { .fd = -1, .fn = on_successor },
			     .old = { .fd = -1, .fn = on_old },
			     .tick = { .fn = on_tick } };
	int err = watch(&v);

	if (!err)
		err = ev_loop_run(v.loop);
	certwatch_free(v.certs);
	control_close(d->control);
	ev_loop_close(v.loop);
	if (err) {
		(void)log_errno(err, "the main thread's event loop failed");
		begin_drain(d, 0);
		return EXIT_BAD;
	}
	log_info("stopped");
	return EXIT_OK;
}

/* --- starting --- */

static int make_workers(struct daemon *d)
{
	unsigned n = d->proxy.workers_n;
	int err = 0;

	d->proxy.buffers_max = BUFFERS_MAX;
	d->proxy.workers = calloc(n, sizeof(*d->proxy.workers));
	if (!d->proxy.workers)
		return log_errno(-ENOMEM, "cannot set up workers");
	for (unsigned i = 0; i < n && !err; i++) {
		err = worker_open(&d->proxy.workers[i], &d->proxy);
		if (!err)
			err = orders_open(&d->proxy.workers[i]);
		if (!err && d->upgrade)
			(void)orders_hold(&d->proxy.workers[i], NULL);
	}
	return err;
}

static int start_workers(struct daemon *d, const struct config *c)
{
	int err = 0;

	for (unsigned i = 0; !err && i < d->proxy.workers_n; i++)
		err = worker_start(&d->proxy.workers[i], c->workers ? -1 : daemon_cpu(i));
	return err;
}

static void forget_inherited(struct daemon *d)
{
	for (unsigned i = 0; i < d->inherited_n; i++) {
		if (d->inherited[i].fd >= 0) /* listeners that are no more */
			close(d->inherited[i].fd);
	}
	free(d->inherited);
	d->inherited = NULL;
	d->inherited_n = 0;
}

/* As root, so that the old process knows that it may trust us. */
static int find_old(struct daemon *d)
{
	int err = -EPROTO;

	if (writer_running(d->proxy.writer, &d->old) < 0) {
		log_error(
			"--upgrade: no proxy is running on these books; start without it");
		return -ESRCH;
	}
	/* one that does not know our version ends the conversation at once */
	for (uint32_t v = HANDOVER_VERSION;
	     v + 1 >= HANDOVER_VERSION && (err == -EPROTO || err == -ECONNRESET); v--) {
		d->old_fd = handover_connect(d->load, d->old);
		if (d->old_fd < 0)
			return log_errno(d->old_fd,
					 "cannot reach the running proxy (pid %d)",
					 (int)d->old);
		err = upgrade_begin(d->old_fd, v, &d->inherited, &d->inherited_n);
		if (!err)
			return 0;
		close(d->old_fd);
		d->old_fd = -1;
		forget_inherited(d);
	}
	return log_errno(err, "the running proxy does not hand over (its log says why)");
}

static void accept_now(struct daemon *d)
{
	for (unsigned i = 0; i < d->proxy.workers_n; i++)
		(void)worker_call(&d->proxy.workers[i], orders_release, NULL);
}

/*
 * Every thread runs.  If the old process goes on by itself, because we were too slow for
 * it, we must end; if it died in the middle, we are the only one there is.
 */
static int take_over(struct daemon *d, struct config *c)
{
	pid_t now;
	int err = upgrade_agree(d->old_fd, d->inherited, d->inherited_n);

	if (err)
		return err;
	err = upgrade_take(d->old_fd, &d->proxy, c);
	if (err && writer_running(d->proxy.writer, &now) == 0 && now == d->old)
		return err;
	accept_now(d);
	if (!err)
		err = upgrade_accepting(d->old_fd);
	if (err && writer_running(d->proxy.writer, &now) == 0 && now == d->old)
		return err;
	writer_succeed(d->proxy.writer);
	forget_inherited(d);
	if (err) {
		close(d->old_fd);
		d->old_fd = -1;
	}
	return 0;
}

/* Threads of a start that failed are told to end. */
static void stop_workers(struct daemon *d)
{
	for (unsigned i = 0; d->proxy.workers && i < d->proxy.workers_n; i++) {
		if (d->proxy.workers[i].started)
			(void)orders_drain(&d->proxy.workers[i], 0);
	}
}

static int open_signals(struct daemon *d)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	d->endfd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL); /* inherited by every worker */
	(void)signal(SIGPIPE, SIG_IGN);	    /* splice(2) knows no MSG_NOSIGNAL */
	d->sigfd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return d->endfd < 0 || d->sigfd < 0 ? log_errno(-errno, "signalfd") : 0;
}

/* What takes root. */
static int begin_as_root(struct daemon *d, struct config *c)
{
	static const cap_value_t keep[] = { CAP_NET_ADMIN, CAP_NET_BIND_SERVICE,
					    CAP_DAC_READ_SEARCH };
	int err = d->upgrade ? find_old(d) : daemon_check_addresses(c);

	if (err)
		return err;
	d->proxy.workers_n =
		upgrade_workers(d->inherited, d->inherited_n, d->proxy.workers_n);
	d->successor_fd = handover_listen(d->load);
	if (d->successor_fd < 0)
		log_warn("no upgrade will be possible: %s", strerror(-d->successor_fd));
	d->control_fd = control_listen(d->load, getpid());
	if (d->control_fd < 0)
		log_warn("nobody can ask it things: %s", strerror(-d->control_fd));
	daemon_set_limits(d, c);
	return sandbox_enter(c->user, keep, 3);
}

static int begin(struct daemon *d, struct config *c, const struct daemon_saving *saving)
{
	int err = begin_as_root(d, c);

	if (err)
		return err;
	d->proxy.limits = limits_new(&d->proxy.state->limits_full);
	d->zombies = zombies_new();
	d->proxy.auth = auth_new(&d->proxy);
	if (!d->proxy.limits || !d->zombies || !d->proxy.auth)
		return log_errno(-ENOMEM, "cannot start");
	err = make_workers(d);
	if (!err && !(d->pulse = pulse_new(&d->proxy)))
		err = log_errno(-ENOMEM, "cannot start");
	if (!err && !(d->access_log = access_log_new(&d->proxy)))
		err = log_errno(-ENOMEM, "cannot start");
	if (!err)
		err = keeper_start(&d->proxy, &d->keeper);
	if (!err)
		err = daemon_activate(d, c, saving);
	if (!err)
		err = start_workers(d, c);
	return !err && d->upgrade ? take_over(d, c) : err;
}

int daemon_serve(struct daemon *d, struct config *c, const struct daemon_saving *saving)
{
	int err = open_signals(d);

	if (!err)
		err = begin(d, c, saving);
	if (!err) {
		book_set(&d->proxy.state->workers, d->proxy.workers_n);
		log_info("version %s, %u workers, user %s: ready", TOLLGATE_VERSION,
			 d->proxy.workers_n, c->user);
		daemon_tell_ready(d);
		config_put(c); /* the daemon's own reference is the one in force */
		err = run(d);
	} else {
		config_put(c);
		stop_workers(d);
	}
	if (d->sigfd >= 0)
		close(d->sigfd);
	if (d->endfd >= 0)
		close(d->endfd);
	if (d->successor_fd >= 0)
		close(d->successor_fd);
	if (d->given_fd >= 0)
		close(d->given_fd);
	if (d->control_fd >= 0)
		close(d->control_fd);
	return err;
}
