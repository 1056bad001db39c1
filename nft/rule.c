/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <netinet/in.h>
#include <libnftnl/chain.h>
#include <libnftnl/expr.h>
#include <libnftnl/object.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <string.h>

#include "nft/rule.h"

int nft_counter_message(struct nft_batch *b, const struct nft_where *at, uint16_t type,
			const char *name)
{
	struct nftnl_obj *o = nftnl_obj_alloc();
	struct nlmsghdr *nlh;

	if (!o)
		return -ENOMEM;
	nftnl_obj_set_str(o, NFTNL_OBJ_TABLE, at->table);
	nftnl_obj_set_str(o, NFTNL_OBJ_NAME, name);
	nftnl_obj_set_u32(o, NFTNL_OBJ_TYPE, NFT_OBJECT_COUNTER);
	if (type == NFT_MSG_NEWOBJ) {
		nftnl_obj_set_u64(o, NFTNL_OBJ_CTR_PKTS, 0);
		nftnl_obj_set_u64(o, NFTNL_OBJ_CTR_BYTES, 0);
	}
	nlh = nft_batch_add(b, type, (uint16_t)at->family,
			    type == NFT_MSG_NEWOBJ ? NLM_F_CREATE : 0);
	nftnl_obj_nlmsg_build_payload(nlh, o);
	nft_batch_next(b);
	nftnl_obj_free(o);
	return 0;
}

static struct nftnl_chain *chain_new(const struct nft_where *at, const char *name)
{
	struct nftnl_chain *c = nftnl_chain_alloc();

	if (!c)
		return NULL;
	nftnl_chain_set_str(c, NFTNL_CHAIN_TABLE, at->table);
	nftnl_chain_set_str(c, NFTNL_CHAIN_NAME, name);
	return c;
}

int nft_chain_add(struct nft_batch *b, const struct nft_where *at, const char *name,
		  const struct nft_hook *hook)
{
	struct nftnl_chain *c = chain_new(at, name);
	struct nlmsghdr *nlh;

	if (!c)
		return -ENOMEM;
	if (hook) {
		nftnl_chain_set_u32(c, NFTNL_CHAIN_HOOKNUM, hook->number);
		nftnl_chain_set_s32(c, NFTNL_CHAIN_PRIO, hook->priority);
		nftnl_chain_set_u32(c, NFTNL_CHAIN_POLICY, NF_ACCEPT);
		nftnl_chain_set_str(c, NFTNL_CHAIN_TYPE, "filter");
		if (hook->device)
			nftnl_chain_set_str(c, NFTNL_CHAIN_DEV, hook->device);
	}
	nlh = nft_batch_add(b, NFT_MSG_NEWCHAIN, (uint16_t)at->family, NLM_F_CREATE);
	nftnl_chain_nlmsg_build_payload(nlh, c);
	nft_batch_next(b);
	nftnl_chain_free(c);
	return 0;
}

int nft_base_chain_add(struct nft_batch *b, const struct nft_where *at, const char *name,
		       const struct nft_hook *hook, bool tx)
{
	struct nftnl_rule *r;
	int err = nft_chain_add(b, at, name, hook);

	if (err)
		return err;
	r = nft_rule_new(at, name);
	if (!r)
		return -ENOMEM;
	err = nft_go_to(r, NFT_JUMP, tx ? "tx" : "rx");
	if (!err)
		nft_rule_commit(b, at, r);
	nftnl_rule_free(r);
	return err;
}

int nft_chain_remove(struct nft_batch *b, const struct nft_where *at, const char *name)
{
	struct nftnl_chain *c = chain_new(at, name);
	struct nlmsghdr *nlh;

	if (!c)
		return -ENOMEM;
	nlh = nft_batch_add(b, NFT_MSG_DELCHAIN, (uint16_t)at->family, 0);
	nftnl_chain_nlmsg_build_payload(nlh, c);
	nft_batch_next(b);
	nftnl_chain_free(c);
	return 0;
}

int nft_match_meta(struct nftnl_rule *r, uint32_t key, const void *data, uint32_t len)
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

static int match_register(struct nftnl_rule *r, const struct nft_payload *p)
{
	static const uint8_t zero[16];
	struct nftnl_expr *c = nftnl_expr_alloc("cmp"), *b;

	if (!c)
		return -ENOMEM;
	if (p->mask) {
		b = nftnl_expr_alloc("bitwise");
		if (!b) {
			nftnl_expr_free(c);
			return -ENOMEM;
		}
		nftnl_expr_set_u32(b, NFTNL_EXPR_BITWISE_SREG, NFT_REG_1);
		nftnl_expr_set_u32(b, NFTNL_EXPR_BITWISE_DREG, NFT_REG_1);
		nftnl_expr_set_u32(b, NFTNL_EXPR_BITWISE_LEN, p->len);
		nftnl_expr_set(b, NFTNL_EXPR_BITWISE_MASK, p->mask, p->len);
		nftnl_expr_set(b, NFTNL_EXPR_BITWISE_XOR, zero, p->len);
		nftnl_rule_add_expr(r, b);
	}
	nftnl_expr_set_u32(c, NFTNL_EXPR_CMP_SREG, NFT_REG_1);
	nftnl_expr_set_u32(c, NFTNL_EXPR_CMP_OP, p->differs ? NFT_CMP_NEQ : NFT_CMP_EQ);
	nftnl_expr_set(c, NFTNL_EXPR_CMP_DATA, p->data, p->len);
	nftnl_rule_add_expr(r, c);
	return 0;
}

int nft_match_payload(struct nftnl_rule *r, const struct nft_payload *p)
{
	struct nftnl_expr *l = nftnl_expr_alloc("payload");

	if (!l)
		return -ENOMEM;
	nftnl_expr_set_u32(l, NFTNL_EXPR_PAYLOAD_BASE, p->base);
	nftnl_expr_set_u32(l, NFTNL_EXPR_PAYLOAD_OFFSET, p->offset);
	nftnl_expr_set_u32(l, NFTNL_EXPR_PAYLOAD_LEN, p->len);
	nftnl_expr_set_u32(l, NFTNL_EXPR_PAYLOAD_DREG, NFT_REG_1);
	nftnl_rule_add_expr(r, l);
	return match_register(r, p);
}

int nft_match_exthdr(struct nftnl_rule *r, const struct nft_payload *p)
{
	struct nftnl_expr *l = nftnl_expr_alloc("exthdr");

	if (!l)
		return -ENOMEM;
	nftnl_expr_set_u8(l, NFTNL_EXPR_EXTHDR_TYPE, (uint8_t)p->base);
	nftnl_expr_set_u32(l, NFTNL_EXPR_EXTHDR_OFFSET, p->offset);
	nftnl_expr_set_u32(l, NFTNL_EXPR_EXTHDR_LEN, p->len);
	nftnl_expr_set_u32(l, NFTNL_EXPR_EXTHDR_DREG, NFT_REG_1);
	nftnl_rule_add_expr(r, l);
	return match_register(r, p);
}

int nft_count_into(struct nftnl_rule *r, const char *counter)
{
	struct nftnl_expr *e = nftnl_expr_alloc("objref");

	if (!e)
		return -ENOMEM;
	nftnl_expr_set_u32(e, NFTNL_EXPR_OBJREF_IMM_TYPE, NFT_OBJECT_COUNTER);
	nftnl_expr_set_str(e, NFTNL_EXPR_OBJREF_IMM_NAME, counter);
	nftnl_rule_add_expr(r, e);
	return 0;
}

int nft_go_to(struct nftnl_rule *r, int verdict, const char *chain)
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

struct nftnl_rule *nft_rule_new(const struct nft_where *at, const char *chain)
{
	struct nftnl_rule *r = nftnl_rule_alloc();

	if (!r)
		return NULL;
	nftnl_rule_set_u32(r, NFTNL_RULE_FAMILY, (uint32_t)at->family);
	nftnl_rule_set_str(r, NFTNL_RULE_TABLE, at->table);
	nftnl_rule_set_str(r, NFTNL_RULE_CHAIN, chain);
	return r;
}

void nft_rule_commit(struct nft_batch *b, const struct nft_where *at,
		     struct nftnl_rule *r)
{
	struct nlmsghdr *nlh;

	nlh = nft_batch_add(b, NFT_MSG_NEWRULE, (uint16_t)at->family,
			    NLM_F_CREATE | NLM_F_APPEND);
	nftnl_rule_nlmsg_build_payload(nlh, r);
	nft_batch_next(b);
}
