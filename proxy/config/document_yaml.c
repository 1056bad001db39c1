/* SPDX-License-Identifier: Apache-2.0 */
/* From YAML to nodes, and back; the only file that includes libyaml. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "config/document_own.h"

struct reader {
	struct document *d;
	struct faults *f;
	unsigned file;
	const char *text;
	size_t len;
	yaml_parser_t parser;
	struct node *open[DOCUMENT_DEPTH]; /* lists and mappings that have not ended */
	struct node **ends[DOCUMENT_DEPTH];
	unsigned depth;
	struct node key; /* read before its value; key.key NULL: none */
	struct node *root;
};

/* --- texts that are no YAML, in the words of who writes them --- */

/* The line of that number, from 1, without its end; its length. */
static const char *line_of(const struct reader *r, unsigned number, size_t *ret_len)
{
	const char *p = r->text, *end = r->text + r->len, *newline;

	while (number > 1 && (newline = memchr(p, '\n', (size_t)(end - p)))) {
		p = newline + 1;
		number--;
	}
	newline = memchr(p, '\n', (size_t)(end - p));
	*ret_len = (size_t)((newline ? newline : end) - p);
	return p;
}

/* Of a byte: its line and column, from 1. */
static void place_of(const struct reader *r, size_t offset, unsigned *line,
		     unsigned *column)
{
	*line = *column = 1;
	for (size_t i = 0; i < offset && i < r->len; i++) {
		*column = r->text[i] == '\n' ? 1 : *column + 1;
		*line += r->text[i] == '\n';
	}
}

/* The word that begins at `p`, up to a blank, a comma or a bracket that ends a list. */
static int word_length(const char *p, const char *end)
{
	const char *q = p;

	while (q < end && !strchr(" \t,}", *q) &&
	       (*q != ']' || (q + 1 < end && q[1] == ':')))
		q++;
	return (int)(q - p);
}

/* A value that YAML takes for something else: [::]:443, *.example.org, {...}: */
static bool needs_quotes(const char *line, size_t len, const char **ret, int *ret_len)
{
	const char *end = line + len;

	for (const char *p = line; p < end; p++) {
		bool begins = p == line || strchr(" [,", p[-1]);
		int n;

		if (begins && *p == '#')
			return false;	       /* a comment */
		if (*p == '"' || *p == '\'') { /* what is quoted already */
			const char *q = memchr(p + 1, *p, (size_t)(end - p - 1));

			if (q) {
				p = q;
				continue;
			}
		}
		if (!begins || (*p != '[' && *p != '*'))
			continue;
		n = word_length(p, end);
		if (*p == '[' && !memmem(p, (size_t)n, "]:", 2))
			continue;
		*ret = p;
		*ret_len = n;
		return true;
	}
	return false;
}

/* What libyaml's words most often come from. */
static const char *hint_of(const struct reader *r, const char *problem, unsigned at)
{
	if (strstr(problem, "mapping values"))
		return "; is a ':' before it without a blank behind, or one in a text "
		       "that should be quoted?";
	for (unsigned back = 0; back < 2 && at > back; back++) {
		const char *text;
		size_t n;

		text = line_of(r, at - back, &n);
		if (memmem(text, n, ": {$", 4))
			return "; a value that begins with a variable is quoted: "
			       "\"{$NAME}\"";
	}
	for (unsigned back = 0; back < 3 && at > back; back++) {
		unsigned quotes = 0;
		const char *line;
		size_t len;

		line = line_of(r, at - back, &len);
		for (size_t i = 0; i < len; i++)
			quotes += line[i] == '"';
		if (quotes % 2)
			return back ? "; is a quote open in a line above?"
				    : "; is a quote open in this line?";
	}
	return strstr(problem, "expected key") || strstr(problem, "'-' indicator")
		       ? "; do lines that belong together begin in the same column?"
		       : "";
}

static int tell_problem(struct reader *r, unsigned at, unsigned column)
{
	const yaml_parser_t *p = &r->parser;
	const char *problem = p->problem ? p->problem : "?";
	char begins[64] = "";

	if (p->context && p->context_mark.line + 1 < at)
		(void)snprintf(begins, sizeof(begins), ", which begins in line %zu",
			       p->context_mark.line + 1);
	return document_wrong(r->d, r->f, r->file, at, column, "", "not YAML: %s%s%s%s%s",
			      problem, p->context ? ", " : "",
			      p->context ? p->context : "", begins,
			      hint_of(r, problem, at));
}

static int explain(struct reader *r)
{
	const yaml_parser_t *p = &r->parser;
	unsigned at = (unsigned)p->problem_mark.line + 1;
	unsigned column = (unsigned)p->problem_mark.column + 1;
	const char *line, *word;
	size_t len;
	int n;

	if (p->error == YAML_MEMORY_ERROR)
		return -ENOMEM;
	if (p->error == YAML_READER_ERROR) {
		place_of(r, p->problem_offset, &at, &column);
		return document_wrong(r->d, r->f, r->file, at, column, "",
				      "no text of UTF-8, or a character that YAML does "
				      "not take: %s",
				      p->problem ? p->problem : "?");
	}
	line = line_of(r, at, &len);
	if (column <= len && line[column - 1] == '\t')
		return document_wrong(r->d, r->f, r->file, at, column, "",
				      "a tab: YAML is indented by spaces only");
	if (p->problem && strstr(p->problem, "escape"))
		return document_wrong(
			r->d, r->f, r->file, at, column, "",
			"a backslash in double quotes: write expressions in "
			"single quotes ('~^a\\d+$')");
	/* YAML often notices a line later */
	for (unsigned back = 0; back < 2 && at > back; back++) {
		line = line_of(r, at - back, &len);
		if (needs_quotes(line, len, &word, &n))
			return document_wrong(r->d, r->f, r->file, at - back,
					      (unsigned)(word - line) + 1, "",
					      "quote it: \"%.*s\"", n, word);
	}
	return tell_problem(r, at, column);
}

/* --- reading --- */

static int wrong_at(struct reader *r, const yaml_event_t *e, const char *what)
{
	return document_wrong(r->d, r->f, r->file, (unsigned)e->start_mark.line + 1,
			      (unsigned)e->start_mark.column + 1, "", "%s", what);
}

/* Into the list or mapping that is open, or as the root. */
static void put(struct reader *r, struct node *n)
{
	struct node *in = r->depth ? r->open[r->depth - 1] : NULL;

	if (in && in->kind == NODE_MAP) {
		n->key = r->key.key;
		n->key_line = r->key.line;
		n->key_column = r->key.column;
		r->key.key = NULL;
		if (node_get(in, n->key)) {
			n->left_out = true;
			(void)document_wrong(
				r->d, r->f, r->file, n->key_line, n->key_column, "",
				"%s: is here already, a few lines before", n->key);
		}
	}
	if (in) {
		*r->ends[r->depth - 1] = n;
		r->ends[r->depth - 1] = &n->next;
	} else {
		r->root = n;
	}
}

static bool wants_key(const struct reader *r)
{
	return r->depth && r->open[r->depth - 1]->kind == NODE_MAP && !r->key.key;
}

static int read_node(struct reader *r, const yaml_event_t *e, enum node_kind kind)
{
	struct node *n = document_memory(r->d, sizeof(*n));

	if (!n)
		return -ENOMEM;
	*n = (struct node){ .kind = kind,
			    .file = r->file,
			    .line = (unsigned)e->start_mark.line + 1,
			    .column = (unsigned)e->start_mark.column + 1 };
	if (kind == NODE_TEXT) {
		n->plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
		n->text = document_text(r->d, (const char *)e->data.scalar.value,
					e->data.scalar.length);
		if (!n->text)
			return -ENOMEM;
		if (strlen(n->text) != e->data.scalar.length)
			return wrong_at(r, e, "a character of the number 0");
	}
	if (wants_key(r)) {
		if (kind != NODE_TEXT)
			return wrong_at(r, e, "a key is a word");
		r->key = *n;
		r->key.key = n->text;
		return 0;
	}
	put(r, n);
	if (kind != NODE_TEXT) {
		r->open[r->depth] = n;
		r->ends[r->depth++] = &n->first;
	}
	return 0;
}

static int read_collection(struct reader *r, const yaml_event_t *e, enum node_kind kind)
{
	if (r->depth == DOCUMENT_DEPTH)
		return wrong_at(r, e, "is deeper than any key there is");
	return read_node(r, e, kind);
}

/* Behind what it refuses nothing can be read. */
static int read_event(struct reader *r, const yaml_event_t *e, unsigned *documents)
{
	switch (e->type) {
	case YAML_DOCUMENT_START_EVENT:
		return ++*documents == 1
			       ? 0
			       : wrong_at(r, e,
					  "a second document: a configuration is one");
	case YAML_ALIAS_EVENT:
		return wrong_at(r, e, "aliases are not allowed: write it out");
	case YAML_SCALAR_EVENT:
		return read_node(r, e, NODE_TEXT);
	case YAML_SEQUENCE_START_EVENT:
		return read_collection(r, e, NODE_LIST);
	case YAML_MAPPING_START_EVENT:
		return read_collection(r, e, NODE_MAP);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		r->depth--;
		return 0;
	default:
		return 0;
	}
}

static int read_events(struct reader *r)
{
	unsigned documents = 0;
	bool more = true;
	int err = 0;

	while (more && !err) {
		yaml_event_t e;

		if (!yaml_parser_parse(&r->parser, &e))
			return explain(r);
		more = e.type != YAML_STREAM_END_EVENT;
		err = read_event(r, &e, &documents);
		yaml_event_delete(&e);
	}
	return err;
}

int yaml_read(struct document *d, unsigned file, const char *text, size_t len,
	      struct faults *f, struct node **ret)
{
	struct reader r = { .d = d, .f = f, .file = file, .text = text, .len = len };
	int err;

	*ret = NULL;
	if (!yaml_parser_initialize(&r.parser))
		return -ENOMEM;
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, len);
	err = read_events(&r);
	yaml_parser_delete(&r.parser);
	*ret = err ? NULL : r.root;
	return err;
}

/* --- writing --- */

struct writer {
	yaml_emitter_t emitter;
	enum document_style style;
	FILE *out;
};

static int on_write(void *arg, unsigned char *p, size_t n)
{
	const struct writer *w = arg;

	return fwrite(p, 1, n, w->out) == n;
}

static bool emit(struct writer *w, yaml_event_t *e, int made)
{
	return made && yaml_emitter_emit(&w->emitter, e);
}

/*
 * What is for people, or for a file, is read again: "{$" that is no variable is written
 * "{$$" (document_expand.c).  Of no memory NULL.
 */
static char *escape(const char *text)
{
	size_t n = strlen(text), at = 0;
	char *ret = malloc(n + n / 2 + 1);

	for (size_t i = 0; ret && i < n; i++) {
		ret[at++] = text[i];
		if (i && text[i] == '$' && text[i - 1] == '{')
			ret[at++] = '$';
	}
	if (ret)
		ret[at] = '\0';
	return ret;
}

static bool write_scalar(struct writer *w, const char *text, bool plain)
{
	yaml_event_t e;

	return emit(
		w, &e,
		yaml_scalar_event_initialize(&e, NULL, NULL, (const yaml_char_t *)text,
					     (int)strlen(text), plain, 1,
					     plain ? YAML_PLAIN_SCALAR_STYLE
						   : YAML_DOUBLE_QUOTED_SCALAR_STYLE));
}

static bool write_text(struct writer *w, const char *text, bool plain)
{
	char *escaped;
	bool ok;

	if (w->style == DOCUMENT_SHOWN || !strstr(text, "{$"))
		return write_scalar(w, text, plain);
	escaped = escape(text);
	ok = escaped && write_scalar(w, escaped, false);
	free(escaped);
	return ok;
}

/* Lists of words in a line. */
static bool is_words(const struct node *list)
{
	for (const struct node *n = list->first; n; n = n->next) {
		if (n->kind != NODE_TEXT)
			return false;
	}
	return true;
}

static bool write_node(struct writer *w, const struct node *n)
{
	bool flow = w->style != DOCUMENT_LINES || (n->kind == NODE_LIST && is_words(n)) ||
		    !n->first;
	bool ok = true;
	yaml_event_t e;

	if (n->kind == NODE_TEXT)
		return write_text(w, n->text, n->plain);
	if (n->kind == NODE_LIST)
		ok = emit(w, &e,
			  yaml_sequence_start_event_initialize(
				  &e, NULL, NULL, 1,
				  flow ? YAML_FLOW_SEQUENCE_STYLE
				       : YAML_BLOCK_SEQUENCE_STYLE));
	else
		ok = emit(w, &e,
			  yaml_mapping_start_event_initialize(
				  &e, NULL, NULL, 1,
				  flow ? YAML_FLOW_MAPPING_STYLE
				       : YAML_BLOCK_MAPPING_STYLE));
	for (const struct node *i = n->first; ok && i; i = i->next) {
		if (i->left_out)
			continue;
		ok = (n->kind == NODE_LIST || write_text(w, i->key, true)) &&
		     write_node(w, i);
	}
	return ok && emit(w, &e,
			  n->kind == NODE_LIST ? yaml_sequence_end_event_initialize(&e)
					       : yaml_mapping_end_event_initialize(&e));
}

static bool write_all(struct writer *w, const struct node *n)
{
	yaml_event_t e;

	return emit(w, &e, yaml_stream_start_event_initialize(&e, YAML_UTF8_ENCODING)) &&
	       emit(w, &e,
		    yaml_document_start_event_initialize(&e, NULL, NULL, NULL, 1)) &&
	       write_node(w, n) &&
	       emit(w, &e, yaml_document_end_event_initialize(&e, 1)) &&
	       emit(w, &e, yaml_stream_end_event_initialize(&e));
}

int document_write(const struct node *n, enum document_style style, char **ret)
{
	struct writer w = { .style = style };
	size_t len;
	bool ok;

	*ret = NULL;
	if (style == DOCUMENT_DATA || style == DOCUMENT_LINE)
		return document_write_line(n, style == DOCUMENT_LINE, ret);
	w.out = open_memstream(ret, &len);
	if (!w.out)
		return -ENOMEM;
	ok = yaml_emitter_initialize(&w.emitter);
	if (ok) {
		yaml_emitter_set_output(&w.emitter, on_write, &w);
		yaml_emitter_set_width(&w.emitter, -1);
		yaml_emitter_set_unicode(&w.emitter, 1);
		ok = !n || write_all(&w, n);
		yaml_emitter_delete(&w.emitter);
	}
	ok = fclose(w.out) == 0 && ok;
	if (ok && *ret)
		return 0;
	free(*ret);
	*ret = NULL;
	return -ENOMEM;
}
