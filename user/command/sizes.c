/* SPDX-License-Identifier: Apache-2.0 */
/* How large the tables are that a configuration fills. */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"
#include "bpf/abi.h"
#include "command/sizes.h"
#include "config/config.h"

#define HEAD_ROOM 2   /* a configuration that follows may share no name with this one */
#define SPARE	  128 /* rows of the past, and those that end meanwhile */
#define IDS_MAX	  65535

struct needs {
	uint64_t names;
	uint64_t rows; /* of the proxy; as many slots */
	uint64_t http; /* rows of requests, of listeners and of routes */
};

static void count_backend(struct listener *l, struct route *r, struct backend *b,
			  void *arg)
{
	struct needs *n = arg;

	(void)l;
	(void)r;
	(void)b;
	n->names++;
	n->rows += 2; /* a side each */
}

static void count(struct config *c, struct needs *ret)
{
	*ret = (struct needs){ .names = c->listeners_count, .rows = c->listeners_count };
	for (unsigned i = 0; i < c->listeners_count; i++) {
		const struct listener *l = &c->listeners[i];

		ret->names += l->routes_count;
		ret->http += l->serves;
		for (unsigned k = 0; k < l->routes_count; k++) {
			ret->http += l->routes[k].http != NULL;
			ret->rows += l->routes[k].http != NULL;
		}
	}
	config_each_backend(c, count_backend, ret);
}

/* What somebody said himself stays as it is. */
static int set_size(struct load_opts *o, const char *map, uint64_t entries)
{
	struct load_size *size = &o->sizes[o->sizes_n];

	for (size_t i = 0; i < o->sizes_n; i++) {
		if (strcmp(o->sizes[i].map, map) == 0)
			return 0;
	}
	if (o->sizes_n == LOAD_SIZES_MAX)
		return -E2BIG;
	memset(size, 0, sizeof(*size));
	memcpy(size->map, map, strlen(map));
	size->entries = (uint32_t)entries;
	o->sizes_n++;
	return 0;
}

int sizes_from_config(const char *path, struct load_opts *opts)
{
	char why[CONFIG_ERROR_MAX];
	struct needs need;
	struct config *c;
	uint64_t rows, slots;
	int err;

	err = config_load(path, &c, why);
	if (err) {
		log_error("--config: %s", why);
		return err;
	}
	count(c, &need);
	config_put(c);
	if (need.names > IDS_MAX) {
		log_error("--config %s: %llu names of listeners, routes and backends; at "
			  "most %d",
			  path, (unsigned long long)need.names, IDS_MAX);
		return -E2BIG;
	}
	if (HEAD_ROOM * need.names > TG_NAMES_MAX)
		err = set_size(opts, "names",
			       HEAD_ROOM * need.names < IDS_MAX ? HEAD_ROOM * need.names
								: IDS_MAX);
	slots = HEAD_ROOM * need.rows + SPARE;
	if (!err && slots > TG_SLOTS_MAX)
		err = set_size(opts, "proxy_book", slots);
	if (!err && HEAD_ROOM * need.http + SPARE >
			    TG_HTTP_OF(slots > TG_SLOTS_MAX ? slots : TG_SLOTS_MAX))
		err = set_size(opts, "proxy_http", HEAD_ROOM * need.http + SPARE);
	rows = slots / 3 * 4; /* a quarter of them may be the host's */
	if (!err && rows > TG_ROWS_MAX)
		err = set_size(opts, "tcp_totals", rows);
	if (!err && rows > TG_ROWS_MAX)
		err = set_size(opts, "wire_totals", rows);
	/* rows that give way to a configuration without any of these names */
	if (!err && rows > TG_ROWS_MAX)
		err = set_size(opts, "folding", rows);
	return err;
}
