/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/util.h"
#include "command/ask.h"
#include "command/manage.h"
#include "command/options.h"

static int exit_of(int err)
{
	return err == -ESRCH || err == -EACCES || err == -ENOENT || err == -EPERM
		       ? EXIT_NOT_LOADED
	       : err ? EXIT_BAD
		     : EXIT_OK;
}

static const char *word(const json_t *o, const char *key)
{
	const char *text = json_string_value(json_object_get(o, key));

	return text ? text : "";
}

static long long number(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

/* The answer as it is; it is taken. */
static int put_json(json_t *o)
{
	int err = json_dumpf(o, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);

	putchar('\n');
	json_decref(o);
	return err || fflush(stdout) ? EXIT_BAD : EXIT_OK;
}

/* -1 with the answer; or what to exit with, after it was put as JSON if that is wanted.
 */
static int ask(const struct options *o, const char *method, const char *path,
	       const json_t *body, json_t **ret)
{
	int err = ask_proxy(o->pins, method, path, body, ret);

	if (err)
		return exit_of(err);
	return o->json ? put_json(*ret) : -1;
}

/* --- the configuration --- */

/* As 'diff' has it. */
static void print_difference(const json_t *c)
{
	const char *kind = word(c, "kind");

	printf("%c %s: %s%s%s%s\n",
	       strcmp(kind, "added") == 0     ? '+'
	       : strcmp(kind, "removed") == 0 ? '-'
					      : '~',
	       word(c, "key"), word(c, "before"),
	       strcmp(kind, "changed") == 0 ? " -> " : "", word(c, "after"),
	       strcmp(kind, "moved") == 0 ? "the same in another order" : "");
}

int cmd_reload(struct options *o)
{
	const json_t *changes;
	size_t i;
	json_t *answer, *c;
	int done = ask(o, "POST",
		       o->dry_run ? "/v1/config/reload?dry_run=1" : "/v1/config/reload",
		       NULL, &answer);

	if (done >= 0)
		return done;
	changes = json_object_get(answer, "changes");
	json_array_foreach(changes, i, c)
	{
		print_difference(c);
	}
	printf("revision %lld is in force, %zu difference%s%s\n",
	       number(answer, "revision"), json_array_size(changes),
	       json_array_size(changes) == 1 ? "" : "s",
	       o->dry_run ? " to the file" : "");
	json_decref(answer);
	return EXIT_OK;
}

/* --- connections --- */

static int add_filter(const struct options *o, char *path, size_t cap)
{
	char client[128], limit[24];

	if (o->flows.port && !o->address) {
		log_error("--port goes with --address: it is the client's");
		return -EINVAL;
	}
	if (o->flows.limit && !o->rate_n) {
		(void)snprintf(limit, sizeof(limit), "%lu", o->flows.limit);
		ask_add(path, cap, "limit", limit);
	}
	ask_add(path, cap, "listener", o->flows.listener);
	ask_add(path, cap, "route", o->flows.route);
	ask_add(path, cap, "backend", o->backend);
	ask_add(path, cap, "state", o->flows.state);
	if (!o->address)
		return 0;
	(void)snprintf(client, sizeof(client), "%s", o->address);
	if (o->flows.port)
		(void)snprintf(client, sizeof(client),
			       strchr(o->address, ':') ? "[%s]:%u" : "%s:%u", o->address,
			       ntohs(o->flows.port));
	ask_add(path, cap, "client", client);
	return 0;
}

static void print_connection(const json_t *c)
{
	char rx[UTIL_BYTES_STR_MAX], tx[UTIL_BYTES_STR_MAX];

	printf("%-12s %-24s %-9s %10.1fs %10s in %10s out  %s%s%s%s%s%s%s\n",
	       word(c, "id"), word(c, "client"), word(c, "state"),
	       json_number_value(json_object_get(c, "age_seconds")),
	       util_format_bytes((uint64_t)number(c, "rx_bytes"), rx),
	       util_format_bytes((uint64_t)number(c, "tx_bytes"), tx),
	       word(c, "listener"), word(c, "route")[0] ? "/" : "", word(c, "route"),
	       word(c, "backend")[0] ? " -> " : "", word(c, "backend"),
	       word(c, "server_name")[0] ? " " : "", word(c, "server_name"));
}

int cmd_connections(struct options *o)
{
	char path[1024] = "/v1/connections";
	const json_t *list;
	size_t i;
	json_t *answer, *c;
	int done;

	if (add_filter(o, path, sizeof(path)) < 0)
		return EXIT_USAGE;
	done = ask(o, "GET", path, NULL, &answer);
	if (done >= 0)
		return done;
	list = json_object_get(answer, "connections");
	json_array_foreach(list, i, c)
	{
		print_connection(c);
	}
	if ((size_t)number(answer, "matched") > json_array_size(list))
		printf("%lld of them; --limit shows more\n", number(answer, "matched"));
	json_decref(answer);
	return EXIT_OK;
}

/* How many of them were ended; or a negative errno, logged. */
static long long kill_some(const struct options *o, const char *path)
{
	json_t *answer;
	long long n;
	int err = ask_proxy(o->pins, "DELETE", path, NULL, &answer);

	if (err)
		return err;
	n = number(answer, "killed");
	json_decref(answer);
	return n;
}

/* So many in that time, until there are none. */
static long long kill_slowly(const struct options *o, char *path, size_t cap)
{
	const struct timespec pause = { (time_t)(o->rate_ms / 1000),
					(long)(o->rate_ms % 1000 * 1000000) };
	long long all = 0, n;
	char limit[24];

	(void)snprintf(limit, sizeof(limit), "%lu", o->rate_n);
	ask_add(path, cap, "limit", limit);
	while ((n = kill_some(o, path)) > 0) {
		all += n;
		if (!o->json)
			log_info("%lld connections ended", all);
		if (n < (long long)o->rate_n)
			break;
		(void)nanosleep(&pause, NULL);
	}
	return n < 0 ? n : all;
}

int cmd_kill(struct options *o)
{
	char path[1024] = "/v1/connections";
	long long n;

	if (!o->args_n && !o->flows.listener && !o->flows.route && !o->backend &&
	    !o->flows.state && !o->address) {
		log_error("kill: which? an id (tollgate connections), or --address, "
			  "--listener, --route, --backend, --state");
		return EXIT_USAGE;
	}
	if (add_filter(o, path, sizeof(path)) < 0)
		return EXIT_USAGE;
	if (o->args_n)
		ask_add(path, sizeof(path), "id", o->args[0]);
	n = o->rate_n ? kill_slowly(o, path, sizeof(path)) : kill_some(o, path);
	if (n < 0)
		return exit_of((int)n);
	if (o->json)
		printf("{\"killed\": %lld}\n", n);
	else
		printf("%lld connection%s ended\n", n, n == 1 ? "" : "s");
	return n ? EXIT_OK : EXIT_BAD;
}

/* --- backends --- */

static void print_backend(const json_t *b)
{
	const char *drained = word(b, "drained");

	printf("%-32s %s/%s: %s%s%s, %lld connection%s%s%s%s\n", word(b, "backend"),
	       word(b, "listener"), word(b, "route"),
	       json_is_true(json_object_get(b, "up")) ? "up" : "down",
	       json_is_true(json_object_get(b, "ejected")) ? ", ejected" : "",
	       json_is_true(json_object_get(b, "has_address")) ? "" : ", no address",
	       number(b, "connections"), number(b, "connections") == 1 ? "" : "s",
	       json_is_true(json_object_get(b, "backup")) ? ", backup" : "",
	       drained[0] ? ", drained by " : "",
	       strcmp(drained, "control") == 0 ? "'tollgate drain'"
	       : drained[0]		       ? "the file"
					       : "");
}

int cmd_backends(struct options *o)
{
	size_t i;
	json_t *answer, *b;
	int done = ask(o, "GET", "/v1/backends", NULL, &answer);

	if (done >= 0)
		return done;
	json_array_foreach(json_object_get(answer, "backends"), i, b)
	{
		if ((o->flows.listener &&
		     strcmp(o->flows.listener, word(b, "listener")) != 0) ||
		    (o->flows.route && strcmp(o->flows.route, word(b, "route")) != 0))
			continue;
		print_backend(b);
	}
	json_decref(answer);
	return EXIT_OK;
}

static int drain(struct options *o, bool on)
{
	const char *backend = o->args_n ? o->args[0] : o->backend;
	json_t *body = json_object(), *answer;
	int err;

	if (o->flows.listener)
		json_object_set_new(body, "listener", json_string(o->flows.listener));
	if (o->flows.route)
		json_object_set_new(body, "route", json_string(o->flows.route));
	if (backend)
		json_object_set_new(body, "backend", json_string(backend));
	if (!json_object_size(body)) {
		json_decref(body);
		log_error("%s: which? a backend as 'tollgate backends' names it, or "
			  "--listener, --route",
			  on ? "drain" : "undrain");
		return EXIT_USAGE;
	}
	json_object_set_new(body, "drain", json_boolean(on));
	err = ask_proxy(o->pins, "POST", "/v1/drain", body, &answer);
	json_decref(body);
	if (err)
		return exit_of(err);
	if (!on && number(answer, "drained_by_file"))
		log_warn("%lld of them are drained by the file, too, and stay so",
			 number(answer, "drained_by_file"));
	if (o->json)
		return put_json(answer);
	printf("%lld backend%s, %lld changed\n", number(answer, "matched"),
	       number(answer, "matched") == 1 ? "" : "s", number(answer, "changed"));
	json_decref(answer);
	return EXIT_OK;
}

int cmd_drain(struct options *o)
{
	return drain(o, true);
}

int cmd_undrain(struct options *o)
{
	return drain(o, false);
}

/* --- the rest --- */

static void print_change(const json_t *c)
{
	time_t at = (time_t)number(c, "at");
	char when[32] = "";
	struct tm tm;

	if (localtime_r(&at, &tm))
		(void)strftime(when, sizeof(when), "%F %T", &tm);
	printf("%lld %s uid %lld %s (pid %lld): %s%s\n", number(c, "number"), when,
	       number(c, "uid"), word(c, "program"), number(c, "pid"), word(c, "what"),
	       json_is_true(json_object_get(c, "done")) ? "" : ": refused");
}

int cmd_changes(struct options *o)
{
	size_t i;
	json_t *answer, *c;
	int done = ask(o, "GET", "/v1/changes", NULL, &answer);

	if (done >= 0)
		return done;
	json_array_foreach(json_object_get(answer, "changes"), i, c)
	{
		print_change(c);
	}
	json_decref(answer);
	return EXIT_OK;
}

int cmd_log_level(struct options *o)
{
	json_t *body = o->args_n ? json_pack("{s:s}", "level", o->args[0]) : NULL;
	json_t *answer;
	int done = ask(o, body ? "PUT" : "GET", "/v1/log-level", body, &answer);

	json_decref(body);
	if (done >= 0)
		return done;
	printf("%s\n", word(answer, "level"));
	json_decref(answer);
	return EXIT_OK;
}
