/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "backend/loops.h"
#include "base/host.h"
#include "base/util.h"
#include "net/sock.h"

#define BUCKETS 1024

struct entry {
	struct entry *next;
	struct addr from;
	unsigned hops;
};

static uint8_t ports[65536 / 8]; /* relaxed atomic */
static bool asked;		 /* relaxed atomic */
static struct host_addresses own;
static pthread_rwlock_t own_lock = PTHREAD_RWLOCK_INITIALIZER;
static unsigned entries; /* relaxed atomic: mostly there are none */
static struct entry *buckets[BUCKETS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of the buckets */

void loops_listen(const struct addr *addrs, unsigned n)
{
	uint8_t fresh[sizeof(ports)] = { 0 };

	for (unsigned i = 0; i < n; i++)
		fresh[ntohs(addrs[i].port) / 8] |=
			(uint8_t)(1 << ntohs(addrs[i].port) % 8);
	for (size_t i = 0; i < sizeof(ports); i++)
		__atomic_store_n(&ports[i], fresh[i], __ATOMIC_RELAXED);
	__atomic_store_n(&asked, true, __ATOMIC_RELAXED);
	loops_look();
}

void loops_look(void)
{
	struct host_addresses fresh, old;

	if (!__atomic_exchange_n(&asked, false, __ATOMIC_RELAXED))
		return;
	if (host_addresses_read(&fresh) < 0)
		return; /* those of before are the best there is */
	pthread_rwlock_wrlock(&own_lock);
	old = own;
	own = fresh;
	pthread_rwlock_unlock(&own_lock);
	host_addresses_free(&old);
}

bool loops_is_near(const struct addr *to)
{
	uint16_t port = ntohs(to->port);
	bool near;

	if (!(__atomic_load_n(&ports[port / 8], __ATOMIC_RELAXED) >> port % 8 & 1))
		return false;
	if (!__atomic_load_n(&asked, __ATOMIC_RELAXED))
		__atomic_store_n(&asked, true, __ATOMIC_RELAXED);
	if (addr_is_any(to->ip))
		return true; /* loopback, see tcp_v4_connect() */
	pthread_rwlock_rdlock(&own_lock);
	near = host_addresses_has(&own, to->ip);
	pthread_rwlock_unlock(&own_lock);
	return near;
}

static struct entry **find(const struct addr *from)
{
	struct entry **p = &buckets[util_hash(from, sizeof(*from)) % BUCKETS];

	while (*p && memcmp(&(*p)->from, from, sizeof(*from)) != 0)
		p = &(*p)->next;
	return p;
}

static void set_loopback(uint8_t ip[16])
{
	bool v4 = addr_is_v4(ip);

	if (v4)
		ip[12] = 127;
	ip[15] = 1;
}

/*
 * Give it the address that it will have: its route's source, or of a connection within
 * this host that of its other end.
 */
static int bind_port(int fd, const struct addr *to, struct addr *ret)
{
	static const int off = 0;
	struct sockaddr_storage ss;
	int err = sock_local(fd, ret);
	socklen_t len;

	if (err)
		return err;
	if (addr_is_any(ret->ip))
		memcpy(ret->ip, to->ip, sizeof(ret->ip));
	if (addr_is_any(ret->ip))
		set_loopback(ret->ip);
	len = addr_to_sockaddr(ret, &ss);
	/* of a source the port is not chosen before it is connected, see socket.c */
	(void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &off, sizeof(off));
	return bind(fd, (struct sockaddr *)&ss, len) < 0 ? -errno : sock_local(fd, ret);
}

int loops_enter(int fd, const struct addr *to, unsigned hops)
{
	struct entry *e, **p;
	struct addr from;
	int err = bind_port(fd, to, &from);

	if (err)
		return err;
	e = calloc(1, sizeof(*e));
	if (!e)
		return -ENOMEM;
	e->from = from;
	e->hops = hops;
	pthread_mutex_lock(&lock);
	p = find(&from);
	if (*p) /* nobody can have it still */
		e->next = (*p)->next;
	else
		__atomic_fetch_add(&entries, 1, __ATOMIC_RELAXED);
	free(*p);
	*p = e;
	pthread_mutex_unlock(&lock);
	return 0;
}

void loops_leave(int fd)
{
	struct entry **p, *e;
	struct addr from;

	if (sock_local(fd, &from) < 0)
		return; /* it was bound, and is open */
	pthread_mutex_lock(&lock);
	p = find(&from);
	e = *p;
	if (e) {
		*p = e->next;
		free(e);
		__atomic_fetch_sub(&entries, 1, __ATOMIC_RELAXED);
	}
	pthread_mutex_unlock(&lock);
}

unsigned loops_hops(const struct addr *from)
{
	struct entry *e;
	unsigned hops;

	if (!__atomic_load_n(&entries, __ATOMIC_RELAXED))
		return 0;
	pthread_mutex_lock(&lock);
	e = *find(from);
	hops = e ? e->hops : 0;
	pthread_mutex_unlock(&lock);
	return hops;
}
