/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The boundary of each listener, where the wire book and nft count the same packets: the
 * rules follow the `listeners` map, and the first difference is measured.  Needs
 * CAP_NET_ADMIN, in the network namespace of the load.
 */
#ifndef USER_BOOK_BOUNDARY_H
#define USER_BOOK_BOUNDARY_H

#include <stdbool.h>

#include "bpf/abi.h"
#include "nft/nft.h"

/* Descriptors of pinned maps, and the name and family of the load's nft table. */
struct boundary {
	int names_fd;
	int listeners_fd;
	int boundary_fd;
	int cursors_fd;
	enum nft_family family;
	char table[TG_TABLE_LEN]; /* empty: the load has none */
};

/* The nft table of a load; its name points into *m. */
struct nft_where boundary_table(const struct meta *m);

/* Open what is pinned below `pins`.  0 or a negative errno; done() in any case. */
int boundary_open(const char *pins, struct boundary *ret);
void boundary_done(struct boundary *b);

/*
 * What is bound to the address `key` from here on: *val, or nobody if it is NULL.  Flows
 * that live ask anew.  0 or a negative errno.
 */
int boundary_listener(const struct boundary *b, const struct listener_key *key,
		      const struct listener_val *val);

/*
 * Make the rules of nft those of the `listeners` map.  0; -ENOENT if the table is not
 * there; or another negative errno.
 */
int boundary_apply(const struct boundary *b);

/*
 * Measure what nft and the wire book differ by now at the address `key`, which is that of
 * the listener `name`, and keep it in the map: from here on they are compared.  0 or a
 * negative errno.
 */
int boundary_measure(const struct boundary *b, const struct listener_key *key,
		     const char *name);

/* The same for every listener, after packets were missed by one of the two. */
int boundary_measure_all(const struct boundary *b);

#endif
