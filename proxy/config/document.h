/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A configuration file as it stands, each value with its place: YAML 1.1 without aliases
 * and tags, of which JSON is a part.
 */
#ifndef PROXY_CONFIG_DOCUMENT_H
#define PROXY_CONFIG_DOCUMENT_H

#include <stdbool.h>
#include <stddef.h>

#include "config/faults.h"

#define DOCUMENT_DEPTH 16 /* of lists and mappings in each other; no key is deeper */
#define DOCUMENT_FILES 256

enum node_kind { NODE_TEXT, NODE_LIST, NODE_MAP };

/* What a text is to the schema, once that has been asked. */
enum node_type { NODE_STRING, NODE_NUMBER, NODE_TRUTH };

struct node {
	enum node_kind kind;
	unsigned file;		       /* of the document's */
	unsigned line, column;	       /* where it begins, from 1 */
	unsigned key_line, key_column; /* where its key does; of what has one */
	const char *key;	       /* in the mapping that has it; NULL: it has none */
	const char *text;	       /* NODE_TEXT */
	enum node_type type;	       /* of a text */
	bool plain;		       /* its text is not quoted */
	bool left_out;		       /* as if it were not there */
	bool broken; /* of its own something was left out for being wrong, and that is
			told */
	struct node *next;  /* of the list or mapping that it is in */
	struct node *first; /* of NODE_LIST and NODE_MAP */
};

struct block;

/* Its texts and nodes are its own, until document_free(). */
struct document {
	struct node *root;		   /* NULL: the text is empty */
	const char *files[DOCUMENT_FILES]; /* as they were named */
	unsigned files_n;
	struct block *blocks;
};

/*
 * Read the text of a file, with those that it includes (from the folder that each is in)
 * and what it has of the environment.  0, though something may be told in *f already;
 * -EINVAL with the reason told if nothing more can be said of it; or -ENOMEM.  The
 * document is to be freed in any case.
 */
int document_read(struct document *d, const char *path, const char *text, size_t len,
		  struct faults *f);

/* The same of a text that is no file's: it includes nothing, and has no variables. */
int document_read_plain(struct document *d, const char *name, const char *text,
			size_t len, struct faults *f);

void document_free(struct document *d);

enum document_style {
	DOCUMENT_SHOWN, /* in one line, each text as it is, for people */
	DOCUMENT_DATA,	/* in one line, each text as it is, for programs */
	DOCUMENT_LINE,	/* in one line, to be read again */
	DOCUMENT_LINES	/* the same in lines, for people */
};

/*
 * A node, NULL too, as YAML without what is left out: *ret is the caller's to free. 0 or
 * -ENOMEM.
 */
int document_write(const struct node *n, enum document_style style, char **ret);

/* --- for who changes it; NULL of no memory --- */

void *document_memory(struct document *d, size_t n);
char *document_text(struct document *d, const char *text, size_t n);
/* A copy with all that is in it, in no list or mapping. */
struct node *document_copy(struct document *d, const struct node *n);

/* The value of a key, NULL if there is none; what is left out is none. */
struct node *node_get(const struct node *map, const char *key);

/* The one of that number of a list, of those that are not left out. */
struct node *node_at(const struct node *list, unsigned index);

/* Behind all others of it. */
void node_append(struct node *in, struct node *n);

/* A null of YAML: not quoted, and ~, null or nothing. */
bool node_is_null(const struct node *n);

/* A fault at a place of its own. */
int document_wrong(const struct document *d, struct faults *f, unsigned file,
		   unsigned line, unsigned column, const char *key, const char *fmt, ...)
	__attribute__((format(printf, 7, 8)));

#endif
