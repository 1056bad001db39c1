/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The nft book: one table of family inet for each load, named as its directory of pins,
 * `tollgate` by default, written and read by netlink.  Nothing outside that table is ever
 * touched.  Every call needs CAP_NET_ADMIN and works on the calling
 * thread's network namespace.
 *
 * Counters are named objects, so that they outlive the rules that feed them.  Each packet
 * of a listener is in exactly one of its counters:
 *   <listener>-refused-tx        RST+ACK with sequence 0: the answer to a SYN where
 *                                nobody listens (RFC 9293 3.10.7.1)
 *   <listener>-reset-rx, -tx     any other RST
 *   <listener>-rx, -tx           everything else
 * and besides:
 *   refused-rx                   RST+ACK with sequence 0 from others: a backend refused
 * us
 */
#ifndef NFT_NFT_H
#define NFT_NFT_H

#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

struct nft_listener {
	const char *name; /* borrowed during the call */
	struct addr
		addr; /* wildcard: any address of its family; :: any of both if dual */
	int dual;
};

struct nft_counter {
	char name[96];
	uint64_t packets;
	uint64_t bytes; /* from the IP header on, aggregates as the stack passes them */
};

/*
 * Create the table with its base chains in one transaction.  devices: names of those
 * whose packets are counted, or beginnings of names with a '*' behind, n of them; none
 * means every device.  owner: whose it is, kept with it.  0, -EEXIST if the table exists,
 * or another negative errno.
 */
int nft_table_create(const char *table, const char *owner, const char *const *devices,
		     size_t n);

/* Remove the table in one transaction.  0, or a negative errno (-ENOENT: no table). */
int nft_table_delete(const char *table);

/*
 * 0 if the table is there, with the owner it was made for in ret ("" if it has none that
 * we wrote); -ENOENT, or another negative errno.
 */
int nft_table_owner(const char *table, char *ret, size_t cap);

/*
 * Count for these listeners, in one transaction: makes missing counters, replaces the
 * rules, keeps the counters of listeners that are gone.  0, or a negative errno.
 */
int nft_listeners_set(const char *table, const struct nft_listener *listeners, size_t n);

/*
 * Packets and bytes of one listener, all its counters of one direction together.  0, or
 * -ENOENT if it has none in this list; *ret is then untouched.
 */
int nft_listener_sum(const struct nft_counter *list, size_t n, const char *listener,
		     int tx, struct nft_counter *ret);

/*
 * Names of all flowtables of this network namespace as "family table name", a comma
 * between.  Packets of an offloaded flow pass no hook behind ingress, so counters of
 * forwarded traffic stand still.  0, or a negative errno.
 */
int nft_flowtables(char *ret, size_t cap);

/* The counter of this name, or NULL. */
const struct nft_counter *nft_counter_find(const struct nft_counter *list, size_t n,
					   const char *name);

/* All counters of the table.  0 and a heap array the caller frees, or a negative errno.
 */
int nft_counters_read(const char *table, struct nft_counter **ret, size_t *ret_n);

#endif
