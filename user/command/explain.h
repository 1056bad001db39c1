/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USER_COMMAND_EXPLAIN_H
#define USER_COMMAND_EXPLAIN_H

#include "command/options.h"

struct config;

/*
 * Write to standard output what a request for `url` would meet at each listener of HTTP
 * of the configuration (--listener: only at that one), by the code that the proxy decides
 * with.  EXIT_OK if a route takes it somewhere, EXIT_BAD if none does, EXIT_USAGE with
 * the reason logged.
 */
int explain_show(const struct config *c, const char *url, const struct options *o);

#endif
