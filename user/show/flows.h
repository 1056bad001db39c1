/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USER_SHOW_FLOWS_H
#define USER_SHOW_FLOWS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/addr.h"
#include "book/book.h"

/* What of the live connections to show, and in which order. */
struct flows_opts {
	const char *listener; /* NULL: any */
	const char *route;
	const char *state;
	const char *protocol; /* NULL: "tcp"; "all": any, by the wire book */
	const char *sort;     /* NULL: "opened" */
	unsigned long limit;  /* 0: all */
	unsigned long offset; /* of these, leave out the first so many */
	bool by_ip;
	uint8_t ip[16]; /* of either end */
	__be16 port;	/* of either end; 0: any */
};

/* Whether words of the options are known. */
enum flows_bad { FLOWS_FINE, FLOWS_BAD_SORT, FLOWS_BAD_STATE, FLOWS_BAD_PROTOCOL };
enum flows_bad flows_check(const struct flows_opts *opts);
extern const char flows_sorts[]; /* names for help texts */

/*
 * The wanted flows of a snapshot in order, a list to free and its length in *ret_n;
 * *ret_more: there are more behind the limit.  NULL without memory.
 */
const struct live_flow **flows_select(const struct snapshot *s,
				      const struct flows_opts *opts, size_t *ret_n,
				      bool *ret_more);

/* One flow as an object, a new reference; NULL without memory. */
json_t *flow_json(const struct snapshot *s, const struct live_flow *f);

/* An array of objects, a new reference; NULL without memory. */
json_t *flows_json(const struct snapshot *s, const struct flows_opts *opts);

/* A table for people; returns the number of rows. */
size_t flows_print(FILE *out, struct snapshot *s, const struct flows_opts *opts);

/* "ADDRESS:PORT" of one end of a flow, v4-mapped as IPv4; port in network order. */
char *flow_end_format(const uint8_t ip[16], __be16 port, char buf[ADDR_STR_MAX]);

#endif
