/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/util.h"
#include "loops.h"

#define BUCKETS 1024

struct entry {
	struct entry *next;
	struct addr from;
	unsigned hops;
};

static uint8_t ports[65536 / 8]; /* relaxed atomic */
static unsigned entries;	 /* relaxed atomic: mostly there are none */
static struct entry *buckets[BUCKETS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void loops_listen(const struct addr *addrs, unsigned n)
{
	uint8_t fresh[sizeof(ports)] = { 0 };

	for (unsigned i = 0; i < n; i++)
		fresh[ntohs(addrs[i].port) / 8] |=
			(uint8_t)(1 << ntohs(addrs[i].port) % 8);
	for (size_t i = 0; i < sizeof(ports); i++)
		__atomic_store_n(&ports[i], fresh[i], __ATOMIC_RELAXED);
}

bool loops_is_near(const struct addr *to)
{
	uint16_t port = ntohs(to->port);

	return __atomic_load_n(&ports[port / 8], __ATOMIC_RELAXED) >> port % 8 & 1;
}

static struct entry **find(const struct addr *from)
{
	struct entry **p = &buckets[util_hash(from, sizeof(*from)) % BUCKETS];

	while (*p && memcmp(&(*p)->from, from, sizeof(*from)) != 0)
		p = &(*p)->next;
	return p;
}

/* The address it will have, for one that is not local there is none to bind to. */
static int bind_port(int fd, const struct addr *to, struct addr *ret)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct addr any = { .port = 0 };

	if (getsockname(fd, (struct sockaddr *)&ss, &len) < 0)
		return -errno;
	addr_from_sockaddr((struct sockaddr *)&ss, &any);
	if (!any.port) {
		if (addr_is_any(any.ip))
			memcpy(any.ip, to->ip, sizeof(any.ip));
		len = addr_to_sockaddr(&any, &ss);
		/* of loopback and of our own addresses the near end has the same */
		if (bind(fd, (struct sockaddr *)&ss, len) < 0)
			return -errno;
		len = sizeof(ss);
		if (getsockname(fd, (struct sockaddr *)&ss, &len) < 0)
			return -errno;
		addr_from_sockaddr((struct sockaddr *)&ss, &any);
	}
	*ret = any;
	return 0;
}

int loops_enter(int fd, const struct addr *to, unsigned hops, struct addr *ret)
{
	struct entry *e, **p;
	struct addr from;
	int err = bind_port(fd, to, &from);

	if (err)
		return err; /* another host's: it cannot come back by itself */
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
	*ret = from;
	return 0;
}

void loops_leave(const struct addr *from)
{
	struct entry **p, *e;

	pthread_mutex_lock(&lock);
	p = find(from);
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
