/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process of our own that has kept what the proxy gives up, and can do one thing with
 * it: start the program again, to take over (SIGUSR2).  All it ever reads is one byte for
 * each time; it ends with the proxy.
 */
#ifndef PROXY_STARTER_H
#define PROXY_STARTER_H

/*
 * Fork it, before any thread and any privilege is gone.  argv: how this program was
 * started.  A descriptor for starter_ask(), or a negative errno.
 */
int starter_begin(char **argv);

/* Start a successor.  0, or -EPIPE if the starter is gone. */
int starter_ask(int fd);

#endif
