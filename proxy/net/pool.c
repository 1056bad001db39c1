/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/outbox.h"
#include "net/pool.h"

int pool_open(struct pool *pool, unsigned pipes_max, unsigned buffers_max,
	      __u64 *pipes_gauge, __u64 *buffers_gauge)
{
	*pool = (struct pool){ .pipes_max = pipes_max,
			       .buffers_max = buffers_max,
			       .pipes_gauge = pipes_gauge,
			       .buffers_gauge = buffers_gauge };
	/* the spare one, for as long as the pool lives */
	pool->buffers = calloc(1, sizeof(*pool->buffers) + POOL_BUFFER_BYTES);
	if (!pool->buffers)
		return -ENOMEM;
	pool->buffers->cap = POOL_BUFFER_BYTES;
	return 0;
}

void pool_close(struct pool *pool)
{
	if (!pool->buffers)
		return;
	pool_trim(pool);
	free(pool->buffers);
	pool->buffers = NULL;
	outbox_free(pool->outbox);
	pool->outbox = NULL;
}

uint8_t *pool_scratch(struct pool *pool)
{
	return pool->buffers->data;
}

/* --- pipes --- */

static void pipe_count(struct pool *pool, int by)
{
	pool->pipes_held += (unsigned)by;
	__atomic_fetch_add(pool->pipes_gauge, (__u64)by, __ATOMIC_RELAXED);
}

static void pipe_destroy(struct pool *pool, struct pool_pipe *p)
{
	close(p->fds[0]);
	close(p->fds[1]);
	free(p);
	pipe_count(pool, -1);
}

struct pool_pipe *pool_pipe_get(struct pool *pool)
{
	struct pool_pipe *p = pool->pipes;

	if (p) {
		pool->pipes = p->next;
		return p;
	}
	if (pool->pipes_held >= pool->pipes_max)
		return NULL;
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	if (pipe2(p->fds, O_NONBLOCK | O_CLOEXEC) < 0) {
		free(p);
		return NULL;
	}
	/* refused past the user's soft limit (pipe(7)): the default size serves too */
	(void)fcntl(p->fds[1], F_SETPIPE_SZ, POOL_PIPE_BYTES);
	pipe_count(pool, 1);
	return p;
}

void pool_pipe_put(struct pool *pool, struct pool_pipe *p)
{
	if (p->fill > 0) {
		pipe_destroy(pool, p);
		return;
	}
	p->next = pool->pipes;
	pool->pipes = p;
}

struct pool_pipe *pool_pipe_adopt(struct pool *pool, const int fds[2], size_t fill)
{
	struct pool_pipe *p = calloc(1, sizeof(*p));

	if (!p) {
		close(fds[0]);
		close(fds[1]);
		return NULL;
	}
	*p = (struct pool_pipe){ .fds = { fds[0], fds[1] }, .fill = fill };
	pipe_count(pool, 1);
	return p;
}

/* --- buffers --- */

static struct pool_buffer *buffer_new(struct pool *pool, size_t cap)
{
	struct pool_buffer *b = malloc(sizeof(*b) + cap);

	if (!b)
		return NULL;
	b->next = NULL;
	b->counted = NULL;
	b->cap = cap;
	pool->buffers_held++;
	__atomic_fetch_add(pool->buffers_gauge, 1, __ATOMIC_RELAXED);
	return b;
}

static void buffer_destroy(struct pool *pool, struct pool_buffer *b)
{
	free(b);
	pool->buffers_held--;
	__atomic_fetch_sub(pool->buffers_gauge, 1, __ATOMIC_RELAXED);
}

bool pool_has_buffer(struct pool *pool)
{
	if (!pool->buffers->next && pool->buffers_held < pool->buffers_max)
		pool->buffers->next = buffer_new(pool, POOL_BUFFER_BYTES);
	return pool->buffers->next != NULL;
}

struct pool_buffer *pool_buffer_take(struct pool *pool, size_t n)
{
	struct pool_buffer *b = pool->buffers;

	pool->buffers = b->next;
	b->start = 0;
	b->end = n;
	return b;
}

struct pool_buffer *pool_buffer_of(struct pool *pool, const uint8_t *data, size_t n)
{
	struct pool_buffer *b;

	/* not the spare one: it may be what is being copied, or be filled by our caller
	 */
	if (n <= POOL_BUFFER_BYTES && pool_has_buffer(pool)) {
		b = pool->buffers->next;
		pool->buffers->next = b->next;
	} else {
		b = buffer_new(pool, n);
	}
	if (!b)
		return NULL;
	memcpy(b->data, data, n);
	b->start = 0;
	b->end = n;
	return b;
}

struct pool_buffer *pool_buffer_next(struct pool *pool)
{
	struct pool_buffer *b = pool->buffers->next;

	pool->buffers->next = b->next;
	b->start = b->end = 0;
	return b;
}

struct pool_buffer *pool_buffer_sized(struct pool *pool, size_t cap)
{
	/* another size than the pool's, or it would become one of them */
	struct pool_buffer *b =
		buffer_new(pool, cap == POOL_BUFFER_BYTES ? cap + 1 : cap);

	if (b)
		b->start = b->end = 0;
	return b;
}

void pool_buffer_put(struct pool *pool, struct pool_buffer *b)
{
	if (b->counted)
		__atomic_fetch_sub(b->counted, b->cap, __ATOMIC_RELAXED);
	b->counted = NULL;
	if (b->cap != POOL_BUFFER_BYTES) {
		buffer_destroy(pool, b);
		return;
	}
	b->next = pool->buffers->next; /* who reads into the spare one goes on */
	pool->buffers->next = b;
}

void pool_trim(struct pool *pool)
{
	while (pool->pipes) {
		struct pool_pipe *p = pool->pipes;

		pool->pipes = p->next;
		pipe_destroy(pool, p);
	}
	while (pool->buffers->next) {
		struct pool_buffer *b = pool->buffers->next;

		pool->buffers->next = b->next;
		buffer_destroy(pool, b);
	}
}
