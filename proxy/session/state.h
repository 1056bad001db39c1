/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a session is made of, for the files that implement it; nobody else includes this.
 * A step does the work of a state and answers by an outcome (net/outcome.h); session.c
 * does what follows: the next state, the deadline, the end.  start.c and move.c say the
 * first state; what comes from outside (a drain, an eviction, a zombie, no memory to
 * move) ends it by session_end().
 *
 *   state          who works            NEXT leads to
 *   HEADER         opening.c            HELLO, or CONNECT if the route is known
 *   HELLO          opening.c            HANDSHAKE, or CONNECT, as the route says
 *   HANDSHAKE      handshake.c          CONNECT, or SERVE
 *                  (tls/stream.c)
 *   CONNECT        connect.c            RELAY; it may wait in the queue for a place first
 *                  (backend/dial.c)
 *   RELAY          net/tunnel.c         DRAIN, when one side is gone
 *   DRAIN          net/tunnel.c         (over)
 *   SERVE          serve.c              (over); its exchanges connect by themselves
 *                  (http/front.c)
 *
 * Below them: count.c (its limits), openings.c (who has said nothing yet), event.c (what
 * is told at the end).  Beside session.c, and above them: start.c, move.c and pack.c (to
 * another process), walk.c (looking for zombies).
 */
#ifndef PROXY_SESSION_STATE_H
#define PROXY_SESSION_STATE_H

#include "backend/dial.h"
#include "base/ev.h"
#include "book/writer.h"
#include "codec/hello.h"
#include "codec/pp.h"
#include "decide/decide.h"
#include "http/front.h"
#include "net/outcome.h"
#include "net/tunnel.h"
#include "net/worker.h"
#include "session/openings.h"
#include "session/session.h"

enum session_state {
	ST_HEADER,
	ST_HELLO,
	ST_HANDSHAKE,
	ST_CONNECT,
	ST_RELAY,
	ST_DRAIN,
	ST_SERVE,
	ST_OVER
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
	size_t sent;	/* of these, by nobody: a PROXY header, which goes no further */
	size_t dropped; /* read, and no memory to keep them: it ends now */
	bool taken;	/* a layer has it: it goes to no backend */
	size_t tlv_at;	/* where pp.tlv begins in head */
	struct pp_info pp; /* its tlv is set when needed */
	struct hello_scan scan;
	struct opening_place place; /* while its client has not said what it wants */
};

struct session {
	struct ev_dead dead; /* first */
	struct session *next, **prev;
	struct config *config; /* a reference: the one it was accepted under */
	struct listener *listener;
	struct tunnel tunnel; /* its `down` is the client's in every state */
	struct dial dial;
	struct ev_timer timer; /* what it waits for must have come */
	struct limits_holds holds;
	struct heard *heard;	 /* NULL: no hello was read */
	struct front *front;	 /* of HTTP, in SERVE */
	struct opening *opening; /* NULL if there is nothing to read, or no more */
	struct addr peer;	 /* the other end of the client's connection */
	struct addr client;	 /* the real client: of its PROXY header, or peer */
	uint32_t offered;	 /* in that conversation with a successor; 0: in none */
	uint8_t state;		 /* enum session_state */
	bool trusted : 1;	 /* peer must send a PROXY header */
	bool sniff : 1;		 /* peer must not, and what it says first is looked at */
	bool aged : 1;		 /* in SERVE: older than timeouts.life */
	bool moving : 1;	 /* on its way to a successor: nothing may touch it */
};

/* What an idle connection costs: this (560 bytes of malloc), two sockets, nothing else.
 */
_Static_assert(sizeof(struct session) <= 552, "a session has grown");

static inline struct worker *session_worker(const struct session *s)
{
	return s->tunnel.down.worker;
}

/* What a row's name is when its backend is known. */
static inline struct conn_name session_name(const struct session *s, enum tg_leg leg)
{
	return (struct conn_name){ .listener = s->listener->id,
				   .route = s->dial.route->id,
				   .backend = s->dial.backend->id,
				   .leg = (uint8_t)leg };
}

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

/* A hello that is for nobody here: its end, and an alert tells its client. */
struct outcome opening_alert(struct session *s, bool named, enum tg_end reason);

/* HEADER or HELLO took too long. */
struct outcome opening_due(const struct session *s);

/*
 * RELAY begins, with what the client said before; or it goes on, as tunnel_pump().  The
 * first bytes of a source that may not send a PROXY header are looked at before they go
 * on, however long it takes; the other direction flows meanwhile.
 */
struct outcome opening_relay(struct session *s);
struct outcome opening_pump(struct session *s);

/* --- handshake.c --- */

/*
 * HANDSHAKE: TLS ends here, and a layer takes what the client has said.  OVER: an alert
 * was sent, where there is one for it.
 */
struct outcome handshake_begin(struct session *s);
struct outcome handshake_event(struct session *s);

/* --- connect.c --- */

/* CONNECT: the steps of backend/dial.h; with NEXT the client's row is the backend's. */
struct outcome connect_begin(struct session *s);
struct outcome connect_event(struct session *s, const struct conn *c);
struct outcome connect_due(struct session *s);
bool connect_take_place(struct session *s, struct outcome *ret);

/* Who the connection is for; *header is what *ret points to. */
void connect_announce(const struct session *s, struct announce *ret,
		      struct pp_info *header);

/* --- serve.c --- */

/* SERVE: the client's requests; over() is called when there are no more. */
struct outcome serve_begin(struct session *s,
			   void (*over)(struct conn *c, struct outcome o));

/*
 * It is older than timeouts.life: no more requests (as an upgrade would have it), and
 * what is under way has timeouts.drain.
 */
struct outcome serve_due(struct session *s);

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

/* --- session.c --- */

/*
 * A new session's place on its worker, and the end of it.  down, up: its sockets, -1 for
 * one that is not there yet.
 */
void session_link(struct session *s, struct worker *w, struct listener *l, int down,
		  int up);
void session_unlink(struct session *s);

/* A step was done: the one place where a state follows another. */
void session_run(struct session *s, struct outcome o);

/* End with one reason, counted once; with RST on both sides if `reset`. */
void session_end(struct session *s, enum tg_end reason, bool reset);

#endif
