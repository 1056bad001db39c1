/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A relay that goes on in another process: its sums, what it holds, and its sockets and
 * pipes as they are.  The books do not notice: nothing is counted as opened or closed,
 * and the claim at the end is of all that was read and written, by whichever process.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/target.h"
#include "base/log.h"
#include "book/ends.h"
#include "net/pool.h"
#include "session/pack.h"
#include "session/state.h"

/* --- giving --- */

static struct image_leg leg_image(const struct conn *c)
{
	return (struct image_leg){ .rx = c->rx,
				   .tx = c->tx,
				   .rx_header = c->rx_header,
				   .tx_header = c->tx_header,
				   .ended = c->ended,
				   .urgent = c->urgent,
				   .shut_out = c->shut_out };
}

/* What its receiver has taken is of the way there. */
static struct image_dir dir_image(const struct conn *from, const struct conn *to,
				  int *fds, unsigned *fds_n)
{
	const struct pool_buffer *b = to->out;
	struct image_dir ret = { .bulk = from->bulk, .eof = from->over };

	if (b)
		ret.buffer = (struct image_bytes){ b->data + b->start,
						   (uint32_t)(b->end - b->start) };
	if (from->pipe) {
		ret.has_pipe = 1;
		ret.pipe = (uint32_t)from->pipe->fill;
		fds[(*fds_n)++] = from->pipe->fds[0];
		fds[(*fds_n)++] = from->pipe->fds[1];
	}
	return ret;
}

/* Of its age, when what begins like a PROXY header came; never 0, which is never. */
static uint32_t sniff_since(const struct session *s)
{
	int64_t since = s->tunnel.request_due_ms - s->config->timeouts.hello_ms;

	if (!s->sniff || !s->tunnel.request_due_ms)
		return 0;
	return since < 1 ? 1 : (uint32_t)since;
}

/* Data to be freed, and descriptors, that are a session; NULL without memory. */
static uint8_t *session_pack(const struct session *s, uint32_t version,
			     struct session_given *g)
{
	const struct tunnel *t = &s->tunnel;
	struct image im = { .listener = s->listener->id,
			    .route = s->dial.route->id,
			    .backend = s->dial.backend->id,
			    .sniff = s->sniff,
			    .trusted = s->trusted,
			    .sniff_since_ms = sniff_since(s),
			    .retries = s->dial.retries,
			    .first = t->first,
			    .heard = { (const uint8_t *)s->heard,
				       (uint32_t)session_heard_bytes(s->heard) },
			    .peer = s->peer,
			    .client = s->client,
			    .up_addr = s->dial.addr,
			    .began_ms = t->began_ms,
			    .active_ms = t->active_ms,
			    .half_ms = t->half_ms,
			    .down = leg_image(&t->down),
			    .up = leg_image(&t->up) };

	g->fds[0] = t->down.fd;
	g->fds[1] = t->up.fd;
	g->fds_n = 2;
	im.request = dir_image(&t->down, &t->up, g->fds, &g->fds_n);
	im.response = dir_image(&t->up, &t->down, g->fds, &g->fds_n);
	if (im.request.buffer.n > POOL_BUFFER_BYTES) { /* a client's first words */
		im.opening = im.request.buffer;
		im.request.buffer.n = 0;
	}
	return pack_write(&im, version, &g->len);
}

/* It lives on elsewhere. */
static void session_forget(struct session *s)
{
	dial_end(&s->dial, &s->tunnel.up);
	tunnel_leave(&s->tunnel);
	session_unlink(s);
}

/* True if it is on its way now. */
static bool give(struct session *s, struct session_batch *b, struct session_given *g)
{
	b->later += s->state < ST_RELAY && !s->tunnel.down.layer;
	/* what a layer knows cannot be told: it stays to its end (tollgate.yaml(5)) */
	if (s->state != ST_RELAY || s->tunnel.broken || s->tunnel.down.layer ||
	    s->tunnel.up.layer || s->offered == b->conversation)
		return false; /* it ends here, or goes when it relays */
	s->offered = b->conversation;
	if (tunnel_send_now(&s->tunnel) < 0) {
		session_end(s, TG_END_RESOURCES, true);
		return false;
	}
	*g = (struct session_given){ .s = s };
	g->data = session_pack(s, b->version, g);
	if (!g->data)
		return false;
	s->moving = true;
	return true;
}

int session_batch_begin(struct worker *w, void *arg)
{
	struct session_batch *b = arg;

	if (!b->begun)
		w->offer = w->sessions;
	b->begun = true;
	b->n = 0;
	while (w->offer && b->n < SESSION_GIVE_MAX) {
		struct session *s = w->offer;

		w->offer = s->next; /* it may end here */
		b->n += give(s, b, &b->given[b->n]);
	}
	return 0;
}

int session_batch_end(struct worker *w, void *arg)
{
	struct session_batch *b = arg;

	(void)w;
	for (unsigned i = 0; i < b->n; i++) {
		struct session_given *g = &b->given[i];

		free(g->data);
		g->s->moving = false;
		if (g->taken) {
			b->gone++;
			session_forget(g->s);
			continue;
		}
		tunnel_resume(&g->s->tunnel); /* what came was not looked at */
		session_run(g->s, opening_pump(g->s));
	}
	b->n = 0;
	return 0;
}

/* --- taking --- */

/* Where it belongs in this configuration; false if it does not. */
static bool find_place(struct config *c, const struct image *p, struct listener **l,
		       struct route **r, struct backend **b)
{
	*l = config_listener(c, p->listener);
	for (unsigned k = 0; *l && k < (*l)->routes_count; k++) {
		*r = &(*l)->routes[k];
		/* several may have one name, and so one id */
		for (unsigned n = 0;
		     (*r)->id == p->route && n < (*r)->backend_names_count; n++) {
			*b = &(*r)->backends[n];
			if ((*b)->id == p->backend)
				return true;
		}
	}
	return false;
}

bool session_is_ours(struct config *c, const uint8_t *data, size_t len, unsigned fds_n)
{
	struct listener *l;
	struct backend *b;
	struct image im;
	struct route *r;

	return pack_read(data, len, &im) == 0 &&
	       im.request.buffer.n <= POOL_BUFFER_BYTES &&
	       im.response.buffer.n <= POOL_BUFFER_BYTES &&
	       (!im.opening.n || !im.request.buffer.n) &&
	       session_heard_is_right(im.heard.data, im.heard.n) &&
	       fds_n == 2u + 2u * (im.request.has_pipe != 0) +
				2u * (im.response.has_pipe != 0) &&
	       find_place(c, &im, &l, &r, &b);
}

static void take_leg(struct session *s, struct conn *c, const struct image_leg *im,
		     struct proxy_slot *slot, enum tg_leg which)
{
	const struct conn_name name = session_name(s, which);

	conn_set_name(c, &name);
	c->slot = slot; /* counted as opened by the other process */
	c->adopted = true;
	c->rx = im->rx;
	c->tx = im->tx;
	c->rx_header = (uint32_t)im->rx_header;
	c->tx_header = (uint32_t)im->tx_header;
	c->ended = im->ended;
	c->urgent = im->urgent;
	c->shut_out = im->shut_out;
}

/* Takes its descriptors from *fds on, which moves.  0 or -ENOMEM. */
static int take_dir(struct conn *from, struct conn *to, const struct image_dir *im,
		    const int **fds)
{
	from->over = im->eof;
	from->bulk = im->bulk;
	if (im->has_pipe) {
		from->pipe = pool_pipe_adopt(&to->worker->pool, *fds, im->pipe);
		*fds += 2; /* closed if it could not be */
		if (!from->pipe)
			return -ENOMEM;
	}
	return im->buffer.n ? conn_hold(to, im->buffer.data, im->buffer.n) : 0;
}

/* What the client said first; then nothing else was read of it. */
static int take_opening(struct session *s, const struct image_bytes *b)
{
	size_t *counted = &session_worker(s)->proxy->openings_bytes;
	struct conn *up = &s->tunnel.up;

	if (!b->n)
		return 0;
	if (conn_hold(up, b->data, b->n) < 0)
		return -ENOMEM;
	up->out->counted = counted;
	__atomic_fetch_add(counted, up->out->cap, __ATOMIC_RELAXED);
	return 0;
}

static int take_heard(struct session *s, const struct image_bytes *b)
{
	if (!b->n)
		return 0;
	s->heard = malloc(b->n);
	if (!s->heard)
		return -ENOMEM;
	memcpy(s->heard, b->data, b->n);
	return 0;
}

/* Counted here too, whatever the limits say: it was admitted by the other process. */
static void count(struct session *s)
{
	__atomic_fetch_add(&session_worker(s)->proxy->upstreams, 1, __ATOMIC_RELAXED);
	session_count(s, s->config);
	s->dial.holds_place = target_take(s->dial.backend->target, 0);
}

static void take_state(struct session *s, const struct image *im)
{
	struct tunnel *t = &s->tunnel;

	s->state = ST_RELAY;
	s->sniff = t->request_waits = im->sniff;
	s->trusted = im->trusted;
	s->peer = im->peer;
	s->client = im->client;
	s->dial.retries = im->retries;
	s->dial.addr = im->up_addr;
	t->idle_ms = s->dial.route->idle_ms;
	t->began_ms = im->began_ms;
	t->active_ms = im->active_ms;
	t->half_ms = im->half_ms;
	t->first = im->first > TUNNEL_BACKEND ? TUNNEL_NONE : im->first;
	if (im->sniff_since_ms)
		t->request_due_ms =
			im->sniff_since_ms + (uint32_t)s->config->timeouts.hello_ms;
}

/* All that it had.  0 or -ENOMEM; *pipes: those of its pipes that nobody took. */
static int take_held(struct session *s, const struct image *im, const int **pipes)
{
	struct tunnel *t = &s->tunnel;
	int err = take_dir(&t->down, &t->up, &im->request, pipes);

	if (!err)
		err = take_dir(&t->up, &t->down, &im->response, pipes);
	if (!err)
		err = take_opening(s, &im->opening);
	if (!err)
		err = take_heard(s, &im->heard);
	if (!err)
		err = conn_watch(&t->down);
	return err ? err : conn_watch(&t->up);
}

void session_lost(const struct proxy *p, struct config *c, const uint8_t *data,
		  size_t len)
{
	struct listener *l;
	struct backend *b;
	struct image im;
	struct route *r;

	if (pack_read(data, len, &im) < 0 || !find_place(c, &im, &l, &r, &b))
		return;
	book_add(&b->downstream->closed, 1);
	book_add(&b->upstream->closed, 1);
	writer_end(p->writer, b->downstream, TG_END_RESOURCES,
		   tg_end_sides[TG_END_RESOURCES]);
	log_limited(LOG_ERROR,
		    "listener '%s': a connection that was taken over ended: no "
		    "memory, or its worker has stopped",
		    l->name);
}

void session_take(struct worker *w, const uint8_t *data, size_t len, const int *fds,
		  unsigned fds_n)
{
	struct session *s = calloc(1, sizeof(*s));
	const int *pipes = fds + 2, *fds_end = fds + fds_n;
	struct listener *l;
	struct image im;

	if (!s || pack_read(data, len, &im) < 0 ||
	    !find_place(w->config, &im, &l, &s->dial.route, &s->dial.backend)) {
		session_lost(w->proxy, w->config, data, len);
		while (fds < fds_end)
			close(*fds++);
		free(s);
		return;
	}
	session_link(s, w, l, fds[0], fds[1]);
	s->tunnel.up.is_tcp = !s->dial.backend->path;
	take_state(s, &im);
	take_leg(s, &s->tunnel.down, &im.down, s->dial.backend->downstream,
		 TG_LEG_DOWNSTREAM);
	take_leg(s, &s->tunnel.up, &im.up, s->dial.backend->upstream, TG_LEG_UPSTREAM);
	count(s);
	if (take_held(s, &im, &pipes) == 0) {
		tunnel_resume(&s->tunnel);
		session_run(s, opening_pump(s));
		return;
	}
	while (pipes < fds_end) /* those that nobody took */
		close(*pipes++);
	session_end(s, TG_END_RESOURCES, true);
}
