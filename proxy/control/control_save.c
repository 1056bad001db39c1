/* SPDX-License-Identifier: Apache-2.0 */
/* A configuration is saved and served, or refused, and who wanted it is noted. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"
#include "config/as_json.h"
#include "control/control_own.h"

static const char *const arguments[] = { "dry_run", "message", "prune", "take", NULL };

/* The first of those that are 0 or 1, and is neither; NULL: none. */
static const char *wrong_flag(const struct server_request *r)
{
	static const char *const flags[] = { "dry_run", "prune", "take" };

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		const char *value = server_argument(r, flags[i]);

		if (value && strcmp(value, "0") != 0 && strcmp(value, "1") != 0)
			return flags[i];
	}
	return NULL;
}

/* Only "*" can be said of what must not be there (RFC 9110 13.1.2). */
static bool is_other_tag(const struct server_request *r)
{
	const char *none = server_header(r, "If-None-Match");

	return none && strcmp(none, "*") != 0;
}

bool control_may_save(const struct control *c, const struct server_request *r,
		      bool creates, struct server_answer *ret)
{
	const struct state *st = c->process.state;
	const char *wrong = server_unknown_argument(r, arguments);

	if (!st)
		control_problem(
			ret, 409, "file-is-the-truth",
			"the configuration is the file %.300s: change that, then "
			"'tollgate reload' or POST /v1/config/reload; or give it 'state: database'",
			c->process.config_path);
	else if (c->process.is_draining(c->process.arg))
		control_problem(ret, 409, "draining", "it ends, and changes nothing");
	else if (st->behind || (!st->held && !st->ok))
		control_problem(ret, 503, "store", "%s; nothing was changed", st->why);
	else if (!st->held)
		control_problem(ret, 503, "not-yet",
				"the process before still has the store; ask again");
	else if (wrong)
		control_problem(ret, 400, "bad-argument",
				"%.60s: is none of dry_run, message, prune and take, or "
				"has no value",
				wrong);
	else if (wrong_flag(r))
		control_problem(ret, 400, "bad-value", "%s: is not 0 or 1",
				wrong_flag(r));
	else if (is_other_tag(r))
		control_problem(ret, 400, "bad-value", "If-None-Match: is not *");
	else if (!creates && server_header(r, "If-None-Match"))
		control_problem(ret, 412, "exists",
				"If-None-Match: * is for what is not there yet");
	else if (!server_header(r, "If-Match") && !server_header(r, "If-None-Match"))
		control_problem(ret, 428, "precondition-required",
				"If-Match is missing: the ETag of what is to be changed, "
				"or *; the revision is \"%" PRIu64 "\"",
				control_revision(c));
	else
		return !control_is_stale(c, r, ret);
	return false;
}

/* What the store is told of the differences, and the answer, too. */
struct telling {
	struct control *control;
	const struct document *before;
	json_t *list;
	char *text;
	struct store_change *change;
};

static void look(const struct document *after, void *arg)
{
	struct telling *t = arg;

	t->list = as_json_differences(t->before, after);
	t->text = json_dumps(t->list, JSON_COMPACT | JSON_ENCODE_ANY);
	if (t->text && t->change && strlen(t->text) <= STORE_TEXTS)
		t->change->differences = t->text;
}

static void keep(struct document *d, void *arg)
{
	struct telling *t = arg;

	control_set_document(t->control, d);
}

static void telling_end(struct telling *t)
{
	json_decref(t->list);
	free(t->text);
}

static void answer(const struct control *c, unsigned status, json_t *changes, bool dry,
		   struct server_answer *ret)
{
	json_t *o = json_pack("{s:I, s:o}", "revision", (json_int_t)control_revision(c),
			      "changes", changes);

	if (dry)
		json_object_set_new(o, "dry_run", json_true());
	else
		control_add_warnings(c, o);
	control_answer(ret, status, o);
	ret->revision = control_revision(c);
}

void control_nothing(const struct control *c, const struct server_request *r,
		     struct server_answer *ret)
{
	answer(c, 200, json_array(), server_flag(r, "dry_run"), ret);
}

/* Places in a text that the client never saw are none. */
static void forget_places(struct faults *f)
{
	for (unsigned i = 0; i < f->n; i++)
		f->list[i].line = f->list[i].column = 0;
}

static void try_out(struct control *c, const char *text, struct server_answer *ret)
{
	const struct control_process *p = &c->process;
	const struct document *before = control_document(c);
	struct document after = { .root = NULL };
	struct faults f = { .n = 0 };
	char *resolved = NULL;
	int err = before ? p->look(p->arg, text, &resolved, &f) : -ENOMEM;

	forget_places(&f);
	if (!err)
		err = config_document_text("after", resolved, &after, &f);
	if (err)
		control_failure(c, err, &f, ret);
	else
		answer(c, 200, as_json_differences(before, &after), true, ret);
	document_free(&after);
	free(resolved);
	faults_free(&f);
}

void control_save(struct control *c, const struct server_request *r, const char *text,
		  struct state_saving *how, const char *what, bool created,
		  struct server_answer *ret)
{
	const struct control_process *p = &c->process;
	struct faults f = { .n = 0 };
	struct store_change stored;
	struct telling t = { .control = c,
			     .change = &stored,
			     .before = control_document(c) };
	struct change one;
	int err = t.before ? 0 : -ENOMEM;

	if (server_flag(r, "dry_run")) {
		try_out(c, text, ret);
		return;
	}
	control_begin_change(&one, r->who.uid, r->who.pid, what,
			     server_argument(r, "message"));
	stored = control_stored(&one);
	how->change = &stored;
	how->look = look;
	how->keep = keep;
	how->arg = &t;
	log_forget_error();
	if (!err)
		err = p->change(p->arg, text, how, &f);
	forget_places(&f);
	if (err) {
		control_failure(c, err, &f, ret);
		control_changed(c, r, false, "%s (%s%s%s)", what,
				f.n ? f.list[0].key : "",
				f.n && f.list[0].key[0] ? ": " : "",
				f.n		       ? f.list[0].what
				: log_first_error()[0] ? log_first_error()
						       : strerror(-err));
	} else {
		one.number = stored.number;
		control_end_change(c, &one);
		answer(c, created ? 201 : 200,
		       t.list ? json_incref(t.list) : json_array(), false, ret);
	}
	telling_end(&t);
	faults_free(&f);
}
