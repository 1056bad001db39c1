/* SPDX-License-Identifier: Apache-2.0 */
/* Who a client is by the certificate that was verified, and what a route wants of that.
 */
#ifndef PROXY_CONFIG_IDENTITY_H
#define PROXY_CONFIG_IDENTITY_H

#include "codec/http.h"

#define IDENTITY_DIGEST_HEX 64 /* SHA-256 */

struct config;
struct pattern;
struct where;

/* Who made it owns it: one piece of memory, free(). */
struct identity {
	char sha256[IDENTITY_DIGEST_HEX + 1]; /* of the certificate in DER, lower case */
	unsigned n;
	struct identity_name {
		struct text text;
		bool is_host; /* a common name without @, / or :, or a DNS name */
	} names[];	      /* common name; DNS, email, URI of subjectAltName */
};

/* One of `certificate` of a route. */
enum identity_kind { IDENTITY_ANY, IDENTITY_NONE, IDENTITY_NAME, IDENTITY_DIGEST };
struct identity_rule {
	enum identity_kind kind;
	struct text text;	 /* a name, ".suffix", hex digits; of the configuration */
	struct pattern *pattern; /* of "~expression"; or NULL */
};

/*
 * "any", "none", "name NAME" (NAME, "*.suffix" or "~expression"), "sha256 DIGEST", below
 * `certificate`; into *ret, which is the configuration's in any case.  0, -EINVAL with
 * all that is wrong told, or -ENOMEM.
 */
int identity_read(struct where *w, struct config *c, char *const *texts, unsigned n,
		  struct identity_rule **ret);

/* 64 hex digits, in place to lower case without colons; false, and as it was: it is none.
 */
bool identity_read_digest(char *s);
void identity_rules_free(struct identity_rule *rules, unsigned n);

/*
 * Is one of them so?  who: NULL of a client that showed none.  1, 0, or -E2BIG if an
 * expression came to its bounds.
 */
int identity_fits(const struct identity_rule *rules, unsigned n,
		  const struct identity *who);

#endif
