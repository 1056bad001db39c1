/* SPDX-License-Identifier: Apache-2.0 */
/* Asking the running proxy, at its control socket. */
#ifndef USER_COMMAND_ASK_H
#define USER_COMMAND_ASK_H

#include <jansson.h>

/*
 * A request to the proxy that writes the books at `pins`; body may be NULL.  0 and its
 * answer in *ret, the caller's, with 2xx; -EREMOTEIO with what it says is wrong logged
 * (one line for each of a configuration's errors); -ESRCH if none runs, -EACCES, or
 * another negative errno, logged.
 */
int ask_proxy(const char *pins, const char *method, const char *path, const json_t *body,
	      json_t **ret);

/* "&KEY=VALUE", escaped, behind what is there; nothing if value is NULL. */
void ask_add(char *path, size_t cap, const char *key, const char *value);

#endif
