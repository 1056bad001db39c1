/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does a program that takes PROXY headers take the right ones?  For each vector of a file
 * a connection is made to the program, which passes it on, with a PROXY header of its
 * own, to the backend that this test is; what arrives there is the verdict.
 *
 *   conform --target ADDRESS:PORT --backend ADDRESS:PORT [--backend-netns FILE] [--tlvs]
 *           [--source] [--table] VECTORS
 *
 * --tlvs: the program passes TLVs on, so they are compared too.  --source: it names
 * itself as the destination, so only sources are compared.  --table prints what was got
 * instead of ok and not ok.  Exit 0 if all vectors are right.  Nothing here is shared
 * with the code under test; the format of the file is described in README.md.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/util.h"

#define PARTS_MAX   64
#define BYTES_MAX   8192
#define TEXT_MAX    256
#define PATIENCE_MS 1500
#define PAYLOAD	    "and this is what the client says\n"

struct vector {
	char name[TEXT_MAX], expect[TEXT_MAX], spec[TEXT_MAX];
	uint8_t bytes[BYTES_MAX], tlvs[BYTES_MAX];
	size_t ends[PARTS_MAX]; /* of each part in bytes */
	size_t parts, tlvs_len;
	bool has_tlvs, drip;
};

static struct addr target, backend;
static bool want_tlvs, source_only, table;
static int backend_fd = -1;

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "conform: %s: %s\n", what, strerror(errno));
	exit(2);
}

/* --- the file --- */

static int hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One character of a string, perhaps escaped; moves on.  -1 if it is wrong. */
static int unescape(const char **p)
{
	static const char names[] = "rn0\\\"", values[] = "\r\n\0\\\"";
	const char *found;
	int c = *(*p)++;

	if (c != '\\')
		return (uint8_t)c;
	c = *(*p)++;
	if (c == 'x' && hex((*p)[0]) >= 0 && hex((*p)[1]) >= 0) {
		c = hex((*p)[0]) << 4 | hex((*p)[1]);
		*p += 2;
		return c;
	}
	found = c ? strchr(names, c) : NULL;
	return found ? (uint8_t)values[found - names] : -1;
}

/* Strings and "*N" repetitions of the one before; the bytes behind those at *len. */
static bool read_bytes(const char *p, uint8_t *ret, size_t *len)
{
	size_t from = *len;
	uint64_t n;
	int c;

	for (;; p += strspn(p, " ")) {
		if (*p == '"') {
			from = *len;
			for (p++; *p && *p != '"';) {
				c = unescape(&p);
				if (c < 0 || *len == BYTES_MAX)
					return false;
				ret[(*len)++] = (uint8_t)c;
			}
			if (*p++ != '"')
				return false;
		} else if (*p == '*') {
			char number[8];
			size_t k = strspn(++p, "0123456789"), part = *len - from;

			(void)snprintf(number, sizeof(number), "%.*s", (int)k, p);
			p += k;
			if (util_parse_u64(number, BYTES_MAX, &n) < 0 ||
			    *len + part * (n - 1) > BYTES_MAX)
				return false;
			for (; n > 1; n--, *len += part)
				memcpy(ret + *len, ret + from, part);
		} else {
			return *p == '\0';
		}
	}
}

static bool read_line(struct vector *v, const char *key, const char *rest)
{
	size_t len = v->parts ? v->ends[v->parts - 1] : 0;

	if (strcmp(key, "send") == 0 && v->parts < PARTS_MAX) {
		if (!read_bytes(rest, v->bytes, &len))
			return false;
		v->ends[v->parts++] = len;
	} else if (strcmp(key, "tlvs") == 0) {
		v->has_tlvs = true;
		return read_bytes(rest, v->tlvs, &v->tlvs_len);
	} else if (strcmp(key, "drip") == 0) {
		v->drip = true;
	} else if (strcmp(key, "expect") == 0) {
		(void)snprintf(v->expect, sizeof(v->expect), "%s", rest);
	} else if (strcmp(key, "spec") == 0) {
		(void)snprintf(v->spec, sizeof(v->spec), "%s", rest);
	} else {
		return false;
	}
	return true;
}

/* The next vector of the file: 1, 0 at its end; exits with the line if it is wrong. */
static int next_vector(FILE *f, struct vector *v, unsigned *line)
{
	static char text[4 * BYTES_MAX];
	char key[16];
	int at;

	memset(v, 0, sizeof(*v));
	while (fgets(text, sizeof(text), f)) {
		++*line;
		text[strcspn(text, "\n")] = '\0';
		if (text[0] == '#')
			continue;
		if (text[0] == '\0') {
			if (v->name[0])
				return 1;
			continue;
		}
		at = 0;
		if (sscanf(text, "vector %255[^\n]", v->name) == 1)
			continue;
		if (sscanf(text, " %15[a-z] %n", key, &at) != 1 || !at ||
		    !read_line(v, key, text + at)) {
			fprintf(stderr, "conform: line %u: '%s'\n", *line, text);
			exit(2);
		}
	}
	return v->name[0] != '\0';
}

/* --- the backend: what came --- */

struct arrival {
	uint8_t bytes[BYTES_MAX + 1024];
	size_t len;
	bool ended;
};

/* A v4-mapped address is an IPv4 one; so is what a mixed pair has in a line of TCP6. */
static int end_format(const char *ip, unsigned port, char ret[ADDR_STR_MAX])
{
	struct addr a = { .ip = { [10] = 0xff, [11] = 0xff },
			  .port = htons((uint16_t)port) };

	if (inet_pton(AF_INET, ip, a.ip + 12) != 1 && inet_pton(AF_INET6, ip, a.ip) != 1)
		return -EINVAL;
	(void)addr_format(&a, ret);
	return 0;
}

/* A header of version 1, its line end cut off, as "SRC DST". */
static bool parse_v1(char *line, char *ret, size_t cap)
{
	char family[8], src[64], dst[64], ends[2][ADDR_STR_MAX];
	unsigned sport, dport;

	if (strncmp(line, "PROXY UNKNOWN", 13) == 0) {
		(void)snprintf(ret, cap, "none");
		return true;
	}
	if (sscanf(line, "PROXY %7s %63s %63s %u %u", family, src, dst, &sport, &dport) !=
	    5)
		return false;
	if (end_format(src, sport, ends[0]) < 0 || end_format(dst, dport, ends[1]) < 0)
		return false;
	(void)snprintf(ret, cap, "%s %s", ends[0], ends[1]);
	return true;
}

static bool parse_v2(const uint8_t *p, char *ret, size_t cap)
{
	size_t n = p[13] >> 4 == 1 ? 4 : 16;
	char text[2][ADDR_STR_MAX];

	if (p[12] == 0x20 || p[13] == 0 || p[13] >> 4 == 3) {
		(void)snprintf(ret, cap, "none");
		return true;
	}
	for (size_t i = 0; i < 2; i++) {
		struct addr a = { .ip = { [10] = 0xff, [11] = 0xff } };

		memcpy(a.ip + 16 - n, p + 16 + i * n, n);
		memcpy(&a.port, p + 16 + 2 * n + 2 * i, 2);
		(void)addr_format(&a, text[i]);
	}
	(void)snprintf(ret, cap, "%s %s", text[0], text[1]);
	return true;
}

static bool has_type(const struct vector *v, uint8_t type)
{
	for (size_t at = 0; at + 3 <= v->tlvs_len;
	     at += 3 + ((size_t)v->tlvs[at + 1] << 8 | v->tlvs[at + 2])) {
		if (v->tlvs[at] == type)
			return true;
	}
	return false;
}

/* What came in the order it was sent; a checksum is another one, ours may be more. */
static bool tlvs_right(const struct vector *v, const uint8_t *p, size_t len)
{
	size_t want = 0;

	while (len >= 3) {
		size_t n = 3 + ((size_t)p[1] << 8 | p[2]);

		if (n > len)
			return false;
		if (want + n <= v->tlvs_len && memcmp(v->tlvs + want, p, n) == 0)
			want += n;
		else if (has_type(v, p[0]) && p[0] != 3)
			return false; /* another one of a type that was sent */
		p += n;
		len -= n;
	}
	return len == 0 && want == v->tlvs_len;
}

/* The verdict on what came at the backend; `own` is the client's address. */
static void judge(const struct vector *v, struct arrival *a, const char *own, char *ret,
		  size_t cap)
{
	static const uint8_t v2_signature[12] = "\r\n\r\n\0\r\nQUIT\n";
	size_t head = 0, addresses = 0;
	char from[TEXT_MAX];
	bool ok = false;

	a->bytes[a->len] = '\0';
	if (a->len >= 16 && memcmp(a->bytes, v2_signature, 12) == 0) {
		head = 16 + ((size_t)a->bytes[14] << 8 | a->bytes[15]);
		addresses = a->bytes[13] == 0	     ? 0
			    : a->bytes[13] >> 4 == 1 ? 12
			    : a->bytes[13] >> 4 == 2 ? 36
						     : 216;
		ok = head <= a->len && parse_v2(a->bytes, from, sizeof(from));
		if (ok && want_tlvs && v->has_tlvs &&
		    !tlvs_right(v, a->bytes + 16 + addresses, head - 16 - addresses)) {
			(void)snprintf(ret, cap, "accept with other TLVs");
			return;
		}
	} else if (memcmp(a->bytes, "PROXY ", 6) == 0) {
		char *end = strstr((char *)a->bytes, "\r\n");

		if (end) {
			*end = '\0';
			head = (size_t)(end + 2 - (char *)a->bytes);
			ok = parse_v1((char *)a->bytes, from, sizeof(from));
		}
	}
	if (!ok)
		(void)snprintf(ret, cap, "accept without a header of its own");
	else if (a->len - head != sizeof(PAYLOAD) - 1 ||
		 memcmp(a->bytes + head, PAYLOAD, sizeof(PAYLOAD) - 1) != 0)
		(void)snprintf(ret, cap, "accept, with other bytes behind it");
	else if (strncmp(from, own, strlen(own)) == 0 && from[strlen(own)] == ' ')
		(void)snprintf(ret, cap, "accept none"); /* the connection's own */
	else
		(void)snprintf(ret, cap, "accept %s", from);
}

static bool complete(const struct arrival *a)
{
	return a->len >= sizeof(PAYLOAD) - 1 &&
	       memcmp(a->bytes + a->len - (sizeof(PAYLOAD) - 1), PAYLOAD,
		      sizeof(PAYLOAD) - 1) == 0;
}

/* --- the client --- */

static int connect_target(void)
{
	struct sockaddr_storage ss;
	socklen_t len = addr_to_sockaddr(&target, &ss);
	int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	if (fd < 0 || connect(fd, (void *)&ss, len) < 0)
		die("cannot connect to the target");
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

/* Until the other host has it, so that the next part is another segment. */
static void wait_acknowledged(int fd)
{
	int queued = 1;

	for (int i = 0; i < PATIENCE_MS && queued; i++) {
		if (ioctl(fd, SIOCOUTQ, &queued) < 0)
			return;
		if (queued)
			(void)poll(NULL, 0, 1);
	}
}

static void send_all(int fd, const struct vector *v)
{
	size_t at = 0, len = v->parts ? v->ends[v->parts - 1] : 0;

	for (size_t i = 0; i < v->parts; i++) {
		size_t step = v->drip ? 1 : v->ends[i] - at;

		for (; at < v->ends[i]; at += step) {
			bool last = at + step == len;
			uint8_t part[BYTES_MAX + sizeof(PAYLOAD)];

			/* the payload comes with the last bytes of the header */
			memcpy(part, v->bytes + at, step);
			memcpy(part + step, PAYLOAD, sizeof(PAYLOAD) - 1);
			if (send(fd, part, step + (last ? sizeof(PAYLOAD) - 1 : 0),
				 MSG_NOSIGNAL) < 0)
				return;
			if (!last)
				wait_acknowledged(fd);
		}
	}
}

/* Gone: the program ended the connection. */
static bool client_gone(int fd, short revents)
{
	char c;

	return revents & (POLLIN | POLLERR | POLLHUP) &&
	       recv(fd, &c, 1, MSG_DONTWAIT) <= 0;
}

static void own_address(int fd, char ret[ADDR_STR_MAX])
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct addr a;

	if (getsockname(fd, (void *)&ss, &len) < 0)
		die("getsockname");
	addr_from_sockaddr((void *)&ss, &a);
	(void)addr_format(&a, ret);
}

static void run_vector(const struct vector *v, char *ret, size_t cap)
{
	struct arrival a = { .len = 0 };
	struct pollfd p[2] = { { .fd = connect_target(), .events = POLLIN },
			       { .fd = backend_fd, .events = POLLIN } };
	int64_t deadline, left;
	bool gone = false;
	char own[ADDR_STR_MAX];
	int from = -1;

	own_address(p[0].fd, own);
	send_all(p[0].fd, v);
	deadline = (int64_t)(util_now_ns() / 1000000) + PATIENCE_MS;
	while (!complete(&a) && !a.ended && !(gone && from < 0)) {
		left = deadline - (int64_t)(util_now_ns() / 1000000);
		if (left <= 0 || poll(p, 2, (int)left) <= 0)
			break;
		if (p[1].revents && from < 0) {
			from = accept4(backend_fd, NULL, NULL, SOCK_CLOEXEC);
			p[1].fd = from;
		} else if (p[1].revents) {
			ssize_t n = recv(from, a.bytes + a.len,
					 sizeof(a.bytes) - 1 - a.len, 0);

			a.ended = n <= 0;
			a.len += n > 0 ? (size_t)n : 0;
		}
		if (!gone && client_gone(p[0].fd, p[0].revents)) {
			gone = true;
			p[0].fd = ~p[0].fd; /* not polled any more */
		}
	}
	if (a.len)
		judge(v, &a, own, ret, cap);
	else
		(void)snprintf(ret, cap, gone || a.ended ? "reject" : "wait");
	close(p[0].fd < 0 ? ~p[0].fd : p[0].fd);
	if (from >= 0)
		close(from);
}

/* --- --- */

static void listen_backend(const char *netns)
{
	int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), one = 1;
	int other = netns ? open(netns, O_RDONLY | O_CLOEXEC) : -1;
	struct sockaddr_storage ss;
	socklen_t len = addr_to_sockaddr(&backend, &ss);

	if (netns && (other < 0 || own < 0 || setns(other, CLONE_NEWNET) < 0))
		die(netns);
	backend_fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	(void)setsockopt(backend_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (backend_fd < 0 || bind(backend_fd, (void *)&ss, len) < 0 ||
	    listen(backend_fd, 16) < 0)
		die("cannot listen for the target");
	if (netns && setns(own, CLONE_NEWNET) < 0)
		die("own namespace");
	close(own);
	if (other >= 0)
		close(other);
}

/* With --source only as far as the source. */
static bool is_right(const char *got, const char *expect)
{
	const char *end =
		strncmp(expect, "accept ", 7) == 0 ? strchr(expect + 7, ' ') : NULL;

	if (source_only && end)
		return strncmp(got, expect, (size_t)(end + 1 - expect)) == 0;
	return strcmp(got, expect) == 0;
}

static int usage(void)
{
	fputs("usage: conform --target ADDRESS:PORT --backend ADDRESS:PORT\n"
	      "               [--backend-netns FILE] [--tlvs] [--source] [--table] VECTORS\n",
	      stderr);
	return 2;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "target", required_argument, NULL, 't' },
		{ "backend", required_argument, NULL, 'b' },
		{ "backend-netns", required_argument, NULL, 'n' },
		{ "tlvs", no_argument, NULL, 'v' },
		{ "source", no_argument, NULL, 's' },
		{ "table", no_argument, NULL, 'T' },
		{ 0 },
	};
	static struct vector v;
	const char *netns = NULL;
	unsigned line = 0, n = 0, wrong = 0;
	char got[TEXT_MAX * 2];
	FILE *f;
	int opt;

	setvbuf(stdout, NULL, _IOLBF, 0);
	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if ((opt == 't' && addr_parse(optarg, &target) < 0) ||
		    (opt == 'b' && addr_parse(optarg, &backend) < 0) || opt == '?')
			return usage();
		netns = opt == 'n' ? optarg : netns;
		want_tlvs |= opt == 'v';
		source_only |= opt == 's';
		table |= opt == 'T';
	}
	if (!target.port || !backend.port || optind + 1 != argc)
		return usage();
	f = fopen(argv[optind], "re");
	if (!f)
		die(argv[optind]);
	listen_backend(netns);
	while (next_vector(f, &v, &line)) {
		bool right;

		run_vector(&v, got, sizeof(got));
		right = is_right(got, v.expect);
		n++;
		wrong += !right;
		if (table)
			printf("%s\t%s\t%s\t%s\t%s\n", right ? "right" : "not right",
			       v.name, v.expect, got, v.spec);
		else if (right)
			printf("ok %u - %s\n", n, v.name);
		else
			printf("not ok %u - %s: %s, not %s (%s)\n", n, v.name, got,
			       v.expect, v.spec);
	}
	fclose(f);
	fprintf(stderr, "conform: %u vectors, %u not right\n", n, wrong);
	return wrong || !n;
}
