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
#include "session/pack.h"
#include "session/state.h"

/* --- giving --- */

static struct image_leg leg_image(const struct leg *leg)
{
	return (struct image_leg){ .rx = leg->rx,
				   .tx = leg->tx,
				   .rx_header = leg->rx_header,
				   .tx_header = leg->tx_header,
				   .ended = leg->ended,
				   .urgent = leg->urgent,
				   .shut_out = leg->shut_out };
}

static struct image_dir dir_image(const struct flow_dir *d, int *fds, unsigned *fds_n)
{
	const struct relay_buffer *b = d->store.buffer;
	struct image_dir ret = { .bulk = d->store.bulk, .eof = d->eof };

	if (b)
		ret.buffer = (struct image_bytes){ b->data + b->start,
						   (uint32_t)(b->end - b->start) };
	if (d->store.pipe) {
		ret.has_pipe = 1;
		ret.pipe = (uint32_t)d->store.pipe->fill;
		fds[(*fds_n)++] = d->store.pipe->fds[0];
		fds[(*fds_n)++] = d->store.pipe->fds[1];
	}
	return ret;
}

/* Data to be freed, and descriptors, that are a session; NULL without memory. */
static uint8_t *session_pack(const struct session *s, uint32_t version,
			     struct session_given *g)
{
	struct image im = { .listener = s->listener->id,
			    .route = s->route->id,
			    .backend = s->backend->id,
			    .sniff = s->sniff,
			    .trusted = s->trusted,
			    .sniff_since_ms = s->sniff_since_ms,
			    .retries = s->retries,
			    .first = (uint8_t)(!s->first	      ? 0
					       : s->first == &s->down ? 1
								      : 2),
			    .heard = { (const uint8_t *)s->heard,
				       (uint32_t)session_heard_bytes(s->heard) },
			    .peer = s->peer,
			    .client = s->client,
			    .up_addr = s->up_addr,
			    .began_ms = s->began_ms,
			    .active_ms = s->active_ms,
			    .half_ms = s->half_ms,
			    .down = leg_image(&s->down),
			    .up = leg_image(&s->up) };

	g->fds[0] = s->down.fd;
	g->fds[1] = s->up.fd;
	g->fds_n = 2;
	im.request = dir_image(&s->request, g->fds, &g->fds_n);
	im.response = dir_image(&s->response, g->fds, &g->fds_n);
	if (s->opening)
		im.opening = (struct image_bytes){ s->opening->head + s->opening->sent,
						   (uint32_t)opening_held(s) };
	return pack_write(&im, version, &g->len);
}

/*
 * It lives on elsewhere.  A watch belongs to the socket, which the other process holds
 * too, so it does not end with our descriptor.
 */
static void session_forget(struct session *s)
{
	struct worker *w = s->worker;
	struct leg *legs[] = { &s->down, &s->up };

	upstream_forget(s);
	for (int i = 0; i < 2; i++) {
		ev_io_del(w->loop, &legs[i]->io);
		close(legs[i]->fd);
		legs[i]->fd = -1;
	}
	__atomic_fetch_sub(&w->proxy->upstreams, 1, __ATOMIC_RELAXED);
	relay_store_clear(&w->pool, &s->request.store);
	relay_store_clear(&w->pool, &s->response.store);
	session_unlink(s);
}

/* True if it is on its way now. */
static bool give(struct session *s, const struct session_batch *b,
		 struct session_given *g)
{
	if (s->state != ST_RELAY || s->broken || s->offered == b->conversation)
		return false; /* it ends here, or goes when it relays */
	s->offered = b->conversation;
	if (tunnel_send_now(s) < 0) {
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
		/* what came meanwhile was not looked at */
		g->s->down.readable = g->s->up.readable = true;
		session_run(g->s, tunnel_resume(g->s));
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
	       im.request.buffer.n <= RELAY_BUFFER_BYTES &&
	       im.response.buffer.n <= RELAY_BUFFER_BYTES &&
	       session_heard_is_right(im.heard.data, im.heard.n) &&
	       fds_n == 2u + 2u * (im.request.has_pipe != 0) +
				2u * (im.response.has_pipe != 0) &&
	       find_place(c, &im, &l, &r, &b);
}

static void take_leg(struct session *s, struct leg *leg, const struct image_leg *im,
		     int fd, struct proxy_slot *slot, enum tg_leg which)
{
	session_leg_init(s, leg, fd);
	leg_name(s, leg, which);
	leg->slot = slot; /* counted as opened by the other process */
	leg->rx = im->rx;
	leg->tx = im->tx;
	leg->rx_header = (uint32_t)im->rx_header;
	leg->tx_header = (uint32_t)im->tx_header;
	leg->ended = im->ended;
	leg->urgent = im->urgent;
	leg->shut_out = im->shut_out;
}

/* Takes its descriptors from *fds on, which moves.  0 or -ENOMEM. */
static int take_dir(struct worker *w, struct flow_dir *d, const struct image_dir *im,
		    const int **fds)
{
	d->eof = im->eof;
	d->store.bulk = im->bulk;
	if (im->has_pipe) {
		d->store.pipe = relay_pipe_adopt(&w->pool, *fds, im->pipe);
		*fds += 2; /* closed if it could not be */
		if (!d->store.pipe)
			return -ENOMEM;
	}
	if (im->buffer.n) {
		d->store.buffer =
			relay_buffer_adopt(&w->pool, im->buffer.data, im->buffer.n);
		if (!d->store.buffer)
			return -ENOMEM;
	}
	return 0;
}

static int take_opening(struct session *s, const struct image_bytes *b)
{
	if (!b->n)
		return 0;
	s->opening = calloc(1, sizeof(*s->opening));
	if (!s->opening || !(s->opening->head = malloc(b->n)))
		return -ENOMEM;
	memcpy(s->opening->head, b->data, b->n);
	s->opening->len = s->opening->cap = b->n;
	__atomic_fetch_add(&s->worker->proxy->openings_bytes, b->n, __ATOMIC_RELAXED);
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
	__atomic_fetch_add(&s->worker->proxy->upstreams, 1, __ATOMIC_RELAXED);
	session_count(s, s->config);
	s->holds_place = target_take(s->backend->target, 0);
}

static void take_state(struct session *s, const struct image *im)
{
	s->adopted = true;
	s->state = ST_RELAY;
	s->sniff = im->sniff;
	s->retries = im->retries;
	s->peer = im->peer;
	s->client = im->client;
	s->up_addr = im->up_addr;
	s->began_ms = im->began_ms;
	s->active_ms = im->active_ms;
	s->half_ms = im->half_ms;
	s->trusted = im->trusted;
	s->sniff_since_ms = im->sniff_since_ms;
	s->first = im->first == 1 ? &s->down : im->first == 2 ? &s->up : NULL;
}

void session_take(struct worker *w, const uint8_t *data, size_t len, const int *fds,
		  unsigned fds_n)
{
	struct session *s = calloc(1, sizeof(*s));
	const int *pipes = fds + 2, *fds_end = fds + fds_n;
	struct image im;
	int err;

	if (!s || pack_read(data, len, &im) < 0 ||
	    !find_place(w->config, &im, &s->listener, &s->route, &s->backend)) {
		while (fds < fds_end) /* no memory: both ends are told */
			close(*fds++);
		free(s);
		return;
	}
	session_link(s, w);
	take_state(s, &im);
	take_leg(s, &s->down, &im.down, fds[0], s->backend->downstream,
		 TG_LEG_DOWNSTREAM);
	take_leg(s, &s->up, &im.up, fds[1], s->backend->upstream, TG_LEG_UPSTREAM);
	count(s);
	err = take_dir(w, &s->request, &im.request, &pipes);
	if (!err)
		err = take_dir(w, &s->response, &im.response, &pipes);
	if (!err)
		err = take_opening(s, &im.opening);
	if (!err)
		err = take_heard(s, &im.heard);
	if (!err)
		err = ev_io_add(w->loop, &s->down.io, s->down.fd, LEG_EVENTS);
	if (!err)
		err = ev_io_add(w->loop, &s->up.io, s->up.fd, LEG_EVENTS);
	if (!err) {
		session_run(s, tunnel_resume(s));
		return;
	}
	while (pipes < fds_end) /* those that nobody took */
		close(*pipes++);
	session_end(s, TG_END_RESOURCES, true);
}
