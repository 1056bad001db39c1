/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A handshake with a backend to see whether clients could have one, and what is asked
 * within it: the settings are those of its route, and no session is kept.  What a backend
 * says of our own certificate in TLS 1.3 comes after the handshake, and is not waited
 * for.
 */
#ifndef PROXY_TLS_PROBE_H
#define PROXY_TLS_PROBE_H

#include <stdbool.h>
#include <sys/types.h>

#include "config/http.h"
#include "tls/stream.h"

struct tls_probe;

/*
 * On a socket that is connected, which stays the caller's.  Of w only its contexts are
 * used (context_open()); t->client and t->addr are not, and without t->name any name is
 * fine.  protocol: what is offered by ALPN, n 0: nothing.  0; or as stream_connect().
 */
int tls_probe_new(struct worker *w, const struct stream_target *t, struct text protocol,
		  int fd, struct tls_probe **ret);

/*
 * Go on: 0 when it is done; -EAGAIN, and then what it waits for in *writes; else -EPROTO
 * and in *why a word on it, valid until the next call.
 */
int tls_probe_step(struct tls_probe *p, bool *writes, const char **why);

/*
 * When it is done: bytes that were taken, or have come; 0 of the latter: it has ended.
 * -EAGAIN as above, or -EPROTO.
 */
ssize_t tls_probe_write(struct tls_probe *p, const void *buf, size_t n, bool *writes);
ssize_t tls_probe_read(struct tls_probe *p, void *buf, size_t n, bool *writes);

/* Says goodbye, if there is something to end.  NULL is fine. */
void tls_probe_free(struct tls_probe *p);

#endif
