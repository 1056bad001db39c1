/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "exporter/continuity.h"

#define COUNTERS_MAX 1024

struct counter {
	char name[160];
	uint64_t last, base;
	uint64_t asked; /* by the clock of questions */
};

static struct counter counters[COUNTERS_MAX];
static uint64_t questions;

/* Its place, or that of the one that was not asked for longest. */
static struct counter *find(const char *name)
{
	struct counter *oldest = counters;

	for (size_t i = 0; i < ARRAY_SIZE(counters); i++) {
		struct counter *c = &counters[i];

		if (!c->asked)
			return c;
		if (strncmp(c->name, name, sizeof(c->name) - 1) == 0)
			return c;
		if (c->asked < oldest->asked)
			oldest = c;
	}
	memset(oldest, 0, sizeof(*oldest));
	return oldest;
}

uint64_t continuity(const char *name, uint64_t value)
{
	struct counter *c = find(name);

	if (!c->asked)
		(void)snprintf(c->name, sizeof(c->name), "%s", name);
	else if (value < c->last)
		c->base += c->last;
	c->last = value;
	c->asked = ++questions;
	return c->base + value;
}
