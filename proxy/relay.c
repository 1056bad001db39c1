/* SPDX-License-Identifier: Apache-2.0 */
/* Relay of one direction; counts in and out apart so that nothing can vanish between. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "relay.h"

#define ROUNDS_MAX 8 /* pipe fillings before others get their turn */

int relay_pool_init(struct relay_pool *pool, unsigned max, __u64 *gauge)
{
	*pool = (struct relay_pool){ .max = max, .gauge = gauge };
	pool->scratch = malloc(RELAY_SCRATCH_BYTES);
	return pool->scratch ? 0 : -ENOMEM;
}

static void pipe_destroy(struct relay_pool *pool, struct relay_pipe *p)
{
	close(p->fds[0]);
	close(p->fds[1]);
	free(p);
	pool->held--;
	__atomic_fetch_sub(pool->gauge, 1, __ATOMIC_RELAXED);
}

void relay_pool_done(struct relay_pool *pool)
{
	relay_pool_trim(pool);
	free(pool->scratch);
	pool->scratch = NULL;
}

static struct relay_pipe *pipe_get(struct relay_pool *pool)
{
	struct relay_pipe *p = pool->idle;

	if (p) {
		pool->idle = p->next;
		return p;
	}
	if (pool->held >= pool->max)
		return NULL;
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	if (pipe2(p->fds, O_NONBLOCK | O_CLOEXEC) < 0) {
		free(p);
		return NULL;
	}
	/* refused past the user's soft limit (pipe(7)): the default size serves too */
	(void)fcntl(p->fds[1], F_SETPIPE_SZ, RELAY_PIPE_BYTES);
	pool->held++;
	__atomic_fetch_add(pool->gauge, 1, __ATOMIC_RELAXED);
	return p;
}

void relay_pipe_put(struct relay_pool *pool, struct relay_pipe *p)
{
	if (!p)
		return;
	if (p->fill > 0) {
		pipe_destroy(pool, p);
		return;
	}
	p->next = pool->idle;
	pool->idle = p;
}

/* Without a pipe: what is sent is exactly what is then taken. */
static enum relay_result copy_move(struct relay_pool *pool, int src, int dst,
				   struct relay_moved *ret)
{
	ssize_t have, sent, took;

	have = recv(src, pool->scratch, RELAY_SCRATCH_BYTES, MSG_PEEK | MSG_DONTWAIT);
	if (have == 0)
		return RELAY_EOF;
	if (have < 0) {
		ret->err = -errno;
		return errno == EAGAIN ? RELAY_AGAIN_IN : RELAY_ERR_IN;
	}
	sent = send(dst, pool->scratch, (size_t)have, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (sent < 0) {
		ret->err = -errno;
		return errno == EAGAIN ? RELAY_AGAIN_OUT : RELAY_ERR_OUT;
	}
	ret->out += (size_t)sent;
	/* TCP discards with MSG_TRUNC (tcp(7)); these bytes are in the queue */
	took = recv(src, pool->scratch, (size_t)sent, MSG_TRUNC | MSG_DONTWAIT);
	if (took != sent) {
		ret->in += took > 0 ? (size_t)took : 0;
		ret->err = took < 0 ? -errno : -EIO;
		return RELAY_ERR_IN;
	}
	ret->in += (size_t)took;
	return RELAY_BUDGET;
}

void relay_pool_trim(struct relay_pool *pool)
{
	while (pool->idle) {
		struct relay_pipe *p = pool->idle;

		pool->idle = p->next;
		pipe_destroy(pool, p);
	}
}

/* Empty the pipe.  RELAY_BUDGET when it is empty. */
static enum relay_result pipe_drain(struct relay_pipe *p, int dst,
				    struct relay_moved *ret)
{
	while (p->fill > 0) {
		ssize_t n = splice(p->fds[0], NULL, dst, NULL, p->fill,
				   SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

		if (n < 0 && errno == EAGAIN)
			return RELAY_AGAIN_OUT;
		if (n <= 0) {
			ret->err = n < 0 ? -errno : -EPIPE;
			return RELAY_ERR_OUT;
		}
		p->fill -= (size_t)n;
		ret->out += (size_t)n;
	}
	return RELAY_BUDGET;
}

/*
 * The pipe is empty here, so EAGAIN can only mean that the socket is.
 */
static enum relay_result pipe_fill(struct relay_pipe *p, int src, struct relay_moved *ret)
{
	ssize_t n = splice(src, NULL, p->fds[1], NULL, RELAY_PIPE_BYTES,
			   SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

	if (n == 0)
		return RELAY_EOF;
	if (n < 0) {
		ret->err = -errno;
		return errno == EAGAIN ? RELAY_AGAIN_IN : RELAY_ERR_IN;
	}
	p->fill = (size_t)n;
	ret->in += (size_t)n;
	return RELAY_BUDGET;
}

enum relay_result relay_move(struct relay_pool *pool, struct relay_pipe **pipe, int src,
			     int dst, bool copy, struct relay_moved *ret)
{
	enum relay_result r = RELAY_BUDGET;

	for (int i = 0; i < ROUNDS_MAX && r == RELAY_BUDGET; i++) {
		if (!*pipe && !copy)
			*pipe = pipe_get(pool);
		if (!*pipe) {
			r = copy_move(pool, src, dst, ret);
			continue;
		}
		r = pipe_drain(*pipe, dst, ret);
		if (r == RELAY_BUDGET && copy) {
			relay_pipe_put(pool, *pipe);
			*pipe = NULL;
			continue;
		}
		if (r == RELAY_BUDGET)
			r = pipe_fill(*pipe, src, ret);
		if (r == RELAY_BUDGET)
			r = pipe_drain(*pipe, dst, ret);
	}
	if (*pipe && (*pipe)->fill == 0) {
		relay_pipe_put(pool, *pipe);
		*pipe = NULL;
	}
	return r;
}
