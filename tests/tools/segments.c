/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connecting end of one TCP connection by hand, from an address that is nobody's,
 * with segments that no stack sends.  It acknowledges what comes until both ends have
 * said FIN.
 *
 *   segments SCRIPT DEVICE SRC4 DST4 PORT MAC
 *     plain      a handshake, 100 bytes, FIN
 *     two-syns   a second SYN of another number before the handshake is over
 *     fins       and three FINs more, each behind the one before, whose place is its
 * byte's wild       and four bytes, each a good quarter of the sequence space further
 *     parts      the 100 bytes in fragments: in turn, the last first, the first as small
 *                as it may be (with and without the length of TCP's header), and both
 *     parts-lost the same; after each first part a line is printed, and one waited for
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"

#define FIRST	  1000u /* our initial sequence number */
#define OTHER	  2000000u
#define QUARTER	  ((1u << 30) + 100000) /* four of them are not 0 again */
#define OUR_PORT  5555
#define PAYLOAD	  100
#define WAIT_MS	  20000
#define FRAME_MAX 2048

struct segment {
	struct ethhdr eth;
	struct iphdr ip;
	struct tcphdr tcp;
	uint8_t payload[PAYLOAD];
} __attribute__((packed));

static int fd;
static struct sockaddr_ll to;
static struct in_addr src, dst;
static uint16_t port;
static uint32_t acked; /* what of theirs we have seen, the next number */
static bool theirs_over;

static void die(const char *what)
{
	fprintf(stderr, "segments: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint32_t add(uint32_t sum, const void *data, size_t n)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < n; i++)
		sum += i & 1 ? p[i] : (uint32_t)p[i] << 8;
	return sum;
}

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

/* The bytes [from, to) behind the IP header, as one packet or a part of one. */
static void send_part(const struct segment *whole, size_t from, size_t to_byte, bool more)
{
	struct segment s = *whole;
	size_t n = to_byte - from;

	memmove(&s.tcp, (const uint8_t *)&whole->tcp + from, n);
	s.ip.tot_len = htons((uint16_t)(sizeof(s.ip) + n));
	s.ip.frag_off = htons((uint16_t)((more ? 0x2000u : 0) | from / 8));
	s.ip.check = 0;
	s.ip.check = fold(add(0, &s.ip, sizeof(s.ip)));
	if (sendto(fd, &s, sizeof(s.eth) + sizeof(s.ip) + n, 0, (void *)&to, sizeof(to)) <
	    0)
		die("send");
}

static void make(struct segment *ret, uint32_t seq, bool syn, bool fin, size_t payload)
{
	struct segment s = { 0 };
	size_t tcp = sizeof(s.tcp) + payload;
	uint32_t sum;

	memcpy(s.eth.h_dest, to.sll_addr, ETH_ALEN);
	s.eth.h_proto = htons(ETH_P_IP);
	s.ip.version = 4;
	s.ip.ihl = 5;
	s.ip.tot_len = htons((uint16_t)(sizeof(s.ip) + tcp));
	s.ip.ttl = 64;
	s.ip.protocol = IPPROTO_TCP;
	s.ip.saddr = src.s_addr;
	s.ip.daddr = dst.s_addr;
	s.ip.check = fold(add(0, &s.ip, sizeof(s.ip)));
	s.tcp.source = htons(OUR_PORT);
	s.tcp.dest = htons(port);
	s.tcp.seq = htonl(seq);
	s.tcp.ack_seq = syn ? 0 : htonl(acked);
	s.tcp.doff = 5;
	s.tcp.syn = syn;
	s.tcp.ack = !syn;
	s.tcp.fin = fin;
	s.tcp.window = htons(65535);
	sum = add(IPPROTO_TCP + (uint32_t)tcp, &s.ip.saddr, 8);
	s.tcp.check = fold(add(sum, &s.tcp, tcp));
	*ret = s;
}

static void put(uint32_t seq, bool syn, bool fin, size_t payload)
{
	struct segment s;

	make(&s, seq, syn, fin, payload);
	send_part(&s, 0, sizeof(s.tcp) + payload, false);
}

/* 20 bytes of payload in parts of which the first ends at `cut`. */
static void put_parts(uint32_t seq, size_t cut, bool last_first, bool wait)
{
	static uint16_t id = 7;
	size_t end = sizeof(struct tcphdr) + PAYLOAD / 5, middle = 24;
	struct segment s;

	make(&s, seq, false, false, PAYLOAD / 5);
	s.ip.id = htons(id++);
	if (last_first)
		send_part(&s, middle, end, false);
	send_part(&s, 0, cut, true);
	if (wait) {
		puts("first");
		(void)fflush(stdout);
		(void)getchar();
	}
	if (cut < middle)
		send_part(&s, cut, middle, true);
	if (!last_first)
		send_part(&s, middle, end, false);
}

static void put_all_parts(bool wait)
{
	static const struct {
		size_t cut;
		bool last_first;
	} ways[] = {
		{ 24, false }, { 24, true }, { 16, false }, { 8, true }, { 8, false }
	};

	for (size_t i = 0; i < ARRAY_SIZE(ways); i++)
		put_parts(FIRST + 1 + (uint32_t)i * PAYLOAD / 5, ways[i].cut,
			  ways[i].last_first, wait);
}

/* Their next segment; false: none came. */
static bool get(struct tcphdr *ret)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint8_t buf[FRAME_MAX];
	struct iphdr ip;
	ssize_t n;

	while (poll(&p, 1, WAIT_MS) == 1) {
		n = recv(fd, buf, sizeof(buf), 0);
		if (n < (ssize_t)(ETH_HLEN + sizeof(ip) + sizeof(*ret)))
			continue;
		memcpy(&ip, buf + ETH_HLEN, sizeof(ip));
		if (ip.protocol != IPPROTO_TCP || ip.saddr != dst.s_addr ||
		    ip.daddr != src.s_addr || ip.ihl != 5)
			continue;
		memcpy(ret, buf + ETH_HLEN + sizeof(ip), sizeof(*ret));
		if (ntohs(ret->dest) == OUR_PORT)
			return true;
	}
	return false;
}

static void shake_hands(bool twice)
{
	struct tcphdr t;

	put(FIRST, true, false, 0);
	if (!get(&t) || !t.syn || !t.ack)
		die("no SYN-ACK");
	acked = ntohl(t.seq) + 1;
	if (twice)
		put(OTHER, true, false, 0);
	put(FIRST + 1, false, false, 0);
}

/*
 * Until our FIN is acknowledged and theirs has come; `more` FINs follow it.  How many of
 * those are acknowledged is the matter of when their program closes.
 */
static void finish(uint32_t fin, uint32_t more)
{
	bool ours_over = more > 0;
	struct tcphdr t;

	put(fin, false, true, 0);
	for (uint32_t i = 0; i < more; i++)
		put(fin++, false, true, 1);
	while (!ours_over || !theirs_over) {
		if (!get(&t) || (t.rst && !more))
			die("no end");
		if (t.rst) /* nobody can read those bytes: tcp_close() finds them unread
			    */
			return;
		ours_over |= ntohl(t.ack_seq) == fin + 1;
		if (!t.fin)
			continue;
		theirs_over = true;
		acked = ntohl(t.seq) + 1;
		put(fin + 1, false, false, 0);
	}
}

int main(int argc, char **argv)
{
	uint64_t n;

	if (argc != 7 || inet_pton(AF_INET, argv[3], &src) != 1 ||
	    inet_pton(AF_INET, argv[4], &dst) != 1 ||
	    util_parse_u64(argv[5], 65535, &n) < 0 ||
	    sscanf(argv[6], "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx", to.sll_addr,
		   to.sll_addr + 1, to.sll_addr + 2, to.sll_addr + 3, to.sll_addr + 4,
		   to.sll_addr + 5) != 6)
		return 2;
	port = (uint16_t)n;
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_IP));
	to.sll_family = AF_PACKET;
	to.sll_protocol = htons(ETH_P_IP);
	to.sll_ifindex = (int)if_nametoindex(argv[2]);
	to.sll_halen = ETH_ALEN;
	if (fd < 0 || bind(fd, (void *)&to, sizeof(to)) < 0)
		die(argv[2]);
	shake_hands(strcmp(argv[1], "two-syns") == 0);
	if (strncmp(argv[1], "parts", 5) == 0)
		put_all_parts(strcmp(argv[1], "parts-lost") == 0);
	else
		put(FIRST + 1, false, false, PAYLOAD);
	for (uint32_t i = 1; strcmp(argv[1], "wild") == 0 && i <= 4; i++)
		put(FIRST + 1 + PAYLOAD + i * QUARTER, false, false, 1);
	finish(FIRST + 1 + PAYLOAD, strcmp(argv[1], "fins") == 0 ? 3 : 0);
	close(fd);
	return 0;
}
