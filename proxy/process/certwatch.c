/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/util.h"
#include "process/certwatch.h"

#define EVENTS (IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE)

struct watched_file {
	int wd; /* of its folder */
	char *name;
};

struct certwatch {
	struct ev_loop *loop;
	struct ev_io io;
	struct ev_timer quiet;
	int fd;
	void (*fn)(void *arg);
	void *arg;
	struct watched_file *files;
	unsigned n;
};

static bool is_ours(const struct certwatch *w, const struct inotify_event *e)
{
	for (unsigned i = 0; i < w->n && e->len; i++) {
		if (w->files[i].wd == e->wd && strcmp(w->files[i].name, e->name) == 0)
			return true;
	}
	return (e->mask & IN_Q_OVERFLOW) != 0;
}

static void on_events(struct ev_io *io, uint32_t events)
{
	struct certwatch *w = container_of(io, struct certwatch, io);
	char buf[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	bool any = false;
	ssize_t n;

	(void)events;
	while ((n = read(w->fd, buf, sizeof(buf))) > 0) {
		const struct inotify_event *e;

		for (char *p = buf; p < buf + n; p += sizeof(*e) + e->len) {
			e = (const struct inotify_event *)p;
			any |= is_ours(w, e);
		}
	}
	if (any)
		ev_timer_set(w->loop, &w->quiet, CERTWATCH_QUIET_MS);
}

static void on_quiet(struct ev_timer *timer)
{
	struct certwatch *w = container_of(timer, struct certwatch, quiet);

	w->fn(w->arg);
}

int certwatch_new(struct ev_loop *loop, void (*fn)(void *arg), void *arg,
		  struct certwatch **ret)
{
	struct certwatch *w = calloc(1, sizeof(*w));
	int err;

	if (!w)
		return -ENOMEM;
	*w = (struct certwatch){ .loop = loop,
				 .io = { .fd = -1, .fn = on_events },
				 .quiet = { .fn = on_quiet },
				 .fn = fn,
				 .arg = arg };
	w->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	err = w->fd < 0 ? -errno : ev_io_add(loop, &w->io, w->fd, EPOLLIN);
	if (err) {
		certwatch_free(w);
		return err;
	}
	*ret = w;
	return 0;
}

static void forget(struct certwatch *w)
{
	for (unsigned i = 0; i < w->n; i++)
		free(w->files[i].name);
	free(w->files);
	w->files = NULL;
	w->n = 0;
}

void certwatch_free(struct certwatch *w)
{
	if (!w)
		return;
	forget(w);
	ev_timer_del(w->loop, &w->quiet);
	ev_io_del(w->loop, &w->io);
	if (w->fd >= 0)
		close(w->fd);
	free(w);
}

static int add(struct certwatch *w, const char *path)
{
	char *folder = path ? strdup(path) : NULL, *file = path ? strdup(path) : NULL;
	struct watched_file *more;
	int wd, err = 0;

	if (!path)
		return 0;
	more = reallocarray(w->files, w->n + 1, sizeof(*more));
	if (more)
		w->files = more;
	if (!more || !folder || !file) {
		free(folder);
		free(file);
		return -ENOMEM;
	}
	wd = inotify_add_watch(w->fd, dirname(folder), EVENTS);
	if (wd < 0)
		err = -errno;
	else
		w->files[w->n++] = (struct watched_file){ wd, strdup(basename(file)) };
	free(folder);
	free(file);
	return err;
}

static int add_backend_tls(struct certwatch *w, const struct backend_tls *b)
{
	int err = b ? add(w, b->ca) : 0;

	if (b && !err)
		err = add(w, b->certificate);
	return b && !err ? add(w, b->key) : err;
}

/* A folder that is watched already has the same number (inotify_add_watch(2)). */
int certwatch_set(struct certwatch *w, const struct config *c)
{
	int err = 0, one;

	forget(w);
	for (unsigned i = 0; i < c->listeners_count; i++) {
		const struct listener *l = &c->listeners[i];

		for (unsigned k = 0; k < l->certificates_count; k++) {
			one = add(w, l->certificates[k].certificate);
			if (!one)
				one = add(w, l->certificates[k].key);
			err = err ? err : one;
		}
		for (unsigned k = 0; k < l->routes_count; k++) {
			one = add_backend_tls(w, l->routes[k].backend_tls);
			err = err ? err : one;
		}
	}
	return err;
}
