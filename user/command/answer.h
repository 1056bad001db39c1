/* SPDX-License-Identifier: Apache-2.0 */
/* What commands do with an answer of the running proxy. */
#ifndef USER_COMMAND_ANSWER_H
#define USER_COMMAND_ANSWER_H

#include <stdbool.h>

#include <jansson.h>

struct ask;
struct options;

/* What to exit with after a negative errno of ask_proxy(). */
int answer_exit(int err);

/* Of a key of an object: "" and 0 if there is none. */
const char *answer_word(const json_t *o, const char *key);
long long answer_number(const json_t *o, const char *key);

/* The answer as it is, which is taken; what to exit with. */
int answer_json(json_t *o);

/*
 * Ask: -1 with the answer in *ret, the caller's; or what to exit with, after it was put
 * as JSON if that is wanted.
 */
int answer_ask(const struct options *o, const char *method, const char *path,
	       const json_t *body, json_t **ret);
int answer_ask_as(const struct options *o, const struct ask *a, json_t **ret);

/* What has changed, or would, compared `to`, and the revision. */
void answer_changes(const json_t *answer, bool dry_run, const char *to);

#endif
