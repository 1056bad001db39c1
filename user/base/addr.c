/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses in one shape: IPv4 is v4-mapped everywhere inside, never outside. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/addr.h"
#include "base/util.h"

static const uint8_t v4_head[12] = { [10] = 0xff, [11] = 0xff };

bool addr_is_v4(const uint8_t ip[16])
{
	return memcmp(ip, v4_head, sizeof(v4_head)) == 0;
}

bool addr_is_any(const uint8_t ip[16])
{
	static const uint8_t zero[16];

	return memcmp(ip, zero, 16) == 0 ||
	       (addr_is_v4(ip) && memcmp(ip + 12, zero, 4) == 0);
}

static int ip_parse(const char *text, uint8_t ret[16])
{
	uint8_t ip[16];

	if (inet_pton(AF_INET6, text, ip) != 1) {
		memcpy(ip, v4_head, sizeof(v4_head));
		if (inet_pton(AF_INET, text, ip + 12) != 1)
			return -EINVAL;
	}
	memcpy(ret, ip, 16);
	return 0;
}

int addr_parse(const char *text, struct addr *ret)
{
	char host[INET6_ADDRSTRLEN + 2];
	const char *colon = strrchr(text, ':');
	uint64_t port;
	struct addr a;
	size_t len;
	bool v6;

	if (!colon || util_parse_u64(colon + 1, 65535, &port) < 0)
		return -EINVAL;
	len = (size_t)(colon - text);
	v6 = len >= 2 && text[0] == '[' && text[len - 1] == ']';
	if (v6) {
		text++;
		len -= 2;
	}
	if (len >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, len);
	host[len] = '\0';
	if (v6 != (strchr(host, ':') != NULL) || ip_parse(host, a.ip) < 0)
		return -EINVAL;
	a.port = htons((uint16_t)port);
	*ret = a;
	return 0;
}

char *addr_format(const struct addr *a, char buf[ADDR_STR_MAX])
{
	char ip[INET6_ADDRSTRLEN];

	if (addr_is_v4(a->ip)) {
		inet_ntop(AF_INET, a->ip + 12, ip, sizeof(ip));
		snprintf(buf, ADDR_STR_MAX, "%s:%u", ip, ntohs(a->port));
	} else {
		inet_ntop(AF_INET6, a->ip, ip, sizeof(ip));
		snprintf(buf, ADDR_STR_MAX, "[%s]:%u", ip, ntohs(a->port));
	}
	return buf;
}

void addr_from_sockaddr(const struct sockaddr *sa, struct addr *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (sa->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)sa;

		memcpy(ret->ip, v4_head, sizeof(v4_head));
		memcpy(ret->ip + 12, &in->sin_addr, 4);
		ret->port = in->sin_port;
	} else if (sa->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)sa;

		memcpy(ret->ip, &in6->sin6_addr, 16);
		ret->port = in6->sin6_port;
	}
}

socklen_t addr_to_sockaddr(const struct addr *a, struct sockaddr_storage *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (addr_is_v4(a->ip)) {
		struct sockaddr_in *in = (void *)ret;

		in->sin_family = AF_INET;
		memcpy(&in->sin_addr, a->ip + 12, 4);
		in->sin_port = a->port;
		return sizeof(*in);
	} else {
		struct sockaddr_in6 *in6 = (void *)ret;

		in6->sin6_family = AF_INET6;
		memcpy(&in6->sin6_addr, a->ip, 16);
		in6->sin6_port = a->port;
		return sizeof(*in6);
	}
}

int prefix_parse(const char *text, struct prefix *ret)
{
	char host[INET6_ADDRSTRLEN];
	const char *slash = strchr(text, '/');
	size_t len = slash ? (size_t)(slash - text) : strlen(text);
	struct prefix p = { .bits = 128 };
	uint64_t bits;
	bool v4;

	if (len >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, len);
	host[len] = '\0';
	if (ip_parse(host, p.ip) < 0)
		return -EINVAL;
	v4 = strchr(host, ':') == NULL;
	if (slash) {
		if (util_parse_u64(slash + 1, v4 ? 32 : 128, &bits) < 0)
			return -EINVAL;
		p.bits = (uint8_t)(bits + (v4 ? 96 : 0));
	}
	for (unsigned i = p.bits; i < 128; i++) {
		if (p.ip[i / 8] >> (7 - i % 8) & 1)
			return -EINVAL;
	}
	*ret = p;
	return 0;
}

bool prefix_has(const struct prefix *p, const uint8_t ip[16])
{
	unsigned whole = p->bits / 8, rest = p->bits % 8;

	/* IPv4 is kept within IPv6, but all of IPv6 does not mean it */
	if (p->bits < 96 && addr_is_v4(ip))
		return false;
	if (memcmp(p->ip, ip, whole) != 0)
		return false;
	return rest == 0 || (uint8_t)((p->ip[whole] ^ ip[whole]) >> (8 - rest)) == 0;
}

int addr_parse_ip(const char *text, uint8_t ret[16])
{
	size_t len = strlen(text);
	char host[INET6_ADDRSTRLEN];
	struct prefix p;

	if (len > 1 && text[0] == '[' && text[len - 1] == ']') {
		text++;
		len -= 2;
	}
	if (len >= sizeof(host) || memchr(text, '/', len))
		return -EINVAL;
	memcpy(host, text, len);
	host[len] = '\0';
	if (prefix_parse(host, &p) < 0)
		return -EINVAL;
	memcpy(ret, p.ip, 16);
	return 0;
}
