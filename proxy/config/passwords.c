/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "config/files.h"
#include "config/passwords.h"

/*
 * Kinds of crypt(5) that take an attacker's time, and how long what is behind the last
 * `$` is: of bcrypt with its salt.
 */
static bool is_kept_well(struct text hash)
{
	static const struct {
		struct text kind;
		size_t n;
	} kinds[] = {
		{ { "$2y$", 4 }, 53 }, { { "$2b$", 4 }, 53 }, { { "$2a$", 4 }, 53 },
		{ { "$5$", 3 }, 43 },  { { "$6$", 3 }, 86 },  { { "$gy$", 4 }, 43 },
		{ { "$y$", 3 }, 43 },  { { "$7$", 3 }, 43 },
	};
	const char *last = memrchr(hash.p, '$', hash.n);

	for (size_t i = 0; last && i < ARRAY_SIZE(kinds); i++) {
		const struct text *k = &kinds[i].kind;

		if (hash.n > k->n && memcmp(hash.p, k->p, k->n) == 0)
			return hash.n <= PASSWORD_HASH_MAX &&
			       (size_t)(hash.p + hash.n - last) - 1 == kinds[i].n;
	}
	return false;
}

static int read_line(struct text line, struct password *ret, char why[160])
{
	struct text rest = line;

	ret->name = text_cut(&rest, ':');
	ret->hash = text_cut(&rest, ':');
	if (!ret->name.n || ret->name.n > PASSWORD_NAME_MAX ||
	    !http_is_value(ret->name) || !ret->hash.n) {
		(void)snprintf(why, 160, "is not \"NAME:HASH\"");
		return -EINVAL;
	}
	if (is_kept_well(ret->hash))
		return 0;
	(void)snprintf(why, 160,
		       "the password is not hashed by bcrypt, SHA-2, yescrypt or scrypt, "
		       "or the hash is cut: htpasswd -B, or mkpasswd");
	return -EINVAL;
}

static unsigned count_lines(const struct config_file *f)
{
	unsigned n = 1;

	for (size_t i = 0; i < f->len; i++)
		n += f->text[i] == '\n';
	return n;
}

static int compare(const void *x, const void *y)
{
	const struct text *a = &((const struct password *)x)->name,
			  *b = &((const struct password *)y)->name;
	int d = memcmp(a->p, b->p, a->n < b->n ? a->n : b->n);

	return d ? d : (a->n > b->n) - (a->n < b->n);
}

/* Every line; *line: the last that was looked at. */
static int read_lines(struct passwords *p, struct text rest, unsigned *line,
		      char why[160])
{
	for (*line = 1; rest.n; ++*line) {
		struct text t = text_cut(&rest, '\n');
		int err;

		if (t.n && t.p[t.n - 1] == '\r')
			t.n--;
		if (!t.n || t.p[0] == '#')
			continue;
		err = read_line(t, &p->all[p->n], why);
		if (err)
			return err;
		p->all[p->n++].line = *line;
	}
	if (p->n)
		return 0;
	*line = 1;
	(void)snprintf(why, 160, "has no \"NAME:HASH\"");
	return -EINVAL;
}

static int sort(struct passwords *p, unsigned *line, char why[160])
{
	qsort(p->all, p->n, sizeof(*p->all), compare);
	for (size_t i = 1; i < p->n; i++) {
		if (compare(&p->all[i - 1], &p->all[i]) != 0)
			continue;
		*line = p->all[i].line > p->all[i - 1].line ? p->all[i].line
							    : p->all[i - 1].line;
		(void)snprintf(why, 160, "has a name for the second time");
		return -EINVAL;
	}
	return 0;
}

int passwords_read(const struct config_file *f, struct passwords **ret, unsigned *line,
		   char why[160])
{
	struct passwords *p = calloc(1, sizeof(*p));
	int err;

	if (p)
		p->all = calloc(count_lines(f), sizeof(*p->all));
	if (!p || !p->all) {
		passwords_free(p);
		return -ENOMEM;
	}
	p->mark = util_hash(f->text, f->len);
	err = read_lines(p, text_of(f->text, f->len), line, why);
	if (!err)
		err = sort(p, line, why);
	if (err)
		passwords_free(p);
	else
		*ret = p;
	return err;
}

static int read_route(struct http_basic_auth *b, char why[CONFIG_ERROR_MAX])
{
	unsigned line;
	char what[160];
	int err = passwords_read(b->text, &b->passwords, &line, what);

	if (err == -EINVAL)
		(void)snprintf(why, CONFIG_ERROR_MAX, "%.300s:%u: %s", b->file, line,
			       what);
	return err;
}

int config_passwords_read(struct config *c, char why[CONFIG_ERROR_MAX])
{
	int err = 0;

	for (unsigned i = 0; i < c->listeners_count; i++) {
		struct listener *l = &c->listeners[i];

		for (unsigned k = 0; k < l->routes_count && !err; k++) {
			struct http_route *h = l->routes[k].http;

			if (h && h->basic_auth)
				err = read_route(h->basic_auth, why);
		}
	}
	return err;
}

void passwords_free(struct passwords *p)
{
	if (p)
		free(p->all);
	free(p);
}

const struct password *passwords_find(const struct passwords *p, struct text name)
{
	const struct password key = { .name = name };

	return bsearch(&key, p->all, p->n, sizeof(*p->all), compare);
}
