/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker that serves HTTP, against clients and backends that say anything, of either
 * version, in pieces of any size.  Whatever comes: it ends when they do, every byte that
 * was read or written is in one column, and what goes to a backend is what the gate
 * itself would take from a client.
 */
#include "codec/h1.h"
#include "codec/h1_body.h"
#include "http/back.h"
#include "tests/unit/http/stage.h"

static const char yaml[] =
	"listeners:\n"
	"  - name: web\n"
	"    address: \"127.0.0.1:1\"\n"
	"    http: { via: true, forwarded: true, traceparent: true, proxy_requests: true }\n"
	"    routes:\n"
	"      - { name: one, http: { request: { set: [\"X-A: ${path}\"] } }, "
	"backends: [\"127.0.0.1:PORT\"] }\n"
	"      - { name: own, http: { path: [/own], respond: { status: 200, body: here } } }\n"
	"      - { name: two, http: { path: [\"/two/*\"], protocol: h2 }, "
	"backends: [\"127.0.0.1:PORT\"] }\n";

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
static const char get_one[] = "GET /one HTTP/1.1\r\nHost: a\r\n\r\n";
static const char upgrade[] = "GET /two/ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n"
			      "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
			      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
static const char get_two[] = "GET /two/x HTTP/1.1\r\nHost: a\r\n\r\n";
static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nthere";

/* What one side says: a fixed beginning, then the input. */
struct side {
	int fd; /* -1: not there */
	const char *first;
	size_t first_n;
	const uint8_t *data;
	size_t n;
};

static size_t piece_n;
static char heard[65536]; /* by the backend */
static size_t heard_n;

static void require(bool holds)
{
	if (!holds)
		abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	web_up(yaml);
	return 0;
}

static void say(struct side *s)
{
	size_t n = s->n < piece_n ? s->n : piece_n;

	if (s->fd < 0)
		return;
	if (s->first_n) {
		(void)!send(s->fd, s->first, s->first_n, MSG_NOSIGNAL | MSG_DONTWAIT);
		s->first_n = 0;
		return;
	}
	if (!n)
		return;
	(void)!send(s->fd, s->data, n, MSG_NOSIGNAL | MSG_DONTWAIT);
	s->data += n;
	s->n -= n;
}

/* What came is thrown away, but for what a backend got. */
static void hear(struct side *s, bool is_backend)
{
	char buf[16384];
	ssize_t n = s->fd < 0 ? -1 : recv(s->fd, buf, sizeof(buf), MSG_DONTWAIT);

	if (n <= 0 || !is_backend)
		return;
	if ((size_t)n > sizeof(heard) - heard_n)
		n = (ssize_t)(sizeof(heard) - heard_n);
	memcpy(heard + heard_n, buf, (size_t)n);
	heard_n += (size_t)n;
}

/* Requests of HTTP/1.1, as many as there are whole: each is one that would be taken. */
static void require_requests(void)
{
	uint8_t *p = (uint8_t *)heard;
	size_t left = heard_n;

	if (left >= 3 && memcmp(p, preface, 3) == 0)
		return; /* the client has found the route to a backend of HTTP/2 */
	while (left) {
		struct http_head head;
		struct h1_body body;
		size_t from = 0, n = h1_end(p, left, &from), used, data;
		enum http_fault fault;
		enum h1_step step;

		if (!n)
			return;
		require(h1_read(H1_REQUEST, p, n, HTTP_FIELDS_READ, &head) == HTTP_FINE);
		p += n;
		left -= n;
		if (head.upgrade || head.method == HTTP_METHOD_CONNECT)
			return; /* what follows may be another protocol's */
		h1_body_begin(&body, &head);
		do {
			step = h1_body_next(&body, p, left, &used, &data, &fault);
			require(step != H1_BAD);
			p += used + data;
			left -= used + data;
			if (step == H1_DATA)
				h1_body_took(&body, data);
		} while (step == H1_DATA);
		if (step == H1_TRAILERS) {
			from = 0;
			n = h1_end(p, left, &from);
			if (!n)
				return;
			require(h1_read_trailers(p, n, HTTP_FIELDS_READ, &head) ==
				HTTP_FINE);
			p += n;
			left -= n;
		} else if (step != H1_OVER) {
			return;
		}
	}
}

static void talk(struct side *client, struct side *backend)
{
	for (int i = 0; i < 400 && (client->n || backend->n || i < 12); i++) {
		say(client);
		web_turn();
		if (backend->fd < 0)
			backend->fd = accept4(st.listening, NULL, NULL,
					      SOCK_NONBLOCK | SOCK_CLOEXEC);
		say(backend);
		web_turn();
		hear(client, false);
		hear(backend, true);
	}
}

static bool is_any(const struct back *b, void *arg)
{
	(void)b;
	(void)arg;
	return true;
}

/* Both are gone: so is all that was for them. */
static void finish(const struct side *client, const struct side *backend)
{
	bool resets = piece_n % 16 == 9; /* of every other input */
	int late;

	if (!resets) /* an end in good order, before it goes */
		(void)shutdown(client->fd, SHUT_WR);
	for (int i = 0; !resets && i < 4; i++)
		web_turn();
	web_close(client->fd);
	if (backend->fd >= 0)
		web_close(backend->fd);
	for (int i = 0; i < 200 && (i < 3 || st.proxy.sessions); i++) {
		web_turn();
		while ((late = accept4(st.listening, NULL, NULL, SOCK_CLOEXEC)) >= 0)
			web_close(late);
	}
	(void)session_end_some(&st.worker, TG_END_DRAINED, 10); /* who lingers */
	web_turn();
	(void)back_end_idle(&st.worker, is_any, NULL, UINT32_MAX);
	web_turn();
	require(!st.proxy.sessions && !st.proxy.upstreams);
	require(!web_residual());
}

static void set_first(struct side *s, const char *first, size_t n)
{
	s->first = first;
	s->first_n = n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct side client = { .fd = -1 }, backend = { .fd = -1 }, *speaks;

	if (n < 3 || n > 8192)
		return 0;
	piece_n = 1u + data[1] * 8u;
	speaks = data[0] % 6 < 2 ? &client : &backend;
	speaks->data = data + 2;
	speaks->n = n - 2;
	switch (data[0] % 6) {
	case 0: /* a client of any version, from its first byte */
		set_first(&backend, answer, sizeof(answer) - 1);
		break;
	case 1:
		set_first(&client, preface, sizeof(preface) - 1);
		set_first(&backend, answer, sizeof(answer) - 1);
		break;
	case 2:
		set_first(&client, get_one, sizeof(get_one) - 1);
		break;
	case 3:
		set_first(&client, get_two, sizeof(get_two) - 1);
		set_first(&backend, preface + 24, 9);
		break;
	case 4:
		set_first(&client, upgrade, sizeof(upgrade) - 1);
		break;
	default:
		set_first(&client, get_two, sizeof(get_two) - 1);
	}
	heard_n = 0;
	client.fd = web_client();
	talk(&client, &backend);
	finish(&client, &backend);
	if (data[0] % 6 < 3)
		require_requests();
	return 0;
}
