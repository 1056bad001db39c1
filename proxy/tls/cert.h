/* SPDX-License-Identifier: Apache-2.0 */
/* One certificate: its files read and looked at once, by whoever may read the key. */
#ifndef PROXY_TLS_CERT_H
#define PROXY_TLS_CERT_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "tls/cert_files.h"
#include "tls/loading.h"

/* A chain and its key, as text; keys are erased when they are freed. */
struct cert {
	char *file;   /* of its chain */
	char **names; /* of the certificate: DNS names and wildcards, lower case */
	unsigned names_n;
	char *chain, *key; /* PEM */
	bool is_rsa;	   /* else ECDSA or EdDSA */
	bool is_default;   /* for names that none has */
	time_t not_before, not_after;
	uint8_t *staple; /* an OCSP response (RFC 6066 8), DER; NULL: none */
	size_t staple_n;
	time_t staple_until; /* its nextUpdate; 0: it has none */
};

/* 0, or said in l->why; *ret is to be freed with cert_done() in either case. */
int cert_load(const struct loading *l, const struct cert_path *from, struct cert *ret);
void cert_done(struct cert *c);

#endif
