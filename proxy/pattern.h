/* SPDX-License-Identifier: Apache-2.0 */
/* Regular expressions over host names, by PCRE2, within bounds. */
#ifndef PROXY_PATTERN_H
#define PROXY_PATTERN_H

#include <stdbool.h>
#include <stddef.h>

#define PATTERN_ERROR_MAX 128

struct pattern;

/*
 * Compile an expression that must match the whole of a text.  0 and *ret, the caller's
 * to free; -EINVAL with the reason and the place in err; or -ENOMEM.
 */
int pattern_compile(const char *text, struct pattern **ret, char err[PATTERN_ERROR_MAX]);
void pattern_free(struct pattern *p); /* NULL is fine */

/*
 * Thread-safe.  An expression that needs more steps or memory than the bounds allow
 * (10,000 steps, 256 KiB) does not match.
 */
bool pattern_matches(const struct pattern *p, const char *text, size_t len);

#endif
