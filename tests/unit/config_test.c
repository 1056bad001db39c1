/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "base/util.h"
#include "route.h"
#include "t.h"

static const char base_text[] = "listeners:\n"
				"  - name: tls\n"
				"    address: \"[::]:8443\"\n"
				"    proxy_protocol: { from: [10.0.0.0/8] }\n"
				"    limits: { connections: 10000 }\n"
				"    routes:\n"
				"      - name: git\n"
				"        sni: [git.example.org, \"*.git.example.org\"]\n"
				"        backends: [\"10.0.0.5:443\", \"[::1]:443\"]\n"
				"        send_proxy: v2\n"
				"      - name: rest\n"
				"        sni: [\"*\"]\n"
				"        backends: [\"127.1:444\"]\n"
				"  - name: plain\n"
				"    address: \"0.0.0.0:8080\"\n"
				"    routes:\n"
				"      - { name: app, backends: [\"127.0.0.1:3000\"] }\n"
				"timeouts: { connect: 5s, hello: 250ms, idle: 4h }\n";

static char why[CONFIG_ERROR_MAX];

static void the_example_is_read(void)
{
	struct config *c = NULL;

	CHECK_INT(0, config_parse("x.yaml", base_text, sizeof(base_text) - 1, &c, why));
	if (!c)
		return;
	CHECK_INT(2, c->listeners_count);
	CHECK(c->listeners[0].tls && !c->listeners[1].tls);
	CHECK_INT(10000, c->listeners[0].limits.connections);
	CHECK_INT(PP_V2, c->listeners[0].routes[0].send_proxy);
	CHECK_INT(PP_NONE, c->listeners[1].routes[0].send_proxy);
	CHECK_INT(5000, c->timeouts.connect_ms);
	CHECK_INT(250, c->timeouts.hello_ms);
	CHECK_INT(30000, c->timeouts.drain_ms);
	CHECK_INT(65536, c->hello_bytes);
	CHECK_STR("nobody", c->user);
	config_put(c);
}

/* "127.1" is a name to us, and needs no resolver: getaddrinfo(3) reads it as inet_aton.
 */

/* The base text with `from` replaced by `to`; must fail and say all of `says`. */
struct wrong {
	const char *from, *to, *says;
};

static void wrong_values_are_refused_with_place_and_key(void)
{
	static const struct wrong cases[] = {
		{ "send_proxy: v2", "send_proxi: v2",
		  "x.yaml:10:9: Unexpected key: send_proxi" },
		{ "send_proxy: v2", "send_proxy: v3", "x.yaml:10:21: " },
		{ "connections: 10000", "connections: ten", "x.yaml:5:28: " },
		{ "connect: 5s", "connect: 5q", "x.yaml:18:22: timeouts.connect: '5q'" },
		{ "0.0.0.0:8080", "0.0.0.0:80800",
		  "x.yaml:15:14: listeners[1].address: " },
		{ "10.0.0.0/8", "10.0.0.1/8",
		  "x.yaml:4:30: listeners[0].proxy_protocol.from[0]: '10.0.0.1/8'" },
		{ "10.0.0.5:443", "10.0.0.5",
		  "listeners[0].routes[0].backends[0]: '10.0.0.5'" },
		{ "[::1]:443", "[::1:443", "listeners[0].routes[0].backends[1]" },
		{ "\"*.git.example.org\"", "git.example.org",
		  "is in route 'git' already" },
		{ "git.example.org,", "git_ex ample,", "listeners[0].routes[0].sni[0]" },
		{ "        sni: [\"*\"]\n", "", "route 'rest' has no 'sni'" },
		{ "name: plain", "name: tls",
		  "x.yaml:14:11: listeners[1].name: a second" },
		{ "name: plain", "name: 9plain", "listeners[1].name: '9plain'" },
		{ "    address: \"0.0.0.0:8080\"\n", "",
		  "Missing required mapping field: address" },
		{ "idle: 4h", "idle: 0s", "timeouts.idle" },
		{ "timeouts:", "hello_bytes: 1\ntimeouts:",
		  "x.yaml:18:14: hello_bytes: 1" },
		{ "    routes:\n", "    routes: [\n", "x.yaml:" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *at = strstr(base_text, cases[i].from);
		struct config *c = NULL;
		char text[2048];
		int n;

		n = snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - base_text),
			     base_text, cases[i].to, at + strlen(cases[i].from));
		CHECK_INT(-EINVAL, config_parse("x.yaml", text, (size_t)n, &c, why));
		CHECK(c == NULL);
		CHECK(strstr(why, cases[i].says));
		if (t_failed) {
			printf("# '%s' said: %s\n", cases[i].to, why);
			return;
		}
	}
}

static void nothing_at_all_is_refused(void)
{
	struct config *c = NULL;

	CHECK_INT(-EINVAL, config_parse("x.yaml", "", 0, &c, why));
	CHECK(strstr(why, "x.yaml:"));
	CHECK_INT(-EINVAL, config_parse("x.yaml", "a", 1, &c, why));
	CHECK_INT(-ENOENT, config_load("/nonexistent/x.yaml", &c, why));
	CHECK(strstr(why, "/nonexistent/x.yaml: cannot be read"));
}

static void names_choose_the_most_specific_route(void)
{
	struct config *c = NULL;
	struct listener *l;

	CHECK_INT(0, config_parse("x.yaml", base_text, sizeof(base_text) - 1, &c, why));
	if (!c)
		return;
	l = &c->listeners[0];
	CHECK_STR("git", route_by_name(l, "git.example.org")->name);
	CHECK_STR("git", route_by_name(l, "a.b.git.example.org")->name);
	CHECK_STR("rest", route_by_name(l, "xgit.example.org")->name);
	CHECK_STR("rest", route_by_name(l, "example.org")->name);
	CHECK_STR("rest", route_by_name(l, NULL)->name);
	l->routes_count = 1; /* without "*" nothing else is ever chosen */
	CHECK(route_by_name(l, "example.org") == NULL);
	CHECK(route_by_name(l, ".git.example.org") == NULL);
	CHECK(route_by_name(l, NULL) == NULL);
	l->routes_count = 2;
	config_put(c);
}

static void backends_take_turns(void)
{
	struct config *c = NULL;
	const struct addr *a;
	struct route *r;

	CHECK_INT(0, config_parse("x.yaml", base_text, sizeof(base_text) - 1, &c, why));
	if (!c)
		return;
	CHECK_INT(0, config_resolve(c, why));
	r = &c->listeners[0].routes[0];
	CHECK_STR("10.0.0.5:443", route_backend(r, &a)->name);
	CHECK_STR("[::1]:443", route_backend(r, &a)->name);
	CHECK_STR("10.0.0.5:443", route_backend(r, &a)->name);
	CHECK(c->listeners[0].routes[1].backends[0].addrs_n > 0); /* a name: resolved */
	config_put(c);
}

int main(void)
{
	RUN(the_example_is_read);
	RUN(wrong_values_are_refused_with_place_and_key);
	RUN(nothing_at_all_is_refused);
	RUN(names_choose_the_most_specific_route);
	RUN(backends_take_turns);
	DONE();
}
