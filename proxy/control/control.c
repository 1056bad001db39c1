/* SPDX-License-Identifier: Apache-2.0 */
/* The socket, what may be asked there, and the little that has no file of its own. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/rundir.h"
#include "base/util.h"
#include "base/version.h"
#include "control/control_own.h"

#define REST_MAX      128
#define PATH_MAX_TEXT 96

/* {x} is one step of a path, {x*} all that is left of it; the first that fits is asked.
 */
static const struct {
	const char *method, *path;
	control_fn *fn;
	const char *summary; /* for OpenAPI */
} endpoints[] = {
	{ "GET", "/v1/status", control_status, "The process and its listeners" },
	{ "GET", "/v1/config", control_get_config,
	  "The configuration in force, resolved, as YAML; ETag is its revision" },
	{ "PUT", "/v1/config", control_put_config,
	  "Another configuration (YAML or JSON), all of it" },
	{ "PATCH", "/v1/config", control_patch_part, "Change some of it (RFC 7396)" },
	{ "POST", "/v1/config/check", control_check_config,
	  "Check a configuration (YAML or JSON): 200, or 422 with all that is wrong" },
	{ "POST", "/v1/config/reload", control_reload_config,
	  "Read the file again; answers when it is in force, with what has changed; "
	  "dry_run=1 changes nothing" },
	{ "POST", "/v1/config/apply", control_apply,
	  "Take a file: what it has becomes so, what the API made beside it stays; prune=1, "
	  "take=1" },
	{ "GET", "/v1/config/{path*}", control_get_part,
	  "Any part, by keys, names and numbers of items" },
	{ "PUT", "/v1/config/{path*}", control_put_part,
	  "Make it so, whether it is there or not" },
	{ "PATCH", "/v1/config/{path*}", control_patch_part,
	  "Change some of it (RFC 7396)" },
	{ "DELETE", "/v1/config/{path*}", control_delete_part, "Remove it" },
	{ "GET", "/v1/listeners", control_get_part, "Listeners with their routes" },
	{ "POST", "/v1/listeners", control_add_part,
	  "One more; its name is in the body" },
	{ "GET", "/v1/listeners/{listener}", control_get_part, "One listener" },
	{ "PUT", "/v1/listeners/{listener}", control_put_part,
	  "Make it so, whether it is there or not" },
	{ "PATCH", "/v1/listeners/{listener}", control_patch_part,
	  "Change some of it (RFC 7396)" },
	{ "DELETE", "/v1/listeners/{listener}", control_delete_part, "Remove it" },
	{ "GET", "/v1/listeners/{listener}/routes", control_get_part, "Its routes" },
	{ "POST", "/v1/listeners/{listener}/routes", control_add_part,
	  "One more; its name is in the body" },
	{ "GET", "/v1/listeners/{listener}/routes/{route}", control_get_part,
	  "One route" },
	{ "PUT", "/v1/listeners/{listener}/routes/{route}", control_put_part,
	  "Make it so, whether it is there or not" },
	{ "PATCH", "/v1/listeners/{listener}/routes/{route}", control_patch_part,
	  "Change some of it (RFC 7396)" },
	{ "DELETE", "/v1/listeners/{listener}/routes/{route}", control_delete_part,
	  "Remove it" },
	{ "GET", "/v1/listeners/{listener}/routes/{route}/backends", control_get_part,
	  "Its backends" },
	{ "POST", "/v1/listeners/{listener}/routes/{route}/backends", control_add_part,
	  "One more; its name is in the body" },
	{ "GET", "/v1/listeners/{listener}/routes/{route}/backends/{backend*}",
	  control_get_part, "One backend" },
	{ "PUT", "/v1/listeners/{listener}/routes/{route}/backends/{backend*}",
	  control_put_part, "Make it so, whether it is there or not" },
	{ "PATCH", "/v1/listeners/{listener}/routes/{route}/backends/{backend*}",
	  control_patch_part, "Change some of it (RFC 7396)" },
	{ "DELETE", "/v1/listeners/{listener}/routes/{route}/backends/{backend*}",
	  control_delete_part, "Remove it" },
	{ "GET", "/v1/objects", control_list_objects,
	  "Listeners, routes, settings, and whether the file or the API has made them" },
	{ "GET", "/v1/revisions/{revision}", control_get_revision,
	  "What was in force then, as YAML" },
	{ "POST", "/v1/revisions/{revision}/restore", control_restore,
	  "Make it what is in force again, as a new revision" },
	{ "GET", "/v1/snapshot", control_snapshot, "The store, as a file of SQLite's" },
	{ "GET", "/v1/connections", control_list_connections,
	  "Connections that live, by listener, route, backend, client, state, id; limit" },
	{ "DELETE", "/v1/connections", control_kill_connections,
	  "End those that the same arguments name, of which one must be there; limit" },
	{ "GET", "/v1/connections/{id}", control_get_connection, "One connection" },
	{ "DELETE", "/v1/connections/{id}", control_kill_connection, "End it" },
	{ "GET", "/v1/backends", control_list_backends, "Backends and how they are" },
	{ "POST", "/v1/drain", control_drain,
	  "{listener, route, backend, drain}: nobody new goes to these, or again" },
	{ "GET", "/v1/log-level", control_get_level, "How much is logged" },
	{ "PUT", "/v1/log-level", control_set_level,
	  "{level}: error, warn, info or debug, until the process ends" },
	{ "GET", "/v1/changes", control_list_changes,
	  "Who changed what, the latest; after=NUMBER" },
	{ "GET", "/v1/openapi.json", control_get_openapi, "This list (OpenAPI 3.1)" },
};

/* --- the little --- */

void control_get_level(struct control *c, const struct server_request *r,
		       const char *rest, struct server_answer *ret)
{
	(void)c;
	(void)r;
	(void)rest;
	control_answer(ret, 200, json_pack("{s:s}", "level", log_level_name()));
}

void control_set_level(struct control *c, const struct server_request *r,
		       const char *rest, struct server_answer *ret)
{
	json_t *o = control_body(r, ret);
	const char *level = json_string_value(json_object_get(o, "level"));

	(void)rest;
	if (!o)
		return;
	if (!level || log_set_level(level) < 0) {
		control_problem(ret, 400, "bad-value",
				"level: is not error, warn, info or debug");
	} else {
		control_changed(c, r, true, "log-level %s", level);
		control_get_level(c, r, rest, ret);
	}
	json_decref(o);
}

void control_list_changes(struct control *c, const struct server_request *r,
			  const char *rest, struct server_answer *ret)
{
	const char *text = server_argument(r, "after");
	uint64_t after = 0;

	(void)rest;
	if (text && util_parse_u64(text, UINT64_MAX, &after) < 0)
		control_problem(ret, 400, "bad-value", "after: '%.40s' is not a number",
				text);
	else
		control_answer(
			ret, 200,
			json_pack("{s:o}", "changes", control_changes_json(c, after)));
}

/* Without the star, which is ours. */
static void name_path(const char *path, char ret[PATH_MAX_TEXT])
{
	size_t n = 0;

	for (; *path && n + 1 < PATH_MAX_TEXT; path++) {
		if (*path != '*')
			ret[n++] = *path;
	}
	ret[n] = '\0';
}

static json_t *parameters_json(const char *path)
{
	json_t *list = json_array();

	while ((path = strchr(path, '{'))) {
		size_t n = strcspn(++path, "*}");

		json_array_append_new(list, json_pack("{s:s%, s:s, s:b, s:{s:s}}", "name",
						      path, n, "in", "path", "required",
						      1, "schema", "type", "string"));
	}
	return list;
}

static json_t *operation_json(size_t i)
{
	json_t *o =
		json_pack("{s:s, s:{s:{s:s}, s:{s:s}}}", "summary", endpoints[i].summary,
			  "responses", "2XX", "description", "done", "default",
			  "description", "application/problem+json (RFC 9457)");

	if (strchr(endpoints[i].path, '{'))
		json_object_set_new(o, "parameters", parameters_json(endpoints[i].path));
	return o;
}

void control_get_openapi(struct control *c, const struct server_request *r,
			 const char *rest, struct server_answer *ret)
{
	json_t *paths = json_object();

	(void)c;
	(void)r;
	(void)rest;
	for (size_t i = 0; i < ARRAY_SIZE(endpoints); i++) {
		char path[PATH_MAX_TEXT], method[8] = "";
		json_t *item;

		name_path(endpoints[i].path, path);
		for (size_t k = 0; endpoints[i].method[k]; k++)
			method[k] = (char)(endpoints[i].method[k] | 0x20);
		item = json_object_get(paths, path);
		if (!item) {
			item = json_object();
			json_object_set_new(paths, path, item);
		}
		json_object_set_new(item, method, operation_json(i));
	}
	control_answer(ret, 200,
		       json_pack("{s:s, s:{s:s, s:s}, s:o}", "openapi", "3.1.0", "info",
				 "title", "Tollgate control", "version", TOLLGATE_VERSION,
				 "paths", paths));
}

/* --- who is asked --- */

/*
 * What stands for the first {x} of a path that fits, "" if it has none; NULL if it does
 * not fit.
 */
static const char *rest_of(const char *path, const char *pattern, char rest[REST_MAX])
{
	bool first = true;

	rest[0] = '\0';
	while (*pattern && *path) {
		size_t n;

		if (*pattern != '{') {
			if (*pattern++ != *path++)
				return NULL;
			continue;
		}
		n = pattern[strcspn(pattern, "*}")] == '*' ? strlen(path)
							   : strcspn(path, "/");
		if (first)
			(void)snprintf(rest, REST_MAX, "%.*s", (int)n, path);
		first = false;
		path += n;
		pattern += strcspn(pattern, "}") + 1;
		if (!n)
			return NULL;
	}
	return *pattern || *path ? NULL : rest;
}

/* Methods there are for the path, into `allow`; false if there are none. */
static bool list_methods(const char *path, char *allow, size_t cap)
{
	char rest[REST_MAX];
	size_t n = 0;

	allow[0] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(endpoints) && n < cap; i++) {
		if (rest_of(path, endpoints[i].path, rest) &&
		    !strstr(allow, endpoints[i].method))
			n += (size_t)snprintf(allow + n, cap - n, "%s%s", n ? ", " : "",
					      endpoints[i].method);
	}
	return n > 0;
}

static void on_request(void *arg, const struct server_request *r,
		       struct server_answer *ret)
{
	static char allow[64]; /* one thread */
	const char *method = strcmp(r->method, "HEAD") == 0 ? "GET" : r->method;
	char rest[REST_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(endpoints); i++) {
		if (!rest_of(r->path, endpoints[i].path, rest) ||
		    strcmp(method, endpoints[i].method) != 0)
			continue;
		endpoints[i].fn(arg, r, rest, ret);
		return;
	}
	if (list_methods(r->path, allow, sizeof(allow))) {
		ret->allow = allow;
		control_problem(ret, 405, "method-not-allowed", "there are: %s", allow);
	} else {
		control_problem(ret, 404, "no-such-path",
				"%.100s: is none; /v1/openapi.json lists them", r->path);
	}
}

/* --- the socket --- */

int control_listen(uint32_t load, pid_t pid)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	char path[RUNDIR_PATH];
	int fd, err = rundir_make(load, path);

	if (err)
		return err;
	rundir_control(load, pid, path);
	memcpy(name.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	(void)unlink(path); /* of a process that had this pid */
	if (bind(fd, (struct sockaddr *)&name, sizeof(name)) == 0 &&
	    chmod(path, 0600) == 0 && listen(fd, 16) == 0)
		return fd;
	err = -errno;
	close(fd);
	return err;
}

int control_open(const struct control_process *p, struct ev_loop *loop, int fd,
		 struct control **ret)
{
	struct control *c = calloc(1, sizeof(*c));
	int err;

	if (!c) {
		close(fd);
		return -ENOMEM;
	}
	c->process = *p;
	c->began = time(NULL);
	err = server_open(loop, fd, on_request, c, &c->server);
	if (err) {
		free(c);
		return err;
	}
	*ret = c;
	return 0;
}

void control_close(struct control *c)
{
	if (!c)
		return;
	server_close(c->server);
	document_free(&c->now);
	free(c);
}
