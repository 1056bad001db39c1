/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client and a local user who mean ill.  What they do is drawn from a seed, and
 * bounded: in time, in rate, in what is open at once.
 *
 *   hostile remote --device D --mac GATE --to A --to6 A --from A --from6 A --by-hand A
 *                  --port P [--port P ...]
 *       frames by a packet socket: odd flags, numbers, options, headers and fragments,
 *       sources that lie; connections that are half real: handshakes by hand from the
 *       address --by-hand, which nobody has, and the kernel's own from --from, with
 *       forged segments in both; clients that reset, half-close, drip, lie in PROXY
 *       headers and send broken hellos
 *   hostile local --exporter A:P --to A --to6 A --beyond A [--uid N]
 *       as an ordinary user: connects to every port of loopback and the gate, one-way
 *       datagrams, listeners on many ports with a byte each way, requests to the exporter
 *       that drip or are not read
 *
 * Both: [--seconds N] [--seed N] [--rate N], which is frames or connects a second, and
 * [--only DEED], more than once for more than one: what to do of what it prints.  The
 * sources that lie are in 192.0.2.128/25, 203.0.113.0/24 and fd00:1::/64 with a last part
 * above 0xff: nobody who is to be served should have one of these.  Prints one JSON
 * object: how often it did what.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/util.h"

#define SECONDS_MAX 3600
#define RATE_MAX    100000
#define PORTS_MAX   16
#define FRAME_MAX   2048
#define PAYLOAD_MAX 1200
#define CLIENTS	    8	/* processes with a client each */
#define LEFT_MAX    200 /* handshakes by hand that are left as they are */
#define OPEN_MAX    64	/* sockets a local process keeps open */

enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16, URG = 32 };

enum deed {
	/* frames */
	SEGMENTS,
	SYNS,
	DATAGRAMS,
	FRAGMENTS,
	ODD_HEADERS,
	ICMP_ERRORS,
	/* half-real connections, and what is forged in them */
	BY_HAND,
	REAL,
	SECOND_SYNS,
	FORGED_DATA,
	FORGED_AGAIN,
	FORGED_HOLES,
	FORGED_WILD,
	FORGED_ACKS,
	FORGED_SYNS,
	FORGED_RESETS,
	FORGED_ENDS,
	FORGED_WINDOWS,
	FORGED_URGENT,
	FORGED_OPTIONS,
	FORGED_FLAGS,
	FORGED_ICMP,
	FORGED_REPEATS,
	FORGED_SHAPES,
	/* clients */
	RESETS,
	FLOODS,
	HALF_CLOSES,
	DRIPS,
	PROXY_HEADERS,
	BROKEN_HELLOS,
	SILENT,
	/* the local user */
	CONNECTS,
	ONE_WAY,
	LISTENERS,
	SLOW_HEADS,
	REQUESTS,
	DEEDS_N
};
static const char *const deed_names[] = {
	[SEGMENTS] = "segments",
	[SYNS] = "syns",
	[DATAGRAMS] = "datagrams",
	[FRAGMENTS] = "fragments",
	[ODD_HEADERS] = "odd_headers",
	[ICMP_ERRORS] = "icmp_errors",
	[BY_HAND] = "by_hand",
	[REAL] = "real",
	[SECOND_SYNS] = "second_syns",
	[FORGED_DATA] = "forged_data",
	[FORGED_AGAIN] = "forged_again",
	[FORGED_HOLES] = "forged_holes",
	[FORGED_WILD] = "forged_wild",
	[FORGED_ACKS] = "forged_acks",
	[FORGED_SYNS] = "forged_syns",
	[FORGED_RESETS] = "forged_resets",
	[FORGED_ENDS] = "forged_ends",
	[FORGED_WINDOWS] = "forged_windows",
	[FORGED_URGENT] = "forged_urgent",
	[FORGED_OPTIONS] = "forged_options",
	[FORGED_FLAGS] = "forged_flags",
	[FORGED_ICMP] = "forged_icmp",
	[FORGED_REPEATS] = "forged_repeats",
	[FORGED_SHAPES] = "forged_shapes",
	[RESETS] = "resets",
	[FLOODS] = "floods",
	[HALF_CLOSES] = "half_closes",
	[DRIPS] = "drips",
	[PROXY_HEADERS] = "proxy_headers",
	[BROKEN_HELLOS] = "broken_hellos",
	[SILENT] = "silent",
	[CONNECTS] = "connects",
	[ONE_WAY] = "one_way",
	[LISTENERS] = "listeners",
	[SLOW_HEADS] = "slow_heads",
	[REQUESTS] = "requests",
};

struct shared {
	atomic_uint_fast64_t done[DEEDS_N];
	atomic_uint left;
};

struct options {
	uint64_t seconds, seed, rate, uid;
	uint64_t only; /* a bit a deed; 0 all */
	const char *device;
	struct addr to[2], from[2]; /* IPv4, IPv6 */
	struct addr by_hand, beyond, exporter;
	uint16_t ports[PORTS_MAX];
	unsigned ports_n;
};

/* Who sends and what; in network order only within frames. */
struct tuple {
	struct addr src, dst;
	uint16_t sport, dport;
};

struct segment {
	uint32_t seq, ack;
	uint8_t flags;
	uint16_t window, urgent;
	uint8_t options[40];
	size_t options_len; /* a multiple of 4 */
	size_t payload;
};

struct frame {
	uint8_t data[FRAME_MAX];
	size_t len, l3, l4;
};

/* A connection of which the numbers are known. */
struct half {
	struct tuple t;
	uint32_t snd, rcv; /* next to send, next to receive */
};

static struct options opt = { .seconds = 15, .seed = 1, .rate = 1000, .uid = 60001 };
static struct shared *shared;
static uint64_t state;	      /* of the dice of this process */
static uint64_t began, until; /* ns */
static int raw, sniffer;
static struct sockaddr_ll gate;

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "hostile: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void did(enum deed what)
{
	atomic_fetch_add(&shared->done[what], 1);
}

/* splitmix64: a number below n */
static uint32_t draw(uint32_t n)
{
	uint64_t z = state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	z ^= z >> 31;
	return n ? (uint32_t)(z % n) : (uint32_t)z;
}

static uint32_t any32(void)
{
	return draw(0);
}

static bool wanted(enum deed what)
{
	return !opt.only || (opt.only >> what & 1);
}

/* One of so many from the first on, of those that are wanted; else DEEDS_N. */
static enum deed draw_deed(enum deed first, unsigned n)
{
	enum deed of[DEEDS_N];
	unsigned k = 0;

	for (unsigned i = 0; i < n; i++) {
		if (wanted((enum deed)(first + i)))
			of[k++] = (enum deed)(first + i);
	}
	return k ? of[draw(k)] : DEEDS_N;
}

/* As many small ones as large ones. */
static size_t draw_size(size_t most)
{
	size_t n = draw(1u << draw(12));

	return n < most ? n : most;
}

/* Waits until the next deed is due; false when the time is over. */
static bool turn(uint64_t *deeds, uint64_t rate)
{
	for (;;) {
		uint64_t now = util_now_ns();

		if (now >= until)
			return false;
		if (*deeds <= (now - began) / 1000 * rate / 1000000) {
			++*deeds;
			return true;
		}
		(void)poll(NULL, 0, 1);
	}
}

/* --- frames --- */

static void put(struct frame *f, const void *data, size_t n)
{
	memcpy(f->data + f->len, data, n);
	f->len += n;
}

static void put8(struct frame *f, uint8_t v)
{
	put(f, &v, 1);
}

static void put16(struct frame *f, uint16_t v)
{
	put8(f, (uint8_t)(v >> 8));
	put8(f, (uint8_t)v);
}

static void put32(struct frame *f, uint32_t v)
{
	put16(f, (uint16_t)(v >> 16));
	put16(f, (uint16_t)v);
}

static void set16(uint8_t *p, size_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint32_t sum_of(const uint8_t *p, size_t n, uint32_t sum)
{
	for (size_t i = 0; i < n; i++)
		sum += i & 1 ? p[i] : (uint32_t)p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static bool is_v4(const struct tuple *t)
{
	return addr_is_v4(t->dst.ip);
}

static void ip_header(struct frame *f, const struct tuple *t, uint8_t protocol)
{
	memset(f, 0, sizeof(*f));
	put(f, gate.sll_addr, 6);
	f->len += 6;
	put16(f, is_v4(t) ? ETH_P_IP : ETH_P_IPV6);
	f->l3 = f->len;
	if (is_v4(t)) {
		put32(f, 0x45000000);
		put32(f, any32() & 0xffff0000);
		put8(f, 64);
		put8(f, protocol);
		put16(f, 0);
		put(f, t->src.ip + 12, 4);
		put(f, t->dst.ip + 12, 4);
	} else {
		put32(f, 0x60000000);
		put16(f, 0);
		put8(f, protocol);
		put8(f, 64);
		put(f, t->src.ip, 16);
		put(f, t->dst.ip, 16);
	}
	f->l4 = f->len;
}

/* Fills in the lengths and the header's checksum. */
static void ip_finish(struct frame *f)
{
	uint8_t *ip = f->data + f->l3;

	if (ip[0] >> 4 == 6) {
		set16(ip + 4, f->len - f->l3 - 40);
		return;
	}
	set16(ip + 2, f->len - f->l3);
	set16(ip + 10, 0);
	set16(ip + 10, (uint16_t)~sum_of(ip, f->l4 - f->l3, 0));
}

/* The checksum of TCP, UDP or ICMPv6, whose field is at `at` behind the IP header. */
static void l4_finish(struct frame *f, uint8_t protocol, size_t at)
{
	uint8_t *ip = f->data + f->l3, *p = f->data + f->l4;
	size_t n = f->len - f->l4;
	bool v4 = ip[0] >> 4 == 4;
	uint32_t sum;

	sum = sum_of(ip + (v4 ? 12 : 8), v4 ? 8 : 32, protocol + (uint32_t)n);
	set16(p + at, 0);
	set16(p + at, (uint16_t)~sum_of(p, n, sum));
}

static void send_frame(const struct frame *f)
{
	/* a full queue loses it, as a link would */
	(void)!sendto(raw, f->data, f->len, 0, (void *)&gate, sizeof(gate));
}

static void make_segment(struct frame *f, const struct tuple *t, const struct segment *s)
{
	ip_header(f, t, IPPROTO_TCP);
	put16(f, t->sport);
	put16(f, t->dport);
	put32(f, s->seq);
	put32(f, s->ack);
	put8(f, (uint8_t)((5 + s->options_len / 4) << 4));
	put8(f, s->flags);
	put16(f, s->window);
	put16(f, 0);
	put16(f, s->urgent);
	put(f, s->options, s->options_len);
	memset(f->data + f->len, 'x', s->payload);
	f->len += s->payload;
	l4_finish(f, IPPROTO_TCP, 16);
	ip_finish(f);
}

static void send_segment(const struct tuple *t, const struct segment *s)
{
	struct frame f;

	make_segment(&f, t, s);
	send_frame(&f);
}

static void make_datagram(struct frame *f, const struct tuple *t, size_t payload)
{
	ip_header(f, t, IPPROTO_UDP);
	put16(f, t->sport);
	put16(f, t->dport);
	put16(f, (uint16_t)(8 + payload));
	put16(f, 0);
	f->len += payload;
	l4_finish(f, IPPROTO_UDP, 6);
	ip_finish(f);
}

static uint16_t draw_port(void)
{
	return draw(4) ? opt.ports[draw(opt.ports_n)] : (uint16_t)draw(65536);
}

/* A source that lies, and the gate; now and then an address that nobody can have. */
static void lie(struct tuple *t)
{
	static const uint8_t nobody[][4] = {
		{ 0, 0, 0, 0 },	      { 127, 0, 0, 1 }, { 255, 255, 255, 255 },
		{ 224, 0, 0, 1 },     { 192, 0, 2, 2 }, { 192, 0, 2, 255 },
		{ 198, 51, 100, 77 },
	};
	bool v6 = draw(4) == 0;

	t->src = opt.from[v6];
	t->dst = opt.to[v6];
	if (v6) {
		set16(t->src.ip + 14, 0x100 + draw(0xff00));
		if (draw(50) == 0)
			t->src.ip[0] = (uint8_t)any32();
	} else if (draw(50) == 0) {
		memcpy(t->src.ip + 12, nobody[draw(ARRAY_SIZE(nobody))], 4);
	} else if (draw(2)) {
		t->src.ip[15] = (uint8_t)(128 + draw(127));
	} else {
		memcpy(t->src.ip + 12, (uint8_t[]){ 203, 0, 113, (uint8_t)any32() }, 4);
	}
	t->sport = (uint16_t)draw(65536);
	t->dport = draw_port();
}

/* Options: some that are right, some that only look so, and noise. */
static void draw_options(struct segment *s)
{
	static const uint8_t right[][12] = {
		{ 2, 4, 5, 0xb4, 1, 3, 3, 7, 4, 2, 1, 1 },
		{ 1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0 },
		{ 1, 1, 5, 10, 0, 0, 0, 1, 0, 0, 0, 9 },
		{ 34, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1 }, /* a Fast Open cookie */
		{ 2, 0, 8, 1, 5, 255, 0, 0, 0, 0, 0, 0 },
	};

	s->options_len = 0;
	if (draw(2))
		return;
	if (draw(2)) {
		memcpy(s->options, right[draw(ARRAY_SIZE(right))], 12);
		s->options_len = 12;
		return;
	}
	s->options_len = 4 * draw(11);
	for (size_t i = 0; i < s->options_len; i++)
		s->options[i] = (uint8_t)any32();
}

static void draw_segment(struct segment *s)
{
	static const uint8_t flags[] = { SYN,	    SYN,       ACK, ACK | PSH,
					 FIN | ACK, SYN | ACK, RST, RST | ACK };

	memset(s, 0, sizeof(*s));
	s->seq = any32();
	s->ack = any32();
	s->flags = draw(3) ? flags[draw(ARRAY_SIZE(flags))] : (uint8_t)any32();
	s->window = (uint16_t)any32();
	s->urgent = (uint16_t)(draw(8) ? 0 : any32());
	s->payload = draw(2) ? 0 : draw_size(PAYLOAD_MAX);
	draw_options(s);
}

static void fragment_4(const struct frame *whole, size_t from, size_t n, bool more)
{
	struct frame f = *whole;
	size_t header = whole->l4 - whole->l3;

	memmove(f.data + f.l4, whole->data + whole->l4 + from, n);
	f.len = f.l4 + n;
	set16(f.data + f.l3 + 6, (more ? 0x2000u : 0) | from / 8);
	set16(f.data + f.l3 + 2, header + n);
	ip_finish(&f);
	send_frame(&f);
}

static void fragment_6(const struct frame *whole, size_t from, size_t n, bool more,
		       uint32_t id)
{
	struct frame f = *whole;
	uint8_t next = f.data[f.l3 + 6];

	f.data[f.l3 + 6] = IPPROTO_FRAGMENT;
	f.len = f.l4;
	put8(&f, next);
	put8(&f, 0);
	put16(&f, (uint16_t)(from | more));
	put32(&f, id);
	put(&f, whole->data + whole->l4 + from, n);
	ip_finish(&f);
	send_frame(&f);
}

/* In two parts, of which one may be missing, come first, or overlap; if kind, neither. */
static void send_fragments(const struct frame *whole, bool kind)
{
	size_t n = whole->len - whole->l4, cut = 8 * (1 + draw((uint32_t)(n / 8 + 1)));
	size_t over = draw(4) == 0 && !kind ? 8 : 0;
	bool v4 = whole->data[whole->l3] >> 4 == 4, swap = draw(2);
	uint32_t id = any32();

	if (cut >= n) {
		send_frame(whole);
		return;
	}
	for (int i = 0; i < 2; i++) {
		bool last = (i == 1) != swap;
		size_t from = last ? cut - over : 0, to = last ? n : cut;

		if (!kind && draw(4) == 0)
			continue;
		if (v4)
			fragment_4(whole, from, to - from, !last);
		else
			fragment_6(whole, from, to - from, !last, id);
	}
	did(FRAGMENTS);
}

/* A right frame with something changed that must not be believed. */
static void send_odd(struct frame *f)
{
	uint8_t *ip = f->data + f->l3;

	switch (draw(8)) {
	case 0: /* says it is longer, or shorter, than it is */
		set16(ip + (ip[0] >> 4 == 4 ? 2 : 4), draw(65536));
		break;
	case 1: /* cut anywhere */
		f->len = 15 + draw((uint32_t)(f->len - 14));
		break;
	case 2: /* headers of no or too much length */
		ip[0] = (uint8_t)((ip[0] & 0xf0) | draw(16));
		break;
	case 3:
		if (f->len > f->l4 + 12)
			f->data[f->l4 + 12] = (uint8_t)any32();
		break;
	case 4: /* behind the packet: padding that is nobody's */
		memset(f->data + f->len, 0xee, 64);
		f->len += 64;
		break;
	case 5: /* for everybody, or for somebody else */
		memset(f->data, draw(2) ? 0xff : 0x02, 6);
		break;
	case 6: /* a wrong checksum */
		f->data[f->l4 + draw((uint32_t)(f->len - f->l4))] ^= 1;
		break;
	default:
		for (uint32_t i = 1 + draw(6); i; i--)
			f->data[12 + draw((uint32_t)(f->len - 12))] = (uint8_t)any32();
	}
	send_frame(f);
	did(ODD_HEADERS);
}

/* "Too big" or "unreachable", about a segment of this tuple from the gate. */
static void send_icmp_error(const struct tuple *t, uint32_t seq)
{
	struct tuple back = { t->dst, t->src, t->dport, t->sport };
	struct segment s = { .seq = seq, .flags = ACK, .window = 1000 };
	struct frame quoted, f;
	bool v4 = is_v4(t), big = draw(2);
	size_t n;

	if (v4 != addr_is_v4(t->src.ip))
		return;
	make_segment(&quoted, &back, &s);
	n = quoted.len - quoted.l3;
	ip_header(&f, t, v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
	put8(&f, v4 ? 3 : big ? 2 : 1);
	put8(&f, v4 && big ? 4 : (uint8_t)draw(5));
	put16(&f, 0);
	put32(&f, big ? draw(1500) : 0);
	put(&f, quoted.data + quoted.l3, n);
	if (v4)
		set16(f.data + f.l4 + 2,
		      (uint16_t)~sum_of(f.data + f.l4, f.len - f.l4, 0));
	else
		l4_finish(&f, IPPROTO_ICMPV6, 2);
	ip_finish(&f);
	send_frame(&f);
	did(ICMP_ERRORS);
}

static void raw_deed(enum deed what)
{
	struct segment s;
	struct frame f;
	struct tuple t;

	lie(&t);
	draw_segment(&s);
	if (what == DATAGRAMS || (what == FRAGMENTS && draw(2)))
		make_datagram(&f, &t, draw_size(PAYLOAD_MAX));
	else
		make_segment(&f, &t, &s);
	switch (what) {
	case SYNS: /* and the same once more with another number */
		s.flags = SYN;
		send_segment(&t, &s);
		s.seq = any32();
		if (draw(2))
			send_segment(&t, &s);
		break;
	case FRAGMENTS:
		send_fragments(&f, false);
		return; /* has counted */
	case ODD_HEADERS:
		send_odd(&f);
		return;
	case ICMP_ERRORS:
		send_icmp_error(&t, s.seq);
		return;
	default:
		send_frame(&f);
	}
	did(what);
}

static void raw_work(void)
{
	uint64_t deeds = 0;
	enum deed what;

	while (turn(&deeds, opt.rate) &&
	       (what = draw_deed(SEGMENTS, BY_HAND - SEGMENTS)) != DEEDS_N)
		raw_deed(what);
}

/* --- connections that are half real --- */

/* What comes for this port of ours is kept, nothing else. */
static void sniff(uint16_t port)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 12),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IP, 0, 4),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 23),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_TCP, 0, 8),
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 36),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, port, 5, 6),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IPV6, 0, 5),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 20),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_TCP, 0, 3),
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 56),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, port, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 128),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog p = { ARRAY_SIZE(code), code };
	uint8_t old[128];

	if (setsockopt(sniffer, SOL_SOCKET, SO_ATTACH_FILTER, &p, sizeof(p)) < 0)
		die("filter");
	while (recv(sniffer, old, sizeof(old), MSG_DONTWAIT) > 0)
		;
}

/* The gate's SYN-ACK says both numbers. */
static bool learn(struct half *h)
{
	struct pollfd p = { .fd = sniffer, .events = POLLIN };
	size_t l4 = is_v4(&h->t) ? 34 : 54;
	uint8_t buf[128];

	for (int i = 0; i < 16 && poll(&p, 1, 200) == 1; i++) {
		ssize_t n = recv(sniffer, buf, sizeof(buf), MSG_DONTWAIT);

		if (n < (ssize_t)l4 + 20 || (buf[l4 + 13] & (SYN | ACK)) != (SYN | ACK))
			continue;
		h->rcv = get32(buf + l4 + 4) + 1;
		h->snd = get32(buf + l4 + 8);
		return true;
	}
	return false;
}

/* Another number, flag or shape for what would be the next segment. */
static void forge_shape(struct half *h, struct segment *s)
{
	struct frame f;

	make_segment(&f, &h->t, s);
	switch (draw(3)) {
	case 0:
		send_fragments(&f, draw(2));
		break;
	case 1: /* padding, which is no payload */
		memset(f.data + f.len, 0xee, 40);
		f.len += 40;
		send_frame(&f);
		break;
	default:
		send_odd(&f);
	}
}

static void forge(struct half *h) /* lint: table */
{
	struct segment s = {
		.seq = h->snd, .ack = h->rcv, .flags = ACK, .window = 65535
	};
	enum deed what = draw_deed(FORGED_DATA, RESETS - FORGED_DATA);

	if (what == DEEDS_N)
		return;
	did(what);
	s.payload = draw_size(PAYLOAD_MAX);
	switch (what) {
	case FORGED_DATA: /* as it should be */
		h->snd += (uint32_t)s.payload;
		break;
	case FORGED_AGAIN: /* what came before, all or in part */
		s.seq -= draw(3000);
		break;
	case FORGED_HOLES:
		s.seq += draw(60000);
		break;
	case FORGED_WILD:
		s.seq = any32();
		if (draw(2)) /* once around in four steps of a byte each */
			break;
		s.payload = 1;
		s.seq = h->snd;
		for (int i = 0; i < 4; i++) {
			s.seq += 0x3fffffff;
			send_segment(&h->t, &s);
		}
		return;
	case FORGED_ACKS: /* of what was never sent */
		s.ack += draw(2) ? draw(100000) : any32();
		break;
	case FORGED_SYNS: /* a beginning in the middle */
		s.seq = any32();
		s.flags = SYN;
		s.payload = 0;
		break;
	case FORGED_RESETS:
		s.flags = RST;
		s.payload = 0;
		s.seq = draw(2) ? any32() : s.seq + 1 + draw(2000);
		break;
	case FORGED_ENDS: /* with or without what is before it */
		s.flags |= FIN;
		s.seq += draw(2) ? draw(100) : 0;
		break;
	case FORGED_WINDOWS:
		s.window = 0;
		break;
	case FORGED_URGENT:
		s.flags |= URG;
		s.urgent = (uint16_t)any32();
		break;
	case FORGED_OPTIONS:
		draw_options(&s);
		break;
	case FORGED_FLAGS:
		s.flags = (uint8_t)any32();
		break;
	case FORGED_ICMP:
		send_icmp_error(&h->t, draw(2) ? h->rcv : any32());
		return;
	case FORGED_REPEATS: /* the same acknowledgement, again and again */
		s.payload = 0;
		for (int i = 0; i < 4; i++)
			send_segment(&h->t, &s);
		break;
	default:
		forge_shape(h, &s);
		return;
	}
	send_segment(&h->t, &s);
}

static void by_hand(void)
{
	struct half h = { .t = { .src = opt.by_hand,
				 .dst = opt.to[0],
				 .sport = (uint16_t)(1024 + draw(60000)),
				 .dport = opt.ports[draw(opt.ports_n)] } };
	struct segment s = { .seq = any32(), .flags = SYN, .window = 65535 };

	sniff(h.t.sport);
	if (draw(2))
		draw_options(&s);
	s.payload = draw(4) ? 0 : draw_size(500);
	send_segment(&h.t, &s);
	if (!learn(&h))
		return;
	did(BY_HAND);
	if (wanted(SECOND_SYNS) && draw(3) == 0) { /* before the first is answered */
		did(SECOND_SYNS);
		s.seq = any32();
		send_segment(&h.t, &s);
	}
	if (draw(16)) {
		s = (struct segment){
			.seq = h.snd, .ack = h.rcv, .flags = ACK, .window = 65535
		};
		send_segment(&h.t, &s);
	}
	for (uint32_t i = draw(8); i; i--)
		forge(&h);
	if (draw(8) == 0 && atomic_fetch_add(&shared->left, 1) < LEFT_MAX)
		return;
	s = (struct segment){ .seq = h.snd, .ack = h.rcv, .flags = RST };
	send_segment(&h.t, &s);
}

static void reset_on_close(int fd)
{
	struct linger l = { .l_onoff = 1 };

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
}

static int socket_to(const struct addr *a, struct sockaddr_storage *ss, socklen_t *len)
{
	*len = addr_to_sockaddr(a, ss);
	return socket(ss->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

/* The kernel's connection, into which somebody speaks. */
static void half_real(void)
{
	bool v6 = draw(4) == 0;
	struct addr from = opt.from[v6], to = opt.to[v6];
	struct half h = { .t = { .src = from, .dst = to } };
	struct sockaddr_storage ss;
	struct addr bound;
	socklen_t len;
	int fd;

	fd = socket_to(&from, &ss, &len);
	if (fd < 0)
		return;
	if (bind(fd, (void *)&ss, len) < 0 || getsockname(fd, (void *)&ss, &len) < 0)
		die("bind");
	addr_from_sockaddr((void *)&ss, &bound);
	h.t.sport = ntohs(bound.port);
	h.t.dport = opt.ports[draw(opt.ports_n)];
	sniff(h.t.sport);
	to.port = htons(h.t.dport);
	len = addr_to_sockaddr(&to, &ss);
	(void)!connect(fd, (void *)&ss, len);
	if (learn(&h)) {
		did(REAL);
		for (uint32_t i = draw(8); i; i--) {
			char buf[2048];

			if (draw(3) == 0)
				(void)!send(fd, buf, draw_size(1000), MSG_NOSIGNAL);
			if (draw(4) == 0)
				(void)!recv(fd, buf, sizeof(buf), 0);
			forge(&h);
		}
	}
	if (draw(2))
		reset_on_close(fd);
	close(fd);
}

static void half_work(void)
{
	uint64_t deeds = 0;

	/* if only what is forged is named, in both kinds */
	if (!(opt.only & (1ull << BY_HAND | 1ull << REAL)))
		opt.only |= opt.only ? 1ull << BY_HAND | 1ull << REAL : 0;
	while (turn(&deeds, opt.rate / 20 + 1)) {
		if (draw_deed(BY_HAND, 2) == BY_HAND)
			by_hand();
		else
			half_real();
	}
}

/* --- clients that behave badly --- */

static size_t proxy_header(uint8_t *buf)
{
	static const char *const v1[] = {
		"PROXY TCP4 203.0.113.7 192.0.2.2 1 2\r\n",
		"PROXY TCP4 999.0.113.7 192.0.2.2 1 2\r\n",
		"PROXY TCP6 fd00::7 fd00::8 65535 2\r\n",
		"PROXY UNKNOWN\r\n",
		"PROXY TCP4 203.0.113.7",
		"PROXY \r\n\r\n",
	};
	static const uint8_t v2[] = "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x07"
				    "\xc0\0\x02\x02\0\1\0\2";
	size_t n;

	if (draw(2)) {
		const char *text = v1[draw(ARRAY_SIZE(v1))];

		n = strlen(text);
		memcpy(buf, text, n);
	} else {
		n = sizeof(v2) - 1;
		memcpy(buf, v2, n);
		if (draw(2))
			buf[12 + draw(4)] = (uint8_t)any32();
	}
	return draw(4) ? n : 1 + draw((uint32_t)n);
}

/* Right in its first lines, then whatever the dice say. */
static size_t broken_hello(uint8_t *buf)
{
	static const uint8_t head[] = { 22, 3, 1, 1, 0, 1, 0, 0, 0xfc, 3, 3 };
	size_t n = 5 + 256;

	for (size_t i = 0; i < n; i++)
		buf[i] = (uint8_t)any32();
	memcpy(buf, head, sizeof(head));
	buf[43] = 0; /* no session */
	set16(buf + 44, 2);
	if (draw(2)) { /* extensions up to the end, the first of them a name */
		memcpy(buf + 48, (uint8_t[]){ 1, 0 }, 2);
		set16(buf + 50, n - 52);
		memset(buf + 52, 0, 2);
		set16(buf + 54, draw(2) ? 16 : draw(300));
	}
	if (draw(4) == 0)
		set16(buf + 3, draw(65536));
	return draw(2) ? n : 1 + draw((uint32_t)n);
}

static int client_connect(void)
{
	bool v6 = draw(4) == 0;
	struct timeval second = { .tv_sec = 1 };
	struct addr to = opt.to[v6];
	struct sockaddr_storage ss;
	struct pollfd p;
	socklen_t len;
	int fd;

	to.port = htons(opt.ports[draw(opt.ports_n)]);
	fd = socket_to(&to, &ss, &len);
	if (fd < 0)
		return -1;
	(void)!connect(fd, (void *)&ss, len);
	p = (struct pollfd){ .fd = fd, .events = POLLOUT };
	if (poll(&p, 1, 1000) != 1 || p.revents != POLLOUT) {
		close(fd);
		return -1;
	}
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof(second));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &second, sizeof(second));
	(void)fcntl(fd, F_SETFL, 0);
	return fd;
}

static void drip(int fd, const uint8_t *buf, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (send(fd, buf + i, 1, MSG_NOSIGNAL) != 1)
			return;
		(void)poll(NULL, 0, (int)draw(20));
	}
}

static void client_life(int fd, enum deed what)
{
	static uint8_t buf[65536];
	size_t n = draw_size(2000);

	switch (what) {
	case FLOODS: /* much, of which nothing is read back */
		n = draw(sizeof(buf));
		break;
	case DRIPS:
		n = draw(40);
		break;
	case PROXY_HEADERS:
		n = proxy_header(buf);
		break;
	case BROKEN_HELLOS:
		n = broken_hello(buf);
		break;
	case SILENT:
		n = 0;
		(void)poll(NULL, 0, (int)draw(500));
		break;
	default:
		break;
	}
	if (what == DRIPS || (what != FLOODS && n < 300 && draw(10) == 0))
		drip(fd, buf, n);
	else
		(void)!send(fd, buf, n, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (what == HALF_CLOSES) {
		(void)shutdown(fd, SHUT_WR);
		(void)!recv(fd, buf, sizeof(buf), 0);
	} else if (what == RESETS || draw(3) == 0) {
		reset_on_close(fd);
	}
	did(what);
}

static void client_work(void)
{
	uint64_t deeds = 0;

	while (turn(&deeds, opt.rate / 10 / CLIENTS + 1)) {
		enum deed what = draw_deed(RESETS, CONNECTS - RESETS);
		int fd;

		if (what == DEEDS_N)
			return;
		fd = client_connect();
		if (fd < 0)
			continue;
		client_life(fd, what);
		close(fd);
	}
}

/* --- the local user --- */

/* Sockets that stay open for a while: the new one takes the place of the oldest. */
struct ring {
	int fds[OPEN_MAX];
	unsigned next;
};

static void keep(struct ring *r, int fd)
{
	int *place = &r->fds[r->next++ % OPEN_MAX];

	if (*place > 0)
		close(*place);
	*place = fd;
}

static void loopback(struct addr *a, bool v6)
{
	(void)addr_parse(v6 ? "[::1]:0" : "127.0.0.1:0", a);
}

/* Every port once, in an order of no pattern, of four addresses. */
static void connects_work(void)
{
	uint32_t offset = draw(65536);
	struct ring open = { 0 };
	uint64_t deeds = 0;

	while (turn(&deeds, opt.rate)) {
		struct sockaddr_storage ss;
		struct addr to;
		socklen_t len;
		int fd;

		if (draw(2))
			to = opt.to[draw(2)];
		else
			loopback(&to, draw(2));
		to.port = htons((uint16_t)(deeds * 40503 + offset));
		fd = socket_to(&to, &ss, &len);
		if (fd < 0)
			continue;
		(void)!connect(fd, (void *)&ss, len);
		(void)!send(fd, "x", draw(2), MSG_NOSIGNAL);
		if (draw(4) == 0)
			reset_on_close(fd);
		keep(&open, fd);
		did(CONNECTS);
	}
}

static void one_way_work(void)
{
	static const char payload[1400];
	uint64_t deeds = 0;
	int fd[2] = { -1, -1 };

	while (turn(&deeds, opt.rate)) {
		bool v6 = draw(4) == 0;
		struct sockaddr_storage ss;
		struct addr to;
		socklen_t len;

		if (deeds % 16 == 1) { /* another port of our own */
			for (int i = 0; i < 2; i++) {
				if (fd[i] >= 0)
					close(fd[i]);
				fd[i] = socket(i ? AF_INET6 : AF_INET,
					       SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
					       0);
			}
		}
		if (draw(3) == 0)
			loopback(&to, v6);
		else if (draw(2) && !v6)
			to = opt.beyond;
		else
			to = opt.to[v6];
		to.port = htons((uint16_t)(1 + draw(65535)));
		len = addr_to_sockaddr(&to, &ss);
		(void)!sendto(fd[v6], payload, draw_size(sizeof(payload)), 0, (void *)&ss,
			      len);
		did(ONE_WAY);
	}
}

/* A byte each way with a listener of its own, on a port that was not used before. */
static void listener_deed(uint16_t port)
{
	struct sockaddr_storage ss;
	int l, c = -1, s = -1;
	struct pollfd p;
	struct addr at;
	socklen_t len;
	char byte;

	loopback(&at, draw(2));
	at.port = htons(port);
	l = socket_to(&at, &ss, &len);
	if (l < 0)
		return;
	if (bind(l, (void *)&ss, len) < 0 || listen(l, 1) < 0)
		goto out; /* somebody has it */
	c = socket_to(&at, &ss, &len);
	if (c < 0)
		goto out;
	(void)!connect(c, (void *)&ss, len);
	p = (struct pollfd){ .fd = l, .events = POLLIN };
	if (poll(&p, 1, 200) != 1)
		goto out;
	s = accept4(l, NULL, NULL, SOCK_CLOEXEC);
	(void)!send(c, "x", 1, MSG_NOSIGNAL);
	(void)!send(s, "x", 1, MSG_NOSIGNAL);
	(void)!recv(c, &byte, 1, MSG_DONTWAIT);
	if (draw(2))
		(void)!recv(s, &byte, 1, MSG_DONTWAIT); /* else it is reset */
	did(LISTENERS);
out:
	if (c >= 0)
		close(c);
	if (s >= 0)
		close(s);
	close(l);
}

static void listeners_work(void)
{
	uint32_t offset = draw(60000);
	uint64_t deeds = 0;

	while (turn(&deeds, opt.rate / 4 + 1))
		listener_deed((uint16_t)(1024 + (deeds * 17 + offset) % 64000));
}

static int exporter_connect(void)
{
	struct sockaddr_storage ss;
	socklen_t len;
	int fd = socket_to(&opt.exporter, &ss, &len);

	if (fd >= 0)
		(void)!connect(fd, (void *)&ss, len);
	return fd;
}

/* Heads of requests that never end, a byte a second of each of OPEN_MAX. */
static void slow_heads_work(void)
{
	static const char head[] = "GET /metrics HTTP/1.1\r\nHost: a\r\nX: ";
	size_t at[OPEN_MAX] = { 0 };
	int fds[OPEN_MAX];
	uint64_t deeds = 0;

	memset(fds, -1, sizeof(fds));
	while (turn(&deeds, OPEN_MAX)) {
		unsigned i = (unsigned)(deeds % OPEN_MAX);
		char byte = at[i] < sizeof(head) - 1 ? head[at[i]] : 'x';

		if (fds[i] >= 0 && send(fds[i], &byte, 1, MSG_NOSIGNAL) == 1) {
			at[i]++;
			continue;
		}
		if (fds[i] >= 0)
			close(fds[i]);
		fds[i] = exporter_connect();
		at[i] = 0;
		did(SLOW_HEADS);
	}
}

/* Requests by the thousand, most of whose answers are not read. */
static void requests_work(void)
{
	static const char *const paths[] = {
		"/flows",	    "/flows", "/flows?limit=1000000", "/records",
		"/records?last=-1", "/",      "/events?last=1000",    "/offenders",
	};
	static char buf[65536];
	struct ring open = { 0 };
	uint64_t deeds = 0;

	while (turn(&deeds, opt.rate / 10 + 1)) {
		int fd = exporter_connect(), n;
		struct pollfd p = { .fd = fd, .events = POLLOUT };

		if (fd < 0)
			continue;
		(void)poll(&p, 1, 100);
		n = snprintf(buf, sizeof(buf), "%s %s HTTP/1.1\r\nHost: a\r\n%s\r\n",
			     draw(16) ? "GET" : "POST", paths[draw(ARRAY_SIZE(paths))],
			     draw(2) ? "Accept-Encoding: gzip\r\n" : "");
		(void)!send(fd, buf, (size_t)n, MSG_NOSIGNAL);
		if (draw(4) == 0) {
			p.events = POLLIN;
			(void)poll(&p, 1, 100);
			(void)!recv(fd, buf, draw(sizeof(buf)), 0);
		}
		if (draw(4) == 0)
			reset_on_close(fd);
		keep(&open, fd);
		did(REQUESTS);
	}
}

/* --- processes --- */

static void raw_open(void)
{
	struct sockaddr_ll at = { .sll_family = AF_PACKET,
				  .sll_protocol = htons(ETH_P_ALL) };

	at.sll_ifindex = (int)if_nametoindex(opt.device);
	gate.sll_family = AF_PACKET;
	gate.sll_ifindex = at.sll_ifindex;
	gate.sll_halen = 6;
	raw = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	sniffer = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (!at.sll_ifindex || raw < 0 || sniffer < 0)
		die(opt.device);
	sniff(0);
	if (bind(sniffer, (void *)&at, sizeof(at)) < 0)
		die("bind");
}

static void become_user(void)
{
	struct rlimit files = { 1024, 1024 };

	if (setrlimit(RLIMIT_NOFILE, &files) < 0 || setgroups(0, NULL) < 0 ||
	    setresgid((gid_t)opt.uid, (gid_t)opt.uid, (gid_t)opt.uid) < 0 ||
	    setresuid((uid_t)opt.uid, (uid_t)opt.uid, (uid_t)opt.uid) < 0 || !opt.uid ||
	    setuid(0) == 0)
		die("user");
}

/* A process for a work, if one of its deeds, of which there are n, is wanted. */
static void start(void (*work)(void), unsigned index, enum deed first, unsigned n)
{
	pid_t pid;

	if (draw_deed(first, n) == DEEDS_N)
		return;
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid)
		return;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	state = opt.seed * 1000003 + index;
	work();
	_exit(0);
}

static bool wait_all(void)
{
	bool ok = true;
	int status;

	while (wait(&status) > 0)
		ok = ok && WIFEXITED(status) && WEXITSTATUS(status) == 0;
	return ok;
}

static void print_deeds(const char *mode)
{
	printf("{\"mode\":\"%s\",\"seed\":%llu", mode, (unsigned long long)opt.seed);
	for (size_t i = 0; i < DEEDS_N; i++) {
		uint64_t n = atomic_load(&shared->done[i]);

		if (n)
			printf(",\"%s\":%llu", deed_names[i], (unsigned long long)n);
	}
	puts("}");
}

static bool parse_ip(const char *text, struct addr *ret)
{
	char buf[ADDR_STR_MAX + 8];

	(void)snprintf(buf, sizeof(buf), strchr(text, ':') ? "[%s]:0" : "%s:0", text);
	return addr_parse(buf, ret) == 0;
}

static bool parse_mac(const char *text)
{
	uint8_t *m = gate.sll_addr;

	return sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx", m, m + 1, m + 2, m + 3,
		      m + 4, m + 5) == 6;
}

static bool parse_only(const char *name)
{
	for (unsigned i = 0; i < DEEDS_N; i++) {
		if (strcmp(name, deed_names[i]) == 0) {
			opt.only |= 1ull << i;
			return true;
		}
	}
	return false;
}

static bool parse_option(const char *name, const char *value)
{
	static const struct {
		const char *name;
		uint64_t max, *to;
	} numbers[] = { { "--seconds", SECONDS_MAX, &opt.seconds },
			{ "--seed", UINT32_MAX, &opt.seed },
			{ "--rate", RATE_MAX, &opt.rate },
			{ "--uid", UINT32_MAX - 1, &opt.uid } };
	static const struct {
		const char *name;
		struct addr *to;
	} addresses[] = { { "--to", &opt.to[0] },	 { "--to6", &opt.to[1] },
			  { "--from", &opt.from[0] },	 { "--from6", &opt.from[1] },
			  { "--by-hand", &opt.by_hand }, { "--beyond", &opt.beyond } };
	uint64_t port;

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		if (strcmp(name, numbers[i].name) == 0)
			return util_parse_u64(value, numbers[i].max, numbers[i].to) == 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(addresses); i++) {
		if (strcmp(name, addresses[i].name) == 0)
			return parse_ip(value, addresses[i].to);
	}
	if (strcmp(name, "--only") == 0)
		return parse_only(value);
	if (strcmp(name, "--mac") == 0)
		return parse_mac(value);
	if (strcmp(name, "--exporter") == 0)
		return addr_parse(value, &opt.exporter) == 0;
	if (strcmp(name, "--device") == 0) {
		opt.device = value;
		return true;
	}
	if (strcmp(name, "--port") != 0 || opt.ports_n == PORTS_MAX ||
	    util_parse_u64(value, 65535, &port) < 0)
		return false;
	opt.ports[opt.ports_n++] = (uint16_t)port;
	return true;
}

static int usage(void)
{
	fputs("usage: hostile remote --device D --mac M --to A --to6 A --from A --from6 A\n"
	      "               --by-hand A --port P ...\n"
	      "       hostile local --exporter A:P --to A --to6 A --beyond A [--uid N]\n"
	      "       both: [--seconds N] [--seed N] [--rate N] [--only DEED ...]\n",
	      stderr);
	return 2;
}

int main(int argc, char **argv)
{
	bool remote = argc > 1 && strcmp(argv[1], "remote") == 0;

	if (argc % 2 || (!remote && strcmp(argv[1], "local") != 0))
		return usage();
	for (int i = 2; i < argc; i += 2) {
		if (!parse_option(argv[i], argv[i + 1]))
			return usage();
	}
	if (remote ? !opt.device || !opt.ports_n : !opt.exporter.port)
		return usage();
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		die("memory");
	alarm((unsigned)opt.seconds + 30);
	began = util_now_ns();
	until = began + opt.seconds * 1000000000u;
	if (remote) {
		raw_open();
		start(raw_work, 0, SEGMENTS, BY_HAND - SEGMENTS);
		start(half_work, 1, BY_HAND, RESETS - BY_HAND);
		for (unsigned i = 0; i < CLIENTS; i++)
			start(client_work, 2 + i, RESETS, CONNECTS - RESETS);
	} else {
		become_user();
		start(connects_work, 0, CONNECTS, 1);
		start(one_way_work, 1, ONE_WAY, 1);
		start(listeners_work, 2, LISTENERS, 1);
		start(slow_heads_work, 3, SLOW_HEADS, 1);
		start(requests_work, 4, REQUESTS, 1);
	}
	if (!wait_all())
		return 1;
	print_deeds(argv[1]);
	return 0;
}
