/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The nft book: one table for each load, named as its directory of pins, `tollgate` by
 * default, written and read by netlink.  Nothing outside that table is ever touched.
 * Every call needs CAP_NET_ADMIN and works on the calling thread's network namespace.
 *
 * A load that watches devices has a table of family netdev, whose chains stand at the
 * ingress and egress of each, where the wire book counts, so that neither sees a frame
 * that the other does not.  A load that watches none has a table of family inet, behind
 * IP's own checks, of all devices.
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

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

enum nft_family { NFT_INET = 1, NFT_NETDEV = 5 }; /* NFPROTO_* */

/* Which table; its name is borrowed. */
struct nft_where {
	const char *table;
	enum nft_family family;
};

/* "netdev" or "inet", for sentences. */
const char *nft_family_name(enum nft_family family);

struct nft_listener {
	const char *name; /* borrowed during the call */
	struct addr
		addr; /* wildcard: any address of its family; :: any of both if dual */
	int dual;
};

struct nft_counter {
	char name[96];
	uint64_t packets;
	/*
	 * skb->len, of aggregates as the stack passes them: from the IP header on, but
	 * what goes out at a device has its link header already
	 */
	uint64_t bytes;
};

/*
 * Create the table in one transaction; one of family inet counts at once, the other as
 * soon as it has devices.  owner: whose it is, kept with it.  0, -EEXIST if the table
 * exists, or another negative errno.
 */
int nft_table_create(const struct nft_where *at, const char *owner);

/*
 * Count at these devices, n of them by name, and at no others; a chain that is there
 * already is left alone.  1 if a chain had to be made, 0 if not; -ENOENT: no such table
 * or device; -EOPNOTSUPP: a kernel without the egress hook; or another negative errno.
 */
int nft_devices_set(const struct nft_where *at, const char *const *devices, size_t n);

/* The chains there are at devices.  0 and *ret to free, or a negative errno and NULL. */
struct nft_chains;
int nft_chains_read(const struct nft_where *at, struct nft_chains **ret);
bool nft_chains_have(const struct nft_chains *all, const char *device, bool tx);
void nft_chains_free(struct nft_chains *all); /* NULL is fine */

/* Remove the table in one transaction.  0, or a negative errno (-ENOENT: no table). */
int nft_table_delete(const struct nft_where *at);

/*
 * Remove the tables of this name, of either family, that were made for this owner: of
 * loads that were killed.  How many.
 */
unsigned nft_tables_remove_owned(const char *table, const char *owner);

/*
 * 0 if the table is there, with the owner it was made for in ret ("" if it has none that
 * we wrote); -ENOENT, or another negative errno.
 */
int nft_table_owner(const struct nft_where *at, char *ret, size_t cap);

/*
 * Count for these listeners, in one transaction: makes missing counters, replaces the
 * rules, keeps the counters of listeners that are gone.  0, or a negative errno.
 */
int nft_listeners_set(const struct nft_where *at, const struct nft_listener *listeners,
		      size_t n);

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

/*
 * Take away the counters of listeners that `is_known` says no to; none of them may be in
 * a rule.  0, or a negative errno.
 */
int nft_counters_prune(const struct nft_where *at,
		       bool (*is_known)(const char *listener, void *arg), void *arg);

/* All counters of the table.  0 and a heap array the caller frees, or a negative errno.
 */
int nft_counters_read(const struct nft_where *at, struct nft_counter **ret,
		      size_t *ret_n);

#endif
