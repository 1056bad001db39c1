/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "config/diff.h"

#define PATH_TEXT 1024

struct differ {
	diff_fn *fn;
	void *arg;
	unsigned n;
	char path[PATH_TEXT];
};

static const struct node *there(const struct node *n)
{
	while (n && n->left_out)
		n = n->next;
	return n;
}

static const struct node *first_of(const struct node *n)
{
	return there(n->first);
}

static const struct node *next_of(const struct node *n)
{
	return there(n->next);
}

static void tell(struct differ *d, enum diff_kind kind, const struct node *before,
		 const struct node *after)
{
	d->n++;
	d->fn(kind, d->path, before, after, d->arg);
}

/* What tells an item from its siblings; NULL if nothing does. */
static const char *name_of(const struct node *item)
{
	const struct node *name = node_get(item, "name");

	return name && name->kind == NODE_TEXT ? name->text : NULL;
}

/* The items of a list by their names. */
struct names {
	size_t mask;
	const struct node **slots; /* NULL: not all have one, or two the same */
};

static const struct node **slot_of(const struct names *n, const char *name)
{
	size_t at = util_hash(name, strlen(name));

	while (n->slots[at & n->mask] &&
	       strcmp(name_of(n->slots[at & n->mask]), name) != 0)
		at++;
	return &n->slots[at & n->mask];
}

static const struct node *named(const struct names *n, const char *name)
{
	return *slot_of(n, name);
}

/* All of them, and no two alike; of no memory none. */
static struct names names_of(const struct node *list)
{
	struct names ret = { .mask = 15 };
	size_t n = 0;

	for (const struct node *i = first_of(list); i; i = next_of(i))
		n++;
	while (ret.mask < 2 * n)
		ret.mask = 2 * ret.mask + 1;
	ret.slots = n ? calloc(ret.mask + 1, sizeof(struct node *)) : NULL;
	for (const struct node *i = first_of(list); i && ret.slots; i = next_of(i)) {
		const struct node **slot = name_of(i) ? slot_of(&ret, name_of(i)) : NULL;

		if (slot && !*slot) {
			*slot = i;
			continue;
		}
		free(ret.slots);
		ret.slots = NULL;
	}
	return ret;
}

static bool is_same(const struct node *a, const struct node *b)
{
	const struct node *i, *k;

	if (a->kind != b->kind)
		return false;
	if (a->kind == NODE_TEXT)
		return strcmp(a->text, b->text) == 0;
	if (a->kind == NODE_MAP) {
		unsigned n = 0;

		for (k = first_of(b); k; k = next_of(k))
			n++;
		for (i = first_of(a); i; i = next_of(i), n--) {
			k = node_get(b, i->key);
			if (!k || !is_same(i, k))
				return false;
		}
		return n == 0;
	}
	for (i = first_of(a), k = first_of(b); i && k; i = next_of(i), k = next_of(k)) {
		if (!is_same(i, k))
			return false;
	}
	return !i && !k;
}

static void compare(struct differ *d, const struct node *a, const struct node *b);

/* One of both at `path` and "[name]" or ".key"; one of them may be NULL. */
static void step(struct differ *d, const char *name, bool item, const struct node *a,
		 const struct node *b)
{
	size_t n = strlen(d->path);

	(void)snprintf(d->path + n, PATH_TEXT - n,
		       item ? "[%s]"
		       : n  ? ".%s"
			    : "%s",
		       name);
	if (a && b)
		compare(d, a, b);
	else
		tell(d, a ? DIFF_REMOVED : DIFF_ADDED, a, b);
	d->path[n] = '\0';
}

static bool is_in_order(const struct node *a, const struct names *of_a,
			const struct node *b, const struct names *of_b)
{
	const struct node *k = first_of(b);

	/* of those that are in both */
	for (const struct node *i = first_of(a); i; i = next_of(i)) {
		if (!named(of_b, name_of(i)))
			continue;
		while (k && !named(of_a, name_of(k)))
			k = next_of(k);
		if (!k || strcmp(name_of(i), name_of(k)) != 0)
			return false;
		k = next_of(k);
	}
	return true;
}

static void compare_items(struct differ *d, const struct node *a,
			  const struct names *of_a, const struct node *b,
			  const struct names *of_b)
{
	for (const struct node *i = first_of(a); i; i = next_of(i))
		step(d, name_of(i), true, i, named(of_b, name_of(i)));
	for (const struct node *i = first_of(b); i; i = next_of(i)) {
		if (!named(of_a, name_of(i)))
			step(d, name_of(i), true, NULL, i);
	}
	if (!is_in_order(a, of_a, b, of_b))
		tell(d, DIFF_MOVED, a, b);
}

/* By their names if they have some, else as a whole. */
static void compare_lists(struct differ *d, const struct node *a, const struct node *b)
{
	struct names of_a = names_of(a), of_b = names_of(b);

	if (of_a.slots && of_b.slots)
		compare_items(d, a, &of_a, b, &of_b);
	else if (!is_same(a, b))
		tell(d, DIFF_CHANGED, a, b);
	free(of_a.slots);
	free(of_b.slots);
}

static void compare(struct differ *d, const struct node *a, const struct node *b)
{
	if (a->kind == NODE_MAP && b->kind == NODE_MAP) {
		for (const struct node *i = first_of(a); i; i = next_of(i))
			step(d, i->key, false, i, node_get(b, i->key));
		for (const struct node *i = first_of(b); i; i = next_of(i)) {
			if (!node_get(a, i->key))
				step(d, i->key, false, NULL, i);
		}
	} else if (a->kind == NODE_LIST && b->kind == NODE_LIST) {
		compare_lists(d, a, b);
	} else if (!is_same(a, b)) {
		tell(d, DIFF_CHANGED, a, b);
	}
}

unsigned diff_documents(const struct document *before, const struct document *after,
			diff_fn *fn, void *arg)
{
	struct differ d = { .fn = fn, .arg = arg };

	compare(&d, before->root, after->root);
	return d.n;
}
