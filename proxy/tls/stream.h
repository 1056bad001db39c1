/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS as a layer on a conn.  Of a client's the whole ClientHello was read
 * before, so its route and certificate are known, and it is what the layer reads first.
 *
 * Truth: OpenSSL tells each record's header and what was in it (SSL_set_msg_callback),
 * and the socket's bytes are counted by the conn, so for each direction bytes of the
 * socket = application + handshake + records' own + partial, where `partial` is what was
 * read and is no whole record.  The layer's end adds these to the conn's row.
 */
#ifndef PROXY_TLS_STREAM_H
#define PROXY_TLS_STREAM_H

#include <stddef.h>
#include <stdint.h>

#include "net/conn.h"
#include "tls/certs.h"

struct identity;

/* How one is opened; all of it the caller's, for the layer's life, but `head`. */
struct stream_options {
	const struct certs *certs;
	const struct route *route;
	const char *listener;	   /* its name */
	struct hello_book *hellos; /* of the listener */
	const char *name;	   /* the server name, lower case; "": none */
	const uint8_t *head;	   /* n bytes that were read of the conn before; copied */
	size_t head_n;
};

/*
 * 0; -ENOENT: no certificate is for this name; or another negative errno.
 */
int stream_open(struct conn *c, const struct stream_options *o);

/* Of a connection to a backend. */
struct stream_target {
	const struct route *route; /* its trust */
	const struct backend *backend;
	const char *sni;	   /* asked for; "": none */
	const char *name;	   /* that its certificate must have; "": its address */
	const struct addr *addr;   /* that; NULL: it has none */
	const struct conn *client; /* whose protocol is offered, if it has one; or NULL */
};

/* 0; -EACCES: there is nothing that it could be verified by; or another negative errno.
 */
int stream_connect(struct conn *c, const struct stream_target *t);

/*
 * Go on with the handshake: 0 when it is done, -EAGAIN, or -EPROTO with the reason in
 * *why.  An alert was sent, if there was one to send.
 */
int stream_handshake(struct conn *c, enum tg_end *why);

/* After a handshake that failed: was it the other's certificate?  *why: what of it. */
bool stream_is_distrusted(const struct conn *c, const char **why);

/* After the handshake: was a session resumed? */
bool stream_is_resumed(const struct conn *c);

/* What is told of a client whose TLS ended here; strings are the layer's. */
struct stream_client {
	const char *version, *cipher; /* "TLSv1.3", OpenSSL's name */
	uint16_t suite, group; /* as of IANA's tables; group 0: none, or not known */
	const uint8_t *alpn;   /* the protocol that was chosen; alpn_n 0: none */
	unsigned alpn_n;
	bool showed;	 /* a certificate, which was verified; in this connection ... */
	bool resumed;	 /* ... or in the one that its session is of */
	char common[65]; /* of its subject, UTF-8; "": none */
};

/* After the handshake.  False of a conn without a layer. */
bool stream_client(const struct conn *c, struct stream_client *ret);

/*
 * The certificate that a client showed and that was verified, in DER, the caller's to
 * free; its length, 0: there is none.
 */
size_t stream_certificate(const struct conn *c, uint8_t **ret);

/* Who that is, the caller's to free; NULL: it showed none.  0 or -ENOMEM. */
int stream_identity(const struct conn *c, struct identity **ret);

/* 0x0303 of 1.2, 0x0304 of 1.3, when it is known; 0 of a conn without a layer. */
uint16_t stream_version(const struct conn *c);

#endif
