/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/util.h"
#include "config/diff.h"
#include "config/as_json.h"

json_t *as_json(const struct node *n)
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
			json_array_append_new(o, as_json(i));
		else
			json_object_set_new(o, i->key, as_json(i));
	}
	return o;
}

/* --- what is different --- */

static const char *const kinds[] = {
	[DIFF_ADDED] = "added",
	[DIFF_REMOVED] = "removed",
	[DIFF_CHANGED] = "changed",
	[DIFF_MOVED] = "moved",
};

static void add_difference(enum diff_kind kind, const char *path,
			   const struct node *before, const struct node *after, void *arg)
{
	json_t *o = json_pack("{s:s, s:s}", "kind", kinds[kind], "key", path);

	if (before && kind != DIFF_MOVED)
		json_object_set_new(o, "before", as_json(before));
	if (after && kind != DIFF_MOVED)
		json_object_set_new(o, "after", as_json(after));
	json_array_append_new(arg, o);
}

json_t *as_json_differences(const struct document *before, const struct document *after)
{
	json_t *list = json_array();

	(void)diff_documents(before, after, add_difference, list);
	return list;
}

/* --- what is wrong --- */

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

json_t *as_json_faults(const struct faults *f)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < f->n; i++)
		json_array_append_new(list, fault_json(&f->list[i]));
	return list;
}
