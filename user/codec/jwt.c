/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "codec/jwt.h"

#define TIME_MAX 1e15 /* beyond it a double skips seconds */

/* An object of JSON, in base64url; NULL with *err. */
static json_t *read_object(struct text t, int *err)
{
	uint8_t *bytes = malloc(t.n + 1);
	ssize_t n = bytes ? base64_decode(t.p, t.n, BASE64_URL, bytes, t.n) : -ENOMEM;
	json_t *o = NULL;

	if (n >= 0) {
		o = json_loadb((const char *)bytes, (size_t)n, JSON_REJECT_DUPLICATES,
			       NULL);
		if (!json_is_object(o)) {
			json_decref(o);
			o = NULL;
		}
	}
	free(bytes);
	*err = n == -ENOMEM ? -ENOMEM : o ? 0 : -EINVAL;
	return o;
}

static bool copy(char *ret, size_t cap, const char *from)
{
	size_t n = strlen(from);

	if (n >= cap)
		return false;
	memcpy(ret, from, n + 1);
	return true;
}

static int read_header(struct text t, struct jwt *ret)
{
	int err;
	json_t *o = read_object(t, &err);
	const json_t *kid = json_object_get(o, "kid");
	const char *alg = json_string_value(json_object_get(o, "alg"));

	if (!err && (!alg || json_object_get(o, "crit") || (kid && !json_is_string(kid))))
		err = -EINVAL;
	if (!err && !copy(ret->alg, sizeof(ret->alg), alg))
		err = -EINVAL;
	if (!err && kid && !copy(ret->kid, sizeof(ret->kid), json_string_value(kid)))
		err = -EINVAL;
	json_decref(o);
	return err;
}

int jwt_read(struct text token, struct jwt *ret)
{
	struct text rest = token, header, claims;
	ssize_t n;
	int err;

	memset(ret, 0, offsetof(struct jwt, signature));
	ret->claims = NULL;
	if (token.n > JWT_MAX)
		return -EINVAL;
	header = text_cut(&rest, '.');
	claims = text_cut(&rest, '.');
	if (!header.n || !claims.n || header.n + 1 + claims.n + 1 + rest.n != token.n)
		return -EINVAL;
	ret->covered = text_of(token.p, header.n + 1 + claims.n);
	n = base64_decode(rest.p, rest.n, BASE64_URL, ret->signature, JWT_SIGNATURE);
	if (n <= 0)
		return -EINVAL;
	ret->signature_n = (size_t)n;
	err = read_header(header, ret);
	if (!err)
		ret->claims = read_object(claims, &err);
	return err;
}

void jwt_free(struct jwt *j)
{
	json_decref(j->claims);
	j->claims = NULL;
}

int jwt_time(const struct jwt *j, const char *claim, int64_t *ret)
{
	const json_t *v = json_object_get(j->claims, claim);
	double t = json_number_value(v);

	if (!v)
		return 0;
	if (!json_is_number(v) || !(t > -TIME_MAX && t < TIME_MAX))
		return -1;
	*ret = (int64_t)t;
	return 1;
}

const char *jwt_string(const struct jwt *j, const char *claim)
{
	return json_string_value(json_object_get(j->claims, claim));
}

static bool is(const json_t *v, const char *value)
{
	char number[24];

	if (json_is_string(v))
		return strcmp(json_string_value(v), value) == 0;
	if (json_is_boolean(v))
		return strcmp(json_is_true(v) ? "true" : "false", value) == 0;
	(void)snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(v));
	return json_is_integer(v) && strcmp(number, value) == 0;
}

static bool has_word(const json_t *v, const char *value)
{
	const char *text = json_string_value(v);
	struct text rest = text ? text_of(text, strlen(text)) : TEXT("");

	while (rest.n) {
		if (text_is(text_cut(&rest, ' '), text_of(value, strlen(value))))
			return true;
	}
	return false;
}

bool jwt_has(const struct jwt *j, const char *claim, const char *value)
{
	const json_t *v = json_object_get(j->claims, claim), *each;
	size_t i;

	if (is(v, value) || (strcmp(claim, "scope") == 0 && has_word(v, value)))
		return true;
	json_array_foreach(v, i, each)
	{
		if (is(each, value))
			return true;
	}
	return false;
}
