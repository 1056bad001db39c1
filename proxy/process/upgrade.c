/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backend/target.h"
#include "base/log.h"
#include "process/door.h"
#include "process/handover.h"
#include "process/orders.h"
#include "process/upgrade.h"
#include "session/session.h"
#include "tls/tickets.h"

#define SESSION_PATIENCE_MS 2000 /* its connections stand still meanwhile */
#define ACCEPT_PATIENCE_MS  3000 /* nobody accepts meanwhile */
#define NAME_BYTES	    512

_Static_assert(sizeof(((struct session_given *)0)->fds) ==
		       sizeof(((struct handover_message *)0)->fds),
	       "what a session has goes in one message");

struct hello_message {
	uint32_t version;
	uint32_t abi_version;
};

struct health_message {
	char name[NAME_BYTES]; /* of the target */
	uint32_t n;
	struct target_state states[TARGET_ADDRS_MAX];
};

struct healths {
	struct health_message *list;
	unsigned n;
	int err;
};

static struct handover talk(int fd)
{
	return (struct handover){ .fd = fd,
				  .interrupt = -1,
				  .patience_ms = HANDOVER_PATIENCE_MS };
}

/* --- the successor --- */

/* What came of backends before they were known here. */
static struct healths health;

static int add_inherited(struct inherited **list, unsigned *n, struct handover_message *m)
{
	struct inherited *more;

	if (m->len != sizeof(**list) || m->fds_n != 1)
		return -EPROTO;
	more = reallocarray(*list, *n + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	*list = more;
	memcpy(&more[*n], m->data, sizeof(*more));
	more[*n].fd = m->fds[0];
	m->fds_n = 0; /* now the list's */
	++*n;
	return 0;
}

static int add_health(const struct handover_message *m)
{
	struct health_message *more;

	if (m->len != sizeof(*more))
		return -EPROTO;
	more = reallocarray(health.list, health.n + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	health.list = more;
	memcpy(&more[health.n], m->data, sizeof(*more));
	more[health.n].name[NAME_BYTES - 1] = '\0';
	if (more[health.n].n > TARGET_ADDRS_MAX)
		return -EPROTO;
	health.n++;
	return 0;
}

/* Sessions of TLS that begin here are resumed there, and go on to be. */
static int take_tickets(struct handover_message *m)
{
	struct ticket_ring ring;

	if (m->len != sizeof(ring))
		return -EPROTO;
	memcpy(&ring, m->data, sizeof(ring));
	tickets_import(&ring);
	explicit_bzero(&ring, sizeof(ring));
	explicit_bzero(m->data, m->len);
	return 0;
}

int upgrade_begin(int fd, uint32_t version, struct inherited **ret, unsigned *n)
{
	const struct hello_message hello = { version, TG_ABI_VERSION };
	struct handover_message m = { 0 };
	struct handover h = talk(fd);
	int err;

	*ret = NULL;
	*n = 0;
	err = handover_send(&h, HANDOVER_HELLO, &hello, sizeof(hello), NULL, 0);
	while (!err) {
		err = handover_receive(&h, &m);
		if (err || m.type == HANDOVER_LISTENERS_END)
			break;
		err = m.type == HANDOVER_LISTENER  ? add_inherited(ret, n, &m)
		      : m.type == HANDOVER_HEALTH  ? add_health(&m)
		      : m.type == HANDOVER_TICKETS ? take_tickets(&m)
						   : -EPROTO;
	}
	handover_message_clear(&m);
	if (err) {
		free(health.list); /* the next conversation tells all of it again */
		health = (struct healths){ .n = 0 };
	}
	return err;
}

void upgrade_restore_health(void)
{
	for (unsigned i = 0; i < health.n; i++)
		(void)target_restore(health.list[i].name, health.list[i].states,
				     health.list[i].n);
	free(health.list);
	health.list = NULL;
	health.n = 0;
}

static bool is_same(const struct inherited *in, uint16_t id, bool ipv6_only,
		    const struct addr *addr)
{
	return in->listener == id && in->ipv6_only == ipv6_only &&
	       memcmp(&in->addr, addr, sizeof(*addr)) == 0;
}

int upgrade_socket(struct inherited *list, unsigned n, const struct listener *l)
{
	for (unsigned i = 0; i < n; i++) {
		int fd = list[i].fd;

		if (fd < 0 || !is_same(&list[i], l->id, l->ipv6_only, &l->addr))
			continue;
		list[i].fd = -1;
		list[i].used = 1;
		return fd;
	}
	return -1;
}

unsigned upgrade_workers(const struct inherited *list, unsigned n, unsigned wanted)
{
	unsigned most = wanted;

	for (unsigned i = 0; i < n; i++) {
		unsigned sockets = 0;

		for (unsigned k = 0; k < n; k++)
			sockets += is_same(&list[k], list[i].listener, list[i].ipv6_only,
					   &list[i].addr);
		most = sockets > most ? sockets : most;
	}
	if (most > wanted)
		log_info("%u workers, as many as before; fewer from the next start on",
			 most);
	return most;
}

int upgrade_agree(int fd, const struct inherited *list, unsigned n)
{
	uint8_t *used = calloc(n + 1, 1);
	struct handover_message m = { 0 };
	struct handover h = talk(fd);
	int err = used ? 0 : -ENOMEM;

	for (unsigned i = 0; !err && i < n; i++)
		used[i] = list[i].used;
	if (!err)
		err = handover_send(&h, HANDOVER_READY, used, n, NULL, 0);
	if (!err)
		err = handover_expect(&h, HANDOVER_GO, &m);
	handover_message_clear(&m);
	free(used);
	return err ? log_errno(err,
			       "the running proxy went on by itself: we came too late")
		   : 0;
}

/* What was offered and is ours as soon as the old process says so. */
struct taking {
	struct {
		uint8_t *data;
		size_t len;
		int fds[HANDOVER_FDS_MAX];
		unsigned fds_n;
	} kept[SESSION_GIVE_MAX];
	unsigned n;
	unsigned taken, left; /* of sessions */
};

static unsigned next_worker; /* they go to all in turn */

static void keep_clear(struct taking *t)
{
	while (t->n > 0) {
		t->n--;
		free(t->kept[t->n].data);
		while (t->kept[t->n].fds_n > 0)
			close(t->kept[t->n].fds[--t->kept[t->n].fds_n]);
	}
}

static bool keep(struct taking *t, struct config *c, struct handover_message *m)
{
	if (t->n == SESSION_GIVE_MAX || !session_is_ours(c, m->data, m->len, m->fds_n) ||
	    !(t->kept[t->n].data = malloc(m->len)))
		return false;
	memcpy(t->kept[t->n].data, m->data, m->len);
	memcpy(t->kept[t->n].fds, m->fds, sizeof(m->fds));
	t->kept[t->n].len = m->len;
	t->kept[t->n].fds_n = m->fds_n;
	m->fds_n = 0; /* now kept */
	t->n++;
	return true;
}

static void commit(struct taking *t, struct proxy *p, struct config *c)
{
	for (unsigned i = 0; i < t->n; i++) {
		struct worker *w = &p->workers[next_worker++ % p->workers_n];

		if (orders_adopt(w, t->kept[i].data, t->kept[i].len, t->kept[i].fds,
				 t->kept[i].fds_n) < 0) {
			session_lost(p, c, t->kept[i].data, t->kept[i].len);
			continue; /* closed below */
		}
		t->kept[i].data = NULL;
		t->kept[i].fds_n = 0;
		t->taken++;
	}
	keep_clear(t);
}

/* One message about sessions.  0, 1 at DONE, or a negative errno. */
static int take_one(const struct handover *h, struct handover_message *m,
		    struct taking *t, struct proxy *p, struct config *c)
{
	bool mine;
	int err = handover_receive(h, m);

	if (err)
		return err;
	if (m->type == HANDOVER_DONE)
		return 1;
	if (m->type == HANDOVER_COMMIT) {
		commit(t, p, c);
		return 0;
	}
	mine = m->type == HANDOVER_SESSION && keep(t, c, m);
	t->left += !mine;
	while (m->fds_n > 0)
		close(m->fds[--m->fds_n]);
	return handover_send(h, mine ? HANDOVER_TAKEN : HANDOVER_NOT_MINE, NULL, 0, NULL,
			     0);
}

int upgrade_take(int fd, struct proxy *p, struct config *c)
{
	struct handover_message m = { 0 };
	struct handover h = talk(fd);
	struct taking t = { .n = 0 };
	int err = 0;

	while (!err)
		err = take_one(&h, &m, &t, p, c);
	keep_clear(&t);
	handover_message_clear(&m);
	log_info("%u connections taken over, %u left to the old process", t.taken,
		 t.left);
	return err == 1 ? 0
			: log_errno(err, "the old process went before it had given "
					 "everything");
}

int upgrade_accepting(int fd)
{
	struct handover h = talk(fd);

	return handover_send(&h, HANDOVER_ACCEPTING, NULL, 0, NULL, 0);
}

int upgrade_take_late(int fd, struct proxy *p, struct config *c)
{
	struct handover_message m = { 0 };
	struct handover h = talk(fd);
	struct taking t = { .n = 0 };
	int err;

	h.patience_ms = SESSION_PATIENCE_MS;
	do { /* all of a batch, which ends with its commit */
		err = take_one(&h, &m, &t, p, c);
	} while (!err && m.type != HANDOVER_COMMIT);
	keep_clear(&t);
	handover_message_clear(&m);
	return err == 1 ? -EPROTO : err;
}

/* --- the old process --- */

static uint32_t conversation; /* with how many successors */
static uint32_t spoken;	      /* the version of the last one */

static int give_listeners(const struct handover *h, const struct proxy *p,
			  const struct config *c, const int *fds)
{
	int err = 0;

	for (unsigned i = 0; i < c->listeners_count * p->workers_n && !err; i++) {
		const struct listener *l = &c->listeners[i / p->workers_n];
		struct inherited in;

		memset(&in, 0, sizeof(in));
		in.addr = l->addr;
		in.ipv6_only = l->ipv6_only;
		in.listener = l->id;
		err = handover_send(h, HANDOVER_LISTENER, &in, sizeof(in), &fds[i], 1);
	}
	return err;
}

/* Copied, because the successor may be slow to take it. */
static void copy_health(const char *name, const struct target_state *states, unsigned n,
			void *arg)
{
	struct healths *all = arg;
	struct health_message *m;

	if (all->err || (!n && !states[0].drained) || strlen(name) >= sizeof(m->name))
		return;
	m = reallocarray(all->list, all->n + 1, sizeof(*m));
	if (!m) {
		all->err = -ENOMEM;
		return;
	}
	all->list = m;
	m += all->n++;
	memset(m, 0, sizeof(*m));
	memcpy(m->name, name, strlen(name));
	m->n = n;
	memcpy(m->states, states, (n ? n : 1) * sizeof(*states));
}

static int give_health(const struct handover *h)
{
	struct healths all = { .n = 0 };
	int err;

	target_each(copy_health, &all);
	err = all.err;
	for (unsigned i = 0; i < all.n && !err; i++)
		err = handover_send(h, HANDOVER_HEALTH, &all.list[i], sizeof(all.list[i]),
				    NULL, 0);
	free(all.list);
	return err;
}

static int give_tickets(const struct handover *h)
{
	struct ticket_ring ring;
	int err;

	tickets_export(&ring);
	err = handover_send(h, HANDOVER_TICKETS, &ring, sizeof(ring), NULL, 0);
	explicit_bzero(&ring, sizeof(ring));
	return err;
}

static int greet(const struct handover *h, struct handover_message *m)
{
	struct hello_message hello;
	int err = handover_expect(h, HANDOVER_HELLO, m);

	if (err || m->len != sizeof(hello))
		return err ? err : -EPROTO;
	memcpy(&hello, m->data, sizeof(hello));
	spoken = hello.version;
	if ((spoken == HANDOVER_VERSION || spoken == HANDOVER_VERSION - 1) &&
	    hello.abi_version == TG_ABI_VERSION)
		return 0;
	log_error(
		"the successor speaks version %u of the handover and %u of the books, this "
		"proxy %u and %u: stop this one, and start that",
		hello.version, hello.abi_version, HANDOVER_VERSION, TG_ABI_VERSION);
	return -EPROTO;
}

/* Offer a batch, and hear what is taken.  0 or a negative errno. */
static int offer(const struct handover *h, struct session_batch *b,
		 struct handover_message *m)
{
	int err = 0;

	for (unsigned i = 0; i < b->n && !err; i++) {
		const struct session_given *g = &b->given[i];

		err = handover_send(h, HANDOVER_SESSION, g->data, g->len, g->fds,
				    g->fds_n);
	}
	for (unsigned i = 0; i < b->n && !err; i++) {
		err = handover_receive(h, m);
		if (!err && m->type != HANDOVER_TAKEN && m->type != HANDOVER_NOT_MINE)
			err = -EPROTO;
		b->given[i].taken = !err && m->type == HANDOVER_TAKEN;
	}
	if (!err)
		err = handover_send(h, HANDOVER_COMMIT, NULL, 0, NULL, 0);
	/* without it nothing is theirs */
	for (unsigned i = 0; err && i < b->n; i++)
		b->given[i].taken = false;
	return err;
}

/* What became of the sessions that were offered: taken, or may be when they relay. */
struct offered {
	unsigned gone, later;
};

/* Everything of one worker that can move; others of its sessions go on meanwhile. */
static int give_sessions(const struct handover *h, struct worker *w, struct offered *o)
{
	struct handover_message m = { 0 };
	struct session_batch *b = calloc(1, sizeof(*b));
	unsigned n;
	int err;

	if (!b)
		return -ENOMEM;
	b->conversation = conversation;
	b->version = spoken;
	do {
		err = worker_call(w, session_batch_begin, b);
		n = err ? 0 : b->n;
		if (n)
			err = offer(h, b, &m);
		if (n)
			(void)worker_call(w, session_batch_end, b);
	} while (!err && n == SESSION_GIVE_MAX);
	o->gone += b->gone;
	o->later += b->later;
	free(b);
	handover_message_clear(&m);
	return err == -ESRCH ? 0 : err; /* its last connection has ended */
}

static int give_all(const struct handover *h, struct proxy *p, struct offered *o)
{
	int err = 0;

	for (unsigned i = 0; i < p->workers_n && !err; i++)
		err = give_sessions(h, &p->workers[i], o);
	return err;
}

static void all_workers(struct proxy *p, int (*fn)(struct worker *w, void *arg),
			void *arg)
{
	for (unsigned i = 0; i < p->workers_n; i++)
		(void)worker_call(&p->workers[i], fn, arg);
}

/* Which listeners the successor has: of the sockets it was given, in their order. */
struct theirs {
	const struct proxy *p;
	const struct config *c;
	const uint8_t *used;
	size_t n;
};

static bool is_theirs(const struct listener *l, void *arg)
{
	const struct theirs *t = arg;
	size_t first = (size_t)(l - t->c->listeners) * t->p->workers_n;

	for (size_t i = first; i < first + t->p->workers_n && i < t->n; i++) {
		if (t->used[i])
			return true;
	}
	return false;
}

/* Up to READY nothing changes here.  0 and what it uses in *m, or a negative errno. */
static int prepare(const struct handover *h, struct proxy *p, const struct config *c,
		   const int *fds, struct handover_message *m)
{
	int err = greet(h, m);

	if (!err)
		err = give_listeners(h, p, c, fds);
	if (!err)
		err = give_health(h);
	if (!err)
		err = give_tickets(h);
	if (!err)
		err = handover_send(h, HANDOVER_LISTENERS_END, NULL, 0, NULL, 0);
	return err ? err : handover_expect(h, HANDOVER_READY, m);
}

static struct handover talk_as_old(int fd, int interrupt, struct proxy *p)
{
	struct handover h = talk(fd);

	h.interrupt = interrupt;
	h.heartbeat_ns = &p->state->heartbeat_ns;
	return h;
}

int upgrade_give(int fd, int interrupt, struct proxy *p, const struct config *c,
		 const int *fds)
{
	struct handover_message m = { 0 }, answer = { 0 };
	struct handover h = talk_as_old(fd, interrupt, p);
	struct theirs theirs = { .p = p, .c = c };
	struct door_leave leave = { .has = is_theirs, .arg = &theirs };
	struct offered o = { 0 };
	int err;

	conversation++;
	err = prepare(&h, p, c, fds, &m);
	if (err) {
		handover_message_clear(&m);
		return log_errno(err, "no handover: this proxy goes on");
	}
	all_workers(p, orders_hold, NULL);
	err = handover_send(&h, HANDOVER_GO, NULL, 0, NULL, 0);
	h.patience_ms = SESSION_PATIENCE_MS;
	if (!err)
		err = give_all(&h, p, &o);
	h.patience_ms = ACCEPT_PATIENCE_MS;
	if (!err)
		err = handover_send(&h, HANDOVER_DONE, NULL, 0, NULL, 0);
	if (!err)
		err = handover_expect(&h, HANDOVER_ACCEPTING, &answer);
	if (err) {
		(void)shutdown(fd, SHUT_RDWR); /* what it says now comes too late */
		all_workers(p, orders_release, NULL);
		(void)log_errno(
			err,
			"the successor went in the middle of the handover, and %u "
			"connections with it: this proxy accepts again",
			o.gone);
	} else {
		theirs.used = m.data;
		theirs.n = m.len;
		all_workers(p, orders_leave_listeners, &leave);
	}
	handover_message_clear(&m);
	handover_message_clear(&answer);
	return err;
}

int upgrade_give_late(int fd, int interrupt, struct proxy *p)
{
	struct handover h = talk(fd);
	struct offered o = { 0 };
	int err;

	h.interrupt = interrupt;
	h.patience_ms = SESSION_PATIENCE_MS;
	err = give_all(&h, p, &o);
	return err ? err : o.later > 0;
}
