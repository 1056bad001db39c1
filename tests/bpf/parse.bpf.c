/* SPDX-License-Identifier: GPL-2.0-only */
/* The frame parser alone, for BPF_PROG_TEST_RUN: what it read goes to a map. */
#include <linux/bpf.h>
#include <linux/types.h>

#include <bpf/bpf_helpers.h>

#include "parse.h"
#include "tests/bpf/parse_result.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct parse_result);
} result SEC(".maps");

static __always_inline int run(const void *data, const void *end)
{
	struct parse_result *r;
	__u32 zero = 0;

	r = bpf_map_lookup_elem(&result, &zero);
	if (!r)
		return 0;
	__builtin_memset(r, 0, sizeof(*r));
	r->fault = parse_frame(data, end, &r->packet);
	return 0;
}

SEC("tc")
int parse_tc(struct __sk_buff *skb)
{
	return run((void *)(long)skb->data, (void *)(long)skb->data_end);
}

SEC("xdp")
int parse_xdp(struct xdp_md *ctx)
{
	run((void *)(long)ctx->data, (void *)(long)ctx->data_end);
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
