/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a worker keeps of OpenSSL: a library context of its own, because the locks of a
 * shared one cost (measured: tests/bench/README.md), and in it a context for each route
 * and pair of certificates that was asked for, with all that can be set before there is a
 * connection.
 */
#ifndef PROXY_TLS_CONTEXT_H
#define PROXY_TLS_CONTEXT_H

#include "net/pool.h"
#include "net/worker.h"
#include "tls/certs.h"

struct ssl_ctx_st;
struct ssl_st;
struct ssl_session_st;

/* Small records of one write of a layer, which leave together; as much as conn_room(). */
struct gather {
	size_t n;
	uint8_t data[POOL_BUFFER_BYTES];
};

/* The worker's. */
struct gather *context_gather(struct worker *w);

/* SSL_CTX_set_alpn_select_cb(3) */
typedef int (*context_choose_fn)(struct ssl_st *ssl, const unsigned char **out,
				 unsigned char *out_n, const unsigned char *in,
				 unsigned in_n, void *arg);

/* SSL_CTX_sess_set_new_cb(3) */
typedef int (*context_session_fn)(struct ssl_st *ssl, struct ssl_session_st *session);

/* Before the worker starts: 0 or -ENOMEM; and at its end. */
int context_open(struct worker *w);
void context_close(struct worker *w);

/* What is the same for all clients of a route that are shown the same certificates. */
struct context_key {
	uint64_t generation; /* of certs: the memory below may be another's by now */
	struct cert_pair pair;
	const struct route *route;
	const char *listener; /* its name, while it is asked for */
};

/*
 * The context for it, the worker's; NULL if OpenSSL refuses it, logged.  choose is the
 * same for all.
 */
struct ssl_ctx_st *context_get(struct worker *w, const struct context_key *key,
			       context_choose_fn choose);

/* The context of connections to the backends of a route; as context_get(). */
struct ssl_ctx_st *context_to(struct worker *w, const struct trust *trust,
			      context_session_fn made);

/*
 * The session that was made last with a backend under that name, which its certificate
 * was verified for then and will not be when it is resumed: an own reference, or NULL.
 * keep: takes a reference.
 */
struct ssl_session_st *context_session(struct worker *w, const struct trust *trust,
				       const struct backend *b, const char *name);
void context_keep(struct worker *w, const struct trust *trust, const struct backend *b,
		  const char *name, struct ssl_session_st *session);

/* A new configuration: forget those of others.  On the worker's thread. */
void context_forget(struct worker *w);

#endif
