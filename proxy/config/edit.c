/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "config/edit.h"

/* A node, and what refers to it, which is NULL if it is not there yet. */
struct place {
	struct node *in; /* the list or mapping; NULL: it is the root */
	struct node **at;
	const char *last; /* the end of the path, which names it */
};

/* Of "10.0.0.1:80 weight=2" the first word is what it is named by. */
static bool is_word(const char *text, const char *name, size_t n)
{
	return strncmp(text, name, n) == 0 && (!text[n] || text[n] == ' ');
}

static bool is_named(const struct node *item, const char *name, size_t n)
{
	static const char *const keys[] = { "name", "address" };

	if (item->kind == NODE_TEXT)
		return is_word(item->text, name, n);
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		const struct node *key = node_get(item, keys[i]);

		if (key && key->kind == NODE_TEXT && is_word(key->text, name, n))
			return true;
	}
	return false;
}

/* The item of the list, or where one more would be. */
static struct node **item_of(struct node *list, const char *name, size_t n)
{
	uint64_t number, i = 0;
	char digits[24];
	struct node **at;

	for (at = &list->first; *at; at = &(*at)->next) {
		if (!(*at)->left_out && is_named(*at, name, n))
			return at;
	}
	if (n >= sizeof(digits))
		return at;
	memcpy(digits, name, n);
	digits[n] = '\0';
	if (util_parse_u64(digits, UINT32_MAX, &number) < 0)
		return at;
	for (at = &list->first; *at; at = &(*at)->next) {
		if (!(*at)->left_out && i++ == number)
			return at;
	}
	return at;
}

static struct node **key_of(struct node *map, const char *name, size_t n)
{
	struct node **at = &map->first;

	while (*at &&
	       ((*at)->left_out || strncmp((*at)->key, name, n) != 0 || (*at)->key[n]))
		at = &(*at)->next;
	return at;
}

/* One step of the path; how much of it that was. */
static size_t step(struct node *in, const char *path, struct node ***at)
{
	size_t n = strlen(path);

	if (in->kind == NODE_LIST) {
		*at = item_of(in, path, n);
		if (**at)
			return n;
	}
	n = strcspn(path, "/");
	*at = in->kind == NODE_LIST ? item_of(in, path, n) : key_of(in, path, n);
	return n;
}

/* False if there is nothing that it could be in. */
static bool find(struct document *d, const char *path, struct place *ret)
{
	*ret = (struct place){ .at = &d->root, .last = path };
	while (*path) {
		struct node *in = *ret->at;
		size_t n;

		if (!in || in->kind == NODE_TEXT)
			return false;
		ret->in = in;
		ret->last = path;
		n = step(in, path, &ret->at);
		path += n;
		if (*path && !*ret->at && in->kind == NODE_LIST &&
		    strncmp(ret->last, "unix:", 5) == 0)
			return true; /* a new one, with a '/' in its name */
		path += *path == '/';
	}
	return true;
}

struct node *edit_find(const struct document *d, const char *path)
{
	struct document copy = *d; /* what is found is not changed by us */
	struct place p;

	if (!find(&copy, path, &p))
		return NULL;
	return p.in ? *p.at : d->root;
}

/* A mapping that is to be `name`: it says so itself by then. */
static int give_name(struct document *d, struct node *item, const char *name)
{
	const struct node *said = node_get(item, "name");
	struct node *n;

	if (said)
		return said->kind == NODE_TEXT && strcmp(said->text, name) == 0 ? 0
										: -EEXIST;
	n = document_memory(d, sizeof(*n));
	if (!n)
		return -ENOMEM;
	*n = (struct node){ .kind = NODE_TEXT,
			    .line = item->line,
			    .column = item->column,
			    .key = "name",
			    .text = document_text(d, name, strlen(name)),
			    .next = item->first };
	item->first = n;
	return n->text ? 0 : -ENOMEM;
}

static int fit_item(struct document *d, const struct place *p, struct node *value)
{
	static const char *const named[] = { "listeners", "routes" };

	if (value->kind == NODE_TEXT)
		return is_word(value->text, p->last, strlen(p->last)) ? 0 : -EEXIST;
	for (size_t i = 0; p->in->key && i < ARRAY_SIZE(named); i++) {
		if (value->kind == NODE_MAP && strcmp(p->in->key, named[i]) == 0)
			return give_name(d, value, p->last);
	}
	return 0;
}

int edit_put(struct document *d, const char *path, struct node *value, bool *created)
{
	struct place p;
	int err = 0;

	*created = false;
	if (!find(d, path, &p))
		return -ENOENT;
	if (p.in && p.in->kind == NODE_LIST)
		err = fit_item(d, &p, value);
	if (err)
		return err;
	value->key = NULL;
	if (p.in && p.in->kind == NODE_MAP) {
		value->key = document_text(d, p.last, strlen(p.last));
		if (!value->key)
			return -ENOMEM;
	}
	*created = !*p.at;
	value->next = *p.at && p.in ? (*p.at)->next : NULL;
	*p.at = value;
	return 0;
}

int edit_remove(struct document *d, const char *path)
{
	struct place p;

	if (!find(d, path, &p) || !p.in || !*p.at)
		return -ENOENT;
	*p.at = (*p.at)->next;
	return 0;
}

/* A patch has nulls, which are in no configuration. */
static void without_nulls(struct node *n)
{
	struct node **at = &n->first;

	while (*at) {
		if (n->kind == NODE_MAP && node_is_null(*at)) {
			*at = (*at)->next;
			continue;
		}
		if (n->kind == NODE_MAP)
			without_nulls(*at);
		at = &(*at)->next;
	}
}

static void merge(struct node **target, struct node *patch)
{
	struct node *next;

	if (patch->kind != NODE_MAP || !*target || (*target)->kind != NODE_MAP) {
		without_nulls(patch);
		patch->next = *target ? (*target)->next : NULL;
		patch->key = *target ? (*target)->key : patch->key;
		*target = patch;
		return;
	}
	for (struct node *n = patch->first; n; n = next) {
		struct node **at = key_of(*target, n->key, strlen(n->key));

		next = n->next;
		if (!node_is_null(n))
			merge(at, n);
		else if (*at)
			*at = (*at)->next;
	}
}

/* What would make another thing of an item. */
static bool is_renamed(const struct place *p, const struct node *patch)
{
	const struct node *name, *said;

	if (!p->in || p->in->kind != NODE_LIST)
		return false;
	if (patch->kind == NODE_TEXT && (*p->at)->kind == NODE_TEXT)
		return !is_word(patch->text, (*p->at)->text,
				strcspn((*p->at)->text, " "));
	name = node_get(*p->at, "name");
	said = patch->kind == NODE_MAP ? node_get(patch, "name") : NULL;
	return said && name && name->kind == NODE_TEXT &&
	       (said->kind != NODE_TEXT || strcmp(name->text, said->text) != 0);
}

int edit_patch(struct document *d, const char *path, struct node *patch)
{
	struct place p;

	if (!find(d, path, &p) || !*p.at)
		return -ENOENT;
	if (is_renamed(&p, patch))
		return -EEXIST;
	merge(p.at, patch);
	return 0;
}
