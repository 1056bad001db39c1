/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "codec/path.h"

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* RFC 3986 2.3 */
static bool is_unreserved(int c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
}

/* Encoded these are text, and somebody behind us may decode before he looks. */
static bool is_ambiguous(int c)
{
	return c == 0 || c == '/' || c == '\\' || c == '?' || c == '#' || c == ';';
}

static bool decode(struct text path, char *buf, size_t *ret_n)
{
	size_t n = 0;

	for (size_t i = 0; i < path.n; i++) {
		int high, low, c;

		if (path.p[i] == '\\')
			return false;
		if (path.p[i] != '%') {
			buf[n++] = path.p[i];
			continue;
		}
		if (i + 2 >= path.n)
			return false;
		high = digit(path.p[i + 1]);
		low = digit(path.p[i + 2]);
		c = high * 16 + low;
		if (high < 0 || low < 0 || is_ambiguous(c))
			return false;
		if (is_unreserved(c)) {
			buf[n++] = (char)c;
		} else {
			buf[n++] = '%';
			buf[n++] = "0123456789ABCDEF"[high];
			buf[n++] = "0123456789ABCDEF"[low];
		}
		i += 2;
	}
	*ret_n = n;
	return true;
}

/* RFC 3986 5.2.4, in place: buf begins with "/". */
static size_t remove_dots(char *buf, size_t n)
{
	size_t out = 0, at = 0;

	while (at < n) { /* at a "/" */
		size_t end = at + 1;

		while (end < n && buf[end] != '/')
			end++;
		if (end - at == 2 && buf[at + 1] == '.') {
			if (end == n)
				buf[out++] = '/';
		} else if (end - at == 3 && buf[at + 1] == '.' && buf[at + 2] == '.') {
			while (out > 0 && buf[--out] != '/')
				;
			if (end == n)
				buf[out++] = '/';
		} else {
			memmove(buf + out, buf + at, end - at);
			out += end - at;
		}
		at = end;
	}
	if (!out)
		buf[out++] = '/';
	return out;
}

/*
 * Who merges slashes, or cuts parameters off a segment, before he removes dot segments
 * comes to another path: "/a//../b", "/a/..;/b".
 */
static bool is_disputed(const char *p, size_t n)
{
	bool empty = false, dots = false;

	for (size_t at = 0, end; at < n; at = end) {
		const char *s = p + at + 1;
		size_t len;

		for (end = at + 1; end < n && p[end] != '/'; end++)
			;
		len = end - at - 1;
		empty |= !len && end < n;
		if (!len || s[0] != '.')
			continue;
		if ((len > 1 && s[1] == ';') || (len > 2 && s[1] == '.' && s[2] == ';'))
			return true;
		dots |= len == 1 || (len == 2 && s[1] == '.');
	}
	return empty && dots;
}

bool path_normal(struct text path, char *buf, struct text *ret)
{
	size_t n;

	if (!path.n || path.p[0] != '/' || !decode(path, buf, &n) || is_disputed(buf, n))
		return false;
	*ret = text_of(buf, remove_dots(buf, n));
	return true;
}

struct text path_split(struct text target, struct text *query)
{
	const char *at = target.n ? memchr(target.p, '?', target.n) : NULL;
	size_t n = at ? (size_t)(at - target.p) : target.n;

	*query = at ? text_of(at + 1, target.n - n - 1) : text_of(NULL, 0);
	return text_of(target.p, n);
}

bool path_begins(struct text path, struct text prefix)
{
	if (prefix.n && prefix.p[prefix.n - 1] == '/')
		prefix.n--;
	return path.n >= prefix.n && memcmp(path.p, prefix.p, prefix.n) == 0 &&
	       (path.n == prefix.n || path.p[prefix.n] == '/');
}

bool path_fits(struct text path, struct text form)
{
	while (path.n && form.n) { /* each at a "/" */
		struct text a, b;

		path.p++, path.n--;
		form.p++, form.n--;
		a = text_of(path.p, 0);
		b = text_of(form.p, 0);
		while (a.n < path.n && path.p[a.n] != '/')
			a.n++;
		while (b.n < form.n && form.p[b.n] != '/')
			b.n++;
		if (b.n > 1 && b.p[0] == ':' ? !a.n : !text_is(a, b))
			return false;
		path.p += a.n, path.n -= a.n;
		form.p += b.n, form.n -= b.n;
	}
	return !path.n && !form.n;
}
