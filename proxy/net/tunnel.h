/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two conns, and bytes both ways until both have ended or one broke.
 *
 * Back-pressure: a way holds at most one pipe, and its receiver one buffer, of what was
 * not taken, and reads again when that is gone; so the sender's window closes by itself.
 * Half-close: an end of stream goes on once all before it was delivered.  A break of one
 * end: what it had sent goes out first (drain), until TUNNEL_DRAIN_MS pass without a
 * byte. Deadlines: looked at when the nearest is due, not moved with each byte; the
 * outcome of a step that changes which is nearest says so.
 */
#ifndef PROXY_NET_TUNNEL_H
#define PROXY_NET_TUNNEL_H

#include "base/ev.h"
#include "config/config.h"
#include "net/conn.h"
#include "net/outcome.h"
#include "net/relay.h"

#define TUNNEL_DRAIN_MS 5000

enum tunnel_end { TUNNEL_NONE, TUNNEL_CLIENT, TUNNEL_BACKEND };

struct tunnel {
	struct conn down, up; /* of the client, of the backend */
	struct ev_task task;  /* the owner's: it calls tunnel_pump() */
	const struct timeouts *timeouts;
	int64_t idle_ms; /* how long it may be quiet; 0: for ever */
	int64_t began_ms;
	int64_t active_ms; /* last byte moved */
	int64_t half_ms;   /* one way ended; of a drain: when that began */
	/* of its age: by then the request must be let go; 0: no matter */
	uint32_t request_due_ms;
	uint8_t first;		/* enum tunnel_end: that ended or failed first */
	uint8_t broken;		/* enum tunnel_end: what it had sent is still passed on */
	uint8_t why;		/* enum tg_end: the reason after the drain */
	bool request_waits : 1; /* the owner lets no byte of the client go yet */
	bool watched : 1; /* the kernel was told when the backend is stuck or silent */
	bool due_changed : 1; /* for the outcome of the step that runs */
};

/*
 * Both conns are there, and nothing has moved yet; or it was begun elsewhere, or stood
 * still: before the next pump, which then looks for all that may have come.
 */
void tunnel_begin(struct tunnel *t, int64_t idle_ms);
void tunnel_resume(struct tunnel *t);

/*
 * Move what can be moved.  NEXT: one end is gone, drain the other.  OVER: done,
 * out_of_resources.
 */
struct outcome tunnel_pump(struct tunnel *t);

/* A deadline has come, or not yet. */
struct outcome tunnel_due(struct tunnel *t);

/*
 * One end is gone: when the other has acknowledged all there is, OVER, but not later than
 * TUNNEL_DRAIN_MS after.  Called at its beginning, and for an event or its deadline.
 */
struct outcome tunnel_drain_begin(struct tunnel *t);
struct outcome tunnel_drain_event(struct tunnel *t);
struct outcome tunnel_drain(struct tunnel *t);

/*
 * What waits in the outbox is sent: before it is drained, moved or ended.  0, or -ENOMEM
 * if there is no memory for what was not taken: then it must end.
 */
int tunnel_send_now(struct tunnel *t);

/* Bytes taken from one end and not delivered to the other. */
size_t tunnel_held(const struct tunnel *t, enum tunnel_end from);

/* Drop what is held and close both. */
void tunnel_close(struct tunnel *t, bool reset);

/* It lives on in another process: close our descriptors. */
void tunnel_leave(struct tunnel *t);

#endif
