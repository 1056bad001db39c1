/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration as a whole, its revisions, and whose its parts are. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/sandbox.h"
#include "base/util.h"
#include "config/as_json.h"
#include "config/edit.h"
#include "control/control_own.h"
#include "state/merge.h"

/* Of a file that does not say where it is kept, that it is where it is. */
static int put_key(struct document *d, const char *key, const char *value)
{
	struct node *n;
	bool created;

	if (node_get(d->root, key))
		return 0;
	n = document_memory(d, sizeof(*n));
	if (!n)
		return -ENOMEM;
	*n = (struct node){ .kind = NODE_TEXT,
			    .text = document_text(d, value, strlen(value)) };
	return n->text ? edit_put(d, key, n, &created) : -ENOMEM;
}

/*
 * The body as a whole configuration that is kept here: *text is the caller's.  False with
 * the answer made.
 */
static bool read_whole(struct control *c, const struct server_request *r, char **text,
		       struct server_answer *ret)
{
	struct faults f = { .n = 0 };
	struct document d;
	int err;

	(void)sandbox_raise(CAP_DAC_READ_SEARCH); /* for what it includes */
	err = document_read(&d, CONTROL_REQUEST, r->body, r->body_n, &f);
	(void)sandbox_lower(CAP_DAC_READ_SEARCH);
	*text = NULL;
	if (!err && (!d.root || d.root->kind != NODE_MAP))
		faults_add_file(&f, CONTROL_REQUEST, "is no configuration");
	if (!err && !f.n)
		err = put_key(&d, "state", "database");
	if (!err && !f.n)
		err = put_key(&d, "state_file", c->process.state->path);
	if (!err && !f.n)
		err = put_key(&d, "user", c->process.state->user);
	if (!err && !f.n)
		err = document_write(d.root, DOCUMENT_LINES, text);
	if (f.n)
		control_faults(ret, &f);
	else if (err)
		control_problem(ret, 503, "no-memory", "no memory");
	document_free(&d);
	faults_free(&f);
	return *text != NULL;
}

/* Its errors with their places in what the client sent. */
static bool is_fine(const struct server_request *r, struct server_answer *ret)
{
	struct faults f = { .n = 0 };
	struct config *config = NULL;
	int err;

	(void)sandbox_raise(CAP_DAC_READ_SEARCH); /* for what it includes */
	err = config_read(CONTROL_REQUEST, r->body, r->body_n, &config, NULL, &f);
	(void)sandbox_lower(CAP_DAC_READ_SEARCH);
	if (err == -ENOMEM)
		control_problem(ret, 503, "no-memory", "no memory");
	else if (err)
		control_faults(ret, &f);
	config_put(config);
	faults_free(&f);
	return !err;
}

void control_put_config(struct control *c, const struct server_request *r,
			const char *rest, struct server_answer *ret)
{
	struct state_saving how = { .source = SOURCE_API };
	char *text;

	(void)rest;
	if (!control_may_save(c, r, false, ret) || !is_fine(r, ret) ||
	    !read_whole(c, r, &text, ret))
		return;
	control_save(c, r, text, &how, "PUT config", false, ret);
	free(text);
}

/* --- a file --- */

static unsigned merging(const struct server_request *r)
{
	return (server_flag(r, "prune") ? MERGE_PRUNE : 0) |
	       (server_flag(r, "take") ? MERGE_TAKE : 0);
}

/* Each by its name, which is the key. */
static json_t *conflicts_json(const struct faults *f)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < f->n; i++)
		json_array_append_new(list,
				      json_pack("{s:s, s:s}", "key", f->list[i].file,
						"detail", f->list[i].what));
	return list;
}

static void answer_conflict(const struct faults *f, struct server_answer *ret)
{
	json_t *o = json_pack(
		"{s:s, s:s, s:i, s:s, s:o, s:i}", "type", "/problems/conflict", "title",
		"conflict", "status", 409, "detail",
		"the file and the API say different things, and nothing was changed",
		"errors", conflicts_json(f), "more_errors", (int)f->more);

	control_answer(ret, 409, o);
	ret->type = "application/problem+json";
}

/* `file` is resolved. */
static void apply(struct control *c, const struct server_request *r, const char *file,
		  struct server_answer *ret)
{
	struct state *st = c->process.state;
	struct state_saving how = { .source = SOURCE_FILE, .file = file };
	struct faults f = { .n = 0 };
	bool same;
	char *text;
	int err = state_merge(st, file, merging(r), &text, &same, &f);

	if (err == -EEXIST) {
		control_changed(c, r, false, "apply (%s: %s)", f.list[0].file,
				f.list[0].what);
		answer_conflict(&f, ret);
	} else if (err) {
		control_failure(c, err, &f, ret);
	} else if (same) {
		control_nothing(c, r, ret);
	} else {
		control_save(c, r, text, &how, "apply", false, ret);
	}
	free(text);
	faults_free(&f);
}

void control_apply(struct control *c, const struct server_request *r, const char *rest,
		   struct server_answer *ret)
{
	const struct control_process *p = &c->process;
	struct faults f = { .n = 0 };
	char *text = NULL, *resolved = NULL;
	int err;

	(void)rest;
	if (!control_may_save(c, r, false, ret) || !is_fine(r, ret) ||
	    !read_whole(c, r, &text, ret))
		return;
	err = p->look(p->arg, text, &resolved, &f);
	if (err)
		control_failure(c, err, &f, ret);
	else
		apply(c, r, resolved, ret);
	free(text);
	free(resolved);
	faults_free(&f);
}

/* --- revisions --- */

/* False with the answer made: there is none, or a successor has it. */
static bool has_store(const struct control *c, struct server_answer *ret)
{
	const struct state *st = c->process.state;

	if (!st)
		control_problem(ret, 404, "no-store",
				"with 'state: file' nothing is kept but the file");
	else if (!st->store)
		control_problem(ret, 503, "given-up", "a successor has the store by now");
	return st && st->store;
}

/* A revision's text; false with the answer made. */
static bool read_revision(struct control *c, const char *number, uint64_t *revision,
			  char **text, struct server_answer *ret)
{
	struct state *st = c->process.state;
	int err;

	*text = NULL;
	if (!has_store(c, ret))
		return false;
	if (util_parse_u64(number, INT64_MAX, revision) < 0 || *revision == 0) {
		control_problem(ret, 400, "bad-value", "'%.40s' is no revision", number);
		return false;
	}
	err = state_text(st, *revision, text, NULL);
	if (err == -ENOENT)
		control_problem(ret, 404, "no-such-revision", "%s", st->why);
	else if (err)
		control_problem(ret, 503, "store", "%s", st->why);
	return !err && *text;
}

void control_get_revision(struct control *c, const struct server_request *r,
			  const char *rest, struct server_answer *ret)
{
	uint64_t revision;
	struct document d;
	struct faults f = { .n = 0 };
	char *text;

	(void)r;
	if (!read_revision(c, rest, &revision, &text, ret))
		return;
	if (document_read(&d, "revision", text, strlen(text), &f) == 0 &&
	    document_write(d.root, DOCUMENT_LINES, &ret->text) == 0) {
		ret->status = 200;
		ret->type = "application/yaml";
		ret->revision = revision;
	} else {
		control_problem(ret, 503, "no-memory", "no memory");
	}
	document_free(&d);
	faults_free(&f);
	free(text);
}

void control_restore(struct control *c, const struct server_request *r, const char *rest,
		     struct server_answer *ret)
{
	struct state_saving how = { .source = SOURCE_REVISION };
	char *text, what[64];

	if (!control_may_save(c, r, false, ret) ||
	    !read_revision(c, rest, &how.revision, &text, ret))
		return;
	(void)snprintf(what, sizeof(what), "restore revision %" PRIu64, how.revision);
	if (how.revision == control_revision(c)) {
		control_nothing(c, r, ret);
		free(text);
		return;
	}
	control_save(c, r, text, &how, what, false, ret);
	free(text);
}

void control_snapshot(struct control *c, const struct server_request *r, const char *rest,
		      struct server_answer *ret)
{
	struct state *st = c->process.state;

	(void)r;
	(void)rest;
	if (!has_store(c, ret))
		return;
	if (store_snapshot(st->store, &ret->text, &ret->text_n, st->why) < 0) {
		control_problem(ret, 503, "store", "%s", st->why);
		return;
	}
	ret->status = 200;
	ret->type = "application/vnd.sqlite3";
	ret->revision = control_revision(c);
}

void control_list_objects(struct control *c, const struct server_request *r,
			  const char *rest, struct server_answer *ret)
{
	static const char *const kinds[] = { "settings", "listener", "route" };
	struct state *st = c->process.state;
	json_t *list = json_array();
	struct objects o = { .n = 0 };

	(void)r;
	(void)rest;
	if (!has_store(c, ret)) {
		json_decref(list);
		return;
	}
	if (store_read(st->store, 0, &o, st->why) < 0) {
		control_problem(ret, 503, "store", "%s", st->why);
	} else {
		for (size_t i = 0; i < o.n; i++)
			json_array_append_new(
				list, json_pack("{s:s, s:s, s:s, s:s}", "kind",
						kinds[o.list[i].kind], "listener",
						o.list[i].parent, "name", o.list[i].name,
						"origin",
						o.list[i].origin == ORIGIN_API ? "api"
									       : "file"));
		control_answer(ret, 200, json_pack("{s:O}", "objects", list));
		ret->revision = control_revision(c);
	}
	json_decref(list);
	objects_free(&o);
}
