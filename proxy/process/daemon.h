/* SPDX-License-Identifier: Apache-2.0 */
/* The process as a whole, for the files of the main thread.
 */
#ifndef PROXY_PROCESS_DAEMON_H
#define PROXY_PROCESS_DAEMON_H

#include "backend/keeper.h"
#include "config/config.h"
#include "config/faults.h"
#include "control/control.h"
#include "load/keep.h"
#include "net/worker.h"
#include "process/access_log.h"
#include "process/pulse.h"
#include "process/starter.h"
#include "process/upgrade.h"
#include "process/zombies.h"

struct daemon {
	struct proxy proxy;
	struct keeper *keeper;
	struct zombies *zombies;
	struct pulse *pulse;
	struct access_log *access_log;
	struct config *config; /* a reference */
	int *fds;	       /* its listening sockets, [listener * workers + worker] */
	const char *config_path;
	char *text; /* of the file, as it was read when `config` came into force */
	const char *pins;
	uint32_t load; /* the kernel's number of it */
	int sigfd;
	int endfd; /* of the signals that end us only: they interrupt what may take long
		    */
	bool upgrade; /* we take over from a running proxy */
	pid_t old;
	int old_fd; /* to it, -1 if there is none */
	struct inherited *inherited;
	unsigned inherited_n;
	int successor_fd; /* where one may come */
	int given_fd;	  /* to the one that has come, -1: none */
	int control_fd;	  /* where it is asked things; -1: nowhere, or control's */
	struct control *control;
	const bool *draining;	/* the process ends */
	uint64_t told_ns;	/* when the watchdog of the service manager was */
	struct starter starter; /* for SIGUSR2 */
	struct keep keep;	/* attaches again what was detached */
	bool succeeded;		/* one has come, and these are our last connections */
};

/* --- daemon.c --- */

/*
 * The proxy, from its file to its end; argv is the program's own, for a successor.  An
 * exit code, the reason logged.
 */
int daemon_run(struct daemon *d, char **argv);

/* Its configuration alone, with its certificates: an exit code, all that is wrong logged.
 */
int daemon_check(const struct daemon *d);

/* --- activate.c --- */

/*
 * Make `c` the configuration of every worker.  Until all its sockets are open and listen
 * nothing changes, so a configuration that cannot be had leaves the old one untouched. It
 * waits a moment for names that are not known yet, until a signal comes.  0, or a
 * negative errno, logged.
 */
int daemon_activate(struct daemon *d, struct config *c);

/*
 * A configuration with its certificates, by whoever may read the keys: of the file, whose
 * resolved text is then *text (malloc), or of that text if there is one.  0 and one
 * reference; or a negative errno, logged, with what is wrong in *f.
 */
int daemon_read(const struct daemon *d, char **text, struct config **ret,
		struct faults *f);

/*
 * Read the file again, and activate it: 0, or a negative errno, logged, with what is
 * wrong with the file in *f.  Or only the files of certificates, under the configuration
 * as it was read before, whatever the file says by now.
 */
int daemon_reload(struct daemon *d, struct faults *f);
void daemon_renew(struct daemon *d);

/*
 * Before privilege is given up, where it can still be seen whose they are: is an address
 * of `c` another program's?  0, or -EADDRINUSE, logged.
 */
int daemon_check_addresses(const struct config *c);

/* Bound what may be open at once, by the limit of descriptors. */
void daemon_set_limits(struct daemon *d, const struct config *c);

/* --- controls.c --- */

/*
 * Answer at d->control_fd, on the loop of the main thread.  Without it the proxy serves
 * all the same; the reason is logged.
 */
void daemon_open_control(struct daemon *d, struct ev_loop *loop, const bool *draining);

/* --- told.c --- */

/*
 * Telling the service manager (base/notify.h): it serves, with this process as the main
 * one; it lives (from time to time, if that is wanted).
 */
void daemon_tell_ready(const struct daemon *d);
void daemon_tell_alive(struct daemon *d);

/* --- serve.c --- */

/* All of the proxy's life, with the caller's reference to c.  An exit code. */
int daemon_serve(struct daemon *d, struct config *c);

/* CPUs this process may use. */
int daemon_cpus(void);

enum { EXIT_OK = 0, EXIT_BAD = 1, EXIT_USAGE = 2, EXIT_NOT_LOADED = 3 };

#endif
