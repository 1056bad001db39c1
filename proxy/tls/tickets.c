/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pthread.h>

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "tls/tickets.h"

enum { LAST, CURRENT, NEXT, KEYS };

static struct ticket_ring ring;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static bool make(int which)
{
	struct ticket_key *k = &ring.keys[which];

	ring.have[which] = RAND_priv_bytes((unsigned char *)k, sizeof(*k)) == 1;
	return ring.have[which];
}

int tickets_current(struct ticket_key *ret)
{
	int err = 0;

	pthread_mutex_lock(&lock);
	if (!ring.have[CURRENT] && (!make(CURRENT) || !make(NEXT)))
		err = -EIO;
	*ret = ring.keys[CURRENT];
	pthread_mutex_unlock(&lock);
	return err;
}

bool tickets_find(const uint8_t name[16], struct ticket_key *ret, bool *old)
{
	bool found = false;

	pthread_mutex_lock(&lock);
	for (int i = 0; i < KEYS && !found; i++) {
		if (!ring.have[i] || CRYPTO_memcmp(ring.keys[i].name, name, 16) != 0)
			continue;
		*ret = ring.keys[i];
		*old = i != CURRENT;
		found = true;
	}
	pthread_mutex_unlock(&lock);
	return found;
}

void tickets_rotate(int64_t now_ms)
{
	pthread_mutex_lock(&lock);
	if (!ring.since_ms)
		ring.since_ms = now_ms;
	if (ring.have[CURRENT] && now_ms - ring.since_ms >= TICKETS_LIFE_MS) {
		ring.since_ms = now_ms;
		for (int i = LAST; i < NEXT; i++) {
			ring.keys[i] = ring.keys[i + 1];
			ring.have[i] = ring.have[i + 1];
		}
		(void)make(NEXT);
	}
	pthread_mutex_unlock(&lock);
}

void tickets_export(struct ticket_ring *ret)
{
	pthread_mutex_lock(&lock);
	*ret = ring;
	pthread_mutex_unlock(&lock);
}

void tickets_import(const struct ticket_ring *from)
{
	pthread_mutex_lock(&lock);
	ring = *from;
	pthread_mutex_unlock(&lock);
}

void tickets_clear(void)
{
	pthread_mutex_lock(&lock);
	OPENSSL_cleanse(&ring, sizeof(ring));
	pthread_mutex_unlock(&lock);
}
