/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>

#include "backend/balance.h"
#include "backend/names.h"
#include "backend/target.h"
#include "base/util.h"
#include "config/match.h"
#include "config/schema.h"
#include "tests/unit/t.h"

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
	CHECK_INT(CONFIG_SEND_V2, c->listeners[0].routes[0].send_proxy);
	CHECK_INT(CONFIG_SEND_NONE, c->listeners[1].routes[0].send_proxy);
	CHECK_INT(5000, c->timeouts.connect_ms);
	CHECK_INT(250, c->timeouts.hello_ms);
	CHECK_INT(30000, c->timeouts.drain_ms);
	CHECK_INT(65536, c->hello_bytes);
	CHECK_STR("nobody", c->user);
	config_put(c);
}

/* The base text with `from` replaced by `to`; must fail and say all of `says`. */
struct wrong {
	const char *from, *to, *says;
};

static const struct wrong wrong_cases[] = {
	{ "send_proxy: v2", "send_proxi: v2",
	  "x.yaml:10:9: listeners[0].routes[0].send_proxi: is no key here; did you "
	  "mean 'send_proxy'?" },
	{ "send_proxy: v2", "send_proxy: v3", "x.yaml:10:21: " },
	{ "connections: 10000", "connections: ten", "x.yaml:5:28: " },
	{ "connect: 5s", "connect: 5q", "x.yaml:18:22: timeouts.connect: '5q'" },
	{ "0.0.0.0:8080", "0.0.0.0:80800", "x.yaml:15:14: listeners[1].address: " },
	{ "10.0.0.0/8", "10.0.0.1/8",
	  "x.yaml:4:30: listeners[0].proxy_protocol.from[0]: '10.0.0.1/8'" },
	{ "10.0.0.5:443", "10.0.0.5",
	  "listeners[0].routes[0].backends[0]: '10.0.0.5' has no port" },
	{ "[::1]:443", "[::1:443", "listeners[0].routes[0].backends[1]" },
	{ "\"*.git.example.org\"", "git.example.org", "is in an earlier route already" },
	{ "*.git.example.org", "~(x", "'~(x': missing closing parenthesis at" },
	{ "    routes:\n", "    fallback: none\n    routes:\n",
	  "listeners[0].fallback: there is no route 'none' here" },
	{ "git.example.org,", "git_ex ample,", "listeners[0].routes[0].sni[0]" },
	{ "        sni: [\"*\"]\n", "", "route 'rest' has no 'sni'" },
	{ "name: plain", "name: tls", "x.yaml:14:11: listeners[1].name: a second" },
	{ "name: plain", "name: 9plain", "listeners[1].name: '9plain'" },
	{ "    address: \"0.0.0.0:8080\"\n", "",
	  "x.yaml:14:5: listeners[1]: 'address' is missing" },
	{ "10.0.0.5:443", "10.0.0.5:443 weight=257",
	  "'weight=257' is not weight=0 to 256" },
	{ "[::1]:443", "10.0.0.5:443", "'10.0.0.5:443' is here already" },
	{ "send_proxy: v2", "health: { interval: 1x }", "health.interval: '1x'" },
	{ "send_proxy: v2", "balance: best", "x.yaml:10:18: " },
	{ "timeouts:", "dns: { servers: [a] }\ntimeouts:", "dns.servers[0]: 'a'" },
	{ "idle: 4h", "idle: 0s", "timeouts.idle" },
	{ "timeouts:", "hello_bytes: 1\ntimeouts:", "x.yaml:18:14: hello_bytes: 1" },
	{ "send_proxy: v2", "tls: terminate",
	  "routes[0].tls: the listener has no 'certificates'" },
	{ "send_proxy: v2", "min_version: \"1.3\"",
	  "min_version: is for routes whose TLS ends here" },
	{ "send_proxy: v2", "groups: X25519", "groups: is for routes whose" },
	{ "send_proxy: v2", "tls: ends", "x.yaml:10:14: " },
	{ "send_proxy: v2", "client_certificates: { ca: /x.pem }",
	  "client_certificates: is for routes whose TLS ends here" },
	{ "send_proxy: v2", "backend_tls: { insecure: true }",
	  "backend_tls: is for routes with tls: reencrypt" },
	{ "timeouts:", "timeouts: { handshake: 0s }\ntimeouts:", "x.yaml:" },
	{ "timeouts:", "access_log: /x\ntimeouts:",
	  "access_log: '/x' is no value for it: it has keys of its own (file, format" },
	{ "timeouts:", "access_log: { file: /x, max_bytes: 1 }\ntimeouts:",
	  "access_log: max_bytes: 1 is less than 65536" },
	{ "    routes:\n", "    routes: [\n", "x.yaml:" },
};

static void wrong_values_are_refused_with_place_and_key(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(wrong_cases); i++) {
		const char *at = strstr(base_text, wrong_cases[i].from);
		struct config *c = NULL;
		char text[2048];
		int n;

		n = snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - base_text),
			     base_text, wrong_cases[i].to,
			     at + strlen(wrong_cases[i].from));
		CHECK_INT(-EINVAL, config_parse("x.yaml", text, (size_t)n, &c, why));
		CHECK(c == NULL);
		CHECK(strstr(why, wrong_cases[i].says));
		if (t_failed) {
			printf("# '%s' said: %s\n", wrong_cases[i].to, why);
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

static const char routes_text[] =
	"listeners:\n"
	"  - name: tls\n"
	"    address: \"[::]:8443\"\n"
	"    fallback: last\n"
	"    routes:\n"
	"      - { name: any, sni: [\"*\"], backends: [\"1.1.1.1:1\"] }\n"
	"      - { name: tail, sni: [\"*.example.org\"], backends: [\"1.1.1.1:1\"] }\n"
	"      - { name: long, sni: [\"*.a.example.org\"], backends: [\"1.1.1.1:1\"] }\n"
	"      - { name: exact, sni: [x.a.example.org], backends: [\"1.1.1.1:1\"] }\n"
	"      - { name: digits, sni: [\"~n[0-9]+\\\\.test\"], backends: [\"1.1.1.1:1\"] }\n"
	"      - { name: mail, sni: [\"*.example.org\"], alpn: [smtp, imap],\n"
	"          backends: [\"1.1.1.1:1\"] }\n"
	"      - { name: office, sni: [\"*.example.org\"], from: [10.0.0.0/8],\n"
	"          backends: [\"1.1.1.1:1\"] }\n"
	"      - { name: room, sni: [\"*.example.org\"], from: [10.1.0.0/16],\n"
	"          backends: [\"1.1.1.1:1\"] }\n"
	"      - { name: first, sni: [\"*.prior.example.org\"], priority: 5,\n"
	"          backends: [\"1.1.1.1:1\"] }\n"
	"      - { name: second, sni: [x.prior.example.org], backends: [\"1.1.1.1:1\"] }\n"
	"      - { name: last, backends: [\"1.1.1.1:1\"] }\n";

static const char *chosen(const struct listener *l, const char *sni, const char *alpn,
			  const char *from)
{
	struct hello h = { .has_sni = sni != NULL };
	struct addr client = { 0 };
	bool undecided = false;
	struct route *r;

	(void)addr_parse(from, &client);
	if (sni)
		(void)snprintf(h.sni, sizeof(h.sni), "%s", sni);
	if (alpn) {
		h.alpn[0] = (uint8_t)strlen(alpn);
		memcpy(h.alpn + 1, alpn, strlen(alpn));
		h.alpn_len = (uint8_t)(1 + strlen(alpn));
	}
	r = route_find(l, &h, &client, &undecided);
	return undecided ? "undecided" : r ? r->name : "none";
}

static void the_most_specific_route_is_chosen(void)
{
	static const struct {
		const char *sni, *alpn, *from, *want;
	} cases[] = {
		{ "x.a.example.org", NULL, "1.2.3.4:5", "exact" },
		{ "y.a.example.org", NULL, "1.2.3.4:5", "long" },
		{ "z.y.a.example.org", NULL, "1.2.3.4:5", "long" },
		{ "a.example.org", NULL, "1.2.3.4:5", "tail" },
		{ "example.org", NULL, "1.2.3.4:5", "any" },
		{ ".example.org", NULL, "1.2.3.4:5", "any" },
		{ "xexample.org", NULL, "1.2.3.4:5", "any" },
		{ NULL, NULL, "1.2.3.4:5", "any" },
		{ "n42.test", NULL, "1.2.3.4:5", "digits" },
		{ "n42.testing", NULL, "1.2.3.4:5", "any" },
		{ "xn42.test", NULL, "1.2.3.4:5", "any" },
		{ "m.example.org", "smtp", "1.2.3.4:5", "mail" },
		{ "m.example.org", "imap", "1.2.3.4:5", "mail" },
		{ "m.example.org", "smtps", "1.2.3.4:5", "tail" },
		{ "m.example.org", NULL, "10.2.0.1:5", "office" },
		{ "m.example.org", NULL, "10.1.0.1:5", "room" },
		{ "m.example.org", "smtp", "10.1.0.1:5", "room" },
		{ "x.prior.example.org", NULL, "1.2.3.4:5", "first" },
	};
	struct config *c = NULL;
	size_t n = sizeof(routes_text) - 1;

	CHECK_INT(0, config_parse("x.yaml", routes_text, n, &c, why));
	if (!c) {
		printf("# %s\n", why);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CHECK_STR(cases[i].want, chosen(&c->listeners[0], cases[i].sni,
						cases[i].alpn, cases[i].from));
		if (t_failed) {
			printf("# case %zu\n", i);
			break;
		}
	}
	CHECK_STR("last", c->listeners[0].fallback_route->name);
	config_put(c);
}

/* Catastrophic for a search without bounds; the name is as long as one may be. */
static void expressions_are_bounded(void)
{
	static const char text[] =
		"listeners: [{ name: a, address: \"[::]:1\", routes: [\n"
		"  { name: r, sni: [\"~(a+)+b\"], backends: [\"1.1.1.1:1\"] }]}]\n";
	struct config *c = NULL;
	char name[HELLO_NAME_MAX + 1];

	CHECK_INT(0, config_parse("x.yaml", text, sizeof(text) - 1, &c, why));
	if (!c)
		return;
	memset(name, 'a', sizeof(name) - 1);
	name[sizeof(name) - 1] = 0;
	CHECK_STR("undecided", chosen(&c->listeners[0], name, NULL, "1.2.3.4:5"));
	CHECK_STR("r", chosen(&c->listeners[0], "aaab", NULL, "1.2.3.4:5"));
	config_put(c);
}

/* %d: priorities that come to their bounds, before and behind one that matches. */
static void only_what_goes_before_leaves_a_route_undecided(void)
{
	static const char format[] =
		"listeners: [{ name: a, address: \"[::]:1\", routes: [\n"
		"  { name: h1, priority: %d, sni: [\"~(a+)+b\"], backends: [\"1.1.1.1:1\"] },\n"
		"  { name: r, priority: 5, sni: [\"~^a+$\"], backends: [\"1.1.1.1:1\"] },\n"
		"  { name: h2, priority: %d, sni: [\"~(a+)+c\"], backends: [\"1.1.1.1:1\"] }]}]\n";
	static const struct {
		int first, last;
		const char *want;
	} cases[] = {
		{ 0, 0, "r" },	       { 9, 0, "undecided" }, { 0, 9, "undecided" },
		{ 5, 0, "undecided" }, { 0, 5, "r" },	      { 9, 9, "undecided" }
	};
	char name[HELLO_NAME_MAX + 1], text[1024];

	memset(name, 'a', sizeof(name) - 1);
	name[sizeof(name) - 1] = 0;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct config *c = NULL;
		int n = snprintf(text, sizeof(text), format, cases[i].first,
				 cases[i].last);

		CHECK_INT(0, config_parse("x.yaml", text, (size_t)n, &c, why));
		if (c)
			CHECK_STR(cases[i].want,
				  chosen(&c->listeners[0], name, NULL, "1.2.3.4:5"));
		config_put(c);
	}
}

static void without_a_star_nothing_else_is_chosen(void)
{
	struct config *c = NULL;
	char text[2048];
	const char *at = strstr(base_text, "      - name: rest");
	const char *end = strstr(base_text, "  - name: plain");
	int n = snprintf(text, sizeof(text), "%.*s%s", (int)(at - base_text), base_text,
			 end);

	CHECK_INT(0, config_parse("x.yaml", text, (size_t)n, &c, why));
	if (!c)
		return;
	CHECK_STR("git", chosen(&c->listeners[0], "git.example.org", NULL, "[::1]:5"));
	CHECK_STR("none", chosen(&c->listeners[0], "example.org", NULL, "[::1]:5"));
	CHECK_STR("none", chosen(&c->listeners[0], NULL, NULL, "[::1]:5"));
	CHECK(c->listeners[0].fallback_route == NULL);
	config_put(c);
}

static const char backends_text[] =
	"listeners: [{ name: a, address: \"[::]:1\", routes: [\n"
	"  { name: r, balance: %s, backends: [\"10.0.0.1:1 weight=3\", \"10.0.0.2:1\",\n"
	"    \"10.0.0.3:1 limit=1\", \"10.0.0.4:1 backup\", \"10.0.0.5:1 drain\"] }]}]\n";

static int64_t when = 1000; /* what happened to targets stays */

static struct config *balanced(const char *how)
{
	struct config *c = NULL;
	char text[1024];
	int n = snprintf(text, sizeof(text), backends_text, how);

	CHECK_INT(0, config_parse("x.yaml", text, (size_t)n, &c, why));
	if (c)
		CHECK_INT(0, names_resolve(c));
	else
		printf("# %s\n", why);
	return c;
}

/* How often each backend is chosen in n connections that end at once. */
static void count_choices(struct route *r, const struct addr *client, unsigned n,
			  uint64_t tried, unsigned ret[5])
{
	memset(ret, 0, 5 * sizeof(*ret));
	for (unsigned i = 0, b; i < n; i++) {
		if (balance_choose(r, &(struct balance_by){ .client = client }, tried,
				   when, &b) != BALANCE_CHOSEN)
			continue;
		ret[b]++;
		target_release(r->backends[b].target);
	}
}

static void backends_take_turns_by_weight(void)
{
	struct config *c = balanced("round_robin");
	struct addr client = { 0 };
	unsigned n[5], b;

	if (!c)
		return;
	count_choices(&c->listeners[0].routes[0], &client, 500, 0, n);
	CHECK_INT(300, n[0]);
	CHECK_INT(100, n[1]);
	CHECK_INT(100, n[2]);
	CHECK_INT(0, n[3] + n[4]); /* the backup, and who drains */
	count_choices(&c->listeners[0].routes[0], &client, 40, 7, n);
	CHECK_INT(40, n[3]); /* the backup when all others were tried */
	CHECK_INT(BALANCE_NONE, balance_choose(&c->listeners[0].routes[0],
					       &(struct balance_by){ .client = &client },
					       15, 1000, &b));
	config_put(c);
}

static void limits_and_failures_are_kept(void)
{
	struct config *c = balanced("least_connections");
	struct addr client = { 0 }, at[TARGET_ADDRS_MAX];
	struct route *r;
	unsigned n[5], b;

	if (!c)
		return;
	r = &c->listeners[0].routes[0];
	/* only the third is left, with one place */
	CHECK_INT(BALANCE_CHOSEN,
		  balance_choose(r, &(struct balance_by){ .client = &client }, 11, 1000,
				 &b));
	CHECK_INT(2, b);
	CHECK_INT(BALANCE_FULL,
		  balance_choose(r, &(struct balance_by){ .client = &client }, 11, 1000,
				 &b));
	target_release(r->backends[2].target);
	/* the fewest connections by weight: 3 to 1 to 1 */
	for (int i = 0; i < 5; i++)
		CHECK_INT(BALANCE_CHOSEN,
			  balance_choose(r, &(struct balance_by){ .client = &client }, 0,
					 1000, &b));
	CHECK_INT(3, target_active(r->backends[0].target));
	CHECK_INT(1, target_active(r->backends[1].target));
	for (int i = 0; i < 3; i++)
		target_release(r->backends[0].target);
	target_release(r->backends[1].target);
	target_release(r->backends[2].target);
	/* ejected after two failures, back in time, and taken all the same when alone */
	target_failed(r->backends[0].target, 2, 5000, 1000);
	CHECK(!target_is_ejected(r->backends[0].target, 1000));
	target_failed(r->backends[0].target, 2, 5000, 1000);
	count_choices(r, &client, 10, 0, n);
	CHECK_INT(0, n[0]);
	count_choices(r, &client, 10, 14, n);
	CHECK_INT(10, n[0]);
	CHECK(!target_is_ejected(r->backends[0].target, 6000));
	/* down by its checks: not even then */
	CHECK(target_addresses(r->backends[0].target, at) == 1);
	CHECK(target_checked(r->backends[0].target, &at[0], false, 1, 1, 1000));
	CHECK_INT(BALANCE_NONE,
		  balance_choose(r, &(struct balance_by){ .client = &client }, 14, 1000,
				 &b));
	CHECK(target_checked(r->backends[0].target, &at[0], true, 1, 1, 10000));
	CHECK_INT(512, target_warmth(r->backends[0].target, 1000, 10500));
	CHECK_INT(1024, target_warmth(r->backends[0].target, 1000, 11000));
	config_put(c);
}

/* A client stays with its backend; of one that goes, only its clients move. */
static void a_source_stays_with_its_backend(void)
{
	struct config *c = balanced("source_hash");
	unsigned stayed = 0, moved = 0, first[5] = { 0 };

	if (!c)
		return;
	when = 100000;
	for (unsigned i = 0; i < 1000; i++) {
		struct addr client = { .ip = { [10] = 0xff,
					       [11] = 0xff,
					       [12] = 10,
					       [14] = (uint8_t)(i >> 8),
					       [15] = (uint8_t)i } };
		struct route *r = &c->listeners[0].routes[0];
		unsigned a, b, d;

		CHECK_INT(BALANCE_CHOSEN,
			  balance_choose(r, &(struct balance_by){ .client = &client }, 0,
					 when, &a));
		target_release(r->backends[a].target);
		CHECK_INT(BALANCE_CHOSEN,
			  balance_choose(r, &(struct balance_by){ .client = &client }, 0,
					 when, &b));
		target_release(r->backends[b].target);
		CHECK_INT(a, b);
		CHECK_INT(BALANCE_CHOSEN,
			  balance_choose(r, &(struct balance_by){ .client = &client }, 2,
					 when, &d));
		target_release(r->backends[d].target);
		first[a]++;
		stayed += a == d;
		moved += a != d;
	}
	CHECK_INT(first[1], moved);
	CHECK_INT(1000 - first[1], stayed);
	CHECK(first[0] > 500 && first[0] < 700); /* weight 3 of 5 */
	CHECK(first[1] > 130 && first[1] < 270);
	config_put(c);
}

static void random_of_two_prefers_the_lighter(void)
{
	struct config *c = balanced("random");
	struct addr client = { 0 };
	unsigned n[5];

	if (!c)
		return;
	when = 100000;
	for (int i = 0; i < 300; i++)
		CHECK(target_take(c->listeners[0].routes[0].backends[0].target, 0));
	count_choices(&c->listeners[0].routes[0], &client, 300, 0, n);
	/* the loaded one is chosen only against itself, which never is */
	CHECK_INT(0, n[0]);
	CHECK(n[1] > 60 && n[2] > 60);
	for (int i = 0; i < 300; i++)
		target_release(c->listeners[0].routes[0].backends[0].target);
	config_put(c);
}

static void names_of_backends_are_looked_up_later(void)
{
	struct config *c = NULL;
	struct addr a[TARGET_ADDRS_MAX];

	CHECK_INT(0, config_parse("x.yaml", base_text, sizeof(base_text) - 1, &c, why));
	if (!c)
		return;
	CHECK_INT(0, names_resolve(c));
	/* "127.1" is a name to us: nothing here waits for a resolver */
	CHECK_INT(0, target_addresses(c->listeners[0].routes[1].backends[0].target, a));
	CHECK_INT(1, target_addresses(c->listeners[0].routes[0].backends[0].target, a));
	config_put(c);
}

struct manual {
	char *text;
	unsigned keys;
};

/* In bold, as .B or .BR has it. */
static void is_in_manual(const char *key, void *arg)
{
	struct manual *m = arg;
	char line[64], start[64];

	(void)snprintf(line, sizeof(line), "\n.B %s\n", key);
	(void)snprintf(start, sizeof(start), "\n.BR %s ", key);
	if (!strstr(m->text, line) && !strstr(m->text, start)) {
		printf("# %s\n", key);
		CHECK(false);
	}
	m->keys++;
}

static void the_manual_explains_every_key(void)
{
	struct manual m = { .keys = 0 };
	size_t len;

	CHECK_INT(0, util_read_file("proxy/config/tollgate.yaml.5", 1u << 20, &m.text,
				    &len));
	if (!m.text)
		return;
	schema_each_key(is_in_manual, &m);
	CHECK(m.keys > 60);
	free(m.text);
}

static void who_is_wanted_and_what_is_alike(void)
{
	struct config *c = balanced("round_robin");
	const struct addr client = { 0 };
	unsigned n[5] = { 0 }, first, b, i;
	struct balance_by by = { .client = &client, .keyed = true };
	struct route *r;

	if (!c)
		return;
	r = &c->listeners[0].routes[0];
	for (by.key = 0; by.key < 1000; by.key++) {
		CHECK_INT(BALANCE_CHOSEN, balance_choose(r, &by, 0, when, &first));
		target_release(r->backends[first].target);
		n[first]++;
		for (i = 0; i < 3; i++) {
			CHECK_INT(BALANCE_CHOSEN, balance_choose(r, &by, 0, when, &b));
			target_release(r->backends[b].target);
			CHECK_INT(first, b);
		}
	}
	/* by weight, 3 to 1 to 1 */
	CHECK(n[0] > 540 && n[0] < 660 && n[1] > 150 && n[2] > 150 && n[3] + n[4] == 0);
	/* one that drains; the backup when all others were tried; nor what there is not
	 */
	by.wanted = 5;
	CHECK_INT(BALANCE_CHOSEN, balance_choose(r, &by, 0, when, &b));
	CHECK_INT(4, b);
	target_release(r->backends[b].target);
	by.wanted = 4;
	CHECK_INT(BALANCE_CHOSEN, balance_choose(r, &by, 0, when, &b));
	CHECK(b < 3);
	target_release(r->backends[b].target);
	CHECK_INT(BALANCE_CHOSEN, balance_choose(r, &by, 7, when, &b));
	CHECK_INT(3, b);
	target_release(r->backends[b].target);
	by.wanted = 2;
	CHECK_INT(BALANCE_CHOSEN, balance_choose(r, &by, 2, when, &b));
	CHECK(b != 1);
	target_release(r->backends[b].target);
	by.wanted = 64;
	CHECK_INT(BALANCE_CHOSEN, balance_choose(r, &by, 0, when, &b));
	target_release(r->backends[b].target);
	config_put(c);
}

int main(void)
{
	RUN(who_is_wanted_and_what_is_alike);
	RUN(the_manual_explains_every_key);
	RUN(the_example_is_read);
	RUN(wrong_values_are_refused_with_place_and_key);
	RUN(nothing_at_all_is_refused);
	RUN(the_most_specific_route_is_chosen);
	RUN(expressions_are_bounded);
	RUN(only_what_goes_before_leaves_a_route_undecided);
	RUN(without_a_star_nothing_else_is_chosen);
	RUN(backends_take_turns_by_weight);
	RUN(limits_and_failures_are_kept);
	RUN(a_source_stays_with_its_backend);
	RUN(random_of_two_prefers_the_lighter);
	RUN(names_of_backends_are_looked_up_later);
	DONE();
}
