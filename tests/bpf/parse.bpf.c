/* SPDX-License-Identifier: GPL-2.0-only */
/* The frame parser alone, as the wire book has it, for BPF_PROG_TEST_RUN: to a map. */
#include <linux/bpf.h>
#include <linux/types.h>

#include <bpf/bpf_helpers.h>

#include "bpf/wire_parse.h"
#include "tests/bpf/parse_result.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct parse_result);
} result SEC(".maps");

static __always_inline void keep(const struct packet *packet, int fault)
{
	struct parse_result *r;
	__u32 zero = 0;

	r = bpf_map_lookup_elem(&result, &zero);
	if (!r)
		return;
	r->packet = *packet;
	r->fault = (__u32)fault;
}

SEC("tc")
int parse_tc(struct __sk_buff *skb)
{
	struct packet packet;
	int fault = parse_any(skb, &packet, 1);

	keep(&packet, fault);
	return 0;
}

SEC("xdp")
int parse_xdp(struct xdp_md *ctx)
{
	struct packet packet;
	int fault = parse_any_xdp(ctx, &packet);

	keep(&packet, fault);
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
