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
#include "session/state.h"

struct packed_leg {
	uint64_t rx, tx, rx_header, tx_header;
	uint8_t ended, urgent, shut_out, pad[5];
};

struct packed_dir {
	uint32_t pipe; /* bytes in the pipe that comes along */
	uint32_t buffer;
	uint8_t has_pipe, bulk, eof, pad[5];
};

/* Followed by the bytes of both buffers, request first, of the opening, and of what was
 * heard. */
struct packed {
	uint16_t listener, route, backend; /* ids by name, the same in both processes */
	uint8_t sniff, first;		   /* 0 none, 1 the client, 2 the backend */
	uint8_t retries;
	uint8_t trusted; /* its peer must have sent a PROXY header */
	uint8_t pad0[2];
	uint32_t sniff_since_ms;
	uint32_t opening;
	uint32_t heard;
	struct addr peer, client, up_addr;
	uint8_t pad[2];
	int64_t began_ms, active_ms, half_ms; /* of CLOCK_MONOTONIC, which they share */
	struct packed_leg down, up;
	struct packed_dir request, response;
};

/* --- giving --- */

static void pack_leg(const struct leg *leg, struct packed_leg *ret)
{
	*ret = (struct packed_leg){ .rx = leg->rx,
				    .tx = leg->tx,
				    .rx_header = leg->rx_header,
				    .tx_header = leg->tx_header,
				    .ended = leg->ended,
				    .urgent = leg->urgent,
				    .shut_out = leg->shut_out };
}

static size_t pack_dir(const struct flow_dir *d, struct packed_dir *ret, uint8_t *data,
		       int *fds, unsigned *fds_n)
{
	const struct relay_buffer *b = d->store.buffer;
	size_t n = b ? b->end - b->start : 0;

	*ret = (struct packed_dir){ .buffer = (uint32_t)n,
				    .bulk = d->store.bulk,
				    .eof = d->eof };
	if (b)
		memcpy(data, b->data + b->start, n);
	if (d->store.pipe) {
		ret->has_pipe = 1;
		ret->pipe = (uint32_t)d->store.pipe->fill;
		fds[(*fds_n)++] = d->store.pipe->fds[0];
		fds[(*fds_n)++] = d->store.pipe->fds[1];
	}
	return n;
}

/* Data to be freed, and descriptors, that are a session; NULL without memory. */
static uint8_t *session_pack(const struct session *s, size_t *len, int *fds,
			     unsigned *fds_n)
{
	size_t opening = opening_held(s), heard = session_heard_bytes(s->heard);
	uint8_t *data =
		malloc(sizeof(struct packed) + 2 * RELAY_BUFFER_BYTES + opening + heard);
	struct packed p = { .listener = s->listener->id,
			    .route = s->route->id,
			    .backend = s->backend->id,
			    .sniff = s->sniff,
			    .trusted = s->trusted,
			    .sniff_since_ms = s->sniff_since_ms,
			    .retries = s->retries,
			    .first = (uint8_t)(!s->first	      ? 0
					       : s->first == &s->down ? 1
								      : 2),
			    .opening = (uint32_t)opening,
			    .heard = (uint32_t)heard,
			    .peer = s->peer,
			    .client = s->client,
			    .up_addr = s->up_addr,
			    .began_ms = s->began_ms,
			    .active_ms = s->active_ms,
			    .half_ms = s->half_ms };

	if (!data)
		return NULL;
	fds[0] = s->down.fd;
	fds[1] = s->up.fd;
	*fds_n = 2;
	*len = sizeof(p);
	pack_leg(&s->down, &p.down);
	pack_leg(&s->up, &p.up);
	*len += pack_dir(&s->request, &p.request, data + *len, fds, fds_n);
	*len += pack_dir(&s->response, &p.response, data + *len, fds, fds_n);
	if (opening)
		memcpy(data + *len, s->opening->head + s->opening->sent, opening);
	*len += opening;
	if (heard)
		memcpy(data + *len, s->heard, heard);
	*len += heard;
	memcpy(data, &p, sizeof(p));
	return data;
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
static bool give(struct session *s, uint32_t conversation, struct session_given *g)
{
	if (s->state != ST_RELAY || s->broken || s->offered == conversation)
		return false; /* it ends here, or goes when it relays */
	s->offered = conversation;
	if (tunnel_send_now(s) < 0) {
		session_end(s, TG_END_RESOURCES, true);
		return false;
	}
	*g = (struct session_given){ .s = s };
	g->data = session_pack(s, &g->len, g->fds, &g->fds_n);
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
		b->n += give(s, b->conversation, &b->given[b->n]);
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
static bool find_place(struct config *c, const struct packed *p, struct listener **l,
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
	struct route *r;
	struct packed p;

	if (len < sizeof(p))
		return false;
	memcpy(&p, data, sizeof(p));
	return p.request.buffer <= RELAY_BUFFER_BYTES &&
	       p.response.buffer <= RELAY_BUFFER_BYTES &&
	       len == sizeof(p) + p.request.buffer + p.response.buffer + p.opening +
			       p.heard &&
	       session_heard_is_right(data + len - p.heard, p.heard) &&
	       fds_n == 2u + 2u * p.request.has_pipe + 2u * p.response.has_pipe &&
	       find_place(c, &p, &l, &r, &b);
}

static void unpack_leg(struct session *s, struct leg *leg, const struct packed_leg *p,
		       int fd, struct proxy_slot *slot, enum tg_leg which)
{
	session_leg_init(s, leg, fd);
	leg_name(s, leg, which);
	leg->slot = slot; /* counted as opened by the other process */
	leg->rx = p->rx;
	leg->tx = p->tx;
	leg->rx_header = (uint32_t)p->rx_header;
	leg->tx_header = (uint32_t)p->tx_header;
	leg->ended = p->ended;
	leg->urgent = p->urgent;
	leg->shut_out = p->shut_out;
}

/* Takes its descriptors from *fds on, which moves; its bytes from data.  0 or -ENOMEM. */
static int unpack_dir(struct worker *w, struct flow_dir *d, const struct packed_dir *p,
		      const uint8_t *data, const int **fds)
{
	d->eof = p->eof;
	d->store.bulk = p->bulk;
	if (p->has_pipe) {
		d->store.pipe = relay_pipe_adopt(&w->pool, *fds, p->pipe);
		*fds += 2; /* closed if it could not be */
		if (!d->store.pipe)
			return -ENOMEM;
	}
	if (p->buffer) {
		d->store.buffer = relay_buffer_adopt(&w->pool, data, p->buffer);
		if (!d->store.buffer)
			return -ENOMEM;
	}
	return 0;
}

static int unpack_opening(struct session *s, const uint8_t *data, size_t n)
{
	if (!n)
		return 0;
	s->opening = calloc(1, sizeof(*s->opening));
	if (!s->opening || !(s->opening->head = malloc(n)))
		return -ENOMEM;
	memcpy(s->opening->head, data, n);
	s->opening->len = s->opening->cap = n;
	__atomic_fetch_add(&s->worker->proxy->openings_bytes, n, __ATOMIC_RELAXED);
	return 0;
}

static int unpack_heard(struct session *s, const uint8_t *data, size_t n)
{
	if (!n)
		return 0;
	s->heard = malloc(n);
	if (!s->heard)
		return -ENOMEM;
	memcpy(s->heard, data, n);
	return 0;
}

/* Counted here too, whatever the limits say: it was admitted by the other process. */
static void count(struct session *s)
{
	__atomic_fetch_add(&s->worker->proxy->sessions, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&s->worker->proxy->upstreams, 1, __ATOMIC_RELAXED);
	session_count(s, s->config);
	s->holds_place = target_take(s->backend->target, 0);
}

void session_take(struct worker *w, const uint8_t *data, const int *fds)
{
	struct session *s = calloc(1, sizeof(*s));
	const int *pipes = fds + 2, *pipes_end;
	struct packed p;
	int err;

	memcpy(&p, data, sizeof(p));
	data += sizeof(p);
	pipes_end = fds + 2 + 2 * p.request.has_pipe + 2 * p.response.has_pipe;
	if (!s || !find_place(w->config, &p, &s->listener, &s->route, &s->backend)) {
		while (fds < pipes_end) /* no memory: both ends are told */
			close(*fds++);
		free(s);
		return;
	}
	session_link(s, w);
	s->adopted = true;
	s->state = ST_RELAY;
	s->sniff = p.sniff;
	s->retries = p.retries;
	s->peer = p.peer;
	s->client = p.client;
	s->up_addr = p.up_addr;
	s->began_ms = p.began_ms;
	s->active_ms = p.active_ms;
	s->half_ms = p.half_ms;
	s->trusted = p.trusted;
	s->sniff_since_ms = p.sniff_since_ms;
	unpack_leg(s, &s->down, &p.down, fds[0], s->backend->downstream,
		   TG_LEG_DOWNSTREAM);
	unpack_leg(s, &s->up, &p.up, fds[1], s->backend->upstream, TG_LEG_UPSTREAM);
	s->first = p.first == 1 ? &s->down : p.first == 2 ? &s->up : NULL;
	count(s);
	err = unpack_dir(w, &s->request, &p.request, data, &pipes);
	if (!err)
		err = unpack_dir(w, &s->response, &p.response, data + p.request.buffer,
				 &pipes);
	if (!err)
		err = unpack_opening(s, data + p.request.buffer + p.response.buffer,
				     p.opening);
	if (!err)
		err = unpack_heard(
			s, data + p.request.buffer + p.response.buffer + p.opening,
			p.heard);
	if (!err)
		err = ev_io_add(w->loop, &s->down.io, s->down.fd, LEG_EVENTS);
	if (!err)
		err = ev_io_add(w->loop, &s->up.io, s->up.fd, LEG_EVENTS);
	if (!err) {
		session_run(s, tunnel_resume(s));
		return;
	}
	while (pipes < pipes_end) /* those that nobody took */
		close(*pipes++);
	session_end(s, TG_END_RESOURCES, true);
}
