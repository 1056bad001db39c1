/* SPDX-License-Identifier: Apache-2.0 */
/* What may be said of HTTP. */
#include "config/http.h"
#include "config/schema_own.h"

static const cyaml_schema_field_t page_fields[] = {
	LIST(status, struct http_page, CONFIG_STATUSES),
	CYAML_FIELD_STRING_PTR("file", CYAML_FLAG_POINTER, struct http_page, file, 1,
			       4000),
	WORD(type, struct http_page, 256),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t page_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct http_page, page_fields),
};

#define PAGES(type)                                                                   \
	CYAML_FIELD_SEQUENCE("error_pages", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, \
			     type, error_pages, &page_schema, 1, 32)

static const cyaml_schema_field_t basic_auth_fields[] = {
	CYAML_FIELD_STRING_PTR("file", CYAML_FLAG_POINTER, struct http_basic_auth, file,
			       1, 4000),
	WORD(realm, struct http_basic_auth, 256),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t jwt_fields[] = {
	CYAML_FIELD_STRING_PTR("keys", CYAML_FLAG_POINTER, struct http_jwt, keys, 1,
			       4000),
	WORD(issuer, struct http_jwt, 512),
	WORD(audience, struct http_jwt, 512),
	LIST(claims, struct http_jwt, 16),
	DURATION(leeway, struct http_jwt),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t forward_auth_fields[] = {
	CYAML_FIELD_STRING_PTR("route", CYAML_FLAG_POINTER, struct http_forward_auth,
			       route, 1, CONFIG_NAME_MAX),
	WORD(path, struct http_forward_auth, 1024),
	LIST(fields, struct http_forward_auth, 32),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t rate_fields[] = {
	CYAML_FIELD_STRING_PTR("limit", CYAML_FLAG_POINTER, struct http_rate, limit, 1,
			       48),
	WORD(by, struct http_rate, 256),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t sticky_fields[] = {
	CYAML_FIELD_STRING_PTR("cookie", CYAML_FLAG_POINTER, struct http_sticky, cookie,
			       1, 128),
	DURATION(max_age, struct http_sticky),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t cors_fields[] = {
	CYAML_FIELD_SEQUENCE("origins", CYAML_FLAG_POINTER, struct http_cors, origins,
			     &schema_string, 1, 64),
	LIST(methods, struct http_cors, 16),
	LIST(headers, struct http_cors, 64),
	LIST(expose, struct http_cors, 64),
	FLAG(credentials, struct http_cors),
	DURATION(max_age, struct http_cors),
	CYAML_FIELD_END,
};

static const cyaml_strval_t underscores_values[] = {
	{ "pass", UNDERSCORES_PASS },
	{ "drop", UNDERSCORES_DROP },
	{ "refuse", UNDERSCORES_REFUSE },
};

static const cyaml_strval_t protocol_values[] = {
	{ "h1", PROTOCOL_H1 },
	{ "h2", PROTOCOL_H2 },
};

static const cyaml_strval_t early_values[] = {
	{ "pass", EARLY_PASS },
	{ "safe", EARLY_SAFE },
	{ "refuse", EARLY_REFUSE },
};

const cyaml_schema_field_t schema_http_listener[] = {
	LIST(trusted, struct http_listener, 256),
	NUMBER(head_bytes, struct http_listener),
	NUMBER(fields, struct http_listener),
	CYAML_FIELD_ENUM("underscores", CYAML_FLAG_OPTIONAL | CYAML_FLAG_STRICT,
			 struct http_listener, underscores, underscores_values,
			 CYAML_ARRAY_LEN(underscores_values)),
	FLAG(h1_only, struct http_listener),
	FLAG(proxy_requests, struct http_listener),
	FLAG(via, struct http_listener),
	FLAG(forwarded, struct http_listener),
	FLAG(traceparent, struct http_listener),
	DURATION(head_timeout, struct http_listener),
	DURATION(body_timeout, struct http_listener),
	DURATION(keep_alive_timeout, struct http_listener),
	PAGES(struct http_listener),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t redirect_fields[] = {
	NUMBER(status, struct http_redirect),
	CYAML_FIELD_STRING_PTR("to", CYAML_FLAG_POINTER, struct http_redirect, to, 1,
			       2048),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t respond_fields[] = {
	NUMBER(status, struct http_respond),
	WORD(body, struct http_respond, 65536),
	WORD(type, struct http_respond, 256),
	WORD(file, struct http_respond, 4000),
	DURATION(retry_after, struct http_respond),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t edits_fields[] = {
	LIST(set, struct http_edits, 64),
	LIST(add, struct http_edits, 64),
	LIST(remove, struct http_edits, 64),
	CYAML_FIELD_END,
};

const cyaml_schema_field_t schema_http_route[] = {
	LIST(host, struct http_route, 1024),
	LIST(path, struct http_route, 256),
	LIST(method, struct http_route, 16),
	LIST(header, struct http_route, 32),
	LIST(query, struct http_route, 32),
	LIST(certificate, struct http_route, 64),
	CYAML_FIELD_ENUM("protocol", CYAML_FLAG_OPTIONAL | CYAML_FLAG_STRICT,
			 struct http_route, protocol, protocol_values,
			 CYAML_ARRAY_LEN(protocol_values)),
	CYAML_FIELD_MAPPING_PTR("redirect", CYAML_FLAG_OPTIONAL, struct http_route,
				redirect, redirect_fields),
	CYAML_FIELD_MAPPING_PTR("respond", CYAML_FLAG_OPTIONAL, struct http_route,
				respond, respond_fields),
	CYAML_FIELD_MAPPING("request", CYAML_FLAG_OPTIONAL, struct http_route, request,
			    edits_fields),
	CYAML_FIELD_MAPPING("response", CYAML_FLAG_OPTIONAL, struct http_route, response,
			    edits_fields),
	WORD(strip, struct http_route, 1024),
	WORD(prefix, struct http_route, 1024),
	FLAG(normalize, struct http_route),
	FLAG(client_cert, struct http_route),
	CYAML_FIELD_ENUM("early_data", CYAML_FLAG_OPTIONAL | CYAML_FLAG_STRICT,
			 struct http_route, early_data, early_values,
			 CYAML_ARRAY_LEN(early_values)),
	CYAML_FIELD_UINT_PTR("retry_budget", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
			     struct http_route, retry_budget),
	CYAML_FIELD_UINT_PTR("pool", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
			     struct http_route, pool),
	DURATION(head_timeout, struct http_route),
	NUMBER(body_bytes, struct http_route),
	CYAML_FIELD_MAPPING_PTR("cors", CYAML_FLAG_OPTIONAL, struct http_route, cors,
				cors_fields),
	CYAML_FIELD_MAPPING_PTR("basic_auth", CYAML_FLAG_OPTIONAL, struct http_route,
				basic_auth, basic_auth_fields),
	CYAML_FIELD_MAPPING_PTR("jwt", CYAML_FLAG_OPTIONAL, struct http_route, jwt,
				jwt_fields),
	CYAML_FIELD_MAPPING_PTR("sticky", CYAML_FLAG_OPTIONAL, struct http_route, sticky,
				sticky_fields),
	WORD(hash, struct http_route, 256),
	CYAML_FIELD_MAPPING_PTR("rate", CYAML_FLAG_OPTIONAL, struct http_route, rate,
				rate_fields),
	CYAML_FIELD_MAPPING_PTR("forward_auth", CYAML_FLAG_OPTIONAL, struct http_route,
				forward_auth, forward_auth_fields),
	FLAG(internal, struct http_route),
	PAGES(struct http_route),
	CYAML_FIELD_END,
};
