/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a schema cannot say, and the derived forms.  Each tells all that it finds, and
 * leaves `w` as it was on success; 0, -EINVAL, or -ENOMEM.
 */
#ifndef PROXY_CONFIG_CHECK_H
#define PROXY_CONFIG_CHECK_H

#include "config/http.h"
#include "config/where.h"

/* All of a configuration. */
int config_check(struct where *w, struct config *c);

/* check_route.c: a listener's routes and backends. */
int config_check_routes(struct where *w, struct config *c, struct listener *l);

/*
 * own.c: backends on this host: a listener that is its own, by way of others too, is an
 * error; a port that the kernel hands out a warning.
 */
int config_check_own(struct where *w, struct config *c);

/* What a listener says of certificates, and of ACME what goes for all of them. */
int config_check_certificates(struct where *w, const struct config *c,
			      struct listener *l);
int config_check_acme(struct where *w, const struct config *c);

/*
 * check_http.c.  What a listener says of HTTP; what a route does; and, when all routes of
 * the listener are known, the index of its requests.
 */
int config_check_http(struct where *w, struct config *c, struct listener *l);
int config_check_http_route(struct where *w, struct config *c, const struct listener *l,
			    struct route *r);
int config_check_requests(struct where *w, struct config *c, struct listener *l);

/*
 * check_fields.c.  A text with variables; a list of "Name: value" or "Name", into *ret,
 * the caller's to free; those of `request` or `response`.
 */
enum check_rule { RULE_HAS, RULE_SETS, RULE_NAMES };
int config_check_template(struct where *w, struct text t, struct http_template *ret);
int config_check_fields(struct where *w, const char *key, char *const *texts, unsigned n,
			enum check_rule kind, struct http_rule **ret);
int config_check_edits(struct where *w, const char *key, struct http_edits *e);
void config_warn_of_user(struct where *w, struct config *c, const struct http_route *h);

/* check_policy.c: what is done for a request but to pass it on. */
int config_check_pages(struct where *w, struct config *c, struct http_page *pages,
		       unsigned n);
int config_check_respond(struct where *w, struct config *c, struct http_respond *r);
int config_check_askers(struct where *w, struct listener *l); /* when all are known */
int config_check_policy(struct where *w, struct config *c, struct route *r);

#endif
