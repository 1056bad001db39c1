/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configuration: libcyaml maps the file onto the structs by the tables below; what a
 * schema cannot say is checked afterwards (check.c).  The only file that includes
 * libcyaml.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cyaml/cyaml.h>

#include "backend/target.h"
#include "base/util.h"
#include "config/match.h"
#include "config/pattern.h"
#include "config/where.h"

/* --- schema --- */

static const cyaml_strval_t send_proxy_values[] = {
	{ "none", CONFIG_SEND_NONE },
	{ "v1", CONFIG_SEND_V1 },
	{ "v2", CONFIG_SEND_V2 },
	{ "v2-tlvs", CONFIG_SEND_V2_TLVS },
};

static const cyaml_schema_value_t string_schema = {
	CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 0, 511),
};

static const cyaml_strval_t balance_values[] = {
	{ "round_robin", BALANCE_ROUND_ROBIN },
	{ "least_connections", BALANCE_LEAST_CONNECTIONS },
	{ "source_hash", BALANCE_SOURCE_HASH },
	{ "random", BALANCE_RANDOM },
};

static const cyaml_strval_t keep_alive_values[] = {
	{ "standard", KEEP_ALIVE_STANDARD },
	{ "extended", KEEP_ALIVE_EXTENDED },
	{ "immortal", KEEP_ALIVE_IMMORTAL },
};

static const cyaml_strval_t refuse_values[] = {
	{ "reset", REFUSE_RESET },
	{ "alert", REFUSE_ALERT },
};

static const cyaml_strval_t check_values[] = {
	{ "tcp", CHECK_TCP },
	{ "tls", CHECK_TLS },
};

#define DURATION(key, type)                                                          \
	CYAML_FIELD_STRING_PTR(#key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, type, \
			       key, 1, 16)

static const cyaml_schema_field_t health_fields[] = {
	CYAML_FIELD_ENUM("type", CYAML_FLAG_OPTIONAL | CYAML_FLAG_STRICT, struct health,
			 type, check_values, CYAML_ARRAY_LEN(check_values)),
	DURATION(interval, struct health),
	DURATION(timeout, struct health),
	CYAML_FIELD_UINT("rise", CYAML_FLAG_OPTIONAL, struct health, rise),
	CYAML_FIELD_UINT("fall", CYAML_FLAG_OPTIONAL, struct health, fall),
	CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
			       struct health, name, 1, 253),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t queue_fields[] = {
	CYAML_FIELD_UINT("size", CYAML_FLAG_DEFAULT, struct queue, size),
	DURATION(timeout, struct queue),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t ejection_fields[] = {
	CYAML_FIELD_UINT("failures", CYAML_FLAG_DEFAULT, struct ejection, failures),
	DURATION(time, struct ejection),
	CYAML_FIELD_END,
};

#define RATE(key, field)                                                      \
	CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, \
			       struct limits, field, 1, 48)

static const cyaml_schema_field_t limits_fields[] = {
	CYAML_FIELD_UINT("connections", CYAML_FLAG_OPTIONAL, struct limits, connections),
	RATE("rate", rate_text),
	CYAML_FIELD_UINT("per_source", CYAML_FLAG_OPTIONAL, struct limits, per_source),
	RATE("source_rate", source_rate_text),
	CYAML_FIELD_UINT("per_prefix", CYAML_FLAG_OPTIONAL, struct limits, per_prefix),
	RATE("prefix_rate", prefix_rate_text),
	CYAML_FIELD_BOOL("strict", CYAML_FLAG_OPTIONAL, struct limits, strict),
	CYAML_FIELD_UINT("prefix_v4", CYAML_FLAG_OPTIONAL, struct limits, prefix_v4),
	CYAML_FIELD_UINT("prefix_v6", CYAML_FLAG_OPTIONAL, struct limits, prefix_v6),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t route_fields[] = {
	CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER, struct route, name, 1,
			       CONFIG_NAME_MAX),
	CYAML_FIELD_SEQUENCE("sni", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
			     struct route, sni, &string_schema, 1, 1024),
	CYAML_FIELD_SEQUENCE("alpn", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
			     struct route, alpn, &string_schema, 1, 16),
	CYAML_FIELD_SEQUENCE("from", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
			     struct route, from, &string_schema, 1, 256),
	CYAML_FIELD_INT("priority", CYAML_FLAG_OPTIONAL, struct route, priority),
	CYAML_FIELD_SEQUENCE_COUNT("backends", CYAML_FLAG_POINTER, struct route,
				   backend_names, backend_names_count, &string_schema, 1,
				   64),
	CYAML_FIELD_ENUM("keep_alive", CYAML_FLAG_OPTIONAL | CYAML_FLAG_STRICT,
			 struct route, keep_alive, keep_alive_values,
			 CYAML_ARRAY_LEN(keep_alive_values)),
	CYAML_FIELD_ENUM("balance", CYAML_FLAG_OPTIONAL | CYAML_FLAG_STRICT, struct route,
			 balance, balance_values, CYAML_ARRAY_LEN(balance_values)),
	CYAML_FIELD_MAPPING_PTR("health", CYAML_FLAG_OPTIONAL, struct route, health,
				health_fields),
	CYAML_FIELD_MAPPING_PTR("queue", CYAML_FLAG_OPTIONAL, struct route, queue,
				queue_fields),
	CYAML_FIELD_MAPPING_PTR("ejection", CYAML_FLAG_OPTIONAL, struct route, ejection,
				ejection_fields),
	CYAML_FIELD_MAPPING("limits", CYAML_FLAG_OPTIONAL, struct route, limits,
			    limits_fields),
	DURATION(slow_start, struct route),
	CYAML_FIELD_STRING_PTR("source", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
			       struct route, source, 1, 64),
	CYAML_FIELD_UINT_PTR("retries", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
			     struct route, retries),
	CYAML_FIELD_ENUM("send_proxy", CYAML_FLAG_OPTIONAL | CYAML_FLAG_STRICT,
			 struct route, send_proxy, send_proxy_values,
			 CYAML_ARRAY_LEN(send_proxy_values)),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t route_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct route, route_fields),
};

static const cyaml_schema_field_t proxy_from_fields[] = {
	CYAML_FIELD_SEQUENCE("from", CYAML_FLAG_POINTER, struct proxy_from, from,
			     &string_schema, 1, 256),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t listener_fields[] = {
	CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER, struct listener, name, 1,
			       CONFIG_NAME_MAX),
	CYAML_FIELD_STRING_PTR("address", CYAML_FLAG_POINTER, struct listener, address, 1,
			       5 + CONFIG_UNIX_MAX),
	CYAML_FIELD_STRING_PTR("mode", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
			       struct listener, mode, 1, 8),
	CYAML_FIELD_BOOL("ipv6_only", CYAML_FLAG_OPTIONAL, struct listener, ipv6_only),
	CYAML_FIELD_BOOL("ja4", CYAML_FLAG_OPTIONAL, struct listener, ja4),
	CYAML_FIELD_BOOL("freebind", CYAML_FLAG_OPTIONAL, struct listener, freebind),
	CYAML_FIELD_ENUM("refuse", CYAML_FLAG_OPTIONAL | CYAML_FLAG_STRICT,
			 struct listener, refuse, refuse_values,
			 CYAML_ARRAY_LEN(refuse_values)),
	CYAML_FIELD_MAPPING_PTR("proxy_protocol", CYAML_FLAG_OPTIONAL, struct listener,
				proxy_protocol, proxy_from_fields),
	CYAML_FIELD_MAPPING("limits", CYAML_FLAG_OPTIONAL, struct listener, limits,
			    limits_fields),
	CYAML_FIELD_SEQUENCE("routes", CYAML_FLAG_POINTER, struct listener, routes,
			     &route_schema, 1, 1024),
	CYAML_FIELD_STRING_PTR("fallback", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
			       struct listener, fallback, 1, CONFIG_NAME_MAX),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t listener_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct listener, listener_fields),
};

static const cyaml_schema_field_t timeouts_fields[] = {
	DURATION(connect, struct timeouts),
	DURATION(hello, struct timeouts),
	DURATION(idle, struct timeouts),
	DURATION(drain, struct timeouts),
	DURATION(half_close, struct timeouts),
	DURATION(life, struct timeouts),
	DURATION(stuck, struct timeouts),
	DURATION(keepalive, struct timeouts),
	DURATION(zombies, struct timeouts),
	CYAML_FIELD_UINT("idle_factor", CYAML_FLAG_OPTIONAL, struct timeouts,
			 idle_factor),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t dns_fields[] = {
	CYAML_FIELD_SEQUENCE("servers", CYAML_FLAG_POINTER, struct dns, servers,
			     &string_schema, 1, CONFIG_DNS_SERVERS_MAX),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t config_fields[] = {
	CYAML_FIELD_STRING_PTR("user", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
			       struct config, user, 1, 32),
	CYAML_FIELD_UINT("workers", CYAML_FLAG_OPTIONAL, struct config, workers),
	CYAML_FIELD_BOOL("no_io_uring", CYAML_FLAG_OPTIONAL, struct config, no_io_uring),
	CYAML_FIELD_UINT("hello_bytes", CYAML_FLAG_OPTIONAL, struct config, hello_bytes),
	CYAML_FIELD_MAPPING("limits", CYAML_FLAG_OPTIONAL, struct config, limits,
			    limits_fields),
	CYAML_FIELD_MAPPING("timeouts", CYAML_FLAG_OPTIONAL, struct config, timeouts,
			    timeouts_fields),
	CYAML_FIELD_MAPPING_PTR("dns", CYAML_FLAG_OPTIONAL, struct config, dns,
				dns_fields),
	CYAML_FIELD_SEQUENCE("listeners", CYAML_FLAG_POINTER, struct config, listeners,
			     &listener_schema, 1, CONFIG_LISTENERS_MAX),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t config_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct config, config_fields),
};

/* Every key of the schema, a mapping within a mapping too. */
static void each_key(const cyaml_schema_field_t *fields,
		     void (*fn)(const char *key, void *arg), void *arg)
{
	const cyaml_schema_value_t *v;

	for (; fields->key; fields++) {
		fn(fields->key, arg);
		v = &fields->value;
		if (v->type == CYAML_SEQUENCE)
			v = v->sequence.entry;
		if (v->type == CYAML_MAPPING)
			each_key(v->mapping.fields, fn, arg);
	}
}

void config_each_key(void (*fn)(const char *key, void *arg), void *arg)
{
	each_key(config_fields, fn, arg);
}

/* What is said in plain words before the schema speaks. */
static const struct where_rule rules[] = {
	{ "listeners", NULL },
	{ "routes", NULL },
	{ "sni", NULL },
	{ "alpn", NULL },
	{ "from", NULL },
	{ "backends", NULL },
	{ "servers", NULL },
	{ "send_proxy", "none, v1, v2, v2-tlvs" },
	{ "balance", "round_robin, least_connections, source_hash, random" },
	{ "keep_alive", "standard, extended, immortal" },
	{ "type", "tcp, tls" },
	{ "refuse", "reset, alert" },
};

/* --- libcyaml's messages: the first is what, the first position is where --- */

struct cyaml_said {
	char what[512];
	char in[512];
	unsigned line, column;
};

static void on_cyaml(cyaml_log_t level, void *ctx, const char *fmt, va_list args)
{
	struct cyaml_said *said = ctx;
	char text[512];
	const char *at;

	(void)level;
	(void)vsnprintf(text, sizeof(text), fmt, args);
	text[strcspn(text, "\n")] = '\0';
	at = strstr(text, "(line: ");
	if (at && !said->line) {
		if (sscanf(at, "(line: %u, column: %u)", &said->line, &said->column) != 2)
			said->line = 0;
		text[at - text - 1] = '\0';
		(void)snprintf(said->in, sizeof(said->in), "%s",
			       text + strspn(text, " "));
	} else if (!said->what[0] && strncmp(text, "Load: ", 6) == 0) {
		(void)snprintf(said->what, sizeof(said->what), "%s", text + 6);
	}
}

static const cyaml_config_t *cyaml_config(struct cyaml_said *said)
{
	static _Thread_local cyaml_config_t cfg;

	cfg = (cyaml_config_t){ .log_fn = on_cyaml,
				.log_ctx = said,
				.mem_fn = cyaml_mem,
				.log_level = CYAML_LOG_ERROR,
				.flags = CYAML_CFG_NO_ALIAS };
	return &cfg;
}

/* --- life --- */

static void route_free_derived(struct route *r)
{
	for (unsigned i = 0; r->patterns && i < r->sni_count; i++)
		pattern_free(r->patterns[i]);
	free(r->patterns);
	free(r->sources);
	free(r->turns[0].order);
	free(r->turns[1].order);
	for (unsigned i = 0; r->backends && i < r->backend_names_count; i++)
		target_put(r->backends[i].target);
	free(r->backends);
}

static void listener_free_derived(struct listener *l)
{
	free(l->trusted);
	route_index_free(l->index);
	for (unsigned i = 0; i < l->routes_count; i++)
		route_free_derived(&l->routes[i]);
}

static void config_free(struct config *c)
{
	struct cyaml_said said = { 0 };

	if (!c)
		return;
	if (c->release)
		c->release(c, c->release_arg);
	for (unsigned i = 0; i < c->listeners_count; i++)
		listener_free_derived(&c->listeners[i]);
	free(c->warnings);
	(void)cyaml_free(cyaml_config(&said), &config_schema, c, 0);
}

struct listener *config_listener(struct config *c, uint16_t id)
{
	for (unsigned i = 0; i < c->listeners_count; i++) {
		if (c->listeners[i].id == id)
			return &c->listeners[i];
	}
	return NULL;
}

struct route *config_route(const struct listener *l, uint16_t id)
{
	for (unsigned i = 0; i < l->routes_count; i++) {
		if (l->routes[i].id == id)
			return &l->routes[i];
	}
	return NULL;
}

struct config *config_get(struct config *c)
{
	__atomic_fetch_add(&c->refs, 1, __ATOMIC_RELAXED);
	return c;
}

void config_put(struct config *c)
{
	if (c && __atomic_sub_fetch(&c->refs, 1, __ATOMIC_ACQ_REL) == 0)
		config_free(c);
}

int config_parse(const char *path, const char *text, size_t len, struct config **ret,
		 char err[CONFIG_ERROR_MAX])
{
	struct where w = { .path = path, .text = text, .len = len, .err = err };
	struct cyaml_said said = { 0 };
	struct config *c = NULL;
	cyaml_err_t r;
	int res;

	err[0] = '\0';
	res = where_scan(&w, rules, sizeof(rules) / sizeof(rules[0]));
	if (res)
		return res;
	r = cyaml_load_data((const uint8_t *)text, len, cyaml_config(&said),
			    &config_schema, (cyaml_data_t **)&c, NULL);
	if (r != CYAML_OK) {
		if (strncmp(said.what, "Unexpected key: ", 16) == 0)
			where_locate_key(text, len, said.what + 16, &said.line,
					 &said.column);
		(void)snprintf(err, CONFIG_ERROR_MAX, "%.300s:%u:%u: %.200s%s%.100s",
			       path, said.line, said.column,
			       said.what[0] ? said.what : cyaml_strerror(r),
			       said.in[0] ? ", " : "", said.in);
		return -EINVAL;
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

void config_each_backend(struct config *c,
			 void (*fn)(struct listener *l, struct route *r,
				    struct backend *b, void *arg),
			 void *arg)
{
	for (unsigned i = 0; i < c->listeners_count; i++) {
		struct listener *l = &c->listeners[i];

		for (unsigned k = 0; k < l->routes_count; k++) {
			struct route *r = &l->routes[k];

			for (unsigned n = 0; n < r->backend_names_count; n++)
				fn(l, r, &r->backends[n], arg);
		}
	}
}

static void resolve(struct listener *l, struct route *r, struct backend *b, void *arg)
{
	struct addr a = { .port = 0 };
	char name[512];
	int *res = arg;

	if (*res || b->target)
		return;
	(void)snprintf(name, sizeof(name), "%s/%s/%s", l->name, r->name, b->name);
	b->target = target_get(name);
	if (!b->target)
		*res = -ENOMEM;
	/* a path has one place, which is no address */
	else if (b->path || addr_parse(b->name, &a) == 0)
		(void)target_set_addresses(b->target, &a, 1, 0);
}

int config_resolve(struct config *c, char err[CONFIG_ERROR_MAX])
{
	int res = 0;

	config_each_backend(c, resolve, &res);
	if (res == -ENOMEM)
		(void)snprintf(err, CONFIG_ERROR_MAX, "no memory for a backend");
	return res;
}
