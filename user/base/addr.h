/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USER_BASE_ADDR_H
#define USER_BASE_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define ADDR_STR_MAX (INET6_ADDRSTRLEN + 9) /* "[...]:65535" and NUL */

/* An IP address and port; IPv4 is kept as v4-mapped IPv6, network byte order. */
struct addr {
	uint8_t ip[16];
	in_port_t port; /* network order */
};

/* A network: the first `bits` of `ip` (v4 prefixes are 96 bits longer). */
struct prefix {
	uint8_t ip[16];
	uint8_t bits;
};

bool addr_is_v4(const uint8_t ip[16]);
bool addr_is_any(const uint8_t ip[16]);

/* "1.2.3.4:80", "[::1]:80".  0, or -EINVAL with *ret untouched. */
int addr_parse(const char *text, struct addr *ret);

/* "1.2.3.4", "::1" or "[::1]", without a port.  0, or -EINVAL with *ret untouched. */
int addr_parse_ip(const char *text, uint8_t ret[16]);

/* Write "1.2.3.4:80" or "[::1]:80" into buf; returns buf. */
char *addr_format(const struct addr *a, char buf[ADDR_STR_MAX]);

/* From and to the kernel's structures.  addr_to_sockaddr returns the length used. */
void addr_from_sockaddr(const struct sockaddr *sa, struct addr *ret);
socklen_t addr_to_sockaddr(const struct addr *a, struct sockaddr_storage *ret);

/* "10.0.0.0/8", "2001:db8::/32", or one address.  0, or -EINVAL (also for host bits set).
 */
int prefix_parse(const char *text, struct prefix *ret);

/* A prefix of IPv6, "::/0" too, has no IPv4 address. */
bool prefix_has(const struct prefix *p, const uint8_t ip[16]);

#endif
