/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "command/options.h"
#include "command/settings.h"
#include "config/config.h"
#include "config/diff.h"
#include "config/edit.h"
#include "config/as_json.h"
#include "config/schema.h"
#include "tls/certs.h"

/* --- what is wrong --- */

struct config *settings_read(const char *path)
{
	struct faults f = { .n = 0 };
	struct config *c = NULL;

	(void)certs_read_config(path, NULL, &c, NULL, NULL, &f);
	faults_log(&f, path);
	faults_free(&f);
	return c;
}

static json_t *lines_json(const char *text)
{
	json_t *list = json_array();

	for (const char *p = text; p && *p; p += strcspn(p, "\n") + 1)
		json_array_append_new(list, json_stringn(p, strcspn(p, "\n")));
	return list;
}

static int put_json(json_t *o)
{
	int err = json_dumpf(o, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);

	json_decref(o);
	putchar('\n');
	return err || fflush(stdout) ? -EIO : 0;
}

int settings_check(const char *path)
{
	struct faults f = { .n = 0 };
	struct config *c = NULL;
	int err = certs_read_config(path, NULL, &c, NULL, NULL, &f);
	json_t *o = json_pack("{s:s, s:b, s:o, s:i, s:o}", "file", path, "fine", !err,
			      "errors", as_json_faults(&f), "more_errors", (int)f.more,
			      "warnings", lines_json(c ? c->warnings : NULL));

	faults_free(&f);
	config_put(c);
	return put_json(o) < 0 || err ? EXIT_BAD : EXIT_OK;
}

/* --- as it is understood --- */

/* False with all that is wrong logged; to be freed in any case. */
static bool read_document(const char *path, struct document *d)
{
	struct faults f = { .n = 0 };
	int err = config_document(path, d, &f);

	faults_log(&f, path);
	faults_free(&f);
	return !err;
}

int settings_export(const char *path, bool json)
{
	struct document d;
	char *text = NULL;
	int ret = EXIT_BAD;

	if (read_document(path, &d)) {
		if (json)
			ret = put_json(as_json(d.root)) ? EXIT_BAD : EXIT_OK;
		else if (document_write(d.root, DOCUMENT_LINES, &text) == 0)
			ret = fputs(text, stdout) < 0 || fflush(stdout) ? EXIT_BAD
									: EXIT_OK;
	}
	free(text);
	document_free(&d);
	return ret;
}

int settings_schema(void)
{
	return schema_write_json(stdout) ? EXIT_BAD : EXIT_OK;
}

/* --- what is different --- */

static void say_node(const char *what, const struct node *n)
{
	char *text;

	if (document_write(n, DOCUMENT_SHOWN, &text) < 0)
		return;
	text[strcspn(text, "\n")] = '\0';
	printf("%s%s", what, text);
	free(text);
}

static void say_difference(enum diff_kind kind, const char *path,
			   const struct node *before, const struct node *after, void *arg)
{
	static const char signs[] = { [DIFF_ADDED] = '+',
				      [DIFF_REMOVED] = '-',
				      [DIFF_CHANGED] = '~',
				      [DIFF_MOVED] = '~' };

	(void)arg;
	printf("%c %s: ", signs[kind], path);
	if (kind == DIFF_MOVED)
		printf("the same in another order");
	if (kind == DIFF_REMOVED || kind == DIFF_CHANGED)
		say_node("", before);
	if (kind == DIFF_ADDED || kind == DIFF_CHANGED)
		say_node(kind == DIFF_CHANGED ? " -> " : "", after);
	putchar('\n');
}

static int show_differences(const struct document *a, const struct document *b, bool json)
{
	unsigned n;

	if (json) {
		json_t *list = as_json_differences(a, b);

		n = (unsigned)json_array_size(list);
		return put_json(list) < 0 || n ? EXIT_BAD : EXIT_OK;
	}
	n = diff_documents(a, b, say_difference, NULL);
	return n ? EXIT_BAD : EXIT_OK;
}

int settings_diff(const char *before, const char *after, bool json)
{
	struct document a, b = { .root = NULL };
	int ret = EXIT_BAD;

	if (read_document(before, &a) && read_document(after, &b))
		ret = show_differences(&a, &b, json);
	document_free(&a);
	document_free(&b);
	return ret;
}

/* Where it is kept, and as whom, is the file's in any case, and need not be said. */
static void leave_out_kept(struct document *d)
{
	static const char *const keys[] = { "state", "state_file", "user" };

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		(void)edit_remove(d, keys[i]);
}

static bool is_kept(const struct document *d)
{
	const struct node *state = node_get(d->root, "state");

	return state && state->kind == NODE_TEXT && strcmp(state->text, "database") == 0;
}

int settings_diff_text(const char *before, const char *after, bool json)
{
	struct document a, b = { .root = NULL };
	struct faults f = { .n = 0 };
	int ret = EXIT_BAD;

	if (config_document_text("in force", before, &a, &f) < 0) {
		faults_log(&f, "in force");
	} else if (read_document(after, &b)) {
		if (is_kept(&a)) {
			leave_out_kept(&a);
			leave_out_kept(&b);
		}
		ret = show_differences(&a, &b, json);
	}
	document_free(&a);
	document_free(&b);
	faults_free(&f);
	return ret;
}

char *settings_resolve(const char *path)
{
	struct document d;
	char *text = NULL;

	if (read_document(path, &d))
		(void)document_write(d.root, DOCUMENT_LINES, &text);
	document_free(&d);
	return text;
}
