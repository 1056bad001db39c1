/* SPDX-License-Identifier: Apache-2.0 */
/* The process as a whole, and its configuration: the file is the truth. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/log.h"
#include "base/sandbox.h"
#include "base/util.h"
#include "base/version.h"
#include "config/as_json.h"
#include "control/control_own.h"
#include "net/worker.h"

uint64_t control_revision(const struct control *c)
{
	const struct control_process *p = &c->process;

	return p->state ? p->state->revision : p->proxy->state->configuration;
}

static json_t *listeners_json(struct control *c)
{
	const struct config *config = c->process.config(c->process.arg);
	json_t *list = json_array();

	for (unsigned i = 0; i < config->listeners_count; i++) {
		const struct listener *l = &config->listeners[i];

		json_array_append_new(list, json_pack("{s:s, s:s, s:i}", "name", l->name,
						      "address", l->address, "routes",
						      (int)l->routes_count));
	}
	return list;
}

static json_t *state_json(const struct control *c)
{
	const struct state *st = c->process.state;

	if (!st)
		return json_pack("{s:s}", "kind", "file");
	return json_pack("{s:s, s:s, s:b, s:b, s:b, s:s}", "kind", "database", "file",
			 st->path, "held", st->held, "ok", st->ok, "file_differs",
			 st->file_differs, "detail", st->ok ? "" : st->why);
}

void control_status(struct control *c, const struct server_request *r, const char *rest,
		    struct server_answer *ret)
{
	const struct proxy *p = c->process.proxy;
	const struct proxy_state *s = p->state;

	(void)r;
	(void)rest;
	control_answer(
		ret, 200,
		json_pack("{s:s, s:i, s:I, s:I, s:I, s:s, s:I, s:I, s:I, s:b, s:o, s:o}",
			  "version", TOLLGATE_VERSION, "pid", (int)getpid(),
			  "uptime_seconds", (json_int_t)(time(NULL) - c->began),
			  "workers", (json_int_t)p->workers_n, "sessions",
			  (json_int_t)__atomic_load_n(&p->sessions, __ATOMIC_RELAXED),
			  "config_file", c->process.config_path, "revision",
			  (json_int_t)control_revision(c), "reloads",
			  (json_int_t)s->reloads_ok, "reloads_failed",
			  (json_int_t)s->reloads_failed, "draining",
			  c->process.is_draining(c->process.arg), "listeners",
			  listeners_json(c), "state", state_json(c)));
}

void control_get_config(struct control *c, const struct server_request *r,
			const char *rest, struct server_answer *ret)
{
	const struct document *now = control_document(c);

	(void)r;
	(void)rest;
	if (!now || document_write(now->root, DOCUMENT_LINES, &ret->text) < 0) {
		control_problem(ret, 503, "no-memory", "no memory");
		return;
	}
	ret->status = 200;
	ret->type = "application/yaml"; /* RFC 9512 */
	ret->revision = control_revision(c);
}

void control_check_config(struct control *c, const struct server_request *r,
			  const char *rest, struct server_answer *ret)
{
	struct faults f = { .n = 0 };
	struct config *config = NULL;
	int err;

	(void)rest;
	/* as a reload has it, for what it includes */
	(void)sandbox_raise(CAP_DAC_READ_SEARCH);
	err = config_read(c->process.config_path, r->body, r->body_n, &config, NULL, &f);
	(void)sandbox_lower(CAP_DAC_READ_SEARCH);
	if (err == -ENOMEM)
		control_problem(ret, 503, "not-checked", "%s", strerror(-err));
	else if (err)
		control_faults(ret, &f);
	else
		control_answer(ret, 200, json_pack("{s:b}", "fine", 1));
	config_put(config);
	faults_free(&f);
}

/* --- reading the file again --- */

void control_set_document(struct control *c, struct document *d)
{
	document_free(&c->now);
	c->now = *d;
	c->now_text = c->process.text(c->process.arg);
	c->now_revision = control_revision(c);
	*d = (struct document){ .root = NULL };
}

/* A text at the same place under the same number was read again, and is the same. */
const struct document *control_document(struct control *c)
{
	const char *text = c->process.text(c->process.arg);
	struct faults f = { .n = 0 };
	struct document d;

	if (c->now.root && c->now_text == text && c->now_revision == control_revision(c))
		return &c->now;
	if (config_document_text("configuration", text, &d, &f) < 0) {
		document_free(&d);
		faults_free(&f);
		return NULL;
	}
	control_set_document(c, &d);
	return &c->now;
}

void control_add_warnings(const struct control *c, json_t *o)
{
	const char *p = c->process.config(c->process.arg)->warnings;
	json_t *list = p && *p ? json_array() : NULL;

	for (; list && *p; p += strcspn(p, "\n") + 1)
		json_array_append_new(list, json_stringn(p, strcspn(p, "\n")));
	if (list)
		json_object_set_new(o, "warnings", list);
}

json_t *control_differences(const char *before, const char *after)
{
	struct faults f = { .n = 0 };
	struct document a, b = { .root = NULL };
	json_t *list = NULL;

	if (config_document_text("before", before, &a, &f) == 0 &&
	    config_document_text("after", after, &b, &f) == 0)
		list = as_json_differences(&a, &b);
	document_free(&a);
	document_free(&b);
	faults_free(&f);
	return list ? list : json_array();
}

/* Is the tag one of a list of them (RFC 9110 13.1.1)? */
static bool has_tag(const char *list, const char *tag)
{
	for (const char *p = list; *p; p += strspn(p, ", \t")) {
		size_t n = strcspn(p, ", \t");

		if ((n == 1 && *p == '*') ||
		    (n == strlen(tag) && strncmp(p, tag, n) == 0))
			return true;
		p += n;
	}
	return false;
}

bool control_is_stale(const struct control *c, const struct server_request *r,
		      struct server_answer *ret)
{
	const char *match = server_header(r, "If-Match");
	char tag[32];

	(void)snprintf(tag, sizeof(tag), "\"%" PRIu64 "\"", control_revision(c));
	if (!match || has_tag(match, tag))
		return false;
	control_problem(ret, 412, "stale", "the revision is %s by now, and not %.40s%s",
			tag, match,
			strchr(match, '"') ? "" : "; it is said with its quotes");
	return true;
}

void control_failure(const struct control *c, int err, const struct faults *f,
		     struct server_answer *ret)
{
	const struct state *st = c->process.state;

	if (f->n && err != -ENOMEM)
		control_faults(ret, f);
	else if (st && !st->ok)
		control_problem(ret, 503, "store", "%s; nothing was changed", st->why);
	else
		control_problem(ret, 503, "not-activated", "%s; nothing was changed",
				log_first_error()[0] ? log_first_error()
						     : strerror(-err));
}

/* What a reload would do. */
static void try_reload(struct control *c, struct server_answer *ret)
{
	const struct control_process *p = &c->process;
	struct faults f = { .n = 0 };
	char *text = NULL;
	int err = p->look(p->arg, NULL, &text, &f);

	if (err) {
		control_failure(c, err, &f, ret);
	} else {
		control_answer(ret, 200,
			       json_pack("{s:I, s:o, s:b}", "revision",
					 (json_int_t)control_revision(c), "changes",
					 control_differences(p->text(p->arg), text),
					 "dry_run", 1));
		ret->revision = control_revision(c);
	}
	free(text);
	faults_free(&f);
}

/* With a store the file is taken when somebody says so, and not before. */
static void tell_other_file(const struct control *c, struct server_answer *ret)
{
	if (!c->process.state->file) {
		control_problem(
			ret, 409, "file-is-wrong",
			"the file %.200s is wrong or cannot be read (the log says "
			"how); what is in force goes on, and files of "
			"certificates were read again",
			c->process.config_path);
		return;
	}
	control_problem(ret, 409, "store-is-the-truth",
			"the file %.200s is another than the one that was taken: "
			"'tollgate diff FILE' says how, 'tollgate apply FILE' takes it; "
			"only files of certificates are read again",
			c->process.config_path);
}

static void answer_reload(const struct control *c, const char *before,
			  struct server_answer *ret)
{
	const struct control_process *p = &c->process;
	json_t *o = json_pack("{s:I, s:o}", "revision", (json_int_t)control_revision(c),
			      "changes", control_differences(before, p->text(p->arg)));

	control_add_warnings(c, o);
	control_answer(ret, 200, o);
	ret->revision = control_revision(c);
}

void control_reload_config(struct control *c, const struct server_request *r,
			   const char *rest, struct server_answer *ret)
{
	struct control_process *p = &c->process;
	struct faults f = { .n = 0 };
	char *before;
	int err;

	static const char *const arguments[] = { "dry_run", "message", NULL };
	const char *wrong = server_unknown_argument(r, arguments);

	(void)rest;
	if (wrong) {
		control_problem(ret, 400, "bad-argument",
				"%.60s: is none of dry_run and message, or has no value",
				wrong);
		return;
	}
	if (control_is_stale(c, r, ret))
		return;
	if (p->is_draining(p->arg)) {
		control_problem(ret, 409, "draining", "it ends, and changes nothing");
		return;
	}
	if (server_flag(r, "dry_run")) {
		if (!p->state)
			try_reload(c, ret);
		else if (p->state->file_differs)
			tell_other_file(c, ret);
		else
			answer_reload(c, p->text(p->arg), ret);
		return;
	}
	before = strdup(p->text(p->arg));
	log_forget_error();
	err = p->reload(p->arg, &f);
	control_changed(c, r, !err, "reload %.200s", p->config_path);
	if (err == -ESTALE)
		tell_other_file(c, ret);
	else if (err)
		control_failure(c, err, &f, ret);
	else
		answer_reload(c, before ? before : "", ret);
	free(before);
	faults_free(&f);
}
