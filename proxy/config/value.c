/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "config/value.h"

int value_name(struct where *w, const char *name)
{
	where_enter_key(w, "name");
	for (const char *p = name; *p; p++) {
		bool letter = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z');

		if (!letter && (p == name || !strchr("0123456789-_", *p)))
			return where_wrong(
				w,
				"'%s' must begin with a letter and have only letters, "
				"digits, '-' and '_'",
				name);
	}
	where_leave(w, 1);
	return 0;
}

int value_prefixes(struct where *w, const char *key, char *const *texts, unsigned n,
		   struct prefix **ret)
{
	int err = 0;

	*ret = calloc(n ? n : 1, sizeof(**ret));
	if (!*ret)
		return -ENOMEM;
	where_enter_key(w, key);
	for (unsigned i = 0; i < n; i++) {
		where_enter_index(w, i);
		if (prefix_parse(texts[i], &(*ret)[i]) < 0)
			err = where_wrong(
				w,
				"'%s' is not ADDRESS or ADDRESS/BITS without host bits",
				texts[i]);
		where_leave(w, 1);
	}
	where_leave(w, 1);
	return err;
}

int value_duration(struct where *w, const char *key, const char *text, int64_t def,
		   int64_t *ret)
{
	*ret = def;
	if (!text)
		return 0;
	where_enter_key(w, key);
	if (text[0] && strspn(text, "0123456789") == strlen(text))
		return where_wrong(w, "'%s' of what? a duration has a unit: %ss, %sms",
				   text, text, text);
	if (util_parse_duration_ms(text, ret) < 0 || *ret == 0 || *ret > INT32_MAX)
		return where_wrong(w,
				   "'%s' is not a duration such as 500ms, 10s, 5m, 4h or "
				   "1h30m, of at most 24 days",
				   text);
	where_leave(w, 1);
	return 0;
}

/* "N/DURATION" or "N/DURATION burst M", such as 300/1m burst 50. */
static int parse_rate(const char *text, struct rate *ret)
{
	char copy[64], *rest, *word, *slash;
	uint64_t n = 0, burst = 0;

	if (strlen(text) >= sizeof(copy))
		return -EINVAL;
	(void)snprintf(copy, sizeof(copy), "%s", text);
	word = strtok_r(copy, " ", &rest);
	slash = word ? strchr(word, '/') : NULL;
	if (!slash)
		return -EINVAL;
	*slash = '\0';
	if (util_parse_u64(word, INT32_MAX, &n) < 0 || n == 0 ||
	    util_parse_duration_ms(slash + 1, &ret->ms) < 0 || ret->ms == 0 ||
	    ret->ms > INT32_MAX)
		return -EINVAL;
	word = strtok_r(NULL, " ", &rest);
	if (word && (strcmp(word, "burst") != 0 || !(word = strtok_r(NULL, " ", &rest)) ||
		     util_parse_u64(word, INT32_MAX, &burst) < 0 || burst == 0 ||
		     strtok_r(NULL, " ", &rest)))
		return -EINVAL;
	ret->n = (uint32_t)n;
	ret->burst = burst ? (uint32_t)burst : ret->n;
	return 0;
}

int value_rate(struct where *w, const char *key, const char *text, struct rate *ret)
{
	where_enter_key(w, key);
	if (parse_rate(text, ret) < 0)
		return where_wrong(
			w,
			"'%s' is not NUMBER/DURATION, such as 300/1m or 20/1s, or "
			"NUMBER/DURATION burst NUMBER",
			text);
	where_leave(w, 1);
	return 0;
}

static int check_rate(struct where *w, const char *key, const struct limits *l,
		      const char *text, struct rate *ret)
{
	int err = text ? value_rate(w, key, text, ret) : 0;

	if (err || !text)
		return err;
	where_enter_key(w, key);
	ret->strict = l->strict;
	if (l->strict && ret->burst != ret->n)
		return where_wrong(w, "'%s': a strict rate has no burst of its own",
				   text);
	where_leave(w, 1);
	return 0;
}

static bool read_status(const char *text, uint16_t *ret)
{
	bool is_class = strlen(text) == 3 && strcasecmp(text + 1, "xx") == 0;
	uint64_t n;

	if (is_class && (text[0] == '4' || text[0] == '5')) {
		*ret = (uint16_t)(text[0] - '0');
		return true;
	}
	if (util_parse_u64(text, 599, &n) < 0 || n < 400)
		return false;
	*ret = (uint16_t)n;
	return true;
}

int value_statuses(struct where *w, char *const *texts, unsigned n, uint16_t *ret)
{
	int err = 0;

	where_enter_key(w, "status");
	for (unsigned i = 0; i < n; i++) {
		where_enter_index(w, i);
		if (!read_status(texts[i], &ret[i]))
			err = where_wrong(w, "'%s' is not 400 to 599, 4xx or 5xx",
					  texts[i]);
		where_leave(w, 1);
	}
	where_leave(w, 1);
	return err;
}

int value_limits(struct where *w, struct limits *l)
{
	unsigned at = w->depth + 1;
	int err;

	where_enter_key(w, "limits");
	err = where_also(w, at, 0, check_rate(w, "rate", l, l->rate_text, &l->rate));
	err = where_also(
		w, at, err,
		check_rate(w, "source_rate", l, l->source_rate_text, &l->source_rate));
	err = where_also(
		w, at, err,
		check_rate(w, "prefix_rate", l, l->prefix_rate_text, &l->prefix_rate));
	if (l->prefix_v4 > 32 || l->prefix_v6 > 128)
		err = where_wrong(w, "a prefix has at most 32 (v4) or 128 (v6) bits");
	l->prefix_v4 = l->prefix_v4 ? l->prefix_v4 : 24;
	l->prefix_v6 = l->prefix_v6 ? l->prefix_v6 : 64;
	where_leave(w, 1);
	return err;
}
