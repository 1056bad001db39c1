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
#include "state/state.h"

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
	struct state *state; /* the store; NULL: the file is the truth */
	bool apply_at_start; /* the file is, whenever the process begins */
	uint64_t file_mark;  /* of the file, when it was looked at last */
	uint64_t probed_ns;  /* when it was tried whether the store can be written */
	uint64_t tried_ns;   /* when it was tried to have its latest */
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

/* The number of what is in force. */
static inline uint64_t daemon_revision(const struct daemon *d)
{
	return d->state ? d->state->revision : d->proxy.state->configuration;
}

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

/* What is to be on the disk before it is in force, and as whose. */
struct daemon_saving {
	const char *text;		 /* resolved */
	const struct document *document; /* of it; NULL: it is read again */
	const struct state_saving *how;
};

/*
 * Make `c` the configuration of every worker.  Until all its sockets are open and listen,
 * and until it is saved (NULL: it need not be), nothing changes, so a configuration that
 * cannot be had leaves the old one untouched. It waits a moment for names that are not
 * known yet, until a signal comes.  0, or a negative errno, logged.
 */
int daemon_activate(struct daemon *d, struct config *c,
		    const struct daemon_saving *saving);

/* --- reload.c --- */

/*
 * A configuration with its certificates, by whoever may read the keys: of the file, whose
 * resolved text is then *text (malloc), or of that text if there is one.  0 and one
 * reference; or a negative errno, logged, with what is wrong in *f.
 */
int daemon_read(const struct daemon *d, char **text, struct config **ret,
		struct faults *f);

/*
 * Read the file again, and activate it: 0, or a negative errno, logged, with what is
 * wrong with the file in *f.  With a store only the files of certificates, and -ESTALE if
 * the file says something else than when it was taken.
 */
int daemon_reload(struct daemon *d, struct faults *f);

/* Only the files of certificates, under the configuration as it is, whatever the file
 * says by now. */
void daemon_renew(struct daemon *d);

/*
 * Activate a text, saved as `how` says; NULL: it is saved already.  0; -EINVAL with what
 * is wrong in *f, whose file is `path`; or another negative errno, logged: of the store
 * if d->state is not ok then.
 */
int daemon_change(struct daemon *d, const char *path, const char *text,
		  const struct state_saving *how, struct faults *f);

/*
 * What a text, or the file (NULL), would be: *resolved, the caller's to free.  As
 * daemon_change(), with nothing changed and nothing logged.
 */
int daemon_try(const struct daemon *d, const char *path, const char *text,
	       char **resolved, struct faults *f);

/* With a store: does the file say what was taken of it? */
void daemon_look_at_file(struct daemon *d);

/* --- stored.c --- */

/*
 * Of a file that says `state: database`: open the store, as root, and have *c and d->text
 * of it; what is to be saved before it is in force is in *saving, else it is empty.  0,
 * or a negative errno, logged.
 */
struct stored_start {
	struct store_change change;
	struct state_saving how;
	char *file; /* its text */
};
int daemon_open_state(struct daemon *d, struct config **c, struct stored_start *start);

/* A successor: the store is taken once nobody has it, with what was changed until then.
 */
void daemon_take_state(struct daemon *d);

/* Each second: can it be written, is the file another?  The books are told. */
void daemon_tend_state(struct daemon *d);

/* Nothing is saved by this process any more: it drains, or has been succeeded. */
void daemon_end_state(struct daemon *d);

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

/* All of the proxy's life, with the caller's reference to c; saving as of
 * daemon_activate().  An exit code. */
int daemon_serve(struct daemon *d, struct config *c, const struct daemon_saving *saving);

/* --- cpus.c --- */

/* CPUs this process may use. */
int daemon_cpus(void);

/*
 * The CPU that a worker of one a CPU stays at: two on one while another idles double the
 * 99th percentile.  -1: any.
 */
int daemon_cpu(unsigned worker);

enum { EXIT_OK = 0, EXIT_BAD = 1, EXIT_USAGE = 2, EXIT_NOT_LOADED = 3 };

#endif
