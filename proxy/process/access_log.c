/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/util.h"
#include "http/access.h"
#include "http/worker.h"
#include "process/access_log.h"

#define LOOK_MS 100  /* how late a line may be */
#define FULL_MS 100  /* how long a pipe may be full, until lines are lost */
#define SWAP_MS 1000 /* how long a new file waits for the old one's last lines */
#define PART	65536

/* Where lines go. */
struct access_file {
	int fd;			  /* -1: nowhere */
	char *path;		  /* malloc */
	uint64_t size, max_bytes; /* max_bytes 0: it grows for ever */
	unsigned keep;
};

struct access_log {
	struct proxy *proxy;
	struct access_ring **rings; /* one a worker */
	uint64_t *lost;		    /* of each, that was counted */
	pthread_t thread;
	bool started;
	/* the thread's alone */
	struct access_file file;
	bool torn; /* its last line has no end */
	bool full; /* in this turn it has been waited for once, in vain */
	char part[PART];
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t wake, swapped;
	bool stop;
	bool has_next;
	struct access_file next;
};

static void close_file(struct access_file *f)
{
	if (f->fd >= 0)
		close(f->fd);
	free(f->path);
	*f = (struct access_file){ .fd = -1 };
}

/* Bytes of what was written; the rest has found no place, and *err says why. */
static size_t write_some(struct access_log *a, const char *text, size_t n, int *err)
{
	size_t done = 0;

	*err = 0;
	while (done < n && !*err) {
		struct pollfd p = { .fd = a->file.fd, .events = POLLOUT };
		ssize_t k = write(a->file.fd, text + done, n - done);

		if (k >= 0)
			done += (size_t)k;
		else if (errno == EAGAIN && (a->full || poll(&p, 1, FULL_MS) <= 0))
			*err = EAGAIN;
		else if (errno != EINTR && errno != EAGAIN)
			*err = errno;
	}
	a->full |= *err == EAGAIN;
	a->file.size += done;
	return done;
}

static uint64_t lines(const char *p, size_t n)
{
	uint64_t count = 0;

	for (size_t i = 0; i < n; i++)
		count += p[i] == '\n';
	return count;
}

/* Whole lines.  A disk, or a pipe, that is full loses some. */
static void write_lines(struct access_log *a, const char *p, size_t n)
{
	size_t done = 0;
	int err = 0;

	if (a->torn)
		a->torn = write_some(a, "\n", 1, &err) == 0;
	if (!a->torn)
		done = write_some(a, p, n, &err);
	if (done)
		a->torn = p[done - 1] != '\n';
	if (done == n)
		return;
	log_limited(LOG_WARN, "the access log: %s", strerror(err));
	book_add(&a->proxy->state->access_lost, lines(p + done, n - done));
}

/* --- a file that is large enough --- */

static int open_path(const char *path)
{
	int fd = open(path,
		      O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
		      0640);

	return fd < 0 ? -errno : fd;
}

/* FILE.1 becomes FILE.2, and so on; what was FILE.keep is gone. */
static int shift(const struct access_file *f)
{
	char from[PATH_MAX], to[PATH_MAX];

	for (unsigned i = f->keep; i-- > 0;) {
		int n = snprintf(to, sizeof(to), "%s.%u", f->path, i + 1);
		int m = i ? snprintf(from, sizeof(from), "%s.%u", f->path, i)
			  : snprintf(from, sizeof(from), "%s", f->path);

		if (n >= PATH_MAX || m >= PATH_MAX)
			return -ENAMETOOLONG;
		if (rename(from, to) < 0 && errno != ENOENT)
			return -errno;
	}
	return 0;
}

/* The file behind its name is another by now: it was put aside by somebody else. */
static bool is_elsewhere(const struct access_file *f)
{
	struct stat own, named;

	return fstat(f->fd, &own) < 0 || stat(f->path, &named) < 0 ||
	       own.st_dev != named.st_dev || own.st_ino != named.st_ino;
}

/* The new one is there before the old ones move: nothing is lost by a shortage. */
static int replace(const struct access_file *f, int *ret)
{
	char fresh[PATH_MAX];
	int err, fd;

	if (snprintf(fresh, sizeof(fresh), "%s.new", f->path) >= PATH_MAX)
		return -ENAMETOOLONG;
	fd = open_path(fresh);
	if (fd < 0)
		return fd;
	err = shift(f);
	if (!err && rename(fresh, f->path) < 0)
		err = -errno;
	if (err) {
		(void)unlink(fresh);
		close(fd);
		return err;
	}
	*ret = fd;
	return 0;
}

/* To the file that has the name now, however large that is. */
static int follow_name(struct access_file *f)
{
	int fd = open_path(f->path);
	struct stat st;

	if (fd < 0)
		return fd;
	close(f->fd);
	f->fd = fd;
	f->size = fstat(fd, &st) == 0 ? (uint64_t)st.st_size : 0;
	return 0;
}

/* Between two lines.  Where it cannot be done the file goes on, and it is tried later. */
static void put_aside(struct access_log *a)
{
	struct access_file *f = &a->file;
	int fd, err;

	if (!f->max_bytes || f->size < f->max_bytes || a->torn)
		return;
	f->size = 0;
	if (is_elsewhere(f)) {
		err = follow_name(f);
	} else {
		err = replace(f, &fd);
		if (!err) {
			close(f->fd);
			f->fd = fd;
		}
	}
	if (err)
		log_limited(LOG_WARN, "the access log %s cannot be put aside: %s",
			    f->path, strerror(-err));
}

/* What a ring has now; what comes meanwhile is the next turn's. */
static void drain_ring(struct access_log *a, struct access_ring *r)
{
	uint64_t to = __atomic_load_n(&r->head, __ATOMIC_ACQUIRE);
	size_t n;

	while (r->tail < to && (n = access_take(r, a->part, sizeof(a->part))) > 0) {
		if (a->file.fd < 0)
			continue;
		write_lines(a, a->part, n);
		put_aside(a);
	}
}

static void drain(struct access_log *a)
{
	a->full = false;
	for (unsigned i = 0; i < a->proxy->workers_n; i++) {
		struct access_ring *r = a->rings[i];
		uint64_t lost = __atomic_load_n(&r->lost, __ATOMIC_RELAXED);

		drain_ring(a, r);
		if (lost > a->lost[i])
			book_add(&a->proxy->state->access_lost, lost - a->lost[i]);
		a->lost[i] = lost;
	}
}

static bool is_same_file(int a, int b)
{
	struct stat x, y;

	return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev &&
	       x.st_ino == y.st_ino;
}

/* What there was went where it belongs; from here on there.  Under the lock. */
static void swap(struct access_log *a)
{
	int err;

	if (!a->has_next)
		return;
	if (a->torn && write_some(a, "\n", 1, &err) == 1)
		a->torn = false;
	a->torn = a->torn && a->next.fd >= 0 && is_same_file(a->file.fd, a->next.fd);
	close_file(&a->file);
	a->file = a->next;
	a->next = (struct access_file){ .fd = -1 };
	a->has_next = false;
	/* it may have been put aside since it was opened; else it goes on where it is */
	if (a->file.max_bytes && is_elsewhere(&a->file))
		(void)follow_name(&a->file);
	pthread_cond_signal(&a->swapped);
}

static struct timespec in_ms(long ms)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_nsec += ms % 1000 * 1000000;
	t.tv_sec += ms / 1000 + t.tv_nsec / 1000000000;
	t.tv_nsec %= 1000000000;
	return t;
}

static void *run(void *arg)
{
	struct access_log *a = arg;
	bool stop = false;

	pthread_mutex_lock(&a->lock);
	while (!stop) {
		struct timespec until = in_ms(LOOK_MS);

		if (!a->has_next && !a->stop)
			(void)pthread_cond_timedwait(&a->wake, &a->lock, &until);
		stop = a->stop;
		pthread_mutex_unlock(&a->lock);
		drain(a); /* a file may be slow: nobody waits for the lock meanwhile */
		pthread_mutex_lock(&a->lock);
		swap(a);
	}
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
	a->file.fd = a->next.fd = -1;
	pthread_mutex_init(&a->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&a->wake, &monotonic);
	pthread_cond_init(&a->swapped, &monotonic);
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

/* To the thread; it is the file in use when this is over, or soon. */
static void hand_over(struct access_log *a, struct access_file *f)
{
	struct timespec until = in_ms(SWAP_MS);
	int err = 0;

	pthread_mutex_lock(&a->lock);
	close_file(&a->next);
	a->next = *f;
	a->has_next = true;
	pthread_cond_signal(&a->wake);
	while (a->has_next && !err)
		err = pthread_cond_timedwait(&a->swapped, &a->lock, &until);
	pthread_mutex_unlock(&a->lock);
}

/* Only what is a file of its own can be put aside. */
static int open_file(const struct access_settings *s, struct access_file *ret)
{
	struct stat st;
	int fd = open_path(s->file);

	if (fd < 0)
		return fd;
	*ret = (struct access_file){ .fd = fd,
				     .path = strdup(s->file),
				     .keep = s->keep_n };
	if (!ret->path) {
		close_file(ret);
		return -ENOMEM;
	}
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
		ret->size = (uint64_t)st.st_size;
		ret->max_bytes = s->max_bytes;
	}
	return 0;
}

int access_log_open(struct access_log *a, const struct access_settings *s)
{
	struct access_file f = { .fd = -1 };
	int err = s ? open_file(s, &f) : 0;

	if (!err && s && !a->started)
		err = begin(a);
	if (err) {
		close_file(&f);
		return err;
	}
	if (a->started)
		hand_over(a, &f);
	for (unsigned i = 0; i < a->proxy->workers_n; i++)
		__atomic_store_n(&a->proxy->workers[i].http->log, s ? a->rings[i] : NULL,
				 __ATOMIC_RELEASE);
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
	close_file(&a->file);
	close_file(&a->next);
	for (unsigned i = 0; a->rings && i < a->proxy->workers_n; i++)
		free(a->rings[i]);
	free(a->rings);
	free(a->lost);
	free(a);
}
