/* SPDX-License-Identifier: Apache-2.0 */
/* Names of hosts as routes have them: exact, by suffix, by expression, any. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "config/pattern.h"
#include "config/value.h"

#define LABEL_MAX 63 /* RFC 1035 2.3.4 */

/* NULL, or what is wrong with its labels. */
static const char *label_fault(const char *host)
{
	size_t n = 0;

	for (;; host++) {
		if (*host && *host != '.') {
			if (++n > LABEL_MAX)
				return "a label has at most 63 characters";
			continue;
		}
		/* a dot at the end is the root's, and as good as none */
		if (!n && (*host || host[-1] != '.'))
			return "a label is empty";
		if (!*host)
			return NULL;
		n = 0;
	}
}

/* To lower case; false if it is no host name. */
static bool is_host(char *host)
{
	if (!*host || strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				   "0123456789-_.") != strlen(host))
		return false;
	for (; *host; host++) {
		if (*host >= 'A' && *host <= 'Z')
			*host = (char)(*host - 'A' + 'a');
	}
	return true;
}

int value_pattern(struct where *w, struct config *c, const char *text,
		  struct pattern **ret)
{
	char why[PATTERN_ERROR_MAX];
	int err = pattern_compile(text + 1, ret, why);

	if (!err && pattern_is_hungry(*ret))
		where_warn(
			w, &c->warnings,
			"'%s' takes more steps than are allowed with some names or paths, "
			"which are then refused (expression_limit); write it simpler",
			text);
	return err == -EINVAL ? where_wrong(w, "'%s': %s", text, why) : err;
}

/* A name, exact or behind "*."; in lower case afterwards. */
static int check_name(struct where *w, char *name)
{
	bool wild = strncmp(name, "*.", 2) == 0;
	char *host = name + (wild ? 2 : 0);
	size_t n = strlen(host);
	const char *fault;

	if (name[0] == '.')
		return where_wrong(w,
				   "'%s': for every name below it write \"*%s\", for "
				   "itself '%s'",
				   name, name, name + 1);
	if (!is_host(host))
		return where_wrong(
			w, "'%s' is no host name, '*.suffix', '~expression' or '*'",
			name);
	if (host[n - 1] == '.') /* the root's: names are compared without */
		host[n - 1] = '\0';
	fault = label_fault(host);
	return fault ? where_wrong(w, "'%s': %s", name, fault) : 0;
}

int value_names(struct where *w, struct config *c, const char *key, char *const *names,
		unsigned n, struct pattern ***ret)
{
	unsigned at = w->depth + 1;
	int err = 0;

	*ret = calloc(n ? n : 1, sizeof(struct pattern *));
	if (!*ret)
		return -ENOMEM;
	where_enter_key(w, key);
	for (unsigned i = 0; i < n; i++) {
		char *name = names[i];
		int now = 0;

		where_enter_index(w, i);
		if (name[0] == '~')
			now = value_pattern(w, c, name, &(*ret)[i]);
		else if (strcmp(name, "*") != 0)
			now = check_name(w, name);
		err = where_also(w, at, err, now);
	}
	where_leave(w, 1);
	return err;
}
