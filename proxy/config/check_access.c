/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/util.h"
#include "config/access.h"
#include "config/where.h"

static const char *const names[] = {
#define X(id, name) #name,
	ACCESS_FIELDS(X)
#undef X
};

/* Of the Apache HTTP Server's, without what nobody answers (RFC 1413). */
static const struct {
	const char *name, *format;
} known[] = {
	{ "json", "" },
	{ "common", "${client_address} - ${user} [${time_common}] \"${request}\" "
		    "${status} ${response_body_bytes}" },
	{ "combined",
	  "${client_address} - ${user} [${time_common}] \"${request}\" ${status} "
	  "${response_body_bytes} \"${referer}\" \"${user_agent}\"" },
};

static bool find_field(struct text name, struct access_part *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (text_is(name, text_of_string(names[i]))) {
			ret->field = (uint8_t)i;
			return true;
		}
	}
	if (name.n <= 7 || memcmp(name.p, "header ", 7) != 0)
		return false;
	ret->field = ACCESS_HEADER;
	ret->text = text_of(name.p + 7, name.n - 7);
	return http_is_token(ret->text);
}

/* What a head says by other means, and has no field of. */
static bool is_no_field(struct text name)
{
	static const struct text all[] = { TEXT("host"), TEXT("content-length"),
					   TEXT("transfer-encoding") };

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		if (text_is_nocase(name, all[i]))
			return true;
	}
	return false;
}

/* In the configuration's own memory. */
static void lower(struct text t)
{
	for (size_t i = 0; i < t.n; i++) {
		char *c = (char *)(uintptr_t)t.p + i;

		if (*c >= 'A' && *c <= 'Z')
			*c |= 0x20;
	}
}

static int read_part(struct where *w, struct text *rest, struct access_part *ret)
{
	const char *end = NULL, *next;
	struct text name;

	if (rest->n >= 2 && memcmp(rest->p, "${", 2) == 0) {
		end = memchr(rest->p, '}', rest->n);
		if (!end)
			return where_wrong(w, "'${' without '}'");
		name = text_of(rest->p + 2, (size_t)(end - rest->p) - 2);
		if (!find_field(name, ret))
			return where_wrong(w,
					   "'${%.*s}' is no field of the access log, nor "
					   "\"header NAME\"",
					   (int)name.n, name.p);
		if (ret->field == ACCESS_HEADER && is_no_field(ret->text))
			return where_wrong(
				w,
				"'%.*s' is how a body or a host is said: there "
				"are ${host}, ${request_body_bytes}",
				(int)ret->text.n, ret->text.p);
		if (ret->field == ACCESS_HEADER)
			lower(ret->text);
		end++;
	} else {
		next = memmem(rest->p + 1, rest->n - 1, "${", 2);
		end = next ? next : rest->p + rest->n;
		ret->field = ACCESS_TEXT;
		ret->text = text_of(rest->p, (size_t)(end - rest->p));
	}
	rest->n -= (size_t)(end - rest->p);
	rest->p = end;
	return 0;
}

static int read_format(struct where *w, struct access_settings *a)
{
	struct text rest = text_of_string(a->format);

	where_enter_key(w, "format");
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		if (text_is(rest, text_of_string(known[i].name))) {
			rest = text_of_string(known[i].format);
			break;
		}
	}
	if (rest.n && memchr(rest.p, '\n', rest.n))
		return where_wrong(w, "a line has no end within");
	while (rest.n) {
		int err;

		if (a->parts_n == ACCESS_PARTS)
			return where_wrong(w, "has more than %d parts", ACCESS_PARTS);
		err = read_part(w, &rest, &a->parts[a->parts_n++]);
		if (err)
			return err;
	}
	where_leave(w, 1);
	return 0;
}

int config_check_access(struct where *w, struct access_settings *a)
{
	unsigned at = w->depth + 1;
	int err;

	if (!a)
		return 0;
	where_enter_key(w, "access_log");
	err = where_also(w, at, 0, read_format(w, a));
	a->keep_n = a->keep ? *a->keep : ACCESS_KEEP;
	if (a->max_bytes && a->max_bytes < ACCESS_MAX_BYTES)
		err = where_wrong(w, "max_bytes: %llu is less than %u",
				  (unsigned long long)a->max_bytes, ACCESS_MAX_BYTES);
	if (a->keep_n < 1 || a->keep_n > 1000)
		err = where_wrong(w, "keep: %u is outside 1 to 1000", a->keep_n);
	if (a->keep && !a->max_bytes)
		err = where_wrong(w, "'keep' is for a log with 'max_bytes'");
	where_leave(w, 1);
	return err;
}
