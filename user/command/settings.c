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
#include "config/schema.h"
#include "tls/certs.h"

/* --- what is wrong --- */

struct config *settings_read(const char *path)
{
	struct faults f = { .n = 0 };
	struct config *c = NULL;

	(void)certs_read_config(path, NULL, &c, NULL, &f);
	faults_log(&f, path);
	faults_free(&f);
	return c;
}

/*
 * "listeners[0].routes[1].sni[0]" as RFC 6901 has it.  Of a key with characters that no
 * key of ours has, which may be what is wrong, it leads to what the key is in.
 */
static json_t *pointer(const char *key)
{
	size_t n = strspn(key, "abcdefghijklmnopqrstuvwxyz_0123456789[].");
	char buf[2 * 512], *to = buf;

	while (key[n] && n > 0 && key[n - 1] != '.')
		n--;
	if (key[n] && n > 0)
		n--;
	for (const char *p = key; p < key + n && to + 2 < buf + sizeof(buf); p++) {
		if (to == buf && *p != '[')
			*to++ = '/';
		if (*p == '[' || *p == '.')
			*to++ = '/';
		else if (*p != ']')
			*to++ = *p;
	}
	*to = '\0';
	return json_string(buf);
}

static json_t *fault_json(const struct fault *f)
{
	return json_pack("{s:s, s:i, s:i, s:s, s:o, s:s}", "file", f->file, "line",
			 (int)f->line, "column", (int)f->column, "key", f->key, "pointer",
			 pointer(f->key), "detail", f->what);
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
	int err = certs_read_config(path, NULL, &c, NULL, &f);
	json_t *errors = json_array(), *o;

	for (unsigned i = 0; i < f.n; i++)
		json_array_append_new(errors, fault_json(&f.list[i]));
	o = json_pack("{s:s, s:b, s:o, s:i, s:o}", "file", path, "fine", !err, "errors",
		      errors, "more_errors", (int)f.more, "warnings",
		      lines_json(c ? c->warnings : NULL));
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

static json_t *node_json(const struct node *n)
{
	uint64_t number;
	json_t *o;

	if (n->kind == NODE_TEXT && n->type == NODE_TRUTH)
		return json_boolean(strcmp(n->text, "true") == 0);
	if (n->kind == NODE_TEXT && n->type == NODE_NUMBER &&
	    util_parse_u64(n->text + (n->text[0] == '-'), INT64_MAX, &number) == 0)
		return json_integer(n->text[0] == '-' ? -(json_int_t)number
						      : (json_int_t)number);
	if (n->kind == NODE_TEXT)
		return json_string(n->text);
	o = n->kind == NODE_LIST ? json_array() : json_object();
	for (const struct node *i = n->first; i; i = i->next) {
		if (i->left_out)
			continue;
		if (n->kind == NODE_LIST)
			json_array_append_new(o, node_json(i));
		else
			json_object_set_new(o, i->key, node_json(i));
	}
	return o;
}

int settings_export(const char *path, bool json)
{
	struct document d;
	char *text = NULL;
	int ret = EXIT_BAD;

	if (read_document(path, &d)) {
		if (json)
			ret = put_json(node_json(d.root)) ? EXIT_BAD : EXIT_OK;
		else if (document_write(d.root, true, &text) == 0)
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

static const char *const kinds[] = {
	[DIFF_ADDED] = "added",
	[DIFF_REMOVED] = "removed",
	[DIFF_CHANGED] = "changed",
	[DIFF_MOVED] = "moved",
};

static void say_node(const char *what, const struct node *n)
{
	char *text;

	if (document_write(n, false, &text) < 0)
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

static void add_difference(enum diff_kind kind, const char *path,
			   const struct node *before, const struct node *after, void *arg)
{
	json_t *o = json_pack("{s:s, s:s}", "kind", kinds[kind], "key", path);

	if (before && kind != DIFF_MOVED)
		json_object_set_new(o, "before", node_json(before));
	if (after && kind != DIFF_MOVED)
		json_object_set_new(o, "after", node_json(after));
	json_array_append_new(arg, o);
}

int settings_diff(const char *before, const char *after, bool json)
{
	struct document a, b = { .root = NULL };
	json_t *list = json ? json_array() : NULL;
	bool fine = read_document(before, &a);
	unsigned n = 0;

	fine = fine && read_document(after, &b);
	if (fine)
		n = diff_documents(&a, &b, json ? add_difference : say_difference, list);
	if (fine && json)
		fine = put_json(json_incref(list)) == 0;
	json_decref(list);
	document_free(&a);
	document_free(&b);
	return !fine || n ? EXIT_BAD : EXIT_OK;
}
