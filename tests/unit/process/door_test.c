/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <sys/resource.h>

#include "process/door.h"
#include "tests/unit/session/stage.h"

static const char plain[] =
	"listeners:\n"
	"  - name: plain\n"
	"    address: \"127.0.0.1:1\"\n"
	"    routes: [{ name: app, backends: [\"127.0.0.1:PORT\"] }]\n";

#define CLIENTS 10

static struct ev_timer first, second;
static struct rlimit before;

/* As orders.c has it. */
static void on_room(struct ev_task *task)
{
	(void)task;
	door_look(&st.worker);
}

/* The lowest descriptor that is free, and `more` behind it, and no others. */
static void leave_descriptors(unsigned more)
{
	struct rlimit now;
	int fd = dup(0);

	close(fd);
	(void)getrlimit(RLIMIT_NOFILE, &before);
	now = (struct rlimit){ (rlim_t)fd + more, before.rlim_max };
	CHECK_INT(0, setrlimit(RLIMIT_NOFILE, &now));
}

static uint64_t refused(void)
{
	uint64_t n = 0;

	for (int side = 0; side < TG_SIDE_MAX; side++)
		n += told.ends[TG_END_RESOURCES][side];
	return n;
}

/* In the pause. */
static void on_first(struct ev_timer *timer)
{
	(void)timer;
	CHECK_INT(1, refused());
	CHECK_INT(1, st.state.accept_paused);
	CHECK_INT(1, st.state.accept_pauses);
	(void)setrlimit(RLIMIT_NOFILE, &before);
}

static void on_second(struct ev_timer *timer)
{
	(void)timer;
	ev_loop_stop(st.worker.loop);
}

static void the_first_that_finds_no_descriptor_stops_those_behind_it(void)
{
	int clients[CLIENTS], listening;
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	unsigned port;

	stage_up(plain);
	CHECK_INT(0, door_open(&st.worker));
	st.worker.room.fn = on_room;
	st.proxy.sockets_max = 1000;
	listening = stage_listen(&port);
	(void)fcntl(listening, F_SETFL, O_NONBLOCK);
	a.sin_port = htons((uint16_t)port);
	for (int i = 0; i < CLIENTS; i++) {
		clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		CHECK_INT(0, connect(clients[i], (struct sockaddr *)&a, sizeof(a)));
	}
	leave_descriptors(1); /* for the client, and none for its backend */
	door_configure(&st.worker, st.worker.config, &listening);
	first.fn = on_first;
	second.fn = on_second;
	ev_timer_set(st.worker.loop, &first, 50);
	ev_timer_set(st.worker.loop, &second, 500); /* the pause was 100 */
	CHECK_INT(0, ev_loop_run(st.worker.loop));
	CHECK_INT(1, refused());
	CHECK_INT(0, st.state.accept_paused);
	CHECK_INT(CLIENTS, st.proxy.sessions); /* with the stage's own */
	for (int i = 0; i < CLIENTS; i++)
		close(clients[i]);
	for (struct session *s = st.worker.sessions, *next; s; s = next) {
		next = s->next;
		if (s != st.s)
			session_end(s, TG_END_DRAINED, true);
	}
	door_drop(&st.worker);
	stage_down();
}

int main(void)
{
	RUN(the_first_that_finds_no_descriptor_stops_those_behind_it);
	DONE();
}
