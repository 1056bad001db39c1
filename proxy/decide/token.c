/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "codec/jwt.h"
#include "decide/token.h"
#include "tls/jwks.h"

/* RFC 7519 4.1.4, 4.1.5; one without an end is for ever, and nobody can take it back. */
static bool is_in_date(const struct jwt *j, int64_t leeway_s, int64_t now_s)
{
	int64_t t;

	if (jwt_time(j, "exp", &t) <= 0 || now_s - leeway_s >= t)
		return false;
	switch (jwt_time(j, "nbf", &t)) {
	case 0:
		return true;
	case 1:
		return now_s + leeway_s >= t;
	default:
		return false;
	}
}

static bool has_claims(const struct http_jwt *t, const struct jwt *j)
{
	for (unsigned i = 0; i < t->claims_count; i++) {
		if (!jwt_has(j, t->wanted[i].name, t->wanted[i].value))
			return false;
	}
	return true;
}

static enum token_result judge(const struct http_jwt *t, const struct jwt *j,
			       int64_t now_s)
{
	const char *issuer = jwt_string(j, "iss");

	if (!jwks_verify(t->keys_set, j->alg, j->kid, j->covered.p, j->covered.n,
			 j->signature, j->signature_n))
		return TOKEN_INVALID;
	if (t->issuer && (!issuer || strcmp(issuer, t->issuer) != 0))
		return TOKEN_INVALID;
	if (t->audience && !jwt_has(j, "aud", t->audience))
		return TOKEN_INVALID;
	if (!is_in_date(j, t->leeway_s, now_s))
		return TOKEN_EXPIRED;
	return has_claims(t, j) ? TOKEN_FINE : TOKEN_REFUSED;
}

/* As a field can say it, and says nothing else: blanks at its ends would be lost. */
static bool is_name(const char *who)
{
	size_t n = strlen(who);

	return n && n < 256 && http_is_value(text_of(who, n)) &&
	       !memchr(" \t", who[0], 2) && !memchr(" \t", who[n - 1], 2);
}

static enum token_result name_user(const struct jwt *j, char **ret)
{
	const char *who = jwt_string(j, "sub");

	if (!who)
		return TOKEN_FINE;
	if (!is_name(who))
		return TOKEN_INVALID;
	*ret = strdup(who);
	return *ret ? TOKEN_FINE : TOKEN_NO_MEMORY;
}

enum token_result token_check(const struct http_jwt *t, const struct http_head *h,
			      int64_t now_s, char **ret_user)
{
	struct text token = http_credentials(h, TEXT("bearer")); /* RFC 6750 2.1 */
	enum token_result r = TOKEN_INVALID;
	struct jwt j;

	*ret_user = NULL;
	if (!token.n)
		return TOKEN_MISSING;
	if (jwt_read(token, &j) == 0)
		r = judge(t, &j, now_s);
	if (r == TOKEN_FINE)
		r = name_user(&j, ret_user);
	jwt_free(&j);
	return r;
}
