/* SPDX-License-Identifier: Apache-2.0 */
/* From the names of backends to what is known of them. */
#ifndef PROXY_BACKEND_NAMES_H
#define PROXY_BACKEND_NAMES_H

#include "config/config.h"

/*
 * Give each backend its target, until the configuration is freed, and those that are
 * addresses theirs; names are looked up later (keeper.h).  0 or -ENOMEM.
 */
int names_resolve(struct config *c);

#endif
