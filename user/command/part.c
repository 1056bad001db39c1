/* SPDX-License-Identifier: Apache-2.0 */
/* Listeners, routes and backends, one by one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "command/answer.h"
#include "command/ask.h"
#include "command/options.h"
#include "command/state.h"

/* What there is, and the keys of the lists that lead to it. */
static const char *const lists[] = { "listeners", "routes", "backends" };
static const char *const shapes[] = { "LISTENER", "LISTENER/ROUTE",
				      "LISTENER/ROUTE/BACKEND" };

/* The steps of "LISTENER/ROUTE/BACKEND" from 1 to all of them; 0: too many, or an empty
 * one. */
static unsigned split(char *text, unsigned most, char *steps[3])
{
	unsigned n = 0;

	if (!most)
		return 0;
	while (n < most) {
		char *slash = n + 1 < most ? strchr(text, '/') : NULL;

		steps[n++] = text;
		if (!*text || slash == text)
			return 0;
		if (!slash)
			break;
		*slash = '\0';
		text = slash + 1;
	}
	return most < 3 && strchr(steps[n - 1], '/') ? 0 : n;
}

/* "/v1/listeners/in/routes/app", and of `list` the list in it. */
static void write_path(char *path, size_t cap, char *const *steps, unsigned n, bool list)
{
	size_t at = (size_t)snprintf(path, cap, "/v1");

	for (unsigned i = 0; i < n && at < cap; i++) {
		char *escaped = ask_escape(steps[i]);

		at += (size_t)snprintf(path + at, cap - at, "/%s/%s", lists[i],
				       escaped ? escaped : "");
		free(escaped);
	}
	if (list && at < cap)
		(void)snprintf(path + at, cap - at, "/%s", lists[n]);
}

/* --- KEY=VALUE --- */

static bool is_plain(const char *text)
{
	return strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
			    "0123456789._-") == strlen(text);
}

/* As YAML: lists, mappings and what is quoted as they are, nothing is null. */
static void put_text(FILE *out, const char *text)
{
	json_t *quoted;
	char *line;

	if (!*text) {
		fputs("null", out);
	} else if (strchr("[{\"'", *text) || is_plain(text)) {
		fputs(text, out);
	} else {
		quoted = json_string(text);
		line = json_dumps(quoted, JSON_ENCODE_ANY);
		fputs(line ? line : "", out);
		free(line);
		json_decref(quoted);
	}
}

static void put_tree(FILE *out, const json_t *o)
{
	const char *key, *between = "";
	json_t *value;

	if (json_is_string(o)) {
		put_text(out, json_string_value(o));
		return;
	}
	fputc('{', out);
	json_object_foreach((json_t *)o, key, value)
	{
		fprintf(out, "%s%s: ", between, key);
		put_tree(out, value);
		between = ", ";
	}
	fputc('}', out);
}

/* One step of "http.host": letters, digits, '-' and '_'. */
static bool read_key(char key[64], const char *word, size_t n)
{
	if (!n || n >= 64 || memchr(word, '.', n))
		return false;
	memcpy(key, word, n);
	key[n] = '\0';
	return is_plain(key);
}

/* "http.host=x": one mapping in another. */
static bool add_key(json_t *o, const char *word)
{
	const char *equals = strchr(word, '='), *dot = strchr(word, '.');
	char key[64];

	if (!equals || equals == word)
		return false;
	while (dot && dot < equals) {
		json_t *inner;

		if (!read_key(key, word, (size_t)(dot - word)))
			return false;
		inner = json_object_get(o, key);
		if (!inner) {
			inner = json_object();
			json_object_set_new(o, key, inner);
		}
		if (!json_is_object(inner))
			return false;
		o = inner;
		word = dot + 1;
		dot = strchr(word, '.');
	}
	if (!read_key(key, word, (size_t)(equals - word)) || json_object_get(o, key))
		return false;
	return json_object_set_new(o, key, json_string(equals + 1)) == 0;
}

/* Of words KEY=VALUE; NULL with the reason logged. */
static char *write_keys(char *const *words, int n)
{
	json_t *o = json_object();
	char *text = NULL;
	size_t len;
	FILE *out;

	for (int i = 0; i < n; i++) {
		if (add_key(o, words[i]))
			continue;
		log_error("'%s' is not KEY=VALUE or KEY.KEY=VALUE, or its key is here "
			  "already",
			  words[i]);
		json_decref(o);
		return NULL;
	}
	out = open_memstream(&text, &len);
	if (out) {
		put_tree(out, o);
		(void)fclose(out);
	}
	json_decref(o);
	return text;
}

/* A backend is a word with its options behind it. */
static char *write_backend(const char *name, char *const *words, int n)
{
	char line[1024];
	size_t at = (size_t)snprintf(line, sizeof(line), "%s", name);
	json_t *o;
	char *text;

	for (int i = 0; i < n && at < sizeof(line); i++)
		at += (size_t)snprintf(line + at, sizeof(line) - at, " %s", words[i]);
	o = json_string(line);
	text = json_dumps(o, JSON_ENCODE_ANY);
	json_decref(o);
	return text;
}

/* --- what is there --- */

static void print_names(const json_t *list, const char *before)
{
	size_t i;
	json_t *o;

	json_array_foreach(list, i, o)
	{
		const char *name =
			json_is_string(o) ? json_string_value(o) : answer_word(o, "name");

		printf("%s%s", before, name);
		if (answer_word(o, "address")[0])
			printf("  %s", answer_word(o, "address"));
		if (json_object_get(o, "routes"))
			printf("  %zu route%s",
			       json_array_size(json_object_get(o, "routes")),
			       json_array_size(json_object_get(o, "routes")) == 1 ? ""
										  : "s");
		if (json_object_get(o, "backends"))
			printf("  %zu backend%s",
			       json_array_size(json_object_get(o, "backends")),
			       json_array_size(json_object_get(o, "backends")) == 1
				       ? ""
				       : "s");
		putchar('\n');
	}
}

/* Those of all listeners, or routes, or of the one that `steps` lead to. */
static int list_parts(struct options *o, unsigned kind, char *const *steps, unsigned n)
{
	char path[1024], before[256] = "";
	json_t *answer;
	size_t at = 0;
	int done;

	if (n != kind || o->args_n > 1 + (kind > 0)) {
		log_error("list: %s%s",
			  kind ? "name one, " : "takes no name; 'show NAME' shows one",
			  kind ? shapes[kind - 1] : "");
		return EXIT_USAGE;
	}
	write_path(path, sizeof(path), steps, n, true);
	done = answer_ask(o, "GET", path, NULL, &answer);
	if (done >= 0)
		return done;
	for (unsigned i = 0; i < n && at < sizeof(before); i++)
		at += (size_t)snprintf(before + at, sizeof(before) - at, "%s/", steps[i]);
	print_names(answer, before);
	json_decref(answer);
	return EXIT_OK;
}

static int show_part(struct options *o, const char *path)
{
	json_t *answer;
	int done = answer_ask(o, "GET", path, NULL, &answer);

	return done >= 0 ? done : answer_json(answer);
}

/* --- the commands --- */

enum verb { LIST, SHOW, ADD, SET, RM, VERBS };

static int change_part(struct options *o, unsigned kind, enum verb verb,
		       char *const *steps, char *path, size_t cap)
{
	static const char *const methods[] = {
		[ADD] = "PUT", [SET] = "PATCH", [RM] = "DELETE"
	};
	struct ask a = { .method = methods[verb], .creates = verb == ADD };
	char *body = NULL;
	int ret;

	if (verb != RM)
		body = kind == 2 ? write_backend(steps[2], o->args + 2, o->args_n - 2)
				 : write_keys(o->args + 2, o->args_n - 2);
	if (verb != RM && !body)
		return EXIT_USAGE;
	a.body = body;
	ret = state_change(o, &a, path, cap);
	free(body);
	return ret;
}

static int part(struct options *o, const char *what, unsigned kind)
{
	static const char *const verbs[] = { "list", "show", "add", "set", "rm" };
	char path[1024], *steps[3] = { NULL };
	unsigned verb = 0, n = 0, most = kind + 1;

	while (o->args_n && verb < VERBS && strcmp(verbs[verb], o->args[0]) != 0)
		verb++;
	if (!o->args_n || verb == VERBS) {
		log_error("%s: list, show, add, set or rm", what);
		return EXIT_USAGE;
	}
	if (o->args_n > 1)
		n = split(o->args[1], verb == LIST ? kind : most, steps);
	if (verb == LIST)
		return list_parts(o, kind, steps, n);
	if (n != most || (o->args_n > 2 && verb != ADD && verb != SET) ||
	    (o->args_n < 3 && verb == SET)) {
		log_error("%s %s: name one, %s%s", what, verbs[verb], shapes[kind],
			  verb != ADD && verb != SET ? ""
			  : kind == 2		     ? ", and its words"
						     : ", and KEY=VALUE");
		return EXIT_USAGE;
	}
	write_path(path, sizeof(path), steps, n, false);
	return verb == SHOW
		       ? show_part(o, path)
		       : change_part(o, kind, (enum verb)verb, steps, path, sizeof(path));
}

int cmd_listener(struct options *o)
{
	return part(o, "listener", 0);
}

int cmd_route(struct options *o)
{
	return part(o, "route", 1);
}

int cmd_backend(struct options *o)
{
	return part(o, "backend", 2);
}
