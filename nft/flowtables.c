/* SPDX-License-Identifier: Apache-2.0 */
/* Which flowtables there are; their flows bypass the hooks where counters stand. */
#include <errno.h>
#include <netinet/in.h>
#include <libnftnl/flowtable.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <stdio.h>
#include <string.h>

#include "nft/batch.h"
#include "nft/nft.h"

struct names {
	char *text;
	size_t cap;
};

_Static_assert((int)NFT_INET == NFPROTO_INET && (int)NFT_NETDEV == NFPROTO_NETDEV,
	       "nft_family");

static const char *family_name(uint32_t family)
{
	switch (family) {
	case NFPROTO_IPV4:
		return "ip";
	case NFPROTO_IPV6:
		return "ip6";
	case NFPROTO_INET:
		return "inet";
	case NFPROTO_NETDEV:
		return "netdev";
	default:
		return "other";
	}
}

const char *nft_family_name(enum nft_family family)
{
	return family_name(family);
}

static int on_flowtable(const struct nlmsghdr *nlh, void *arg)
{
	struct nftnl_flowtable *f = nftnl_flowtable_alloc();
	struct names *names = arg;
	size_t len = strlen(names->text);

	if (!f) {
		errno = ENOMEM;
		return MNL_CB_ERROR;
	}
	if (nftnl_flowtable_nlmsg_parse(nlh, f) == 0)
		(void)snprintf(
			names->text + len, names->cap - len, "%s%s %s %s",
			len ? ", " : "",
			family_name(nftnl_flowtable_get_u32(f, NFTNL_FLOWTABLE_FAMILY)),
			nftnl_flowtable_get_str(f, NFTNL_FLOWTABLE_TABLE),
			nftnl_flowtable_get_str(f, NFTNL_FLOWTABLE_NAME));
	nftnl_flowtable_free(f);
	return MNL_CB_OK;
}

static void build_nothing(struct nlmsghdr *nlh, void *arg)
{
	(void)nlh;
	(void)arg;
}

int nft_flowtables(char *ret, size_t cap)
{
	struct names names = { .text = ret, .cap = cap };
	int err;

	do {
		ret[0] = '\0';
		err = nft_dump(NFT_MSG_GETFLOWTABLE, NFPROTO_UNSPEC, build_nothing,
			       on_flowtable, &names);
	} while (err == -EINTR);
	return err == -EOPNOTSUPP ? 0 : err;
}
