/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>

#include "backend/names.h"
#include "backend/target.h"

static void put_target(struct listener *l, struct route *r, struct backend *b, void *arg)
{
	(void)l;
	(void)r;
	(void)arg;
	target_put(b->target);
	b->target = NULL;
}

static void put_targets(struct config *c, void *arg)
{
	config_each_backend(c, put_target, arg);
}

static void give_target(struct listener *l, struct route *r, struct backend *b, void *arg)
{
	struct addr a = { .port = 0 };
	char name[512];
	int *err = arg;

	if (*err || b->target)
		return;
	(void)snprintf(name, sizeof(name), "%s/%s/%s", l->name, r->name, b->name);
	b->target = target_get(name);
	if (!b->target)
		*err = -ENOMEM;
	/* a path has one place, which is no address */
	else if (b->path || addr_parse(b->name, &a) == 0)
		(void)target_set_addresses(b->target, &a, 1, 0);
}

int names_resolve(struct config *c)
{
	int err = 0;

	config_on_release(c, put_targets, NULL);
	config_each_backend(c, give_target, &err);
	return err;
}
