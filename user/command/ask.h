/* SPDX-License-Identifier: Apache-2.0 */
/* Asking the running proxy, at its control socket. */
#ifndef USER_COMMAND_ASK_H
#define USER_COMMAND_ASK_H

#include <stdbool.h>

#include <jansson.h>

/*
 * A request to the proxy that writes the books at `pins`; body may be NULL.  0 and its
 * answer in *ret, the caller's, with 2xx; -EREMOTEIO with what it says is wrong logged
 * (one line for each of a configuration's errors); -ESRCH if none runs, -EACCES, or
 * another negative errno, logged.
 */
int ask_proxy(const char *pins, const char *method, const char *path, const json_t *body,
	      json_t **ret);

/* What is asked: the body as it is, NULL if there is none. */
struct ask {
	const char *method, *path, *body;
	bool changes;		/* the configuration: If-Match is said ... */
	unsigned long revision; /* ... of this, 0: whatever it is */
	bool creates;		/* what must not be there yet (If-None-Match) */
	bool json; /* what it says no with goes to standard output as it is */
};

/* The same with a body as it is; and for an answer that is no JSON, the caller's to free.
 */
int ask_json(const char *pins, const struct ask *a, json_t **ret);
int ask_text(const char *pins, const struct ask *a, char **ret, size_t *n);

/* As a step of a path; the caller's, NULL of no memory. */
char *ask_escape(const char *text);

/* "&KEY=VALUE", escaped, behind what is there; nothing if value is NULL. */
void ask_add(char *path, size_t cap, const char *key, const char *value);

#endif
