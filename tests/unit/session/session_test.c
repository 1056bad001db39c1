/* SPDX-License-Identifier: Apache-2.0 */
/* Where a step's answer leads, and how a session ends. */
#include "tests/unit/session/stage.h"

static const char plain[] =
	"listeners:\n"
	"  - name: plain\n"
	"    address: \"127.0.0.1:1\"\n"
	"    proxy_protocol: { from: [192.0.2.0/24] }\n"
	"    routes: [{ name: app, backends: [\"127.0.0.1:PORT\"] }]\n";

static int server; /* the other end of up */

/* With what the client said before, if anything. */
static struct session *relaying(const char *said, bool sniff)
{
	struct session *s;

	stage_up(plain);
	s = st.s;
	s->sniff = sniff;
	if (said) {
		s->opening = calloc(1, sizeof(*s->opening));
		s->opening->head = (uint8_t *)strdup(said);
		s->opening->len = s->opening->cap = strlen(said);
		st.proxy.openings_bytes = s->opening->cap;
	}
	s->state = ST_HELLO;
	session_run(s, opening_skip(s));
	CHECK_INT(ST_CONNECT, s->state);
	server = accept(st.listening, NULL, NULL);
	ready(&s->tunnel.up, POLLOUT);
	ready(&s->tunnel.down, POLLOUT);
	session_run(s, connect_event(s, &s->tunnel.up));
	CHECK_INT(ST_RELAY, s->state);
	return s;
}

static void done(void)
{
	stage_down();
	close(server);
}

static void what_the_client_said_first_goes_first(void)
{
	struct session *s = relaying("first ", false);
	char buf[16];

	says(st.client, &s->tunnel.down, "second", 6);
	session_run(s, opening_pump(s));
	for (size_t n = 0; n < 12;) {
		ssize_t got = read(server, buf + n, sizeof(buf) - n);

		CHECK(got > 0);
		n += got > 0 ? (size_t)got : sizeof(buf);
	}
	CHECK(memcmp(buf, "first second", 12) == 0);
	CHECK_INT(12, st.upstream[0].tx_payload_bytes);
	CHECK(s->opening == NULL);
	CHECK_INT(0, st.proxy.openings_bytes);
	done();
}

static void who_begins_like_a_header_has_a_while_for_the_rest(void)
{
	struct session *s = relaying(NULL, true);
	char buf[16];

	CHECK(s->tunnel.request_waits);
	says(st.client, &s->tunnel.down, "PRO", 3);
	session_run(s, opening_pump(s));
	CHECK(s->tunnel.request_waits);
	CHECK(s->tunnel.request_due_ms >= s->config->timeouts.hello_ms);
	CHECK_INT(-1, recv(server, buf, sizeof(buf), MSG_DONTWAIT));
	says(st.client, &s->tunnel.down, "FIT", 3);
	session_run(s, opening_pump(s));
	CHECK(!s->tunnel.request_waits);
	CHECK_INT(6, read(server, buf, sizeof(buf)));
	done();
	s = relaying(NULL, true);
	says(st.client, &s->tunnel.down, "PROXY ", 6);
	session_run(s, opening_pump(s));
	CHECK_INT(TG_END_PROXY_HEADER_UNTRUSTED, told.event.reason);
	done();
}

static void the_end_is_told_once_with_the_sums_as_claim(void)
{
	struct session *s = relaying(NULL, false);
	char buf[8];

	says(st.client, &s->tunnel.down, "abc", 3);
	session_run(s, opening_pump(s));
	CHECK_INT(3, read(server, buf, sizeof(buf)));
	told.labels = 0;
	session_run(s, outcome_over(TG_END_DONE, false));
	session_end(s, TG_END_ZOMBIE, true); /* it is over */
	CHECK_INT(1, told.events);
	CHECK_INT(TG_END_DONE, told.event.reason);
	CHECK_INT(1, told.ends[TG_END_DONE][TG_SIDE_CLIENT]);
	CHECK_INT(2, told.labels);
	CHECK_INT(TG_LABEL_FINAL | TG_LABEL_CLAIMED, told.label.flags);
	CHECK_INT(3, told.label.rx_payload_bytes); /* the client's, closed last */
	CHECK_INT(1, st.downstream[0].closed);
	CHECK_INT(0, st.proxy.sessions);
	CHECK_INT(0, st.proxy.upstreams);
	done();
}

static void a_backend_that_is_gone_takes_nothing_and_the_loss_is_counted(void)
{
	const struct linger now = { .l_onoff = 1 };
	struct session *s;

	stage_up(plain);
	s = st.s;
	s->opening = calloc(1, sizeof(*s->opening));
	s->opening->head = (uint8_t *)strdup("lost");
	s->opening->len = s->opening->cap = 4;
	st.proxy.openings_bytes = 4;
	conn_add_rx(&s->tunnel.down, 4);
	s->state = ST_HELLO;
	session_run(s, opening_skip(s));
	server = accept(st.listening, NULL, NULL);
	ready(&s->tunnel.up, POLLOUT);
	ready(&s->tunnel.down, POLLOUT);
	(void)setsockopt(server, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(server);
	server = -1;
	(void)poll(NULL, 0, 1);
	(void)shutdown(s->tunnel.up.fd, SHUT_WR);
	s->state = ST_RELAY;
	conn_take_row(&s->tunnel.down, s->dial.backend->downstream);
	session_run(s, opening_relay(s));
	for (int i = 0; i < 1000 && s->state != ST_OVER; i++) {
		(void)poll(NULL, 0, 1);
		ready(&s->tunnel.up, 0);
		session_run(s, s->state == ST_RELAY ? opening_pump(s)
						    : tunnel_drain(&s->tunnel));
	}
	CHECK_INT(ST_OVER, s->state);
	CHECK_INT(4, told.event.undelivered_bytes[TG_RX]);
	CHECK_INT(4, st.downstream[0].undelivered_bytes);
	stage_down();
}

int main(void)
{
	RUN(what_the_client_said_first_goes_first);
	RUN(who_begins_like_a_header_has_a_while_for_the_rest);
	RUN(the_end_is_told_once_with_the_sums_as_claim);
	RUN(a_backend_that_is_gone_takes_nothing_and_the_loss_is_counted);
	DONE();
}
