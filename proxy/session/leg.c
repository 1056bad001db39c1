/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One socket of a session and its place in the books.  Bytes are added to the leg's slot
 * in the step that moved them; the leg's own sums become the proxy's claim at the end.
 */
#include <sys/socket.h>
#include <unistd.h>

#include "session/state.h"

void leg_take_slot(struct leg *leg, struct proxy_slot *slot)
{
	if (leg->slot)
		return;
	leg->slot = slot;
	book_add(&slot->opened, 1);
	if (leg->rx)
		book_add(&slot->rx_payload_bytes, leg->rx);
	if (leg->tx) /* an alert */
		book_add(&slot->tx_payload_bytes, leg->tx);
	if (leg->rx_header)
		book_add(&slot->rx_header_bytes, leg->rx_header);
}

void leg_add_rx(struct leg *leg, size_t n)
{
	leg->rx += n;
	if (leg->slot && n)
		book_add(&leg->slot->rx_payload_bytes, n);
}

void leg_add_tx(struct leg *leg, size_t n)
{
	leg->tx += n;
	if (leg->slot && n)
		book_add(&leg->slot->tx_payload_bytes, n);
}

void leg_move_to_header(struct leg *leg, size_t n)
{
	leg->rx -= n;
	leg->rx_header += (uint32_t)n;
}

/* The sums count when the label is the claim. */
static void label_write(struct session *s, struct leg *leg, uint8_t flags)
{
	const struct sock_label label = { .listener = leg->name.listener,
					  .route = leg->name.route,
					  .backend = leg->name.backend,
					  .leg = leg->name.leg,
					  .flags = flags,
					  .rx_payload_bytes = leg->rx + leg->rx_header,
					  .tx_payload_bytes = leg->tx + leg->tx_header };

	if (leg == &s->down ? s->listener->path != NULL : s->backend->path != NULL)
		return; /* the books of the kernel are of TCP */
	/* a failure is counted there */
	(void)writer_label(s->worker->proxy->writer, leg->fd, &leg->label_place, &label);
}

void leg_close(struct session *s, struct leg *leg, bool reset)
{
	const struct linger now = { .l_onoff = 1 };

	if (leg->fd < 0)
		return;
	label_write(s, leg, TG_LABEL_FINAL | TG_LABEL_CLAIMED);
	if (s->adopted) /* the old process may have it open still */
		ev_io_del(s->worker->loop, &leg->io);
	else
		ev_io_forget(s->worker->loop, &leg->io);
	if (reset) /* socket(7): a linger time of 0 sends RST */
		(void)setsockopt(leg->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(leg->fd);
	leg->fd = -1;
	if (leg == &s->up)
		__atomic_fetch_sub(&s->worker->proxy->upstreams, 1, __ATOMIC_RELAXED);
	if (leg->slot)
		book_add(&leg->slot->closed, 1);
}

void leg_name(struct session *s, struct leg *leg, enum tg_leg which)
{
	leg->name = (struct leg_name){ .listener = s->listener->id,
				       .route = s->route->id,
				       .backend = s->backend->id,
				       .leg = (uint8_t)which };
}

void leg_label(struct session *s, struct leg *leg, enum tg_leg which)
{
	leg_name(s, leg, which);
	label_write(s, leg, TG_LABEL_FINAL);
}

void leg_reset(struct leg *leg)
{
	leg->readable = leg->writable = leg->ended = leg->urgent = leg->failed = false;
	leg->shut_out = false;
	leg->err = 0;
	leg->label_place = 0;
	leg->slot = NULL;
	leg->rx = leg->tx = leg->rx_header = leg->tx_header = 0;
}
