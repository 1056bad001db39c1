/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table and its rules.  Base chains jump into `rx` and `tx`: two for all devices
 * (here), or two of each watched one (devices.c).  `rx` and `tx` hold the listeners'
 * rules and are replaced as a whole.  No rule gives a verdict but `return`, so the table
 * changes nothing about the traffic it counts.
 */
#include <errno.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <libnftnl/rule.h>
#include <libnftnl/table.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "nft/batch.h"
#include "nft/nft.h"
#include "nft/rule.h"

#define LISTENERS_MAX 64 /* keeps the transaction within its buffer */

#define TCP_RST	      0x04
#define TCP_ACK	      0x10

static int add_table(struct nft_batch *b, const struct nft_where *at, const char *owner)
{
	struct nftnl_table *t = nftnl_table_alloc();
	struct nlmsghdr *nlh;

	if (!t)
		return -ENOMEM;
	nftnl_table_set_str(t, NFTNL_TABLE_NAME, at->table);
	(void)nftnl_table_set_data(t, NFTNL_TABLE_USERDATA, owner,
				   (uint32_t)strlen(owner) + 1);
	nlh = nft_batch_add(b, NFT_MSG_NEWTABLE, (uint16_t)at->family,
			    NLM_F_CREATE | NLM_F_EXCL);
	nftnl_table_nlmsg_build_payload(nlh, t);
	nft_batch_next(b);
	nftnl_table_free(t);
	return 0;
}

static int match_tcp(struct nftnl_rule *r)
{
	uint8_t proto = IPPROTO_TCP;

	return nft_match_meta(r, NFT_META_L4PROTO, &proto, sizeof(proto));
}

static int match_flags(struct nftnl_rule *r, uint8_t mask, uint8_t flags)
{
	struct nft_payload p = {
		NFT_PAYLOAD_TRANSPORT_HEADER, 13, 1, &mask, &flags, false
	};

	return nft_match_payload(r, &p);
}

static int match_refused(struct nftnl_rule *r)
{
	uint32_t zero = 0;
	struct nft_payload p = { NFT_PAYLOAD_TRANSPORT_HEADER, 4, 4, NULL, &zero, false };

	if (match_flags(r, TCP_RST | TCP_ACK, TCP_RST | TCP_ACK) < 0)
		return -ENOMEM;
	return nft_match_payload(r, &p);
}

/* The listener's own end of the packet: destination on the way in, source out. */
static int match_listener(struct nftnl_rule *r, const struct nft_listener *l, int tx)
{
	bool v4 = addr_is_v4(l->addr.ip);
	struct nft_payload port = {
		NFT_PAYLOAD_TRANSPORT_HEADER, tx ? 0u : 2u, 2, NULL, &l->addr.port, false
	};
	struct nft_payload ip = {
		NFT_PAYLOAD_NETWORK_HEADER,	   0,	 v4 ? 4u : 16u, NULL,
		v4 ? l->addr.ip + 12 : l->addr.ip, false
	};
	/* of the frame: the family of a rule at a device is that of the device's hook */
	uint16_t protocol = htons(v4 ? ETHERTYPE_IP : ETHERTYPE_IPV6);

	if (v4)
		ip.offset = tx ? 12 : 16;
	else
		ip.offset = tx ? 8 : 24;
	if (!l->dual &&
	    nft_match_meta(r, NFT_META_PROTOCOL, &protocol, sizeof(protocol)) < 0)
		return -ENOMEM;
	if (!addr_is_any(l->addr.ip) && nft_match_payload(r, &ip) < 0)
		return -ENOMEM;
	if (match_tcp(r) < 0)
		return -ENOMEM;
	return nft_match_payload(r, &port);
}

enum rule_kind { RULE_ALL, RULE_RESET, RULE_REFUSED };

static int add_listener_rule(struct nft_batch *b, const struct nft_where *at,
			     const struct nft_listener *l, int tx, enum rule_kind kind)
{
	static const char *const infix[] = { "", "-reset", "-refused" };
	struct nftnl_rule *r = nft_rule_new(at, tx ? "tx" : "rx");
	char counter[96];
	int err = -ENOMEM;

	if (!r)
		return -ENOMEM;
	(void)snprintf(counter, sizeof(counter), "%s%s-%s", l->name, infix[kind],
		       tx ? "tx" : "rx");
	err = nft_counter_message(b, at, NFT_MSG_NEWOBJ, counter);
	if (!err)
		err = match_listener(r, l, tx);
	if (!err && kind == RULE_RESET)
		err = match_flags(r, TCP_RST, TCP_RST);
	if (!err && kind == RULE_REFUSED)
		err = match_refused(r);
	if (!err)
		err = nft_count_into(r, counter);
	if (!err)
		err = nft_go_to(r, NFT_RETURN, NULL);
	if (!err)
		nft_rule_commit(b, at, r);
	nftnl_rule_free(r);
	return err;
}

/*
 * The later parts of a fragmented packet have no ports, but what nft reads fast it reads
 * from there all the same (net/netfilter/nf_tables_core.c nft_payload_fast_eval).
 */
static int add_no_parts(struct nft_batch *b, const struct nft_where *at, int tx, bool v4)
{
	const uint16_t protocol = htons(v4 ? ETHERTYPE_IP : ETHERTYPE_IPV6);
	const uint16_t mask = htons(v4 ? 0x1fff : 0xfff8), zero = 0;
	const struct nft_payload offset = { .base = v4 ? NFT_PAYLOAD_NETWORK_HEADER
						       : IPPROTO_FRAGMENT,
					    .offset = v4 ? 6 : 2,
					    .len = 2,
					    .mask = &mask,
					    .data = &zero,
					    .differs = true };
	struct nftnl_rule *r = nft_rule_new(at, tx ? "tx" : "rx");
	int err;

	if (!r)
		return -ENOMEM;
	err = nft_match_meta(r, NFT_META_PROTOCOL, &protocol, sizeof(protocol));
	if (!err)
		err = v4 ? nft_match_payload(r, &offset) : nft_match_exthdr(r, &offset);
	if (!err)
		err = nft_go_to(r, NFT_RETURN, NULL);
	if (!err)
		nft_rule_commit(b, at, r);
	nftnl_rule_free(r);
	return err;
}

static int add_refused_rx(struct nft_batch *b, const struct nft_where *at)
{
	struct nftnl_rule *r = nft_rule_new(at, "rx");
	int err = -ENOMEM;

	if (!r)
		return -ENOMEM;
	err = match_tcp(r);
	if (!err)
		err = match_refused(r);
	if (!err)
		err = nft_count_into(r, "refused-rx");
	if (!err)
		nft_rule_commit(b, at, r);
	nftnl_rule_free(r);
	return err;
}

/* All devices: before any filter on the way in, after all of them on the way out. */
static int add_base_chain(struct nft_batch *b, const struct nft_where *at, int tx)
{
	const struct nft_hook hook = {
		.number = tx ? NF_INET_LOCAL_OUT : NF_INET_LOCAL_IN,
		.priority = tx ? NFT_PRIORITY_LAST : NFT_PRIORITY_FIRST
	};

	return nft_base_chain_add(b, at, tx ? "output" : "input", &hook, tx);
}

/* What stands before the rules of the listeners. */
static int add_first_rules(struct nft_batch *b, const struct nft_where *at)
{
	int err = 0;

	/* behind IP's own hooks there are no parts */
	for (int i = 0; !err && at->family == NFT_NETDEV && i < 4; i++)
		err = add_no_parts(b, at, i & 1, i & 2);
	return err ? err : add_refused_rx(b, at);
}

int nft_table_create(const struct nft_where *at, const char *owner)
{
	struct nft_batch *b = nft_batch_new();
	int err;

	if (!b)
		return -ENOMEM;
	err = add_table(b, at, owner);
	if (!err)
		err = nft_counter_message(b, at, NFT_MSG_NEWOBJ, "refused-rx");
	if (!err)
		err = nft_chain_add(b, at, "rx", NULL);
	if (!err)
		err = nft_chain_add(b, at, "tx", NULL);
	if (!err)
		err = add_first_rules(b, at);
	for (int tx = 0; !err && at->family == NFT_INET && tx < 2; tx++)
		err = add_base_chain(b, at, tx);
	if (!err)
		err = nft_batch_commit(b);
	nft_batch_free(b);
	return err;
}

int nft_table_delete(const struct nft_where *at)
{
	struct nft_batch *b = nft_batch_new();
	struct nftnl_table *t = nftnl_table_alloc();
	struct nlmsghdr *nlh;
	int err = -ENOMEM;

	if (b && t) {
		nftnl_table_set_str(t, NFTNL_TABLE_NAME, at->table);
		nlh = nft_batch_add(b, NFT_MSG_DELTABLE, (uint16_t)at->family, 0);
		nftnl_table_nlmsg_build_payload(nlh, t);
		nft_batch_next(b);
		err = nft_batch_commit(b);
	}
	nftnl_table_free(t);
	nft_batch_free(b);
	return err;
}

struct wanted_table {
	const struct nft_where *at;
	bool found;
	char *owner;
	size_t cap;
};

static int on_table(const struct nlmsghdr *nlh, void *arg)
{
	struct nftnl_table *t = nftnl_table_alloc();
	struct wanted_table *w = arg;
	const char *name, *owner;
	uint32_t len = 0;

	if (!t) {
		errno = ENOMEM;
		return MNL_CB_ERROR;
	}
	if (nftnl_table_nlmsg_parse(nlh, t) == 0 &&
	    nftnl_table_get_u32(t, NFTNL_TABLE_FAMILY) == (uint32_t)w->at->family &&
	    (name = nftnl_table_get_str(t, NFTNL_TABLE_NAME)) &&
	    strcmp(name, w->at->table) == 0) {
		w->found = true;
		owner = nftnl_table_get_data(t, NFTNL_TABLE_USERDATA, &len);
		(void)snprintf(w->owner, w->cap, "%.*s", owner ? (int)len : 0,
			       owner ? owner : "");
	}
	nftnl_table_free(t);
	return MNL_CB_OK;
}

int nft_table_owner(const struct nft_where *at, char *ret, size_t cap)
{
	struct wanted_table w = { .at = at, .owner = ret, .cap = cap };
	int err;

	do {
		w.found = false;
		err = nft_dump(NFT_MSG_GETTABLE, (uint16_t)at->family, NULL, on_table,
			       &w);
	} while (err == -EINTR);
	return err ? err : w.found ? 0 : -ENOENT;
}

unsigned nft_tables_remove_owned(const char *table, const char *owner)
{
	static const enum nft_family families[] = { NFT_NETDEV, NFT_INET };
	char whose[4096];
	unsigned n = 0;

	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
		const struct nft_where at = { table, families[i] };

		n += nft_table_owner(&at, whose, sizeof(whose)) == 0 &&
		     strcmp(whose, owner) == 0 && nft_table_delete(&at) == 0;
	}
	return n;
}

static int flush_chain(struct nft_batch *b, const struct nft_where *at, const char *chain)
{
	struct nftnl_rule *r = nft_rule_new(at, chain);
	struct nlmsghdr *nlh;

	if (!r)
		return -ENOMEM;
	nlh = nft_batch_add(b, NFT_MSG_DELRULE, (uint16_t)at->family, 0);
	nftnl_rule_nlmsg_build_payload(nlh, r);
	nft_batch_next(b);
	nftnl_rule_free(r);
	return 0;
}

#define RANKS 3

static int rank_of(const struct nft_listener *l)
{
	if (!addr_is_any(l->addr.ip))
		return 0;
	return addr_is_v4(l->addr.ip) ? 1 : 2;
}

static int add_listener(struct nft_batch *b, const struct nft_where *at,
			const struct nft_listener *l)
{
	int err;

	err = add_listener_rule(b, at, l, 0, RULE_RESET);
	if (!err)
		err = add_listener_rule(b, at, l, 0, RULE_ALL);
	if (!err)
		err = add_listener_rule(b, at, l, 1, RULE_REFUSED);
	if (!err)
		err = add_listener_rule(b, at, l, 1, RULE_RESET);
	if (!err)
		err = add_listener_rule(b, at, l, 1, RULE_ALL);
	return err;
}

int nft_listeners_set(const struct nft_where *at, const struct nft_listener *listeners,
		      size_t n)
{
	struct nft_batch *b;
	int err;

	if (n > LISTENERS_MAX)
		return -E2BIG;
	b = nft_batch_new();
	if (!b)
		return -ENOMEM;
	err = flush_chain(b, at, "rx");
	if (!err)
		err = flush_chain(b, at, "tx");
	if (!err)
		err = add_first_rules(b, at);
	/* the first match counts: specific addresses before wildcards, as the wire book
	 */
	for (int rank = 0; rank < RANKS; rank++) {
		for (size_t i = 0; !err && i < n; i++) {
			if (rank_of(&listeners[i]) == rank)
				err = add_listener(b, at, &listeners[i]);
		}
	}
	if (!err)
		err = nft_batch_commit(b);
	nft_batch_free(b);
	return err;
}
