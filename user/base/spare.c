/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/spare.h"

#if defined(__SANITIZE_ADDRESS__)
#define KEPT_MAX 0u
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define KEPT_MAX 0u
#endif
#endif
#ifndef KEPT_MAX
#define KEPT_MAX SPARE_MAX
#endif

void *spare_take(struct spare *s)
{
	void **p = s->first;

	if (!p)
		return malloc(s->size);
	s->first = *p;
	s->n--;
	return p;
}

void spare_give(struct spare *s, void *p)
{
	void **next = p;

	if (s->n + 1 > KEPT_MAX) {
		free(p);
		return;
	}
	*next = s->first;
	s->first = p;
	s->n++;
}

void spare_free(struct spare *s)
{
	while (s->first)
		free(spare_take(s));
}
