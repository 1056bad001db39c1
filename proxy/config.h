/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration: an immutable snapshot, shared by reference. */
#ifndef PROXY_CONFIG_H
#define PROXY_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

#define CONFIG_ERROR_MAX	 768
#define CONFIG_FILE_MAX		 (1024u * 1024)
#define CONFIG_LISTENERS_MAX	 64
#define CONFIG_NAME_MAX		 48
#define CONFIG_BACKEND_ADDRS_MAX 16
#define CONFIG_HELLO_MAX	 (1024u * 1024)

struct proxy_slot;
struct hello_book;
struct pattern;
struct route_index;

/* The header a backend gets: version 1, version 2, or that with TLVs. */
enum config_send {
	CONFIG_SEND_NONE,
	CONFIG_SEND_V1,
	CONFIG_SEND_V2,
	CONFIG_SEND_V2_TLVS
};

/* One host:port of a route; a name may stand for several addresses. */
struct backend {
	const char *name; /* as written, the metric label; borrowed from the route */
	struct addr addrs[CONFIG_BACKEND_ADDRS_MAX];
	unsigned addrs_n; /* 0 until config_resolve() */
	unsigned next;	  /* round robin over addrs; relaxed atomic */
	/* set by the books before use */
	uint16_t id;
	struct proxy_slot *downstream;
	struct proxy_slot *upstream;
};

struct route {
	char *name;
	char **sni; /* exact names, "*.suffix", "~expression", "*" */
	unsigned sni_count;
	char **alpn; /* protocols of which the client offers one */
	unsigned alpn_count;
	char **from; /* prefixes, in one of which the client is */
	unsigned from_count;
	int32_t priority; /* higher goes first */
	char **backend_names;
	unsigned backend_names_count;
	enum config_send send_proxy;
	/* derived */
	struct pattern **patterns; /* sni_count of them, NULL where it is none */
	struct prefix *sources;	   /* from_count of them */
	struct backend *backends;  /* backend_names_count of them */
	unsigned next;		   /* round robin; relaxed atomic */
	uint16_t id;
};

struct proxy_from {
	char **from;
	unsigned from_count;
};

struct limits {
	uint32_t connections; /* at once; 0 is no limit */
};

struct listener {
	char *name;
	char *address;
	bool ipv6_only;
	struct proxy_from *proxy_protocol; /* NULL: nobody is asked for a header */
	struct limits limits;
	struct route *routes;
	unsigned routes_count;
	char *fallback; /* name of the route for what cannot be decided; NULL: refuse */
	/* derived */
	struct route *fallback_route;
	struct route_index *index;
	struct addr addr;
	struct prefix *trusted; /* proxy_protocol->from_count of them */
	bool tls;		/* routes by what a ClientHello says */
	uint16_t id;
	struct hello_book *hellos;
	struct proxy_slot *slot; /* connections that ended before a route was known */
};

struct timeouts {
	char *connect, *hello, *idle, *drain;
	int64_t connect_ms, hello_ms, idle_ms, drain_ms;
};

struct config {
	char *user;	      /* whom the proxy becomes; default nobody */
	uint32_t workers;     /* threads; 0: one a CPU */
	uint32_t hello_bytes; /* the largest ClientHello, record headers included */
	struct limits limits; /* of the whole process */
	struct timeouts timeouts;
	struct listener *listeners;
	unsigned listeners_count;
	unsigned refs; /* atomic */
};

/* Every key with its path, for the manual's test; NULL ends the list. */
extern const char *const config_keys[];

/*
 * Read and check a file.  0 and one reference; or a negative errno with
 * "FILE:LINE:COLUMN: KEY: what is wrong" (or "FILE: ...") in err.  Names of backends are
 * checked for form only.
 */
int config_load(const char *path, struct config **ret, char err[CONFIG_ERROR_MAX]);

/* The same from memory; `path` is for messages. */
int config_parse(const char *path, const char *text, size_t len, struct config **ret,
		 char err[CONFIG_ERROR_MAX]);

/* Look up the backends' names (may block).  0, or a negative errno with err filled. */
int config_resolve(struct config *c, char err[CONFIG_ERROR_MAX]);

struct config *config_get(struct config *c);
void config_put(struct config *c); /* NULL is fine; the last reference frees */

#endif
