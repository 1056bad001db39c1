/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frame parser in the kernel (BPF_PROG_TEST_RUN) and compiled for user space: frames
 * of every shape, cut after each byte, read the same by both, and as RFC 791, 8200 and
 * 9293 say.
 */
#include <arpa/inet.h>

#include "tests/bpf/parse_run.h"
#include "tests/unit/t.h"

struct bytes {
	uint8_t data[512];
	size_t len;
};

static void add(struct bytes *b, const char *hex)
{
	unsigned v;

	for (; *hex; hex++) {
		if (*hex == ' ')
			continue;
		if (sscanf(hex, "%2x", &v) != 1 || b->len == sizeof(b->data))
			abort();
		b->data[b->len++] = (uint8_t)v;
		hex++;
	}
}

#define ETH(type)  "020000000001 020000000002 " type
#define IP4(proto) "45 00 0054 1234 0000 40 " proto " 0000 c0000201 c0000202 "
#define IP6(next)             \
	"60000000 0030 " next \
	" 40 fd000000000000000000000000000001 fd000000000000000000000000000002 "
#define TCP_BASE "1f90 0bb8 01020304 00000000 50 02 ffff 0000 0000 "
#define TCP_OPTIONS \
	"1f90 0bb8 01020304 00000000 80 12 ffff 0000 0000 0101080a 00000001 00000002 "
#define UDP "1f90 0bb8 0010 0000 "

struct want {
	enum tg_fault fault;
	unsigned proto;
	unsigned l2;
	unsigned headers; /* 0: not looked at */
	unsigned sport;
	unsigned l3;
	unsigned part; /* enum tg_fragment */
	unsigned at;   /* its offset */
	unsigned tcp;  /* bytes of TCP's header; 0: not looked at */
};

/* Equal in the kernel, whole and cut; short ones are short in the order of layers. */
static void check_frame(const char *hex, const struct want *want)
{
	struct bytes b = { 0 };
	struct parse_result here, there;
	enum tg_fault last = TG_FAULT_SHORT_L2;

	add(&b, hex);
	for (size_t len = 0; len <= b.len; len++) {
		uint8_t *exact = malloc(len + 1); /* so that ASan sees a byte too many */

		memcpy(exact, b.data, len);
		parse_here(exact, len, &here);
		free(exact);
		if (here.fault >= TG_FAULT_SHORT_L2 && here.fault <= TG_FAULT_SHORT_L4) {
			CHECK(here.fault >= last);
			last = (enum tg_fault)here.fault;
		}
		for (int i = 0; len >= PARSE_LEN_MIN && i < PARSE_PROGRAMS; i++) {
			int err = parse_there(i, b.data, len, &there);

			if (err == -EINVAL && i == 0 && len < 14 + 40)
				continue;
			CHECK_INT(0, err);
			CHECK(memcmp(&here, &there, sizeof(here)) == 0);
		}
	}
	CHECK_INT(want->fault, here.fault);
	CHECK_INT(want->proto, here.packet.proto);
	CHECK_INT(want->l2, here.packet.l2_bytes);
	CHECK_INT(want->sport, ntohs(here.packet.sport));
	CHECK_INT(want->l3, here.packet.l3_bytes);
	CHECK_INT(want->part, here.packet.fragment);
	CHECK_INT(want->at, here.packet.fragment_offset);
	if (want->tcp)
		CHECK_INT(want->tcp, here.packet.tcp_header);
	if (want->headers)
		CHECK_INT(want->headers, here.packet.header_bytes);
}

#define FRAME(hex, ...) check_frame(hex, &(const struct want){ __VA_ARGS__ })

static void tcp_over_ipv4(void)
{
	FRAME(ETH("0800") IP4("06") TCP_BASE "aabbcc", .proto = 6, .l2 = 14,
	      .headers = 54, .sport = 8080, .l3 = 84);
	FRAME(ETH("0800") IP4("06") TCP_OPTIONS, .proto = 6, .l2 = 14, .headers = 66,
	      .sport = 8080, .l3 = 84);
}

static void ipv4_options(void)
{
	FRAME(ETH("0800") "47 00 0054 1234 0000 40 06 0000 c0000201 c0000202 01010101 01010100 " TCP_BASE,
	      .proto = 6, .l2 = 14, .headers = 62, .sport = 8080, .l3 = 84);
}

static void vlan_tags(void)
{
	FRAME(ETH("8100") "0007 0800" IP4("11") UDP, .proto = 17, .l2 = 18, .headers = 46,
	      .sport = 8080, .l3 = 84);
	FRAME(ETH("88a8") "0007 8100 0008 86dd" IP6("06") TCP_BASE, .proto = 6, .l2 = 22,
	      .headers = 82, .sport = 8080, .l3 = 88);
	/* a third tag is none of ours */
	FRAME(ETH("88a8") "0007 8100 0008 8100 0009 0800" IP4("11") UDP,
	      .fault = TG_FAULT_NOT_IP, .l2 = 22);
}

static void ipv6_extension_headers(void)
{
	FRAME(ETH("86dd")
		      IP6("00") "3c00010400000000 1101010c00000000 0000000000000000 " UDP,
	      .proto = 17, .l2 = 14, .headers = 14 + 40 + 24 + 8, .sport = 8080,
	      .l3 = 88);
	/* authentication header: units of 4 bytes, less 2 */
	FRAME(ETH("86dd") IP6(
		      "33") "0604 0000 00000001 00000002 000000000000000000000000 " TCP_BASE,
	      .proto = 6, .l2 = 14, .headers = 14 + 40 + 24 + 20, .sport = 8080,
	      .l3 = 88);
	FRAME(ETH("86dd")
		      IP6("3c") "3c00010400000000 3c00010400000000 3c00010400000000 "
				"3c00010400000000 3c00010400000000 1100010400000000" UDP,
	      .fault = TG_FAULT_EXT_HEADERS, .proto = 60, .l2 = 14, .l3 = 88);
}

static void fragments(void)
{
	/* the first, the last, and one that is whole though it has the header */
	FRAME(ETH("0800") "45 00 0054 1234 2000 40 11 0000 c0000201 c0000202 " UDP,
	      .proto = 17, .l2 = 14, .headers = 42, .sport = 8080, .l3 = 84,
	      .part = TG_FRAGMENT_FIRST);
	FRAME(ETH("0800") "45 00 0054 1234 0010 40 06 0000 c0000201 c0000202 " TCP_BASE,
	      .fault = TG_FAULT_FRAGMENT, .proto = 6, .l2 = 14, .headers = 34, .l3 = 84,
	      .part = TG_FRAGMENT_LATER, .at = 128);
	FRAME(ETH("86dd") IP6("2c") "1100 0001 00000001 " UDP, .proto = 17, .l2 = 14,
	      .headers = 70, .sport = 8080, .l3 = 88, .part = TG_FRAGMENT_FIRST);
	FRAME(ETH("86dd") IP6("2c") "1100 0081 00000001 " UDP, .fault = TG_FAULT_FRAGMENT,
	      .proto = 17, .l2 = 14, .headers = 62, .l3 = 88, .part = TG_FRAGMENT_LATER,
	      .at = 128);
	/* a TCP header in parts: ports alone, the rest of it, and all but the window */
	FRAME(ETH("0800") "45 00 001c 1234 2000 40 06 0000 c0000201 c0000202 1f90 0bb8 01020304 00000000",
	      .fault = TG_FAULT_SHORT_L4, .proto = 6, .l2 = 14, .sport = 8080, .l3 = 28,
	      .part = TG_FRAGMENT_FIRST);
	FRAME(ETH("0800") "45 00 0020 1234 0001 40 06 0000 c0000201 c0000202 00000000 60 02 ffff 00000000",
	      .fault = TG_FAULT_FRAGMENT, .proto = 6, .l2 = 14, .l3 = 32,
	      .part = TG_FRAGMENT_LATER, .at = 8, .tcp = 24);
	FRAME(ETH("0800") "45 00 0024 1234 2000 40 06 0000 c0000201 c0000202 1f90 0bb8 01020304 00000000 60 02 ffff",
	      .fault = TG_FAULT_SHORT_L4, .proto = 6, .l2 = 14, .sport = 8080, .l3 = 36,
	      .part = TG_FRAGMENT_FIRST, .tcp = 24);
	FRAME(ETH("86dd") IP6("2c") "1100 0000 00000001 " UDP, .proto = 17, .l2 = 14,
	      .headers = 14 + 40 + 8 + 8, .sport = 8080, .l3 = 88);
}

static void other_protocols(void)
{
	FRAME(ETH("0800") IP4("01") "0800 0000 0001 0002 aa", .proto = 1, .l2 = 14,
	      .headers = 42, .l3 = 84);
	FRAME(ETH("86dd") IP6("3a") "8000 0000 0001 0002", .proto = 58, .l2 = 14,
	      .headers = 62, .l3 = 88);
	FRAME(ETH("0800") IP4("84") "1f90 0bb8 00000000 00000000", .proto = 132, .l2 = 14,
	      .headers = 46, .sport = 8080, .l3 = 84);
	FRAME(ETH("0800") IP4("fd") "00", .proto = 253, .l2 = 14, .headers = 34,
	      .l3 = 84);
	FRAME(ETH("0806") "0001", .fault = TG_FAULT_NOT_IP, .l2 = 14);
}

static void bad_headers(void)
{
	FRAME(ETH("0800") "55 00 0054 1234 0000 40 06 0000 c0000201 c0000202 " TCP_BASE,
	      .fault = TG_FAULT_BAD_HEADER, .l2 = 14);
	FRAME(ETH("0800") "44 00 0054 1234 0000 40 06 0000 c0000201 c0000202 " TCP_BASE,
	      .fault = TG_FAULT_BAD_HEADER, .l2 = 14);
	FRAME(ETH("86dd") "50000000 0030 06 40 fd000000000000000000000000000001 "
			  "fd000000000000000000000000000002 " TCP_BASE,
	      .fault = TG_FAULT_BAD_HEADER, .l2 = 14);
	/* longer than the packet says it is; the rest is the link's padding */
	FRAME(ETH("0800") "45 00 0026 1234 0000 40 06 0000 c0000201 c0000202 " TCP_BASE,
	      .fault = TG_FAULT_SHORT_L4, .proto = 6, .l2 = 14, .sport = 8080, .l3 = 38);
	FRAME(ETH("0800") "46 00 0014 1234 0000 40 06 0000 c0000201 c0000202 01010101 " TCP_BASE,
	      .fault = TG_FAULT_BAD_HEADER, .proto = 6, .l2 = 14, .l3 = 20);
	/* a TCP header of four words is none */
	FRAME(ETH("0800") IP4("06") "1f90 0bb8 01020304 00000000 40 02 ffff 0000 0000",
	      .fault = TG_FAULT_BAD_HEADER, .proto = 6, .l2 = 14, .sport = 8080,
	      .l3 = 84);
}

int main(void)
{
	parse_load();
	RUN(tcp_over_ipv4);
	RUN(ipv4_options);
	RUN(vlan_tags);
	RUN(ipv6_extension_headers);
	RUN(fragments);
	RUN(other_protocols);
	RUN(bad_headers);
	DONE();
}
