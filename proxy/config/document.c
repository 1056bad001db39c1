/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes and their memory; what reads and writes YAML is document_yaml.c. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/document.h"

#define BLOCK_BYTES (16u * 1024)
#define ALIGN	    _Alignof(max_align_t)

struct block {
	struct block *next;
	size_t used, size;
	_Alignas(max_align_t) char data[];
};

void *document_memory(struct document *d, size_t n)
{
	struct block *b = d->blocks;
	void *ret;

	n = (n + ALIGN - 1) & ~(ALIGN - 1);
	if (!b || b->size - b->used < n) {
		size_t size = n > BLOCK_BYTES ? n : BLOCK_BYTES;

		b = calloc(1, sizeof(*b) + size);
		if (!b)
			return NULL;
		b->size = size;
		b->next = d->blocks;
		d->blocks = b;
	}
	ret = b->data + b->used;
	b->used += n;
	return ret;
}

char *document_text(struct document *d, const char *text, size_t n)
{
	char *ret = document_memory(d, n + 1);

	if (ret)
		memcpy(ret, text, n);
	return ret;
}

struct node *document_copy(struct document *d, const struct node *n)
{
	struct node *ret = document_memory(d, sizeof(*ret)), *child, **end;

	if (!ret)
		return NULL;
	*ret = *n;
	ret->next = ret->first = NULL;
	end = &ret->first;
	for (const struct node *i = n->first; i; i = i->next) {
		child = document_copy(d, i);
		if (!child)
			return NULL;
		*end = child;
		end = &child->next;
	}
	return ret;
}

void document_free(struct document *d)
{
	while (d->blocks) {
		struct block *b = d->blocks;

		d->blocks = b->next;
		free(b);
	}
	d->root = NULL;
}

struct node *node_get(const struct node *map, const char *key)
{
	if (map->kind != NODE_MAP)
		return NULL;
	for (struct node *n = map->first; n; n = n->next) {
		if (!n->left_out && strcmp(n->key, key) == 0)
			return n;
	}
	return NULL;
}

struct node *node_at(const struct node *list, unsigned index)
{
	if (list->kind != NODE_LIST)
		return NULL;
	for (struct node *n = list->first; n; n = n->next) {
		if (!n->left_out && index-- == 0)
			return n;
	}
	return NULL;
}

void node_append(struct node *in, struct node *n)
{
	struct node **end = &in->first;

	while (*end)
		end = &(*end)->next;
	n->next = NULL;
	*end = n;
}

bool node_is_null(const struct node *n)
{
	static const char *const nulls[] = { "", "~", "null", "Null", "NULL" };

	for (size_t i = 0; n->kind == NODE_TEXT && n->plain && i < 5; i++) {
		if (strcmp(n->text, nulls[i]) == 0)
			return true;
	}
	return false;
}

int document_wrong(const struct document *d, struct faults *f, unsigned file,
		   unsigned line, unsigned column, const char *key, const char *fmt, ...)
{
	va_list args;
	int err;

	va_start(args, fmt);
	err = faults_add(f, d->files[file], line, column, key, fmt, args);
	va_end(args);
	return err;
}
