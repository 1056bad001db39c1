/* SPDX-License-Identifier: Apache-2.0 */
/* Of the files of control.h, and nobody else's. */
#ifndef PROXY_CONTROL_CONTROL_OWN_H
#define PROXY_CONTROL_CONTROL_OWN_H

#include <jansson.h>

#include "control/control.h"
#include "control/server.h"

#define CHANGES_MAX 256

struct change {
	uint64_t number;
	int64_t at; /* seconds since 1970 */
	uid_t uid;
	pid_t pid;
	char program[17], what[256];
	bool done;
};

struct control {
	struct control_process process;
	struct server *server;
	int64_t began;
	struct change changes[CHANGES_MAX];
	uint64_t changes_n; /* ever; the latest are kept */
};

/* --- control_answer.c --- */

/* The JSON, which is taken over. */
void control_answer(struct server_answer *ret, unsigned status, json_t *o);

/* A problem of RFC 9457: `type` is "/problems/" and this. */
void control_problem(struct server_answer *ret, unsigned status, const char *type,
		     const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* The same with what is wrong in a file (422). */
void control_faults(struct server_answer *ret, const struct faults *f);
json_t *control_faults_json(const struct faults *f);

/* The body as a JSON object, the caller's; NULL with the answer (400) made. */
json_t *control_body(const struct server_request *r, struct server_answer *ret);

/* --- control_changes.c --- */

/* Who asked for it is known by the request. */
void control_changed(struct control *c, const struct server_request *r, bool done,
		     const char *fmt, ...) __attribute__((format(printf, 4, 5)));
json_t *control_changes_json(const struct control *c, uint64_t after);

/* --- what is asked; each answers --- */

typedef void control_fn(struct control *c, const struct server_request *r,
			const char *rest, struct server_answer *ret);

control_fn control_status, control_get_config, control_check_config,
	control_reload_config, control_keep_config; /* control_config.c */
control_fn control_list_connections, control_kill_connections, control_get_connection,
	control_kill_connection;		      /* control_connections.c */
control_fn control_list_backends, control_drain;      /* control_backends.c */
control_fn control_get_level, control_set_level;      /* control.c */
control_fn control_list_changes, control_get_openapi; /* control.c */

#endif
