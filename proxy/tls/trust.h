/* SPDX-License-Identifier: Apache-2.0 */
/* Whom a route trusts: its backends, and its clients. */
#ifndef PROXY_TLS_TRUST_H
#define PROXY_TLS_TRUST_H

#include <stdbool.h>
#include <stdint.h>

#include "tls/cert.h"

/*
 * Whom a route's backends must be, and who we are to them; or who its clients must be:
 * ca, crl and depth alone.
 */
struct trust {
	char *ca;	/* PEM; NULL: whom the system trusts */
	char *crl;	/* PEM, a list of each issuer; NULL: nothing is revoked */
	unsigned depth; /* issuers between, at most */
	bool insecure;
	bool has_own;
	struct cert own;
	uint64_t generation; /* no other trust or certs has it, in this process */
};

/*
 * Of a route's backend_tls, which may be NULL, or of its client_certificates, into
 * route->trust and route->clients.  0, or a negative errno, said in l->why but for
 * -ENOMEM; what was made is to be freed in either case.
 */
int trust_load_backends(struct loading *l, struct route *r);
int trust_load_clients(struct loading *l, struct route *r);
void trust_free(struct trust *t); /* NULL is fine */

#endif
