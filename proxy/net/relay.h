/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Moving bytes from one socket to another.  A small exchange is read into the worker's
 * outbox and sent at the end of the turn together with others (outbox.h), or, without
 * one, read into its spare buffer and written at once.  When a read fills the buffer the
 * direction is bulk, and its bytes move by splice(2) through a pooled pipe, uncopied.
 * What the destination does not take at once stays in that buffer or pipe, which is held
 * only as long; without either, bytes are peeked, sent and then taken, so that a shortage
 * slows the relay but never stops or loses anything.
 */
#ifndef PROXY_NET_RELAY_H
#define PROXY_NET_RELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <linux/types.h>

#include "net/outbox.h"

#define RELAY_PIPE_BYTES   (256 * 1024)
#define RELAY_BUFFER_BYTES (16 * 1024)

/* A pipe and the bytes in it. */
struct relay_pipe {
	int fds[2]; /* read end, write end */
	size_t fill;
	struct relay_pipe *next; /* in the pool */
};

/* Bytes from `start` to `end` were read and not written yet. */
struct relay_buffer {
	struct relay_buffer *next; /* in the pool */
	size_t start, end;
	uint8_t data[RELAY_BUFFER_BYTES];
};

/* What a direction has taken and not delivered; at most one of both. */
struct relay_store {
	struct relay_pipe *pipe;
	struct relay_buffer *buffer;
	bool bulk;	       /* its bytes come faster than a buffer at a time */
	uint16_t queued;       /* the number of its item in the outbox; 0: none */
	uint16_t queued_bytes; /* less than a buffer */
};

/* One a worker. */
struct relay_pool {
	struct outbox *outbox;	  /* NULL: all is sent at once */
	unsigned queued;	  /* items in it, each of which may want a buffer */
	struct relay_pipe *pipes; /* idle */
	struct relay_buffer *buffers;
	unsigned pipes_held, buffers_held; /* that exist, idle or not */
	unsigned pipes_max, buffers_max;
	/* of all workers; relaxed atomic */
	__u64 *pipes_gauge, *buffers_gauge;
};

/* 0, or -ENOMEM.  The gauges outlive the pool. */
int relay_pool_init(struct relay_pool *pool, unsigned pipes_max, unsigned buffers_max,
		    __u64 *pipes_gauge, __u64 *buffers_gauge);
void relay_pool_done(struct relay_pool *pool);

/* Give back what is not in use: descriptors or memory are needed elsewhere. */
void relay_pool_trim(struct relay_pool *pool);

/* The worker's spare buffer, for one read; its content lasts until the next call. */
uint8_t *relay_scratch(struct relay_pool *pool);

enum relay_result {
	RELAY_AGAIN_IN,	 /* the source has nothing now */
	RELAY_QUEUED,	 /* the same, and what it had is in the outbox */
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

/* What the caller knows of the source. */
enum relay_hint {
	RELAY_ENDED = 1,  /* its FIN is here: a short read is not the last */
	RELAY_URGENT = 2, /* no splice: it stops for ever before TCP urgent data
			     (tcp_read_sock() in the kernel), which a plain read passes on
			     as bytes of the stream if SO_OOBINLINE is set */
};

/*
 * Move up to about a budget's worth from src to dst, nonblocking sockets watched
 * edge-triggered.  *ret is added to.
 */
enum relay_result relay_move(struct relay_pool *pool, struct relay_store *store, int src,
			     int dst, unsigned hints, struct relay_moved *ret);

/*
 * Send what waits in the outbox: of one store (which has something there) now, or of all.
 * *ret is added to.  RELAY_AGAIN_IN if all of it was sent; else the rest is held by the
 * store from now on: RELAY_BUDGET if the destination may take more, RELAY_AGAIN_OUT if it
 * does not, or RELAY_ERR_OUT, with -ENOMEM if there was no place for the rest: then it is
 * lost, and counted by relay_held().  relay_flush() calls `moved` for all stores before
 * it calls `result` for the first.
 */
enum relay_result relay_send_now(struct relay_pool *pool, struct relay_store *store,
				 struct relay_moved *ret);

struct relay_flush_fns {
	void (*moved)(struct relay_store *store, size_t out);
	void (*result)(struct relay_store *store, enum relay_result r, int err);
};
void relay_flush(struct relay_pool *pool, const struct relay_flush_fns *fns);

/*
 * A pipe (both its ends) or bytes from another process, for a store.  NULL without
 * memory; the ends of the pipe are closed then.  Beyond the caps of the pool, but
 * counted.
 */
struct relay_pipe *relay_pipe_adopt(struct relay_pool *pool, const int fds[2],
				    size_t fill);
struct relay_buffer *relay_buffer_adopt(struct relay_pool *pool, const uint8_t *data,
					size_t n);

/* Bytes taken and not delivered. */
size_t relay_held(const struct relay_store *store);

/* Drop what is held and give its place back. */
void relay_store_clear(struct relay_pool *pool, struct relay_store *store);

#endif
