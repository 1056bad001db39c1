/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The part of the contract that the kernel programs only hold the maps for: what the
 * proxy writes through mapped memory, and readers read.  Included by abi.h.
 */
#ifndef BPF_ABI_PROXY_H
#define BPF_ABI_PROXY_H

#include "abi.h"

/* Who ended a connection of the proxy; the strings are metric labels. */
#define TG_SIDES(X)           \
	X(CLIENT, "client")   \
	X(BACKEND, "backend") \
	X(PROXY, "proxy")

enum tg_side {
#define X(name, label) TG_SIDE_##name,
	TG_SIDES(X)
#undef X
		TG_SIDE_MAX
};

/*
 * Why the proxy ended or refused a connection: code, metric label, whose doing it is, and
 * its class; new ones go to the end.  Of DONE, TRUNCATED, STUCK and SILENT the doing is
 * that of the end which closed or failed first.
 */
#define TG_ENDS(X)                                                          \
	X(DONE, "done", CLIENT, RELAYED)                                    \
	X(CLIENT_RESET, "client_reset", CLIENT, RELAYED)                    \
	X(BACKEND_RESET, "backend_reset", BACKEND, RELAYED)                 \
	X(IDLE_TIMEOUT, "idle_timeout", PROXY, RELAYED)                     \
	X(HALF_CLOSE_TIMEOUT, "half_close_timeout", PROXY, RELAYED)         \
	X(LIFE_MAX, "life_timeout", PROXY, RELAYED)                         \
	X(STUCK, "stuck", CLIENT, RELAYED)                                  \
	X(SILENT, "silent", CLIENT, RELAYED)                                \
	X(ZOMBIE, "zombie", PROXY, RELAYED)                                 \
	X(DRAINED, "drain_deadline", PROXY, RELAYED)                        \
	X(PROXY_DIED, "proxy_died", PROXY, RELAYED)                         \
	X(TRUNCATED, "truncated", CLIENT, RELAYED)                          \
	X(PROCESS_CONNECTIONS, "process_connections", PROXY, LIMIT)         \
	X(PROCESS_RATE, "process_rate", PROXY, LIMIT)                       \
	X(LISTENER_CONNECTIONS, "listener_connections", PROXY, LIMIT)       \
	X(LISTENER_RATE, "listener_rate", PROXY, LIMIT)                     \
	X(ROUTE_CONNECTIONS, "route_connections", PROXY, LIMIT)             \
	X(ROUTE_RATE, "route_rate", PROXY, LIMIT)                           \
	X(SOURCE_CONNECTIONS, "source_connections", CLIENT, LIMIT)          \
	X(SOURCE_RATE, "source_rate", CLIENT, LIMIT)                        \
	X(PREFIX_CONNECTIONS, "prefix_connections", CLIENT, LIMIT)          \
	X(PREFIX_RATE, "prefix_rate", CLIENT, LIMIT)                        \
	X(PROXY_V1_LINE, "proxy_header_v1_malformed", CLIENT, HEADER)       \
	X(PROXY_V1_LENGTH, "proxy_header_v1_too_long", CLIENT, HEADER)      \
	X(PROXY_V2_VERSION, "proxy_header_version", CLIENT, HEADER)         \
	X(PROXY_V2_COMMAND, "proxy_header_command", CLIENT, HEADER)         \
	X(PROXY_V2_FAMILY, "proxy_header_family", CLIENT, HEADER)           \
	X(PROXY_V2_ADDRESS, "proxy_header_too_short", CLIENT, HEADER)       \
	X(PROXY_V2_TLV, "proxy_header_tlv", CLIENT, HEADER)                 \
	X(PROXY_V2_CHECKSUM, "proxy_header_checksum", CLIENT, HEADER)       \
	X(PROXY_V2_LENGTH, "proxy_header_too_large", CLIENT, HEADER)        \
	X(PROXY_HEADER_MISSING, "proxy_header_missing", CLIENT, HEADER)     \
	X(PROXY_HEADER_UNTRUSTED, "proxy_header_untrusted", CLIENT, HEADER) \
	X(HELLO_NOT_TLS, "hello_not_tls", CLIENT, HELLO)                    \
	X(HELLO_INVALID, "hello_invalid", CLIENT, HELLO)                    \
	X(HELLO_TOO_LARGE, "hello_too_large", CLIENT, HELLO)                \
	X(HELLO_TIMEOUT, "hello_timeout", CLIENT, HELLO)                    \
	X(HELLO_CLOSED, "closed_before_hello", CLIENT, HELLO)               \
	X(HELLO_RESET, "reset_before_hello", CLIENT, HELLO)                 \
	X(NO_SNI, "no_server_name", CLIENT, HELLO)                          \
	X(NO_ROUTE, "no_route", CLIENT, HELLO)                              \
	X(BACKEND_REFUSED, "backend_refused", BACKEND, BACKEND)             \
	X(BACKEND_TIMEOUT, "backend_timeout", BACKEND, BACKEND)             \
	X(BACKEND_UNREACHABLE, "backend_unreachable", BACKEND, BACKEND)     \
	X(NO_BACKEND, "no_backend", BACKEND, BACKEND)                       \
	X(QUEUE_FULL, "queue_full", BACKEND, BACKEND)                       \
	X(QUEUE_TIMEOUT, "queue_timeout", BACKEND, BACKEND)                 \
	X(CLIENT_GONE, "client_gone_before_backend", CLIENT, BACKEND)       \
	X(RESOURCES, "out_of_resources", PROXY, PROXY)                      \
	X(LOOP, "loop", PROXY, PROXY)                                       \
	X(EXPRESSION, "expression_limit", CLIENT, HELLO)                    \
	X(EVICTED, "opening_evicted", CLIENT, PROXY)                        \
	X(LOCAL_PORTS, "local_ports", PROXY, BACKEND)                       \
	X(TLS_HANDSHAKE, "tls_handshake_failed", CLIENT, TLS)               \
	X(TLS_NAME, "tls_unknown_name", CLIENT, TLS)                        \
	X(TLS_NOT_SHARED, "tls_nothing_shared", CLIENT, TLS)                \
	X(CLIENT_CERTIFICATE, "client_certificate_missing", CLIENT, TLS)    \
	X(CLIENT_TRUST, "client_not_trusted", CLIENT, TLS)                  \
	X(TLS_ALERT, "tls_alert_received", CLIENT, TLS)                     \
	X(TLS_TIMEOUT, "tls_handshake_timeout", CLIENT, TLS)                \
	X(TLS_CLOSED, "closed_in_handshake", CLIENT, TLS)                   \
	X(TLS_RESET, "reset_in_handshake", CLIENT, TLS)                     \
	X(TLS_TRUNCATED, "tls_truncated", CLIENT, RELAYED)                  \
	X(TLS_ERROR, "tls_error", CLIENT, RELAYED)                          \
	X(BACKEND_TLS, "backend_tls_failed", BACKEND, BACKEND)              \
	X(BACKEND_TRUST, "backend_not_trusted", BACKEND, BACKEND)           \
	X(ACME, "acme_challenge", PROXY, TLS)                               \
	X(HTTP_INVALID, "http_invalid", CLIENT, HTTP)                       \
	X(HTTP_CLOSED, "closed_in_request", CLIENT, HTTP)                   \
	X(HTTP_HEAD_TIMEOUT, "request_head_timeout", CLIENT, HTTP)          \
	X(HTTP_BODY_TIMEOUT, "request_body_timeout", CLIENT, HTTP)          \
	X(HTTP_KEEP_ALIVE, "keep_alive_timeout", PROXY, RELAYED)            \
	X(HTTP_FLOOD, "http_flood", CLIENT, HTTP)                           \
	X(HTTP_EVICTED, "idle_evicted", PROXY, RELAYED)                     \
	X(KILLED, "killed", PROXY, RELAYED)

/* Room for reasons to come, so that one more changes the size of nothing. */
#define TG_END_PLACES 96

enum tg_end_class {
	TG_END_CLASS_RELAYED, /* bytes could be passed; all others were refused */
	TG_END_CLASS_LIMIT,
	TG_END_CLASS_HEADER,
	TG_END_CLASS_HELLO,
	TG_END_CLASS_BACKEND,
	TG_END_CLASS_PROXY,
	TG_END_CLASS_TLS,
	TG_END_CLASS_HTTP
};

enum tg_end {
#define X(name, label, side, class) TG_END_##name,
	TG_ENDS(X)
#undef X
		TG_END_MAX
};

_Static_assert(TG_END_MAX <= TG_END_PLACES, "a new reason needs another ABI");

/*
 * The proxy book: one slot a row, mapped by the proxy, which adds with relaxed atomics.
 * A slot is taken by setting `used`.  Those of rows that no configuration has any more
 * are folded into the row of the past (listener, route and backend 0) and free again.
 */
/* CLAIMED: by a proxy that is about to write its row. */
enum tg_slot { TG_SLOT_NEVER, TG_SLOT_USED, TG_SLOT_FREE, TG_SLOT_CLAIMED };

enum tg_store { TG_STORE_NONE, TG_STORE_WRONG, TG_STORE_FINE };

struct proxy_slot {
	struct row_key row;
	__u32 used; /* enum tg_slot */
	__u32 ends; /* its element of `proxy_ends`; 0: none */
	__u32 http; /* its element of `proxy_http`; 0: none */
	/* proxy_state.configuration when it was last in force: else its gauges are over
	 */
	__u64 configured;
	__u64 opened;
	__u64 closed;
	__u64 rx_payload_bytes; /* read from the socket, PROXY header not included */
	__u64 tx_payload_bytes; /* written to it, PROXY header not included */
	__u64 rx_header_bytes;	/* PROXY headers */
	__u64 tx_header_bytes;
	__u64 undelivered_bytes; /* read on this leg, never written to the other */
	/* of the upstream leg only: what is known of the backend */
	__u64 backend_up; /* gauge: 1 or 0 */
	__u64 checks_passed, checks_failed;
	__u64 ejections;
	__u64 retries; /* connections that went on to another backend */
	__u64 lookups_failed;
	__u64 addresses; /* gauge: of its name that are known */
	/*
	 * Of connections whose TLS ended here, when they have closed
	 * (proxy/tls/stream.h): tls = app + handshake + record (+ partial of rx), each
	 * way.
	 */
	__u64 tls_connections;
	__u64 tls_rx_bytes; /* what of the payload was theirs */
	__u64 tls_tx_bytes;
	__u64 app_rx_bytes; /* what the application said, decrypted */
	__u64 app_tx_bytes;
	__u64 tls_rx_handshake_bytes; /* in records of handshakes, tickets, key updates */
	__u64 tls_tx_handshake_bytes;
	__u64 tls_rx_record_bytes; /* headers, tags, padding; alerts */
	__u64 tls_tx_record_bytes;
	__u64 tls_partial_bytes;  /* received, and no whole record that was read */
	__u64 tls_unsent_bytes;	  /* of records that did not leave: tx lacks them */
	__u64 tls_residual_bytes; /* sum of |difference| of each connection */
	__u64 backend_drained;	  /* gauge: nobody new goes to it, by whomever */
	/* of element 0, which is no row's: gauges of the process */
	__u64 store;	    /* enum tg_store: of the configuration (proxy/state/) */
	__u64 file_differs; /* the file is another than was taken of it */
	__u64 reserved[5];  /* 0; columns to come */
};

/*
 * `proxy_ends`: how the connections of a row ended, of downstream rows only, which are
 * half of them and those of the listeners.  Element 0 is nobody's.
 */
#define TG_ENDS_OF(slots) ((slots) / 2 + TG_LISTENERS_MAX)
struct proxy_ends {
	__u32 used; /* enum tg_slot */
	__u32 pad;
	__u64 n[TG_END_PLACES][TG_SIDE_MAX];
};

/*
 * How a request ended; the strings are metric labels.  New ones go to the end.  What is
 * between DONE and NO_ROUTE is what a message had that is not taken (user/codec/http.h).
 */
#define TG_REQUESTS(X)                            \
	X(DONE, "done")                           \
	X(REQUEST_LINE, "request_line")           \
	X(STATUS_LINE, "status_line")             \
	X(VERSION, "version")                     \
	X(TARGET, "target")                       \
	X(BARE_LF, "bare_lf")                     \
	X(BARE_CR, "bare_cr")                     \
	X(FOLDING, "folding")                     \
	X(FIELD_NAME, "field_name")               \
	X(FIELD_VALUE, "field_value")             \
	X(HEAD_TOO_LARGE, "head_too_large")       \
	X(TARGET_TOO_LONG, "target_too_long")     \
	X(FIELDS_TOO_MANY, "fields_too_many")     \
	X(HOST_MISSING, "host_missing")           \
	X(HOST_TWICE, "host_twice")               \
	X(HOST_INVALID, "host_invalid")           \
	X(HOST_MISMATCH, "host_mismatch")         \
	X(LENGTH_INVALID, "length_invalid")       \
	X(LENGTH_TWICE, "length_twice")           \
	X(LENGTH_AND_CODING, "length_and_coding") \
	X(CODING_INVALID, "coding_invalid")       \
	X(CODING_UNKNOWN, "coding_unknown")       \
	X(CODING_IN_1_0, "coding_in_1_0")         \
	X(UPGRADE_INVALID, "upgrade_invalid")     \
	X(EXPECTATION, "expectation")             \
	X(CHUNK_SIZE, "chunk_size")               \
	X(CHUNK_EXTENSION, "chunk_extension")     \
	X(CHUNK_END, "chunk_end")                 \
	X(TRAILER, "trailer")                     \
	X(NO_ROUTE, "no_route")                   \
	X(PATH, "path")                           \
	X(METHOD, "method")                       \
	X(UNDERSCORE, "underscore")               \
	X(MISDIRECTED, "misdirected")             \
	X(EXPRESSION, "expression_limit")         \
	X(BODY_TOO_LARGE, "body_too_large")       \
	X(REDIRECTED, "redirected")               \
	X(ANSWERED, "answered")                   \
	X(NO_BACKEND, "no_backend")               \
	X(QUEUE, "queue")                         \
	X(BACKEND_CONNECT, "backend_connect")     \
	X(BACKEND_CLOSED, "backend_closed")       \
	X(BACKEND_INVALID, "backend_invalid")     \
	X(BACKEND_TRUNCATED, "backend_truncated") \
	X(BACKEND_TIMEOUT, "backend_timeout")     \
	X(HEAD_TIMEOUT, "head_timeout")           \
	X(BODY_TIMEOUT, "body_timeout")           \
	X(CLIENT_GONE, "client_gone")             \
	X(REWRITTEN, "too_large_to_forward")      \
	X(RESOURCES, "out_of_resources")          \
	X(STOPPED, "stopped")                     \
	X(LIMIT, "limit")                         \
	X(PREFLIGHT, "preflight")                 \
	X(ORIGIN, "origin_refused")               \
	X(NO_CREDENTIALS, "credentials_missing")  \
	X(CREDENTIALS, "credentials_wrong")       \
	X(AUTH_BUSY, "credentials_unchecked")     \
	X(TOKEN, "token_invalid")                 \
	X(TOKEN_EXPIRED, "token_expired")         \
	X(TOKEN_REFUSED, "token_refused")         \
	X(AUTH_REFUSED, "auth_refused")           \
	X(AUTH_FAILED, "auth_failed")             \
	X(BACKEND_TLS, "backend_tls")             \
	X(EARLY_DATA, "early_data")               \
	X(RETRY_BUDGET, "retry_budget")

#define TG_REQUEST_PLACES 96

enum tg_request {
#define X(name, label) TG_REQUEST_##name,
	TG_REQUESTS(X)
#undef X
		TG_REQUEST_MAX
};

_Static_assert(TG_REQUEST_MAX <= TG_REQUEST_PLACES, "a new reason needs another ABI");

/* Methods that are counted by name. */
#define TG_METHODS(X)         \
	X(OTHER, "other")     \
	X(GET, "GET")         \
	X(HEAD, "HEAD")       \
	X(POST, "POST")       \
	X(PUT, "PUT")         \
	X(DELETE, "DELETE")   \
	X(PATCH, "PATCH")     \
	X(OPTIONS, "OPTIONS") \
	X(CONNECT, "CONNECT") \
	X(TRACE, "TRACE")

enum tg_method {
#define X(name, label) TG_METHOD_##name,
	TG_METHODS(X)
#undef X
		TG_METHOD_MAX
};

/* Kinds of bytes of HTTP: their sum is what its connection carried. */
#define TG_HTTP_KINDS(X)      \
	X(HEAD, "head")       \
	X(BODY, "body")       \
	X(FRAMING, "framing") \
	X(UNREAD, "unread")

enum tg_http_kind {
#define X(name, label) TG_HTTP_##name,
	TG_HTTP_KINDS(X)
#undef X
		TG_HTTP_KIND_MAX
};

#define TG_HTTP_SHIFT	   4 /* of histograms: microseconds, as of RTT */
#define TG_HTTP_STATUS_MIN 100
#define TG_HTTP_STATUSES   500

/*
 * `proxy_http`: requests of a row of a listener and a route (backend 0), and of the
 * listener alone: what came to no route, or to one without a place of its own, and all
 * connections of clients; mapped by the proxy.  Element 0 is nobody's.
 */
#define TG_HTTP_OF(slots) ((slots) / 16 + TG_LISTENERS_MAX)
struct http_book {
	__u32 used; /* enum tg_slot */
	__u32 pad;
	__u64 requests[TG_REQUEST_PLACES];
	__u64 methods[16];
	__u64 statuses[TG_HTTP_STATUSES]; /* of answers, by whomever */
	/* of connections to clients, and to backends */
	__u64 bytes[2][TG_DIR_MAX][TG_HTTP_KIND_MAX];
	__u64 connections[2];	      /* that have closed */
	__u64 carried[2][TG_DIR_MAX]; /* what these carried, above TLS */
	__u64 unsent[2];	      /* of it, what was written and never left */
	__u64 residual_bytes;	      /* sum of |difference| of each connection */
	__u64 pool_hits, pool_misses;
	__u64 retries;	/* requests that were sent again */
	__u64 upgrades; /* connections that became another protocol's */
	struct tcp_hist duration_us;
	struct tcp_hist first_byte_us; /* of the answer, since the request's head */
	__u64 begun[2];		       /* connections, whatever became of them */
	__u64 left[2]; /* of these, what a proxy had open that was killed */
	__u64 reserved[60];
};

/*
 * What ClientHellos of a listener looked like, by listener id; mapped by the proxy.  The
 * histograms are as those of sockets: bytes from 2^TG_HELLO_BYTES_SHIFT on, TLS records
 * and TCP segments (those of a PROXY header before it included) from 1 on.
 */
#define TG_HELLO_BYTES_SHIFT 6
#define TG_HANDSHAKE_SHIFT   4 /* microseconds, as of RTT */
#define TG_TLS_VERSIONS(X) \
	X(12, "1.2")       \
	X(13, "1.3")

enum tg_tls {
#define X(name, label) TG_TLS_##name,
	TG_TLS_VERSIONS(X)
#undef X
		TG_TLS_MAX
};

/* Families of ciphers, groups of key exchanges. */
#define TG_TLS_CIPHERS(X)                         \
	X(AES_128_GCM, "aes_128_gcm")             \
	X(AES_256_GCM, "aes_256_gcm")             \
	X(CHACHA20_POLY1305, "chacha20_poly1305") \
	X(OTHER, "other")

enum tg_tls_cipher {
#define X(name, label) TG_CIPHER_##name,
	TG_TLS_CIPHERS(X)
#undef X
		TG_CIPHER_MAX
};

/* With their numbers (RFC 8446 4.2.7, draft-ietf-tls-ecdhe-mlkem). */
#define TG_TLS_GROUPS(X)                          \
	X(NONE, 0, "none")                        \
	X(SECP256R1, 23, "secp256r1")             \
	X(SECP384R1, 24, "secp384r1")             \
	X(X25519, 29, "x25519")                   \
	X(X25519MLKEM768, 4588, "x25519mlkem768") \
	X(OTHER, 65535, "other")

enum tg_tls_group {
#define X(name, number, label) TG_GROUP_##name,
	TG_TLS_GROUPS(X)
#undef X
		TG_GROUP_MAX
};

/* Alerts, with their numbers (RFC 8446 6); 255 stands for the others. */
#define TG_TLS_ALERTS(X)                  \
	X(0, "close_notify")              \
	X(10, "unexpected_message")       \
	X(20, "bad_record_mac")           \
	X(22, "record_overflow")          \
	X(40, "handshake_failure")        \
	X(42, "bad_certificate")          \
	X(43, "unsupported_certificate")  \
	X(44, "certificate_revoked")      \
	X(45, "certificate_expired")      \
	X(46, "certificate_unknown")      \
	X(47, "illegal_parameter")        \
	X(48, "unknown_ca")               \
	X(49, "access_denied")            \
	X(50, "decode_error")             \
	X(51, "decrypt_error")            \
	X(70, "protocol_version")         \
	X(71, "insufficient_security")    \
	X(80, "internal_error")           \
	X(86, "inappropriate_fallback")   \
	X(90, "user_canceled")            \
	X(100, "no_renegotiation")        \
	X(109, "missing_extension")       \
	X(110, "unsupported_extension")   \
	X(112, "unrecognized_name")       \
	X(115, "unknown_psk_identity")    \
	X(116, "certificate_required")    \
	X(120, "no_application_protocol") \
	X(255, "other")

enum tg_tls_alert {
#define X(number, label) TG_ALERT_##number,
	TG_TLS_ALERTS(X)
#undef X
		TG_ALERT_MAX
};

struct hello_book {
	struct tcp_hist bytes;
	struct tcp_hist records;
	struct tcp_hist segments;
	__u64 ech_outer; /* whose name is the public one of an encrypted hello */
	__u64 unnamed;	 /* without a name */
	/* of those whose TLS ends here: handshakes that were done */
	__u64 handshakes[TG_TLS_MAX];
	__u64 handshakes_resumed; /* of all of these */
	__u64 ciphers[TG_CIPHER_MAX];
	__u64 groups[TG_GROUP_MAX];
	__u64 alerts[TG_DIR_MAX][TG_ALERT_MAX];
	__u64 expires_unix; /* gauge: the first of its certificates that will, or 0 */
	__u64 missing;	    /* gauge: certificates that ACME is to bring, and has not */
	struct tcp_hist handshake_us;
};

/*
 * Sources that were refused most for a limit, mapped by the proxy.  When all places are
 * taken, who comes next takes that of the least, and its count: `refused` is at most
 * `over` too high (the Space-Saving algorithm, Metwally 2005).
 */
#define TG_OFFENDERS_MAX 64
struct offender {
	__u8 ip[16];
	__u16 listener;
	__u8 reason; /* enum tg_end */
	__u8 used;
	__u8 pad[4];
	__u64 refused;
	__u64 over;
	__u64 last_ns;
};

/* `proxy_state`, one element, mapped by the proxy. */
struct proxy_state {
	__u64 pid;
	__u64 started_unix;
	__u64 heartbeat_ns; /* CLOCK_MONOTONIC, each second: alive if recent */
	__u64 starts;
	__u64 workers;
	__u64 accept_paused; /* gauge: workers that cannot accept now */
	__u64 accept_pauses; /* counter */
	__u64 reloads_ok;
	__u64 reloads_failed;
	__u64 upgrades; /* times a successor took over */
	__u64 draining;
	__u64 label_errors;   /* sockets that could not be labelled */
	__u64 labels_taken;   /* places of `labels`, ever */
	__u64 labels_swept;   /* of these, given back by the proxy */
	__u64 labels_called;  /* labels by a system call, as their buckets were full */
	__u64 slot_errors;    /* rows that found no slot, of the past too */
	__u64 pipes;	      /* gauge: pipes held, pooled or in use */
	__u64 buffers;	      /* gauge: relay buffers, the same */
	__u64 zombie_checks;  /* times sessions were compared with the kernel's sockets */
	__u64 stray_sockets;  /* gauge: of the proxy, but of no session */
	__u64 limits_full;    /* sources that found no place in the table of limits */
	__u64 netns_cookie;   /* of its sockets */
	__u64 log_suppressed; /* lines kept back because there were too many alike */
	__u64 configuration;  /* raised whenever another one comes into force */
	__u64 folds; /* odd while rows are folded: who reads waits (user/book/places.h) */
	__u64 access_lost;  /* lines of the access log that were not written */
	__u64 folds_broken; /* that a proxy was killed in: sums of the past may be wrong
			     */
};

/*
 * `labels`: labels (struct sock_label) in memory that the proxy maps, so that a label and
 * a claim cost it no system call.  A socket's is in any place of one of the two buckets
 * of its SO_COOKIE, and counts instead of that in its sk_storage.  Cookies are given out
 * one after the other, so neighbours share a bucket and few pages are touched.  Written:
 * the sums, `name` by one store, and, of a new one, the cookie last.  The kernel programs
 * give the place back when the claim was compared; the proxy, one that they never will
 * (user/book/labels.h).
 */
#define TG_LABEL_BUCKETS 32768
#define TG_LABEL_PLACES	 4
#define TG_LABEL_TAKING	 (~0ull) /* a cookie: somebody's in a moment */
#define TG_LABEL_LEFT	 4	 /* flags of the proxy: of one that died ... */
#define TG_LABEL_SEEN	 8	 /* ... was met by a sweep */

struct label_place {
	__u64 cookie; /* 0: nobody's */
	union {
		struct sock_label label;
		__u64 name; /* its ids, leg and flags */
	};
};
_Static_assert(sizeof(struct label_place) == 32, "label_place is map ABI");

/* which: 0 or 1 */
#define TG_LABEL_BUCKET(cookie, which, buckets) \
	(((cookie) / TG_LABEL_PLACES + (which) * ((buckets) / 2)) % (buckets))

struct label_bucket {
	struct label_place places[TG_LABEL_PLACES];
};

/*
 * `proxy_events`: one for every connection that the proxy ended or refused (those of a
 * proxy that was killed have none), in mapped memory.  A ring like `records`: lossy by
 * contract, with one reader, the exporter.  Event n, counted from 1, is in element (n -
 * 1) modulo the size of the map.
 */
#define TG_SERVER_NAME_LEN 256
#define TG_JA4_LEN	   40
struct proxy_event {
	__u64 number;	 /* n as soon as event n is whole */
	__u64 opened_ns; /* CLOCK_MONOTONIC */
	__u64 closed_ns;
	struct flow_key down; /* the sockets, as in `flows` */
	struct flow_key up;   /* remote_port 0: there was none */
	__u8 client[16];      /* the real one: of the PROXY header, or down.remote */
	__be16 client_port;
	__u16 listener;
	__u16 route;
	__u16 backend;
	__u8 reason; /* enum tg_end */
	__u8 side;   /* enum tg_side */
	__u8 retries;
	__u8 ech_outer;	   /* the server name is the public one of an encrypted hello */
	__u16 tls_version; /* the highest offered; 0: no ClientHello was read */
	__u8 alpn_len;
	__u8 tls_resumed;
	__u16 tls_used; /* version of TLS that ended here, as on the wire; 0: none did */
	__u16 backend_tls_used;		      /* the same to the backend */
	__u16 tls_suite;		      /* of TLS that ended here, IANA's number */
	__u16 tls_group;		      /* the same of its key exchange; 0: none */
	__u64 down_payload_bytes[TG_DIR_MAX]; /* PROXY headers not included */
	__u64 up_payload_bytes[TG_DIR_MAX];
	/* read from the client and never written to the backend; the other way */
	__u64 undelivered_bytes[TG_DIR_MAX];
	__u8 alpn[64];	     /* length(1) name, as offered */
	char tls_alpn[32];   /* the one that was chosen; "": none */
	char tls_client[72]; /* common name of a client's certificate, UTF-8 */
	char ja4[TG_JA4_LEN];
	char server_name[TG_SERVER_NAME_LEN];
};

/* `proxy_ring`, one element, mapped by the proxy and by the exporter. */
struct proxy_ring_state {
	__u64 written;	     /* events that were given a place */
	__u64 read;	     /* of these, what the reader is done with */
	__u64 lost;	     /* events that found no place */
	__u64 refusals_lost; /* of these, of connections that were refused */
};

#endif
