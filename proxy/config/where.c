/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "config/where.h"

void where_enter_key(struct where *w, const char *key)
{
	assert(w->depth < WHERE_KEYS);
	w->keys[w->depth++] = key;
}

void where_enter_index(struct where *w, unsigned index)
{
	assert(w->depth < WHERE_KEYS);
	w->keys[w->depth] = NULL;
	w->indexes[w->depth++] = index;
}

void where_leave(struct where *w, unsigned levels)
{
	w->depth -= levels;
}

/* As it is counted in the file, where others may be that were left out. */
static unsigned number_of(const struct node *list, unsigned index,
			  const struct node **ret)
{
	unsigned number = 0;

	*ret = NULL;
	for (const struct node *n = list ? list->first : NULL; n; n = n->next, number++) {
		*ret = n;
		if (!n->left_out && index-- == 0)
			return number;
	}
	*ret = NULL;
	return list ? number : index;
}

const char *where_path(const struct where *w, char buf[WHERE_TEXT])
{
	const struct node *at = w->doc->root;
	size_t n = 0;

	buf[0] = '\0';
	for (unsigned i = 0; i < w->depth && n < WHERE_TEXT; i++) {
		if (w->keys[i]) {
			n += (size_t)snprintf(buf + n, WHERE_TEXT - n, "%s%s",
					      i ? "." : "", w->keys[i]);
			at = at ? node_get(at, w->keys[i]) : NULL;
		} else {
			n += (size_t)snprintf(buf + n, WHERE_TEXT - n, "[%u]",
					      number_of(at, w->indexes[i], &at));
		}
	}
	return buf;
}

/* The node that `w` leads to, or the last there is on the way; *ret_whole: it is that
 * one.
 */
static const struct node *find(const struct where *w, bool *ret_whole)
{
	const struct node *n = w->doc->root, *next;

	for (unsigned i = 0; n && i < w->depth; i++) {
		next = w->keys[i] ? node_get(n, w->keys[i]) : node_at(n, w->indexes[i]);
		if (!next) {
			*ret_whole = false;
			return n;
		}
		n = next;
	}
	*ret_whole = n != NULL;
	return n;
}

/* Is there anything in it that has lost something? */
static bool is_broken(const struct node *n)
{
	if (n->broken)
		return true;
	for (const struct node *i = n->first; i; i = i->next) {
		if (is_broken(i))
			return true;
	}
	return false;
}

bool where_lost(const struct where *w, unsigned up, const char *key)
{
	struct where above = *w;
	const struct node *n;
	bool whole;

	above.depth -= up;
	n = find(&above, &whole);
	if (!n || !whole || n->kind != NODE_MAP)
		return false;
	for (n = n->first; n; n = n->next) {
		if (strcmp(n->key, key) == 0 && (n->left_out || is_broken(n)))
			return true;
	}
	return false;
}

/* `checked`: not of what lacks something that was left out. */
static int tell(struct where *w, bool checked, const char *fmt, va_list args)
{
	const struct node *n;
	char key[WHERE_TEXT];
	bool whole;

	if (faults_are_many(w->faults))
		return -EINVAL;
	n = find(w, &whole);
	if (checked && n && !(whole && n->kind == NODE_TEXT) && n != w->doc->root &&
	    is_broken(n))
		return -EINVAL;
	return faults_add(w->faults, w->doc->files[n ? n->file : 0], n ? n->line : 1,
			  n ? n->column : 1, where_path(w, key), fmt, args);
}

int where_wrong(struct where *w, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	(void)tell(w, true, fmt, args);
	va_end(args);
	return -EINVAL;
}

int where_wrong_shape(struct where *w, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	(void)tell(w, false, fmt, args);
	va_end(args);
	return -EINVAL;
}

int where_wrong_key(struct where *w, const struct node *n, const char *fmt, ...)
{
	char key[WHERE_TEXT];
	va_list args;

	if (faults_are_many(w->faults))
		return -EINVAL;
	va_start(args, fmt);
	(void)faults_add(w->faults, w->doc->files[n->file], n->key_line, n->key_column,
			 where_path(w, key), fmt, args);
	va_end(args);
	return -EINVAL;
}

void where_warn(struct where *w, char **warnings, const char *fmt, ...)
{
	bool whole;
	const struct node *n = find(w, &whole);
	char key[WHERE_TEXT], line[CONFIG_ERROR_MAX], *all;
	struct fault f = { .what = NULL };
	va_list args;
	int len;

	va_start(args, fmt);
	len = vasprintf(&f.what, fmt, args);
	va_end(args);
	if (len < 0)
		return; /* without memory there are other worries */
	f.file = (char *)(uintptr_t)w->doc->files[n ? n->file : 0];
	f.line = n ? n->line : 0;
	f.column = n ? n->column : 0;
	f.key = (char *)(uintptr_t)where_path(w, key);
	fault_format(&f, line, sizeof(line));
	free(f.what);
	if (asprintf(&all, "%s%s\n", *warnings ? *warnings : "", line) < 0)
		return;
	free(*warnings);
	*warnings = all;
}
