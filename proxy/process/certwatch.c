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

#define EVENTS (IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE | IN_DELETE | IN_MOVED_FROM)

struct certwatch {
	struct ev_loop *loop;
	struct ev_io io;
	struct ev_timer look;
	int64_t look_ms;
	bool soon; /* it is set for CERTWATCH_QUIET_MS */
	int fd;	   /* inotify; -1: without it */
	void (*fn)(void *arg);
	void *arg;
	struct config *config; /* a reference: whose files; NULL: none yet */
	uint64_t read;	       /* the mark of what the configuration has */
	uint64_t seen;	       /* that of the last look */
	uint64_t tried;	       /* what fn was last called for */
};

/*
 * A folder that is watched already stays so (inotify_add_watch(2)); of one that is not
 * there yet the next above it.
 */
static int watch_folder(void *arg, const char *path)
{
	const struct certwatch *w = arg;
	char *folder = strdup(path), *dir = NULL;
	int err;

	if (!folder)
		return -ENOMEM;
	do {
		dir = dirname(dir ? dir : folder);
		err = inotify_add_watch(w->fd, dir, EVENTS) < 0 ? -errno : 0;
	} while (err == -ENOENT && strchr(dir + 1, '/'));
	free(folder);
	return err;
}

struct watching {
	struct certwatch *w;
	unsigned n;
	int err; /* the first; the others are watched all the same */
};

static int watch_each(void *arg, const char *path)
{
	struct watching *a = arg;
	int err = a->w->fd < 0 ? 0 : watch_folder(a->w, path);

	a->n++;
	a->err = a->err ? a->err : err;
	return 0;
}

/* Folders that have come are watched from now on. */
static uint64_t look(struct certwatch *w, struct watching *ret)
{
	uint64_t mark;

	*ret = (struct watching){ .w = w };
	(void)sandbox_raise(CAP_DAC_READ_SEARCH); /* folders of keys are root's */
	(void)cert_files_each(w->config, watch_each, ret);
	mark = cert_files_mark(w->config);
	(void)sandbox_lower(CAP_DAC_READ_SEARCH);
	return mark;
}

static void look_in(struct certwatch *w, bool soon)
{
	w->soon = soon;
	ev_timer_set(w->loop, &w->look, soon ? CERTWATCH_QUIET_MS : w->look_ms);
}

/* Which file it was is not asked; one that changes all the time puts nothing off. */
static void on_events(struct ev_io *io, uint32_t events)
{
	struct certwatch *w = container_of(io, struct certwatch, io);
	char buf[4096] __attribute__((aligned(__alignof__(struct inotify_event))));

	(void)events;
	while (read(w->fd, buf, sizeof(buf)) > 0)
		;
	if (!w->soon)
		look_in(w, true);
}

/* What could not be read is not tried again for what happens beside it, but each look_ms.
 */
static void on_look(struct ev_timer *timer)
{
	struct certwatch *w = container_of(timer, struct certwatch, look);
	struct watching watching;
	uint64_t now = look(w, &watching);
	bool stays = now == w->seen, soon = w->soon;

	w->seen = now;
	look_in(w, !stays);
	if (!stays || now == w->read || (soon && now == w->tried))
		return;
	w->tried = now;
	w->fn(w->arg);
}

int certwatch_new(struct ev_loop *loop, int64_t look_ms, void (*fn)(void *arg), void *arg,
		  struct certwatch **ret)
{
	struct certwatch *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	*w = (struct certwatch){ .loop = loop,
				 .io = { .fd = -1, .fn = on_events },
				 .look = { .fn = on_look },
				 .look_ms = look_ms,
				 .fd = -1,
				 .fn = fn,
				 .arg = arg };
	*ret = w;
	return 0;
}

static void forget(struct certwatch *w)
{
	config_put(w->config);
	w->config = NULL;
	ev_timer_del(w->loop, &w->look);
	ev_io_del(w->loop, &w->io);
	if (w->fd >= 0)
		close(w->fd); /* and all its watches */
	w->fd = -1;
}

void certwatch_free(struct certwatch *w)
{
	if (!w)
		return;
	forget(w);
	free(w);
}

static int open_watch(struct certwatch *w)
{
	w->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	return w->fd < 0 ? -errno : ev_io_add(w->loop, &w->io, w->fd, EPOLLIN);
}

int certwatch_set(struct certwatch *w, struct config *c)
{
	struct watching watching;
	int err;

	forget(w);
	err = open_watch(w);
	w->config = config_get(c);
	w->read = w->tried = c->files_mark;
	w->seen = look(w, &watching);
	if (watching.n)
		look_in(w, w->seen != w->read);
	return err ? err : watching.err;
}
