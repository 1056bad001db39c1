/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The wire book: what crossed the watched devices, per 4-tuple while a conversation
 * lives, per row for ever, and per listener at the place where nftables counts too.
 *
 * A TCP flow begins with its SYN and ends when its socket closes (tcp.bpf.c); any other
 * begins with its first frame and ends when it was idle (wire_flow.h).  A frame that
 * finds no flow goes straight to a row, so that the rows plus the undrained flows hold
 * every frame exactly once.
 *
 * XDP counts the same frames a third time, before the stack has an opinion.
 */
#include <linux/bpf.h>

#include "vmlinux.h"
#include <linux/types.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "maps.h"
#include "fragment.h"
#include "wire_flow.h"
#include "wire_parse.h"
#include "wire_sequence.h"

#define HEADERS_MAX 256
#define TCX_NEXT    (-1) /* also TC_ACT_UNSPEC: let the next program decide */
#define IPPROTO_TCP 6
#define AF_INET	    2
#define AF_INET6    10

char LICENSE[] SEC("license") __weak = "GPL";

/*
 * A flow is too large for the stack.  These programs run with softirqs off, so nothing
 * on this CPU comes between filling this and inserting it.
 */
TG_MAP(wire_fresh, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, struct wire_flow, 1, 0);

/* One frame at one point, whatever program saw it. */
struct frame {
	__u32 ifindex;
	__u32 came_in; /* on this device, before it goes out again; 0: it is ours */
	__u32 point;   /* enum tg_dir or tg_point */
	struct wire_counts counts;
	__u64 skb_bytes; /* what nftables adds for this skb: its length there */
};

/*
 * For the verifier, which sees a frame from outside as any bytes.  64 bits wide, because
 * that of Linux 6.1 forgets a bound when a 32-bit register is copied.
 */
static __always_inline __u64 point_of(const struct frame *frame)
{
	__u64 point = frame->point;

	barrier_var(point);
	if (point >= TG_POINT_MAX)
		point = TG_XDP;
	return point;
}

struct skb_lengths {
	__u32 len; /* from the link's header on */
	__u32 gso_size;
	__u32 gso_segs;
	__u32 tag_bytes; /* a VLAN tag that is beside the data, but on the link */
};

/*
 * Lengths of what the link carried.  An skb may stand for many segments (GSO, GRO); all
 * but the first repeat the headers (net/core/dev.c qdisc_pkt_len_init does the same sum
 * for egress only).
 */
static __always_inline void frame_measure(const struct skb_lengths *skb,
					  const struct packet *pkt, struct frame *ret)
{
	__u32 l3 = pkt->l3_bytes, payload = 0, l3_headers = 0,
	      headers = pkt->header_bytes;
	__u32 extra = skb->gso_size ? pkt->jumbo_bytes : 0;
	__u64 segs = 1;

	if (skb->gso_size || !l3 || l3 > skb->len - pkt->l2_bytes)
		l3 = skb->len - pkt->l2_bytes; /* link padding is in no IP length */
	if (pkt->header_bytes && pkt->l2_bytes + l3 > pkt->header_bytes)
		payload = pkt->l2_bytes + l3 - pkt->header_bytes;
	if (skb->gso_size) {
		segs = skb->gso_segs;
		if (!segs)
			segs = (payload + skb->gso_size - 1) / skb->gso_size;
		if (!segs)
			segs = 1;
	}
	headers -= extra;
	if (headers > pkt->l2_bytes)
		l3_headers = headers - pkt->l2_bytes;
	ret->counts.packets = segs;
	ret->counts.l3_bytes = l3 - extra + (segs - 1) * l3_headers;
	ret->counts.frame_bytes =
		skb->len - extra + (segs - 1) * headers + segs * skb->tag_bytes;
	ret->counts.payload_bytes = payload;
}

/* fe80::/10: such addresses mean something on one link only, and sockets say which. */
static __always_inline int is_link_local(const __u8 addr[16])
{
	return addr[0] == 0xfe && (addr[1] & 0xc0) == 0x80;
}

static __always_inline void key_fill(struct flow_key *key, const struct packet *pkt,
				     const struct frame *frame)
{
	int point = frame->point;
	struct meta *m = meta_get();

	if (point == TG_TX) {
		__builtin_memcpy(key->local, pkt->src, 16);
		__builtin_memcpy(key->remote, pkt->dst, 16);
		key->local_port = pkt->sport;
		key->remote_port = pkt->dport;
	} else {
		__builtin_memcpy(key->local, pkt->dst, 16);
		__builtin_memcpy(key->remote, pkt->src, 16);
		key->local_port = pkt->dport;
		key->remote_port = pkt->sport;
	}
	key->proto = pkt->proto;
	if (is_link_local(pkt->src) || is_link_local(pkt->dst))
		key->device = (__u16)frame->ifindex;
	key->netns_cookie = m ? m->netns_cookie : 0;
}

/* The flow of a socket that is bound to this frame's device, if there ever was one. */
static __always_inline struct wire_flow *flow_bound(struct flow_key *key,
						    const struct frame *frame)
{
	struct wire_flow *f;

	if (key->device || key->proto != IPPROTO_TCP || !cursor_get(TG_CURSOR_BOUND))
		return NULL;
	key->device = (__u16)frame->ifindex;
	f = bpf_map_lookup_elem(&wire, key);
	if (!f)
		key->device = 0;
	return f;
}

static __always_inline int same_addr(const __u8 a[16], const __u8 b[16])
{
	return ((const __u64 *)a)[0] == ((const __u64 *)b)[0] &&
	       ((const __u64 *)a)[1] == ((const __u64 *)b)[1];
}

static __always_inline int is_ip4(const __u8 addr[16])
{
	return ((const __u64 *)addr)[0] == 0 && ((const __u32 *)addr)[2] == 0xffff0000;
}

/*
 * What the routing table said of a destination a moment ago.  Frames without a flow,
 * which a stranger may send by the million, ask no more than once a second and CPU: a
 * quarter of what they cost.
 */
#define ROUTES_KEPT 64
#define ROUTE_NS    1000000000ull
struct route_seen {
	__u64 asked_ns;
	__u32 ifindex;
	__u32 forwarded;
	__u8 dst[16];
};
TG_MAP(routes_seen, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, struct route_seen, ROUTES_KEPT, 0);

static __always_inline struct route_seen *route_place(const __u8 dst[16])
{
	const __u32 *w = (const __u32 *)dst;
	__u32 place = (w[0] ^ w[1] ^ w[2] ^ w[3]) * 2654435761u >> 26;

	return bpf_map_lookup_elem(&routes_seen, &place);
}

/*
 * Does this frame only pass through?  Going out it remembers where it came in; coming
 * in, the routing table knows.
 */
static __noinline int is_forwarded(void *ctx, const struct frame *frame,
				   const struct packet *pkt)
{
	struct bpf_fib_lookup fib = {};
	__u64 now = bpf_ktime_get_coarse_ns();
	struct route_seen *seen;
	long r;

	if (frame->point == TG_TX)
		return frame->came_in != 0;
	seen = route_place(pkt->dst);
	if (seen && seen->asked_ns && now - seen->asked_ns < ROUTE_NS &&
	    seen->ifindex == frame->ifindex && same_addr(seen->dst, pkt->dst))
		return seen->forwarded != 0;
	/* multicast and broadcast are no matter of the table (ip_route_input_rcu) */
	if (is_ip4(pkt->dst) && pkt->dst[12] >= 224)
		return 0;
	fib.ifindex = frame->ifindex;
	fib.l4_protocol = pkt->proto;
	if (is_ip4(pkt->dst)) {
		fib.family = AF_INET;
		__builtin_memcpy(&fib.ipv4_src, pkt->src + 12, 4);
		__builtin_memcpy(&fib.ipv4_dst, pkt->dst + 12, 4);
	} else {
		fib.family = AF_INET6;
		__builtin_memcpy(fib.ipv6_src, pkt->src, 16);
		__builtin_memcpy(fib.ipv6_dst, pkt->dst, 16);
	}
	r = bpf_fib_lookup(ctx, &fib, sizeof(fib), 0);
	r = r == BPF_FIB_LKUP_RET_SUCCESS || r == BPF_FIB_LKUP_RET_NO_NEIGH ||
	    r == BPF_FIB_LKUP_RET_FRAG_NEEDED;
	if (seen) {
		seen->ifindex = frame->ifindex;
		seen->forwarded = r != 0;
		__builtin_memcpy(seen->dst, pkt->dst, 16);
		seen->asked_ns = now;
	}
	return r != 0;
}

/* Whose frame is it, if no flow says so. */
struct owner {
	__u16 boundary; /* listener of its local address and port, whatever its leg */
	__u16 listener; /* the same, unless it only passes through */
	__u8 leg;
};

static __always_inline struct owner owner_find(void *ctx, const struct frame *frame,
					       const struct packet *pkt,
					       const struct flow_key *key)
{
	struct owner o = { .leg = TG_LEG_FORWARDED };

	if (pkt->proto == IPPROTO_TCP)
		o.boundary = listener_lookup(key->local, key->local_port);
	if (is_forwarded(ctx, frame, pkt))
		return o;
	o.listener = o.boundary;
	o.leg = o.listener ? TG_LEG_DOWNSTREAM : TG_LEG_HOST;
	return o;
}

/* A flow of which 0 is known was never asked. */
static __always_inline __u32 listeners_now(void)
{
	return (__u32)cursor_get(TG_CURSOR_LISTENERS) + 1;
}

static __always_inline int opens_flow(const struct packet *pkt)
{
	return pkt->proto != IPPROTO_TCP ||
	       (pkt->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN;
}

/* The flow of this key, made if this frame opens one; NULL if it belongs to none. */
static __always_inline struct wire_flow *flow_find(void *ctx, struct flow_key *key,
						   const struct packet *pkt,
						   const struct frame *frame)
{
	struct wire_flow *f = flow_bound(key, frame), *fresh;
	struct owner owner;
	__u32 zero = 0;

	if (!f)
		f = bpf_map_lookup_elem(&wire, key);
	if (f || !opens_flow(pkt))
		return f;
	fresh = bpf_map_lookup_elem(&wire_fresh, &zero);
	if (!fresh)
		return NULL;
	fresh->key = *key;
	fresh->active = frame->point == TG_TX;
	owner = owner_find(ctx, frame, pkt, key);
	fresh->leg = owner.leg;
	fresh->listener = owner.listener;
	fresh->boundary = owner.boundary;
	fresh->listeners = listeners_now();
	fresh->opened_ns = fresh->seen_ns = bpf_ktime_get_coarse_ns();
	fresh->epoch = cursor_get(TG_CURSOR_EPOCH);
	fault_insert(bpf_map_update_elem(&wire, key, fresh, BPF_NOEXIST),
		     TG_FAULT_WIRE_FULL);
	return bpf_map_lookup_elem(&wire, key);
}

static __always_inline void flow_add(struct wire_flow *f, const struct packet *pkt,
				     const struct frame *frame)
{
	__u64 point = point_of(frame);
	struct wire_counts *c = &f->counts[point];

	if (pkt->proto == IPPROTO_TCP && point < TG_DIR_MAX)
		flow_sequence(f, point, pkt, frame->counts.payload_bytes);
	f->seen_ns = bpf_ktime_get_coarse_ns();
	ADD(c->l3_bytes, frame->counts.l3_bytes);
	ADD(c->frame_bytes, frame->counts.frame_bytes);
	if (frame->counts.payload_bytes)
		ADD(c->payload_bytes, frame->counts.payload_bytes);
	/* with its result: a full barrier, before the caller looks at `dead` again */
	point = __sync_fetch_and_add(&c->packets, frame->counts.packets);
	barrier_var(point);
}

static __always_inline void row_add(__u8 proto, __u8 leg, __u16 listener,
				    const struct frame *frame)
{
	struct row_key row = { .listener = listener, .proto = proto, .leg = leg };
	struct wire_totals *t = wire_row(&row);

	if (t)
		wire_add(t, point_of(frame), &frame->counts);
}

static __always_inline void boundary_add(__u16 listener, const struct packet *pkt,
					 const struct frame *frame)
{
	__u64 point = point_of(frame);
	__u32 index = listener;
	struct wire_boundary *b;

	if (!listener)
		return;
	b = bpf_map_lookup_elem(&wire_boundary, &index);
	if (!b)
		return;
	ADD(b->dir[point].counts.packets, frame->counts.packets);
	ADD(b->dir[point].counts.l3_bytes, frame->counts.l3_bytes);
	ADD(b->dir[point].counts.frame_bytes, frame->counts.frame_bytes);
	ADD(b->dir[point].counts.payload_bytes, frame->counts.payload_bytes);
	ADD(b->dir[point].skbs, 1);
	ADD(b->dir[point].skb_bytes, frame->skb_bytes);
	if (point == TG_RX && (pkt->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN)
		ADD(b->syns, 1);
}

static __always_inline int key_equal(const struct flow_key *a, const struct flow_key *b)
{
	const __u64 *x = (const __u64 *)a, *y = (const __u64 *)b;

	return x[0] == y[0] && x[1] == y[1] && x[2] == y[2] && x[3] == y[3] &&
	       x[4] == y[4] && x[5] == y[5];
}

/*
 * Is a TCP flow that no socket of ours owns over?  A FIN or RST that arrives early
 * proves nothing: the ingress hook may see a batch before TCP has seen the handshake in
 * it.  What is over without our knowing becomes idle.
 */
static __always_inline int flow_is_over(const struct wire_flow *f,
					const struct packet *pkt, int point)
{
	if (f->socket || pkt->proto != IPPROTO_TCP || point == TG_XDP)
		return 0;
	/* the answer to a wrong ACK of a handshake has that number, and ends nothing */
	if (pkt->tcp_flags & TCP_RST)
		return point == TG_TX &&
		       (!f->seq[TG_TX].first || (__u32)f->seq[TG_TX].highest == pkt->seq);
	return f->fins == 3;
}

/* Who listens where this flow is, asked again when that may have changed. */
static __always_inline __u16 flow_boundary(struct wire_flow *f,
					   const struct flow_key *key)
{
	__u32 now = listeners_now();

	if (f->listeners != now) {
		f->boundary = listener_lookup(key->local, key->local_port);
		f->listeners = now;
	}
	return f->boundary;
}

/*
 * Charges the frame to its flow, or to a row; returns the listener of its local address
 * and port, which is where nft counts, whoever the frame is of.
 */
static __always_inline __u16 account(void *ctx, struct packet *pkt, struct frame *frame)
{
	struct flow_key key = {};
	struct row_key row;
	struct wire_flow *f;
	struct owner owner;
	__u16 boundary = 0;
	int charged = 0, known = 1;

	if (pkt->fragment)
		known = fragment_note(pkt, frame->point, &frame->counts.payload_bytes);
	if (!known && frame->point != TG_XDP)
		fault_inc(TG_FAULT_FRAGMENT);
	key_fill(&key, pkt, frame);
	f = flow_find(ctx, &key, pkt, frame);
	if (f && !f->dead && key_equal(&f->key, &key)) {
		flow_add(f, pkt, frame);
		boundary = flow_boundary(f, &key);
		charged = 1;
		if (pkt->fragment)
			fragment_settle(f, pkt, frame->point);
		if (*(volatile __u32 *)&f->dead == 2) { /* see wire_flow.h */
			flow_row(&key, f, &row);
			wire_drain(f, &row);
		} else if (flow_is_over(f, pkt, frame->point)) {
			flow_settle(&key, f, ~0ull);
		}
	}
	if (!charged) {
		owner = owner_find(ctx, frame, pkt, &key);
		row_add(pkt->proto, owner.leg, owner.listener, frame);
		boundary = owner.boundary;
	}
	return boundary;
}

/*
 * Global functions: the verifier checks each once, not again for every way through the
 * parser.  They may be called with NULL for all it knows.
 */
__noinline int account_skb(struct __sk_buff *skb, struct packet *pkt, struct frame *frame)
{
	if (!pkt || !frame)
		return 0;
	return account(skb, pkt, frame);
}

__noinline int account_xdp(struct xdp_md *xdp, struct packet *pkt, struct frame *frame)
{
	if (!pkt || !frame)
		return 0;
	return account(xdp, pkt, frame);
}

__noinline int account_row(struct packet *pkt, struct frame *frame)
{
	if (!pkt || !frame)
		return 0;
	row_add(pkt->proto, TG_LEG_HOST, 0, frame);
	return 0;
}

__noinline int account_boundary(__u32 listener, struct packet *pkt, struct frame *frame)
{
	if (!pkt || !frame)
		return 0;
	boundary_add((__u16)listener, pkt, frame);
	return 0;
}

/* For a frame that is charged to nobody, but has ports all the same. */
__noinline int listener_of(struct packet *pkt, struct frame *frame)
{
	int tx;

	if (!pkt || !frame)
		return 0;
	tx = frame->point == TG_TX;
	return listener_lookup(tx ? pkt->src : pkt->dst, tx ? pkt->sport : pkt->dport);
}

/*
 * Does a rule of nft at this place see a TCP segment of a port?  As
 * nft_set_pktinfo_ipv4() and ..._ipv6_validate() of include/net/netfilter, and
 * nft_payload_eval(), judge: IP's lengths must lie within the frame, TCP's need not, an
 * authentication header is the end, and our rules leave the later parts of packets out.
 * What a tag inside of the frame hides is no IP for it.
 */
static __always_inline int is_seen_by_nft(const struct packet *pkt,
					  const struct skb_lengths *skb, __u32 link,
					  int tx)
{
	__u32 len = skb->len;

	if (pkt->proto != IPPROTO_TCP || !pkt->has_ports || pkt->l2_bytes != link)
		return 0;
	if (pkt->fragment == TG_FRAGMENT_LATER || pkt->has_auth)
		return 0;
	if (pkt->ip6)
		return pkt->jumbo_bytes || pkt->l3_bytes <= len - link;
	if (!pkt->l3_bytes) /* an aggregate over 64 KiB has none */
		return skb->gso_size != 0;
	/* of IPv4 what goes out is measured with its link header */
	return pkt->l3_bytes <= (tx ? len : len - link);
}

static __always_inline int on_skb(struct __sk_buff *skb, int point, int link)
{
	struct skb_lengths lengths = { .len = skb->len,
				       .gso_size = skb->gso_size,
				       .gso_segs = skb->gso_segs,
				       .tag_bytes = skb->vlan_present ? VLAN_HLEN : 0 };
	struct frame frame = { .ifindex = skb->ifindex,
			       .came_in = skb->ingress_ifindex,
			       .point = point };
	struct packet pkt;
	enum tg_fault fault;
	__u32 listener, seen;

	fault = (enum tg_fault)parse_any(skb, &pkt, link);
	/* headers may lie in fragments of the skb */
	if (fault >= TG_FAULT_SHORT_L2 && fault <= TG_FAULT_SHORT_L4 &&
	    bpf_skb_pull_data(skb, skb->len < HEADERS_MAX ? skb->len : HEADERS_MAX) == 0)
		fault = (enum tg_fault)parse_any(skb, &pkt, link);
	if (fault == TG_FAULT_EXT_HEADERS) {
		fault = (enum tg_fault)parse_ext_headers(skb, &pkt);
		if (fault == TG_FAULT_NONE &&
		    bpf_skb_pull_data(skb, skb->len < L4_OFFSET_MAX ? skb->len
								    : L4_OFFSET_MAX) == 0)
			fault = (enum tg_fault)transport_skb(skb, &pkt);
	}
	frame_measure(&lengths, &pkt, &frame);
	seen = is_seen_by_nft(&pkt, &lengths, link ? ETH_HLEN : 0, point == TG_TX);
	/* its data begin at IP on the way in, at the link's header on the way out */
	frame.skb_bytes = skb->len - (link && point == TG_RX ? ETH_HLEN : 0);
	if (is_charged(fault, &pkt)) {
		listener = account_skb(skb, &pkt, &frame);
	} else {
		fault_inc(fault);
		account_row(&pkt, &frame);
		listener = seen ? listener_of(&pkt, &frame) : 0;
	}
	if (seen)
		account_boundary(listener, &pkt, &frame);
	return TCX_NEXT;
}

SEC("tc")
int wire_ingress(struct __sk_buff *skb)
{
	return on_skb(skb, TG_RX, 1);
}

SEC("tc")
int wire_egress(struct __sk_buff *skb)
{
	return on_skb(skb, TG_TX, 1);
}

/* The same for devices without Ethernet: names of at most 15 characters. */
SEC("tc")
int wire_in_l3(struct __sk_buff *skb)
{
	return on_skb(skb, TG_RX, 0);
}

SEC("tc")
int wire_out_l3(struct __sk_buff *skb)
{
	return on_skb(skb, TG_TX, 0);
}

static __always_inline void reason_add(__u32 reason, __u32 len)
{
	struct xdp_count *c = bpf_map_lookup_elem(&xdp_reasons, &reason);

	if (c) {
		ADD(c->packets, 1);
		ADD(c->frame_bytes, len);
	}
}

SEC("xdp")
int wire_xdp(struct xdp_md *ctx)
{
	struct skb_lengths lengths = { .len = ctx->data_end - ctx->data };
	struct frame frame = { .ifindex = ctx->ingress_ifindex, .point = TG_XDP };
	struct packet pkt;
	enum tg_fault fault;
	__u32 listener, seen;

	fault = (enum tg_fault)parse_any_xdp(ctx, &pkt);
	reason_add(fault, lengths.len);
	frame_measure(&lengths, &pkt, &frame);
	seen = is_seen_by_nft(&pkt, &lengths, ETH_HLEN, 0);
	if (is_charged(fault, &pkt)) {
		listener = account_xdp(ctx, &pkt, &frame);
	} else {
		account_row(&pkt, &frame);
		listener = seen ? listener_of(&pkt, &frame) : 0;
	}
	if (seen)
		account_boundary(listener, &pkt, &frame);
	return XDP_PASS;
}
