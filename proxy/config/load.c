/* SPDX-License-Identifier: Apache-2.0 */
/* From a file to a checked snapshot: the text, the schema, and what it cannot say. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "config/check.h"
#include "config/config.h"
#include "config/schema.h"
#include "config/where.h"

int config_parse(const char *path, const char *text, size_t len, struct config **ret,
		 char err[CONFIG_ERROR_MAX])
{
	struct where w = { .path = path, .text = text, .len = len, .err = err };
	const struct where_rule *rules;
	struct schema_fault said;
	struct config *c;
	size_t rules_n;
	int res;

	err[0] = '\0';
	rules = schema_rules(&rules_n);
	res = where_scan(&w, rules, rules_n);
	if (res)
		return res;
	res = schema_load(text, len, &c, &said);
	if (res) {
		if (strncmp(said.what, "Unexpected key: ", 16) == 0)
			where_locate_key(text, len, said.what + 16, &said.line,
					 &said.column);
		(void)snprintf(err, CONFIG_ERROR_MAX, "%.300s:%u:%u: %.200s%s%.100s",
			       path, said.line, said.column, said.what,
			       said.in[0] ? ", " : "", said.in);
		return res;
	}
	if (!c) {
		(void)snprintf(err, CONFIG_ERROR_MAX,
			       "%.300s:1:1: the file is empty; "
			       "'listeners' is needed",
			       path);
		return -EINVAL;
	}
	c->refs = 1;
	res = config_check(&w, c);
	if (res) {
		if (!err[0])
			(void)snprintf(err, CONFIG_ERROR_MAX, "%.300s: %s", path,
				       strerror(-res));
		config_put(c);
		return res;
	}
	*ret = c;
	return 0;
}

int config_load(const char *path, struct config **ret, char err[CONFIG_ERROR_MAX])
{
	size_t len;
	char *text;
	int res;

	res = util_read_file(path, CONFIG_FILE_MAX, &text, &len);
	if (res) {
		(void)snprintf(err, CONFIG_ERROR_MAX, "%.300s: cannot be read: %s", path,
			       strerror(-res));
		return res;
	}
	res = config_parse(path, text, len, ret, err);
	free(text);
	return res;
}
