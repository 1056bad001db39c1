/* SPDX-License-Identifier: Apache-2.0 */
/* Netlink transport of the nft book: transactions and dumps over one short-lived socket.
 */
#include <errno.h>
#include <netinet/in.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nf_tables.h>
#include <libnftnl/common.h>
#include <stdlib.h>
#include <time.h>

#include "nft/batch.h"

#define BATCH_BYTES  (2048u * 1024)
#define ANSWER_BYTES 32768 /* as much as the kernel puts into one answer */
/* Beyond this the batch buffer could not take another message. */
#define BATCH_LIMIT (BATCH_BYTES / 2)

struct nft_batch {
	char *buf;
	struct mnl_nlmsg_batch *batch;
	uint32_t first_seq; /* answered if the transaction is refused as a whole */
	uint32_t seq;
	int full;	       /* a message found no place: the whole must not be sent */
	struct nlmsghdr *last; /* the one message that asks for an answer */
};

struct nft_batch *nft_batch_new(void)
{
	struct nft_batch *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->buf = malloc(BATCH_BYTES);
	b->batch = b->buf ? mnl_nlmsg_batch_start(b->buf, BATCH_LIMIT) : NULL;
	if (!b->batch) {
		nft_batch_free(b);
		return NULL;
	}
	b->seq = b->first_seq = (uint32_t)time(NULL);
	nftnl_batch_begin(mnl_nlmsg_batch_current(b->batch), b->seq++);
	mnl_nlmsg_batch_next(b->batch);
	return b;
}

void nft_batch_free(struct nft_batch *b)
{
	if (!b)
		return;
	if (b->batch)
		mnl_nlmsg_batch_stop(b->batch);
	free(b->buf);
	free(b);
}

struct nlmsghdr *nft_batch_add(struct nft_batch *b, uint16_t type, uint16_t family,
			       uint16_t flags)
{
	b->last = nftnl_nlmsg_build_hdr(mnl_nlmsg_batch_current(b->batch), type, family,
					flags, b->seq++);
	return b->last;
}

void nft_batch_next(struct nft_batch *b)
{
	if (!mnl_nlmsg_batch_next(b->batch))
		b->full = 1;
}

static struct mnl_socket *open_socket(void)
{
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	int size = BATCH_BYTES;

	if (nl) /* a large batch is one datagram; refused without privilege, as the rest
		 */
		(void)setsockopt(mnl_socket_get_fd(nl), SOL_SOCKET, SO_SNDBUFFORCE, &size,
				 sizeof(size));
	if (nl && mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0) {
		int err = errno;

		mnl_socket_close(nl);
		errno = err;
		return NULL;
	}
	return nl;
}

/*
 * nfnetlink answers each message that failed, and the last one in any case because it
 * asks for it; so the answer to that one, or to the batch's own header, is the end.
 */
static int read_verdict(struct nft_batch *b, struct mnl_socket *nl, uint32_t last_seq)
{
	char buf[ANSWER_BYTES];
	const struct nlmsgerr *e;
	struct nlmsghdr *nlh;
	int err = 0, done = 0, left;
	ssize_t n;

	while (!done) {
		n = mnl_socket_recvfrom(nl, buf, sizeof(buf));
		if (n < 0)
			return -errno;
		left = (int)n;
		for (nlh = (void *)buf; mnl_nlmsg_ok(nlh, left);
		     nlh = mnl_nlmsg_next(nlh, &left)) {
			if (nlh->nlmsg_type != NLMSG_ERROR)
				continue;
			e = mnl_nlmsg_get_payload(nlh);
			if (e->error < 0 && !err)
				err = e->error;
			done |= nlh->nlmsg_seq == last_seq ||
				nlh->nlmsg_seq == b->first_seq;
		}
	}
	return err;
}

int nft_batch_commit(struct nft_batch *b)
{
	struct mnl_socket *nl;
	int err;

	if (b->full)
		return -E2BIG;
	b->last->nlmsg_flags |= NLM_F_ACK;
	nftnl_batch_end(mnl_nlmsg_batch_current(b->batch), b->seq++);
	mnl_nlmsg_batch_next(b->batch);
	nl = open_socket();
	if (!nl)
		return -errno;
	if (mnl_socket_sendto(nl, mnl_nlmsg_batch_head(b->batch),
			      mnl_nlmsg_batch_size(b->batch)) < 0)
		err = -errno;
	else
		err = read_verdict(b, nl, b->last->nlmsg_seq);
	mnl_socket_close(nl);
	return err;
}

int nft_dump(uint16_t type, uint16_t family, void (*build)(struct nlmsghdr *, void *),
	     mnl_cb_t cb, void *arg)
{
	char buf[ANSWER_BYTES];
	struct mnl_socket *nl;
	struct nlmsghdr *nlh;
	uint32_t seq = (uint32_t)time(NULL);
	int err = 0, r = 1;
	ssize_t n;

	nl = open_socket();
	if (!nl)
		return -errno;
	nlh = nftnl_nlmsg_build_hdr(buf, type, family, NLM_F_DUMP, seq);
	if (build)
		build(nlh, arg);
	if (mnl_socket_sendto(nl, nlh, nlh->nlmsg_len) < 0)
		err = -errno;
	while (!err && r > 0) {
		n = mnl_socket_recvfrom(nl, buf, sizeof(buf));
		if (n < 0)
			err = -errno;
		else if ((r = mnl_cb_run(buf, (size_t)n, seq, mnl_socket_get_portid(nl),
					 cb, arg)) < 0)
			err = -errno;
	}
	mnl_socket_close(nl);
	return err;
}
