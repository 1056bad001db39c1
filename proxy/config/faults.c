/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "config/config.h"
#include "config/faults.h"

static void fault_free(struct fault *f)
{
	free(f->file);
	free(f->key);
	free(f->what);
}

/* How long the character is that begins there; 0 if it is none. */
static size_t character(const char *text)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t n = p[0] < 0x80 ? 1 : p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;

	if ((p[0] >= 0x80 && p[0] < 0xc2) || p[0] > 0xf4 ||
	    (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
	    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	}
	return n;
}

bool faults_is_utf8(const char *text)
{
	while (*text) {
		size_t n = character(text);

		if (!n)
			return false;
		text += n;
	}
	return true;
}

void faults_make_utf8(char *text)
{
	while (text && *text) {
		size_t n = character(text);

		if (!n)
			*text = '?';
		text += n ? n : 1;
	}
}

enum kept { KEPT, SAME, NOT_KEPT };

/* What goes for many, as defaults do, is told once. */
static enum kept append(struct faults *f, const struct fault *one)
{
	struct fault *list;

	for (unsigned i = 0; i < f->n; i++) {
		const struct fault *has = &f->list[i];

		if (one->line && has->line == one->line && has->column == one->column &&
		    one->what && strcmp(has->what, one->what) == 0 && one->file &&
		    strcmp(has->file, one->file) == 0)
			return SAME;
	}
	if (f->n == FAULTS_MAX || !one->file || !one->key || !one->what)
		return NOT_KEPT;
	list = realloc(f->list, (f->n + 1) * sizeof(*list));
	if (!list)
		return NOT_KEPT;
	f->list = list;
	list[f->n++] = *one;
	return KEPT;
}

int faults_add(struct faults *f, const char *file, unsigned line, unsigned column,
	       const char *key, const char *fmt, va_list args)
{
	struct fault one = {
		.file = strdup(file), .line = line, .column = column, .key = strdup(key)
	};
	enum kept kept;

	if (vasprintf(&one.what, fmt, args) < 0)
		one.what = NULL;
	faults_make_utf8(one.what);
	faults_make_utf8(one.key);
	kept = append(f, &one);
	if (kept != KEPT)
		fault_free(&one);
	f->more += kept == NOT_KEPT;
	return -EINVAL;
}

static int compare(const void *a, const void *b, void *first)
{
	const struct fault *x = a, *y = b;
	int order = (strcmp(x->file, first) != 0) - (strcmp(y->file, first) != 0);

	if (!order)
		order = strcmp(x->file, y->file);
	if (!order)
		order = (x->line > y->line) - (x->line < y->line);
	return order ? order : (x->column > y->column) - (x->column < y->column);
}

void faults_sort(struct faults *f, const char *first)
{
	if (f->n > 1)
		qsort_r(f->list, f->n, sizeof(*f->list), compare,
			(void *)(uintptr_t)first);
}

void faults_free(struct faults *f)
{
	for (unsigned i = 0; i < f->n; i++)
		fault_free(&f->list[i]);
	free(f->list);
	*f = (struct faults){ .n = 0 };
}

void fault_format(const struct fault *f, char *buf, size_t cap)
{
	int n = f->line ? snprintf(buf, cap, "%.300s:%u:%u: ", f->file, f->line,
				   f->column)
			: snprintf(buf, cap, "%.300s: ", f->file);

	if (n >= 0 && (size_t)n < cap)
		(void)snprintf(buf + n, cap - (size_t)n, "%s%s%s", f->key,
			       f->key[0] ? ": " : "", f->what);
}

void faults_add_file(struct faults *f, const char *file, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	(void)faults_add(f, file, 0, 0, "", fmt, args);
	va_end(args);
}

void faults_log(const struct faults *f, const char *path)
{
	char line[CONFIG_ERROR_MAX];

	for (unsigned i = 0; i < f->n; i++) {
		fault_format(&f->list[i], line, sizeof(line));
		log_error("%s", line);
	}
	if (f->n + f->more > 1)
		log_error("%s: %u errors%s", path, f->n + f->more,
			  f->more ? ", of which the first are above" : "");
}
