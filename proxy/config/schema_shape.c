/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "config/schema.h"
#include "config/schema_own.h"

#define WORDS 320
#define NEAR  40 /* letters of a word of which the nearest is looked for */

/* --- words --- */

/* How many letters to change, put in or take out, or two to change places. */
static unsigned distance(const char *a, const char *b)
{
	size_t n = strlen(a), m = strlen(b);
	unsigned rows[3][NEAR + 1], *before = rows[0], *last = rows[1], *now = rows[2];

	if (n > NEAR || m > NEAR)
		return NEAR + 1;
	for (unsigned k = 0; k <= m; k++)
		last[k] = k;
	for (unsigned i = 1; i <= n; i++) {
		unsigned *next = before;

		now[0] = i;
		for (unsigned k = 1; k <= m; k++) {
			unsigned best = last[k - 1] + (a[i - 1] != b[k - 1]);

			if (last[k] + 1 < best)
				best = last[k] + 1;
			if (now[k - 1] + 1 < best)
				best = now[k - 1] + 1;
			if (i > 1 && k > 1 && a[i - 1] == b[k - 2] &&
			    a[i - 2] == b[k - 1] && before[k - 2] + 1 < best)
				best = before[k - 2] + 1;
			now[k] = best;
		}
		before = last;
		last = now;
		now = next;
	}
	return last[m];
}

struct nearest {
	const char *word, *best;
	unsigned least;
};

static void is_near(struct nearest *n, const char *candidate)
{
	size_t len = strlen(n->word);
	unsigned d = distance(n->word, candidate);

	/* another ending: retry, retries */
	if (len > 4 && strncmp(n->word, candidate, len - 1) == 0)
		d = d < 2 ? d : 1;
	if (d < n->least && d <= len / 3) {
		n->least = d;
		n->best = candidate;
	}
}

/* The words of an enumeration, or the keys of a mapping, as many as there is room for. */
static const char *words_of(const cyaml_schema_value_t *v, char buf[WORDS])
{
	const cyaml_schema_field_t *f =
		v->type == CYAML_MAPPING ? v->mapping.fields : NULL;
	size_t at = 0;

	for (uint32_t i = 0; f ? f[i].key != NULL : i < v->enumeration.count; i++) {
		const char *word = f ? f[i].key : v->enumeration.strings[i].str;

		if (at + strlen(word) + sizeof(", , ...") > WORDS) {
			(void)snprintf(buf + at, WORDS - at, ", ...");
			return buf;
		}
		at += (size_t)snprintf(buf + at, WORDS - at, "%s%s", i ? ", " : "", word);
	}
	if (f == schema_config ||
	    f == schema_listener) /* document_expand.c, schema_defaults.c */
		(void)snprintf(buf + at, WORDS - at, ", include%s",
			       f == schema_config ? ", defaults" : "");
	return buf;
}

static const cyaml_schema_field_t *field_of(const cyaml_schema_field_t *fields,
					    const char *key)
{
	for (; fields->key; fields++) {
		if (strcmp(fields->key, key) == 0)
			return fields;
	}
	return NULL;
}

/* The mapping that a value is, or has items of; NULL if it is none. */
static const cyaml_schema_field_t *fields_of(const cyaml_schema_value_t *v)
{
	if (v->type == CYAML_SEQUENCE)
		v = v->sequence.entry;
	return v->type == CYAML_MAPPING ? v->mapping.fields : NULL;
}

/* The path of keys to the first mapping that has such a key, into buf; false if none. */
static bool find_key(const cyaml_schema_field_t *fields, const char *key, char *buf,
		     size_t cap)
{
	for (const cyaml_schema_field_t *f = fields; f->key; f++) {
		const cyaml_schema_field_t *in = fields_of(&f->value);
		const char *list = f->value.type == CYAML_SEQUENCE ? "[]" : "";
		int n;

		if (!in)
			continue;
		n = snprintf(buf, cap, "%s%s", f->key, list);
		if (n < 0 || (size_t)n + 2 > cap)
			continue;
		if (field_of(in, key))
			return true;
		buf[n] = '.';
		if (find_key(in, key, buf + n + 1, cap - (size_t)n - 1))
			return true;
	}
	return false;
}

/* --- values --- */

static bool __attribute__((format(printf, 2, 3)))
wrong(struct checker *c, const char *fmt, ...)
{
	char what[WHERE_TEXT];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	(void)where_wrong_shape(c->w, "%s", what);
	return false;
}

static void set_text(struct checker *c, struct node *n, enum node_type type,
		     const char *text)
{
	n->type = type;
	n->text = document_text(c->d, text, strlen(text));
	n->plain = true;
	c->no_memory |= !n->text;
}

/* As YAML 1.1 says it; libcyaml takes all but five words for true. */
static bool check_bool(struct checker *c, struct node *n)
{
	static const char *const words[][2] = {
		{ "true", "true" }, { "yes", "true" },	  { "on", "true" },
		{ "1", "true" },    { "false", "false" }, { "no", "false" },
		{ "off", "false" }, { "0", "false" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strcasecmp(n->text, words[i][0]) == 0) {
			set_text(c, n, NODE_TRUTH, words[i][1]);
			return true;
		}
	}
	return wrong(c, "'%.60s' is not true or false", n->text);
}

static uint64_t max_of(const cyaml_schema_value_t *v)
{
	uint64_t all = v->data_size >= 8 ? UINT64_MAX : (1ull << 8 * v->data_size) - 1;

	return v->type == CYAML_INT ? all / 2 : all;
}

bool schema_is_size(const char *key)
{
	size_t n = strlen(key);

	return n > 6 && strcmp(key + n - 6, "_bytes") == 0;
}

/* "64k", "64KiB" and "64kB". */
static bool read_size(const char *text, uint64_t *ret)
{
	static const struct {
		const char *unit;
		uint64_t bytes;
	} units[] = {
		{ "k", 1024 },	     { "KiB", 1024 },	    { "kB", 1000 },
		{ "m", 1ull << 20 }, { "MiB", 1ull << 20 }, { "MB", 1000000 },
		{ "g", 1ull << 30 }, { "GiB", 1ull << 30 }, { "GB", 1000000000 },
		{ "b", 1 },
	};
	size_t n = strspn(text, "0123456789");
	const char *unit = text + n + strspn(text + n, " ");
	char number[24];

	if (!n || n >= sizeof(number))
		return false;
	memcpy(number, text, n);
	number[n] = '\0';
	if (util_parse_u64(number, UINT64_MAX, ret) < 0)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (strcmp(unit, units[i].unit) == 0 ||
		    (!units[i].unit[1] && strcasecmp(unit, units[i].unit) == 0))
			return !__builtin_mul_overflow(*ret, units[i].bytes, ret);
	}
	return !unit[0];
}

static bool check_number(struct checker *c, const cyaml_schema_value_t *v, struct node *n)
{
	const char *text = n->text + (n->text[0] == '+'), *key = n->key ? n->key : "";
	bool minus = v->type == CYAML_INT && text[0] == '-', is;
	uint64_t number = 0, max = max_of(v) + minus; /* one more below 0 */
	char buf[64];

	is = !minus && schema_is_size(key)
		     ? read_size(text, &number)
		     : util_parse_u64(text + minus, UINT64_MAX, &number) == 0;
	if (!is && schema_is_size(key))
		return wrong(c, "'%.60s' is not a size, such as 65536, 64k or 1MiB",
			     text);
	if (!is && text[0] && strspn(text, "0123456789") == strlen(text)) {
		is = true;
		number = UINT64_MAX; /* more than there can be */
	}
	if (!is)
		return wrong(c, "'%.60s' is not a number%s", text,
			     text[0] == '-' ? " from 0 on" : "");
	if (number > max)
		return wrong(c, "%.60s is %s than %s%llu", text, minus ? "less" : "more",
			     minus ? "-" : "", (unsigned long long)max);
	(void)snprintf(buf, sizeof(buf), "%s%llu", minus ? "-" : "",
		       (unsigned long long)number);
	set_text(c, n, NODE_NUMBER, buf);
	return true;
}

static bool check_word(struct checker *c, const cyaml_schema_value_t *v,
		       const struct node *n)
{
	struct nearest near = { .word = n->text, .least = NEAR };
	char words[WORDS];

	for (uint32_t i = 0; i < v->enumeration.count; i++) {
		if (strcmp(v->enumeration.strings[i].str, n->text) == 0)
			return true;
		is_near(&near, v->enumeration.strings[i].str);
	}
	(void)where_wrong_shape(c->w, "'%.60s' is not %s%s%s%s", n->text,
				words_of(v, words), near.best ? "; did you mean '" : "",
				near.best ? near.best : "", near.best ? "'?" : "");
	return false;
}

static bool check_string(struct checker *c, const cyaml_schema_value_t *v,
			 const struct node *n)
{
	size_t len = strlen(n->text);

	if (len > v->string.max)
		return wrong(c, "has %zu characters, and at most %u are taken", len,
			     v->string.max);
	if (len < v->string.min && !n->text[0])
		return wrong(c, "is empty; leave it out, or say something");
	return true;
}

static bool check_scalar(struct checker *c, const cyaml_schema_value_t *v, struct node *n)
{
	switch (v->type) {
	case CYAML_BOOL:
		return check_bool(c, n);
	case CYAML_UINT:
	case CYAML_INT:
		return check_number(c, v, n);
	case CYAML_ENUM:
		return check_word(c, v, n);
	default:
		return check_string(c, v, n);
	}
}

/* --- what has others in it --- */

static bool check_value(struct checker *c, const cyaml_schema_value_t *v, struct node *n);

static bool check_list(struct checker *c, const cyaml_schema_value_t *v, struct node *n)
{
	unsigned count = 0, index = 0;

	for (struct node *i = n->first; i; i = i->next) {
		unsigned depth = c->w->depth;

		if (i->left_out) {
			n->broken = true;
			continue;
		}
		/* what is left out has no number: its place is that of the next */
		where_enter_index(c->w, index);
		if (check_value(c, v->sequence.entry, i)) {
			index++;
		} else {
			i->left_out = true;
			n->broken = true;
		}
		c->w->depth = depth;
	}
	for (struct node *i = n->first; i; i = i->next)
		count++;
	if (!count)
		return wrong(c, "is empty; leave it out, or say something");
	if (count > v->sequence.max)
		return wrong(c, "has %u items, and at most %u are taken", count,
			     v->sequence.max);
	return index >= v->sequence.min;
}

/* Which key it was meant to be; NULL if nobody knows. */
static const char *meant(const cyaml_schema_field_t *fields, const char *key)
{
	struct nearest near = { .word = key, .least = NEAR };

	for (const cyaml_schema_field_t *f = fields; f->key; f++)
		is_near(&near, f->key);
	if (fields == schema_config)
		is_near(&near, "defaults");
	if (fields == schema_config || fields == schema_listener)
		is_near(&near, "include");
	return near.best;
}

static void tell_unknown(struct checker *c, const cyaml_schema_field_t *fields,
			 const struct node *n)
{
	const cyaml_schema_value_t v = { .type = CYAML_MAPPING,
					 .mapping.fields = fields };
	const char *best = meant(fields, n->key);
	char words[WORDS], path[128];

	if (best)
		(void)where_wrong_key(c->w, n, "is no key here; did you mean '%s'?",
				      best);
	else if (find_key(fields, n->key, path, sizeof(path)) ||
		 find_key(schema_config, n->key, path, sizeof(path)))
		(void)where_wrong_key(c->w, n, "is no key here; it belongs under '%s'",
				      path);
	else if (field_of(schema_config, n->key))
		(void)where_wrong_key(c->w, n,
				      "is no key here; it is one of the whole "
				      "file, and not indented");
	else
		(void)where_wrong_key(c->w, n, "is no key here; there are %s",
				      words_of(&v, words));
}

/* Is it there, or was it meant to be, or may it be in a file that could not be read? */
static bool has_field(const cyaml_schema_field_t *fields, const cyaml_schema_field_t *f,
		      const struct node *map, bool incomplete)
{
	if (f->value.type == CYAML_SEQUENCE && incomplete)
		return true;
	for (const struct node *n = map->first; n; n = n->next) {
		const char *key =
			field_of(fields, n->key) ? n->key : meant(fields, n->key);

		if (key && strcmp(key, f->key) == 0)
			return true;
	}
	return false;
}

bool schema_check_fields(struct checker *c, const cyaml_schema_field_t *fields,
			 struct node *map, bool whole)
{
	bool ok = true, incomplete = map->broken;

	for (struct node *n = map->first; n; n = n->next) {
		const cyaml_schema_field_t *f = field_of(fields, n->key);
		unsigned depth = c->w->depth;

		if (n->left_out && f && !node_get(map, n->key)) { /* told before */
			map->broken = true;
			ok &= (f->value.flags & CYAML_FLAG_OPTIONAL) != 0;
		}
		if (n->left_out)
			continue;
		where_enter_key(c->w, n->key);
		if (!f)
			tell_unknown(c, fields, n);
		if (!f || !check_value(c, &f->value, n)) {
			n->left_out = true;
			map->broken = true;
			ok &= !f || (f->value.flags & CYAML_FLAG_OPTIONAL);
		}
		c->w->depth = depth;
	}
	for (const cyaml_schema_field_t *f = fields; whole && f->key; f++) {
		if (f->value.flags & CYAML_FLAG_OPTIONAL || node_get(map, f->key))
			continue;
		if (!has_field(fields, f, map, incomplete)) /* else that is told */
			(void)where_wrong_shape(c->w, "'%s' is missing", f->key);
		ok = false;
	}
	return ok;
}

static bool wrong_kind(struct checker *c, const cyaml_schema_value_t *v,
		       const struct node *n)
{
	bool is_text = n->kind == NODE_TEXT, is_map = v->type == CYAML_MAPPING;
	const char *quote = is_text && strpbrk(n->text, ":*~ ") ? "\"" : "";
	char words[WORDS];

	if (node_is_null(n) && is_map)
		return wrong(c,
			     "nothing stands here; it has keys of its own (%s), or write "
			     "{} for what goes without saying",
			     words_of(v, words));
	if (node_is_null(n))
		return wrong(c, "nothing stands here (null): say something, or leave it "
				"out; a name that is so written is quoted");
	if (is_map && is_text)
		return wrong(c, "'%.60s' is no value for it: it has keys of its own (%s)",
			     n->text, words_of(v, words));
	if (is_map)
		return wrong(c, "is no list: it has keys of its own (%s)",
			     words_of(v, words));
	if (v->type == CYAML_SEQUENCE && is_text)
		return wrong(c, "is a list: [%s%.100s%s]", quote, n->text, quote);
	if (v->type == CYAML_SEQUENCE)
		return wrong(c, "is a list: each item of it begins with '- '");
	if (n->kind == NODE_LIST)
		return wrong(c, "is one value, and no list");
	if (n->first && n->first->key[0] == '$')
		return wrong(c,
			     "a variable is quoted where a value begins with it: "
			     "\"{%s}\"",
			     n->first->key);
	return wrong(c, "is one value, and has no keys of its own; is there a blank "
			"behind a ':' that should be quoted?");
}

static bool check_value(struct checker *c, const cyaml_schema_value_t *v, struct node *n)
{
	switch (v->type) {
	case CYAML_MAPPING:
		return n->kind == NODE_MAP
			       ? schema_check_fields(c, v->mapping.fields, n, !c->partial)
			       : wrong_kind(c, v, n);
	case CYAML_SEQUENCE:
		return n->kind == NODE_LIST ? check_list(c, v, n) : wrong_kind(c, v, n);
	default:
		return n->kind == NODE_TEXT && !node_is_null(n) ? check_scalar(c, v, n)
								: wrong_kind(c, v, n);
	}
}

int schema_check(struct where *w, struct document *d)
{
	struct checker c = { .w = w, .d = d };
	const cyaml_schema_value_t v = { .type = CYAML_MAPPING,
					 .mapping.fields = schema_config };
	bool ok;

	if (!d->root)
		return where_wrong_shape(w, "the file is empty; 'listeners' is needed");
	if (d->root->kind != NODE_MAP) {
		(void)wrong_kind(&c, &v, d->root);
		return -EINVAL;
	}
	ok = schema_check_fields(&c, schema_config, d->root, true);
	return c.no_memory ? -ENOMEM : ok ? 0 : -EINVAL;
}
