/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pieces of which chains and rules are put together.  Each function returns 0 or
 * -ENOMEM; a rule stays the caller's until it is committed and freed.
 */
#ifndef NFT_RULE_H
#define NFT_RULE_H

#include <stdbool.h>
#include <stdint.h>
#include <libnftnl/rule.h>

#include "nft/batch.h"
#include "nft/nft.h"

/* Before any filter of others on the way in, after all of them on the way out. */
#define NFT_PRIORITY_FIRST (-300)
#define NFT_PRIORITY_LAST  300

/* type: NFT_MSG_NEWOBJ, which leaves one that is there as it is, or NFT_MSG_DELOBJ. */
int nft_counter_message(struct nft_batch *b, const struct nft_where *at, uint16_t type,
			const char *name);

/* Where a base chain stands: NULL instead of one is a chain that is only jumped to. */
struct nft_hook {
	uint32_t number; /* NF_INET_* or NF_NETDEV_* */
	int32_t priority;
	const char *device; /* of family netdev, else NULL */
};

int nft_chain_add(struct nft_batch *b, const struct nft_where *at, const char *name,
		  const struct nft_hook *hook);

/* A base chain whose only rule jumps to `rx`, or `tx`. */
int nft_base_chain_add(struct nft_batch *b, const struct nft_where *at, const char *name,
		       const struct nft_hook *hook, bool tx);
int nft_chain_remove(struct nft_batch *b, const struct nft_where *at, const char *name);

/* An empty rule, or NULL without memory; commit puts a copy of it behind the others. */
struct nftnl_rule *nft_rule_new(const struct nft_where *at, const char *chain);
void nft_rule_commit(struct nft_batch *b, const struct nft_where *at,
		     struct nftnl_rule *r);

/* key: NFT_META_*; data: its value, the register's first len bytes. */
int nft_match_meta(struct nftnl_rule *r, uint32_t key, const void *data, uint32_t len);

struct nft_payload {
	uint32_t base; /* NFT_PAYLOAD_* */
	uint32_t offset;
	uint32_t len;
	const void *mask; /* NULL: every bit */
	const void *data;
	bool differs; /* matches what is not that */
};
int nft_match_payload(struct nftnl_rule *r, const struct nft_payload *p);

/* The same of an IPv6 extension header; without one nothing matches.  base: its type. */
int nft_match_exthdr(struct nftnl_rule *r, const struct nft_payload *p);

/* Into the counter object of this name. */
int nft_count_into(struct nftnl_rule *r, const char *counter);

/* NFT_JUMP to a chain, or NFT_RETURN (chain is NULL) so that no later rule counts too. */
int nft_go_to(struct nftnl_rule *r, int verdict, const char *chain);

#endif
