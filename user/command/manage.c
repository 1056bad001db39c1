/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/util.h"
#include "command/answer.h"
#include "command/ask.h"
#include "command/manage.h"
#include "command/options.h"

/* --- the configuration --- */

int cmd_reload(struct options *o)
{
	json_t *answer;
	int done = answer_ask(o, "POST",
			      o->dry_run ? "/v1/config/reload?dry_run=1"
					 : "/v1/config/reload",
			      NULL, &answer);

	if (done >= 0)
		return done;
	answer_changes(answer, o->dry_run, "to the file");
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
	       answer_word(c, "id"), answer_word(c, "client"), answer_word(c, "state"),
	       json_number_value(json_object_get(c, "age_seconds")),
	       util_format_bytes((uint64_t)answer_number(c, "rx_bytes"), rx),
	       util_format_bytes((uint64_t)answer_number(c, "tx_bytes"), tx),
	       answer_word(c, "listener"), answer_word(c, "route")[0] ? "/" : "",
	       answer_word(c, "route"), answer_word(c, "backend")[0] ? " -> " : "",
	       answer_word(c, "backend"), answer_word(c, "server_name")[0] ? " " : "",
	       answer_word(c, "server_name"));
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
	done = answer_ask(o, "GET", path, NULL, &answer);
	if (done >= 0)
		return done;
	list = json_object_get(answer, "connections");
	json_array_foreach(list, i, c)
	{
		print_connection(c);
	}
	if ((size_t)answer_number(answer, "matched") > json_array_size(list))
		printf("%lld of them; --limit shows more\n",
		       answer_number(answer, "matched"));
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
	n = answer_number(answer, "killed");
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
		return answer_exit((int)n);
	if (o->json)
		printf("{\"killed\": %lld}\n", n);
	else
		printf("%lld connection%s ended\n", n, n == 1 ? "" : "s");
	return n ? EXIT_OK : EXIT_BAD;
}

/* --- backends --- */

static void print_backend(const json_t *b)
{
	const char *drained = answer_word(b, "drained");

	printf("%-32s %s/%s: %s%s%s, %lld connection%s%s%s%s\n",
	       answer_word(b, "backend"), answer_word(b, "listener"),
	       answer_word(b, "route"),
	       json_is_true(json_object_get(b, "up")) ? "up" : "down",
	       json_is_true(json_object_get(b, "ejected")) ? ", ejected" : "",
	       json_is_true(json_object_get(b, "has_address")) ? "" : ", no address",
	       answer_number(b, "connections"),
	       answer_number(b, "connections") == 1 ? "" : "s",
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
	int done = answer_ask(o, "GET", "/v1/backends", NULL, &answer);

	if (done >= 0)
		return done;
	json_array_foreach(json_object_get(answer, "backends"), i, b)
	{
		if ((o->flows.listener &&
		     strcmp(o->flows.listener, answer_word(b, "listener")) != 0) ||
		    (o->flows.route &&
		     strcmp(o->flows.route, answer_word(b, "route")) != 0))
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
		return answer_exit(err);
	if (!on && answer_number(answer, "drained_by_file"))
		log_warn("%lld of them are drained by the file, too, and stay so",
			 answer_number(answer, "drained_by_file"));
	if (o->json)
		return answer_json(answer);
	printf("%lld backend%s, %lld changed\n", answer_number(answer, "matched"),
	       answer_number(answer, "matched") == 1 ? "" : "s",
	       answer_number(answer, "changed"));
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
	time_t at = (time_t)answer_number(c, "at");
	char when[32] = "";
	struct tm tm;

	if (localtime_r(&at, &tm))
		(void)strftime(when, sizeof(when), "%F %T", &tm);
	printf("%lld %s uid %lld %s (pid %lld): %s%s%s%s", answer_number(c, "number"),
	       when, answer_number(c, "uid"), answer_word(c, "program"),
	       answer_number(c, "pid"), answer_word(c, "what"),
	       json_is_true(json_object_get(c, "done")) ? "" : ": refused",
	       answer_word(c, "message")[0] ? ": " : "", answer_word(c, "message"));
	if (answer_number(c, "revision"))
		printf(" (revision %lld)", answer_number(c, "revision"));
	putchar('\n');
}

int cmd_changes(struct options *o)
{
	size_t i;
	json_t *answer, *c;
	int done = answer_ask(o, "GET", "/v1/changes", NULL, &answer);

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
	int done = answer_ask(o, body ? "PUT" : "GET", "/v1/log-level", body, &answer);

	json_decref(body);
	if (done >= 0)
		return done;
	printf("%s\n", answer_word(answer, "level"));
	json_decref(answer);
	return EXIT_OK;
}
