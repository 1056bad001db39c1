/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Moving bytes from one socket to another by splice(2) through a pooled pipe.  A pipe is
 * held only while bytes are in it; when no pipe is to be had, bytes are peeked, sent and
 * then taken, so that a shortage slows the relay but never stops or loses anything.
 */
#ifndef PROXY_RELAY_H
#define PROXY_RELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <linux/types.h>

#define RELAY_PIPE_BYTES    (256 * 1024)
#define RELAY_SCRATCH_BYTES (64 * 1024)

/* A pipe and the bytes in it. */
struct relay_pipe {
	int fds[2]; /* read end, write end */
	size_t fill;
	struct relay_pipe *next; /* in the pool */
};

/* One a worker. */
struct relay_pool {
	struct relay_pipe *idle;
	unsigned held; /* pipes that exist */
	unsigned max;
	__u64 *gauge;	  /* pipes of all workers; relaxed atomic */
	uint8_t *scratch; /* RELAY_SCRATCH_BYTES, for when there is no pipe */
};

/* 0, or -ENOMEM.  gauge outlives the pool. */
int relay_pool_init(struct relay_pool *pool, unsigned max, __u64 *gauge);
void relay_pool_done(struct relay_pool *pool);

/* Close the pipes that are not in use: descriptors are needed elsewhere. */
void relay_pool_trim(struct relay_pool *pool);

enum relay_result {
	RELAY_AGAIN_IN,	 /* the source has nothing now */
	RELAY_AGAIN_OUT, /* the destination takes nothing now */
	RELAY_EOF,	 /* the source has ended and everything was delivered */
	RELAY_BUDGET,	 /* there may be more: call again after others had their turn */
	RELAY_ERR_IN,	 /* the source failed, *ret->err says how */
	RELAY_ERR_OUT,	 /* the destination failed */
};

struct relay_moved {
	size_t in;  /* bytes taken from the source */
	size_t out; /* bytes given to the destination */
	int err;    /* negative errno with RELAY_ERR_* */
};

/*
 * Move up to about a budget's worth from src to dst.  *pipe is NULL or holds bytes of an
 * earlier call; it is taken from and returned to the pool as needed.  With `copy` splice
 * is not used: it stops for ever before TCP urgent data (tcp_read_sock() in the kernel),
 * which a plain read passes on as bytes of the stream if SO_OOBINLINE is set.
 * *ret is added to.
 */
enum relay_result relay_move(struct relay_pool *pool, struct relay_pipe **pipe, int src,
			     int dst, bool copy, struct relay_moved *ret);

/* Give a pipe back; one that still holds bytes is destroyed.  NULL is fine. */
void relay_pipe_put(struct relay_pool *pool, struct relay_pipe *pipe);

#endif
