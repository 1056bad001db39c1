/* SPDX-License-Identifier: Apache-2.0 */
/*
 * May it come in: the one place.  Whoever has found out more about a client asks again:
 *
 *   decide_accept   an address and a listener   limits of the process and the listener,
 *                   and, when it is known who the client really is, of that source
 *   decide_route    what its hello asked for    limits of the route, of the source there
 *
 * A refusal has one reason; its caller ends the connection by it and has it noted.
 * Thread-safe; nothing here waits, or does I/O.
 */
#ifndef PROXY_DECIDE_DECIDE_H
#define PROXY_DECIDE_DECIDE_H

#include <stdbool.h>

#include "config/config.h"
#include "decide/limits.h"
#include "net/worker.h"

/* What is known of a connection; NULL: not yet, or there is none. */
struct facts {
	const struct config *config;
	const struct listener *listener;
	const struct route *route;
	const struct addr
		*client; /* of its PROXY header, or the other end of the socket */
};

/* Must this peer send a PROXY header? */
bool decide_is_trusted(const struct listener *l, const struct addr *peer);

/*
 * TG_END_DONE, and what was counted in *holds: as a whole, or if the client is given of
 * that source; or the reason to refuse it.  Then *holds has the wider scopes still, for
 * the caller to release.
 */
enum tg_end decide_accept(struct worker *w, const struct facts *f,
			  struct limits_holds *holds);

/* The same of the route, as a whole and of the client. */
enum tg_end decide_route(struct worker *w, const struct facts *f,
			 struct limits_holds *holds);

/* Count one that lives already, by all that is known of it, whatever the limits say. */
void decide_count(struct worker *w, const struct facts *f, struct limits_holds *holds);

/*
 * It was refused, or ended, for that reason: if that is a limit, its client is an
 * offender, and the rates of the limits it has, *holds, have not seen it.
 */
void decide_note(struct worker *w, const struct facts *f, enum tg_end reason,
		 struct limits_holds *holds);

#endif
