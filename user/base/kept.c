/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/kept.h"
#include "base/util.h"

struct kept {
	uint64_t secrets[2][2];
	pthread_mutex_t lock; /* of what follows */
	struct kept_mark marks[KEPT_MAX];
};

struct kept *kept_new(void)
{
	struct kept *k = calloc(1, sizeof(*k));

	if (!k || getrandom(k->secrets, sizeof(k->secrets), 0) != sizeof(k->secrets)) {
		free(k);
		return NULL;
	}
	pthread_mutex_init(&k->lock, NULL);
	return k;
}

void kept_free(struct kept *k)
{
	if (k)
		pthread_mutex_destroy(&k->lock);
	free(k);
}

struct kept_mark kept_mark(const struct kept *k, const struct kept_part *parts,
			   unsigned n)
{
	uint64_t hash[2] = { 0, 0 };

	for (int i = 0; i < 2; i++) {
		for (unsigned p = 0; p < n; p++) {
			const uint64_t both[] = { hash[i], util_hash_keyed(k->secrets[i],
									   parts[p].bytes,
									   parts[p].n) };

			hash[i] = util_hash_keyed(k->secrets[i], both, sizeof(both));
		}
	}
	return (struct kept_mark){ hash[0], hash[1] };
}

bool kept_has(struct kept *k, struct kept_mark m)
{
	const struct kept_mark *at = &k->marks[m.a % KEPT_MAX];
	bool is;

	pthread_mutex_lock(&k->lock);
	is = at->a == m.a && at->b == m.b;
	pthread_mutex_unlock(&k->lock);
	return is;
}

void kept_add(struct kept *k, struct kept_mark m)
{
	pthread_mutex_lock(&k->lock);
	k->marks[m.a % KEPT_MAX] = m;
	pthread_mutex_unlock(&k->lock);
}
