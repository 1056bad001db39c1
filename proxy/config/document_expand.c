/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a file says of others: {$NAME} is a variable of the environment, `include` has
 * more lists of the mapping that it stands in.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "config/config.h"
#include "config/document_own.h"

#define OPEN_MAX 9 /* files in each other */

struct opened {
	dev_t dev;
	ino_t ino;
};

struct expansion {
	struct document *d;
	struct faults *f;
	struct opened open[OPEN_MAX]; /* those that are being read */
	unsigned depth;
	bool no_memory;
};

/* --- the environment --- */

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";
static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_"
			     "0123456789";

/*
 * Of "{$NAME}" or "{$NAME:VALUE}" at `p`: its end behind it, or NULL if it is none. VALUE
 * has no variables itself.
 */
static const char *read_variable(const char *p, char name[64], const char **ret_value,
				 size_t *ret_n)
{
	size_t n = strspn(p + 2, digits);
	const char *end = strchr(p, '}'), *inner = strstr(p + 2, "{$");

	*ret_value = NULL;
	*ret_n = 0;
	if (!n || n >= 64 || !strchr(letters, p[2]) || !end || (inner && inner < end))
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

static void put(char *out, size_t *len, const char *text, size_t n)
{
	if (out)
		memcpy(out + *len, text, n);
	*len += n;
}

/* What stands for "{$..." at `p`, and its end; what is wrong is told, and *ok false. */
static const char *put_variable(struct expansion *x, const struct node *n, const char *p,
				char *out, size_t *len, bool *ok)
{
	const char *value, *end;
	size_t value_n;
	char name[64];

	if (p[2] == '$') { /* the two characters themselves */
		put(out, len, "{$", 2);
		return p + 3;
	}
	end = read_variable(p, name, &value, &value_n);
	if (end && getenv(name)) {
		value = getenv(name);
		value_n = strlen(value);
	}
	if (value)
		put(out, len, value, value_n);
	if (value || !out)
		return end ? end : p + 2;
	*ok = false;
	if (end)
		(void)document_wrong(x->d, x->f, n->file, n->line, n->column, "",
				     "{$%s}: the environment has no such variable; "
				     "{$%s:VALUE} has a default",
				     name, name);
	else
		(void)document_wrong(x->d, x->f, n->file, n->line, n->column, "",
				     "'%.40s': '{$' begins a variable, {$NAME} or "
				     "{$NAME:VALUE}; the two characters themselves are "
				     "written {$$",
				     p);
	return end ? end : p + 2;
}

/* All of them in a text; into `out`, or its length alone. */
static size_t put_text(struct expansion *x, const struct node *n, char *out, bool *ok)
{
	const char *p = n->text, *at;
	size_t len = 0;

	while ((at = strstr(p, "{$"))) {
		put(out, &len, p, (size_t)(at - p));
		p = put_variable(x, n, at, out, &len, ok);
	}
	put(out, &len, p, strlen(p));
	return len;
}

static void expand_text(struct expansion *x, struct node *n)
{
	bool ok = true;
	char *text;

	if (!strstr(n->text, "{$"))
		return;
	text = document_memory(x->d, put_text(x, n, NULL, &ok) + 1);
	x->no_memory |= !text;
	if (!text)
		return;
	text[put_text(x, n, text, &ok)] = '\0';
	if (ok && !faults_is_utf8(text)) {
		ok = false;
		(void)document_wrong(x->d, x->f, n->file, n->line, n->column, "",
				     "%s: what the environment has for it is no UTF-8",
				     n->text);
	}
	n->text = text;
	n->left_out |= !ok;
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

/* Of a regular file alone: a pipe would be waited for. */
static int read_regular(const char *path, struct stat *st, char **ret, size_t *len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	int err = fd < 0 || fstat(fd, st) < 0 ? -errno : 0;

	if (!err)
		err = S_ISREG(st->st_mode)   ? util_read_fd(fd, CONFIG_FILE_MAX, ret, len)
		      : S_ISDIR(st->st_mode) ? -EISDIR
					     : -EINVAL;
	if (fd >= 0)
		close(fd);
	return err;
}

static bool is_open(const struct expansion *x, const struct stat *st)
{
	for (unsigned i = 0; i < x->depth; i++) {
		if (x->open[i].ino == st->st_ino && x->open[i].dev == st->st_dev)
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

/* Something of the mapping is missing, for a reason that is told: what else is not known.
 */
static int __attribute__((format(printf, 4, 5)))
cannot_include(struct expansion *x, struct node *map, const struct node *by,
	       const char *fmt, ...)
{
	va_list args;
	int err;

	map->broken = true;
	va_start(args, fmt);
	err = faults_add(x->f, x->d->files[by->file], by->line, by->column, "", fmt,
			 args);
	va_end(args);
	return err;
}

/* What a file that was read says. */
static struct node *parse_other(struct expansion *x, struct node *map,
				const struct node *by, const char *path, const char *text,
				size_t len)
{
	unsigned file = x->d->files_n;
	struct node *root = NULL;
	int err;

	if (file == DOCUMENT_FILES) {
		(void)cannot_include(x, map, by, "include: %s is one file too many",
				     path);
		return NULL;
	}
	x->d->files[file] = document_text(x->d, path, strlen(path));
	err = x->d->files[file] ? 0 : -ENOMEM;
	if (!err) {
		x->d->files_n++;
		err = yaml_read(x->d, file, text, len, x->f, &root);
	}
	x->no_memory |= err == -ENOMEM;
	map->broken |= err != 0;
	if (root && root->kind != NODE_MAP) {
		map->broken = true;
		(void)document_wrong(x->d, x->f, file, root->line, root->column, "",
				     "is not a mapping of keys");
		root = NULL;
	}
	return root;
}

/* The root of another file, with what it includes; NULL if there is none. */
static struct node *read_other(struct expansion *x, struct node *map,
			       const struct node *by, const char *path)
{
	struct node *root = NULL;
	char *text = NULL;
	struct stat st;
	size_t len;
	int err = read_regular(path, &st, &text, &len);

	if (err)
		(void)cannot_include(x, map, by, "include: %s: cannot be read: %s", path,
				     err == -EINVAL ? "it is no file of text"
						    : strerror(-err));
	else if (is_open(x, &st))
		(void)cannot_include(x, map, by, "include: %s includes itself", path);
	else if (x->depth == OPEN_MAX)
		(void)cannot_include(x, map, by,
				     "include: %s is within more than %d others", path,
				     OPEN_MAX - 1);
	else
		root = parse_other(x, map, by, path, text, len);
	free(text);
	if (!root)
		return NULL;
	expand_texts(x, root);
	x->open[x->depth++] = (struct opened){ st.st_dev, st.st_ino };
	include_all(x, root);
	x->depth--;
	map->broken |= root->broken;
	return root;
}

static void include_file(struct expansion *x, struct node *map, const struct node *by,
			 const char *path)
{
	struct node *other = read_other(x, map, by, path);

	if (other)
		merge(x, map, other);
}

/* Folders that cannot be looked into: what is in them is not known to be nothing. */
static int on_glob_error(const char *path, int err)
{
	(void)path;
	return err != ENOENT && err != ENOTDIR;
}

static void include_pattern(struct expansion *x, struct node *map, const struct node *by,
			    const char *pattern)
{
	glob_t all = { .gl_pathc = 0 };
	int err = glob(pattern, 0, on_glob_error, &all);

	if (err == GLOB_NOSPACE)
		x->no_memory = true;
	else if (err && err != GLOB_NOMATCH) /* an empty folder is one, too */
		(void)cannot_include(x, map, by, "include: %s: cannot be searched: %s",
				     by->text, strerror(errno));
	for (size_t i = 0; !err && i < all.gl_pathc && !x->no_memory; i++)
		include_file(x, map, by, all.gl_pathv[i]);
	globfree(&all);
}

/* From the folder of the file that names it, of which glob() is to take no character. */
static int put_folder(const char *file, bool escape, char *buf, size_t cap)
{
	const char *slash = strrchr(file, '/');
	size_t n = 0;

	for (const char *p = file; slash && p <= slash; p++) {
		if (escape && strchr("*?[\\", *p) && n < cap)
			buf[n++] = '\\';
		if (n < cap)
			buf[n++] = *p;
	}
	return n < cap ? (int)n : -ENAMETOOLONG;
}

/* A path, or a pattern of some. */
static void include_text(struct expansion *x, struct node *map, const struct node *by)
{
	bool is_pattern = strpbrk(by->text, "*?[") != NULL;
	char path[4096];
	int n = by->text[0] == '/' ? 0
				   : put_folder(x->d->files[by->file], is_pattern, path,
						sizeof(path));

	if (n < 0 || (size_t)n + strlen(by->text) >= sizeof(path)) {
		(void)cannot_include(x, map, by, "include: is longer than a path may be");
		return;
	}
	memcpy(path + n, by->text, strlen(by->text) + 1);
	if (is_pattern)
		include_pattern(x, map, by, path);
	else
		include_file(x, map, by, path);
}

static void include_one(struct expansion *x, struct node *map, const struct node *by)
{
	if (by->kind == NODE_TEXT && !by->left_out)
		include_text(x, map, by);
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

int document_read_plain(struct document *d, const char *name, const char *text,
			size_t len, struct faults *f)
{
	*d = (struct document){ .files_n = 1 };
	d->files[0] = document_text(d, name, strlen(name));
	return d->files[0] ? yaml_read(d, 0, text, len, f, &d->root) : -ENOMEM;
}

int document_read(struct document *d, const char *path, const char *text, size_t len,
		  struct faults *f)
{
	struct expansion x = { .d = d, .f = f, .depth = 1 };
	struct node *listeners;
	struct stat st;
	int err = document_read_plain(d, path, text, len, f);

	if (err || !d->root || d->root->kind != NODE_MAP)
		return err;
	if (stat(path, &st) == 0)
		x.open[0] = (struct opened){ st.st_dev, st.st_ino };
	expand_texts(&x, d->root);
	include_all(&x, d->root);
	listeners = node_get(d->root, "listeners");
	for (struct node *l = listeners ? listeners->first : NULL; l; l = l->next) {
		if (l->kind == NODE_MAP)
			include_all(&x, l);
	}
	return x.no_memory ? -ENOMEM : 0;
}
