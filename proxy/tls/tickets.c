/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "tls/loading.h"
#include "tls/tickets.h"

enum { LAST, CURRENT, NEXT, KEYS };

static struct ticket_ring ring;
static struct ticket_key fleet[CONFIG_TICKET_KEYS_MAX];
static unsigned fleet_n;
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
	if (!fleet_n && !ring.have[CURRENT] && (!make(CURRENT) || !make(NEXT)))
		err = -EIO;
	*ret = fleet_n ? fleet[0] : ring.keys[CURRENT];
	pthread_mutex_unlock(&lock);
	return err;
}

bool tickets_find(const uint8_t name[16], struct ticket_key *ret, bool *old)
{
	bool found = false;

	pthread_mutex_lock(&lock);
	for (unsigned i = 0; i < fleet_n && !found; i++) {
		found = CRYPTO_memcmp(fleet[i].name, name, 16) == 0;
		*ret = fleet[i];
		*old = i > 0;
	}
	for (int i = 0; i < KEYS && !found; i++) {
		if (!ring.have[i] || CRYPTO_memcmp(ring.keys[i].name, name, 16) != 0)
			continue;
		*ret = ring.keys[i];
		*old = fleet_n || i != CURRENT;
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

void tickets_use(const struct ticket_key *keys, unsigned n)
{
	pthread_mutex_lock(&lock);
	OPENSSL_cleanse(fleet, sizeof(fleet));
	for (fleet_n = 0; fleet_n < n; fleet_n++)
		fleet[fleet_n] = keys[fleet_n];
	pthread_mutex_unlock(&lock);
}

static void release(struct config *c, void *arg)
{
	(void)arg;
	if (c->tickets)
		OPENSSL_cleanse(c->tickets, c->ticket_keys_count * sizeof(*c->tickets));
	free(c->tickets);
	c->tickets = NULL;
}

static int load_key(struct loading *l, const char *file, struct ticket_key *ret)
{
	struct stat st;
	char *text = NULL;
	size_t len;
	int err = loading_read(l, file, &text, &len);

	if (!err && len != sizeof(*ret))
		err = loading_wrong(l, file, "has %zu bytes, not 80 (openssl rand 80)",
				    len);
	if (!err) {
		memcpy(ret->name, text, sizeof(ret->name));
		memcpy(ret->mac, text + 16, sizeof(ret->mac));
		memcpy(ret->cipher, text + 48, sizeof(ret->cipher));
	}
	if (!err && stat(file, &st) == 0 && st.st_mode & 077)
		loading_warn(l, file, "others may read this key (mode %o)",
			     st.st_mode & 0777);
	if (text)
		OPENSSL_cleanse(text, len);
	free(text);
	return err;
}

int tickets_load(struct loading *l, struct config *c)
{
	int err = 0;

	if (!c->ticket_keys_count)
		return 0;
	c->tickets = calloc(c->ticket_keys_count, sizeof(*c->tickets));
	if (!c->tickets)
		return -ENOMEM;
	config_on_release(c, release, NULL);
	l->what = "ticket_keys";
	for (unsigned i = 0; i < c->ticket_keys_count && !err; i++)
		err = load_key(l, c->ticket_keys[i], &c->tickets[i]);
	return err;
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
	OPENSSL_cleanse(fleet, sizeof(fleet));
	fleet_n = 0;
	pthread_mutex_unlock(&lock);
}
