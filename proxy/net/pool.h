/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pipes and buffers of one worker: held by who has bytes in them, and only as long.  Both
 * have a cap; beyond it bytes stay in the sender's socket, or, where they were read
 * already, are kept all the same rather than lost.
 */
#ifndef PROXY_NET_POOL_H
#define PROXY_NET_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/types.h>

#define POOL_PIPE_BYTES	  (256 * 1024)
#define POOL_BUFFER_BYTES (16 * 1024)

/* A pipe and the bytes in it. */
struct pool_pipe {
	int fds[2]; /* read end, write end */
	size_t fill;
	struct pool_pipe *next; /* in the pool */
};

/* Bytes from `start` to `end` were read and not written yet. */
struct pool_buffer {
	struct pool_buffer *next; /* in the pool */
	size_t *counted;	  /* its size is part of this (relaxed atomic), or NULL */
	size_t start, end, cap;
	uint8_t data[]; /* cap; POOL_BUFFER_BYTES of all that are pooled */
};

struct outbox;

/* One a worker. */
struct pool {
	struct outbox *outbox;	 /* NULL: all is sent at once */
	unsigned queued;	 /* items in it, each of which may want a buffer */
	struct pool_pipe *pipes; /* idle */
	struct pool_buffer *buffers;
	unsigned pipes_held, buffers_held; /* that exist, idle or not */
	unsigned pipes_max, buffers_max;
	/* of all workers; relaxed atomic */
	__u64 *pipes_gauge, *buffers_gauge;
};

/* 0, or -ENOMEM.  The gauges outlive the pool. */
int pool_open(struct pool *pool, unsigned pipes_max, unsigned buffers_max,
	      __u64 *pipes_gauge, __u64 *buffers_gauge);
void pool_close(struct pool *pool);

/* Give back what is not in use: descriptors or memory are needed elsewhere. */
void pool_trim(struct pool *pool);

/* The spare buffer, for one read; its content lasts until the next pool call. */
uint8_t *pool_scratch(struct pool *pool);

/* An empty pipe, or NULL: at the cap, or none is to be had. */
struct pool_pipe *pool_pipe_get(struct pool *pool);

/* One that has bytes in it still is destroyed: nobody else may get them. */
void pool_pipe_put(struct pool *pool, struct pool_pipe *p);

/* May the spare buffer be taken, because another can take its place? */
bool pool_has_buffer(struct pool *pool);

/* The spare buffer, as it was filled: n bytes of it; after pool_has_buffer() said yes. */
struct pool_buffer *pool_buffer_take(struct pool *pool, size_t n);

/* An empty one, behind the spare one; after pool_has_buffer() said yes. */
struct pool_buffer *pool_buffer_next(struct pool *pool);

/* An empty one of its own size, whatever the cap says.  NULL without memory. */
struct pool_buffer *pool_buffer_sized(struct pool *pool, size_t cap);

/*
 * A buffer that has these bytes: from the pool, or, beyond its cap or if they are more
 * than one takes, of their own size.  NULL without memory.
 */
struct pool_buffer *pool_buffer_of(struct pool *pool, const uint8_t *data, size_t n);
void pool_buffer_put(struct pool *pool, struct pool_buffer *b);

/*
 * A pipe (both its ends) from another process.  NULL without memory; the ends are closed
 * then.  Beyond the cap, but counted.
 */
struct pool_pipe *pool_pipe_adopt(struct pool *pool, const int fds[2], size_t fill);

#endif
