/* SPDX-License-Identifier: Apache-2.0 */
/* One conn: what is written is in its socket, in `out` or in the outbox, and counted. */
#include <errno.h>

#include "net/pool.h"
#include "tests/unit/net/stage.h"

static struct conn conn;
static struct proxy_slot slot;
static int other; /* the other end */
static uint32_t heard;
static unsigned calls;

static void on_event(struct ev_io *io, uint32_t events)
{
	CHECK(conn_event(io, events) == &conn);
	heard |= events;
	calls++;
}

static void begin(void)
{
	int fds[2];

	net_up(4, 8);
	memset(&slot, 0, sizeof(slot));
	stage_pair(fds);
	other = fds[0];
	conn_init(&conn, &net_worker, fds[1], false, on_event);
	ready(&conn, POLLOUT);
	heard = calls = 0;
}

static void end(void)
{
	conn_close(&conn, false);
	close(other);
	net_down();
}

/* Until it takes no more; how many bytes are in it then. */
static size_t stuff(void)
{
	static const char junk[4096];
	ssize_t n;
	size_t all = 0;

	while ((n = send(conn.fd, junk, sizeof(junk), MSG_DONTWAIT)) > 0)
		all += (size_t)n;
	return all;
}

static void drain(size_t n)
{
	static char buf[1 << 16];

	while (n > 0) {
		ssize_t got = recv(other, buf, n < sizeof(buf) ? n : sizeof(buf), 0);

		if (got <= 0)
			exit(1);
		n -= (size_t)got;
	}
}

static void a_row_begins_with_what_was_moved_before(void)
{
	char buf[16];

	begin();
	says(other, &conn, "headerhello", 11);
	CHECK_INT(11, conn_read(&conn, buf, sizeof(buf)));
	conn_move_to_header(&conn, 6);
	CHECK_INT(3, conn_write(&conn, "yes", 3));
	conn_take_row(&conn, &slot);
	CHECK_INT(5, slot.rx_payload_bytes);
	CHECK_INT(6, slot.rx_header_bytes);
	CHECK_INT(3, slot.tx_payload_bytes);
	CHECK_INT(1, slot.opened);
	CHECK_INT(-EAGAIN, conn_read(&conn, buf, sizeof(buf)));
	CHECK_INT(3, conn_write(&conn, "and", 3));
	CHECK_INT(6, slot.tx_payload_bytes);
	end();
	CHECK_INT(1, slot.closed);
	CHECK_INT(TG_LABEL_FINAL | TG_LABEL_CLAIMED, told.label.flags);
	CHECK_INT(11, told.label.rx_payload_bytes); /* the header, too */
	CHECK_INT(6, told.label.tx_payload_bytes);
}

static void what_the_socket_does_not_take_is_held(void)
{
	size_t junk;
	char buf[8];

	begin();
	conn_take_row(&conn, &slot);
	junk = stuff();
	CHECK_INT(5, conn_write(&conn, "12345", 5));
	CHECK(!conn.writable);
	CHECK_INT(5, conn_held(&conn));
	CHECK_INT(0, conn.tx);
	CHECK_INT(-EAGAIN, conn_write(&conn, "678", 3));
	CHECK_INT(-EAGAIN, conn_flush(&conn));
	drain(junk);
	ready(&conn, POLLOUT);
	CHECK_INT(0, conn_flush(&conn));
	CHECK_INT(0, conn_held(&conn));
	CHECK_INT(5, slot.tx_payload_bytes);
	CHECK_INT(5, read(other, buf, sizeof(buf)));
	CHECK(memcmp(buf, "12345", 5) == 0);
	end();
}

/* More than a buffer takes, which is counted as long as it is held. */
static void a_long_beginning_is_held_in_its_own_size(void)
{
	static uint8_t data[100000];
	size_t counted = 0, junk;

	begin();
	junk = stuff();
	CHECK_INT(sizeof(data), conn_write(&conn, data, sizeof(data)));
	CHECK_INT(sizeof(data), conn_held(&conn));
	CHECK_INT(sizeof(data), conn.out->cap);
	conn.out->counted = &counted;
	counted = conn.out->cap;
	CHECK_INT(2,
		  net_state.buffers + 1); /* it, and the spare one that nobody counts */
	drain(junk);
	for (int i = 0; i < 1000 && conn.out; i++) {
		(void)conn_flush(&conn);
		while (recv(other, data, sizeof(data), MSG_DONTWAIT) > 0)
			;
		(void)poll(NULL, 0, conn.out ? 1 : 0);
	}
	CHECK_INT(0, conn_held(&conn));
	CHECK_INT(0, counted);
	CHECK_INT(sizeof(data), conn.tx);
	end();
}

static void the_outbox_is_sent_at_the_end_of_the_turn(void)
{
	char buf[8];

	begin();
	memcpy(conn_room(&conn), "small", 5);
	conn_put(&conn, 5);
	CHECK_INT(5, conn_held(&conn));
	CHECK_INT(-EAGAIN, conn_write(&conn, "x", 1)); /* not before it */
	CHECK_INT(-1, recv(other, buf, sizeof(buf), MSG_DONTWAIT));
	conn.awaited = true;
	conn_settle(&net_worker);
	CHECK_INT(1, calls);
	CHECK_INT(0, heard);
	CHECK(!conn.awaited);
	CHECK_INT(5, conn.tx);
	CHECK_INT(5, read(other, buf, sizeof(buf)));
	end();
}

static void an_outbox_that_finds_nobody_is_an_error_of_its_own(void)
{
	begin();
	memcpy(conn_room(&conn), "small", 5);
	conn_put(&conn, 5);
	(void)shutdown(conn.fd, SHUT_WR);
	conn_settle(&net_worker);
	CHECK_INT(POLLERR, heard);
	CHECK_INT(EPIPE, conn.err);
	CHECK_INT(5, conn_held(&conn));
	end();
}

static void a_unix_socket_has_no_label(void)
{
	const struct conn_name name = { .listener = 1 };

	begin();
	conn.is_tcp = false;
	conn_label(&conn, &name);
	end();
	CHECK_INT(0, told.labels);
}

int main(void)
{
	RUN(a_row_begins_with_what_was_moved_before);
	RUN(what_the_socket_does_not_take_is_held);
	RUN(a_long_beginning_is_held_in_its_own_size);
	RUN(the_outbox_is_sent_at_the_end_of_the_turn);
	RUN(an_outbox_that_finds_nobody_is_an_error_of_its_own);
	RUN(a_unix_socket_has_no_label);
	DONE();
}
