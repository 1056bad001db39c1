/* SPDX-License-Identifier: Apache-2.0 */
/* What a configuration says of HTTP: of a listener, of a route, and of requests. */
#ifndef PROXY_CONFIG_HTTP_H
#define PROXY_CONFIG_HTTP_H

#include "codec/http.h"
#include "config/config.h"

#define HTTP_HEAD_BYTES	    (32u * 1024)
#define HTTP_HEAD_BYTES_MAX (256u * 1024)
#define HTTP_FIELDS_DEFAULT 100
#define HTTP_RULES_MAX	    16384 /* hosts times paths, of all routes of a listener */
#define HTTP_POOL_DEFAULT   1024  /* idle connections to a backend that a worker keeps */
#define HTTP_TEMPLATE_PARTS 16
#define HTTP_BUDGET	    20 /* requests in 100 may be sent again */

#define HTTP_PAGE_BYTES	    (1u << 20)
#define HTTP_KEYS_BYTES	    (256u * 1024)

struct config_file;
struct http_book;
struct identity;
struct identity_rule;
struct jwks;
struct passwords;
struct pattern;

enum config_underscores { UNDERSCORES_PASS, UNDERSCORES_DROP, UNDERSCORES_REFUSE };
enum config_protocol { PROTOCOL_H1, PROTOCOL_H2 };
enum config_early { EARLY_PASS, EARLY_SAFE, EARLY_REFUSE };

/* `http` of a listener. */
struct http_listener {
	char **trusted; /* prefixes whose X-Forwarded-... and Forwarded are kept */
	unsigned trusted_count;
	uint32_t head_bytes, fields; /* the largest head, and most fields of one */
	enum config_underscores underscores; /* in names of fields */
	bool h1_only;			     /* HTTP/2 is not offered */
	bool proxy_requests;		     /* CONNECT and TRACE go on */
	bool via;			     /* is written */
	bool forwarded;			     /* RFC 7239, beside X-Forwarded-... */
	bool traceparent;		     /* is made where a request has none */
	bool asks_identity;		     /* derived: a route has `certificate` */
	struct http_page *error_pages;
	unsigned error_pages_count;
	char *head_timeout, *body_timeout, *keep_alive_timeout;
	/* derived */
	struct prefix *trusted_prefixes;
	int64_t head_ms, body_ms, keep_alive_ms;
	struct http_book *book; /* of what came to no route */
	struct proxy_slot *slot;
	struct request_index *index;
};

/* A text with variables in it. */
enum http_variable {
	VAR_TEXT,
	VAR_CLIENT,
	VAR_HOST,
	VAR_METHOD,
	VAR_PATH,
	VAR_QUERY,
	VAR_REQUEST_ID,
	VAR_SCHEME,
	VAR_URI,
	VAR_USER, /* who has shown who he is; empty: nobody */
};

struct http_part {
	uint8_t variable; /* enum http_variable */
	struct text text; /* of VAR_TEXT; of the configuration */
};

struct http_template {
	struct http_part parts[HTTP_TEMPLATE_PARTS];
	unsigned n;
};

/* `redirect` of a route. */
struct http_redirect {
	uint32_t status; /* 0: 308 */
	char *to;
	/* derived */
	struct http_template where;
};

/* `respond` of a route. */
struct http_respond {
	uint32_t status;
	char *body, *type;
	char *file; /* in place of body */
	char *retry_after;
	/* derived */
	struct config_file *text;
	const char *mime;	/* of body or file */
	uint32_t retry_after_s; /* 0: nothing is said */
};

/* One of `error_pages`: what the gate's own answers of these statuses have for a body. */
struct http_page {
	char **status; /* "404", "5xx"; none: of all */
	unsigned status_count;
	char *file, *type;
	/* derived */
	struct config_file *text;
	const char *mime;
	uint16_t codes[CONFIG_STATUSES]; /* as of ejection */
};

/* `basic_auth` of a route (RFC 7617). */
struct http_basic_auth {
	char *file, *realm;
	/* derived */
	struct config_file *text;
	struct passwords *passwords; /* config/passwords.h */
	char challenge[320];	     /* WWW-Authenticate */
};

/* `forward_auth` of a route: another says whether a request may go on. */
struct http_forward_auth {
	char *route, *path; /* path NULL: that of the request */
	char **fields;	    /* of its answer that go on with the request */
	unsigned fields_count;
	/* derived */
	struct route *to;
};

struct http_claim {
	char *name, *value; /* of the configuration's text */
};

/* `jwt` of a route (RFC 7519, RFC 6750). */
struct http_jwt {
	char *keys; /* file: JWKS, or PEM */
	char *issuer, *audience;
	char **claims; /* "name=value" */
	unsigned claims_count;
	char *leeway;
	/* derived */
	struct config_file *text;
	struct jwks *keys_set; /* of tls/, which frees it */
	struct http_claim *wanted;
	int64_t leeway_s;
};

/* `sticky` of a route: a cookie that brings a client back to its backend. */
#define HTTP_STICKY_VALUE 16 /* of the backend's name, hashed */
#define HTTP_STICKY_FIELD 320
struct http_sticky {
	char *cookie, *max_age;
	/* derived, of each backend */
	char (*values)[HTTP_STICKY_VALUE + 1];
	char (*fields)[HTTP_STICKY_FIELD]; /* Set-Cookie, but for Secure */
};

/* What requests may have alike: "header NAME", "cookie NAME", "query NAME", "path". */
enum http_trait {
	TRAIT_NONE,
	TRAIT_HEADER,
	TRAIT_COOKIE,
	TRAIT_QUERY,
	TRAIT_PATH,
	TRAIT_USER
};
struct http_alike {
	enum http_trait trait;
	struct text name; /* of a header in lower case */
};

/* `rate` of a route: how many requests of those that are alike. */
struct http_rate {
	char *limit, *by; /* by NULL: of a client's address */
	/* derived */
	struct rate rate;
	struct http_alike alike;
};

/* `cors` of a route: which pages of other origins may use it (Fetch Standard 3.3). */
struct http_cors {
	char **origins, **methods, **headers, **expose;
	unsigned origins_count, methods_count, headers_count, expose_count;
	bool credentials;
	char *max_age;
	/* derived: lists as fields have them, or NULL */
	char *methods_text, *headers_text, *expose_text;
	char max_age_text[24]; /* seconds */
};

/* A field that is set, added or removed, or that a request must have. */
struct http_rule {
	struct text name, value; /* value.p NULL: any */
	uint8_t id;		 /* enum http_field_id */
	struct http_template what;
};

struct http_edits {
	char **set, **add, **remove;
	unsigned set_count, add_count, remove_count;
	/* derived, as many as these */
	struct http_rule *set_rules, *add_rules, *remove_rules;
};

/* `http` of a route. */
struct http_route {
	char **host, **path, **method, **header, **query, **certificate;
	unsigned host_count, path_count, method_count, header_count, query_count;
	unsigned certificate_count;
	enum config_protocol protocol; /* to its backends */
	struct http_redirect *redirect;
	struct http_respond *respond;
	struct http_edits request, response;
	char *strip;	  /* this prefix of the path goes */
	char *prefix;	  /* and this one comes */
	bool normalize;	  /* the path is sent on in normal form */
	uint32_t *pool;	  /* idle connections a worker keeps to each backend */
	bool client_cert; /* who the client is goes on (RFC 9440) */
	enum config_early early_data; /* of requests that say so (RFC 8470) */
	uint32_t *retry_budget; /* parts in 100 of its requests; NULL: HTTP_BUDGET */
	char *head_timeout;	/* of the backend's answer */
	uint64_t body_bytes;	/* largest body of a request; 0: no limit */
	struct http_cors *cors;
	struct http_basic_auth *basic_auth;
	struct http_jwt *jwt;
	struct http_forward_auth *forward_auth;
	bool internal; /* no request finds it: it is for others' forward_auth */
	struct http_sticky *sticky;
	char *hash; /* those that are alike go to the same backend */
	struct http_rate *rate;
	struct http_page *error_pages; /* before the listener's */
	unsigned error_pages_count;
	/* derived */
	int64_t head_ms;
	unsigned pool_max;
	uint32_t methods; /* bits of enum http_method; 0: any */
	struct http_rule *headers, *queries;
	struct identity_rule *identities; /* certificate_count of them */
	unsigned budget;		  /* parts in 100 */
	int64_t credit, floor;		  /* of its retries; see http/budget.c */
	bool asked;			  /* by a forward_auth */
	struct http_alike hash_by;
	struct pattern **host_patterns, **path_patterns;
	struct http_book *book;
	struct proxy_slot *slot;
};

/* Is this status among them?  Not if there are none. */
bool config_has_status(const uint16_t *codes, unsigned n, unsigned status);

/* What its backends speak, as ALPN has it (RFC 7301 6). */
static inline const char *config_protocol(const struct http_route *h)
{
	return h->protocol == PROTOCOL_H2 ? "h2" : "http/1.1";
}

/* Is every request of the route answered here? */
bool config_answers(const struct route *r);

/* --- which route a request takes --- */

/* What is known of a request. */
struct request_facts {
	const struct http_head *head;
	struct text host; /* lower case, without port */
	struct text path; /* in normal form (codec/path.h), without query */
	struct text query;
	const struct addr *client;
	const struct identity *who; /* by its certificate; NULL: it showed none */
};

/*
 * The index of a listener's HTTP routes, whose derived fields are set.  0 and *ret, the
 * caller's to free; -ENOMEM; -E2BIG: more than HTTP_RULES_MAX; or -EEXIST if route number
 * *second asks for what an earlier one does.
 */
int request_index_build(const struct listener *l, struct request_index **ret,
			unsigned *second);
void request_index_free(struct request_index *x); /* NULL is fine */

/*
 * Of the routes whose every condition is met: the highest priority; then the most
 * specific host (exact, the longest "*.suffix", an expression, "*" or none); then the
 * most specific path (exact, with ":names", the longest prefix, an expression, none);
 * then the most conditions of other kinds; then the first in the file.  NULL: none.
 * *ret_undecided: an expression came to its bounds; then NULL.
 */
struct route *request_find(const struct request_index *x, const struct request_facts *f,
			   bool *ret_undecided);

/* Call fn for each route that no request can take, with the one that is always before. */
void request_each_shadowed(const struct request_index *x,
			   void (*fn)(const struct route *r, const struct route *by,
				      void *arg),
			   void *arg);

#endif
