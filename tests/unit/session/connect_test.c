/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/session/stage.h"

/* port 1 of loopback: nobody */
static const char two[] =
	"listeners:\n"
	"  - name: plain\n"
	"    address: \"127.0.0.1:2\"\n"
	"    routes:\n"
	"      - { name: app, backends: [\"127.0.0.1:1\", \"127.0.0.1:PORT backup\"] }\n";
static const char nobody[] =
	"listeners:\n"
	"  - name: plain\n"
	"    address: \"127.0.0.1:2\"\n"
	"    routes:\n"
	"      - { name: app, retries: 0, backends: [\"127.0.0.1:1\"] }\n"
	"timeouts: { idle: 1PORTms }\n";
static const char one_place[] = "listeners:\n"
				"  - name: plain\n"
				"    address: \"127.0.0.1:2\"\n"
				"    routes:\n"
				"      - name: app\n"
				"        backends: [\"127.0.0.1:PORT limit=1\"]\n"
				"        queue: { size: 1, timeout: 3s }\n"
				"        send_proxy: v1\n";

static struct session *routed(const char *text)
{
	stage_up(text);
	st.s->state = ST_CONNECT;
	CHECK_STEP(STEP_NEXT, opening_skip(st.s));
	return st.s;
}

static void the_next_backend_is_tried_on_refusal(void)
{
	struct session *s = routed(two);

	CHECK_STEP(STEP_WAIT, connect_begin(s));
	CHECK(s->dial.backend == &s->dial.route->backends[0]);
	ready(&s->tunnel.up, POLLERR);
	CHECK_STEP(STEP_WAIT, connect_event(s, &s->tunnel.up));
	CHECK(s->dial.backend == &s->dial.route->backends[1]);
	CHECK_INT(1, s->dial.retries);
	CHECK_INT(1, st.upstream[0].retries);
	ready(&s->tunnel.up, POLLOUT);
	CHECK_STEP(STEP_NEXT, connect_event(s, &s->tunnel.up));
	CHECK(s->tunnel.down.slot == &st.downstream[1]);
	CHECK_INT(TG_LABEL_FINAL, told.label.flags);
	stage_down();
}

static void the_last_reason_is_told(void)
{
	struct session *s = routed(nobody);

	CHECK_STEP(STEP_WAIT, connect_begin(s));
	ready(&s->tunnel.up, POLLERR);
	CHECK_OVER(TG_END_BACKEND_REFUSED, true, connect_event(s, &s->tunnel.up));
	stage_down();
	s = routed(nobody);
	CHECK_STEP(STEP_WAIT, connect_begin(s));
	CHECK_OVER(TG_END_BACKEND_TIMEOUT, true, connect_due(s));
	stage_down();
}

static void who_finds_no_place_waits_until_one_is_free(void)
{
	struct session *s = routed(one_place);
	struct outcome o;
	char header[128] = "";
	int fd;

	CHECK(target_take(s->dial.route->backends[0].target, 1)); /* somebody has it */
	o = connect_begin(s);
	CHECK_STEP(STEP_WAIT, o);
	CHECK(dial_waits(&s->dial));
	CHECK_INT(3000, o.wait_ms);
	CHECK(!connect_take_place(s, &o));
	target_release(s->dial.route->backends[0].target);
	CHECK(connect_take_place(s, &o));
	CHECK_STEP(STEP_WAIT, o);
	CHECK(!dial_waits(&s->dial));
	CHECK_INT(0, st.proxy.waiting);
	ready(&s->tunnel.up, POLLOUT);
	CHECK_STEP(STEP_NEXT, connect_event(s, &s->tunnel.up));
	fd = accept(st.listening, NULL, NULL);
	CHECK(read(fd, header, sizeof(header) - 1) > 0);
	CHECK(strncmp(header, "PROXY TCP4 127.0.0.1 127.0.0.1 ", 31) == 0);
	CHECK_INT(strlen(header), s->tunnel.up.tx_header);
	close(fd);
	stage_down();
}

static void a_queue_has_its_size_and_its_time(void)
{
	struct session *s = routed(one_place);

	CHECK(target_take(s->dial.route->backends[0].target, 1));
	CHECK_STEP(STEP_WAIT, connect_begin(s));
	CHECK_OVER(TG_END_QUEUE_TIMEOUT, true, connect_due(s));
	dial_end(&s->dial, &s->tunnel.up);
	s->dial.route->queued = 1; /* another's */
	CHECK_OVER(TG_END_QUEUE_FULL, true, connect_begin(s));
	CHECK_INT(1, s->dial.route->queued);
	s->dial.route->queued = 0;
	target_release(s->dial.route->backends[0].target);
	stage_down();
}

int main(void)
{
	RUN(the_next_backend_is_tried_on_refusal);
	RUN(the_last_reason_is_told);
	RUN(who_finds_no_place_waits_until_one_is_free);
	RUN(a_queue_has_its_size_and_its_time);
	DONE();
}
