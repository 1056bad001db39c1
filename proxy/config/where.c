/* SPDX-License-Identifier: Apache-2.0 */
/* Finding places in a YAML text; the only file that includes libyaml. */
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "config/where.h"

static yaml_node_t *child(yaml_document_t *doc, yaml_node_t *node, const char *key,
			  unsigned index)
{
	if (!key) {
		if (node->type != YAML_SEQUENCE_NODE ||
		    node->data.sequence.items.start + index >=
			    node->data.sequence.items.top)
			return NULL;
		return yaml_document_get_node(doc,
					      node->data.sequence.items.start[index]);
	}
	if (node->type != YAML_MAPPING_NODE)
		return NULL;
	for (yaml_node_pair_t *p = node->data.mapping.pairs.start;
	     p < node->data.mapping.pairs.top; p++) {
		yaml_node_t *k = yaml_document_get_node(doc, p->key);

		if (k && k->type == YAML_SCALAR_NODE &&
		    strcmp((const char *)k->data.scalar.value, key) == 0)
			return yaml_document_get_node(doc, p->value);
	}
	return NULL;
}

/* The node that `w` leads to, or of an absent key what lacks it (*ret_whole is false). */
static yaml_node_t *node_at(yaml_document_t *doc, const struct where *w, bool *ret_whole)
{
	yaml_node_t *node = yaml_document_get_root_node(doc);

	*ret_whole = node != NULL;
	for (unsigned i = 0; node && i < w->depth; i++) {
		yaml_node_t *next = child(doc, node, w->keys[i], w->indexes[i]);

		if (!next) {
			*ret_whole = false;
			break;
		}
		node = next;
	}
	return node;
}

/* Calls fn with the node, if the text can be read. */
static void look(const struct where *w,
		 void (*fn)(const yaml_node_t *node, bool whole, void *arg), void *arg)
{
	yaml_document_t doc;
	yaml_parser_t parser;
	yaml_node_t *node;
	bool whole;

	if (!yaml_parser_initialize(&parser))
		return;
	yaml_parser_set_input_string(&parser, (const unsigned char *)w->text, w->len);
	if (yaml_parser_load(&parser, &doc)) {
		node = node_at(&doc, w, &whole);
		if (node)
			fn(node, whole, arg);
		yaml_document_delete(&doc);
	}
	yaml_parser_delete(&parser);
}

static void note_mark(const yaml_node_t *node, bool whole, void *arg)
{
	unsigned *place = arg;

	(void)whole;
	place[0] = (unsigned)node->start_mark.line + 1;
	place[1] = (unsigned)node->start_mark.column + 1;
}

static void locate(const struct where *w, unsigned *ret_line, unsigned *ret_column)
{
	unsigned place[2] = { 0, 0 };

	look(w, note_mark, place);
	*ret_line = place[0];
	*ret_column = place[1];
}

static bool is_null_text(const char *text)
{
	return !*text || strcmp(text, "~") == 0 || strcmp(text, "null") == 0 ||
	       strcmp(text, "Null") == 0 || strcmp(text, "NULL") == 0;
}

static void note_null(const yaml_node_t *node, bool whole, void *arg)
{
	*(bool *)arg = whole && node->type == YAML_SCALAR_NODE &&
		       node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
		       is_null_text((const char *)node->data.scalar.value);
}

bool where_is_null(const struct where *w)
{
	bool is = false;

	look(w, note_null, &is);
	return is;
}

/* "FILE:LINE:COLUMN: KEY: " into buf; its length. */
static size_t put_place(const struct where *w, char *buf, size_t cap)
{
	unsigned line, column;
	size_t n = 0;

	locate(w, &line, &column);
	n += (size_t)snprintf(buf, cap, "%.300s:%u:%u: ", w->path, line, column);
	for (unsigned i = 0; i < w->depth && n < cap; i++) {
		if (w->keys[i])
			n += (size_t)snprintf(buf + n, cap - n, "%s%s", i ? "." : "",
					      w->keys[i]);
		else
			n += (size_t)snprintf(buf + n, cap - n, "[%u]", w->indexes[i]);
	}
	if (n < cap)
		n += (size_t)snprintf(buf + n, cap - n, "%s", w->depth ? ": " : "");
	return n < cap ? n : cap - 1;
}

int where_wrong(struct where *w, const char *fmt, ...)
{
	size_t n = put_place(w, w->err, CONFIG_ERROR_MAX);
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(w->err + n, CONFIG_ERROR_MAX - n, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

int where_wrong_at(struct where *w, unsigned line, unsigned column, const char *fmt, ...)
{
	size_t n;
	va_list ap;

	n = (size_t)snprintf(w->err, CONFIG_ERROR_MAX, "%.300s:%u:%u: ", w->path, line,
			     column);
	va_start(ap, fmt);
	(void)vsnprintf(w->err + n, CONFIG_ERROR_MAX - n, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

void where_warn(struct where *w, char **warnings, const char *fmt, ...)
{
	char line[CONFIG_ERROR_MAX], *all;
	size_t n = put_place(w, line, sizeof(line));
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(line + n, sizeof(line) - n, fmt, ap);
	va_end(ap);
	if (asprintf(&all, "%s%s\n", *warnings ? *warnings : "", line) < 0)
		return; /* without memory there are other worries */
	free(*warnings);
	*warnings = all;
}

void where_enter_key(struct where *w, const char *key)
{
	assert(w->depth < PATH_MAX_KEYS);
	w->keys[w->depth++] = key;
}

void where_enter_index(struct where *w, unsigned index)
{
	assert(w->depth < PATH_MAX_KEYS);
	w->keys[w->depth] = NULL;
	w->indexes[w->depth++] = index;
}

void where_leave(struct where *w, unsigned levels)
{
	w->depth -= levels;
}

void where_locate_key(const char *text, size_t len, const char *key, unsigned *line,
		      unsigned *column)
{
	yaml_document_t doc;
	yaml_parser_t parser;
	yaml_node_t *node, *k;
	unsigned best = 0;

	if (!yaml_parser_initialize(&parser))
		return;
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
	if (yaml_parser_load(&parser, &doc)) {
		for (int i = 1; (node = yaml_document_get_node(&doc, i)); i++) {
			if (node->type != YAML_MAPPING_NODE)
				continue;
			for (yaml_node_pair_t *p = node->data.mapping.pairs.start;
			     p < node->data.mapping.pairs.top; p++) {
				k = yaml_document_get_node(&doc, p->key);
				if (!k || k->type != YAML_SCALAR_NODE ||
				    strcmp((const char *)k->data.scalar.value, key) !=
					    0 ||
				    k->start_mark.line + 1 < *line ||
				    (best && k->start_mark.line + 1 >= best))
					continue;
				best = (unsigned)k->start_mark.line + 1;
				*column = (unsigned)k->start_mark.column + 1;
			}
		}
		if (best)
			*line = best;
		yaml_document_delete(&doc);
	}
	yaml_parser_delete(&parser);
}

/* --- the text itself --- */

/* The line of that number, from 1, without its end; its length. */
static const char *line_of(const struct where *w, unsigned number, size_t *ret_len)
{
	const char *p = w->text, *end = w->text + w->len, *newline;

	while (number > 1 && (newline = memchr(p, '\n', (size_t)(end - p)))) {
		p = newline + 1;
		number--;
	}
	newline = memchr(p, '\n', (size_t)(end - p));
	*ret_len = (size_t)((newline ? newline : end) - p);
	return p;
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

static int explain_yaml(struct where *w, const yaml_parser_t *parser)
{
	unsigned at = (unsigned)parser->problem_mark.line + 1;
	unsigned column = (unsigned)parser->problem_mark.column + 1;
	const char *line, *word;
	size_t len;
	int n;

	line = line_of(w, at, &len);
	if (column <= len && line[column - 1] == '\t')
		return where_wrong_at(w, at, column,
				      "a tab: YAML is indented by spaces only");
	if (parser->problem && strstr(parser->problem, "escape"))
		return where_wrong_at(
			w, at, column,
			"a backslash in double quotes: write expressions in "
			"single quotes ('~^a\\d+$')");
	/* YAML often notices a line later */
	for (unsigned back = 0; back < 2 && at > back; back++) {
		line = line_of(w, at - back, &len);
		if (needs_quotes(line, len, &word, &n))
			return where_wrong_at(w, at - back, (unsigned)(word - line) + 1,
					      "quote it: \"%.*s\"", n, word);
	}
	return where_wrong_at(w, at, column, "not YAML: %s%s%s",
			      parser->problem ? parser->problem : "?",
			      parser->context ? ", " : "",
			      parser->context ? parser->context : "");
}

/* Events know of aliases and documents, which a loaded document does not. */
static int scan_events(struct where *w)
{
	unsigned documents = 0, line, column;
	yaml_parser_t parser;
	yaml_event_t event;
	int err = 0, type;

	if (!yaml_parser_initialize(&parser))
		return -ENOMEM;
	yaml_parser_set_input_string(&parser, (const unsigned char *)w->text, w->len);
	do {
		if (!yaml_parser_parse(&parser, &event)) {
			err = explain_yaml(w, &parser);
			break;
		}
		type = event.type;
		line = (unsigned)event.start_mark.line + 1;
		column = (unsigned)event.start_mark.column + 1;
		yaml_event_delete(&event);
		if (type == YAML_ALIAS_EVENT)
			err = where_wrong_at(w, line, column,
					     "aliases are not allowed: write it out");
		else if (type == YAML_DOCUMENT_START_EVENT && ++documents > 1)
			err = where_wrong_at(w, line, column,
					     "a second document: a configuration is one");
	} while (!err && type != YAML_STREAM_END_EVENT);
	yaml_parser_delete(&parser);
	return err;
}

static const char *scalar(const yaml_node_t *node)
{
	return node && node->type == YAML_SCALAR_NODE
		       ? (const char *)node->data.scalar.value
		       : NULL;
}

static bool has_word(const char *words, const char *word)
{
	size_t n = strlen(word), len;

	for (const char *p = words; *p; p += len + (p[len] == ',') + (p[len] == ',')) {
		len = strcspn(p, ",");
		if (len == n && memcmp(p, word, n) == 0)
			return true;
	}
	return false;
}

static int check_value(struct where *w, const struct where_rule *rule,
		       const yaml_node_t *value)
{
	unsigned line = (unsigned)value->start_mark.line + 1;
	unsigned column = (unsigned)value->start_mark.column + 1;
	const char *text = scalar(value);

	if (rule->is_mapping) {
		if (!text || !text[0] || strcmp(text, "~") == 0)
			return 0; /* nothing at all is the schema's to judge */
		return where_wrong_at(
			w, line, column,
			"%s: '%.60s' is no value for it: it has keys of its "
			"own (%s)",
			rule->key, text, rule->words);
	}
	if (rule->words) {
		if (!text || has_word(rule->words, text))
			return 0;
		return where_wrong_at(w, line, column, "%s: '%.60s' is not %s", rule->key,
				      text, rule->words);
	}
	if (text && strpbrk(text, ":*~ "))
		return where_wrong_at(w, line, column, "%s: is a list: [\"%.100s\"]",
				      rule->key, text);
	if (text)
		return where_wrong_at(w, line, column, "%s: is a list: [%.100s]",
				      rule->key, text);
	if (value->type == YAML_SEQUENCE_NODE &&
	    value->data.sequence.items.start == value->data.sequence.items.top)
		return where_wrong_at(w, line, column,
				      "%s: is empty; leave it out, or say something",
				      rule->key);
	return 0;
}

/* Whose value a node is, or an item of: its key, or "". */
static void note_keys(yaml_document_t *doc, const char **ret)
{
	yaml_node_t *node, *value;
	const char *key;

	for (int i = 1; (node = yaml_document_get_node(doc, i)); i++) {
		if (node->type != YAML_MAPPING_NODE)
			continue;
		for (yaml_node_pair_t *p = node->data.mapping.pairs.start;
		     p < node->data.mapping.pairs.top; p++) {
			key = scalar(yaml_document_get_node(doc, p->key));
			value = yaml_document_get_node(doc, p->value);
			if (!key || !value)
				continue;
			ret[p->value] = key;
			if (value->type != YAML_SEQUENCE_NODE)
				continue;
			for (yaml_node_item_t *item = value->data.sequence.items.start;
			     item < value->data.sequence.items.top; item++)
				ret[*item] = key;
		}
	}
}

struct scan {
	struct where *w;
	yaml_document_t doc;
	const char **keys; /* of each node, by its number */
	const struct where_rule *rules;
	size_t n;
};

static bool is_of(const struct where_rule *rule, const char *key, const char *in)
{
	return strcmp(rule->key, key) == 0 && strcmp(rule->in, in ? in : "") == 0;
}

static int check_pair(struct scan *s, int at, const yaml_node_t *map,
		      const yaml_node_pair_t *p)
{
	yaml_document_t *doc = &s->doc;
	const yaml_node_t *key = yaml_document_get_node(doc, p->key);
	const yaml_node_t *value = yaml_document_get_node(doc, p->value);
	const char *name = scalar(key);
	int err = 0;

	for (const yaml_node_pair_t *o = map->data.mapping.pairs.start; name && o < p;
	     o++) {
		const char *other = scalar(yaml_document_get_node(doc, o->key));

		if (other && strcmp(other, name) == 0)
			return where_wrong_at(s->w, (unsigned)key->start_mark.line + 1,
					      (unsigned)key->start_mark.column + 1,
					      "%s: is here already, a few lines before",
					      name);
	}
	for (size_t i = 0; name && value && i < s->n && !err; i++) {
		if (is_of(&s->rules[i], name, s->keys[at]))
			err = check_value(s->w, &s->rules[i], value);
	}
	return err;
}

static int check_document(struct scan *s)
{
	size_t nodes = (size_t)(s->doc.nodes.top - s->doc.nodes.start);
	yaml_node_t *node;
	int err = 0;

	s->keys = calloc(nodes + 1, sizeof(*s->keys)); /* numbers begin at 1 */
	if (!s->keys)
		return -ENOMEM;
	note_keys(&s->doc, s->keys);
	for (int i = 1; !err && (node = yaml_document_get_node(&s->doc, i)); i++) {
		if (node->type != YAML_MAPPING_NODE)
			continue;
		for (yaml_node_pair_t *p = node->data.mapping.pairs.start;
		     !err && p < node->data.mapping.pairs.top; p++)
			err = check_pair(s, i, node, p);
	}
	free(s->keys);
	return err;
}

int where_scan(struct where *w, const struct where_rule *rules, size_t n)
{
	struct scan s = { .w = w, .rules = rules, .n = n };
	yaml_parser_t parser;
	int err = scan_events(w);

	if (err)
		return err;
	if (!yaml_parser_initialize(&parser))
		return -ENOMEM;
	yaml_parser_set_input_string(&parser, (const unsigned char *)w->text, w->len);
	if (yaml_parser_load(&parser, &s.doc)) {
		err = check_document(&s);
		yaml_document_delete(&s.doc);
	}
	yaml_parser_delete(&parser);
	return err;
}
