/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process of our own that has kept what the proxy gives up, and can do one thing with
 * it: start the program again, to take over (SIGUSR2), or the one that asks for
 * certificates. All it ever reads is one byte for each time; it ends with the proxy.
 */
#ifndef PROXY_PROCESS_STARTER_H
#define PROXY_PROCESS_STARTER_H

#include <sys/types.h>

struct starter {
	int fd; /* -1: there is none */
	pid_t pid;
};

/*
 * Fork it, before any thread and any privilege is gone.  argv: how this program was
 * started; config: the path of its configuration, pins: of its books, for `tollgate
 * acme`.  0, or a negative errno.
 */
int starter_begin(char **argv, const char *config, const char *pins, struct starter *ret);

/* Start a successor.  0, or -EPIPE if the starter is gone. */
int starter_ask(const struct starter *s);

/*
 * Run `tollgate acme` for the configuration's file, by the program beside this one; not
 * while it runs.  0, or -EPIPE.
 */
int starter_ask_acme(const struct starter *s);

/* End it, and wait for that.  What it has started goes on. */
void starter_end(struct starter *s);

#endif
