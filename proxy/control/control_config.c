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
#include "base/sandbox.h"
#include "base/util.h"
#include "base/version.h"
#include "config/diff.h"
#include "control/control_own.h"
#include "net/worker.h"

static uint64_t revision_of(const struct control *c)
{
	return c->process.proxy->state->configuration;
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

void control_status(struct control *c, const struct server_request *r, const char *rest,
		    struct server_answer *ret)
{
	const struct proxy *p = c->process.proxy;
	const struct proxy_state *s = p->state;

	(void)r;
	(void)rest;
	control_answer(
		ret, 200,
		json_pack("{s:s, s:i, s:I, s:I, s:I, s:s, s:I, s:I, s:I, s:b, s:o}",
			  "version", TOLLGATE_VERSION, "pid", (int)getpid(),
			  "uptime_seconds", (json_int_t)(time(NULL) - c->began),
			  "workers", (json_int_t)p->workers_n, "sessions",
			  (json_int_t)__atomic_load_n(&p->sessions, __ATOMIC_RELAXED),
			  "config_file", c->process.config_path, "revision",
			  (json_int_t)revision_of(c), "reloads",
			  (json_int_t)s->reloads_ok, "reloads_failed",
			  (json_int_t)s->reloads_failed, "draining",
			  c->process.is_draining(c->process.arg), "listeners",
			  listeners_json(c)));
}

void control_get_config(struct control *c, const struct server_request *r,
			const char *rest, struct server_answer *ret)
{
	(void)r;
	(void)rest;
	ret->text = strdup(c->process.text(c->process.arg));
	if (!ret->text) {
		control_problem(ret, 503, "no-memory", "no memory");
		return;
	}
	ret->status = 200;
	ret->type = "application/yaml"; /* RFC 9512 */
	ret->revision = revision_of(c);
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

static json_t *value_of(const struct node *n)
{
	json_t *o;
	char *text;

	if (document_write(n, false, &text) < 0)
		return json_null();
	text[strcspn(text, "\n")] = '\0';
	o = json_string(text);
	free(text);
	return o;
}

static void add_difference(enum diff_kind kind, const char *path,
			   const struct node *before, const struct node *after, void *arg)
{
	static const char *const kinds[] = { [DIFF_ADDED] = "added",
					     [DIFF_REMOVED] = "removed",
					     [DIFF_CHANGED] = "changed",
					     [DIFF_MOVED] = "moved" };
	json_t *o = json_pack("{s:s, s:s}", "kind", kinds[kind], "key", path);

	if (before && kind != DIFF_MOVED)
		json_object_set_new(o, "before", value_of(before));
	if (after && kind != DIFF_MOVED)
		json_object_set_new(o, "after", value_of(after));
	json_array_append_new(arg, o);
}

/* What the new one has that the one before had not. */
static json_t *differences(const char *before, const char *after)
{
	struct faults f = { .n = 0 };
	struct document a, b = { .root = NULL };
	json_t *list = json_array();

	if (document_read(&a, "before", before, strlen(before), &f) == 0 &&
	    document_read(&b, "after", after, strlen(after), &f) == 0 && a.root && b.root)
		(void)diff_documents(&a, &b, add_difference, list);
	document_free(&a);
	document_free(&b);
	faults_free(&f);
	return list;
}

/* Has it been changed since the client looked? */
static bool is_stale(struct control *c, const struct server_request *r,
		     struct server_answer *ret)
{
	const char *match = server_header(r, "If-Match");
	char tag[32];

	(void)snprintf(tag, sizeof(tag), "\"%" PRIu64 "\"", revision_of(c));
	if (!match || strcmp(match, "*") == 0 || strcmp(match, tag) == 0)
		return false;
	control_problem(ret, 412, "stale", "the revision is %s by now, and not %.40s",
			tag, match);
	return true;
}

/* What is wrong, in the file or else. */
static void tell_failure(int err, const struct faults *f, struct server_answer *ret)
{
	if (f->n && err != -ENOMEM)
		control_faults(ret, f);
	else
		control_problem(ret, 503, "not-activated",
				"%s; the log says more, and nothing was changed",
				strerror(-err));
}

/* What a reload would do. */
static void try_reload(struct control *c, struct server_answer *ret)
{
	const struct control_process *p = &c->process;
	struct faults f = { .n = 0 };
	char *text = NULL;
	int err = p->look(p->arg, &text, &f);

	if (err) {
		tell_failure(err, &f, ret);
	} else {
		control_answer(ret, 200,
			       json_pack("{s:I, s:o, s:b}", "revision",
					 (json_int_t)revision_of(c), "changes",
					 differences(p->text(p->arg), text), "dry_run",
					 1));
		ret->revision = revision_of(c);
	}
	free(text);
	faults_free(&f);
}

void control_reload_config(struct control *c, const struct server_request *r,
			   const char *rest, struct server_answer *ret)
{
	struct control_process *p = &c->process;
	struct faults f = { .n = 0 };
	char *before;
	int err;

	(void)rest;
	if (is_stale(c, r, ret))
		return;
	if (p->is_draining(p->arg)) {
		control_problem(ret, 409, "draining", "it ends, and changes nothing");
		return;
	}
	if (server_argument(r, "dry_run")) {
		try_reload(c, ret);
		return;
	}
	before = strdup(p->text(p->arg));
	err = p->reload(p->arg, &f);
	control_changed(c, r, !err, "reload %.200s", p->config_path);
	if (err) {
		tell_failure(err, &f, ret);
	} else {
		control_answer(
			ret, 200,
			json_pack("{s:I, s:o}", "revision", (json_int_t)revision_of(c),
				  "changes",
				  differences(before ? before : "", p->text(p->arg))));
		ret->revision = revision_of(c);
	}
	free(before);
	faults_free(&f);
}

void control_keep_config(struct control *c, const struct server_request *r,
			 const char *rest, struct server_answer *ret)
{
	(void)r;
	(void)rest;
	control_problem(ret, 409, "file-is-the-truth",
			"the configuration is the file %.300s: change that, and POST "
			"/v1/config/reload",
			c->process.config_path);
}
