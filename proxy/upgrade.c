/* SPDX-License-Identifier: Apache-2.0 */
/* The conversation of an upgrade.  Until READY the old process goes on as if alone. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "handover.h"
#include "session.h"
#include "upgrade.h"

struct hello_message {
	uint32_t version;
	uint32_t abi_version;
};

/* --- the successor --- */

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

int upgrade_begin(int fd, struct inherited **ret, unsigned *n)
{
	const struct hello_message hello = { HANDOVER_VERSION, TG_ABI_VERSION };
	struct handover_message m = { 0 };
	int err;

	*ret = NULL;
	*n = 0;
	err = handover_send(fd, HANDOVER_HELLO, &hello, sizeof(hello), NULL, 0);
	while (!err) {
		err = handover_receive(fd, &m);
		if (err || m.type == HANDOVER_LISTENERS_END)
			break;
		err = m.type == HANDOVER_LISTENER ? add_inherited(ret, n, &m) : -EPROTO;
	}
	handover_message_clear(&m);
	return err ? log_errno(err, "the running proxy does not hand over (its log says "
				    "why)")
		   : 0;
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

/* True if it was taken. */
static bool take_session(struct proxy *p, struct config *c, unsigned number,
			 struct handover_message *m)
{
	uint8_t *data;

	if (!session_is_ours(c, m->data, m->len, m->fds_n) || !(data = malloc(m->len)))
		return false;
	memcpy(data, m->data, m->len);
	if (worker_adopt(&p->workers[number % p->workers_n], data, m->fds, m->fds_n) <
	    0) {
		free(data);
		return false;
	}
	m->fds_n = 0; /* now the worker's */
	return true;
}

int upgrade_agree(int fd)
{
	struct handover_message m = { 0 };
	int err = handover_send(fd, HANDOVER_READY, NULL, 0, NULL, 0);

	if (!err)
		err = handover_expect(fd, HANDOVER_GO, &m);
	handover_message_clear(&m);
	return err ? log_errno(err,
			       "the running proxy went on by itself: we came too late")
		   : 0;
}

int upgrade_finish(int fd, struct proxy *p, struct config *c)
{
	struct handover_message m = { 0 };
	unsigned taken = 0, left = 0;
	int err = 0;

	while (!err) {
		bool mine;

		err = handover_receive(fd, &m);
		if (err || m.type == HANDOVER_DONE)
			break;
		mine = m.type == HANDOVER_SESSION && take_session(p, c, taken, &m);
		taken += mine;
		left += !mine;
		while (m.fds_n > 0)
			close(m.fds[--m.fds_n]);
		err = handover_send(fd, mine ? HANDOVER_TAKEN : HANDOVER_NOT_MINE, NULL,
				    0, NULL, 0);
	}
	handover_message_clear(&m);
	log_info("%u connections taken over, %u left to the old process", taken, left);
	return err ? log_errno(err, "the old process went before it had given everything")
		   : 0;
}

/* --- the old process --- */

static int give_listeners(int fd, const struct proxy *p, const struct config *c,
			  const int *fds)
{
	int err = 0;

	for (unsigned i = 0; i < c->listeners_count * p->workers_n && !err; i++) {
		const struct listener *l = &c->listeners[i / p->workers_n];
		struct inherited in;

		memset(&in, 0, sizeof(in));
		in.addr = l->addr;
		in.ipv6_only = l->ipv6_only;
		in.listener = l->id;
		err = handover_send(fd, HANDOVER_LISTENER, &in, sizeof(in), &fds[i], 1);
	}
	return err ? err : handover_send(fd, HANDOVER_LISTENERS_END, NULL, 0, NULL, 0);
}

static int greet(int fd, struct handover_message *m)
{
	struct hello_message hello;
	int err = handover_expect(fd, HANDOVER_HELLO, m);

	if (err || m->len != sizeof(hello))
		return err ? err : -EPROTO;
	memcpy(&hello, m->data, sizeof(hello));
	if (hello.version == HANDOVER_VERSION && hello.abi_version == TG_ABI_VERSION)
		return 0;
	log_error(
		"the successor speaks version %u of the handover and %u of the books, this "
		"proxy %u and %u: stop this one, and start that",
		hello.version, hello.abi_version, HANDOVER_VERSION, TG_ABI_VERSION);
	return -EPROTO;
}

int upgrade_give(int fd, struct proxy *p, const struct config *c, const int *fds)
{
	struct handover_message m = { 0 };
	int err;

	err = greet(fd, &m);
	if (!err)
		err = give_listeners(fd, p, c, fds);
	if (!err)
		err = handover_expect(fd, HANDOVER_READY, &m);
	if (!err)
		err = handover_send(fd, HANDOVER_GO, NULL, 0, NULL, 0);
	handover_message_clear(&m);
	if (err)
		return log_errno(err, "no handover: this proxy goes on");
	for (unsigned i = 0; i < p->workers_n; i++) {
		int one = worker_hand_over(&p->workers[i], err ? -1 : fd);

		if (one) /* a late answer must not be taken for another one's */
			(void)shutdown(fd, SHUT_RDWR);
		err = err ? err : one;
	}
	if (!err)
		err = handover_send(fd, HANDOVER_DONE, NULL, 0, NULL, 0);
	if (!err)
		return 0;
	(void)log_errno(err, "the successor went in the middle of the handover");
	return -EPIPE;
}
