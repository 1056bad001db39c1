/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The certificates of a listener: read and looked at once, by whoever may read the keys;
 * then only chosen from.  Workers make their own objects of them (context.h), because
 * OpenSSL's belong to a library context.
 */
#ifndef PROXY_TLS_CERTS_H
#define PROXY_TLS_CERTS_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "config/config.h"
#include "tls/cert.h"
#include "tls/trust.h"

/* One of a kind, at least one of both; NULL: none of that kind. */
struct cert_pair {
	const struct cert *rsa, *other;
};

struct cert_name {
	const char *name; /* a certificate's */
	const struct cert *cert;
};

struct certs {
	struct cert *list;
	unsigned n;
	struct cert_name *names; /* of all, sorted */
	size_t names_n;
	struct cert_pair fallback; /* for names that none has */
	unsigned missing;	   /* that ACME is to bring, and has not */
	uint64_t generation;	   /* no other certs or trust has it, in this process */
};

/*
 * Read what a configuration has of files: pages and the like (config/files.h), and
 * certificates, those of every listener into listener->certs, and of routes into
 * route->trust, to be freed with the configuration. 0; or a negative errno and in `why`
 * which file and what is wrong.  What is legal and surely wrong (expired, open to others,
 * a route whose name none has) is added to c->warnings.
 */
int certs_load(struct config *c, char why[CONFIG_ERROR_MAX]);

/*
 * A configuration with its certificates: of the file, or of its resolved text, if that is
 * not NULL.  As config_read(), with what is wrong with certificates in *f, too;
 * *ret, *resolved and
 * *kept (of a text, as config_read_kept()) are written only if it is fine.
 */
struct document;
struct faults;
int certs_read_config(const char *path, const char *text, struct config **ret,
		      char **resolved, struct document *kept, struct faults *f);

/*
 * OpenSSL's list of groups for key exchanges where the configuration has none: with the
 * hybrid one where the library has it (3.5).
 */
const char *certs_groups(void);

/* When the first of them expires, or has; 0 of none. */
time_t certs_expire(const struct certs *certs);

/*
 * For a server name, which is lower case, or "" for none: one that has the name, before
 * one whose wildcard has it (RFC 6125 6.4.3), before the default.  False: none is for it.
 */
bool certs_find(const struct certs *certs, const char *name, struct cert_pair *ret);

#endif
