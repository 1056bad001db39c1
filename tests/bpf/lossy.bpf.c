/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A bad link: one frame of 64 is lost, one of 16 goes to class 1:20 of an HTB qdisc,
 * which is slower than the default and so overtaken by later ones.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_helpers.h>

#define SLOW_CLASS 0x10020

SEC("tc")
int lossy(struct __sk_buff *skb)
{
	__u32 dice = bpf_get_prandom_u32();

	if ((dice & 63) == 0)
		return TC_ACT_SHOT;
	if ((dice >> 6 & 15) == 0)
		skb->priority = SLOW_CLASS;
	return TC_ACT_UNSPEC;
}

char LICENSE[] SEC("license") = "GPL";
