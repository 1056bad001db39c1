/* SPDX-License-Identifier: Apache-2.0 */
/* Paths of HTTP in the one form in which they are compared (RFC 3986 6.2.2). */
#ifndef USER_CODEC_PATH_H
#define USER_CODEC_PATH_H

#include "codec/http.h"

/*
 * Normal form of a path that begins with "/", without its query: what need not be encoded
 * is not, hexadecimal digits are upper case, dot segments are gone.  Into buf, of at
 * least path.n bytes.  False for what somebody behind us could read otherwise: an encoded
 * "/",
 * "\", NUL, "?", "#" or ";", "\" itself, a "%" without two digits, dot segments with
 * parameters ("..;") or beside empty segments.
 */
bool path_normal(struct text path, char *buf, struct text *ret);

/* What is before "?", and behind it; without "?" *query is empty, its p NULL. */
struct text path_split(struct text target, struct text *query);

/* Does the normal path begin with these whole segments ("/a/b", or "/")? */
bool path_begins(struct text path, struct text prefix);

/* Is it of that form, in which a segment ":name" stands for any one that is not empty? */
bool path_fits(struct text path, struct text form);

#endif
