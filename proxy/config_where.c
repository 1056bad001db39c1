/* SPDX-License-Identifier: Apache-2.0 */
/* Finding places in a YAML text; the only file that includes libyaml. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <yaml.h>

#include "config_where.h"

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

static void locate(const struct where *w, unsigned *ret_line, unsigned *ret_column)
{
	yaml_document_t doc;
	yaml_parser_t parser;
	yaml_node_t *node;

	*ret_line = *ret_column = 0;
	if (!yaml_parser_initialize(&parser))
		return;
	yaml_parser_set_input_string(&parser, (const unsigned char *)w->text, w->len);
	if (yaml_parser_load(&parser, &doc)) {
		node = yaml_document_get_root_node(&doc);
		for (unsigned i = 0; node && i < w->depth; i++) {
			yaml_node_t *next = child(&doc, node, w->keys[i], w->indexes[i]);

			if (!next)
				break; /* an absent key: point at what lacks it */
			node = next;
		}
		if (node) {
			*ret_line = (unsigned)node->start_mark.line + 1;
			*ret_column = (unsigned)node->start_mark.column + 1;
		}
		yaml_document_delete(&doc);
	}
	yaml_parser_delete(&parser);
}

int where_wrong(struct where *w, const char *fmt, ...)
{
	unsigned line, column;
	size_t n = 0;
	va_list ap;

	locate(w, &line, &column);
	n += (size_t)snprintf(w->err, CONFIG_ERROR_MAX, "%.300s:%u:%u: ", w->path, line,
			      column);
	for (unsigned i = 0; i < w->depth && n < CONFIG_ERROR_MAX; i++) {
		if (w->keys[i])
			n += (size_t)snprintf(w->err + n, CONFIG_ERROR_MAX - n, "%s%s",
					      i ? "." : "", w->keys[i]);
		else
			n += (size_t)snprintf(w->err + n, CONFIG_ERROR_MAX - n, "[%u]",
					      w->indexes[i]);
	}
	if (n < CONFIG_ERROR_MAX)
		n += (size_t)snprintf(w->err + n, CONFIG_ERROR_MAX - n, "%s",
				      w->depth ? ": " : "");
	va_start(ap, fmt);
	if (n < CONFIG_ERROR_MAX)
		(void)vsnprintf(w->err + n, CONFIG_ERROR_MAX - n, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

void where_enter_key(struct where *w, const char *key)
{
	w->keys[w->depth++] = key;
}

void where_enter_index(struct where *w, unsigned index)
{
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
