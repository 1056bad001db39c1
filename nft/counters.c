/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the counters back, by one netlink dump. */
#include <errno.h>
#include <netinet/in.h>
#include <libnftnl/object.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nft/batch.h"
#include "nft/nft.h"
#include "nft/rule.h"

#define COUNTERS_MAX 4096
#define TRIES_MAX    10

struct counters {
	const struct nft_where *at;
	struct nft_counter *v;
	size_t n;
	size_t cap;
};

static int counters_push(struct counters *list, struct nftnl_obj *o)
{
	struct nft_counter *c;

	if (list->n == list->cap) {
		size_t cap = list->cap ? list->cap * 2 : 64;

		if (cap > COUNTERS_MAX)
			return -E2BIG;
		c = reallocarray(list->v, cap, sizeof(*c));
		if (!c)
			return -ENOMEM;
		list->v = c;
		list->cap = cap;
	}
	c = &list->v[list->n++];
	(void)snprintf(c->name, sizeof(c->name), "%s",
		       nftnl_obj_get_str(o, NFTNL_OBJ_NAME));
	c->packets = nftnl_obj_get_u64(o, NFTNL_OBJ_CTR_PKTS);
	c->bytes = nftnl_obj_get_u64(o, NFTNL_OBJ_CTR_BYTES);
	return 0;
}

static int on_object(const struct nlmsghdr *nlh, void *arg)
{
	struct nftnl_obj *o = nftnl_obj_alloc();
	struct counters *list = arg;
	const char *table;
	int r = MNL_CB_OK, err;

	if (!o) {
		errno = ENOMEM;
		return MNL_CB_ERROR;
	}
	if (nftnl_obj_nlmsg_parse(nlh, o) == 0) {
		table = nftnl_obj_get_str(o, NFTNL_OBJ_TABLE);
		err = table && strcmp(table, list->at->table) == 0
			      ? counters_push(list, o)
			      : 0;
		if (err < 0) {
			errno = -err;
			r = MNL_CB_ERROR;
		}
	}
	nftnl_obj_free(o);
	return r;
}

/* Ask for the counters of our table only. */
static void build_request(struct nlmsghdr *nlh, void *arg)
{
	mnl_attr_put_strz(nlh, NFTA_OBJ_TABLE, ((struct counters *)arg)->at->table);
	mnl_attr_put_u32(nlh, NFTA_OBJ_TYPE, htonl(NFT_OBJECT_COUNTER));
}

int nft_counters_read(const struct nft_where *at, struct nft_counter **ret, size_t *ret_n)
{
	struct counters list = { .at = at };
	int err;

	/* another program changed rules meanwhile: the list may have holes (netlink(7))
	 */
	for (int i = 0; i < TRIES_MAX; i++) {
		list.n = 0;
		err = nft_dump(NFT_MSG_GETOBJ, (uint16_t)at->family, build_request,
			       on_object, &list);
		if (err != -EINTR)
			break;
	}
	if (err < 0) {
		free(list.v);
		return err;
	}
	*ret = list.v;
	*ret_n = list.n;
	return 0;
}

const struct nft_counter *nft_counter_find(const struct nft_counter *list, size_t n,
					   const char *name)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(list[i].name, name) == 0)
			return &list[i];
	}
	return NULL;
}

int nft_listener_sum(const struct nft_counter *list, size_t n, const char *listener,
		     int tx, struct nft_counter *ret)
{
	static const char *const infixes[] = { "", "-reset", "-refused" };
	struct nft_counter sum = { 0 };
	const struct nft_counter *c;
	bool found = false;

	for (size_t i = 0; i < sizeof(infixes) / sizeof(infixes[0]); i++) {
		(void)snprintf(sum.name, sizeof(sum.name), "%s%s-%s", listener,
			       infixes[i], tx ? "tx" : "rx");
		c = nft_counter_find(list, n, sum.name);
		if (!c)
			continue;
		found = true;
		sum.packets += c->packets;
		sum.bytes += c->bytes;
	}
	if (!found)
		return -ENOENT;
	*ret = sum;
	return 0;
}

/* "<listener>-rx" and so on; 0 if the counter is no listener's. */
static size_t listener_of(const char *counter, char *ret, size_t cap)
{
	static const char *const ends[] = { "-reset-rx", "-reset-tx", "-refused-tx",
					    "-rx", "-tx" };
	size_t len = strlen(counter), end;

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		end = strlen(ends[i]);
		if (len <= end || strcmp(counter + len - end, ends[i]) != 0)
			continue;
		(void)snprintf(ret, cap, "%.*s", (int)(len - end), counter);
		return len - end;
	}
	return 0;
}

int nft_counters_prune(const struct nft_where *at,
		       bool (*is_known)(const char *listener, void *arg), void *arg)
{
	struct nft_batch *b = nft_batch_new();
	struct nft_counter *all = NULL;
	char listener[sizeof(all->name)];
	size_t n = 0, gone = 0;
	int err;

	if (!b)
		return -ENOMEM;
	err = nft_counters_read(at, &all, &n);
	for (size_t i = 0; i < n && !err; i++) {
		if (strcmp(all[i].name, "refused-rx") == 0 ||
		    !listener_of(all[i].name, listener, sizeof(listener)) ||
		    is_known(listener, arg))
			continue;
		err = nft_counter_message(b, at, NFT_MSG_DELOBJ, all[i].name);
		gone++;
	}
	if (!err && gone)
		err = nft_batch_commit(b);
	free(all);
	nft_batch_free(b);
	return err;
}
