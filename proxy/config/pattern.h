/* SPDX-License-Identifier: Apache-2.0 */
/* Regular expressions over host names, by PCRE2, within bounds. */
#ifndef PROXY_CONFIG_PATTERN_H
#define PROXY_CONFIG_PATTERN_H

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
 * Thread-safe.  1 it matches, 0 it does not; or -E2BIG if it needs more steps or memory
 * than the bounds allow (10,000 steps, 256 KiB): then nobody knows.
 */
int pattern_matches(const struct pattern *p, const char *text, size_t len);

/* Does it come to its bounds with long names that nearly match? */
bool pattern_is_hungry(const struct pattern *p);

#endif
