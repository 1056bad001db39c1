/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The chains at the devices, two of each: rx-NAME at its ingress, tx-NAME at its egress.
 * The kernel removes them with their device, or (since Linux 6.16) keeps them for the
 * next one of that name.
 */
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <libnftnl/chain.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nft/batch.h"
#include "nft/nft.h"
#include "nft/rule.h"

#define CHAIN_NAME_BYTES (IFNAMSIZ + 4)

struct device_chain {
	char name[CHAIN_NAME_BYTES];
	bool there;
	bool wanted;
	bool moved; /* with its device, which has another name now */
};

struct nft_chains {
	const struct nft_where *at;
	struct device_chain *list;
	size_t n;
};

static struct device_chain *chain_find(struct nft_chains *all, const char *name)
{
	struct device_chain *more;

	for (size_t i = 0; i < all->n; i++) {
		if (strcmp(all->list[i].name, name) == 0)
			return &all->list[i];
	}
	more = reallocarray(all->list, all->n + 1, sizeof(*more));
	if (!more)
		return NULL;
	all->list = more;
	more = &all->list[all->n++];
	memset(more, 0, sizeof(*more));
	(void)snprintf(more->name, sizeof(more->name), "%s", name);
	return more;
}

static const char *prefix_of(int tx)
{
	return tx ? "tx-" : "rx-";
}

static bool is_of_device(const char *name)
{
	return (strncmp(name, prefix_of(0), 3) == 0 ||
		strncmp(name, prefix_of(1), 3) == 0) &&
	       strlen(name) < CHAIN_NAME_BYTES;
}

static int on_chain(const struct nlmsghdr *nlh, void *arg)
{
	struct nftnl_chain *c = nftnl_chain_alloc();
	struct nft_chains *all = arg;
	struct device_chain *one;
	const char *table, *name, *device;
	int r = MNL_CB_OK;

	if (!c) {
		errno = ENOMEM;
		return MNL_CB_ERROR;
	}
	if (nftnl_chain_nlmsg_parse(nlh, c) == 0 &&
	    (table = nftnl_chain_get_str(c, NFTNL_CHAIN_TABLE)) &&
	    (name = nftnl_chain_get_str(c, NFTNL_CHAIN_NAME)) &&
	    strcmp(table, all->at->table) == 0 && is_of_device(name)) {
		one = chain_find(all, name);
		device = nftnl_chain_get_str(c, NFTNL_CHAIN_DEV);
		if (one) {
			one->there = true;
			one->moved = device && strcmp(device, name + 3) != 0;
		} else {
			r = MNL_CB_ERROR;
		}
	}
	nftnl_chain_free(c);
	return r;
}

static int read_chains(struct nft_chains *all)
{
	int err;

	do {
		for (size_t i = 0; i < all->n; i++)
			all->list[i].there = false;
		err = nft_dump(NFT_MSG_GETCHAIN, (uint16_t)all->at->family, NULL,
			       on_chain, all);
	} while (err == -EINTR);
	return err;
}

static int add_chain(struct nft_batch *b, const struct nft_where *at, const char *name)
{
	bool tx = strncmp(name, prefix_of(1), 3) == 0;
	const struct nft_hook hook = {
		.number = tx ? NF_NETDEV_EGRESS : NF_NETDEV_INGRESS,
		.priority = tx ? NFT_PRIORITY_LAST : NFT_PRIORITY_FIRST,
		.device = name + 3
	};

	return nft_base_chain_add(b, at, name, &hook, tx);
}

static int change_chains(const struct nft_chains *all)
{
	struct nft_batch *b = nft_batch_new();
	int err = b ? 0 : -ENOMEM, changes = 0, made = 0;

	for (size_t i = 0; i < all->n && !err; i++) {
		const struct device_chain *c = &all->list[i];

		if (c->there == c->wanted && !c->moved)
			continue;
		changes++;
		made += c->wanted;
		if (c->there)
			err = nft_chain_remove(b, all->at, c->name);
		if (!err && c->wanted)
			err = add_chain(b, all->at, c->name);
	}
	if (!err && changes)
		err = nft_batch_commit(b);
	nft_batch_free(b);
	return err ? err : made > 0;
}

int nft_devices_set(const struct nft_where *at, const char *const *devices, size_t n)
{
	struct nft_chains all = { .at = at };
	char name[CHAIN_NAME_BYTES];
	struct device_chain *c;
	int err;

	err = read_chains(&all);
	for (size_t i = 0; i < 2 * n && !err; i++) {
		(void)snprintf(name, sizeof(name), "%s%.15s", prefix_of(i % 2 != 0),
			       devices[i / 2]);
		c = chain_find(&all, name);
		if (c)
			c->wanted = true;
		else
			err = -ENOMEM;
	}
	if (!err)
		err = change_chains(&all);
	free(all.list);
	return err;
}

int nft_chains_read(const struct nft_where *at, struct nft_chains **ret)
{
	struct nft_chains *all = calloc(1, sizeof(*all));
	int err = all ? 0 : -ENOMEM;

	if (!err) {
		all->at = at;
		err = read_chains(all);
		all->at = NULL; /* it is the caller's */
	}
	if (err) {
		nft_chains_free(all);
		all = NULL;
	}
	*ret = all;
	return err;
}

bool nft_chains_have(const struct nft_chains *all, const char *device, bool tx)
{
	for (size_t i = 0; i < all->n; i++) {
		const struct device_chain *c = &all->list[i];

		if (c->there && !c->moved && strncmp(c->name, prefix_of(tx), 3) == 0 &&
		    strcmp(c->name + 3, device) == 0)
			return true;
	}
	return false;
}

void nft_chains_free(struct nft_chains *all)
{
	if (all)
		free(all->list);
	free(all);
}
