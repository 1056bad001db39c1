/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames of every shape the parser knows, sent raw from one device.  Prints what a
 * counter behind it must have seen, by protocol, one JSON object a line.
 *
 *   frames shapes DEVICE SRC4 DST4 SRC6 DST6
 *   frames syns DEVICE SRC4 DST4 PORT COUNT MAC       SYNs from COUNT ports
 *   frames datagrams DEVICE SRC4 DST4 PORT COUNT MAC  as many UDP datagrams
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"

#define FRAME_MAX 1514

struct sum {
	const char *protocol;
	unsigned long long packets, l3_bytes, frame_bytes;
};

struct frame {
	uint8_t data[FRAME_MAX];
	size_t len;
	size_t l3; /* where the IP header is */
};

static struct sum sums[] = { { .protocol = "udp" },  { .protocol = "icmp" },
			     { .protocol = "sctp" }, { .protocol = "tcp" },
			     { .protocol = "253" },  { .protocol = "faults" } };
static int fd;
static struct sockaddr_ll to;
static uint8_t src4[4], dst4[4], src6[16], dst6[16];

static void die(const char *what)
{
	fprintf(stderr, "frames: %s: %s\n", what, strerror(errno));
	exit(1);
}

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

static void put_zeros(struct frame *f, size_t n)
{
	memset(f->data + f->len, 0, n);
	f->len += n;
}

static void ethernet(struct frame *f, uint16_t proto)
{
	f->len = 0;
	put(f, to.sll_addr, 6);
	put_zeros(f, 6);
	put16(f, proto);
	f->l3 = f->len;
}

static void vlan(struct frame *f, uint16_t outer, uint16_t proto)
{
	f->len -= 2;
	put16(f, outer);
	put16(f, 7);
	put16(f, proto);
	f->l3 = f->len;
}

/* Lengths are filled in by finish(). */
static void ip4(struct frame *f, uint8_t proto, size_t options, uint16_t fragment)
{
	f->l3 = f->len;
	put8(f, (uint8_t)(0x40 | (5 + options / 4)));
	put8(f, 0);
	put16(f, 0);
	put16(f, 4711);
	put16(f, fragment);
	put8(f, 64);
	put8(f, proto);
	put16(f, 0);
	put(f, src4, 4);
	put(f, dst4, 4);
	for (size_t i = 0; i < options; i++)
		put8(f, 1); /* no operation */
}

static void ip6(struct frame *f, uint8_t next)
{
	f->l3 = f->len;
	put8(f, 0x60);
	put_zeros(f, 5);
	put8(f, next);
	put8(f, 64);
	put(f, src6, 16);
	put(f, dst6, 16);
}

static void udp(struct frame *f, size_t payload)
{
	put16(f, 5353);
	put16(f, 9);
	put16(f, (uint16_t)(8 + payload));
	put16(f, 0);
	put_zeros(f, payload);
}

static uint16_t checksum(const uint8_t *p, size_t n)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < n; i += 2)
		sum += (uint32_t)(p[i] << 8 | p[i + 1]);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/* What it counts as, without Ethernet's padding, which is nobody's. */
static void finish(struct frame *f, const char *protocol)
{
	uint8_t *ip = f->data + f->l3;
	size_t l3 = f->len - f->l3;
	uint16_t sum;

	if (ip[0] >> 4 == 4) {
		ip[2] = (uint8_t)(l3 >> 8);
		ip[3] = (uint8_t)l3;
		sum = checksum(ip, (size_t)(ip[0] & 15) * 4);
		ip[10] = (uint8_t)(sum >> 8);
		ip[11] = (uint8_t)sum;
	} else if (ip[0] >> 4 == 6) {
		ip[4] = (uint8_t)((l3 - 40) >> 8);
		ip[5] = (uint8_t)(l3 - 40);
	}
	if (sendto(fd, f->data, f->len, 0, (void *)&to, sizeof(to)) != (ssize_t)f->len)
		die("send");
	for (size_t i = 0; i < ARRAY_SIZE(sums); i++) {
		if (strcmp(sums[i].protocol, protocol) != 0)
			continue;
		sums[i].packets++;
		sums[i].l3_bytes += l3;
		sums[i].frame_bytes += f->len;
	}
}

static void shapes_4(struct frame *f)
{
	ethernet(f, ETH_P_IP);
	ip4(f, IPPROTO_UDP, 0, 0);
	udp(f, 100);
	finish(f, "udp");

	ethernet(f, ETH_P_IP);
	ip4(f, IPPROTO_UDP, 40, 0); /* all the options there can be */
	udp(f, 1);
	finish(f, "udp");

	ethernet(f, 0);
	vlan(f, ETH_P_8021Q, ETH_P_IP);
	ip4(f, IPPROTO_UDP, 0, 0);
	udp(f, 200);
	finish(f, "udp");

	ethernet(f, 0);
	vlan(f, ETH_P_8021AD, 0);
	vlan(f, ETH_P_8021Q, ETH_P_IP);
	ip4(f, IPPROTO_UDP, 0, 0);
	udp(f, 300);
	finish(f, "udp");

	ethernet(f, ETH_P_IP);
	ip4(f, IPPROTO_UDP, 0, 0x2000); /* more to come */
	udp(f, 1000);
	finish(f, "udp");
	ethernet(f, ETH_P_IP);
	ip4(f, IPPROTO_UDP, 0, 126); /* of 8 bytes: the rest */
	put_zeros(f, 77);
	finish(f, "udp");

	ethernet(f, ETH_P_IP);
	ip4(f, IPPROTO_ICMP, 0, 0);
	put8(f, 0); /* echo reply: nobody answers */
	put_zeros(f, 63);
	finish(f, "icmp");

	ethernet(f, ETH_P_IP);
	ip4(f, IPPROTO_SCTP, 0, 0);
	put16(f, 1000);
	put16(f, 2000);
	put_zeros(f, 60);
	finish(f, "sctp");

	ethernet(f, ETH_P_IP);
	ip4(f, 253, 0, 0); /* for experiments, RFC 3692 */
	put_zeros(f, 33);
	finish(f, "253");
}

/* An extension header of so many units of 8 bytes after the first. */
static void extension(struct frame *f, uint8_t next, uint8_t units)
{
	put8(f, next);
	put8(f, units);
	put8(f, 1); /* PadN */
	put8(f, (uint8_t)(4 + units * 8));
	put_zeros(f, 4u + units * 8u);
}

static void shapes_6(struct frame *f)
{
	ethernet(f, ETH_P_IPV6);
	ip6(f, IPPROTO_UDP);
	udp(f, 50);
	finish(f, "udp");

	ethernet(f, ETH_P_IPV6);
	ip6(f, IPPROTO_HOPOPTS);
	extension(f, IPPROTO_DSTOPTS, 0);
	extension(f, IPPROTO_UDP, 2);
	udp(f, 60);
	finish(f, "udp");

	for (int last = 0; last < 2; last++) {
		ethernet(f, ETH_P_IPV6);
		ip6(f, IPPROTO_FRAGMENT);
		put8(f, IPPROTO_UDP);
		put8(f, 0);
		put16(f, last ? 80 : 1); /* offset and whether more come */
		put_zeros(f, 4);
		if (last)
			put_zeros(f, 21);
		else
			udp(f, 72);
		finish(f, "udp");
	}
}

static void shapes_bad(struct frame *f)
{
	ethernet(f, ETH_P_IP); /* IPv4 that says it is version 5 */
	ip4(f, IPPROTO_UDP, 0, 0);
	f->data[f->l3] = 0x55;
	udp(f, 10);
	finish(f, "faults");

	ethernet(f, ETH_P_IPV6); /* more extension headers than anyone needs; Linux takes
				    them */
	ip6(f, IPPROTO_DSTOPTS);
	for (int i = 0; i < 6; i++)
		extension(f, IPPROTO_DSTOPTS, 0);
	extension(f, IPPROTO_UDP, 0);
	udp(f, 10);
	finish(f, "udp");
}

static void syns(uint16_t port, uint64_t count)
{
	struct frame f = { 0 };

	for (uint64_t i = 0; i < count; i++) {
		uint16_t sum;
		uint8_t pseudo[32] = { 0 };

		ethernet(&f, ETH_P_IP);
		ip4(&f, IPPROTO_TCP, 0, 0);
		put16(&f, (uint16_t)(10000 + i));
		put16(&f, port);
		put16(&f, (uint16_t)i);
		put_zeros(&f, 6);
		put16(&f, 0x5002); /* header of 20 bytes, SYN */
		put16(&f, 65535);
		put_zeros(&f, 4);
		memcpy(pseudo, src4, 4);
		memcpy(pseudo + 4, dst4, 4);
		pseudo[9] = IPPROTO_TCP;
		pseudo[11] = 20;
		memcpy(pseudo + 12, f.data + f.l3 + 20, 20);
		sum = checksum(pseudo, sizeof(pseudo));
		f.data[f.l3 + 36] = (uint8_t)(sum >> 8);
		f.data[f.l3 + 37] = (uint8_t)sum;
		finish(&f, "tcp");
	}
}

static void datagrams(uint16_t port, uint64_t count)
{
	struct frame f = { 0 };

	for (uint64_t i = 0; i < count; i++) {
		ethernet(&f, ETH_P_IP);
		ip4(&f, IPPROTO_UDP, 0, 0);
		put16(&f, (uint16_t)(10000 + i));
		put16(&f, port);
		put16(&f, 8 + 32);
		put16(&f, 0);
		put_zeros(&f, 32);
		finish(&f, "udp");
	}
}

int main(int argc, char **argv)
{
	struct frame f = { 0 };
	uint64_t port, count;

	if (argc < 5)
		return 2;
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (fd < 0)
		die("socket");
	to.sll_family = AF_PACKET;
	to.sll_ifindex = (int)if_nametoindex(argv[2]);
	to.sll_halen = 6;
	memset(to.sll_addr, 0xff, 6);
	if (inet_pton(AF_INET, argv[3], src4) != 1 ||
	    inet_pton(AF_INET, argv[4], dst4) != 1)
		die("address");
	if (strcmp(argv[1], "shapes") == 0 && argc == 7 &&
	    inet_pton(AF_INET6, argv[5], src6) == 1 &&
	    inet_pton(AF_INET6, argv[6], dst6) == 1) {
		shapes_4(&f);
		shapes_6(&f);
		shapes_bad(&f);
	} else if (argc == 8 &&
		   sscanf(argv[7], "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx", to.sll_addr,
			  to.sll_addr + 1, to.sll_addr + 2, to.sll_addr + 3,
			  to.sll_addr + 4, to.sll_addr + 5) == 6 &&
		   util_parse_u64(argv[5], 65535, &port) == 0 &&
		   util_parse_u64(argv[6], 50000, &count) == 0) {
		if (strcmp(argv[1], "syns") == 0)
			syns((uint16_t)port, count);
		else if (strcmp(argv[1], "datagrams") == 0)
			datagrams((uint16_t)port, count);
		else
			return 2;
	} else {
		return 2;
	}
	for (size_t i = 0; i < ARRAY_SIZE(sums); i++)
		printf("{\"protocol\":\"%s\",\"packets\":%llu,\"l3_bytes\":%llu,"
		       "\"frame_bytes\":%llu}\n",
		       sums[i].protocol, sums[i].packets, sums[i].l3_bytes,
		       sums[i].frame_bytes);
	close(fd);
	return 0;
}
