/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/sandbox.h"
#include "base/util.h"
#include "process/certwatch.h"
#include "tls/cert_files.h"

#define EVENTS (IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE)

struct certwatch {
	struct ev_loop *loop;
	struct ev_io io;
	struct ev_timer quiet;
	int fd;
	void (*fn)(void *arg);
	void *arg;
	char **files;
	unsigned n;
	uint64_t mark; /* of the files that were read */
};

static bool have_changed(const struct certwatch *w)
{
	uint64_t mark = 0;

	for (unsigned i = 0; i < w->n; i++)
		mark = cert_files_mark(mark, w->files[i]);
	return mark != w->mark;
}

static void on_events(struct ev_io *io, uint32_t events)
{
	struct certwatch *w = container_of(io, struct certwatch, io);
	char buf[4096] __attribute__((aligned(__alignof__(struct inotify_event))));

	(void)events;
	while (read(w->fd, buf, sizeof(buf)) > 0) /* which of them it was is not asked */
		;
	ev_timer_set(w->loop, &w->quiet, CERTWATCH_QUIET_MS);
}

static void on_quiet(struct ev_timer *timer)
{
	struct certwatch *w = container_of(timer, struct certwatch, quiet);
	bool changed;

	(void)sandbox_raise(CAP_DAC_READ_SEARCH); /* folders of keys are root's */
	changed = have_changed(w);
	(void)sandbox_lower(CAP_DAC_READ_SEARCH);
	if (changed)
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
		free(w->files[i]);
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

/* A folder that is watched already stays so (inotify_add_watch(2)). */
static int watch_folder(const struct certwatch *w, const char *path)
{
	char *folder = strdup(path);
	int err = 0;

	if (!folder)
		return -ENOMEM;
	if (inotify_add_watch(w->fd, dirname(folder), EVENTS) < 0)
		err = -errno;
	free(folder);
	return err;
}

struct adding {
	struct certwatch *w;
	int err; /* the first; the others are watched all the same */
};

static int add(void *arg, const char *path)
{
	struct adding *a = arg;
	char **more = reallocarray(a->w->files, a->w->n + 1, sizeof(*more));
	int err = -ENOMEM;

	if (more) {
		a->w->files = more;
		more[a->w->n] = strdup(path);
	}
	if (more && more[a->w->n]) {
		a->w->n++;
		err = watch_folder(a->w, path);
	}
	a->err = a->err ? a->err : err;
	return 0;
}

int certwatch_set(struct certwatch *w, const struct config *c)
{
	struct adding adding = { .w = w };

	forget(w);
	(void)cert_files_each(c, add, &adding);
	w->mark = c->files_mark;
	if (have_changed(w))
		ev_timer_set(w->loop, &w->quiet, CERTWATCH_QUIET_MS);
	return adding.err;
}
