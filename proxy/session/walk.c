/* SPDX-License-Identifier: Apache-2.0 */
/* A worker's sessions by the cookies of their sockets. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "base/sockets.h"
#include "http/worker.h"
#include "session/state.h"

#define STEP 512

/*
 * A socket that ended before our eyes may be gone in the kernel with bytes still to be
 * read.  States other than RELAY have deadlines, and so has a relay of which a side
 * broke.
 */
static bool should_live(const struct session *s, const struct conn *c)
{
	return s->state == ST_RELAY && !s->tunnel.broken && !c->ended && !c->failed;
}

static int add(const struct session *s, const struct conn *c, struct session_walk *walk)
{
	uint64_t cookie;
	int err;

	if (c->fd < 0 || !c->is_tcp)
		return 0;
	cookie = socket_cookie(c->fd);
	err = cookies_add(walk->all, cookie);
	if (!err && should_live(s, c))
		err = cookies_add(walk->alive, cookie);
	return err;
}

/* Of HTTP, a socket to a backend is of no session, or of one for a request only. */
static int add_socket(const struct conn *c, void *arg)
{
	struct session_walk *walk = arg;

	return c->is_tcp ? cookies_add(walk->all, socket_cookie(c->fd)) : 0;
}

/* Sessions that begin meanwhile are in front, and not seen. */
int session_cookies(struct worker *w, void *arg)
{
	struct session_walk *walk = arg;
	int err = 0;

	if (!walk->begun) {
		w->walk = w->sessions;
		err = http_each_socket(w, add_socket, walk);
	}
	walk->begun = true;
	for (int i = 0; i < STEP && w->walk && !err; i++) {
		err = add(w->walk, &w->walk->tunnel.down, walk);
		if (!err)
			err = add(w->walk, &w->walk->tunnel.up, walk);
		w->walk = w->walk->next;
	}
	return err ? err : w->walk != NULL;
}

/* The list of the kernel's sockets took its time: ask for this one again. */
static bool is_dead(const struct session *s, const struct conn *c,
		    const struct cookies *gone)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	return should_live(s, c) && cookies_has(gone, socket_cookie(c->fd)) &&
	       getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 &&
	       info.tcpi_state == TCP_CLOSE;
}

int session_end_zombies(struct worker *w, void *arg)
{
	struct session_zombies *z = arg;
	struct session *next;

	for (struct session *s = w->sessions; s; s = next) {
		next = s->next;
		if (!is_dead(s, &s->tunnel.down, z->cookies) &&
		    !is_dead(s, &s->tunnel.up, z->cookies))
			continue;
		z->ended++;
		session_end(s, TG_END_ZOMBIE, true);
	}
	return 0;
}
