/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration: an immutable snapshot, shared by reference. */
#ifndef PROXY_CONFIG_CONFIG_H
#define PROXY_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

#define CONFIG_ERROR_MAX	768
#define CONFIG_FILE_MAX		(1024u * 1024)
#define CONFIG_LISTENERS_MAX	64
#define CONFIG_CERTIFICATES_MAX 4096 /* of a listener */
#define CONFIG_DEPTH		10   /* of a chain */
#define CONFIG_TICKET_KEYS_MAX	3
#define CONFIG_NAME_MAX		48
#define CONFIG_BACKENDS_MAX	64
#define CONFIG_BACKEND_NAME	264
#define CONFIG_WEIGHT_MAX	256
#define CONFIG_DNS_SERVERS_MAX	8
#define CONFIG_HELLO_MAX	(1024u * 1024)
#define CONFIG_RETRIES		2
#define CONFIG_RELEASES_MAX	4
#define CONFIG_BACKLOG		4096 /* the kernel cuts it to net.core.somaxconn */
#define CONFIG_UNIX_MODE	0666 /* its directory says who may come */
#define CONFIG_UNIX_MAX		107  /* characters of a path (unix(7)) */

struct config;
struct proxy_slot;
struct target;
struct hello_book;
struct http_listener; /* config/http.h */
struct http_route;
struct pattern;
struct route_index;

/* The header a backend gets: version 1, version 2, or that with TLVs. */
enum config_send {
	CONFIG_SEND_NONE,
	CONFIG_SEND_V1,
	CONFIG_SEND_V2,
	CONFIG_SEND_V2_TLVS
};

enum config_balance {
	BALANCE_ROUND_ROBIN,
	BALANCE_LEAST_CONNECTIONS,
	BALANCE_SOURCE_HASH,
	BALANCE_RANDOM
};

enum config_check { CHECK_TCP, CHECK_TLS, CHECK_HTTP, CHECK_GRPC };

/* How a hello that names no route of ours is answered. */
enum config_refuse { REFUSE_RESET, REFUSE_ALERT };

/* What the idle timeout is to connections of a route: itself, times a factor, nothing. */
enum config_keep_alive { KEEP_ALIVE_STANDARD, KEEP_ALIVE_EXTENDED, KEEP_ALIVE_IMMORTAL };

/*
 * N new connections in `ms`, n = 0: no limit.  Not strict it is a bucket of tokens (GCRA,
 * ITU-T I.371): `burst` at once (0: n), and then one each ms/n, so at most burst + n in a
 * span of `ms`.  Strict it is never more than n in any span of `ms`, however they come;
 * the price is that a place is given back up to ms/7 late.
 */
struct rate {
	uint32_t n;
	int64_t ms;
	uint32_t burst;
	bool strict;
};

/* How many connections there may be, and how many new ones in a time (decide/limits.h).
 */
struct limits {
	/* as in the file */
	uint32_t connections, per_source, per_prefix; /* at once; 0 is no limit */
	char *rate_text, *source_rate_text, *prefix_rate_text;
	bool strict;		      /* of all three */
	uint8_t prefix_v4, prefix_v6; /* bits; 24 and 64 */
	/* derived */
	struct rate rate, source_rate, prefix_rate;
};

/* One host:port of a route, and how it is used; a name may stand for several addresses.
 */
struct backend {
	char name[CONFIG_BACKEND_NAME]; /* host:port or unix:path as written, the label */
	const char *path; /* of a Unix socket, within name; NULL: it has addresses */
	unsigned weight;  /* 0 to CONFIG_WEIGHT_MAX */
	unsigned limit;	  /* connections at once, 0: none */
	bool backup;
	bool drain; /* no new connections */
	bool named; /* it is looked up; else an address or a path */
	/* set before use */
	struct target *target;
	uint16_t id;
	struct proxy_slot *downstream;
	struct proxy_slot *upstream;
};

/* Checks of a route's backends. */
struct health {
	enum config_check type;
	char *interval, *timeout;
	uint32_t rise, fall; /* results in a row */
	char *name;	     /* in the hello of a TLS check, Host of one of HTTP */
	char *path;	     /* of HTTP; NULL: / */
	uint32_t status;     /* of HTTP, that it must be; 0: 200 to 399 */
	char *body;	     /* of HTTP, what it must have in it; NULL: anything */
	char *service;	     /* of gRPC; NULL: the server as a whole */
	int64_t interval_ms, timeout_ms;
};

/* Connections that wait for a place at a backend. */
struct queue {
	uint32_t size;
	char *timeout;
	int64_t timeout_ms;
};

#define CONFIG_STATUSES 16
struct ejection {
	uint32_t failures; /* in a row; 0: never */
	char *time;
	char **status; /* of answers that are failures, too; of HTTP */
	unsigned status_count;
	uint16_t codes[CONFIG_STATUSES]; /* derived; below 10: a class */
};

/* An order of backend numbers. */
struct turns {
	uint8_t *order;
	unsigned n;
};

enum config_tls { TLS_PASSTHROUGH, TLS_TERMINATE, TLS_REENCRYPT };

/* TLS to the backends of a route. */
struct backend_tls {
	bool insecure; /* whoever it is */
	char *ca;      /* who vouches for it; NULL: whom the system trusts */
	char *name;    /* that its certificate must have; NULL: as `sni` */
	char *sni;     /* asked for; NULL: the backend's name, or the client's */
	char *certificate, *key; /* our own; NULL: none */
};

/* Clients of a route must show a certificate, or may. */
struct client_certificates {
	char *ca;	 /* who vouches for them */
	char *crl;	 /* what they have revoked; NULL: nothing */
	uint32_t *depth; /* issuers between; NULL: CONFIG_DEPTH */
	bool optional;
};

struct access_settings;
struct trust; /* tls/certs.h */

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
	enum config_tls tls;
	char *min_version;		 /* of TLS that is terminated; NULL: 1.2 */
	char *ciphers, *groups;		 /* OpenSSL's lists; NULL: the defaults */
	struct backend_tls *backend_tls; /* NULL: the defaults, or no TLS */
	struct client_certificates *client_certificates; /* NULL: not asked for */
	enum config_send send_proxy;
	enum config_keep_alive keep_alive;
	enum config_balance balance;
	struct health *health; /* NULL: not checked */
	struct queue *queue;   /* NULL: nobody waits */
	struct ejection *ejection;
	struct limits limits;
	struct http_route *http; /* its requests are HTTP; NULL: bytes */
	char *slow_start;
	char *source;	   /* address that connections to its backends come from */
	uint32_t *retries; /* NULL: CONFIG_RETRIES */
	/* derived */
	bool tls_to_backends;	      /* and `trust` says whom */
	unsigned min_tls;	      /* 12 or 13 */
	const char *const *protocols; /* that TLS which ends here may choose from ... */
	unsigned protocols_count;     /* ... in that order */
	struct trust *trust;   /* of tls/, which frees it; NULL: no TLS to backends */
	struct trust *clients; /* the same of clients; NULL: not asked for */
	int64_t idle_ms;       /* 0: never */
	int64_t connect_ms;
	int64_t slow_start_ms;
	struct addr source_addr;
	unsigned retries_max;
	unsigned eject_failures;
	int64_t eject_ms;
	unsigned queued;	   /* of all workers; relaxed atomic */
	struct turns turns[2];	   /* of backends, and of backups */
	struct pattern **patterns; /* sni_count of them, NULL where it is none */
	struct prefix *sources;	   /* from_count of them */
	struct backend *backends;  /* backend_names_count of them */
	unsigned next;		   /* whose turn; relaxed atomic */
	uint16_t id;
};

struct proxy_from {
	char **from;
	unsigned from_count;
};

/* Where certificates come from that nobody has to renew (RFC 8555). */
struct acme {
	char *state;   /* a directory of root's; CONFIG_ACME_STATE */
	char *server;  /* its directory's URL; CONFIG_ACME_SERVER */
	char *contact; /* a mail address; NULL: none */
	char *ca; /* who vouches for the server itself; NULL: whom the system trusts */
};
#define CONFIG_ACME_STATE  "/var/lib/tollgate/acme"
#define CONFIG_ACME_SERVER "https://acme-v02.api.letsencrypt.org/directory"
#define CONFIG_ACME_NAMES  100 /* of a certificate */

/* A chain, leaf first, and its key, PEM; or a directory of such; or by ACME. */
struct certificate {
	char **acme; /* its names, the first of which names its files; NULL: the others */
	unsigned acme_count;
	const char *state; /* of acme: derived, the configuration's */
	char *certificate;
	char *key;	 /* NULL: in the same file */
	char *staple;	 /* an OCSP response, DER; NULL: none */
	char *directory; /* NULL: the above */
	bool is_default;
};

struct certs;	   /* tls/certs.h */
struct ticket_key; /* tls/tickets.h */

/* Of its sockets (tcp(7), socket(7)). */
struct listen_options {
	uint32_t backlog;   /* clients that wait to be accepted; 0: CONFIG_BACKLOG */
	uint32_t fast_open; /* of these, with data in their SYN; 0: none may */
	uint16_t mss;	    /* at most; 0: what the path has */
	char *interface;    /* only what comes in by this one; NULL: any */
};

struct listener {
	char *name;
	char *address; /* of TCP, or unix:path */
	char *mode;    /* of a Unix socket, octal; NULL: CONFIG_UNIX_MODE */
	bool ipv6_only;
	bool ja4;      /* events have the JA4 of the ClientHello */
	bool freebind; /* its address need not be here yet */
	struct listen_options tcp;
	enum config_refuse refuse;	   /* what is told who is not served */
	struct proxy_from *proxy_protocol; /* NULL: nobody is asked for a header */
	struct limits limits;
	struct http_listener *http; /* NULL: the defaults */
	struct certificate *certificates;
	unsigned certificates_count;
	struct route *routes;
	unsigned routes_count;
	char *fallback; /* name of the route for what cannot be decided; NULL: refuse */
	/* derived */
	struct route *fallback_route;
	struct route_index *index;
	struct addr addr; /* of a path: none of TCP, but one of its own */
	const char *path; /* of a Unix socket, within address; or NULL */
	unsigned unix_mode;
	struct prefix *trusted; /* proxy_protocol->from_count of them */
	bool tls;		/* routes by what a ClientHello says */
	bool serves;		/* HTTP; if it is not `tls`, nothing else */
	uint16_t id;
	struct certs *certs; /* of tls/, which frees them; NULL: none */
	struct route *acme; /* of challenges of ACME servers, without backends; or NULL */
	struct certs *challenges; /* of tls/: what they are answered with */
	struct hello_book *hellos;
	struct proxy_slot *slot; /* connections that ended before a route was known */
};

struct timeouts {
	char *connect, *hello, *handshake, *idle, *drain, *half_close, *life, *stuck,
		*keepalive, *zombies;
	uint32_t idle_factor; /* of routes whose keep_alive is extended */
	int64_t connect_ms, hello_ms, handshake_ms, idle_ms, drain_ms, half_close_ms;
	int64_t life_ms; /* 0: none */
	int64_t stuck_ms, keepalive_ms;
	int64_t zombies_ms; /* 0: nobody looks for them */
};

/* Who is asked for the addresses of backends; NULL: as the system does. */
struct dns {
	char **servers;
	unsigned servers_count;
};

/* What others have put into it goes first. */
struct config_release {
	void (*fn)(struct config *c, void *arg);
	void *arg;
};

/* Which of the two is the truth once there is a configuration. */
enum config_state { STATE_FILE, STATE_DATABASE };
#define CONFIG_STATE_FILE "/var/lib/tollgate/state/state.db"

struct config {
	enum config_state state;
	char *state_file;     /* the database; CONFIG_STATE_FILE if there is one */
	char *user;	      /* whom the proxy becomes; default nobody */
	uint32_t workers;     /* threads; 0: one a CPU */
	bool no_io_uring;     /* small sends by a system call each */
	uint32_t hello_bytes; /* the largest ClientHello, record headers included */
	struct limits limits; /* of the whole process */
	struct timeouts timeouts;
	struct dns *dns;
	struct acme *acme;		    /* NULL: the defaults */
	struct access_settings *access_log; /* config/access.h; NULL: none */
	char **ticket_keys;		    /* files of 80 bytes, that a fleet shares */
	unsigned ticket_keys_count;
	struct listener *listeners;
	unsigned listeners_count;
	struct config_release releases[CONFIG_RELEASES_MAX];
	unsigned releases_n;
	struct ticket_key *tickets; /* of tls/, ticket_keys_count of them; or NULL */
	uint64_t files_mark;	    /* what all files were (tls/cert_files.h) */
	struct config_file *files;  /* config/files.h */
	char *warnings; /* of what is legal and surely wrong, a line each; NULL: none */
	unsigned refs;	/* atomic */
};

/*
 * Read and check a text; `path` is for messages, and for what it includes.  0 and one
 * reference, with *resolved (NULL: nobody asks), the caller's to free: the same in one
 * text, with what it includes, has of the environment, and of `defaults`.  -EINVAL with
 * all that is wrong in *f, or -ENOMEM.  Names of backends are checked for form only.
 */
struct faults;
int config_read(const char *path, const char *text, size_t len, struct config **ret,
		char **resolved, struct faults *f);

/*
 * The same with the document of the resolved text, whose texts have their types, in *kept
 * (NULL: nobody asks), the caller's to free if it is fine.
 */
struct document;
int config_read_kept(const char *path, const char *text, size_t len, struct config **ret,
		     char **resolved, struct document *kept, struct faults *f);

/*
 * Where the configuration of a file is kept, though the rest of it may be wrong: *ret has
 * `state`, `state_file` and `user`, and nothing else.  0, or a negative errno if it does
 * not say `state: database`.
 */
int config_read_state(const char *path, struct config **ret);

/* The same of a file; another negative errno if it cannot be read. */
int config_read_file(const char *path, struct config **ret, char **resolved,
		     struct faults *f);

/*
 * The document of a file that is fine, resolved, for who shows or compares it; it is to
 * be freed in any case.  As config_read_file().
 */
int config_document(const char *path, struct document *d, struct faults *f);

/*
 * The same of a resolved text, of which only the shape is looked at: it was fine once. 0,
 * -EINVAL or -ENOMEM.
 */
int config_document_text(const char *path, const char *text, struct document *d,
			 struct faults *f);

/*
 * The same for who says the first fault only: "FILE:LINE:COLUMN: KEY: what is wrong", or
 * "FILE: ...", in why.
 */
int config_load(const char *path, struct config **ret, char why[CONFIG_ERROR_MAX]);
int config_parse(const char *path, const char *text, size_t len, struct config **ret,
		 char why[CONFIG_ERROR_MAX]);

/*
 * Call fn once before it is freed, on the thread of whoever gives up the last reference,
 * the latest of all first; for what was put into it.  At most CONFIG_RELEASES_MAX; one
 * that is there already is left, with its arg.
 */
void config_on_release(struct config *c, void (*fn)(struct config *c, void *arg),
		       void *arg);

/* One more line of its warnings, before it is in force. */
void config_warn(struct config *c, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Call fn for each backend of each route of each listener. */
void config_each_backend(struct config *c,
			 void (*fn)(struct listener *l, struct route *r,
				    struct backend *b, void *arg),
			 void *arg);

/*
 * By id, which is the same in every configuration; NULL if it is not in this one.  Of
 * routes with one name the first.
 */
struct listener *config_listener(struct config *c, uint16_t id);

/* Of two configurations, or processes: one name, one address, so one socket serves both.
 */
bool config_same_listener(const struct listener *a, const struct listener *b);
struct route *config_route(const struct listener *l, uint16_t id);

struct config *config_get(struct config *c);
void config_get_more(struct config *c, unsigned n); /* so many at once */
void config_put(struct config *c); /* NULL is fine; the last reference frees */

#endif
