/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/session/stage.h"

static const char tls[] =
	"listeners:\n"
	"  - name: tls\n"
	"    address: \"127.0.0.1:1\"\n"
	"    proxy_protocol: { from: [127.0.0.0/8] }\n"
	"    limits: { per_source: 1 }\n"
	"    routes:\n"
	"      - { name: app, sni: [app.example.org], backends: [\"127.0.0.1:PORT\"] }\n";

static struct session *opening(enum session_state state)
{
	struct session *s;

	stage_up(tls);
	s = st.s;
	s->state = (uint8_t)state;
	s->trusted = state == ST_HEADER;
	s->opening = calloc(1, sizeof(*s->opening));
	openings_add(s);
	return s;
}

static void a_hello_in_two_parts_names_its_route(void)
{
	struct session *s = opening(ST_HELLO);
	uint8_t hello[512];
	ssize_t n = hello_make(hello, sizeof(hello), "app.example.org");

	says(st.client, &s->tunnel.down, hello, 50);
	CHECK_STEP(STEP_WAIT, opening_read(s));
	CHECK(!s->tunnel.down.readable);
	CHECK(s->dial.route == NULL);
	says(st.client, &s->tunnel.down, hello + 50, (size_t)n - 50);
	CHECK_STEP(STEP_NEXT, opening_read(s));
	CHECK(s->dial.route == &s->listener->routes[0]);
	CHECK_INT(n, opening_held(s));
	CHECK_INT(n, s->tunnel.down.rx);
	CHECK(s->heard != NULL);
	stage_down();
}

static void a_hello_for_nobody_is_over(void)
{
	struct session *s = opening(ST_HELLO);
	uint8_t hello[512];
	ssize_t n = hello_make(hello, sizeof(hello), "other.example.org");

	says(st.client, &s->tunnel.down, hello, (size_t)n);
	CHECK_OVER(TG_END_NO_ROUTE, true, opening_read(s));
	stage_down();
}

static void what_is_no_hello_and_what_ends_is_over_with_its_reason(void)
{
	struct session *s = opening(ST_HELLO);

	says(st.client, &s->tunnel.down, "GET / HTTP/1.0\r\n", 16);
	CHECK_OVER(TG_END_HELLO_NOT_TLS, true, opening_read(s));
	stage_down();
	s = opening(ST_HELLO);
	(void)shutdown(st.client, SHUT_WR);
	ready(&s->tunnel.down, POLLRDHUP);
	CHECK_OVER(TG_END_HELLO_CLOSED, false, opening_read(s));
	stage_down();
	s = opening(ST_HELLO);
	CHECK_OVER(TG_END_HELLO_TIMEOUT, true, opening_due(s));
	stage_down();
}

static void behind_a_header_the_hello_goes_on(void)
{
	static const char header[] = "PROXY TCP4 203.0.113.7 203.0.113.8 1000 443\r\n";
	struct session *s = opening(ST_HEADER);
	char both[1024];
	ssize_t n;

	memcpy(both, header, sizeof(header) - 1);
	n = hello_make((uint8_t *)both + sizeof(header) - 1, 512, "app.example.org");
	says(st.client, &s->tunnel.down, both, sizeof(header) - 1 + (size_t)n);
	CHECK_STEP(STEP_NEXT, opening_read(s)); /* HEADER is done */
	CHECK(s->dial.route == NULL);
	CHECK_INT(sizeof(header) - 1, s->tunnel.down.rx_header);
	CHECK_INT(203, s->client.ip[12]);
	s->state = ST_HELLO;
	CHECK_STEP(STEP_NEXT, opening_hello(s));
	CHECK(s->dial.route == &s->listener->routes[0]);
	CHECK_INT(n, opening_held(s));
	stage_down();
}

static void the_source_of_a_header_is_counted_by_its_limit(void)
{
	static const char header[] = "PROXY TCP4 203.0.113.7 203.0.113.8 1000 443\r\n";
	struct session *s = opening(ST_HEADER);
	struct limits_holds other = { .n = 0 };
	struct facts facts;
	struct addr a = { .port = 0 };

	(void)addr_parse_ip("203.0.113.7", a.ip);
	facts = session_facts(s);
	facts.client = &a;
	CHECK_INT(TG_END_DONE, decide_accept(&st.worker, &facts, &other));
	says(st.client, &s->tunnel.down, header, sizeof(header) - 1);
	CHECK_OVER(TG_END_SOURCE_CONNECTIONS, true, opening_read(s));
	limits_release(st.proxy.limits, &other);
	stage_down();
}

static void who_may_not_send_a_header_and_does_is_over(void)
{
	struct session *s = opening(ST_HELLO);

	s->sniff = true;
	says(st.client, &s->tunnel.down, "PROX", 4);
	CHECK_STEP(STEP_WAIT, opening_read(s));
	says(st.client, &s->tunnel.down, "Y TCP4 1.2.3.4 ", 15);
	CHECK_OVER(TG_END_PROXY_HEADER_UNTRUSTED, true, opening_read(s));
	stage_down();
}

static void who_holds_most_makes_room(void)
{
	struct session *s = opening(ST_HELLO);

	CHECK(!openings_evict(&st.worker)); /* it began just now */
	s->tunnel.began_ms -= 1000;
	CHECK(openings_evict(&st.worker));
	CHECK_INT(ST_OVER, s->state);
	CHECK_INT(TG_END_EVICTED, told.event.reason);
	CHECK_INT(0, st.proxy.openings_bytes);
	stage_down();
}

int main(void)
{
	RUN(a_hello_in_two_parts_names_its_route);
	RUN(a_hello_for_nobody_is_over);
	RUN(what_is_no_hello_and_what_ends_is_over_with_its_reason);
	RUN(behind_a_header_the_hello_goes_on);
	RUN(the_source_of_a_header_is_counted_by_its_limit);
	RUN(who_may_not_send_a_header_and_does_is_over);
	RUN(who_holds_most_makes_room);
	DONE();
}
