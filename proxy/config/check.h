/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a schema cannot say, and the derived forms.  Each leaves `w` as it was on success;
 * 0, -EINVAL with w->err, or -ENOMEM.
 */
#ifndef PROXY_CONFIG_CHECK_H
#define PROXY_CONFIG_CHECK_H

#include "config/where.h"

/* All of a configuration. */
int config_check(struct where *w, struct config *c);

/* check_route.c: a listener's routes and backends. */
int config_check_routes(struct where *w, struct config *c, struct listener *l);

/*
 * own.c: backends on this host: a listener that is its own, by way of others too, is an
 * error; a port that the kernel hands out a warning.
 */
int config_check_own(struct where *w, struct config *c);

/* What a listener says of certificates, and of ACME what goes for all of them. */
int config_check_certificates(struct where *w, const struct config *c,
			      struct listener *l);
int config_check_acme(struct where *w, const struct config *c);

#endif
