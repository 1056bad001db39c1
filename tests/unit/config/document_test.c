/* SPDX-License-Identifier: Apache-2.0 */
/* What a file is with those it includes, the environment, and its defaults. */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "config/config.h"
#include "config/diff.h"
#include "config/faults.h"
#include "config/http.h"
#include "tests/unit/t.h"

static char folder[] = "/tmp/tollgate-document.XXXXXX";

static void put_file(const char *name, const char *text)
{
	char path[256];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	f = fopen(path, "w");
	CHECK(f && fputs(text, f) >= 0);
	if (f)
		fclose(f);
}

/* "main.yaml" of the folder; what is wrong is printed. */
static struct config *read_main(const char *text, char **resolved)
{
	struct faults f = { .n = 0 };
	struct config *c = NULL;
	char path[256], line[CONFIG_ERROR_MAX];

	put_file("main.yaml", text);
	(void)snprintf(path, sizeof(path), "%s/main.yaml", folder);
	CHECK_INT(0, config_read_file(path, &c, resolved, &f));
	for (unsigned i = 0; i < f.n; i++) {
		fault_format(&f.list[i], line, sizeof(line));
		printf("# %s\n", line);
	}
	faults_free(&f);
	return c;
}

static const char main_text[] =
	"include: more.yaml\n"
	"hello_bytes: 64k\n"
	"defaults:\n"
	"  retries: 7\n"
	"  slow_start: 1m30s\n"
	"  send_proxy: v2\n"
	"  http: { body_bytes: 2MB, pool: 3, retry_budget: 5, cors: { origins: [\"*\"], methods: [GET] } }\n"
	"listeners:\n"
	"  - name: web\n"
	"    address: \"{$TOLLGATE_HOST:0.0.0.0}:{$TOLLGATE_PORT}\"\n"
	"    include: [\"sites/*.yaml\", none*.yaml]\n"
	"    http: { via: on, forwarded: no }\n"
	"    routes:\n"
	"      - { name: own, http: { path: [/own], pool: 9, cors: { origins: [\"https://a\"] } },\n"
	"          backends: [\"10.0.0.1:80\"], retries: 1 }\n"
	"      - { name: here, http: { path: [/here], respond: { body: \"{$$ not {$$} {$$NAME}\" } } }\n";

static void make_files(void)
{
	char sites[256];

	(void)snprintf(sites, sizeof(sites), "%s/sites", folder);
	(void)mkdir(sites, 0700);
	put_file("sites/b.yaml", "routes: [{ name: b, http: { path: [/b] }, backends: "
				 "[\"10.0.0.2:80\"] }]\n");
	put_file("sites/a.yaml", "include: under/*.yaml\nroutes: [{ name: a, http: { "
				 "path: [/a] }, backends: [\"10.0.0.3:80\"] }]\n");
	(void)snprintf(sites, sizeof(sites), "%s/sites/under", folder);
	(void)mkdir(sites, 0700);
	put_file("sites/under/c.yaml", "routes: [{ name: c, http: { path: [/c] }, "
				       "backends: [\"10.0.0.4:80\"] }]\n");
	put_file("more.yaml", "timeouts: { idle: 1h }\n"
			      "listeners: [{ name: tcp, address: \"0.0.0.0:9\", routes: "
			      "[{ name: t, backends: [\"10.0.0.5:80\"] }] }]\n");
	(void)setenv("TOLLGATE_PORT", "8080", 1);
	(void)unsetenv("TOLLGATE_HOST");
}

static void check_routes(const struct config *c)
{
	static const char *const names[] = { "own", "here", "a", "c", "b" };
	const struct listener *l = &c->listeners[0];

	CHECK_INT(5, l->routes_count);
	for (unsigned i = 0; i < 5 && i < l->routes_count; i++) {
		const struct route *r = &l->routes[i];
		bool is_own = i == 0, answers = i == 1;

		CHECK_STR(names[i], r->name);
		CHECK_INT(is_own ? 1 : answers ? 2 : 7, r->retries_max);
		CHECK_INT(answers ? 0 : 90000, r->slow_start_ms);
		/* a pool of its own, and a header for each connection: not both */
		CHECK_INT(answers || is_own ? CONFIG_SEND_NONE : CONFIG_SEND_V2,
			  r->send_proxy);
		CHECK_INT(is_own ? 9 : HTTP_POOL_DEFAULT, r->http->pool_max);
		CHECK_INT(2000000, r->http->body_bytes);
		CHECK_STR(is_own ? "https://a" : "*", r->http->cors->origins[0]);
		CHECK_STR("GET", r->http->cors->methods[0]);
	}
	CHECK_STR("{$ not {$} {$NAME}", l->routes[1].http->respond->body);
}

static void check_config(const struct config *c)
{
	CHECK_INT(65536, c->hello_bytes);
	CHECK_INT(3600000, c->timeouts.idle_ms);
	CHECK_INT(2, c->listeners_count);
	CHECK_STR("0.0.0.0:8080", c->listeners[0].address);
	CHECK_STR("tcp", c->listeners[1].name);
	CHECK(c->listeners[0].http->via && !c->listeners[0].http->forwarded);
	CHECK_INT(7, c->listeners[1].routes[0].retries_max);
	check_routes(c);
}

/* pool and send_proxy do not go together: the defaults of one of the tests have no pool
 */
static void files_variables_and_defaults_are_put_in(void)
{
	char *resolved = NULL, *again = NULL;
	struct config *c;

	make_files();
	c = read_main(main_text, &resolved);
	if (!c)
		return;
	check_config(c);
	config_put(c);
	/* what is resolved needs none of that, and means the same */
	CHECK(!strstr(resolved, "include") && !strstr(resolved, "defaults"));
	(void)unsetenv("TOLLGATE_PORT");
	put_file("more.yaml", "no");
	c = read_main(resolved, &again);
	if (c) {
		check_config(c);
		CHECK_STR(resolved, again);
	}
	config_put(c);
	free(resolved);
	free(again);
}

struct told {
	char text[2048];
	size_t n;
};

static void tell(enum diff_kind kind, const char *path, const struct node *before,
		 const struct node *after, void *arg)
{
	struct told *t = arg;

	(void)before;
	(void)after;
	t->n += (size_t)snprintf(t->text + t->n, sizeof(t->text) - t->n, "%c %s\n",
				 "+-~o"[kind], path);
}

static void check_diff(const char *before, const char *after, const char *want)
{
	struct faults f = { .n = 0 };
	struct document a, b;
	struct told t = { .n = 0 };

	CHECK_INT(0, document_read(&a, "a", before, strlen(before), &f));
	CHECK_INT(0, document_read(&b, "b", after, strlen(after), &f));
	(void)diff_documents(&a, &b, tell, &t);
	t.text[t.n] = '\0';
	CHECK_STR(want, t.text);
	document_free(&a);
	document_free(&b);
	faults_free(&f);
}

static void what_is_different_is_told_by_name(void)
{
	check_diff("{a: 1, b: [x, y], l: [{name: p, k: 1}, {name: q}]}",
		   "{l: [{name: p, k: 1}, {name: q}], b: [x, y], a: 1}", "");
	check_diff("{a: 1, b: [x, y]}", "{a: 2, b: [y, x], c: 3}", "~ a\n~ b\n+ c\n");
	check_diff("{l: [{name: p, k: 1}, {name: q, k: 1}, {name: r}]}",
		   "{l: [{name: q, k: 2}, {name: s}, {name: p, k: 1}]}",
		   "~ l[q].k\n- l[r]\n+ l[s]\no l\n");
	check_diff("{l: [{k: 1}]}", "{l: [{k: 2}]}", "~ l\n");
	check_diff("{m: {a: {b: 1}}}", "{m: {a: {b: 1, c: 2}}}", "+ m.a.c\n");
	check_diff("{m: 1}", "{m: {a: 1}}", "~ m\n");
	check_diff("{m: [a]}", "{}", "- m\n");
}

static void clean_up(void)
{
	static const char *const names[] = {
		"main.yaml",	      "more.yaml",   "sites/a.yaml", "sites/b.yaml",
		"sites/under/c.yaml", "sites/under", "sites",	     ""
	};
	char path[256];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		(void)remove(path);
	}
}

int main(void)
{
	if (!mkdtemp(folder))
		return 1;
	RUN(files_variables_and_defaults_are_put_in);
	RUN(what_is_different_is_told_by_name);
	clean_up();
	DONE();
}
