/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/util.h"
#include "http/access.h"
#include "http/worker.h"
#include "process/access_log.h"

#define LOOK_MS 100 /* how late a line may be */
#define PART	65536

struct access_log {
	struct proxy *proxy;
	struct access_ring **rings; /* one a worker */
	uint64_t *lost;		    /* of each, that was counted */
	pthread_t thread;
	bool started;
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t wake;
	bool stop;
	int fd; /* -1: none */
	char part[PART];
};

/* A disk that is full loses lines, too. */
static void write_all(struct access_log *a, const char *p, size_t n)
{
	while (n) {
		ssize_t k = write(a->fd, p, n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0) {
			log_limited(LOG_WARN, "the access log: %s", strerror(errno));
			book_add(&a->proxy->state->access_lost, 1);
			return;
		}
		p += k;
		n -= (size_t)k;
	}
}

/* All there is; under the lock. */
static void drain(struct access_log *a)
{
	for (unsigned i = 0; i < a->proxy->workers_n; i++) {
		struct access_ring *r = a->rings[i];
		uint64_t lost = __atomic_load_n(&r->lost, __ATOMIC_RELAXED);
		size_t n;

		while ((n = access_take(r, a->part, sizeof(a->part))) > 0) {
			if (a->fd >= 0)
				write_all(a, a->part, n);
		}
		if (lost > a->lost[i])
			book_add(&a->proxy->state->access_lost, lost - a->lost[i]);
		a->lost[i] = lost;
	}
}

static void *run(void *arg)
{
	struct access_log *a = arg;

	pthread_mutex_lock(&a->lock);
	while (!a->stop) {
		struct timespec until;

		(void)clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += LOOK_MS * 1000000L;
		until.tv_sec += until.tv_nsec / 1000000000L;
		until.tv_nsec %= 1000000000L;
		(void)pthread_cond_timedwait(&a->wake, &a->lock, &until);
		drain(a);
	}
	drain(a);
	pthread_mutex_unlock(&a->lock);
	return NULL;
}

struct access_log *access_log_new(struct proxy *p)
{
	struct access_log *a = calloc(1, sizeof(*a));
	pthread_condattr_t monotonic;

	if (!a)
		return NULL;
	a->proxy = p;
	a->fd = -1;
	pthread_mutex_init(&a->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&a->wake, &monotonic);
	pthread_condattr_destroy(&monotonic);
	a->rings = calloc(p->workers_n, sizeof(struct access_ring *));
	a->lost = calloc(p->workers_n, sizeof(*a->lost));
	if (a->rings && a->lost)
		return a;
	access_log_free(a);
	return NULL;
}

/* When it is wanted for the first time: a mebibyte for each worker. */
static int begin(struct access_log *a)
{
	for (unsigned i = 0; i < a->proxy->workers_n; i++) {
		a->rings[i] = aligned_alloc(64, (sizeof(**a->rings) + 63) / 64 * 64);
		if (!a->rings[i])
			return -ENOMEM;
		memset(a->rings[i], 0, offsetof(struct access_ring, bytes));
	}
	if (pthread_create(&a->thread, NULL, run, a) != 0)
		return -EAGAIN;
	a->started = true;
	return 0;
}

int access_log_open(struct access_log *a, const char *path)
{
	int fd = -1, err;

	if (path) {
		fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY,
			  0640);
		if (fd < 0)
			return -errno;
	}
	err = path && !a->started ? begin(a) : 0;
	if (err) {
		close(fd);
		return err;
	}
	pthread_mutex_lock(&a->lock);
	if (a->started)
		drain(a); /* what was before goes where it belongs */
	if (a->fd >= 0)
		close(a->fd);
	a->fd = fd;
	pthread_mutex_unlock(&a->lock);
	for (unsigned i = 0; i < a->proxy->workers_n; i++)
		__atomic_store_n(&a->proxy->workers[i].http->log,
				 path ? a->rings[i] : NULL, __ATOMIC_RELEASE);
	return 0;
}

void access_log_free(struct access_log *a)
{
	if (!a)
		return;
	if (a->started) {
		pthread_mutex_lock(&a->lock);
		a->stop = true;
		pthread_cond_signal(&a->wake);
		pthread_mutex_unlock(&a->lock);
		pthread_join(a->thread, NULL);
	}
	if (a->fd >= 0)
		close(a->fd);
	for (unsigned i = 0; a->rings && i < a->proxy->workers_n; i++)
		free(a->rings[i]);
	free(a->rings);
	free(a->lost);
	free(a);
}
