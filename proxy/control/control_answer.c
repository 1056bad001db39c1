/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/as_json.h"
#include "control/control_own.h"

static void put(struct server_answer *ret, unsigned status, const char *type, json_t *o)
{
	char *text = json_dumps(o, JSON_INDENT(2) | JSON_ENCODE_ANY);
	size_t n = text ? strlen(text) : 0;
	char *line = text ? realloc(text, n + 2) : NULL;

	json_decref(o);
	if (line)
		memcpy(line + n, "\n", 2);
	ret->status = line ? status : 503;
	ret->type = type;
	ret->text = line ? line : text;
}

void control_answer(struct server_answer *ret, unsigned status, json_t *o)
{
	put(ret, status, "application/json", o);
}

static json_t *problem(unsigned status, const char *type, const char *detail)
{
	char uri[64];

	(void)snprintf(uri, sizeof(uri), "/problems/%s", type);
	return json_pack("{s:s, s:s, s:i, s:s}", "type", uri, "title", type, "status",
			 (int)status, "detail", detail);
}

void control_problem(struct server_answer *ret, unsigned status, const char *type,
		     const char *fmt, ...)
{
	char detail[512];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(detail, sizeof(detail), fmt, args);
	va_end(args);
	faults_make_utf8(detail); /* JSON is, and what was asked need not be */
	put(ret, status, "application/problem+json", problem(status, type, detail));
}

void control_faults(struct server_answer *ret, const struct faults *f)
{
	json_t *o = problem(422, "configuration-wrong",
			    "the configuration is wrong, and nothing was changed");

	json_object_set_new(o, "errors", as_json_faults(f));
	json_object_set_new(o, "more_errors", json_integer((json_int_t)f->more));
	put(ret, 422, "application/problem+json", o);
}

json_t *control_body(const struct server_request *r, struct server_answer *ret)
{
	json_error_t e;
	json_t *o = json_loadb(r->body, r->body_n, JSON_REJECT_DUPLICATES, &e);

	if (json_is_object(o))
		return o;
	if (o)
		control_problem(ret, 400, "not-an-object", "the body is no JSON object");
	else
		control_problem(ret, 400, "not-json", "line %d, column %d: %s", e.line,
				e.column, e.text);
	json_decref(o);
	return NULL;
}
