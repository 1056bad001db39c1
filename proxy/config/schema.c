/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libcyaml maps the file onto the structs by these tables, when schema_shape.c has found
 * it to be of their shape; what a schema cannot say is checked afterwards (check.c).
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "config/access.h"
#include "config/http.h"
#include "config/schema.h"
#include "config/schema_own.h"

static const cyaml_strval_t send_proxy_values[] = {
	{ "none", CONFIG_SEND_NONE },
	{ "v1", CONFIG_SEND_V1 },
	{ "v2", CONFIG_SEND_V2 },
	{ "v2-tlvs", CONFIG_SEND_V2_TLVS },
};

const cyaml_schema_value_t schema_string = {
	CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 0, 511),
};

static const cyaml_strval_t state_values[] = {
	{ "file", STATE_FILE },
	{ "database", STATE_DATABASE },
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

static const cyaml_strval_t tls_values[] = {
	{ "passthrough", TLS_PASSTHROUGH },
	{ "terminate", TLS_TERMINATE },
	{ "reencrypt", TLS_REENCRYPT },
};

static const cyaml_strval_t check_values[] = {
	{ "tcp", CHECK_TCP },
	{ "tls", CHECK_TLS },
	{ "http", CHECK_HTTP },
	{ "grpc", CHECK_GRPC },
};

static const cyaml_schema_field_t health_fields[] = {
	CYAML_FIELD_ENUM("type", CYAML_FLAG_OPTIONAL | CYAML_FLAG_STRICT, struct health,
			 type, check_values, CYAML_ARRAY_LEN(check_values)),
	DURATION(interval, struct health),
	DURATION(timeout, struct health),
	CYAML_FIELD_UINT("rise", CYAML_FLAG_OPTIONAL, struct health, rise),
	CYAML_FIELD_UINT("fall", CYAML_FLAG_OPTIONAL, struct health, fall),
	CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
			       struct health, name, 1, 253),
	CYAML_FIELD_STRING_PTR("path", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
			       struct health, path, 1, 512),
	CYAML_FIELD_UINT("status", CYAML_FLAG_OPTIONAL, struct health, status),
	WORD(body, struct health, 1024),
	WORD(service, struct health, CONFIG_NAME_MAX),
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
	LIST(status, struct ejection, CONFIG_STATUSES),
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

#define BACKEND_TLS(key)                                                       \
	CYAML_FIELD_STRING_PTR(#key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, \
			       struct backend_tls, key, 1, 4000)

static const cyaml_schema_field_t backend_tls_fields[] = {
	CYAML_FIELD_BOOL("insecure", CYAML_FLAG_OPTIONAL, struct backend_tls, insecure),
	BACKEND_TLS(ca),
	BACKEND_TLS(name),
	BACKEND_TLS(sni),
	BACKEND_TLS(certificate),
	BACKEND_TLS(key),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t client_certificates_fields[] = {
	CYAML_FIELD_STRING_PTR("ca", CYAML_FLAG_POINTER, struct client_certificates, ca,
			       1, 4000),
	CYAML_FIELD_STRING_PTR("crl", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
			       struct client_certificates, crl, 1, 4000),
	CYAML_FIELD_UINT_PTR("depth", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
			     struct client_certificates, depth),
	CYAML_FIELD_BOOL("optional", CYAML_FLAG_OPTIONAL, struct client_certificates,
			 optional),
	CYAML_FIELD_END,
};

const cyaml_schema_field_t schema_route[] = {
	CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER, struct route, name, 1,
			       CONFIG_NAME_MAX),
	CYAML_FIELD_SEQUENCE("sni", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
			     struct route, sni, &schema_string, 1, 1024),
	CYAML_FIELD_SEQUENCE("alpn", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
			     struct route, alpn, &schema_string, 1, 16),
	CYAML_FIELD_SEQUENCE("from", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
			     struct route, from, &schema_string, 1, 256),
	CYAML_FIELD_INT("priority", CYAML_FLAG_OPTIONAL, struct route, priority),
	CYAML_FIELD_SEQUENCE_COUNT("backends", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
				   struct route, backend_names, backend_names_count,
				   &schema_string, 1, 64),
	CYAML_FIELD_ENUM("tls", CYAML_FLAG_OPTIONAL | CYAML_FLAG_STRICT, struct route,
			 tls, tls_values, CYAML_ARRAY_LEN(tls_values)),
	CYAML_FIELD_MAPPING_PTR("backend_tls", CYAML_FLAG_OPTIONAL, struct route,
				backend_tls, backend_tls_fields),
	CYAML_FIELD_MAPPING_PTR("client_certificates", CYAML_FLAG_OPTIONAL, struct route,
				client_certificates, client_certificates_fields),
	CYAML_FIELD_STRING_PTR("min_version", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
			       struct route, min_version, 1, 8),
	CYAML_FIELD_STRING_PTR("ciphers", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
			       struct route, ciphers, 1, 1024),
	CYAML_FIELD_STRING_PTR("groups", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
			       struct route, groups, 1, 256),
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
	CYAML_FIELD_MAPPING_PTR("http", CYAML_FLAG_OPTIONAL, struct route, http,
				schema_http_route),
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
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct route, schema_route),
};

static const cyaml_schema_field_t proxy_from_fields[] = {
	CYAML_FIELD_SEQUENCE("from", CYAML_FLAG_POINTER, struct proxy_from, from,
			     &schema_string, 1, 256),
	CYAML_FIELD_END,
};

#define ACME(key)                                                              \
	CYAML_FIELD_STRING_PTR(#key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, \
			       struct acme, key, 1, 1000)

static const cyaml_schema_field_t acme_fields[] = {
	ACME(state), ACME(server), ACME(contact), ACME(ca), CYAML_FIELD_END,
};

#define CERTIFICATE(key)                                                       \
	CYAML_FIELD_STRING_PTR(#key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, \
			       struct certificate, key, 1, 4000)

static const cyaml_schema_field_t certificate_fields[] = {
	CERTIFICATE(certificate),
	CERTIFICATE(key),
	CERTIFICATE(staple),
	CERTIFICATE(directory),
	CYAML_FIELD_SEQUENCE("acme", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
			     struct certificate, acme, &schema_string, 1,
			     CONFIG_ACME_NAMES),
	CYAML_FIELD_BOOL("default", CYAML_FLAG_OPTIONAL, struct certificate, is_default),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t certificate_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct certificate, certificate_fields),
};

static const cyaml_schema_field_t listen_fields[] = {
	NUMBER(backlog, struct listen_options),
	NUMBER(fast_open, struct listen_options),
	NUMBER(mss, struct listen_options),
	WORD(interface, struct listen_options, 15), /* IFNAMSIZ */
	CYAML_FIELD_END,
};

const cyaml_schema_field_t schema_listener[] = {
	CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER, struct listener, name, 1,
			       CONFIG_NAME_MAX),
	CYAML_FIELD_STRING_PTR("address", CYAML_FLAG_POINTER, struct listener, address, 1,
			       5 + CONFIG_UNIX_MAX),
	CYAML_FIELD_STRING_PTR("mode", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
			       struct listener, mode, 1, 8),
	CYAML_FIELD_BOOL("ipv6_only", CYAML_FLAG_OPTIONAL, struct listener, ipv6_only),
	CYAML_FIELD_BOOL("ja4", CYAML_FLAG_OPTIONAL, struct listener, ja4),
	CYAML_FIELD_BOOL("freebind", CYAML_FLAG_OPTIONAL, struct listener, freebind),
	CYAML_FIELD_MAPPING("tcp", CYAML_FLAG_OPTIONAL, struct listener, tcp,
			    listen_fields),
	CYAML_FIELD_ENUM("refuse", CYAML_FLAG_OPTIONAL | CYAML_FLAG_STRICT,
			 struct listener, refuse, refuse_values,
			 CYAML_ARRAY_LEN(refuse_values)),
	CYAML_FIELD_MAPPING_PTR("proxy_protocol", CYAML_FLAG_OPTIONAL, struct listener,
				proxy_protocol, proxy_from_fields),
	CYAML_FIELD_MAPPING("limits", CYAML_FLAG_OPTIONAL, struct listener, limits,
			    limits_fields),
	CYAML_FIELD_MAPPING_PTR("http", CYAML_FLAG_OPTIONAL, struct listener, http,
				schema_http_listener),
	CYAML_FIELD_SEQUENCE("certificates", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
			     struct listener, certificates, &certificate_schema, 1,
			     CONFIG_CERTIFICATES_MAX),
	CYAML_FIELD_SEQUENCE("routes", CYAML_FLAG_POINTER, struct listener, routes,
			     &route_schema, 1, 1024),
	CYAML_FIELD_STRING_PTR("fallback", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
			       struct listener, fallback, 1, CONFIG_NAME_MAX),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t listener_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct listener, schema_listener),
};

static const cyaml_schema_field_t timeouts_fields[] = {
	DURATION(connect, struct timeouts),
	DURATION(hello, struct timeouts),
	DURATION(handshake, struct timeouts),
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
			     &schema_string, 1, CONFIG_DNS_SERVERS_MAX),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t access_fields[] = {
	CYAML_FIELD_STRING_PTR("file", CYAML_FLAG_POINTER, struct access_settings, file,
			       1, 4000),
	WORD(format, struct access_settings, 2048),
	NUMBER(sample, struct access_settings),
	NUMBER(max_bytes, struct access_settings),
	CYAML_FIELD_UINT_PTR("keep", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
			     struct access_settings, keep),
	CYAML_FIELD_END,
};

const cyaml_schema_field_t schema_config[] = {
	CYAML_FIELD_ENUM("state", CYAML_FLAG_OPTIONAL | CYAML_FLAG_STRICT, struct config,
			 state, state_values, CYAML_ARRAY_LEN(state_values)),
	CYAML_FIELD_STRING_PTR("state_file", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
			       struct config, state_file, 1, 4000),
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
	CYAML_FIELD_MAPPING_PTR("acme", CYAML_FLAG_OPTIONAL, struct config, acme,
				acme_fields),
	CYAML_FIELD_MAPPING_PTR("access_log", CYAML_FLAG_OPTIONAL, struct config,
				access_log, access_fields),
	CYAML_FIELD_SEQUENCE("ticket_keys", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
			     struct config, ticket_keys, &schema_string, 1,
			     CONFIG_TICKET_KEYS_MAX),
	CYAML_FIELD_SEQUENCE("listeners", CYAML_FLAG_POINTER, struct config, listeners,
			     &listener_schema, 1, CONFIG_LISTENERS_MAX),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t config_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct config, schema_config),
};

/* Every key of the schema, of a mapping within a mapping too. */
static void each_field(const cyaml_schema_field_t *fields,
		       void (*fn)(const char *key, void *arg), void *arg)
{
	const cyaml_schema_value_t *v;

	for (; fields->key; fields++) {
		fn(fields->key, arg);
		v = &fields->value;
		if (v->type == CYAML_SEQUENCE)
			v = v->sequence.entry;
		if (v->type == CYAML_MAPPING)
			each_field(v->mapping.fields, fn, arg);
	}
}

void schema_each_key(void (*fn)(const char *key, void *arg), void *arg)
{
	fn("include", arg); /* document_expand.c, schema_defaults.c */
	fn("defaults", arg);
	each_field(schema_config, fn, arg);
}

/* The first that libcyaml says. */
static void on_cyaml(cyaml_log_t level, void *ctx, const char *fmt, va_list args)
{
	char *what = ctx;

	(void)level;
	if (what[0])
		return;
	(void)vsnprintf(what, SCHEMA_WHAT, fmt, args);
	what[strcspn(what, "\n")] = '\0';
}

static const cyaml_config_t *cyaml_config(char what[SCHEMA_WHAT])
{
	static _Thread_local cyaml_config_t cfg;

	cfg = (cyaml_config_t){ .log_fn = on_cyaml,
				.log_ctx = what,
				.mem_fn = cyaml_mem,
				.log_level = CYAML_LOG_ERROR,
				.flags = CYAML_CFG_NO_ALIAS };
	what[0] = '\0';
	return &cfg;
}

int schema_load(const char *text, size_t len, struct config **ret, char what[SCHEMA_WHAT])
{
	cyaml_err_t r;

	*ret = NULL;
	r = cyaml_load_data((const uint8_t *)text, len, cyaml_config(what),
			    &config_schema, (cyaml_data_t **)ret, NULL);
	if (r == CYAML_OK)
		return 0;
	if (!what[0])
		(void)snprintf(what, SCHEMA_WHAT, "%s", cyaml_strerror(r));
	/* libyaml reads what it has written: it lacks memory */
	return r == CYAML_ERR_OOM || r == CYAML_ERR_LIBYAML_PARSER_INIT ||
			       r == CYAML_ERR_LIBYAML_PARSER
		       ? -ENOMEM
		       : -EINVAL;
}

void schema_free(struct config *c)
{
	char what[SCHEMA_WHAT];

	(void)cyaml_free(cyaml_config(what), &config_schema, c, 0);
}
