/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/session/stage.h"

static const char plain[] =
	"listeners:\n"
	"  - name: plain\n"
	"    address: \"127.0.0.1:1\"\n"
	"    routes: [{ name: app, backends: [\"127.0.0.1:PORT\"] }]\n";

static int server; /* the other end of up */

static struct session *relaying(void)
{
	struct session *s;
	int fds[2];

	stage_up(plain);
	s = st.s;
	stage_pair(fds);
	server = fds[0];
	s->route = &s->listener->routes[0];
	s->backend = &s->route->backends[0];
	s->up.fd = fds[1];
	st.proxy.upstreams = 1;
	leg_take_slot(&s->up, s->backend->upstream);
	leg_take_slot(&s->down, s->backend->downstream);
	ready(&s->down, POLLOUT);
	ready(&s->up, POLLOUT);
	s->state = ST_RELAY;
	CHECK_STEP(STEP_WAIT, tunnel_begin(s));
	return s;
}

static void done(void)
{
	stage_down();
	close(server);
}

static void bytes_go_both_ways_and_are_counted(void)
{
	struct session *s = relaying();
	char buf[64];

	says(st.client, &s->down, "question", 8);
	CHECK_STEP(STEP_WAIT, tunnel_pump(s));
	CHECK_INT(8, read(server, buf, sizeof(buf)));
	says(server, &s->up, "an answer", 9);
	CHECK_STEP(STEP_WAIT, tunnel_pump(s));
	CHECK_INT(9, read(st.client, buf, sizeof(buf)));
	CHECK_INT(8, s->down.rx);
	CHECK_INT(8, s->up.tx);
	CHECK_INT(9, s->up.rx);
	CHECK_INT(9, s->down.tx);
	CHECK_INT(8, st.downstream[0].rx_payload_bytes);
	CHECK_INT(9, st.upstream[0].rx_payload_bytes);
	done();
}

static void a_half_close_goes_on_and_the_second_is_the_end(void)
{
	struct session *s = relaying();
	char buf[64];

	says(st.client, &s->down, "last", 4);
	(void)shutdown(st.client, SHUT_WR);
	ready(&s->down, POLLRDHUP);
	CHECK_STEP(STEP_WAIT, tunnel_pump(s));
	CHECK_INT(4, read(server, buf, sizeof(buf)));
	CHECK_INT(0, read(server, buf, sizeof(buf)));
	CHECK(s->first == &s->down);
	says(server, &s->up, "yes", 3);
	CHECK_STEP(STEP_WAIT, tunnel_pump(s));
	(void)shutdown(server, SHUT_WR);
	ready(&s->up, POLLRDHUP);
	CHECK_OVER(TG_END_DONE, false, tunnel_pump(s));
	CHECK_INT(3, read(st.client, buf, sizeof(buf)));
	done();
}

static void what_a_reset_side_had_sent_goes_on_before_the_end(void)
{
	const struct linger now = { .l_onoff = 1 };
	struct session *s = relaying();
	struct outcome o;
	char buf[64];

	says(server, &s->up, "before", 6);
	CHECK_STEP(STEP_WAIT, tunnel_pump(s));
	(void)setsockopt(server, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(server);
	server = -1;
	ready(&s->up, POLLERR);
	CHECK_STEP(STEP_NEXT, tunnel_pump(s));
	CHECK(s->broken == &s->up);
	CHECK_INT(6, read(st.client, buf, sizeof(buf)));
	s->state = ST_DRAIN;
	o = tunnel_drain_begin(s); /* acknowledged by loopback, or about to be */
	for (int i = 0; i < 1000 && o.step == STEP_WAIT; i++) {
		(void)poll(NULL, 0, 1);
		o = tunnel_drain(s);
	}
	CHECK_OVER(TG_END_BACKEND_RESET, true, o);
	done();
}

static void a_stream_leaves_others_their_turn(void)
{
	static uint8_t much[4 << 20];
	struct session *s = relaying();
	bool again = false;
	int size = 4 << 20;
	ssize_t n;

	(void)setsockopt(server, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	for (int i = 0; i < 200 && !again; i++) {
		n = send(st.client, much, sizeof(much), MSG_DONTWAIT);
		ready(&s->down, POLLIN);
		again = tunnel_pump(s).step == STEP_AGAIN;
		while (recv(server, much, sizeof(much), MSG_DONTWAIT) > 0)
			;
		ready(&s->up, POLLOUT);
		if (n < 0)
			(void)poll(NULL, 0, 1);
	}
	CHECK(again);
	done();
}

static void a_deadline_of_a_relay_has_its_reason(void)
{
	struct session *s = relaying();

	s->watched = true;
	s->route->idle_ms = 1000;
	s->active_ms = ev_now_ms(st.worker.loop) - 999;
	CHECK_STEP(STEP_WAIT, tunnel_due(s));
	CHECK_INT(ev_now_ms(st.worker.loop) + 1, s->due_ms);
	s->active_ms--;
	CHECK_OVER(TG_END_IDLE_TIMEOUT, true, tunnel_due(s));
	s->route->idle_ms = 0;
	s->config->timeouts.life_ms = 5000;
	s->began_ms -= 5000;
	CHECK_OVER(TG_END_LIFE_MAX, true, tunnel_due(s));
	s->config->timeouts.life_ms = 0;
	CHECK_STEP(STEP_WAIT, tunnel_due(s));
	CHECK_INT(-1, s->due_ms);
	done();
}

static void the_end_is_told_once_with_the_sums_as_claim(void)
{
	struct session *s = relaying();
	char buf[8];

	says(st.client, &s->down, "abc", 3);
	CHECK_STEP(STEP_WAIT, tunnel_pump(s));
	CHECK_INT(3, read(server, buf, sizeof(buf)));
	st.labels = 0;
	session_run(s, outcome_over(TG_END_DONE, false));
	session_end(s, TG_END_ZOMBIE, true); /* it is over */
	CHECK_INT(1, st.events);
	CHECK_INT(TG_END_DONE, st.event.reason);
	CHECK_INT(2, st.labels);
	CHECK_INT(TG_LABEL_FINAL | TG_LABEL_CLAIMED, st.label.flags);
	CHECK_INT(3, st.label.rx_payload_bytes); /* the client's, closed last */
	CHECK_INT(1, st.downstream[0].closed);
	CHECK_INT(0, st.proxy.sessions);
	done();
}

int main(void)
{
	RUN(bytes_go_both_ways_and_are_counted);
	RUN(a_half_close_goes_on_and_the_second_is_the_end);
	RUN(what_a_reset_side_had_sent_goes_on_before_the_end);
	RUN(a_stream_leaves_others_their_turn);
	RUN(a_deadline_of_a_relay_has_its_reason);
	RUN(the_end_is_told_once_with_the_sums_as_claim);
	DONE();
}
