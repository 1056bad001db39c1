/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a route does of itself: answers and their pages, who may ask, which backend.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "codec/digest.h"
#include "config/check.h"
#include "config/files.h"
#include "config/http.h"
#include "config/passwords.h"
#include "config/value.h"

/* --- bodies --- */

static const struct {
	const char *end, *type;
} types[] = {
	{ ".html", "text/html; charset=utf-8" },
	{ ".htm", "text/html; charset=utf-8" },
	{ ".json", "application/json" },
	{ ".xml", "application/xml" },
};

/* By the end of a file's name. */
static const char *type_of(const char *file)
{
	const char *dot = strrchr(file, '.');

	for (size_t i = 0; dot && i < ARRAY_SIZE(types); i++) {
		if (strcasecmp(dot, types[i].end) == 0)
			return types[i].type;
	}
	return "text/plain; charset=utf-8";
}

/* *ret_mime: `type` if that is said, else by the end of the file's name. */
static int check_body(struct where *w, struct config *c, const char *file,
		      const char *type, struct config_file **ret, const char **ret_mime)
{
	if (type && !http_is_value(text_of_string(type))) {
		where_enter_key(w, "type");
		return where_wrong(w, "is no value of a field");
	}
	*ret_mime = type ? type : type_of(file ? file : "");
	if (!file)
		return 0;
	*ret = config_file(c, file, HTTP_PAGE_BYTES, false);
	return *ret ? 0 : -ENOMEM;
}

static int check_page(struct where *w, struct config *c, struct http_page *p)
{
	int err = value_statuses(w, p->status, p->status_count, p->codes);

	if (err)
		return err;
	return check_body(w, c, p->file, p->type, &p->text, &p->mime);
}

int config_check_pages(struct where *w, struct config *c, struct http_page *pages,
		       unsigned n)
{
	unsigned at = w->depth + 1;
	bool all = false;
	int err = 0;

	where_enter_key(w, "error_pages");
	for (unsigned i = 0; i < n; i++) {
		where_enter_index(w, i);
		if (all)
			where_warn(
				w, &c->warnings,
				"no answer can have this page: an earlier one, without "
				"'status', is for all");
		all |= !pages[i].status_count;
		err = where_also(w, at, err, check_page(w, c, &pages[i]));
	}
	where_leave(w, 1);
	return err;
}

int config_check_respond(struct where *w, struct config *c, struct http_respond *r)
{
	int64_t ms;
	int err;

	where_enter_key(w, "respond");
	where_enter_key(w, "status");
	r->status = r->status ? r->status : 200;
	if ((r->status == 204 || r->status == 304) && (r->body || r->type || r->file))
		return where_wrong(w, "%u has no body", r->status);
	if (r->status < 200 || r->status > 599)
		return where_wrong(w, "%u is outside 200 to 599", r->status);
	where_leave(w, 1);
	if (r->body && r->file)
		return where_wrong(w, "has 'body' and 'file'; one of them");
	err = value_duration(w, "retry_after", r->retry_after, 0, &ms);
	r->retry_after_s = (uint32_t)((ms + 999) / 1000);
	if (!err)
		err = check_body(w, c, r->file, r->type, &r->text, &r->mime);
	if (!err)
		where_leave(w, 1);
	return err;
}

/* --- CORS --- */

/* "A, B" of a list of tokens; NULL of none. */
static int join(struct where *w, const char *key, char *const *words, unsigned n,
		char **ret)
{
	size_t size = 1, at = 0;
	int err = 0;

	*ret = NULL;
	where_enter_key(w, key);
	for (unsigned i = 0; i < n; i++) {
		where_enter_index(w, i);
		if (!http_is_token(text_of_string(words[i])))
			err = where_wrong(w, "'%s' is no name", words[i]);
		where_leave(w, 1);
		size += strlen(words[i]) + 2;
	}
	where_leave(w, 1);
	if (err)
		return err;
	*ret = n ? malloc(size) : NULL;
	if (n && !*ret)
		return -ENOMEM;
	for (unsigned i = 0; i < n; i++)
		at += (size_t)snprintf(*ret + at, size - at, "%s%s", i ? ", " : "",
				       words[i]);
	return 0;
}

/* "null", or scheme, host and port, of which the host may begin with a star. */
static bool is_origin(const char *text)
{
	const char *host = strstr(text, "://");

	if (strcmp(text, "null") == 0)
		return true;
	if (!host || host == text || !http_is_token(text_of(text, (size_t)(host - text))))
		return false;
	host += 3;
	if (strncmp(host, "*.", 2) == 0)
		host += 2;
	return http_is_authority(text_of_string(host));
}

/* The port that browsers leave out. */
static bool has_default_port(const char *origin)
{
	size_t n = strlen(origin);

	return (strncasecmp(origin, "https:", 6) == 0 && n > 4 &&
		strcmp(origin + n - 4, ":443") == 0) ||
	       (strncasecmp(origin, "http:", 5) == 0 && n > 3 &&
		strcmp(origin + n - 3, ":80") == 0);
}

static int check_origins(struct where *w, const struct http_cors *o)
{
	int err = 0;

	where_enter_key(w, "origins");
	for (unsigned i = 0; i < o->origins_count; i++) {
		bool any = strcmp(o->origins[i], "*") == 0;

		where_enter_index(w, i);
		if (any && o->credentials)
			err = where_wrong(w, "'*' with 'credentials': any page could "
					     "act for its reader; name the origins");
		else if (!any && !is_origin(o->origins[i]))
			err = where_wrong(w,
					  "'%s' is not '*', \"https://HOST\" or "
					  "\"https://*.HOST\", with a port or without, "
					  "and no path",
					  o->origins[i]);
		else if (has_default_port(o->origins[i]))
			err = where_wrong(w,
					  "'%s': browsers say this origin without "
					  "its port",
					  o->origins[i]);
		where_leave(w, 1);
	}
	where_leave(w, 1);
	return err;
}

static bool has_star(char *const *words, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		if (strcmp(words[i], "*") == 0)
			return true;
	}
	return false;
}

/* Fetch compares methods by case, and with credentials a star is a name. */
static int check_lists(struct where *w, const struct http_cors *o)
{
	for (unsigned i = 0; i < o->methods_count; i++) {
		for (const char *p = o->methods[i]; *p; p++) {
			if (*p >= 'a' && *p <= 'z')
				return where_wrong(w,
						   "methods: '%s': browsers compare "
						   "the case",
						   o->methods[i]);
		}
	}
	if (o->credentials && (has_star(o->methods, o->methods_count) ||
			       has_star(o->headers, o->headers_count) ||
			       has_star(o->expose, o->expose_count)))
		return where_wrong(w, "'*' with 'credentials' is a name and no more; "
				      "name them");
	return 0;
}

static int check_cors(struct where *w, const struct http_route *h, struct http_cors *o)
{
	unsigned at = w->depth + 1;
	int64_t ms;
	int err = 0;

	where_enter_key(w, "cors");
	if (h->methods && !(h->methods >> HTTP_METHOD_OPTIONS & 1))
		err = where_wrong(w, "asks by OPTIONS first, which 'method' of this "
				     "route lacks");
	if (h->header_count)
		err = where_wrong(w, "asks by OPTIONS first, without the fields that "
				     "'header' of this route wants");
	err = where_also(w, at, err, check_origins(w, o));
	err = where_also(w, at, err, check_lists(w, o));
	err = where_also(
		w, at, err,
		join(w, "methods", o->methods, o->methods_count, &o->methods_text));
	err = where_also(
		w, at, err,
		join(w, "headers", o->headers, o->headers_count, &o->headers_text));
	err = where_also(w, at, err,
			 join(w, "expose", o->expose, o->expose_count, &o->expose_text));
	err = where_also(w, at, err, value_duration(w, "max_age", o->max_age, 5000, &ms));
	if (err)
		return err;
	(void)snprintf(o->max_age_text, sizeof(o->max_age_text), "%lld",
		       (long long)(ms / 1000));
	where_leave(w, 1);
	return 0;
}

/* --- who asks --- */

/* In a quoted-string, as it stands (RFC 9110 5.6.4). */
static bool is_quotable(const char *text)
{
	return http_is_value(text_of_string(text)) && !strpbrk(text, "\"\\");
}

static int check_basic_auth(struct where *w, struct config *c, struct http_basic_auth *b)
{
	where_enter_key(w, "basic_auth");
	where_enter_key(w, "realm");
	if (b->realm && !is_quotable(b->realm))
		return where_wrong(w, "has a quote, a backslash, or what no field may "
				      "have");
	where_leave(w, 1);
	(void)snprintf(b->challenge, sizeof(b->challenge),
		       "Basic realm=\"%s\", charset=\"UTF-8\"",
		       b->realm ? b->realm : "restricted");
	b->text = config_file(c, b->file, PASSWORDS_BYTES, true);
	if (!b->text)
		return -ENOMEM;
	where_leave(w, 1);
	return 0;
}

/* "name=value", cut in two where it stands. */
static int read_claims(struct where *w, struct http_jwt *t)
{
	int err = 0;

	t->wanted = calloc(t->claims_count ? t->claims_count : 1, sizeof(*t->wanted));
	if (!t->wanted)
		return -ENOMEM;
	where_enter_key(w, "claims");
	for (unsigned i = 0; i < t->claims_count; i++) {
		char *equals = strchr(t->claims[i], '=');

		where_enter_index(w, i);
		if (!equals || equals == t->claims[i]) {
			err = where_wrong(w, "'%s' is not \"name=value\"", t->claims[i]);
		} else {
			*equals = '\0';
			t->wanted[i] = (struct http_claim){ t->claims[i], equals + 1 };
		}
		where_leave(w, 1);
	}
	where_leave(w, 1);
	return err;
}

static int check_jwt(struct where *w, struct config *c, struct http_jwt *t)
{
	unsigned at = w->depth + 1;
	int64_t ms;
	int err;

	where_enter_key(w, "jwt");
	err = where_also(w, at, 0, read_claims(w, t));
	err = where_also(w, at, err, value_duration(w, "leeway", t->leeway, 30000, &ms));
	if (err)
		return err;
	t->leeway_s = ms / 1000;
	t->text = config_file(c, t->keys, HTTP_KEYS_BYTES, false);
	if (!t->text)
		return -ENOMEM;
	where_leave(w, 1);
	return 0;
}

static int read_fields(struct where *w, struct http_forward_auth *f)
{
	int err = 0;

	where_enter_key(w, "fields");
	for (unsigned i = 0; i < f->fields_count; i++) {
		struct text name = text_of_string(f->fields[i]);

		where_enter_index(w, i);
		for (char *p = f->fields[i]; *p; p++)
			*p = *p >= 'A' && *p <= 'Z' ? (char)(*p | 0x20) : *p;
		if (!http_is_token(name) ||
		    http_is_framing(http_field_id(name.p, name.n)) ||
		    http_field_id(name.p, name.n) == HTTP_HOST)
			err = where_wrong(w,
					  "'%s' is no name of a field, or of one "
					  "that is the gate's own to say",
					  f->fields[i]);
		where_leave(w, 1);
	}
	where_leave(w, 1);
	return err;
}

static int check_forward_auth(struct where *w, struct http_forward_auth *f)
{
	int err;

	where_enter_key(w, "forward_auth");
	where_enter_key(w, "path");
	if (f->path && (f->path[0] != '/' || !http_is_path(text_of_string(f->path))))
		return where_wrong(w, "'%s' is not a path", f->path);
	where_leave(w, 1);
	err = read_fields(w, f);
	if (!err)
		where_leave(w, 1);
	return err;
}

static int find_asked(struct where *w, struct listener *l, struct http_forward_auth *f)
{
	for (unsigned i = 0; i < l->routes_count && !f->to; i++) {
		if (strcmp(l->routes[i].name, f->route) == 0)
			f->to = &l->routes[i];
	}
	where_enter_key(w, "http");
	where_enter_key(w, "forward_auth");
	where_enter_key(w, "route");
	if (!f->to)
		return where_wrong(w, "'%s' is no route of this listener", f->route);
	if (!f->to->http)
		return where_wrong(w, "route '%s' has no 'http'", f->route);
	if (config_answers(f->to))
		return where_wrong(w, "route '%s' has no backends, it answers itself",
				   f->route);
	if (f->to->http->forward_auth)
		return where_wrong(w, "route '%s' has 'forward_auth', too", f->route);
	f->to->http->asked = true;
	where_leave(w, 3);
	return 0;
}

int config_check_askers(struct where *w, struct listener *l)
{
	unsigned at = w->depth + 1;
	int err = 0;

	where_enter_key(w, "routes");
	for (unsigned i = 0; i < l->routes_count; i++) {
		struct http_route *h = l->routes[i].http;

		where_enter_index(w, i);
		err = where_also(w, at, err,
				 h && h->forward_auth ? find_asked(w, l, h->forward_auth)
						      : 0);
	}
	for (unsigned i = 0; i < l->routes_count && !err; i++) {
		const struct http_route *h = l->routes[i].http;

		where_enter_index(w, i);
		if (h && h->internal && !h->asked)
			err = where_wrong(w, "is 'internal', and no 'forward_auth' "
					     "names it");
		where_leave(w, 1);
	}
	where_leave(w, 1);
	return err;
}

/* --- which backend --- */

static int make_sticky(struct http_sticky *s, const struct route *r, int64_t age_ms)
{
	s->values = calloc(r->backend_names_count + 1, sizeof(*s->values));
	s->fields = calloc(r->backend_names_count + 1, sizeof(*s->fields));
	if (!s->values || !s->fields)
		return -ENOMEM;
	for (unsigned i = 0; i < r->backend_names_count; i++) {
		uint8_t hash[DIGEST_SHA256_LEN];
		char age[40] = "";

		/* the same in every process and of a fleet, and no address */
		if (digest_sha256(r->backends[i].name, strlen(r->backends[i].name),
				  hash) < 0)
			return -ENOMEM;
		for (int k = 0; k < HTTP_STICKY_VALUE / 2; k++)
			(void)snprintf(s->values[i] + 2 * k, 3, "%02x", hash[k]);
		if (age_ms)
			(void)snprintf(age, sizeof(age), "; Max-Age=%lld",
				       (long long)(age_ms / 1000));
		(void)snprintf(s->fields[i], sizeof(s->fields[i]),
			       "%s=%s; Path=/; HttpOnly; SameSite=Lax%s", s->cookie,
			       s->values[i], age);
	}
	return 0;
}

static int check_sticky(struct where *w, const struct route *r, struct http_sticky *s)
{
	int64_t ms;
	int err;

	where_enter_key(w, "sticky");
	where_enter_key(w, "cookie");
	if (!http_is_token(text_of_string(s->cookie)))
		return where_wrong(w, "'%s' is no name of a cookie", s->cookie);
	where_leave(w, 1);
	err = value_duration(w, "max_age", s->max_age, 0, &ms);
	if (!err)
		err = make_sticky(s, r, ms);
	if (!err)
		where_leave(w, 1);
	return err;
}

static int read_alike(struct where *w, char *text, bool user, struct http_alike *ret)
{
	static const char *const traits[] = {
		[TRAIT_HEADER] = "header",
		[TRAIT_COOKIE] = "cookie",
		[TRAIT_QUERY] = "query",
	};
	char *name = strchr(text, ' ');

	if (strcmp(text, "path") == 0 || (user && strcmp(text, "user") == 0)) {
		ret->trait = text[0] == 'p' ? TRAIT_PATH : TRAIT_USER;
		return 0;
	}
	for (unsigned i = TRAIT_HEADER; name && i < ARRAY_SIZE(traits); i++) {
		if (strncmp(text, traits[i], strlen(traits[i])) == 0 &&
		    text + strlen(traits[i]) == name)
			ret->trait = (enum http_trait)i;
	}
	ret->name = name ? text_of(name + 1, strlen(name + 1)) : text_of(NULL, 0);
	if (!ret->trait || !http_is_token(ret->name))
		return where_wrong(w,
				   "'%s' is not \"header NAME\", \"cookie NAME\", "
				   "\"query NAME\"%s or \"path\"",
				   text, user ? ", \"user\"" : "");
	for (char *p = name + 1; ret->trait == TRAIT_HEADER && *p; p++) {
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p | 0x20);
	}
	if (ret->trait == TRAIT_HEADER && text_is(ret->name, TEXT("host")))
		return where_wrong(w, "requests of one host have that alike: 'host' of "
				      "'http' makes a route of them");
	return 0;
}

static int check_request_rate(struct where *w, const struct http_route *h,
			      struct http_rate *r)
{
	int err;

	where_enter_key(w, "rate");
	err = value_rate(w, "limit", r->limit, &r->rate);
	if (err)
		return err;
	where_enter_key(w, "by");
	if (r->by)
		err = read_alike(w, r->by, true, &r->alike);
	if (!err && r->alike.trait == TRAIT_USER && !h->basic_auth && !h->jwt)
		err = where_wrong(w, "nobody says who he is: no 'basic_auth', no 'jwt'");
	if (!err)
		where_leave(w, 2);
	return err;
}

static int check_hash(struct where *w, struct route *r, struct http_route *h)
{
	int err;

	where_enter_key(w, "hash");
	if (r->balance != BALANCE_ROUND_ROBIN && r->balance != BALANCE_SOURCE_HASH)
		return where_wrong(w, "says which backend, and 'balance' does, too");
	r->balance = BALANCE_SOURCE_HASH; /* of requests that have none of it */
	err = read_alike(w, h->hash, false, &h->hash_by);
	if (!err)
		where_leave(w, 1);
	return err;
}

/* What needs another key, or does not go with it. */
static int check_pairs(struct where *w, const struct route *r)
{
	const struct http_route *h = r->http;
	int err = 0;

	if (h->client_cert && !r->client_certificates)
		err = where_wrong(w, "'client_cert' is for routes with "
				     "'client_certificates'");
	if (h->certificate_count && !r->client_certificates)
		err = where_wrong(w, "'certificate' is for routes with "
				     "'client_certificates'");
	if (h->basic_auth && h->jwt)
		err = where_wrong(w, "has both 'basic_auth' and 'jwt'");
	return err;
}

int config_check_policy(struct where *w, struct config *c, struct route *r)
{
	struct http_route *h = r->http;
	unsigned at = w->depth;
	int err = config_check_pages(w, c, h->error_pages, h->error_pages_count);

	err = where_also(w, at, err, check_pairs(w, r));
	err = where_also(w, at, err, h->cors ? check_cors(w, h, h->cors) : 0);
	err = where_also(w, at, err, h->jwt ? check_jwt(w, c, h->jwt) : 0);
	err = where_also(w, at, err,
			 h->basic_auth ? check_basic_auth(w, c, h->basic_auth) : 0);
	err = where_also(w, at, err,
			 h->forward_auth ? check_forward_auth(w, h->forward_auth) : 0);
	if (h->sticky && r->backends)
		err = where_also(w, at, err, check_sticky(w, r, h->sticky));
	err = where_also(w, at, err, h->rate ? check_request_rate(w, h, h->rate) : 0);
	return where_also(w, at, err, h->hash ? check_hash(w, r, h) : 0);
}
