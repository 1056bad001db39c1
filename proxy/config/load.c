/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a file to a checked snapshot: the document, its shape, the structs, and what none
 * of these can say.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "config/check.h"
#include "config/config.h"
#include "config/schema.h"
#include "config/where.h"

/* What is left of the document, as libcyaml takes it. */
static int map(struct where *w, const struct document *d, struct config **ret)
{
	char *text, what[SCHEMA_WHAT];
	int err = document_write(d->root, DOCUMENT_DATA, &text);

	if (err)
		return err;
	err = schema_load(text, strlen(text), ret, what);
	free(text);
	return err == -EINVAL ? where_wrong_shape(w, "%s", what) : err;
}

static int read_document(struct where *w, struct document *d, const char *path,
			 const char *text, size_t len, struct config **ret)
{
	struct config *c = NULL;
	int err = document_read(d, path, text, len, w->faults);

	if (!err)
		err = schema_put_defaults(w, d);
	if (!err)
		err = schema_check(w, d);
	if (!err)
		err = map(w, d, &c);
	if (!err) {
		c->refs = 1;
		err = config_check(w, c);
	}
	if (!err && (w->faults->n || w->faults->more))
		err = -EINVAL;
	if (err == -ENOMEM)
		faults_add_file(w->faults, path, "%s", strerror(ENOMEM));
	faults_sort(w->faults, path);
	if (err)
		config_put(c);
	else
		*ret = c;
	return err;
}

int config_read_kept(const char *path, const char *text, size_t len, struct config **ret,
		     char **resolved, struct document *kept, struct faults *f)
{
	struct document d;
	struct where w = { .doc = &d, .faults = f };
	int err = read_document(&w, &d, path, text, len, ret);

	if (!err && resolved) {
		err = document_write(d.root, DOCUMENT_LINE, resolved);
		if (err) {
			config_put(*ret);
			*ret = NULL;
		}
	}
	if (!err && kept)
		*kept = d;
	else
		document_free(&d);
	return err;
}

int config_read(const char *path, const char *text, size_t len, struct config **ret,
		char **resolved, struct faults *f)
{
	return config_read_kept(path, text, len, ret, resolved, NULL, f);
}

static int read_text(const char *path, char **ret, size_t *len, struct faults *f)
{
	int err = util_read_file(path, CONFIG_FILE_MAX, ret, len);

	if (err)
		faults_add_file(f, path, "cannot be read: %s", strerror(-err));
	return err;
}

int config_read_file(const char *path, struct config **ret, char **resolved,
		     struct faults *f)
{
	size_t len;
	char *text;
	int err = read_text(path, &text, &len, f);

	if (err)
		return err;
	err = config_read(path, text, len, ret, resolved, f);
	free(text);
	return err;
}

/* The value of a key that is a word; or what it is without. */
static char *word_of(const struct document *d, const char *key, const char *without)
{
	const struct node *n = d->root ? node_get(d->root, key) : NULL;

	return strdup(n && n->kind == NODE_TEXT ? n->text : without);
}

static int read_state(const struct document *d, struct config **ret)
{
	char *state = word_of(d, "state", "");
	struct config *c = calloc(1, sizeof(*c));
	int err = state && c ? 0 : -ENOMEM;

	if (!err && strcmp(state, "database") != 0)
		err = -EINVAL;
	free(state);
	if (err) {
		free(c);
		return err;
	}
	c->refs = 1;
	c->state = STATE_DATABASE;
	c->state_file = word_of(d, "state_file", CONFIG_STATE_FILE);
	c->user = word_of(d, "user", "nobody");
	if (c->state_file && c->user) {
		*ret = c;
		return 0;
	}
	config_put(c);
	return -ENOMEM;
}

int config_read_state(const char *path, struct config **ret)
{
	struct faults f = { .n = 0 };
	struct document d;
	size_t len;
	char *text;
	int err = util_read_file(path, CONFIG_FILE_MAX, &text, &len);

	if (err)
		return err;
	err = document_read(&d, path, text, len, &f);
	if (!err)
		err = read_state(&d, ret);
	free(text);
	document_free(&d);
	faults_free(&f);
	return err;
}

int config_document(const char *path, struct document *d, struct faults *f)
{
	struct where w = { .doc = d, .faults = f };
	struct config *c = NULL;
	size_t len;
	char *text;
	int err = read_text(path, &text, &len, f);

	*d = (struct document){ .root = NULL };
	if (err)
		return err;
	err = read_document(&w, d, path, text, len, &c);
	config_put(c);
	free(text);
	return err;
}

int config_document_text(const char *path, const char *text, struct document *d,
			 struct faults *f)
{
	struct where w = { .doc = d, .faults = f };
	int err = document_read(d, path, text, strlen(text), f);

	if (!err && d->root)
		err = schema_check(&w, d);
	if (!err && (!d->root || f->n))
		err = -EINVAL;
	return err;
}

/* The first fault, or what the number says. */
static int tell_first(const char *path, int err, struct faults *f,
		      char why[CONFIG_ERROR_MAX])
{
	why[0] = '\0';
	if (f->n)
		fault_format(&f->list[0], why, CONFIG_ERROR_MAX);
	else if (err)
		(void)snprintf(why, CONFIG_ERROR_MAX, "%.300s: %s", path, strerror(-err));
	faults_free(f);
	return err;
}

int config_parse(const char *path, const char *text, size_t len, struct config **ret,
		 char why[CONFIG_ERROR_MAX])
{
	struct faults f = { .n = 0 };

	return tell_first(path, config_read(path, text, len, ret, NULL, &f), &f, why);
}

int config_load(const char *path, struct config **ret, char why[CONFIG_ERROR_MAX])
{
	struct faults f = { .n = 0 };

	return tell_first(path, config_read_file(path, ret, NULL, &f), &f, why);
}
