/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a file says of others: {$NAME} is a variable of the environment, `include` has
 * more lists of the mapping that it stands in.
 */
#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "config/config.h"
#include "config/document_own.h"

#define NESTING_MAX 8 /* of files in files */

struct expansion {
	struct document *d;
	struct faults *f;
	unsigned open[NESTING_MAX]; /* files that are being included */
	unsigned depth;
	bool no_memory;
};

/* --- the environment --- */

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";
static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_"
			     "0123456789";

/* Of "{$NAME}" or "{$NAME:VALUE}" at `p`: its end behind it, or NULL if it is none. */
static const char *read_variable(const char *p, char name[64], const char **ret_value,
				 size_t *ret_n)
{
	size_t n = strspn(p + 2, digits);
	const char *end = strchr(p, '}');

	*ret_value = NULL;
	*ret_n = 0;
	if (!n || n >= 64 || !strchr(letters, p[2]) || !end)
		return NULL;
	memcpy(name, p + 2, n);
	name[n] = '\0';
	if (p[2 + n] == ':') {
		*ret_value = p + 3 + n;
		*ret_n = (size_t)(end - *ret_value);
	} else if (p + 2 + n != end) {
		return NULL;
	}
	return end + 1;
}

/* All of them in a text; into `out`, or its length alone. */
static size_t put_text(struct expansion *x, const struct node *n, char *out)
{
	const char *p = n->text, *at, *value, *end;
	size_t len = 0, value_n;
	char name[64];

	while (*p) {
		at = strstr(p, "{$");
		end = at ? read_variable(at, name, &value, &value_n) : NULL;
		if (!at)
			at = p + strlen(p);
		else if (!end)
			at += 2; /* two characters that are themselves */
		if (out)
			memcpy(out + len, p, (size_t)(at - p));
		len += (size_t)(at - p);
		p = end ? end : at;
		if (!end)
			continue;
		if (getenv(name)) {
			value = getenv(name);
			value_n = strlen(value);
		} else if (!value && out) {
			(void)document_wrong(x->d, x->f, n->file, n->line, n->column, "",
					     "{$%s}: the environment has no such "
					     "variable; {$%s:VALUE} has a default",
					     name, name);
		}
		if (out && value)
			memcpy(out + len, value, value_n);
		len += value_n;
	}
	return len;
}

static void expand_text(struct expansion *x, struct node *n)
{
	unsigned before = x->f->n + x->f->more;
	char *text;

	if (!strstr(n->text, "{$"))
		return;
	text = document_memory(x->d, put_text(x, n, NULL) + 1);
	x->no_memory |= !text;
	if (!text)
		return;
	text[put_text(x, n, text)] = '\0';
	n->text = text;
	n->left_out = x->f->n + x->f->more > before;
}

static void expand_texts(struct expansion *x, struct node *n)
{
	if (n->kind == NODE_TEXT)
		expand_text(x, n);
	for (struct node *i = n->first; i && !x->no_memory; i = i->next)
		expand_texts(x, i);
}

/* --- files --- */

static void include_all(struct expansion *x, struct node *map);

static bool is_open(const struct expansion *x, const char *path)
{
	for (unsigned i = 0; i < x->depth; i++) {
		if (strcmp(x->d->files[x->open[i]], path) == 0)
			return true;
	}
	return false;
}

/* Lists grow by those of the other; what is none may be there once. */
static void merge(struct expansion *x, struct node *into, struct node *from)
{
	struct node *next, *has;

	for (struct node *n = from->first; n; n = next) {
		next = n->next;
		if (n->left_out)
			continue;
		has = node_get(into, n->key);
		if (!has)
			node_append(into, n);
		else if (has->kind != NODE_LIST || n->kind != NODE_LIST)
			(void)document_wrong(x->d, x->f, n->file, n->key_line,
					     n->key_column, "", "%s: is in %s:%u already",
					     n->key, x->d->files[has->file],
					     has->key_line);
		else if (n->first) { /* all of it at once */
			struct node **end = &has->first;

			while (*end)
				end = &(*end)->next;
			*end = n->first;
		}
	}
}

/* The root of another file, with what it includes; NULL if there is none. */
static struct node *read_other(struct expansion *x, const struct node *by,
			       const char *path)
{
	unsigned file = x->d->files_n;
	struct node *root = NULL;
	char *text;
	size_t len;
	int err;

	if (is_open(x, path) || x->depth == NESTING_MAX || file == DOCUMENT_FILES) {
		(void)document_wrong(x->d, x->f, by->file, by->line, by->column, "",
				     is_open(x, path)
					     ? "include: %s includes itself"
					     : "include: %s is one file too many",
				     path);
		return NULL;
	}
	err = util_read_file(path, CONFIG_FILE_MAX, &text, &len);
	if (err) {
		(void)document_wrong(x->d, x->f, by->file, by->line, by->column, "",
				     "include: %s: cannot be read: %s", path,
				     strerror(-err));
		return NULL;
	}
	x->d->files[file] = document_text(x->d, path, strlen(path));
	err = x->d->files[file] ? 0 : -ENOMEM;
	if (!err) {
		x->d->files_n++;
		err = yaml_read(x->d, file, text, len, x->f, &root);
	}
	free(text);
	x->no_memory |= err == -ENOMEM;
	if (!root || root->kind != NODE_MAP) {
		if (root)
			(void)document_wrong(x->d, x->f, file, root->line, root->column,
					     "", "is not a mapping of keys");
		return NULL;
	}
	expand_texts(x, root);
	x->open[x->depth++] = file;
	include_all(x, root);
	x->depth--;
	return root;
}

/* A path, or a pattern of some, from the folder of the file that names it. */
static void include_pattern(struct expansion *x, struct node *map, const struct node *by)
{
	const char *from = x->d->files[by->file], *slash = strrchr(from, '/');
	char path[4096];
	glob_t all;
	int n, err;

	n = snprintf(path, sizeof(path), "%.*s%s",
		     by->text[0] == '/' || !slash ? 0 : (int)(slash + 1 - from), from,
		     by->text);
	if (n < 0 || (size_t)n >= sizeof(path)) {
		(void)document_wrong(x->d, x->f, by->file, by->line, by->column, "",
				     "include: is longer than a path may be");
		return;
	}
	/* what is no pattern stays as it is, and must be there */
	err = glob(path, strpbrk(path, "*?[") ? 0 : GLOB_NOCHECK, NULL, &all);
	if (err == GLOB_NOMATCH)
		return; /* an empty folder is one, too */
	if (err) {
		x->no_memory |= err == GLOB_NOSPACE;
		(void)document_wrong(x->d, x->f, by->file, by->line, by->column, "",
				     "include: %s: cannot be searched", path);
		return;
	}
	for (size_t i = 0; i < all.gl_pathc && !x->no_memory; i++) {
		struct node *other = read_other(x, by, all.gl_pathv[i]);

		if (other)
			merge(x, map, other);
	}
	globfree(&all);
}

static void include_one(struct expansion *x, struct node *map, const struct node *by)
{
	if (by->kind == NODE_TEXT && !by->left_out)
		include_pattern(x, map, by);
	else if (!by->left_out)
		(void)document_wrong(
			x->d, x->f, by->file, by->line, by->column, "",
			"include: is a file or a pattern of files, or a list "
			"of them");
}

static void include_all(struct expansion *x, struct node *map)
{
	struct node *n = node_get(map, "include");

	if (!n)
		return;
	if (n->kind != NODE_LIST)
		include_one(x, map, n);
	for (struct node *i = n->first; i && n->kind == NODE_LIST; i = i->next)
		include_one(x, map, i);
	n->left_out = true;
}

int document_read(struct document *d, const char *path, const char *text, size_t len,
		  struct faults *f)
{
	struct expansion x = { .d = d, .f = f, .depth = 1 };
	struct node *listeners;
	int err;

	*d = (struct document){ .files_n = 1 };
	d->files[0] = document_text(d, path, strlen(path));
	if (!d->files[0])
		return -ENOMEM;
	err = yaml_read(d, 0, text, len, f, &d->root);
	if (err || !d->root || d->root->kind != NODE_MAP)
		return err;
	expand_texts(&x, d->root);
	include_all(&x, d->root);
	listeners = node_get(d->root, "listeners");
	for (struct node *l = listeners ? listeners->first : NULL; l; l = l->next) {
		if (l->kind == NODE_MAP)
			include_all(&x, l);
	}
	return x.no_memory ? -ENOMEM : 0;
}
