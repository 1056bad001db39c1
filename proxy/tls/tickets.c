/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "tls/tickets.h"

enum { LAST, CURRENT, NEXT, KEYS };

static struct ticket_key keys[KEYS];
static bool have[KEYS];
static int64_t since_ms;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static bool make(int which)
{
	have[which] =
		RAND_priv_bytes((unsigned char *)&keys[which], sizeof(keys[which])) == 1;
	return have[which];
}

int tickets_current(struct ticket_key *ret)
{
	int err = 0;

	pthread_mutex_lock(&lock);
	if (!have[CURRENT] && (!make(CURRENT) || !make(NEXT)))
		err = -EIO;
	*ret = keys[CURRENT];
	pthread_mutex_unlock(&lock);
	return err;
}

bool tickets_find(const uint8_t name[16], struct ticket_key *ret, bool *old)
{
	bool found = false;

	pthread_mutex_lock(&lock);
	for (int i = 0; i < KEYS && !found; i++) {
		if (!have[i] || CRYPTO_memcmp(keys[i].name, name, 16) != 0)
			continue;
		*ret = keys[i];
		*old = i != CURRENT;
		found = true;
	}
	pthread_mutex_unlock(&lock);
	return found;
}

void tickets_rotate(int64_t now_ms)
{
	pthread_mutex_lock(&lock);
	if (!since_ms)
		since_ms = now_ms;
	if (have[CURRENT] && now_ms - since_ms >= TICKETS_LIFE_MS) {
		since_ms = now_ms;
		keys[LAST] = keys[CURRENT];
		have[LAST] = true;
		keys[CURRENT] = keys[NEXT];
		have[CURRENT] = have[NEXT];
		(void)make(NEXT);
	}
	pthread_mutex_unlock(&lock);
}

void tickets_export(struct ticket_ring *ret)
{
	memset(ret, 0, sizeof(*ret));
	pthread_mutex_lock(&lock);
	ret->since_ms = since_ms;
	for (int i = 0; i < KEYS; i++) {
		ret->have[i] = have[i];
		if (have[i])
			ret->keys[i] = keys[i];
	}
	pthread_mutex_unlock(&lock);
}

void tickets_import(const struct ticket_ring *ring)
{
	pthread_mutex_lock(&lock);
	since_ms = ring->since_ms;
	for (int i = 0; i < KEYS; i++) {
		have[i] = ring->have[i];
		keys[i] = ring->keys[i];
	}
	pthread_mutex_unlock(&lock);
}

void tickets_clear(void)
{
	pthread_mutex_lock(&lock);
	OPENSSL_cleanse(keys, sizeof(keys));
	memset(have, 0, sizeof(have));
	since_ms = 0;
	pthread_mutex_unlock(&lock);
}
