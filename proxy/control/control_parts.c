/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of the configuration, by their paths (config/edit.h). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/as_json.h"
#include "config/diff.h"
#include "config/edit.h"
#include "control/control_own.h"

#define PART_PATH 1024

/* A change of a part: what is in force, and what the client sent. */
struct part {
	char path[PART_PATH];
	struct document now, body;
	struct faults faults;
};

static void part_end(struct part *p)
{
	document_free(&p->now);
	document_free(&p->body);
	faults_free(&p->faults);
}

/* Of "/v1/config/..." the rest, of "/v1/listeners..." all. */
static bool read_path(struct part *p, const struct server_request *r,
		      struct server_answer *ret)
{
	const char *path = r->path + strlen("/v1/");

	if (strncmp(path, "config", 6) == 0)
		path += path[6] == '/' ? 7 : 6;
	if (strlen(path) < sizeof(p->path)) {
		(void)snprintf(p->path, sizeof(p->path), "%s", path);
		return true;
	}
	control_problem(ret, 414, "too-long", "the path is longer than %d", PART_PATH);
	return false;
}

/* The first step of a path that leads nowhere. */
static void tell_missing(const struct part *p, struct server_answer *ret)
{
	char step[PART_PATH];
	size_t n = 0;

	do {
		n += strcspn(p->path + n + (n > 0), "/") + (n > 0);
		(void)snprintf(step, sizeof(step), "%.*s", (int)n, p->path);
	} while (p->path[n] && edit_find(&p->now, step));
	control_problem(ret, 404, "no-such-part",
			"%.200s: there is no such part of the configuration", step);
}

static bool is_there(struct part *p, struct server_answer *ret)
{
	if (edit_find(&p->now, p->path))
		return true;
	tell_missing(p, ret);
	return false;
}

/* What is in force is read.  False with the answer made; to be ended in any case. */
static bool part_begin(struct control *c, const struct server_request *r, struct part *p,
		       struct server_answer *ret)
{
	const struct document *now = control_document(c);

	*p = (struct part){ .path = "" };
	if (!read_path(p, r, ret))
		return false;
	/* its nodes are copied, and its texts are where they are */
	p->now.root = now ? document_copy(&p->now, now->root) : NULL;
	if (!p->now.root)
		control_problem(ret, 503, "no-memory", "what is in force cannot be read");
	return p->now.root != NULL;
}

/* The body, as YAML, of which JSON is a part. */
static bool read_body(const struct server_request *r, struct part *p,
		      struct server_answer *ret)
{
	int err = document_read_plain(&p->body, CONTROL_REQUEST, r->body, r->body_n,
				      &p->faults);

	if (err == -ENOMEM) {
		control_problem(ret, 503, "no-memory", "no memory");
		return false;
	}
	if (err || p->faults.n) {
		control_faults(ret, &p->faults);
		return false;
	}
	if (!p->body.root) {
		control_problem(ret, 400, "no-body", "the body is empty");
		return false;
	}
	return true;
}

/* What is put into force as it stands has nothing of a file's. */
static const char *key_of_files(const struct document *d)
{
	const struct node *listeners = node_get(d->root, "listeners");

	if (node_get(d->root, "include"))
		return "include";
	if (node_get(d->root, "defaults"))
		return "defaults";
	if (!listeners || listeners->kind != NODE_LIST)
		return NULL;
	for (const struct node *l = listeners->first; l; l = l->next) {
		if (l->kind == NODE_MAP && node_get(l, "include"))
			return "include";
	}
	return NULL;
}

static void count(enum diff_kind kind, const char *path, const struct node *before,
		  const struct node *after, void *arg)
{
	(void)kind;
	(void)path;
	(void)before;
	(void)after;
	(void)arg;
}

/* Is it what is in force already?  It needs no revision then; the answer is made. */
static bool is_same(struct control *c, const struct server_request *r,
		    const struct part *p, struct server_answer *ret)
{
	const struct document *now = control_document(c);

	if (!now || diff_documents(now, &p->now, count, NULL) > 0)
		return false;
	control_nothing(c, r, ret);
	return true;
}

/* What could not be done; or it is saved. */
static void finish(struct control *c, const struct server_request *r, struct part *p,
		   int err, bool created, struct server_answer *ret)
{
	struct state_saving how = { .source = SOURCE_API };
	const char *key = err ? NULL : key_of_files(&p->now);
	char what[PART_PATH + 16], *text = NULL;

	(void)snprintf(what, sizeof(what), "%s %.200s", r->method,
		       p->path[0] ? p->path : "config");
	if (!err && !key && is_same(c, r, p, ret))
		return;
	if (!err && !key)
		err = document_write(p->now.root, DOCUMENT_LINE, &text);
	if (err == -ENOENT)
		tell_missing(p, ret);
	else if (err == -EEXIST)
		control_problem(
			ret, 409, "another-name",
			"%.200s: it would have another name; add one of that name, "
			"and remove this one",
			p->path);
	else if (err)
		control_problem(ret, 503, "no-memory", "no memory");
	else if (key)
		control_problem(ret, 422, "of-files",
				"%s: is for files; 'tollgate apply FILE' takes one", key);
	else
		control_save(c, r, text, &how, what, created, ret);
	free(text);
}

void control_get_part(struct control *c, const struct server_request *r, const char *rest,
		      struct server_answer *ret)
{
	struct part p;

	(void)rest;
	if (part_begin(c, r, &p, ret) && is_there(&p, ret)) {
		control_answer(ret, 200, as_json(edit_find(&p.now, p.path)));
		ret->revision = control_revision(c);
	}
	part_end(&p);
}

/* If-None-Match: * makes new ones only (RFC 9110 13.1.2). */
static bool may_replace(const struct server_request *r, const struct part *p,
			struct server_answer *ret)
{
	if (!server_header(r, "If-None-Match") || !edit_find(&p->now, p->path))
		return true;
	control_problem(ret, 412, "exists", "%.200s: is there already", p->path);
	return false;
}

void control_put_part(struct control *c, const struct server_request *r, const char *rest,
		      struct server_answer *ret)
{
	bool created = false;
	struct part p;
	int err;

	(void)rest;
	if (!control_may_save(c, r, true, ret))
		return;
	if (part_begin(c, r, &p, ret) && may_replace(r, &p, ret) &&
	    read_body(r, &p, ret)) {
		err = edit_put(&p.now, p.path, p.body.root, &created);
		finish(c, r, &p, err, created, ret);
	}
	part_end(&p);
}

void control_patch_part(struct control *c, const struct server_request *r,
			const char *rest, struct server_answer *ret)
{
	struct part p;

	(void)rest;
	if (!control_may_save(c, r, false, ret))
		return;
	if (part_begin(c, r, &p, ret) && read_body(r, &p, ret))
		finish(c, r, &p, edit_patch(&p.now, p.path, p.body.root), false, ret);
	part_end(&p);
}

void control_delete_part(struct control *c, const struct server_request *r,
			 const char *rest, struct server_answer *ret)
{
	struct part p;

	(void)rest;
	if (!control_may_save(c, r, false, ret))
		return;
	if (part_begin(c, r, &p, ret))
		finish(c, r, &p, edit_remove(&p.now, p.path), false, ret);
	part_end(&p);
}

/* What a new item of a list is named by; NULL if it says nothing. */
static const char *name_of(const struct node *item)
{
	const struct node *name = item->kind == NODE_TEXT ? item : node_get(item, "name");

	return name && name->kind == NODE_TEXT ? name->text : NULL;
}

void control_add_part(struct control *c, const struct server_request *r, const char *rest,
		      struct server_answer *ret)
{
	const char *name = NULL;
	bool created = false;
	struct part p;
	size_t n;
	int err;

	(void)rest;
	if (!control_may_save(c, r, true, ret))
		return;
	if (part_begin(c, r, &p, ret) && read_body(r, &p, ret)) {
		name = name_of(p.body.root);
		n = strlen(p.path);
		if (name)
			(void)snprintf(p.path + n, sizeof(p.path) - n, "/%.*s",
				       (int)strcspn(name, " "), name);
		if (!name) {
			control_problem(ret, 400, "no-name", "the body has no name");
		} else if (edit_find(&p.now, p.path)) {
			control_problem(ret, 409, "exists", "%.200s: is there already",
					p.path);
		} else {
			err = edit_put(&p.now, p.path, p.body.root, &created);
			finish(c, r, &p, err, true, ret);
		}
	}
	part_end(&p);
}
