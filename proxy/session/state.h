/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a session is made of, for the files that implement it: start.c (limits and
 * the first state), opening.c (what the client says before the relay), upstream.c (the
 * backend), session.c (the state machine), tunnel.c (moving bytes), leg.c (a
 * socket and its place in the books), event.c (what is told at the end),
 * move.c (to another process) and walk.c (looking for zombies).  Nobody
 * else includes this.
 */
#ifndef PROXY_SESSION_STATE_H
#define PROXY_SESSION_STATE_H

#include <sys/epoll.h>

#include "backend/place.h"
#include "base/ev.h"
#include "book/writer.h"
#include "codec/hello.h"
#include "codec/pp.h"
#include "decide/limits.h"
#include "net/relay.h"
#include "session/openings.h"
#include "session/session.h"

enum session_state {
	ST_HEADER,
	ST_HELLO,
	ST_QUEUE,
	ST_CONNECT,
	ST_RELAY,
	ST_DRAIN,
	ST_OVER
};

#define LEG_EVENTS (EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP | EPOLLET)

/* The part of its label (sock_label) that is known before the end. */
struct leg_name {
	uint16_t listener, route, backend;
	uint8_t leg;
};

struct leg {
	struct ev_io io;
	int fd;
	bool is_up; /* the backend's */
	bool readable;
	bool writable;
	bool ended;    /* EPOLLRDHUP was seen: nothing comes after what is queued */
	bool urgent;   /* EPOLLPRI was seen: no splice from here any more */
	bool failed;   /* EPOLLERR was seen: reset or timed out */
	bool shut_out; /* we sent our FIN */
	int err;       /* why it is gone: an errno, 0 if it is not or nobody asked */
	struct leg_name name;
	struct proxy_slot *slot; /* NULL until the row is known */
	uint64_t rx, tx;
	uint32_t rx_header, tx_header; /* a PROXY header each at most */
};

/* One direction. */
struct flow_dir {
	struct leg *from, *to;
	struct relay_store store;
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
	struct waiter waiter; /* in QUEUE */
	struct worker *worker;
	struct config *config; /* a reference: the one it was accepted under */
	struct listener *listener;
	struct backend *backend;
	struct route *route;
	enum session_state state;
	uint8_t retries;
	uint8_t failure;      /* enum tg_end: why the last one failed */
	bool holds_place;     /* at the backend */
	bool adopted;	      /* from an old process */
	uint64_t tried;	      /* bits of backends that failed */
	uint32_t addrs_tried; /* bits of addresses of this backend */
	struct leg down, up;
	struct flow_dir request, response;
	struct ev_timer timer;
	struct ev_task task; /* the budget ran out */
	int64_t began_ms;
	int64_t active_ms;   /* last byte moved */
	int64_t half_ms;     /* one direction ended; in DRAIN: when that began */
	struct leg *first;   /* that ended or failed, if any */
	struct leg *broken;  /* reset; what it had sent before is still passed on */
	struct addr peer;    /* the other end of the client's connection */
	struct addr client;  /* the real client: of its PROXY header, or peer */
	struct addr up_addr; /* of the backend; all zero of a Unix socket */
	struct addr loop_end;
	bool trusted;	  /* peer must send a PROXY header */
	bool sniff;	  /* peer must not, and what it says first is looked at */
	bool watched;	  /* the kernel was told when the backend is stuck or silent */
	uint8_t why;	  /* enum tg_end: the reason after the drain */
	bool more_addrs;  /* of its backend, if this one fails */
	uint8_t hops;	  /* times it has passed us; see loops.h */
	bool in_loops;	  /* its upstream socket is noted there, by loop_end */
	bool moving;	  /* on its way to a successor: nothing may touch it */
	uint32_t offered; /* in that conversation with a successor; 0: in none */
	uint32_t sniff_since_ms; /* of its age, when a PROXY signature began; 0: none */
	struct limits_holds holds;
	struct heard *heard;	 /* NULL: no hello was read */
	struct opening *opening; /* NULL if there is nothing to read, or no more */
};

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

/* There is nothing to wait for: route by the client's address; may end the session. */
void opening_skip(struct session *s);

/* In HEADER or HELLO: read and parse what is there; may connect or end the session. */
void opening_read(struct session *s);

/*
 * The first bytes of a source that may not send a PROXY header are looked at before they
 * go on, however long it takes; the other direction flows meanwhile.  True when the relay
 * may begin; false when it must wait, or has ended.
 */
bool opening_sniff(struct session *s);

/* In HELLO: is what came so far the beginning of a PROXY header that may not be sent? */
bool opening_begins_header(const struct session *s);

/* --- start.c --- */

/*
 * Count against the limits of the process and the listener: as a whole, or if `client` is
 * given of that source.  0, or the reason to refuse it.
 */
enum tg_end session_admit(struct worker *w, const struct listener *l,
			  const struct config *c, const struct addr *client,
			  struct limits_holds *holds);

/* Count a session that lives already by the limits of `c`, whatever they say. */
void session_count(struct session *s, struct config *c);

/* The number of its route for limits. */
uint32_t session_route_id(const struct session *s);

/* If the reason is a limit, the client goes to the list of offenders. */
void session_note_offender(struct worker *w, const struct listener *l, enum tg_end reason,
			   const struct addr *client);

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

/* The route is known: choose a backend and connect to it; may end the session. */
void upstream_connect(struct session *s);

/* In CONNECT: the backend's socket is writable or has failed; or it took too long. */
void upstream_connected(struct session *s);
void upstream_timeout(struct session *s);

/* Leave the queue; give the place at the backend back.  No-ops if there is none. */
void upstream_stop_waiting(struct session *s);
void upstream_release(struct session *s);

/* Its upstream socket is about to be closed, or another process's: its address may be
 * another connection's as soon as it is. */
void upstream_forget(struct session *s);

/* --- session.c --- */

/* Whose doing each reason is, if it is not either's: enum tg_side. */
extern const uint8_t session_end_sides[TG_END_MAX];

/* A new session's place on its worker, and the end of it. */
void session_link(struct session *s, struct worker *w);
void session_unlink(struct session *s);
void session_leg_init(struct session *s, struct leg *leg, int fd);

/* Enter a state and arm its deadline. */
void session_to(struct session *s, enum session_state state);

/* The state's deadline is in `ms` from now. */
void session_deadline(struct session *s, int64_t ms);

/* One side is gone: when the other has acknowledged all there is, end. */
#define SESSION_DRAIN_MS 5000 /* but not later */
void session_drain(struct session *s, struct leg *broken);

/* End with one reason, counted once; with RST on both sides if `reset`. */
void session_end(struct session *s, enum tg_end reason, bool reset);

/* --- tunnel.c --- */

/* The backend is there: begin to relay. */
void session_relay(struct session *s);

/* Relay, with the deadlines of a relay. */
void session_resume(struct session *s);

/* Move what can be moved; may end the session. */
void session_pump(struct session *s);

/* Arm the nearest deadline; or one has come. */
void session_relay_arm(struct session *s);
void session_relay_due(struct session *s);

/*
 * What waits in the outbox is sent: before the session is drained, moved or ended.  0, or
 * -ENOMEM if there is no memory for what was not taken: then the session must end.
 */
int session_send_now(struct session *s);

#endif
