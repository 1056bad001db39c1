/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every life a TCP socket can have, one after the other, on loopback.  Prints one JSON
 * object a line: what the books must say of each end.  The caller has prepared the
 * network namespace (bats/lives.bats): net.ipv4.tcp_fastopen=3, tcp_syn_retries=1, and
 * nft rules for the ports below.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/addr.h"

#define PORT_SIMULTANEOUS_A 7001 /* RST between these two is dropped */
#define PORT_SIMULTANEOUS_B 7002
#define PORT_BLACKHOLE	    7003 /* everything to it is dropped */
#define PORT_NO_DATA	    7004 /* packets of more than 100 bytes to it are dropped */
#define PORT_UNREACHABLE    7005 /* answered by ICMP host unreachable */

struct end {
	const char *role;
	const char *reason;
	uint64_t rx, tx, acked;
	unsigned generation;
};

struct pair {
	int client;
	int server;
	char client_addr[ADDR_STR_MAX]; /* as seen from the client */
	char server_addr[ADDR_STR_MAX];
};

static const char *life = "?";

static void die(const char *what)
{
	fprintf(stderr, "lives: %s: %s: %s\n", life, what, strerror(errno));
	exit(1);
}

static void check(bool ok, const char *what)
{
	if (!ok)
		die(what);
}

/* --- sockets --- */

static void name_of(int fd, bool peer, char *buf)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct addr a;

	check((peer ? getpeername(fd, (void *)&ss, &len)
		    : getsockname(fd, (void *)&ss, &len)) == 0,
	      "name");
	addr_from_sockaddr((void *)&ss, &a);
	(void)addr_format(&a, buf);
}

static void address(struct sockaddr_storage *ss, socklen_t *len, const char *ip,
		    uint16_t port)
{
	struct sockaddr_in *v4 = (void *)ss;
	struct sockaddr_in6 *v6 = (void *)ss;

	memset(ss, 0, sizeof(*ss));
	if (strchr(ip, ':')) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(port);
		check(inet_pton(AF_INET6, ip, &v6->sin6_addr) == 1, ip);
		*len = sizeof(*v6);
	} else {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		check(inet_pton(AF_INET, ip, &v4->sin_addr) == 1, ip);
		*len = sizeof(*v4);
	}
}

static int bound(const char *ip, uint16_t port)
{
	struct sockaddr_storage ss;
	int fd, zero = 0, one = 1;
	socklen_t len;

	address(&ss, &len, ip, port);
	fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	check(fd >= 0, "socket");
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (ss.ss_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	check(bind(fd, (void *)&ss, len) == 0, "bind");
	return fd;
}

static int listening(const char *ip, uint16_t port)
{
	int fd = bound(ip, port), queue = 16;

	check(setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN, &queue, sizeof(queue)) == 0,
	      "TCP_FASTOPEN");
	check(listen(fd, 16) == 0, "listen");
	return fd;
}

static uint16_t port_of(int fd)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	check(getsockname(fd, (void *)&ss, &len) == 0, "port");
	return ntohs(((struct sockaddr_in *)&ss)->sin_port);
}

static int connect_to(int fd, const char *ip, uint16_t port)
{
	struct sockaddr_storage ss;
	socklen_t len;

	address(&ss, &len, ip, port);
	return connect(fd, (void *)&ss, len);
}

static int client_socket(const char *ip)
{
	int fd = socket(strchr(ip, ':') ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC,
			0);

	check(fd >= 0, "socket");
	return fd;
}

static void names(struct pair *p)
{
	name_of(p->client, false, p->client_addr);
	name_of(p->client, true, p->server_addr);
}

static void open_at(struct pair *p, const char *listen_ip, const char *ip, uint16_t port)
{
	int l = listening(listen_ip, port);

	p->client = client_socket(ip);
	check(connect_to(p->client, ip, port_of(l)) == 0, "connect");
	p->server = accept4(l, NULL, NULL, SOCK_CLOEXEC);
	check(p->server >= 0, "accept");
	names(p);
	close(l);
}

static void open_pair(struct pair *p)
{
	open_at(p, "127.0.0.1", "127.0.0.1", 0);
}

/* --- bytes --- */

static void put(int fd, size_t n)
{
	static const char zeros[1 << 16];

	while (n) {
		ssize_t r = send(fd, zeros, n < sizeof(zeros) ? n : sizeof(zeros),
				 MSG_NOSIGNAL);

		check(r > 0, "send");
		n -= (size_t)r;
	}
}

static void get(int fd, size_t n)
{
	char buf[1 << 16];

	while (n) {
		ssize_t r = recv(fd, buf, n < sizeof(buf) ? n : sizeof(buf), 0);

		check(r > 0, "recv");
		n -= (size_t)r;
	}
}

static void get_end(int fd)
{
	char c;

	check(recv(fd, &c, 1, 0) == 0, "end of stream");
}

/* recv() would say end of stream where a FIN came before the reset. */
static void get_reset(int fd)
{
	struct pollfd p = { .fd = fd };

	check(poll(&p, 1, 5000) == 1 && p.revents & POLLERR, "reset");
}

/* Until so many bytes wait to be read. */
static void wait_queued(int fd, int n)
{
	struct pollfd none = { .fd = -1 };
	char buf[1 << 16];

	for (int i = 0; i < 5000; i++) {
		if (recv(fd, buf, sizeof(buf), MSG_PEEK | MSG_DONTWAIT) >= n)
			return;
		(void)poll(&none, 1, 1);
	}
	die("bytes did not come");
}

static void reset_on_close(int fd)
{
	struct linger l = { .l_onoff = 1 };

	check(setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l)) == 0, "SO_LINGER");
	close(fd);
}

/* --- what the books must say --- */

static void expect(const char *end, const char *local, const char *remote,
		   const struct end *e)
{
	printf("{\"life\":\"%s\",\"end\":\"%s\",\"local\":\"%s\",\"remote\":\"%s\","
	       "\"role\":\"%s\",\"reason\":\"%s\",\"generation\":%u,"
	       "\"rx_payload_bytes\":%llu,\"tx_payload_bytes\":%llu,"
	       "\"tx_acked_bytes\":%llu}\n",
	       life, end, local, remote, e->role, e->reason,
	       e->generation ? e->generation : 1, (unsigned long long)e->rx,
	       (unsigned long long)e->tx, (unsigned long long)e->acked);
}

static void expect_pair(const struct pair *p, const struct end *client,
			const struct end *server)
{
	struct end c = *client, s = *server;

	c.role = "connected";
	s.role = "accepted";
	expect("client", p->client_addr, p->server_addr, &c);
	expect("server", p->server_addr, p->client_addr, &s);
}

#define EXPECT(pair, c, s) expect_pair(pair, &(const struct end)c, &(const struct end)s)
#define END(...)                        \
	{                               \
		.role = "", __VA_ARGS__ \
	}

/* --- the lives --- */

static void exchange_and_close(struct pair *p, int first, int second, size_t up,
			       size_t down)
{
	put(p->client, up);
	get(p->server, up);
	put(p->server, down);
	get(p->client, down);
	close(first);
	get_end(second);
	close(second);
}

static void client_closes(void)
{
	struct pair p;

	open_pair(&p);
	exchange_and_close(&p, p.client, p.server, 1000, 2000);
	EXPECT(&p, END(.reason = "closed_by_us", .rx = 2000, .tx = 1000, .acked = 1000),
	       END(.reason = "closed_by_peer", .rx = 1000, .tx = 2000, .acked = 2000));
}

static void server_closes(void)
{
	struct pair p;

	open_pair(&p);
	exchange_and_close(&p, p.server, p.client, 1, 1000000);
	EXPECT(&p, END(.reason = "closed_by_peer", .rx = 1000000, .tx = 1, .acked = 1),
	       END(.reason = "closed_by_us", .rx = 1, .tx = 1000000, .acked = 1000000));
}

static void nothing_said(void)
{
	struct pair p;

	open_pair(&p);
	exchange_and_close(&p, p.client, p.server, 0, 0);
	EXPECT(&p, END(.reason = "closed_by_us"), END(.reason = "closed_by_peer"));
}

static void ipv6(void)
{
	struct pair p;

	open_at(&p, "::1", "::1", 0);
	exchange_and_close(&p, p.client, p.server, 10, 20);
	EXPECT(&p, END(.reason = "closed_by_us", .rx = 20, .tx = 10, .acked = 10),
	       END(.reason = "closed_by_peer", .rx = 10, .tx = 20, .acked = 20));
}

static void v4_mapped(void)
{
	struct pair p;

	open_at(&p, "::", "::ffff:127.0.0.1", 0);
	exchange_and_close(&p, p.client, p.server, 30, 40);
	EXPECT(&p, END(.reason = "closed_by_us", .rx = 40, .tx = 30, .acked = 30),
	       END(.reason = "closed_by_peer", .rx = 30, .tx = 40, .acked = 40));
}

/* The server's stand-in in TIME_WAIT gives way to a new life of the same 4-tuple. */
/* The last acknowledgement of the socket before may be on its way, where all is slow. */
static int connect_when_free(int fd, const char *ip, uint16_t port)
{
	const struct timespec moment = { .tv_nsec = 10000000 };
	int ret = connect_to(fd, ip, port);

	for (int i = 0; i < 500 && ret < 0 && errno == EADDRNOTAVAIL; i++) {
		(void)nanosleep(&moment, NULL);
		ret = connect_to(fd, ip, port);
	}
	return ret;
}

static void same_addresses_again(void)
{
	int l = listening("127.0.0.1", 0);
	uint16_t port = 0;
	struct pair p;

	for (size_t i = 0; i < 2; i++) {
		p.client = bound("127.0.0.1", port);
		port = port_of(p.client);
		check(connect_when_free(p.client, "127.0.0.1", port_of(l)) == 0,
		      "connect");
		p.server = accept4(l, NULL, NULL, SOCK_CLOEXEC);
		check(p.server >= 0, "accept");
		names(&p);
		exchange_and_close(&p, p.server, p.client, 60 + i, 600 + i);
		EXPECT(&p,
		       END(.reason = "closed_by_peer", .rx = 600 + i, .tx = 60 + i,
			   .acked = 60 + i),
		       END(.reason = "closed_by_us", .rx = 60 + i, .tx = 600 + i,
			   .acked = 600 + i));
	}
	close(l);
}

static void half_close(void)
{
	struct pair p;

	open_pair(&p);
	put(p.client, 5000);
	shutdown(p.client, SHUT_WR);
	get(p.server, 5000);
	get_end(p.server);
	put(p.server, 70000);
	get(p.client, 70000);
	close(p.server);
	get_end(p.client);
	close(p.client);
	EXPECT(&p, END(.reason = "closed_by_us", .rx = 70000, .tx = 5000, .acked = 5000),
	       END(.reason = "closed_by_peer", .rx = 5000, .tx = 70000, .acked = 70000));
}

static void linger_zero(void)
{
	struct pair p;

	open_pair(&p);
	put(p.client, 100);
	get(p.server, 100);
	reset_on_close(p.client);
	get_reset(p.server);
	close(p.server);
	EXPECT(&p, END(.reason = "reset_by_us", .tx = 100, .acked = 100),
	       END(.reason = "reset_by_peer", .rx = 100));
}

static void closed_with_unread(void)
{
	struct pair p;

	open_pair(&p);
	put(p.server, 3000);
	wait_queued(p.client, 3000);
	close(p.client);
	get_reset(p.server);
	close(p.server);
	EXPECT(&p, END(.reason = "reset_with_unread_data", .rx = 3000),
	       END(.reason = "reset_by_peer", .tx = 3000, .acked = 3000));
}

/* The port of a socket that is bound and does not listen. */
static void refused(void)
{
	int taken = bound("127.0.0.1", 0);
	struct pair p = { .client = bound("127.0.0.1", 0) };

	name_of(p.client, false, p.client_addr);
	name_of(taken, false, p.server_addr);
	check(connect_to(p.client, "127.0.0.1", port_of(taken)) < 0 &&
		      errno == ECONNREFUSED,
	      "refused");
	close(p.client);
	close(taken);
	expect("client", p.client_addr, p.server_addr,
	       &(struct end){ .role = "connected", .reason = "refused" });
}

static void never_accepted(void)
{
	struct pair p;
	int l = listening("127.0.0.1", 0);
	struct pollfd ready = { .fd = l, .events = POLLIN };

	p.client = client_socket("127.0.0.1");
	check(connect_to(p.client, "127.0.0.1", port_of(l)) == 0, "connect");
	names(&p);
	put(p.client, 500);
	check(poll(&ready, 1, 5000) == 1, "queued");
	close(l);
	get_reset(p.client);
	close(p.client);
	EXPECT(&p, END(.reason = "reset_by_peer", .tx = 500, .acked = 500),
	       END(.reason = "never_accepted", .rx = 500));
}

/* Its stand-in in TIME_WAIT answers the late bytes with a reset. */
static void orphan_gets_late_data(void)
{
	struct pair p;

	open_pair(&p);
	put(p.client, 100);
	get(p.server, 100);
	close(p.client);
	get_end(p.server);
	put(p.server, 400);
	get_reset(p.server);
	close(p.server);
	EXPECT(&p, END(.reason = "closed_by_us", .tx = 100, .acked = 100),
	       END(.reason = "reset_by_peer", .rx = 100, .tx = 400));
}

static void fast_open_with(struct pair *p, int l)
{
	static const char zeros[300];
	struct sockaddr_storage ss;
	socklen_t len;

	p->client = client_socket("127.0.0.1");
	address(&ss, &len, "127.0.0.1", port_of(l));
	check(sendto(p->client, zeros, sizeof(zeros), MSG_FASTOPEN, (void *)&ss, len) ==
		      sizeof(zeros),
	      "MSG_FASTOPEN");
	p->server = accept4(l, NULL, NULL, SOCK_CLOEXEC);
	check(p->server >= 0, "accept");
	names(p);
	get(p->server, 300);
	put(p->server, 7);
	get(p->client, 7);
	close(p->client);
	get_end(p->server);
	close(p->server);
	EXPECT(p, END(.reason = "closed_by_us", .rx = 7, .tx = 300, .acked = 300),
	       END(.reason = "closed_by_peer", .rx = 300, .tx = 7, .acked = 7));
}

/* Cold: the SYN asks for a cookie.  Warm: it carries the bytes. */
static void fast_open(void)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);
	struct pair p;
	int l = listening("127.0.0.1", 0);

	life = "fast_open_cold";
	fast_open_with(&p, l);
	life = "fast_open_warm";
	fast_open_with(&p, l);
	(void)getsockopt(l, IPPROTO_TCP, TCP_INFO, &info, &len);
	close(l);
}

static void disconnect_and_reuse(void)
{
	struct sockaddr none = { .sa_family = AF_UNSPEC };
	int l = listening("127.0.0.1", 0);
	struct pair p, q;

	p.client = client_socket("127.0.0.1");
	check(connect_to(p.client, "127.0.0.1", port_of(l)) == 0, "connect");
	p.server = accept4(l, NULL, NULL, SOCK_CLOEXEC);
	names(&p);
	put(p.client, 111);
	get(p.server, 111);
	check(connect(p.client, &none, sizeof(none)) == 0, "disconnect");
	get_reset(p.server);
	close(p.server);
	q.client = p.client;
	check(connect_to(q.client, "127.0.0.1", port_of(l)) == 0, "connect again");
	q.server = accept4(l, NULL, NULL, SOCK_CLOEXEC);
	close(l);
	names(&q);
	exchange_and_close(&q, q.client, q.server, 222, 333);
	EXPECT(&p, END(.reason = "reset_by_us", .tx = 111, .acked = 111),
	       END(.reason = "reset_by_peer", .rx = 111));
	EXPECT(&q,
	       END(.reason = "closed_by_us", .generation = 2, .rx = 333, .tx = 222,
		   .acked = 222),
	       END(.reason = "closed_by_peer", .rx = 222, .tx = 333, .acked = 333));
}

static void self_connect(void)
{
	int fd = bound("127.0.0.1", 0);
	char name[ADDR_STR_MAX];

	check(connect_to(fd, "127.0.0.1", port_of(fd)) == 0, "connect to itself");
	name_of(fd, false, name);
	put(fd, 50);
	get(fd, 50);
	close(fd);
	expect("both", name, name,
	       &(struct end){ .role = "connected",
			      .reason = "closed_by_us",
			      .rx = 50,
			      .tx = 50,
			      .acked = 50 });
}

/* A's SYN meets nobody and the reset is dropped, so B's SYN meets A in SYN_SENT. */
static void simultaneous_open(void)
{
	struct pair p = { .client = bound("127.0.0.1", PORT_SIMULTANEOUS_A) };
	struct pollfd ready = { .fd = p.client, .events = POLLOUT };
	struct end a = { .role = "connected",
			 .reason = "closed_by_us",
			 .rx = 9,
			 .tx = 8,
			 .acked = 8 };
	struct end b = { .role = "connected",
			 .reason = "closed_by_peer",
			 .rx = 8,
			 .tx = 9,
			 .acked = 9 };

	check(fcntl(p.client, F_SETFL, O_NONBLOCK) == 0, "O_NONBLOCK");
	check(connect_to(p.client, "127.0.0.1", PORT_SIMULTANEOUS_B) < 0 &&
		      errno == EINPROGRESS,
	      "first connect");
	p.server = bound("127.0.0.1", PORT_SIMULTANEOUS_B);
	check(connect_to(p.server, "127.0.0.1", PORT_SIMULTANEOUS_A) == 0,
	      "second connect");
	check(poll(&ready, 1, 5000) == 1, "established");
	check(fcntl(p.client, F_SETFL, 0) == 0, "blocking");
	names(&p);
	exchange_and_close(&p, p.client, p.server, 8, 9);
	expect("a", p.client_addr, p.server_addr, &a);
	expect("b", p.server_addr, p.client_addr, &b);
}

/* connect() to a port that fails; what must be told of it. */
static void failing(uint16_t port, int want, bool give_up, const char *reason)
{
	struct pair p = { .client = bound("127.0.0.1", 0) };

	name_of(p.client, false, p.client_addr);
	(void)snprintf(p.server_addr, sizeof(p.server_addr), "127.0.0.1:%u", port);
	if (give_up)
		check(fcntl(p.client, F_SETFL, O_NONBLOCK) == 0, "O_NONBLOCK");
	check(connect_to(p.client, "127.0.0.1", port) < 0 && errno == want, reason);
	close(p.client);
	expect("client", p.client_addr, p.server_addr,
	       &(struct end){ .role = "connected", .reason = reason });
}

static void connect_timeout(void)
{
	failing(PORT_BLACKHOLE, ETIMEDOUT, false, "timeout");
}

static void connect_given_up(void)
{
	failing(PORT_BLACKHOLE, EINPROGRESS, true, "aborted");
}

static void unreachable(void)
{
	failing(PORT_UNREACHABLE, EHOSTUNREACH, false, "unreachable");
}

/* The bytes are sent, and again, and never arrive. */
static void user_timeout(void)
{
	unsigned ms = 500;
	struct pair p;
	char c;

	open_at(&p, "127.0.0.1", "127.0.0.1", PORT_NO_DATA);
	check(setsockopt(p.client, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms)) == 0,
	      "TCP_USER_TIMEOUT");
	put(p.client, 1000);
	check(recv(p.client, &c, 1, 0) < 0 && errno == ETIMEDOUT, "timeout");
	close(p.client);
	reset_on_close(p.server);
	EXPECT(&p, END(.reason = "timeout", .tx = 1000), END(.reason = "reset_by_us"));
}

/* The application gives up on bytes it had already said goodbye to. */
static void truncated(void)
{
	struct sockaddr none = { .sa_family = AF_UNSPEC };
	struct pair p;

	open_at(&p, "127.0.0.1", "127.0.0.1", PORT_NO_DATA);
	put(p.client, 1000);
	shutdown(p.client, SHUT_WR);
	check(connect(p.client, &none, sizeof(none)) == 0, "disconnect");
	get_reset(p.server);
	close(p.client);
	close(p.server);
	EXPECT(&p, END(.reason = "truncated", .tx = 1000),
	       END(.reason = "reset_by_peer"));
}

int main(void)
{
	static const struct {
		const char *name;
		void (*fn)(void);
	} lives[] = {
#define LIFE(fn) { #fn, fn }
		LIFE(client_closes),	  LIFE(server_closes),
		LIFE(nothing_said),	  LIFE(ipv6),
		LIFE(v4_mapped),	  LIFE(same_addresses_again),
		LIFE(half_close),	  LIFE(linger_zero),
		LIFE(closed_with_unread), LIFE(refused),
		LIFE(never_accepted),	  LIFE(orphan_gets_late_data),
		LIFE(fast_open),	  LIFE(disconnect_and_reuse),
		LIFE(self_connect),	  LIFE(simultaneous_open),
		LIFE(connect_timeout),	  LIFE(connect_given_up),
		LIFE(unreachable),	  LIFE(user_timeout),
		LIFE(truncated),
	};

	alarm(60);
	for (size_t i = 0; i < sizeof(lives) / sizeof(lives[0]); i++) {
		life = lives[i].name;
		lives[i].fn();
	}
	return 0;
}
