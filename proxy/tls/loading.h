/* SPDX-License-Identifier: Apache-2.0 */
/* Reading what a configuration names of TLS, and what is said where it is wrong. */
#ifndef PROXY_TLS_LOADING_H
#define PROXY_TLS_LOADING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"

/* Who is loading, for messages. */
struct loading {
	struct config *config;
	const struct listener *listener; /* NULL: of the whole, `what` says which */
	const struct route *route;	 /* NULL: of the listener's own */
	const char *what;		 /* of the route: the key in the configuration */
	unsigned index;			 /* of its certificates */
	char *why;
};

/* "WHERE: FILE: ..." into why.  Always -EINVAL; OpenSSL's errors are cleared. */
int loading_wrong(const struct loading *l, const char *file, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The same as a line of the configuration's warnings: legal, and surely wrong. */
void loading_warn(const struct loading *l, const char *file, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* OpenSSL's own words for what it refused last; and was that no more than the end of a
 * PEM file? */
const char *loading_said(void);
bool loading_is_end(void);

/* A whole file, to be freed, NUL behind its *len bytes.  0, or said in why. */
int loading_read(const struct loading *l, const char *file, char **ret, size_t *len);

/* A number that was not used before.  On the main thread. */
uint64_t loading_generation(void);

#endif
