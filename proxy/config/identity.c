/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/identity.h"
#include "config/pattern.h"
#include "config/value.h"
#include "config/where.h"

/* --- what is wanted --- */

bool identity_read_digest(char *s)
{
	size_t digits = 0;
	char *to = s;

	for (const char *p = s; *p; p++) {
		if (*p != ':' && !strchr("0123456789abcdefABCDEF", *p))
			return false;
		digits += *p != ':';
	}
	if (digits != IDENTITY_DIGEST_HEX)
		return false;
	for (const char *p = s; *p; p++) {
		if (*p != ':')
			*to++ = *p >= 'A' && *p <= 'F' ? (char)(*p | 0x20) : *p;
	}
	*to = '\0';
	return true;
}

static int read_name(struct where *w, struct config *c, char *name,
		     struct identity_rule *ret)
{
	ret->kind = IDENTITY_NAME;
	ret->text = text_of_string(name);
	if (name[0] == '~')
		return value_pattern(w, c, name, &ret->pattern);
	if (strncmp(name, "*.", 2) == 0)
		ret->text = text_of_string(name + 1);
	return name[0] ? 0 : where_wrong(w, "there is no name behind 'name'");
}

static int read_rule(struct where *w, struct config *c, char *text,
		     struct identity_rule *ret)
{
	if (strcmp(text, "any") == 0) {
		ret->kind = IDENTITY_ANY;
	} else if (strcmp(text, "none") == 0) {
		ret->kind = IDENTITY_NONE;
	} else if (strncmp(text, "name ", 5) == 0) {
		return read_name(w, c, text + 5, ret);
	} else if (strncmp(text, "sha256 ", 7) == 0 && identity_read_digest(text + 7)) {
		ret->kind = IDENTITY_DIGEST;
		ret->text = text_of_string(text + 7);
	} else {
		return where_wrong(w,
				   "'%s' is not \"any\", \"none\", \"name NAME\" or "
				   "\"sha256 DIGEST\" (64 hex digits)",
				   text);
	}
	return 0;
}

int identity_read(struct where *w, struct config *c, char *const *texts, unsigned n,
		  struct identity_rule **ret)
{
	unsigned at = w->depth + 1;
	int err = 0;

	*ret = calloc(n ? n : 1, sizeof(**ret));
	if (!*ret)
		return -ENOMEM;
	where_enter_key(w, "certificate");
	for (unsigned i = 0; i < n; i++) {
		where_enter_index(w, i);
		err = where_also(w, at, err, read_rule(w, c, texts[i], &(*ret)[i]));
	}
	where_leave(w, 1);
	return err;
}

void identity_rules_free(struct identity_rule *rules, unsigned n)
{
	for (unsigned i = 0; rules && i < n; i++)
		pattern_free(rules[i].pattern);
	free(rules);
}

/* --- who it is --- */

/* A suffix is of hosts: what ends alike in an address of mail or a URI is none. */
static int name_fits(const struct identity_rule *r, const struct identity_name *who)
{
	struct text name = who->text, end;

	if (r->pattern)
		return pattern_matches(r->pattern, name.p, name.n);
	if (r->text.p[0] != '.')
		return text_is_nocase(r->text, name);
	if (name.n <= r->text.n || !who->is_host)
		return 0;
	end = text_of(name.p + name.n - r->text.n, r->text.n);
	return text_is_nocase(r->text, end);
}

static int has_name(const struct identity_rule *r, const struct identity *who)
{
	int fits = 0;

	for (unsigned i = 0; i < who->n && !fits; i++)
		fits = name_fits(r, &who->names[i]);
	return fits;
}

static int fits_rule(const struct identity_rule *r, const struct identity *who)
{
	switch (r->kind) {
	case IDENTITY_ANY:
		return who != NULL;
	case IDENTITY_NONE:
		return who == NULL;
	case IDENTITY_NAME:
		return who ? has_name(r, who) : 0;
	default:
		return who && text_is(r->text, text_of_string(who->sha256));
	}
}

int identity_fits(const struct identity_rule *rules, unsigned n,
		  const struct identity *who)
{
	int fits = 0;

	for (unsigned i = 0; i < n && !fits; i++)
		fits = fits_rule(&rules[i], who);
	return fits;
}
