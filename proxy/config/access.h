/* SPDX-License-Identifier: Apache-2.0 */
/* The access log, as a configuration has it: which lines, and where they go. */
#ifndef PROXY_CONFIG_ACCESS_H
#define PROXY_CONFIG_ACCESS_H

#include <stdint.h>

#include "codec/http.h"

#define ACCESS_PARTS	 48
#define ACCESS_KEEP	 5
#define ACCESS_MAX_BYTES (64u * 1024) /* the least for `max_bytes` */

struct where;

/*
 * What there is to say of a request.  Up to SAMPLE it is what a line of JSON has, in that
 * order; the others are for formats.
 */
#define ACCESS_FIELDS(X)                \
	X(TIME, time)                   \
	X(LISTENER, listener)           \
	X(ROUTE, route)                 \
	X(BACKEND, backend)             \
	X(CLIENT, client)               \
	X(TLS, tls)                     \
	X(METHOD, method)               \
	X(HOST, host)                   \
	X(PATH, path)                   \
	X(PROTOCOL, protocol)           \
	X(USER_AGENT, user_agent)       \
	X(REFERER, referer)             \
	X(TRACEPARENT, traceparent)     \
	X(STATUS, status)               \
	X(REASON, reason)               \
	X(RX_BODY, request_body_bytes)  \
	X(TX_BODY, response_body_bytes) \
	X(DURATION, duration_us)        \
	X(FIRST_BYTE, first_byte_us)    \
	X(REUSED, reused)               \
	X(RETRIES, retries)             \
	X(USER, user)                   \
	X(REQUEST_ID, request_id)       \
	X(SAMPLE, sample)               \
	X(ADDRESS, client_address)      \
	X(PORT, client_port)            \
	X(REQUEST, request)             \
	X(TIME_COMMON, time_common)

enum access_field {
#define X(id, name) ACCESS_##id,
	ACCESS_FIELDS(X)
#undef X
		ACCESS_HEADER, /* "header NAME", of the request */
	ACCESS_TEXT
};

struct access_part {
	uint8_t field;	  /* enum access_field */
	struct text text; /* of TEXT; the name of HEADER, in lower case */
};

/* `access_log`. */
struct access_settings {
	char *file;
	char *format;	    /* "json", "common", "combined", or a text; NULL: json */
	uint32_t sample;    /* one in so many of those that went well; 0: all */
	uint64_t max_bytes; /* then the file is put aside; 0: never */
	uint32_t *keep;	    /* so many of those; NULL: ACCESS_KEEP */
	/* derived */
	struct access_part parts[ACCESS_PARTS];
	unsigned parts_n; /* 0: JSON */
	unsigned keep_n;
};

/* 0, or -EINVAL with what is wrong told; NULL is fine. */
int config_check_access(struct where *w, struct access_settings *a);

#endif
