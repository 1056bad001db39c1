/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A document in one line, as programs take it: most of a change's time would go into
 * libyaml's emitter, which breaks lines and weighs styles.  What is not surely plain is
 * quoted, as JSON has it, of which YAML is more (yaml.org/spec/1.2.2, 7.3.1 and 5.7).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/document_own.h"

/* Words, numbers and paths, which are the same in flow and block. */
static bool is_plain(const char *text)
{
	static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				   "0123456789_./-";
	bool dash = text[0] == '-';

	return text[0] && strspn(text, safe) == strlen(text) &&
	       (!dash || (text[1] >= '0' && text[1] <= '9'));
}

/*
 * What YAML takes for a line's end, or not at all, though it is UTF-8 (5.1, 5.4): of two
 * or three bytes; else 0.
 */
static unsigned special(const unsigned char *p)
{
	unsigned c = 0;

	if (p[0] == 0xc2)
		c = p[1];
	else if (p[0] >= 0xe2 && p[0] <= 0xef && p[1] && p[2])
		c = (p[0] & 0xfu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);
	return (c >= 0x80 && c < 0xa0) || c == 0x2028 || c == 0x2029 || c == 0xfeff ||
			       c == 0xfffe || c == 0xffff
		       ? c
		       : 0;
}

/* "{$" is "{$$", so that it is no variable when it is read again (document_expand.c). */
static void put_quoted(FILE *out, const char *text, bool escape)
{
	(void)fputc_unlocked('"', out);
	for (const char *p = text; *p; p++) {
		unsigned char c = (unsigned char)*p;
		unsigned wide = special((const unsigned char *)p);

		if (wide) {
			(void)fprintf(out, "\\u%04x", wide);
			p += wide < 0x800 ? 1 : 2;
		} else if (c == '"' || c == '\\') {
			(void)fprintf(out, "\\%c", c);
		} else if (c < 0x20 || c == 0x7f) {
			(void)fprintf(out, "\\x%02x", c);
		} else {
			(void)fputc_unlocked(c, out);
		}
		if (escape && c == '$' && p > text && p[-1] == '{')
			(void)fputc_unlocked('$', out);
	}
	(void)fputc_unlocked('"', out);
}

static void put_text(FILE *out, const struct node *n, bool escape)
{
	if (node_is_null(n))
		(void)fputs_unlocked("null", out);
	else if (n->plain && is_plain(n->text))
		(void)fputs_unlocked(n->text, out);
	else
		put_quoted(out, n->text, escape);
}

static void put_node(FILE *out, const struct node *n, bool escape)
{
	const char *between = "";

	if (n->kind == NODE_TEXT) {
		put_text(out, n, escape);
		return;
	}
	(void)fputc_unlocked(n->kind == NODE_LIST ? '[' : '{', out);
	for (const struct node *i = n->first; i; i = i->next) {
		if (i->left_out)
			continue;
		(void)fputs_unlocked(between, out);
		between = ", ";
		if (n->kind == NODE_MAP && is_plain(i->key))
			(void)fputs_unlocked(i->key, out);
		else if (n->kind == NODE_MAP)
			put_quoted(out, i->key, escape);
		if (n->kind == NODE_MAP)
			(void)fputs_unlocked(": ", out);
		put_node(out, i, escape);
	}
	(void)fputc_unlocked(n->kind == NODE_LIST ? ']' : '}', out);
}

int document_write_line(const struct node *n, bool escape, char **ret)
{
	size_t len;
	FILE *out = open_memstream(ret, &len);

	if (!out)
		return -ENOMEM;
	if (n)
		put_node(out, n, escape);
	if (fclose(out) == 0)
		return 0;
	free(*ret);
	*ret = NULL;
	return -ENOMEM;
}
