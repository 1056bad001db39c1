/* SPDX-License-Identifier: Apache-2.0 */
/* Of the files of control.h, and nobody else's. */
#ifndef PROXY_CONTROL_CONTROL_OWN_H
#define PROXY_CONTROL_CONTROL_OWN_H

#include <jansson.h>

#include "control/control.h"
#include "config/document.h"
#include "control/server.h"

#define CHANGES_MAX 256

struct change {
	uint64_t number; /* of the store, or of this process */
	int64_t at;	 /* seconds since 1970 */
	uid_t uid, login;
	pid_t pid;
	char program[17], what[256], message[256];
	bool done;
};

struct control {
	struct control_process process;
	struct server *server;
	int64_t began;
	/* what is in force, and the text and revision that it was read from */
	struct document now;
	const char *now_text;
	uint64_t now_revision;
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

/* The body as a JSON object, the caller's; NULL with the answer (400) made. */
json_t *control_body(const struct server_request *r, struct server_answer *ret);

/* --- control_changes.c --- */

/* Who asked for it is known by the request. */
void control_changed(struct control *c, const struct server_request *r, bool done,
		     const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* Begin one, as the store takes it, and put it into the list and the log when it is over.
 */
void control_begin_change(struct change *one, uid_t uid, pid_t pid, const char *what,
			  const char *message);
struct store_change control_stored(const struct change *one);
void control_end_change(struct control *c, const struct change *one);
json_t *control_changes_json(const struct control *c, uint64_t after);

/* --- control_config.c --- */

uint64_t control_revision(const struct control *c);
/* What is in force, with the types of its texts; NULL of no memory. */
const struct document *control_document(struct control *c);
/* It is this from now on, which is taken over. */
void control_set_document(struct control *c, struct document *d);
/* What `after` has that `before` had not, as as_json_differences(). */
json_t *control_differences(const char *before, const char *after);
/* Adds `warnings`, a list of lines, if what is in force has some. */
void control_add_warnings(const struct control *c, json_t *o);
/* Has it been changed since the client looked?  With the answer made (412). */
bool control_is_stale(const struct control *c, const struct server_request *r,
		      struct server_answer *ret);
/* What is wrong, in a text or else. */
void control_failure(const struct control *c, int err, const struct faults *f,
		     struct server_answer *ret);

/* --- control_save.c --- */

/*
 * May the configuration be changed by this?  If not, the answer is made.  `creates`: also
 * what only makes what is not there (If-None-Match).
 */
bool control_may_save(const struct control *c, const struct server_request *r,
		      bool creates, struct server_answer *ret);

/*
 * Save and serve a configuration, or with dry_run=1 only look; the answer is made.
 * `text` is all of it, `what` says it in the list of changes; `created`: 201.
 */
void control_save(struct control *c, const struct server_request *r, const char *text,
		  struct state_saving *how, const char *what, bool created,
		  struct server_answer *ret);

/* The answer to what is in force already. */
void control_nothing(const struct control *c, const struct server_request *r,
		     struct server_answer *ret);

/* --- what is asked; each answers --- */

typedef void control_fn(struct control *c, const struct server_request *r,
			const char *rest, struct server_answer *ret);

control_fn control_status, control_get_config, control_check_config,
	control_reload_config; /* control_config.c */
control_fn control_get_part, control_put_part, control_patch_part, control_delete_part,
	control_add_part; /* control_parts.c */
control_fn control_put_config, control_apply, control_get_revision, control_restore,
	control_snapshot, control_list_objects; /* control_state.c */
control_fn control_list_connections, control_kill_connections, control_get_connection,
	control_kill_connection;		      /* control_connections.c */
control_fn control_list_backends, control_drain;      /* control_backends.c */
control_fn control_get_level, control_set_level;      /* control.c */
control_fn control_list_changes, control_get_openapi; /* control.c */

#endif
