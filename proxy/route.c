/* SPDX-License-Identifier: Apache-2.0 */
/* Which route, which backend. */
#include <string.h>

#include "route.h"

#define EXACT 1000 /* longer than any suffix of a host name */

/* Length of the part that matched, 0 if it does not; "*" counts as 1. */
static size_t match_length(const char *pattern, const char *sni)
{
	size_t n, len;

	if (strcmp(pattern, "*") == 0)
		return 1;
	if (!sni)
		return 0;
	len = strlen(sni);
	if (strncmp(pattern, "*.", 2) != 0)
		return strcmp(pattern, sni) == 0 ? EXACT : 0;
	n = strlen(pattern + 1); /* with the dot: "*.a" matches "x.a", not "a" */
	if (len <= n || strcmp(sni + len - n, pattern + 1) != 0)
		return 0;
	return n + 1;
}

struct route *route_by_name(const struct listener *l, const char *sni)
{
	struct route *best = NULL;
	size_t best_length = 0;

	for (unsigned i = 0; i < l->routes_count; i++) {
		for (unsigned k = 0; k < l->routes[i].sni_count; k++) {
			size_t n = match_length(l->routes[i].sni[k], sni);

			if (n > best_length) {
				best = &l->routes[i];
				best_length = n;
			}
		}
	}
	return best;
}

struct backend *route_backend(struct route *r, const struct addr **ret_addr)
{
	unsigned n = __atomic_fetch_add(&r->next, 1, __ATOMIC_RELAXED);
	struct backend *b = &r->backends[n % r->backend_names_count];
	unsigned a = __atomic_fetch_add(&b->next, 1, __ATOMIC_RELAXED);

	*ret_addr = &b->addrs[a % b->addrs_n];
	return b;
}
