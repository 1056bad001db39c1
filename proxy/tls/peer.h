/* SPDX-License-Identifier: Apache-2.0 */
/* Who the other end is, by its certificate. */
#ifndef PROXY_TLS_PEER_H
#define PROXY_TLS_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "config/http.h"

struct ssl_st;

/*
 * Of a backend, before the handshake: its certificate must have this name, or if that is
 * "" this address (RFC 9110 4.3.5).  0; -EACCES: neither is there, or it is no name.
 */
int peer_must_be(struct ssl_st *ssl, const char *name, const struct addr *addr);

/* To a backend, before the handshake: the one protocol there is to choose (RFC 7301).
 * 0 or -ENOMEM. */
int peer_offer(struct ssl_st *ssl, struct text protocol);

/*
 * Of a client, after it: false if it showed none, or none that was verified; else true
 * and the subject's last common name as UTF-8, "" if there is none or it does not fit.
 */
bool peer_name(const struct ssl_st *ssl, char *ret, size_t cap);

/* Who that is (config/identity.h), the caller's to free; NULL: it showed none.  0 or
 * -ENOMEM. */
int peer_identity(const struct ssl_st *ssl, struct identity **ret);

/* That certificate in DER, the caller's to free; its length, 0: none, or no memory. */
size_t peer_der(const struct ssl_st *ssl, uint8_t **ret);

/*
 * After the handshake: the group of the key exchange by IANA's number; 0 if there was
 * none, or it is not known.
 */
uint16_t peer_group(struct ssl_st *ssl);

#endif
