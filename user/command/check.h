/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USER_COMMAND_CHECK_H
#define USER_COMMAND_CHECK_H

struct config;
struct route;

/*
 * Write to standard output what a configuration was understood to mean, and log a warning
 * for each name of a backend that has no address here and now: it is looked up again for
 * as long as the proxy runs, so that this is no error.  Takes 3 seconds at the most.
 */
void check_show(const char *path, const struct config *c);

/* Write " for host A, path B": what a request must be for a route with `http`. */
void check_show_conditions(const struct route *r);

#endif
