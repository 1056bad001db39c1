/* SPDX-License-Identifier: Apache-2.0 */
/* Fields of messages, and texts with variables in them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "config/check.h"

/* --- texts with variables --- */

static const struct {
	const char *name;
	enum http_variable variable;
} variables[] = {
	{ "client", VAR_CLIENT }, { "host", VAR_HOST },
	{ "method", VAR_METHOD }, { "path", VAR_PATH },
	{ "query", VAR_QUERY },	  { "request_id", VAR_REQUEST_ID },
	{ "scheme", VAR_SCHEME }, { "uri", VAR_URI },
	{ "user", VAR_USER },
};

static bool find_variable(struct text name, uint8_t *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(variables); i++) {
		if (text_is(name, text_of_string(variables[i].name))) {
			*ret = (uint8_t)variables[i].variable;
			return true;
		}
	}
	return false;
}

/* What is at the beginning of *rest: a variable, or text up to the next one. */
static int read_part(struct where *w, struct text *rest, struct http_part *ret)
{
	size_t n = 0;

	if (rest->n >= 2 && rest->p[0] == '$' && rest->p[1] == '{') {
		const char *end = memchr(rest->p, '}', rest->n);
		struct text name;

		if (!end)
			return where_wrong(w, "'${' without '}'");
		name = text_of(rest->p + 2, (size_t)(end - rest->p) - 2);
		if (!find_variable(name, &ret->variable))
			return where_wrong(w,
					   "'${%.*s}' is none of client, host, method, "
					   "path, query, request_id, scheme, uri, user",
					   (int)name.n, name.p);
		rest->n -= (size_t)(end + 1 - rest->p);
		rest->p = end + 1;
		return 0;
	}
	do {
		n++;
	} while (n < rest->n &&
		 !(rest->p[n] == '$' && n + 1 < rest->n && rest->p[n + 1] == '{'));
	*ret = (struct http_part){ VAR_TEXT, text_of(rest->p, n) };
	rest->p += n;
	rest->n -= n;
	return 0;
}

int config_check_template(struct where *w, struct text t, struct http_template *ret)
{
	if (!http_is_value(t))
		return where_wrong(w, "has a character that no field may have");
	while (t.n) {
		int err;

		if (ret->n == HTTP_TEMPLATE_PARTS)
			return where_wrong(w, "has more than %d parts",
					   HTTP_TEMPLATE_PARTS);
		err = read_part(w, &t, &ret->parts[ret->n++]);
		if (err)
			return err;
	}
	return 0;
}

/* --- rules about fields --- */

/* In the configuration's own memory: in lower case afterwards. */
static int read_name(struct where *w, char *text, size_t n, struct http_rule *ret)
{
	for (size_t i = 0; i < n; i++) {
		if (text[i] >= 'A' && text[i] <= 'Z')
			text[i] |= 0x20;
	}
	ret->name = text_of(text, n);
	ret->id = (uint8_t)http_field_id(text, n);
	return http_is_token(ret->name)
		       ? 0
		       : where_wrong(w, "'%.*s' is no name of a field", (int)n, text);
}

/* "Name: value", or "Name" where a value may be missing. */
static int read_rule(struct where *w, char *text, enum check_rule kind,
		     struct http_rule *ret)
{
	char *colon = strchr(text, ':');
	struct text value = text_of_string(colon ? colon + 1 : "");
	int err;

	if ((!colon && kind == RULE_SETS) || (colon && kind == RULE_NAMES))
		return where_wrong(w,
				   kind == RULE_SETS ? "'%s' is not \"Name: value\""
						     : "'%s' is not the name of a field",
				   text);
	err = read_name(w, text, colon ? (size_t)(colon - text) : strlen(text), ret);
	if (err)
		return err;
	if (kind == RULE_HAS && ret->id == HTTP_HOST)
		return where_wrong(w, "'host' of a request goes to 'host' of 'http'");
	if (kind != RULE_HAS && http_is_framing(ret->id))
		return where_wrong(w, "'%.*s' is the gate's own to say", (int)ret->name.n,
				   ret->name.p);
	if (colon)
		ret->value = text_cut(&value, '\0');
	return kind == RULE_SETS ? config_check_template(w, ret->value, &ret->what) : 0;
}

/* The one field that a request has once, and an answer never. */
static int check_host(struct where *w, const char *key, const struct http_rule *r,
		      bool request)
{
	const struct http_template *t = &r->what;

	if (r->id != HTTP_HOST)
		return 0;
	if (!request || strcmp(key, "set") != 0)
		return where_wrong(w,
				   "'host' can be 'set' in a request, and nothing else");
	if (t->n == 1 && t->parts[0].variable == VAR_TEXT &&
	    !http_is_authority(t->parts[0].text))
		return where_wrong(w, "'%.*s' is no HOST or HOST:PORT",
				   (int)t->parts[0].text.n, t->parts[0].text.p);
	return t->n ? 0 : where_wrong(w, "'host' has a value");
}

static bool has_user(const struct http_rule *rules, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		for (unsigned k = 0; k < rules[i].what.n; k++) {
			if (rules[i].what.parts[k].variable == VAR_USER)
				return true;
		}
	}
	return false;
}

void config_warn_of_user(struct where *w, struct config *c, const struct http_route *h)
{
	const struct http_edits *a = &h->request, *b = &h->response;

	if (!h->basic_auth && !h->jwt &&
	    (has_user(a->set_rules, a->set_count) ||
	     has_user(a->add_rules, a->add_count) ||
	     has_user(b->set_rules, b->set_count) ||
	     has_user(b->add_rules, b->add_count)))
		where_warn(
			w, &c->warnings,
			"'${user}' is always empty: it is of basic_auth and jwt, which "
			"this route has not (forward_auth says who it is by 'fields')");
}

int config_check_fields(struct where *w, const char *key, char *const *texts, unsigned n,
			enum check_rule kind, struct http_rule **ret)
{
	unsigned at = w->depth + 1;
	int err = 0;

	*ret = calloc(n ? n : 1, sizeof(**ret));
	if (!*ret)
		return -ENOMEM;
	where_enter_key(w, key);
	for (unsigned i = 0; i < n; i++) {
		where_enter_index(w, i);
		err = where_also(w, at, err, read_rule(w, texts[i], kind, &(*ret)[i]));
	}
	where_leave(w, 1);
	return err;
}

static int check_hosts(struct where *w, const char *key, const struct http_rule *rules,
		       unsigned n, bool request)
{
	unsigned at = w->depth + 1;
	int err = 0;

	where_enter_key(w, key);
	for (unsigned i = 0; i < n; i++) {
		where_enter_index(w, i);
		err = where_also(w, at, err, check_host(w, key, &rules[i], request));
	}
	where_leave(w, 1);
	return err;
}

int config_check_edits(struct where *w, const char *key, struct http_edits *e)
{
	bool request = strcmp(key, "request") == 0;
	unsigned at = w->depth + 1;
	int err;

	where_enter_key(w, key);
	err = config_check_fields(w, "set", e->set, e->set_count, RULE_SETS,
				  &e->set_rules);
	err = where_also(w, at, err,
			 config_check_fields(w, "add", e->add, e->add_count, RULE_SETS,
					     &e->add_rules));
	err = where_also(w, at, err,
			 config_check_fields(w, "remove", e->remove, e->remove_count,
					     RULE_NAMES, &e->remove_rules));
	if (!err)
		err = check_hosts(w, "set", e->set_rules, e->set_count, request);
	if (!err)
		err = check_hosts(w, "add", e->add_rules, e->add_count, request);
	if (!err)
		err = check_hosts(w, "remove", e->remove_rules, e->remove_count, request);
	if (!err)
		where_leave(w, 1);
	return err;
}
