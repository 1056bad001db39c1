/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "config/diff.h"
#include "config/document.h"
#include "state/objects.h"

/* --- a list of them --- */

static void object_free(struct object *o)
{
	free(o->parent);
	free(o->name);
	free(o->body);
}

void objects_free(struct objects *o)
{
	for (size_t i = 0; i < o->n; i++)
		object_free(&o->list[i]);
	free(o->list);
	*o = (struct objects){ .n = 0 };
}

int objects_add(struct objects *o, const struct object *one)
{
	struct object *to;

	if (o->n == o->room) {
		size_t room = o->room ? 2 * o->room : 64;
		struct object *more = realloc(o->list, room * sizeof(*more));

		if (!more)
			return -ENOMEM;
		o->list = more;
		o->room = room;
	}
	to = &o->list[o->n];
	*to = *one;
	to->parent = strdup(one->parent);
	to->name = strdup(one->name);
	to->body = strdup(one->body);
	if (!to->parent || !to->name || !to->body) {
		object_free(to);
		return -ENOMEM;
	}
	o->n++;
	return 0;
}

char *object_name(const struct object *o, char ret[OBJECT_TEXT])
{
	if (o->kind == OBJECT_SETTINGS)
		(void)snprintf(ret, OBJECT_TEXT, "the settings that are no listener's");
	else if (o->kind == OBJECT_LISTENER)
		(void)snprintf(ret, OBJECT_TEXT, "listeners[%s]", o->name);
	else
		(void)snprintf(ret, OBJECT_TEXT, "listeners[%s].routes[%s]", o->parent,
			       o->name);
	return ret;
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

bool objects_alike(const struct object *a, const struct object *b)
{
	struct faults f = { .n = 0 };
	struct document x, y = { .root = NULL };
	bool alike;

	if (strcmp(a->body, b->body) == 0)
		return true;
	alike = document_read(&x, "a", a->body, strlen(a->body), &f) == 0 &&
		document_read(&y, "b", b->body, strlen(b->body), &f) == 0 && x.root &&
		y.root && diff_documents(&x, &y, count, NULL) == 0;
	document_free(&x);
	document_free(&y);
	faults_free(&f);
	return alike;
}

/* --- finding one --- */

struct object_index {
	size_t mask;
	struct object *slots[];
};

static uint64_t hash_of(enum object_kind kind, const char *parent, const char *name)
{
	return util_hash(parent, strlen(parent)) * 31 + util_hash(name, strlen(name)) +
	       (uint64_t)kind;
}

int objects_index(const struct objects *o, struct object_index **ret)
{
	size_t size = 16;

	while (size < 2 * o->n)
		size *= 2;
	*ret = calloc(1, sizeof(**ret) + size * sizeof(struct object *));
	if (!*ret)
		return -ENOMEM;
	(*ret)->mask = size - 1;
	for (size_t i = 0; i < o->n; i++) {
		struct object *one = &o->list[i];
		size_t at = hash_of(one->kind, one->parent, one->name);

		while ((*ret)->slots[at & (size - 1)])
			at++;
		(*ret)->slots[at & (size - 1)] = one;
	}
	return 0;
}

struct object *objects_find(const struct object_index *index, enum object_kind kind,
			    const char *parent, const char *name)
{
	size_t at = hash_of(kind, parent, name);
	struct object *o;

	for (; (o = index->slots[at & index->mask]); at++) {
		if (o->kind == kind && strcmp(o->parent, parent) == 0 &&
		    strcmp(o->name, name) == 0)
			return o;
	}
	return NULL;
}

void objects_index_free(struct object_index *index)
{
	free(index);
}

/* --- from a text --- */

struct splitting {
	struct objects *to;
	enum object_origin origin;
};

/* A mapping without one of its keys, or more. */
static int add_node(struct splitting *s, enum object_kind kind, const char *parent,
		    const char *name, const struct node *n, int64_t position)
{
	struct object o = { .kind = kind,
			    .origin = s->origin,
			    .parent = (char *)parent,
			    .name = (char *)name,
			    .position = position };
	int err = document_write(n, DOCUMENT_LINE, &o.body);

	if (err)
		return err;
	o.body[strcspn(o.body, "\n")] = '\0';
	err = objects_add(s->to, &o);
	free(o.body);
	return err;
}

static const char *name_of(const struct node *item)
{
	const struct node *name = node_get(item, "name");

	return name && name->kind == NODE_TEXT ? name->text : NULL;
}

static int add_routes(struct splitting *s, const char *listener,
		      const struct node *routes)
{
	int64_t position = 0;
	int err = 0;

	for (const struct node *n = routes->first; n && !err; n = n->next) {
		if (!name_of(n))
			return -EINVAL;
		err = add_node(s, OBJECT_ROUTE, listener, name_of(n), n, ++position);
	}
	return err;
}

static int add_listeners(struct splitting *s, struct node *listeners)
{
	int64_t position = 0;
	int err = 0;

	for (struct node *n = listeners->first; n && !err; n = n->next) {
		struct node *routes = node_get(n, "routes");

		if (!name_of(n) || !routes)
			return -EINVAL;
		routes->left_out = true;
		err = add_node(s, OBJECT_LISTENER, "", name_of(n), n, ++position);
		routes->left_out = false;
	}
	for (struct node *n = listeners->first; n && !err; n = n->next)
		err = add_routes(s, name_of(n), node_get(n, "routes"));
	return err;
}

/* What is none of the settings is left out of them, or back again. */
static void leave_out(const struct document *d, bool out)
{
	static const char *const others[] = { "state", "state_file", "user",
					      "listeners" };

	for (struct node *n = d->root->first; n; n = n->next) {
		for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
			if (strcmp(n->key, others[i]) == 0)
				n->left_out = out;
		}
	}
}

int objects_of_document(const struct document *d, enum object_origin origin,
			struct objects *ret)
{
	struct splitting s = { .to = ret, .origin = origin };
	struct node *listeners = NULL;
	int err;

	*ret = (struct objects){ .n = 0 };
	if (!d->root || !(listeners = node_get(d->root, "listeners")))
		return -EINVAL;
	leave_out(d, true);
	err = add_node(&s, OBJECT_SETTINGS, "", "", d->root, 1);
	leave_out(d, false);
	return err ? err : add_listeners(&s, listeners);
}

int objects_split(const char *text, enum object_origin origin, struct objects *ret)
{
	struct faults f = { .n = 0 };
	struct document d;
	int err = document_read(&d, "configuration", text, strlen(text), &f);

	*ret = (struct objects){ .n = 0 };
	if (!err)
		err = objects_of_document(&d, origin, ret);
	document_free(&d);
	faults_free(&f);
	return err;
}

/* --- to a text --- */

/* A mapping's inside, with more to come behind it. */
static void put_inside(FILE *out, const char *body)
{
	size_t n = strlen(body);

	if (n > 2)
		(void)fprintf(out, "%.*s, ", (int)(n - 2), body + 1);
}

static void put_routes(FILE *out, const struct objects *o, size_t *at,
		       const char *listener)
{
	const char *between = "";

	for (; *at < o->n && o->list[*at].kind == OBJECT_ROUTE &&
	       strcmp(o->list[*at].parent, listener) == 0;
	     (*at)++) {
		(void)fprintf(out, "%s%s", between, o->list[*at].body);
		between = ",\n    ";
	}
}

int objects_join(const struct objects *o, const char *state_file, const char *user,
		 char **ret)
{
	const char *between = "";
	size_t len, routes = 0, i = 0;
	FILE *out = open_memstream(ret, &len);

	if (!out)
		return -ENOMEM;
	while (routes < o->n && o->list[routes].kind != OBJECT_ROUTE)
		routes++;
	(void)fprintf(out, "{state: database, state_file: \"%s\", user: \"%s\", ",
		      state_file, user);
	if (o->n && o->list[0].kind == OBJECT_SETTINGS)
		put_inside(out, o->list[i++].body);
	(void)fputs("listeners: [", out);
	for (; i < o->n && o->list[i].kind == OBJECT_LISTENER; i++) {
		(void)fprintf(out, "%s{", between);
		put_inside(out, o->list[i].body);
		(void)fputs("routes: [", out);
		put_routes(out, o, &routes, o->list[i].name);
		(void)fputs("]}", out);
		between = ",\n  ";
	}
	(void)fputs("]}\n", out);
	if (fclose(out) == 0)
		return 0;
	free(*ret);
	*ret = NULL;
	return -ENOMEM;
}
