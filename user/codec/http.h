/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A message of HTTP as RFC 9110 has it, whichever protocol carries it: a head, a body,
 * and trailers or none.  Texts are not terminated; they belong to who made the head.
 */
#ifndef USER_CODEC_HTTP_H
#define USER_CODEC_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define HTTP_FIELDS_MAX	 200 /* of a head that is written */
#define HTTP_FIELDS_READ 184 /* of one that is read: the others are for what is added */

struct text {
	const char *p;
	size_t n;
};

#define TEXT(s) ((struct text){ s, sizeof(s) - 1 })

static inline struct text text_of(const char *p, size_t n)
{
	return (struct text){ p, n };
}

static inline struct text text_of_string(const char *s)
{
	return text_of(s, s ? strlen(s) : 0); /* NULL: nothing */
}

/* Decimal, into the end of buf. */
#define TEXT_NUMBER 20
struct text text_number(char buf[TEXT_NUMBER], uint64_t n);

bool text_is(struct text a, struct text b);
bool text_is_nocase(struct text a, struct text b);

/* Up to the next `by`, of which the rest is without; without blanks around it. */
struct text text_cut(struct text *rest, char by);

/* Fields that somebody here asks for by name. */
#define HTTP_FIELDS(X)                                  \
	X(ACCEPT, "accept")                             \
	X(AUTHORIZATION, "authorization")               \
	X(CLIENT_CERT, "client-cert")                   \
	X(CLIENT_CERT_CHAIN, "client-cert-chain")       \
	X(CONNECTION, "connection")                     \
	X(CONTENT_LENGTH, "content-length")             \
	X(CONTENT_TYPE, "content-type")                 \
	X(COOKIE, "cookie")                             \
	X(DATE, "date")                                 \
	X(EARLY_DATA, "early-data")                     \
	X(EXPECT, "expect")                             \
	X(FORWARDED, "forwarded")                       \
	X(HOST, "host")                                 \
	X(HTTP2_SETTINGS, "http2-settings")             \
	X(KEEP_ALIVE, "keep-alive")                     \
	X(LOCATION, "location")                         \
	X(MAX_FORWARDS, "max-forwards")                 \
	X(ORIGIN, "origin")                             \
	X(PROXY_AUTHENTICATE, "proxy-authenticate")     \
	X(PROXY_AUTHORIZATION, "proxy-authorization")   \
	X(PROXY_CONNECTION, "proxy-connection")         \
	X(SEC_WEBSOCKET_ACCEPT, "sec-websocket-accept") \
	X(SEC_WEBSOCKET_KEY, "sec-websocket-key")       \
	X(SERVER, "server")                             \
	X(SET_COOKIE, "set-cookie")                     \
	X(TE, "te")                                     \
	X(TRACEPARENT, "traceparent")                   \
	X(TRAILER, "trailer")                           \
	X(TRANSFER_ENCODING, "transfer-encoding")       \
	X(UPGRADE, "upgrade")                           \
	X(USER_AGENT, "user-agent")                     \
	X(VIA, "via")                                   \
	X(X_FORWARDED_FOR, "x-forwarded-for")           \
	X(X_FORWARDED_HOST, "x-forwarded-host")         \
	X(X_FORWARDED_PORT, "x-forwarded-port")         \
	X(X_FORWARDED_PROTO, "x-forwarded-proto")       \
	X(X_REAL_IP, "x-real-ip")                       \
	X(X_REQUEST_ID, "x-request-id")

enum http_field_id {
	HTTP_OTHER_FIELD,
#define X(id, name) HTTP_##id,
	HTTP_FIELDS(X)
#undef X
		HTTP_FIELD_IDS
};

/* The id of a name in lower case. */
enum http_field_id http_field_id(const char *name, size_t n);
struct text http_field_name(enum http_field_id id);

struct http_field {
	const char *name, *value; /* the name in lower case */
	uint16_t name_n;
	uint8_t id;	 /* enum http_field_id */
	bool hop : 1;	 /* of this connection only (RFC 9110 7.6.1) */
	bool secret : 1; /* never to be indexed by HPACK (RFC 7541 7.1.3) */
	uint32_t value_n;
};

static inline struct text http_value(const struct http_field *f)
{
	return text_of(f->value, f->value_n);
}

#define HTTP_METHODS(X) \
	X(GET)          \
	X(HEAD)         \
	X(POST)         \
	X(PUT)          \
	X(DELETE)       \
	X(PATCH)        \
	X(OPTIONS)      \
	X(CONNECT)      \
	X(TRACE)

enum http_method {
	HTTP_METHOD_OTHER,
#define X(name) HTTP_METHOD_##name,
	HTTP_METHODS(X)
#undef X
		HTTP_METHOD_IDS
};

/* Case counts (RFC 9110 9.1). */
enum http_method http_method(struct text name);
const char *http_method_name(enum http_method m);
bool http_is_safe(enum http_method m);	     /* RFC 9110 9.2.1 */
bool http_is_idempotent(enum http_method m); /* RFC 9110 9.2.2 */

/*
 * What makes a message one that no two readers would read alike, or more than is taken,
 * with the status that says so to who asked (RFC 9110 15.5, 15.6).
 */
#define HTTP_FAULTS(X)                                                           \
	X(REQUEST_LINE, 400) /* RFC 9112 3 */                                    \
	X(STATUS_LINE, 400)  /* RFC 9112 4 */                                    \
	X(VERSION, 505)	     /* RFC 9112 2.3 */                                  \
	X(TARGET, 400)	     /* RFC 9112 3.2 */                                  \
	X(BARE_LF, 400)	     /* RFC 9112 2.2 */                                  \
	X(BARE_CR, 400)                                                          \
	X(FOLDING, 400)	    /* RFC 9112 5.2 */                                   \
	X(FIELD_NAME, 400)  /* RFC 9112 5.1: no blank before the colon */        \
	X(FIELD_VALUE, 400) /* RFC 9110 5.5 */                                   \
	X(HEAD_TOO_LARGE, 431)                                                   \
	X(TARGET_TOO_LONG, 414)                                                  \
	X(FIELDS_TOO_MANY, 431)                                                  \
	X(HOST_MISSING, 400) /* RFC 9112 3.2 */                                  \
	X(HOST_TWICE, 400)                                                       \
	X(HOST_INVALID, 400)                                                     \
	X(HOST_MISMATCH, 400)  /* absolute form and Host */                      \
	X(LENGTH_INVALID, 400) /* RFC 9112 6.3 */                                \
	X(LENGTH_TWICE, 400)                                                     \
	X(LENGTH_AND_CODING, 400)                                                \
	X(CODING_INVALID, 400) /* RFC 9112 6.1 */                                \
	X(CODING_UNKNOWN, 501)                                                   \
	X(CODING_IN_1_0, 400)                                                    \
	X(UPGRADE_INVALID, 400) /* with a body, or of a version that has none */ \
	X(EXPECTATION, 417)	/* RFC 9110 10.1.1 */                            \
	X(CHUNK_SIZE, 400)	/* RFC 9112 7.1 */                               \
	X(CHUNK_EXTENSION, 400)                                                  \
	X(CHUNK_END, 400)                                                        \
	X(TRAILER, 400) /* RFC 9112 7.1.2 */

enum http_fault {
	HTTP_FINE,
#define X(name, status) HTTP_FAULT_##name,
	HTTP_FAULTS(X)
#undef X
		HTTP_FAULT_MAX
};

unsigned http_fault_status(enum http_fault f);

/* How long a body is. */
enum http_body {
	HTTP_BODY_NONE,
	HTTP_BODY_LENGTH,  /* `length` bytes */
	HTTP_BODY_CHUNKED, /* h1: chunks; h2: until END_STREAM */
	HTTP_BODY_CLOSE,   /* h1: until the connection ends */
};

struct http_head {
	uint16_t status;      /* of a response; 0: a request */
	uint8_t major, minor; /* of its protocol's version */
	uint8_t method;	      /* enum http_method, of a request */
	uint8_t body;	      /* enum http_body */
	bool has_length : 1;  /* `length` was said, whether a body follows or not */
	bool close : 1;	      /* its sender ends the connection after this message */
	bool upgrade : 1;     /* Connection names Upgrade, and that one protocol */
	bool expects : 1;     /* Expect: 100-continue */
	bool trailers : 1;    /* TE: trailers */
	bool several : 1;     /* Upgrade names more than one */
	bool extended : 1; /* CONNECT of RFC 8441: the rest reads as GET with Upgrade */
	bool absolute : 1; /* its target was in absolute form */
	uint64_t length;
	struct text method_name;
	struct text scheme;    /* "http", "https" where the message says so, else empty */
	struct text authority; /* host and port as asked for: Host or :authority */
	struct text path;      /* with query; "*" */
	struct text protocol;  /* of Upgrade, of :protocol (RFC 8441) */
	struct text reason;    /* of a response, h1 */
	unsigned n;
	struct http_field fields[HTTP_FIELDS_MAX];
};

/* A copy of so much of it as is used; the texts stay where they are. */
void http_head_copy(struct http_head *to, const struct http_head *from);

/* A copy with its fields and their texts, malloc; NULL without memory. */
struct http_head *http_head_dup(const struct http_head *from);

/* The next field of that id after number *at (begin with -1); NULL: there is none. */
const struct http_field *http_find(const struct http_head *h, enum http_field_id id,
				   int *at);

/* The first field of that name, which is in lower case; NULL: there is none. */
const struct http_field *http_find_named(const struct http_head *h, struct text name);

/*
 * What Authorization says by this scheme, which is in lower case (RFC 9110 11.4); n 0: it
 * is not there, twice, or by another.
 */
struct text http_credentials(const struct http_head *h, struct text scheme);

/* The first cookie of that name (RFC 6265 5.4).  False: there is none. */
bool http_cookie(const struct http_head *h, struct text name, struct text *ret);

/* Add one at the end; false if there is no place. */
bool http_add(struct http_head *h, enum http_field_id id, struct text name,
	      struct text value);
void http_remove(struct http_head *h, enum http_field_id id);

/*
 * Marks what is of one connection only: the fields RFC 9110 7.6.1 names, and those that
 * Connection nominates, but for what a nomination would only hide from who is behind us
 * (Host, Cookie, X-Forwarded-...).  FINE, or FIELDS_TOO_MANY: it nominates more than
 * HTTP_NOMINATED_MAX.
 */
#define HTTP_NOMINATED_MAX 64
enum http_fault http_mark_hops(struct http_head *h);

/* Content-Length (RFC 9110 8.6): 1*DIGIT, at most INT64_MAX. */
enum http_fault http_length(struct text t, uint64_t *ret);

/* Are they one variable of CGI (RFC 3875 4.1.18), which has `_` for `-`?  In lower case.
 */
bool http_is_alike(struct text a, struct text b);

/* What says how a message is on its connection, and only who writes it there can say. */
bool http_is_framing(enum http_field_id id);

/* What a trailer may not say, for it was said before, or should have been; hops marked.
 */
bool http_is_late(const struct http_field *f);

/* Characters: of a token (RFC 9110 5.6.2), of a field's value (5.5). */
extern const uint8_t http_chars[256];
#define HTTP_IS_TCHAR 1
#define HTTP_IS_VALUE 2
#define HTTP_IS_PATH  4 /* of a target, but `#` */
#define HTTP_IS_HOST  8 /* of a host, without brackets, and port */

bool http_is_token(struct text t);
bool http_is_value(struct text t);

/* host [":" port] (RFC 9110 7.2), or [v6] [":" port]. */
bool http_is_authority(struct text t);

/* Characters of a path and its query (RFC 3986 3.3, 3.4), or none. */
bool http_is_path(struct text t);

/* The host of it, without the port; brackets stay. */
struct text http_host(struct text authority);

#endif
