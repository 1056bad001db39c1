/* SPDX-License-Identifier: Apache-2.0 */
/* OCSP responses that go with a certificate (RFC 6066 8, RFC 8446 4.4.2.1). */
#ifndef PROXY_TLS_STAPLE_H
#define PROXY_TLS_STAPLE_H

#include "tls/certs.h"

struct ssl_ctx_st;

/*
 * Clients that ask for it get that of the certificate they are shown, as long as it is in
 * date.  They are copied: a context may outlive its certificates.  0 or -ENOMEM.
 */
int staple_set(struct ssl_ctx_st *ctx, const struct cert_pair *pair);

#endif
