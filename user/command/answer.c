/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "command/answer.h"
#include "command/ask.h"
#include "command/options.h"

int answer_exit(int err)
{
	return err == -ESRCH || err == -EACCES || err == -ENOENT || err == -EPERM
		       ? EXIT_NOT_LOADED
	       : err ? EXIT_BAD
		     : EXIT_OK;
}

const char *answer_word(const json_t *o, const char *key)
{
	const char *text = json_string_value(json_object_get(o, key));

	return text ? text : "";
}

long long answer_number(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

int answer_json(json_t *o)
{
	int err = json_dumpf(o, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);

	putchar('\n');
	json_decref(o);
	return err || fflush(stdout) ? EXIT_BAD : EXIT_OK;
}

int answer_ask_as(const struct options *o, const struct ask *a, json_t **ret)
{
	struct ask own = *a;
	int err;

	own.json = o->json;
	err = ask_json(o->pins, &own, ret);
	if (err)
		return answer_exit(err);
	return o->json ? answer_json(*ret) : -1;
}

int answer_ask(const struct options *o, const char *method, const char *path,
	       const json_t *body, json_t **ret)
{
	char *text = body ? json_dumps(body, 0) : NULL;
	const struct ask a = { .method = method, .path = path, .body = text };
	int done = answer_ask_as(o, &a, ret);

	free(text);
	return done;
}

/* A text as it is, all else as JSON, which is YAML as well. */
static void print_value(const json_t *o)
{
	char *text;

	if (json_is_string(o)) {
		fputs(json_string_value(o), stdout);
		return;
	}
	text = json_dumps(o, JSON_ENCODE_ANY);
	fputs(text ? text : "", stdout);
	free(text);
}

/* As 'diff' has it. */
static void print_difference(const json_t *c)
{
	const char *kind = answer_word(c, "kind");
	const json_t *before = json_object_get(c, "before");
	const json_t *after = json_object_get(c, "after");

	printf("%c %s: ",
	       strcmp(kind, "added") == 0     ? '+'
	       : strcmp(kind, "removed") == 0 ? '-'
					      : '~',
	       answer_word(c, "key"));
	if (strcmp(kind, "moved") == 0)
		printf("the same in another order");
	if (before)
		print_value(before);
	if (before && after)
		printf(" -> ");
	if (after)
		print_value(after);
	putchar('\n');
}

void answer_changes(const json_t *answer, bool dry_run, const char *to)
{
	const json_t *changes = json_object_get(answer, "changes");
	size_t i, n = json_array_size(changes);
	json_t *c;

	json_array_foreach(json_object_get(answer, "warnings"), i, c)
	{
		log_warn("%s", json_string_value(c));
	}
	json_array_foreach(changes, i, c)
	{
		print_difference(c);
	}
	printf("revision %lld is in force, %zu difference%s%s%s\n",
	       answer_number(answer, "revision"), n, n == 1 ? "" : "s",
	       dry_run ? " " : "", dry_run ? to : "");
}
