/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates of listeners.  What is in their files is tls/certs.c's to say. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "config/check.h"
#include "config/where.h"

/* A name that a challenge can be about (RFC 8737 3): no wildcard, no address. */
static bool is_host(const char *name)
{
	size_t len = strlen(name), label = 0;
	bool dot = false, letter = false;

	for (size_t i = 0; i < len; i++) {
		char c = name[i];

		if (c == '.') {
			if (!label)
				return false;
			label = 0;
			dot = true;
			letter = false;
			continue;
		}
		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') &&
		    !(c == '-' && label))
			return false;
		letter |= c >= 'a' && c <= 'z';
		if (++label > 63)
			return false;
	}
	return dot && label && letter && len <= 253;
}

/* What goes to a program of others by a file: nothing that is more than itself. */
static bool is_plain(const char *text, const char *more)
{
	if (strstr(text, ".."))
		return false;
	for (; *text; text++) {
		if (!isalnum((unsigned char)*text) && !strchr(more, *text))
			return false;
	}
	return true;
}

static int check_names(struct where *w, const struct certificate *c)
{
	int err = 0;

	where_enter_key(w, "acme");
	for (unsigned i = 0; i < c->acme_count; i++) {
		where_enter_index(w, i);
		if (!is_host(c->acme[i]))
			err = where_wrong(w,
					  "'%s' is no name in lower case, such as "
					  "www.example.org; wildcards cannot be had "
					  "by a challenge to the gate",
					  c->acme[i]);
		where_leave(w, 1);
	}
	where_leave(w, 1);
	return err;
}

/* One of the three. */
static int check_certificate(struct where *w, const struct certificate *c)
{
	const char *key = c->acme ? "acme" : "directory";

	if (!c->certificate && !c->directory && !c->acme)
		return where_wrong(
			w, "has neither 'certificate' nor 'directory' nor 'acme'");
	if (!c->directory && !c->acme)
		return 0;
	where_enter_key(w, key);
	if (c->certificate || c->key || c->staple || (c->directory && c->acme))
		return where_wrong(w, "is for itself: a file has an entry of its own");
	if (c->directory && c->is_default)
		return where_wrong(w, "has many, and one can be the default: it has an "
				      "entry of its own");
	where_leave(w, 1);
	return c->acme ? check_names(w, c) : 0;
}

/* Whom a challenge is for: what it agrees on, and nothing behind it (RFC 8737 3). */
static int make_route(struct listener *l)
{
	static char name[] = "acme", protocol[] = "acme-tls/1";
	static char *protocols[] = { protocol };
	static const char *const agreed[] = { "acme-tls/1" };

	if (l->acme)
		return 0;
	l->acme = calloc(1, sizeof(*l->acme));
	if (!l->acme)
		return -ENOMEM;
	*l->acme = (struct route){ .name = name,
				   .alpn = protocols,
				   .alpn_count = 1,
				   .protocols = agreed,
				   .protocols_count = 1,
				   .tls = TLS_TERMINATE,
				   .min_tls = 12 };
	return 0;
}

static bool same_names(const struct certificate *a, const struct certificate *b)
{
	bool same = a->acme_count == b->acme_count;

	for (unsigned i = 0; same && i < a->acme_count; i++)
		same = strcmp(a->acme[i], b->acme[i]) == 0;
	return same;
}

/* The first name is where its files are: it has one set of names in all listeners. */
static int check_first(struct where *w, const struct config *c,
		       const struct certificate *one)
{
	for (unsigned i = 0; i < c->listeners_count; i++) {
		const struct listener *l = &c->listeners[i];

		for (unsigned k = 0; k < l->certificates_count; k++) {
			const struct certificate *other = &l->certificates[k];

			if (!other->acme || strcmp(other->acme[0], one->acme[0]) != 0 ||
			    same_names(other, one))
				continue;
			where_enter_key(w, "acme");
			return where_wrong(
				w,
				"another certificate, of listener '%s', begins "
				"with '%s' and has other names",
				l->name, one->acme[0]);
		}
	}
	return 0;
}

static int check_entry(struct where *w, const struct config *c, struct listener *l,
		       struct certificate *one)
{
	int err = check_certificate(w, one);

	if (err || !one->acme)
		return err;
	one->state = c->acme && c->acme->state ? c->acme->state : CONFIG_ACME_STATE;
	err = check_first(w, c, one);
	return err ? err : make_route(l);
}

int config_check_certificates(struct where *w, const struct config *c, struct listener *l)
{
	unsigned at = w->depth + 1;
	int err = 0;

	where_enter_key(w, "certificates");
	for (unsigned i = 0; i < l->certificates_count; i++) {
		where_enter_index(w, i);
		err = where_also(w, at, err, check_entry(w, c, l, &l->certificates[i]));
	}
	where_leave(w, 1);
	return err;
}

int config_check_acme(struct where *w, const struct config *c)
{
	const struct {
		const char *key, *text, *more, *is;
	} all[] = {
		{ "state", c->acme ? c->acme->state : NULL, "/._-", "an absolute path" },
		{ "server", c->acme ? c->acme->server : NULL, ":/._-", "a https URL" },
		{ "contact", c->acme ? c->acme->contact : NULL, "@._+-",
		  "a mail address" },
		{ "ca", c->acme ? c->acme->ca : NULL, "/._-", "an absolute path" },
	};
	int err = 0;

	where_enter_key(w, "acme");
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		bool is_path = all[i].more[0] == '/';

		if (!all[i].text)
			continue;
		where_enter_key(w, all[i].key);
		if (!is_plain(all[i].text, all[i].more) ||
		    (is_path && all[i].text[0] != '/') ||
		    (i == 1 && strncmp(all[i].text, "https://", 8) != 0))
			err = where_wrong(w, "'%s' is not %s of letters, digits and %s",
					  all[i].text, all[i].is, all[i].more);
		where_leave(w, 1);
	}
	where_leave(w, 1);
	return err;
}
