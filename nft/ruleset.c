/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table and its rules.  Two base chains look at the device and jump into `rx` and
 * `tx`; those two hold the listeners' rules and are replaced as a whole.  No rule gives
 * a verdict but `return`, so the table changes nothing about the traffic it counts.
 */
#include <errno.h>
#include <netinet/in.h>
#include <libnftnl/chain.h>
#include <libnftnl/expr.h>
#include <libnftnl/object.h>
#include <libnftnl/rule.h>
#include <libnftnl/table.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "batch.h"
#include "nft.h"

#define LISTENERS_MAX 64 /* keeps the transaction within its buffer */

#define TCP_RST	      0x04
#define TCP_ACK	      0x10

static int add_table(struct nft_batch *b, const char *table, const char *owner)
{
	struct nftnl_table *t = nftnl_table_alloc();
	struct nlmsghdr *nlh;

	if (!t)
		return -ENOMEM;
	nftnl_table_set_str(t, NFTNL_TABLE_NAME, table);
	(void)nftnl_table_set_data(t, NFTNL_TABLE_USERDATA, owner,
				   (uint32_t)strlen(owner) + 1);
	nlh = nft_batch_add(b, NFT_MSG_NEWTABLE, NFPROTO_INET, NLM_F_CREATE | NLM_F_EXCL);
	nftnl_table_nlmsg_build_payload(nlh, t);
	nft_batch_next(b);
	nftnl_table_free(t);
	return 0;
}

/* hook < 0: a chain that is only jumped to */
static int add_chain(struct nft_batch *b, const char *table, const char *name, int hook)
{
	struct nftnl_chain *c = nftnl_chain_alloc();
	struct nlmsghdr *nlh;

	if (!c)
		return -ENOMEM;
	nftnl_chain_set_str(c, NFTNL_CHAIN_TABLE, table);
	nftnl_chain_set_str(c, NFTNL_CHAIN_NAME, name);
	if (hook >= 0) {
		nftnl_chain_set_u32(c, NFTNL_CHAIN_HOOKNUM, (uint32_t)hook);
		/* before any filter on the way in, after all of them on the way out */
		nftnl_chain_set_s32(c, NFTNL_CHAIN_PRIO,
				    hook == NF_INET_LOCAL_IN ? -300 : 300);
		nftnl_chain_set_u32(c, NFTNL_CHAIN_POLICY, NF_ACCEPT);
		nftnl_chain_set_str(c, NFTNL_CHAIN_TYPE, "filter");
	}
	nlh = nft_batch_add(b, NFT_MSG_NEWCHAIN, NFPROTO_INET, NLM_F_CREATE);
	nftnl_chain_nlmsg_build_payload(nlh, c);
	nft_batch_next(b);
	nftnl_chain_free(c);
	return 0;
}

static int add_counter(struct nft_batch *b, const char *table, const char *name)
{
	struct nftnl_obj *o = nftnl_obj_alloc();
	struct nlmsghdr *nlh;

	if (!o)
		return -ENOMEM;
	nftnl_obj_set_str(o, NFTNL_OBJ_TABLE, table);
	nftnl_obj_set_str(o, NFTNL_OBJ_NAME, name);
	nftnl_obj_set_u32(o, NFTNL_OBJ_TYPE, NFT_OBJECT_COUNTER);
	nftnl_obj_set_u64(o, NFTNL_OBJ_CTR_PKTS, 0);
	nftnl_obj_set_u64(o, NFTNL_OBJ_CTR_BYTES, 0);
	/* without NLM_F_EXCL an existing counter stays and keeps its count */
	nlh = nft_batch_add(b, NFT_MSG_NEWOBJ, NFPROTO_INET, NLM_F_CREATE);
	nftnl_obj_nlmsg_build_payload(nlh, o);
	nft_batch_next(b);
	nftnl_obj_free(o);
	return 0;
}

/* --- expressions; each returns 0 or -ENOMEM and leaves its rule owned by the caller ---
 */

static int match_meta(struct nftnl_rule *r, uint32_t key, const void *data, uint32_t len)
{
	struct nftnl_expr *m = nftnl_expr_alloc("meta"), *c = nftnl_expr_alloc("cmp");

	if (!m || !c)
		return -ENOMEM;
	nftnl_expr_set_u32(m, NFTNL_EXPR_META_KEY, key);
	nftnl_expr_set_u32(m, NFTNL_EXPR_META_DREG, NFT_REG_1);
	nftnl_rule_add_expr(r, m);
	nftnl_expr_set_u32(c, NFTNL_EXPR_CMP_SREG, NFT_REG_1);
	nftnl_expr_set_u32(c, NFTNL_EXPR_CMP_OP, NFT_CMP_EQ);
	nftnl_expr_set(c, NFTNL_EXPR_CMP_DATA, data, len);
	nftnl_rule_add_expr(r, c);
	return 0;
}

struct payload_match {
	uint32_t base; /* NFT_PAYLOAD_* */
	uint32_t offset;
	uint32_t len;
	const void *mask; /* NULL: every bit */
	const void *data;
};

static int match_payload(struct nftnl_rule *r, const struct payload_match *p)
{
	static const uint8_t zero[16];
	struct nftnl_expr *l = nftnl_expr_alloc("payload"), *c = nftnl_expr_alloc("cmp"),
			  *b;

	if (!l || !c)
		return -ENOMEM;
	nftnl_expr_set_u32(l, NFTNL_EXPR_PAYLOAD_BASE, p->base);
	nftnl_expr_set_u32(l, NFTNL_EXPR_PAYLOAD_OFFSET, p->offset);
	nftnl_expr_set_u32(l, NFTNL_EXPR_PAYLOAD_LEN, p->len);
	nftnl_expr_set_u32(l, NFTNL_EXPR_PAYLOAD_DREG, NFT_REG_1);
	nftnl_rule_add_expr(r, l);
	if (p->mask) {
		b = nftnl_expr_alloc("bitwise");
		if (!b)
			return -ENOMEM;
		nftnl_expr_set_u32(b, NFTNL_EXPR_BITWISE_SREG, NFT_REG_1);
		nftnl_expr_set_u32(b, NFTNL_EXPR_BITWISE_DREG, NFT_REG_1);
		nftnl_expr_set_u32(b, NFTNL_EXPR_BITWISE_LEN, p->len);
		nftnl_expr_set(b, NFTNL_EXPR_BITWISE_MASK, p->mask, p->len);
		nftnl_expr_set(b, NFTNL_EXPR_BITWISE_XOR, zero, p->len);
		nftnl_rule_add_expr(r, b);
	}
	nftnl_expr_set_u32(c, NFTNL_EXPR_CMP_SREG, NFT_REG_1);
	nftnl_expr_set_u32(c, NFTNL_EXPR_CMP_OP, NFT_CMP_EQ);
	nftnl_expr_set(c, NFTNL_EXPR_CMP_DATA, p->data, p->len);
	nftnl_rule_add_expr(r, c);
	return 0;
}

static int count_into(struct nftnl_rule *r, const char *counter)
{
	struct nftnl_expr *e = nftnl_expr_alloc("objref");

	if (!e)
		return -ENOMEM;
	nftnl_expr_set_u32(e, NFTNL_EXPR_OBJREF_IMM_TYPE, NFT_OBJECT_COUNTER);
	nftnl_expr_set_str(e, NFTNL_EXPR_OBJREF_IMM_NAME, counter);
	nftnl_rule_add_expr(r, e);
	return 0;
}

/* NFT_JUMP to a chain, or NFT_RETURN (chain is NULL) so that no later rule counts too */
static int go_to(struct nftnl_rule *r, int verdict, const char *chain)
{
	struct nftnl_expr *e = nftnl_expr_alloc("immediate");

	if (!e)
		return -ENOMEM;
	nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
	nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_VERDICT, (uint32_t)verdict);
	if (chain)
		nftnl_expr_set_str(e, NFTNL_EXPR_IMM_CHAIN, chain);
	nftnl_rule_add_expr(r, e);
	return 0;
}

static int match_tcp(struct nftnl_rule *r)
{
	uint8_t proto = IPPROTO_TCP;

	return match_meta(r, NFT_META_L4PROTO, &proto, sizeof(proto));
}

static int match_flags(struct nftnl_rule *r, uint8_t mask, uint8_t flags)
{
	struct payload_match p = { NFT_PAYLOAD_TRANSPORT_HEADER, 13, 1, &mask, &flags };

	return match_payload(r, &p);
}

static int match_refused(struct nftnl_rule *r)
{
	uint32_t zero = 0;
	struct payload_match p = { NFT_PAYLOAD_TRANSPORT_HEADER, 4, 4, NULL, &zero };

	if (match_flags(r, TCP_RST | TCP_ACK, TCP_RST | TCP_ACK) < 0)
		return -ENOMEM;
	return match_payload(r, &p);
}

/* The listener's own end of the packet: destination on the way in, source out. */
static int match_listener(struct nftnl_rule *r, const struct nft_listener *l, int tx)
{
	bool v4 = addr_is_v4(l->addr.ip);
	struct payload_match port = { NFT_PAYLOAD_TRANSPORT_HEADER, tx ? 0u : 2u, 2, NULL,
				      &l->addr.port };
	struct payload_match ip = { NFT_PAYLOAD_NETWORK_HEADER, 0, v4 ? 4u : 16u, NULL,
				    v4 ? l->addr.ip + 12 : l->addr.ip };
	uint8_t family = v4 ? NFPROTO_IPV4 : NFPROTO_IPV6;

	if (v4)
		ip.offset = tx ? 12 : 16;
	else
		ip.offset = tx ? 8 : 24;
	if (!l->dual && match_meta(r, NFT_META_NFPROTO, &family, 1) < 0)
		return -ENOMEM;
	if (!addr_is_any(l->addr.ip) && match_payload(r, &ip) < 0)
		return -ENOMEM;
	if (match_tcp(r) < 0)
		return -ENOMEM;
	return match_payload(r, &port);
}

static struct nftnl_rule *rule_new(const char *table, const char *chain)
{
	struct nftnl_rule *r = nftnl_rule_alloc();

	if (!r)
		return NULL;
	nftnl_rule_set_u32(r, NFTNL_RULE_FAMILY, NFPROTO_INET);
	nftnl_rule_set_str(r, NFTNL_RULE_TABLE, table);
	nftnl_rule_set_str(r, NFTNL_RULE_CHAIN, chain);
	return r;
}

static void rule_commit(struct nft_batch *b, struct nftnl_rule *r)
{
	struct nlmsghdr *nlh;

	nlh = nft_batch_add(b, NFT_MSG_NEWRULE, NFPROTO_INET,
			    NLM_F_CREATE | NLM_F_APPEND);
	nftnl_rule_nlmsg_build_payload(nlh, r);
	nft_batch_next(b);
}

enum rule_kind { RULE_ALL, RULE_RESET, RULE_REFUSED };

static int add_listener_rule(struct nft_batch *b, const char *table,
			     const struct nft_listener *l, int tx, enum rule_kind kind)
{
	static const char *const infix[] = { "", "-reset", "-refused" };
	struct nftnl_rule *r = rule_new(table, tx ? "tx" : "rx");
	char counter[96];
	int err = -ENOMEM;

	if (!r)
		return -ENOMEM;
	(void)snprintf(counter, sizeof(counter), "%s%s-%s", l->name, infix[kind],
		       tx ? "tx" : "rx");
	err = add_counter(b, table, counter);
	if (!err)
		err = match_listener(r, l, tx);
	if (!err && kind == RULE_RESET)
		err = match_flags(r, TCP_RST, TCP_RST);
	if (!err && kind == RULE_REFUSED)
		err = match_refused(r);
	if (!err)
		err = count_into(r, counter);
	if (!err)
		err = go_to(r, NFT_RETURN, NULL);
	if (!err)
		rule_commit(b, r);
	nftnl_rule_free(r);
	return err;
}

static int add_refused_rx(struct nft_batch *b, const char *table)
{
	struct nftnl_rule *r = rule_new(table, "rx");
	int err = -ENOMEM;

	if (!r)
		return -ENOMEM;
	err = match_tcp(r);
	if (!err)
		err = match_refused(r);
	if (!err)
		err = count_into(r, "refused-rx");
	if (!err)
		rule_commit(b, r);
	nftnl_rule_free(r);
	return err;
}

/* device NULL: every one; a '*' at its end: whatever begins so */
static int add_device_rule(struct nft_batch *b, const char *table, int tx,
			   const char *device)
{
	struct nftnl_rule *r = rule_new(table, tx ? "output" : "input");
	char name[IFNAMSIZ] = "";
	size_t len = device ? strlen(device) : 0;
	int err = 0;

	if (!r)
		return -ENOMEM;
	if (len && len < sizeof(name)) {
		/* the register holds the name and zeros: all of it, or its beginning */
		memcpy(name, device, len);
		len = device[len - 1] == '*' ? len - 1 : sizeof(name);
		if (len)
			err = match_meta(r, tx ? NFT_META_OIFNAME : NFT_META_IIFNAME,
					 name, (uint32_t)len);
	}
	if (!err)
		err = go_to(r, NFT_JUMP, tx ? "tx" : "rx");
	if (!err)
		rule_commit(b, r);
	nftnl_rule_free(r);
	return err;
}

int nft_table_create(const char *table, const char *owner, const char *const *devices,
		     size_t n)
{
	struct nft_batch *b = nft_batch_new();
	int err;

	if (!b)
		return -ENOMEM;
	err = add_table(b, table, owner);
	if (!err)
		err = add_counter(b, table, "refused-rx");
	if (!err)
		err = add_chain(b, table, "rx", -1);
	if (!err)
		err = add_chain(b, table, "tx", -1);
	if (!err)
		err = add_chain(b, table, "input", NF_INET_LOCAL_IN);
	if (!err)
		err = add_chain(b, table, "output", NF_INET_LOCAL_OUT);
	if (!err)
		err = add_refused_rx(b, table);
	for (size_t i = 0; !err && i < (n ? n : 1); i++) {
		err = add_device_rule(b, table, 0, n ? devices[i] : NULL);
		if (!err)
			err = add_device_rule(b, table, 1, n ? devices[i] : NULL);
	}
	if (!err)
		err = nft_batch_commit(b);
	nft_batch_free(b);
	return err;
}

int nft_table_delete(const char *table)
{
	struct nft_batch *b = nft_batch_new();
	struct nftnl_table *t = nftnl_table_alloc();
	struct nlmsghdr *nlh;
	int err = -ENOMEM;

	if (b && t) {
		nftnl_table_set_str(t, NFTNL_TABLE_NAME, table);
		nlh = nft_batch_add(b, NFT_MSG_DELTABLE, NFPROTO_INET, 0);
		nftnl_table_nlmsg_build_payload(nlh, t);
		nft_batch_next(b);
		err = nft_batch_commit(b);
	}
	nftnl_table_free(t);
	nft_batch_free(b);
	return err;
}

struct wanted_table {
	const char *name;
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
	    nftnl_table_get_u32(t, NFTNL_TABLE_FAMILY) == NFPROTO_INET &&
	    (name = nftnl_table_get_str(t, NFTNL_TABLE_NAME)) &&
	    strcmp(name, w->name) == 0) {
		w->found = true;
		owner = nftnl_table_get_data(t, NFTNL_TABLE_USERDATA, &len);
		(void)snprintf(w->owner, w->cap, "%.*s", owner ? (int)len : 0,
			       owner ? owner : "");
	}
	nftnl_table_free(t);
	return MNL_CB_OK;
}

int nft_table_owner(const char *table, char *ret, size_t cap)
{
	struct wanted_table w = { .name = table, .owner = ret, .cap = cap };
	int err;

	do {
		w.found = false;
		err = nft_dump(NFT_MSG_GETTABLE, NFPROTO_INET, NULL, on_table, &w);
	} while (err == -EINTR);
	return err ? err : w.found ? 0 : -ENOENT;
}

static int flush_chain(struct nft_batch *b, const char *table, const char *chain)
{
	struct nftnl_rule *r = rule_new(table, chain);
	struct nlmsghdr *nlh;

	if (!r)
		return -ENOMEM;
	nlh = nft_batch_add(b, NFT_MSG_DELRULE, NFPROTO_INET, 0);
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

static int add_listener(struct nft_batch *b, const char *table,
			const struct nft_listener *l)
{
	int err;

	err = add_listener_rule(b, table, l, 0, RULE_RESET);
	if (!err)
		err = add_listener_rule(b, table, l, 0, RULE_ALL);
	if (!err)
		err = add_listener_rule(b, table, l, 1, RULE_REFUSED);
	if (!err)
		err = add_listener_rule(b, table, l, 1, RULE_RESET);
	if (!err)
		err = add_listener_rule(b, table, l, 1, RULE_ALL);
	return err;
}

int nft_listeners_set(const char *table, const struct nft_listener *listeners, size_t n)
{
	struct nft_batch *b;
	int err;

	if (n > LISTENERS_MAX)
		return -E2BIG;
	b = nft_batch_new();
	if (!b)
		return -ENOMEM;
	err = flush_chain(b, table, "rx");
	if (!err)
		err = flush_chain(b, table, "tx");
	if (!err)
		err = add_refused_rx(b, table);
	/* the first match counts: specific addresses before wildcards, as the wire book
	 */
	for (int rank = 0; rank < RANKS; rank++) {
		for (size_t i = 0; !err && i < n; i++) {
			if (rank_of(&listeners[i]) == rank)
				err = add_listener(b, table, &listeners[i]);
		}
	}
	if (!err)
		err = nft_batch_commit(b);
	nft_batch_free(b);
	return err;
}
