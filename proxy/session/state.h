/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a session is made of, for the files that implement it; nobody else includes this.
 * A step does the work of a state and answers by an outcome (net/outcome.h); session.c
 * does what follows: the next state, the deadline, the end.  start.c and move.c say the
 * first state; what comes from outside (a drain, an eviction, a zombie, no memory to
 * move) ends it by session_end().
 *
 *   state          who works     NEXT leads to
 *   HEADER         opening.c     HELLO, or CONNECT if the route is known
 *   HELLO          opening.c     CONNECT
 *   CONNECT        upstream.c    RELAY; it may wait in the queue for a place first
 *   RELAY          tunnel.c      DRAIN, when one side is gone
 *   DRAIN          tunnel.c      (over)
 *
 * Below them: leg.c (a socket and its place in the books), count.c (its limits),
 * openings.c (who has said nothing yet), event.c (what is told at the end).  Beside
 * session.c, and above them: start.c, move.c and pack.c (to another process), walk.c
 * (looking for zombies).
 */
#ifndef PROXY_SESSION_STATE_H
#define PROXY_SESSION_STATE_H

#include <sys/epoll.h>

#include "backend/place.h"
#include "base/ev.h"
#include "book/writer.h"
#include "codec/hello.h"
#include "codec/pp.h"
#include "decide/decide.h"
#include "net/outcome.h"
#include "net/relay.h"
#include "session/openings.h"
#include "session/session.h"

enum session_state { ST_HEADER, ST_HELLO, ST_CONNECT, ST_RELAY, ST_DRAIN, ST_OVER };

#define LEG_EVENTS (EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP | EPOLLET)

/* The part of its label (sock_label) that is known before the end. */
struct leg_name {
	uint16_t listener, route, backend;
	uint8_t leg;
};

struct leg {
	struct ev_io io;
	int fd;
	uint32_t label_place; /* writer_label() */
	bool is_up : 1;	      /* the backend's */
	bool readable : 1;
	bool writable : 1;
	bool ended : 1;	   /* EPOLLRDHUP was seen: nothing comes after what is queued */
	bool urgent : 1;   /* EPOLLPRI was seen: no splice from here any more */
	bool failed : 1;   /* EPOLLERR was seen: reset or timed out */
	bool shut_out : 1; /* we sent our FIN */
	int err;	   /* why it is gone: an errno, 0 if it is not or nobody asked */
	struct leg_name name;
	struct proxy_slot *slot; /* NULL until the row is known */
	uint64_t rx, tx;
	uint32_t rx_header, tx_header; /* a PROXY header each at most */
};

/* One direction: the request, from down to up, or the response. */
struct flow_dir {
	struct relay_store store;
	bool is_response;
	bool eof; /* the source has ended and everything was passed on */
};

/* What the ClientHello said, kept for the event at the end. */
struct heard {
	uint16_t version;
	bool ech_outer;
	uint8_t name_len, alpn_len, ja4_len;
	uint8_t bytes[]; /* of these three, one after the other */
};

/* What is needed only until the backend has what the client said first. */
struct opening {
	uint8_t *head; /* bytes read before the relay began */
	size_t len, cap;
	size_t sent;	   /* of these; a PROXY header counts as sent */
	size_t dropped;	   /* read, and no memory to keep them: it ends now */
	size_t tlv_at;	   /* where pp.tlv begins in head */
	struct pp_info pp; /* its tlv is set when needed */
	struct hello_scan scan;
	struct opening_place place; /* while its client has not said what it wants */
};

struct session {
	struct ev_dead dead; /* first */
	struct session *next, **prev;
	struct waiter waiter; /* queued: for a place at a backend */
	struct worker *worker;
	struct config *config; /* a reference: the one it was accepted under */
	struct listener *listener;
	struct backend *backend;
	struct route *route;
	uint64_t tried; /* bits of backends that failed */
	struct leg down, up;
	struct flow_dir request, response;
	struct ev_timer timer;
	struct ev_task task; /* the budget ran out */
	int64_t due_ms; /* what it waits for must have come, of ev_now_ms(); -1: none */
	int64_t began_ms;
	int64_t active_ms;  /* last byte moved */
	int64_t half_ms;    /* one direction ended; in DRAIN: when that began */
	struct leg *first;  /* that ended or failed, or NULL */
	struct leg *broken; /* reset; what it had sent before is still passed on */
	struct limits_holds holds;
	struct heard *heard;	 /* NULL: no hello was read */
	struct opening *opening; /* NULL if there is nothing to read, or no more */
	struct addr peer;	 /* the other end of the client's connection */
	struct addr client;	 /* the real client: of its PROXY header, or peer */
	struct addr up_addr;	 /* of the backend; all zero of a Unix socket */
	uint32_t addrs_tried;	 /* bits of addresses of this backend */
	uint32_t offered;	 /* in that conversation with a successor; 0: in none */
	uint32_t sniff_since_ms; /* of its age, when a PROXY signature began; 0: none */
	uint8_t state;		 /* enum session_state */
	uint8_t retries;
	uint8_t failure;  /* enum tg_end: why the last one failed */
	uint8_t why;	  /* enum tg_end: the reason after the drain */
	uint8_t hops;	  /* times it has passed us; see loops.h */
	bool holds_place; /* at the backend */
	bool more_addrs;  /* of its backend, if this one fails */
	bool in_loops;	  /* its upstream socket is noted there */
	bool adopted;	  /* from an old process */
	bool trusted;	  /* peer must send a PROXY header */
	bool sniff;	  /* peer must not, and what it says first is looked at */
	bool watched;	  /* the kernel was told when the backend is stuck or silent */
	bool moving;	  /* on its way to a successor: nothing may touch it */
};

/* What an idle connection costs: this, two sockets, and nothing else. */
_Static_assert(sizeof(struct session) <= 544, "a session has grown");

/* --- leg.c --- */

/*
 * The row is known: from now on its slot is added to directly, beginning with what was
 * read until now.  Only the first call counts.
 */
void leg_take_slot(struct leg *leg, struct proxy_slot *slot);

/* n bytes were read from or written to the leg's socket. */
void leg_add_rx(struct leg *leg, size_t n);
void leg_add_tx(struct leg *leg, size_t n);

/* Bytes first read as payload turn out to be a PROXY header. */
void leg_move_to_header(struct leg *leg, size_t n);

/* Name the listener, route and backend, without telling the kernel yet. */
void leg_name(struct session *s, struct leg *leg, enum tg_leg which);

/* A closed leg, for another connection. */
void leg_reset(struct leg *leg);

/* The socket's final label: listener, route and backend are known. */
void leg_label(struct session *s, struct leg *leg, enum tg_leg which);

/* Give the kernel the proxy's claim and close, with RST if `reset`.  No-op when closed.
 */
void leg_close(struct session *s, struct leg *leg, bool reset);

/* --- opening.c --- */

/* Bytes of the opening that the backend does not have yet. */
size_t opening_held(const struct session *s);
void opening_free(struct session *s);

/*
 * The route is known (NEXT), or nobody is to have it: by the client's address, where
 * nothing is to be waited for.
 */
struct outcome opening_skip(struct session *s);

/* Read and parse what is there.  NEXT after a PROXY header, or when the route is known.
 */
struct outcome opening_read(struct session *s);

/* HELLO begins, with what came behind the PROXY header. */
struct outcome opening_hello(struct session *s);

/* HEADER or HELLO took too long. */
struct outcome opening_due(const struct session *s);

/*
 * The first bytes of a source that may not send a PROXY header are looked at before they
 * go on, however long it takes; the other direction flows meanwhile.  NEXT when the
 * request may be relayed.
 */
struct outcome opening_sniff(struct session *s);

/* --- count.c --- */

/* What decide/ is to know of it. */
struct facts session_facts(const struct session *s);

/* Count a session that lives already by the limits of `c`, whatever they say. */
void session_count(struct session *s, struct config *c);

/* --- event.c --- */

/* Keep what is told of a hello at the end; ja4: "" if it is not wanted. */
void session_hear(struct session *s, const struct hello *h, const char *ja4);

/* What a copy of it takes; 0 of NULL. */
size_t session_heard_bytes(const struct heard *h);

/* Are these n bytes, from another process, such a copy? */
bool session_heard_is_right(const uint8_t *data, size_t n);

/*
 * Tell of the end, before the sockets are closed.  lost_up, lost_down: bytes read from
 * the client, and from the backend, that the other end never got.
 */
void session_tell(const struct session *s, enum tg_end reason, enum tg_side side,
		  uint64_t lost_up, uint64_t lost_down);

/* The same of a connection that was refused before it became a session. */
void session_tell_refused(struct worker *w, const struct listener *l, int fd,
			  enum tg_end reason, const struct addr *peer);

/* --- upstream.c --- */

/* The route is known: choose a backend, or wait for a place, and connect to it. */
struct outcome upstream_begin(struct session *s);

/* The backend's socket is writable or has failed; or something took too long. */
struct outcome upstream_ready(struct session *s);
struct outcome upstream_due(struct session *s);

/* There may be one: true if it was taken, and what came of it. */
bool upstream_take_place(struct session *s, struct outcome *ret);

/* Leave the queue; give the place at the backend back.  No-ops if there is none. */
void upstream_stop_waiting(struct session *s);
void upstream_release(struct session *s);

/*
 * Its upstream socket is about to be closed, or another process's: its address may be
 * another connection's as soon as it is.
 */
void upstream_forget(struct session *s);

/* --- tunnel.c --- */

/* The backend is there; or an adopted relay, or one that stayed, goes on. */
struct outcome tunnel_begin(struct session *s);
struct outcome tunnel_resume(struct session *s);

/* Move what can be moved.  NEXT: one side is gone, drain the other. */
struct outcome tunnel_pump(struct session *s);

/* A deadline has come, or not yet. */
struct outcome tunnel_due(struct session *s);

/* What of its outbox could be sent at the end of a turn. */
struct session *tunnel_of(struct relay_store *store);
void tunnel_moved(struct relay_store *store, size_t out);
struct outcome tunnel_sent(struct session *s, struct relay_store *store,
			   enum relay_result r, int err);

/*
 * What waits in the outbox is sent: before the session is drained, moved or ended.  0, or
 * -ENOMEM if there is no memory for what was not taken: then the session must end.
 */
int tunnel_send_now(struct session *s);

/*
 * One side is gone: when the other has acknowledged all there is, OVER, but not later
 * than TUNNEL_DRAIN_MS after.  Called at its beginning, and for an event or its deadline.
 */
#define TUNNEL_DRAIN_MS 5000
struct outcome tunnel_drain_begin(struct session *s);
struct outcome tunnel_drain_event(struct session *s);
struct outcome tunnel_drain(struct session *s);

/* --- session.c --- */

/* A new session's place on its worker, and the end of it. */
void session_link(struct session *s, struct worker *w);
void session_unlink(struct session *s);
void session_leg_init(struct session *s, struct leg *leg, int fd);

/* A step was done: the one place where a state follows another. */
void session_run(struct session *s, struct outcome o);

/* End with one reason, counted once; with RST on both sides if `reset`. */
void session_end(struct session *s, enum tg_end reason, bool reset);

/* What it waits for now has so long. */
static inline void session_due_in(struct session *s, int64_t ms)
{
	s->due_ms = ev_now_ms(s->worker->loop) + ms;
}

#endif
