/* SPDX-License-Identifier: Apache-2.0 */
/* Two conns and what goes on between them. */
#include <errno.h>
#include <sys/epoll.h>

#include "base/util.h"
#include "net/tunnel.h"
#include "tests/unit/net/stage.h"

static struct tunnel t;
static struct timeouts timeouts;
static struct proxy_slot down_slot, up_slot;
static int client, server; /* the other ends */

static bool pumps; /* an event does so itself, as a session's does */

static void on_event(struct ev_io *io, uint32_t events)
{
	(void)conn_event(io, events);
	if (pumps && tunnel_pump(&t).step == STEP_AGAIN)
		ev_task_add(net_worker.loop, &t.task);
}

static void on_task(struct ev_task *task)
{
	(void)task;
}

static void relaying(void)
{
	int down[2], up[2];

	net_up(8, 8);
	stage_pair(down);
	stage_pair(up);
	client = down[0];
	server = up[0];
	memset(&t, 0, sizeof(t));
	memset(&down_slot, 0, sizeof(down_slot));
	memset(&up_slot, 0, sizeof(up_slot));
	timeouts = (struct timeouts){ .half_close_ms = 60000, .keepalive_ms = 1000 };
	conn_init(&t.down, &net_worker, down[1], false, on_event);
	conn_init(&t.up, &net_worker, up[1], true, on_event);
	net_proxy.upstreams = 1;
	conn_take_row(&t.down, &down_slot);
	conn_take_row(&t.up, &up_slot);
	t.timeouts = &timeouts;
	t.task.fn = on_task;
	t.began_ms = ev_now_ms(net_worker.loop);
	ready(&t.down, POLLOUT);
	ready(&t.up, POLLOUT);
	tunnel_begin(&t, 0);
	CHECK_STEP(STEP_WAIT, tunnel_pump(&t));
}

static void done(void)
{
	ev_task_del(net_worker.loop, &t.task);
	tunnel_close(&t, true);
	if (client >= 0)
		close(client);
	if (server >= 0)
		close(server);
	net_down();
}

/* A pump, and the end of its turn. */
static struct outcome pump(void)
{
	struct outcome o = tunnel_pump(&t);

	conn_settle(&net_worker);
	return o;
}

static void bytes_go_both_ways_and_are_counted(void)
{
	char buf[64];

	relaying();
	says(client, &t.down, "question", 8);
	CHECK_STEP(STEP_WAIT, pump());
	CHECK_INT(8, read(server, buf, sizeof(buf)));
	says(server, &t.up, "an answer", 9);
	CHECK_STEP(STEP_WAIT, pump());
	CHECK_INT(9, read(client, buf, sizeof(buf)));
	CHECK_INT(8, t.down.rx);
	CHECK_INT(8, t.up.tx);
	CHECK_INT(9, t.up.rx);
	CHECK_INT(9, t.down.tx);
	CHECK_INT(8, down_slot.rx_payload_bytes);
	CHECK_INT(9, up_slot.rx_payload_bytes);
	done();
}

static void a_half_close_goes_on_and_the_second_is_the_end(void)
{
	struct outcome o;
	char buf[64];

	relaying();
	says(client, &t.down, "last", 4);
	(void)shutdown(client, SHUT_WR);
	ready(&t.down, POLLRDHUP);
	t.watched = true;
	o = pump();
	CHECK_STEP(STEP_WAIT, o);
	CHECK_INT(timeouts.half_close_ms, o.wait_ms);
	CHECK_INT(4, read(server, buf, sizeof(buf)));
	CHECK_INT(0, read(server, buf, sizeof(buf)));
	CHECK_INT(TUNNEL_CLIENT, t.first);
	says(server, &t.up, "yes", 3);
	o = pump();
	CHECK_STEP(STEP_WAIT, o);
	CHECK_INT(0, o.wait_ms); /* as it was */
	(void)shutdown(server, SHUT_WR);
	ready(&t.up, POLLRDHUP);
	CHECK_OVER(TG_END_DONE, false, pump());
	CHECK_INT(3, read(client, buf, sizeof(buf)));
	done();
}

static void what_a_reset_side_had_sent_goes_on_before_the_end(void)
{
	const struct linger now = { .l_onoff = 1 };
	struct outcome o;
	char buf[64];

	relaying();
	says(server, &t.up, "before", 6);
	CHECK_STEP(STEP_WAIT, tunnel_pump(&t)); /* it is in the outbox still */
	(void)setsockopt(server, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(server);
	server = -1;
	ready(&t.up, POLLERR);
	CHECK_STEP(STEP_WAIT, tunnel_pump(&t));
	conn_settle(&net_worker);
	o = tunnel_pump(&t);
	CHECK_STEP(STEP_NEXT, o);
	CHECK_INT(TUNNEL_BACKEND, t.broken);
	CHECK_INT(6, read(client, buf, sizeof(buf)));
	o = tunnel_drain_begin(&t); /* acknowledged by loopback, or about to be */
	for (int i = 0; i < 1000 && o.step == STEP_WAIT; i++) {
		CHECK(o.wait_ms > 0);
		(void)poll(NULL, 0, 1);
		o = tunnel_drain(&t);
	}
	CHECK_OVER(TG_END_BACKEND_RESET, true, o);
	done();
}

/* A send of the outbox was told of the reset, once: nobody takes it for an end. */
static void a_reset_that_the_outbox_was_told_of_is_no_end_of_stream(void)
{
	const struct linger now = { .l_onoff = 1 };
	struct outcome o;

	relaying();
	says(client, &t.down, "lost", 4);
	CHECK_STEP(STEP_WAIT, tunnel_pump(&t));
	(void)setsockopt(server, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(server);
	server = -1;
	for (int i = 0; i < 1000 && !(t.up.failed && t.up.ended); i++)
		ready(&t.up, 0);
	t.up.failed = false; /* its event comes later */
	conn_settle(&net_worker);
	CHECK(t.up.err != 0);
	CHECK_INT(4, tunnel_held(&t, TUNNEL_CLIENT));
	o = tunnel_pump(&t);
	CHECK_STEP(STEP_NEXT, o);
	CHECK_INT(TUNNEL_BACKEND, t.broken);
	CHECK(!t.down.shut_out);
	done();
}

static void a_stream_leaves_others_their_turn(void)
{
	static uint8_t much[4 << 20];
	bool again = false;
	int size = 4 << 20;
	ssize_t n;

	relaying();
	(void)setsockopt(server, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	for (int i = 0; i < 200 && !again; i++) {
		n = send(client, much, sizeof(much), MSG_DONTWAIT);
		ready(&t.down, 0);
		again = tunnel_pump(&t).step == STEP_AGAIN;
		conn_settle(&net_worker);
		while (recv(server, much, sizeof(much), MSG_DONTWAIT) > 0)
			;
		ready(&t.up, 0);
		if (n < 0)
			(void)poll(NULL, 0, 1);
	}
	CHECK(again);
	done();
}

static void a_request_that_waits_does_not_stop_the_response(void)
{
	char buf[64];

	relaying();
	t.request_waits = true;
	t.request_due_ms = 500;
	t.due_changed = true;
	says(client, &t.down, "?", 1);
	says(server, &t.up, "hello", 5);
	CHECK_INT(500, pump().wait_ms);
	CHECK_INT(5, read(client, buf, sizeof(buf)));
	CHECK_INT(-1, recv(server, buf, sizeof(buf), MSG_DONTWAIT));
	t.began_ms -= 500;
	CHECK_OVER(TG_END_PROXY_HEADER_UNTRUSTED, true, tunnel_due(&t));
	t.request_waits = false;
	CHECK_STEP(STEP_WAIT, pump());
	CHECK_INT(1, read(server, buf, sizeof(buf)));
	done();
}

static void a_deadline_of_a_relay_has_its_reason(void)
{
	struct outcome o;

	relaying();
	t.watched = true;
	t.idle_ms = 1000;
	t.active_ms = ev_now_ms(net_worker.loop) - 999;
	o = tunnel_due(&t);
	CHECK_STEP(STEP_WAIT, o);
	CHECK_INT(1, o.wait_ms);
	t.active_ms--;
	CHECK_OVER(TG_END_IDLE_TIMEOUT, true, tunnel_due(&t));
	t.idle_ms = 0;
	timeouts.life_ms = 5000;
	t.began_ms -= 5000;
	CHECK_OVER(TG_END_LIFE_MAX, true, tunnel_due(&t));
	timeouts.life_ms = 0;
	o = tunnel_due(&t);
	CHECK_STEP(STEP_WAIT, o);
	CHECK_INT(-1, o.wait_ms);
	done();
}

/* --- a layer that has read ahead --- */

static int records;

static ssize_t record_read(struct conn *c, void *buf, size_t cap)
{
	(void)c;
	(void)cap;
	if (!records)
		return -EAGAIN;
	records--;
	memcpy(buf, "rec.", 4);
	return 4;
}

static ssize_t record_write(struct conn *c, const void *buf, size_t n)
{
	uint8_t *room = c->out || c->queued ? NULL : conn_room(c);

	if (!room)
		return -EAGAIN;
	memcpy(room, buf, n);
	conn_put(c, n);
	return (ssize_t)n;
}

static bool record_has_more(const struct conn *c)
{
	(void)c;
	return records > 0;
}

static size_t record_unread(const struct conn *c)
{
	(void)c;
	return (size_t)records * 4;
}

static int record_finish(struct conn *c)
{
	(void)c;
	return 0;
}

static void record_free(struct conn *c)
{
	c->layer = NULL;
}

/* Each leaves by the outbox, and makes room for the next when it has left. */
static void what_is_put_while_a_turn_settles_leaves_in_the_next(void)
{
	static const struct layer_ops ops = { .read = record_read,
					      .write = record_write,
					      .has_more = record_has_more,
					      .unread = record_unread,
					      .finish = record_finish,
					      .free = record_free };
	struct layer layer = { &ops };
	char got[64];

	relaying();
	pumps = true;
	t.down.layer = &layer;
	records = 3;
	says(server, &t.up, "resp", 4);
	on_event(&t.down.io, EPOLLIN); /* both in one batch */
	on_event(&t.up.io, EPOLLIN);
	conn_settle(&net_worker);
	if (t.task.queued) {
		ev_task_del(net_worker.loop, &t.task);
		on_event(&t.down.io, 0);
	}
	conn_settle(&net_worker);
	CHECK(net_worker.soon.queued); /* the loop does not sleep */
	ev_task_del(net_worker.loop, &net_worker.soon);
	conn_settle(&net_worker);
	CHECK(!net_worker.soon.queued);
	CHECK_INT(0, net_worker.pool.queued);
	(void)poll(NULL, 0, 10);
	CHECK_INT(12, read(server, got, sizeof(got)));
	pumps = false;
	done();
}

/* What the first had sent before has nowhere to go: nothing is waited for. */
static void both_ends_may_break(void)
{
	static uint8_t much[8 << 20];
	const struct linger now = { .l_onoff = 1 };

	relaying();
	for (int i = 0; i < 50; i++) {
		(void)!send(client, much, sizeof(much), MSG_DONTWAIT);
		ready(&t.down, 0);
		(void)pump();
	}
	(void)setsockopt(client, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(client);
	client = -1;
	(void)poll(NULL, 0, 10);
	ready(&t.down, POLLERR);
	CHECK_STEP(STEP_WAIT, pump());
	CHECK(tunnel_held(&t, TUNNEL_CLIENT) > 0);
	(void)setsockopt(server, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(server);
	server = -1;
	(void)poll(NULL, 0, 10);
	ready(&t.up, POLLERR);
	CHECK_STEP(STEP_NEXT, pump());
	done();
}

int main(void)
{
	RUN(bytes_go_both_ways_and_are_counted);
	RUN(a_half_close_goes_on_and_the_second_is_the_end);
	RUN(what_a_reset_side_had_sent_goes_on_before_the_end);
	RUN(a_reset_that_the_outbox_was_told_of_is_no_end_of_stream);
	RUN(a_stream_leaves_others_their_turn);
	RUN(a_request_that_waits_does_not_stop_the_response);
	RUN(a_deadline_of_a_relay_has_its_reason);
	RUN(what_is_put_while_a_turn_settles_leaves_in_the_next);
	RUN(both_ends_may_break);
	DONE();
}
