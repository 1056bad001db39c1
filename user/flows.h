/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USER_FLOWS_H
#define USER_FLOWS_H

#include <jansson.h>
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
};

/* 0, or -EINVAL if opts->sort is unknown. */
int flows_check(const struct flows_opts *opts);
extern const char flows_sorts[]; /* names for help texts */

/* An array of objects, a new reference; NULL without memory. */
json_t *flows_json(const struct snapshot *s, const struct flows_opts *opts);

/* A table for people; returns the number of rows. */
size_t flows_print(FILE *out, struct snapshot *s, const struct flows_opts *opts);

/* "ADDRESS:PORT" of one end of a flow, v4-mapped as IPv4; port in network order. */
char *flow_end_format(const uint8_t ip[16], __be16 port, char buf[ADDR_STR_MAX]);

#endif
