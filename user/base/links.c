/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>

#include "base/links.h"

#define ANSWER_BYTES 32768

static int on_attribute(const struct nlattr *a, void *arg)
{
	struct link_facts *ret = arg;

	switch (mnl_attr_get_type(a)) {
	case IFLA_MASTER:
		ret->master = mnl_attr_get_u32(a);
		break;
	case IFLA_LINK:
		ret->link = mnl_attr_get_u32(a);
		break;
	case IFLA_LINK_NETNSID:
		ret->link_elsewhere = true;
		break;
	default:
		break;
	}
	return MNL_CB_OK;
}

static int on_link(const struct nlmsghdr *h, void *arg)
{
	return mnl_attr_parse(h, sizeof(struct ifinfomsg), on_attribute, arg);
}

int link_facts_read(unsigned ifindex, struct link_facts *ret)
{
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	unsigned seq = (unsigned)time(NULL);
	struct link_facts facts = { 0 };
	char buf[ANSWER_BYTES];
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	struct ifinfomsg *ask;
	ssize_t n = -1;
	int err = 0;

	if (!nl)
		return -errno;
	h->nlmsg_type = RTM_GETLINK;
	h->nlmsg_flags = NLM_F_REQUEST;
	h->nlmsg_seq = seq;
	ask = mnl_nlmsg_put_extra_header(h, sizeof(*ask));
	ask->ifi_index = (int)ifindex;
	if (mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    mnl_socket_sendto(nl, h, h->nlmsg_len) < 0 ||
	    (n = mnl_socket_recvfrom(nl, buf, sizeof(buf))) < 0 ||
	    mnl_cb_run(buf, (size_t)n, seq, mnl_socket_get_portid(nl), on_link, &facts) <
		    0)
		err = -errno;
	mnl_socket_close(nl);
	if (!err)
		*ret = facts;
	return err;
}

int links_watch(void)
{
	struct sockaddr_nl me = { .nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
			NETLINK_ROUTE);

	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&me, sizeof(me)) < 0) {
		int err = -errno;

		close(fd);
		return err;
	}
	return fd;
}

void links_watch_drain(int fd)
{
	char buf[ANSWER_BYTES];

	while (recv(fd, buf, sizeof(buf), MSG_DONTWAIT) > 0)
		;
}

struct filters {
	unsigned pref, handle;
	int before;
	bool met;
};

static int on_filter(const struct nlmsghdr *h, void *arg)
{
	const struct tcmsg *tc = mnl_nlmsg_get_payload(h);
	struct filters *f = arg;
	unsigned pref;

	/* 0: what holds the filters of one preference, not one itself */
	if (h->nlmsg_type != RTM_NEWTFILTER || tc->tcm_handle == 0)
		return MNL_CB_OK;
	pref = TC_H_MAJ(tc->tcm_info) >> 16;
	if (pref == f->pref && tc->tcm_handle == f->handle)
		f->met = true;
	f->before += !f->met;
	return MNL_CB_OK;
}

int links_filters_before(unsigned ifindex, bool egress, unsigned pref, unsigned handle)
{
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	struct filters f = { .pref = pref, .handle = handle };
	unsigned seq = (unsigned)time(NULL);
	char buf[ANSWER_BYTES];
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	struct tcmsg *ask;
	int err = 0, more = 1;
	ssize_t n;

	if (!nl)
		return -errno;
	h->nlmsg_type = RTM_GETTFILTER;
	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	h->nlmsg_seq = seq;
	ask = mnl_nlmsg_put_extra_header(h, sizeof(*ask));
	ask->tcm_ifindex = (int)ifindex;
	ask->tcm_parent =
		TC_H_MAKE(TC_H_CLSACT, egress ? TC_H_MIN_EGRESS : TC_H_MIN_INGRESS);
	if (mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    mnl_socket_sendto(nl, h, h->nlmsg_len) < 0)
		err = -errno;
	while (!err && more > 0) {
		n = mnl_socket_recvfrom(nl, buf, sizeof(buf));
		more = n < 0 ? -1
			     : mnl_cb_run(buf, (size_t)n, seq, mnl_socket_get_portid(nl),
					  on_filter, &f);
		err = more < 0 ? -errno : 0;
	}
	mnl_socket_close(nl);
	return err ? err : f.met ? f.before : -ENOENT;
}
