/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a client says before the relay begins: a PROXY header if its address is trusted to
 * send one, a ClientHello if the listener routes by name.  The bytes are kept and go to
 * the backend first.
 */
#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "codec/ja4.h"
#include "config/match.h"
#include "net/pool.h"
#include "session/state.h"
#include "tls/certs.h"
#include "tls/tally.h"

#define HEAD_FIRST_BYTES 256

size_t opening_held(const struct session *s)
{
	const struct opening *o = s->opening;

	return o ? (o->taken ? 0 : o->len - o->sent) + o->dropped : 0;
}

void opening_free(struct session *s)
{
	if (!s->opening)
		return;
	openings_remove(s);
	openings_give_bytes(session_worker(s), s->opening->cap);
	free(s->opening->head);
	free(s->opening);
	s->opening = NULL;
}

/*
 * A client that says little holds little: the first bytes get what they need.  0;
 * -ENOMEM; or -ENOBUFS if others hold so much that this one goes.
 */
static int head_append(struct session *s, const uint8_t *data, size_t n)
{
	struct opening *o = s->opening;
	size_t need = o->len + n, cap = o->cap * 2;
	uint8_t *head;

	if (need > o->cap) {
		if (cap < need)
			cap = need;
		if (cap < HEAD_FIRST_BYTES)
			cap = HEAD_FIRST_BYTES;
		if (!openings_take_bytes(s, cap - o->cap))
			return -ENOBUFS;
		head = realloc(o->head, cap);
		if (!head) {
			openings_give_bytes(session_worker(s), cap - o->cap);
			return -ENOMEM;
		}
		o->head = head;
		o->cap = cap;
	}
	memcpy(o->head + o->len, data, n);
	o->len += n;
	return 0;
}

/* > 0 bytes read; 0 the client has ended; negative errno. */
static ssize_t head_read(struct session *s)
{
	size_t max = s->config->hello_bytes + PP2_MAX - s->opening->len;
	uint8_t *data = pool_scratch(&session_worker(s)->pool);
	ssize_t n;
	int err;

	if (!max)
		return -EMSGSIZE;
	n = conn_raw_read(&s->tunnel.down, data,
			  max < POOL_BUFFER_BYTES ? max : POOL_BUFFER_BYTES);
	if (n < 0)
		return n;
	err = n > 0 ? head_append(s, data, (size_t)n) : 0;
	if (err) {
		s->opening->dropped = (size_t)n;
		return err;
	}
	if (n < POOL_BUFFER_BYTES && (size_t)n < max && !s->tunnel.down.ended &&
	    !s->tunnel.down.urgent)
		s->tunnel.down.readable = false; /* epoll(7): it is empty */
	return n;
}

struct outcome opening_alert(struct session *s, bool named, enum tg_end reason)
{
	struct conn *down = &s->tunnel.down;
	uint8_t alert[HELLO_ALERT_LEN];

	hello_alert(named, alert);
	tally_alert(s->listener->hellos, TG_TX, alert[HELLO_ALERT_LEN - 1]);
	return outcome_over(reason,
			    conn_raw_write(down, alert, sizeof(alert)) < 0 || down->out);
}

/* A hello that is for nobody here.  The client is told why, if the listener is to. */
static struct outcome refuse_hello(struct session *s, const struct hello *hello,
				   enum tg_end reason)
{
	return hello && s->listener->refuse == REFUSE_ALERT
		       ? opening_alert(s, hello->has_sni, reason)
		       : outcome_over(reason, true);
}

/* By what is known of the client; or it is refused. */
static struct outcome choose_route(struct session *s, const struct hello *hello)
{
	bool undecided;

	s->dial.route = route_find(s->listener, hello, &s->client, &undecided);
	if (undecided) /* a lower route, or the fallback, may be another's */
		return outcome_over(TG_END_EXPRESSION, true);
	if (!s->dial.route)
		s->dial.route = s->listener->fallback_route;
	if (s->dial.route)
		return outcome_next();
	return refuse_hello(s, hello,
			    !hello || hello->has_sni ? TG_END_NO_ROUTE : TG_END_NO_SNI);
}

/*
 * The server of ACME, or who looks whether it would be answered (RFC 8737 3): of a name
 * for which a challenge is open.
 */
static bool is_challenge(const struct session *s, const struct hello *hello)
{
	struct cert_pair pair;

	return s->listener->acme && hello->has_sni &&
	       hello_offers(hello, s->listener->acme->alpn[0]) &&
	       certs_find(s->listener->challenges, hello->sni, &pair);
}

/* What cannot be decided goes nowhere, but where the configuration says so. */
static struct outcome undecided(struct session *s, enum tg_end reason)
{
	if (!s->listener->fallback_route || reason == TG_END_PROXY_HEADER_UNTRUSTED)
		return outcome_over(reason, true);
	s->sniff = false; /* so far as it came it is no PROXY header */
	s->dial.route = s->listener->fallback_route;
	return outcome_next();
}

/* Histograms of what hellos look like. */
static void note_hello(struct session *s, const struct hello *h, size_t bytes)
{
	struct hello_book *book = s->listener->hellos;
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	writer_hist_add(&book->bytes, TG_HELLO_BYTES_SHIFT, bytes);
	writer_hist_add(&book->records, 0, s->opening->scan.records);
	if (getsockopt(s->tunnel.down.fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0)
		writer_hist_add(&book->segments, 0, info.tcpi_data_segs_in);
	if (h->ech_outer)
		book_add(&book->ech_outer, 1);
	if (!h->has_sni)
		book_add(&book->unnamed, 1);
}

static struct outcome parse_hello(struct session *s)
{
	struct opening *o = s->opening;
	const uint8_t *p = o->head + o->sent;
	size_t len = o->len - o->sent;
	char ja4[JA4_LEN + 1] = "";
	struct hello hello;
	ssize_t n = hello_scan(&o->scan, p, len, s->config->hello_bytes, &hello);
	int sniff;

	if (n > 0) {
		s->sniff = false; /* what came is known to be no PROXY header */
		note_hello(s, &hello, (size_t)n);
		if (s->listener->ja4)
			ja4_make(p, &o->scan, ja4);
		session_hear(s, &hello, ja4);
		if (!is_challenge(s, &hello))
			return choose_route(s, &hello);
		s->dial.route = s->listener->acme;
		return outcome_next();
	}
	if (n == -EAGAIN)
		return outcome_wait();
	if (n == -EPROTO && s->sniff) {
		sniff = pp_sniff(p, len);
		if (sniff == -EAGAIN)
			return outcome_wait(); /* as much of a PROXY signature as a client
						  may send */
		if (sniff == 1)
			n = -EACCES;
	}
	return undecided(s, n == -EACCES     ? TG_END_PROXY_HEADER_UNTRUSTED
			    : n == -EPROTO   ? TG_END_HELLO_NOT_TLS
			    : n == -EMSGSIZE ? TG_END_HELLO_TOO_LARGE
					     : TG_END_HELLO_INVALID);
}

static const uint8_t header_reasons[PP_FAULT_MAX] = {
	[PP_FAULT_SIGNATURE] = TG_END_PROXY_HEADER_MISSING,
	[PP_FAULT_V1_LINE] = TG_END_PROXY_V1_LINE,
	[PP_FAULT_V1_LENGTH] = TG_END_PROXY_V1_LENGTH,
	[PP_FAULT_V2_VERSION] = TG_END_PROXY_V2_VERSION,
	[PP_FAULT_V2_COMMAND] = TG_END_PROXY_V2_COMMAND,
	[PP_FAULT_V2_FAMILY] = TG_END_PROXY_V2_FAMILY,
	[PP_FAULT_V2_ADDRESS] = TG_END_PROXY_V2_ADDRESS,
	[PP_FAULT_V2_TLV] = TG_END_PROXY_V2_TLV,
	[PP_FAULT_V2_CHECKSUM] = TG_END_PROXY_V2_CHECKSUM,
	[PP_FAULT_V2_LENGTH] = TG_END_PROXY_V2_LENGTH,
};

static struct outcome parse_header(struct session *s)
{
	struct opening *o = s->opening;
	enum tg_end reason = TG_END_DONE;
	struct facts facts;
	enum pp_fault fault;
	ssize_t n = pp_decode(o->head, o->len, &o->pp, &fault);

	if (n == -EAGAIN)
		return outcome_wait();
	if (n < 0)
		return outcome_over(header_reasons[fault], true);
	/* the head may move as it grows */
	o->tlv_at = o->pp.tlv ? (size_t)(o->pp.tlv - o->head) : 0;
	o->sent = (size_t)n;
	conn_move_to_header(&s->tunnel.down, (size_t)n);
	if (o->pp.known && !o->pp.local) {
		s->client = o->pp.src;
		facts = session_facts(s);
		reason = decide_accept(session_worker(s), &facts, &s->holds);
	}
	if (reason != TG_END_DONE)
		return outcome_over(reason, true);
	return s->listener->tls || s->listener->serves ? outcome_next()
						       : choose_route(s, NULL);
}

struct outcome opening_read(struct session *s)
{
	struct outcome o = outcome_wait();

	while (s->tunnel.down.readable && !outcome_ends(o)) {
		ssize_t n = head_read(s);

		if (n == -EAGAIN)
			s->tunnel.down.readable = false;
		else if (n == 0)
			o = outcome_over(TG_END_HELLO_CLOSED, false);
		else if (n == -ENOMEM)
			o = outcome_over(TG_END_RESOURCES, true);
		else if (n == -ENOBUFS)
			o = outcome_over(TG_END_EVICTED, true);
		else if (n == -EMSGSIZE)
			o = undecided(s, TG_END_HELLO_TOO_LARGE);
		else if (n < 0)
			o = outcome_over(TG_END_HELLO_RESET, true);
		else
			o = s->state == ST_HEADER ? parse_header(s) : parse_hello(s);
	}
	return o;
}

struct outcome opening_hello(struct session *s)
{
	struct outcome o = parse_hello(s);

	return outcome_ends(o) ? o : opening_read(s);
}

struct outcome opening_skip(struct session *s)
{
	return choose_route(s, NULL);
}

struct outcome opening_due(const struct session *s)
{
	const struct opening *o = s->opening;
	bool begins_header = s->sniff && o && o->len > o->sent &&
			     pp_sniff(o->head + o->sent, o->len - o->sent) == -EAGAIN;

	return outcome_over(begins_header ? TG_END_PROXY_HEADER_UNTRUSTED
					  : TG_END_HELLO_TIMEOUT,
			    true);
}

/* NEXT when the request may be relayed. */
static struct outcome look_for_header(struct session *s)
{
	struct conn *down = &s->tunnel.down;
	uint8_t buf[PP_SNIFF_LEN];
	ssize_t n;
	int is;

	if (!down->readable)
		return outcome_wait();
	n = recv(down->fd, buf, sizeof(buf), MSG_PEEK | MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN) {
		down->readable = false;
		return outcome_wait();
	}
	/* the error is told once only, so nobody after us would hear of it */
	if (n < 0) {
		down->err = errno;
		return outcome_over(conn_gone_reason(down), true);
	}
	is = n > 0 ? pp_sniff(buf, (size_t)n) : 0;
	if (is == 1)
		return outcome_over(TG_END_PROXY_HEADER_UNTRUSTED, true);
	if (is == -EAGAIN && !down->ended) { /* more will wake us */
		down->readable = false;
		return outcome_again();
	}
	return outcome_next();
}

/* What begins like a PROXY header may be one: not for ever. */
static void wait_for_more(struct session *s)
{
	struct tunnel *t = &s->tunnel;
	int64_t age = ev_now_ms(session_worker(s)->loop) - t->began_ms;
	int64_t due = (age < 1 ? 1 : age) + s->config->timeouts.hello_ms;

	if (t->request_due_ms)
		return;
	t->request_due_ms = due > UINT32_MAX ? UINT32_MAX : (uint32_t)due;
	t->due_changed = true;
}

struct outcome opening_pump(struct session *s)
{
	struct tunnel *t = &s->tunnel;
	struct outcome o;

	if (s->sniff && t->broken != TUNNEL_BACKEND) {
		o = look_for_header(s);
		if (o.step == STEP_OVER)
			return o;
		if (o.step == STEP_AGAIN)
			wait_for_more(s);
		if (o.step == STEP_NEXT) {
			s->sniff = t->request_waits = false;
			t->due_changed = true;
		}
	}
	return tunnel_pump(t);
}

/* What the client said goes first.  What its backend does not take yet is held there. */
static int pass_on(struct session *s)
{
	struct opening *o = s->opening;
	struct conn *up = &s->tunnel.up;
	size_t *counted = &session_worker(s)->proxy->openings_bytes;
	size_t held = o->taken ? 0 : o->len - o->sent;
	ssize_t n = held ? conn_write(up, o->head + o->sent, held) : 0;

	if (n == -ENOMEM) {
		o->sent += up->tx;
		return -ENOMEM;
	}
	if (n < 0) { /* the tunnel hears of it, and these bytes count as lost */
		up->err = (int)-n;
		return 0;
	}
	if (up->out) {
		up->out->counted = counted;
		__atomic_fetch_add(counted, up->out->cap, __ATOMIC_RELAXED);
	}
	opening_free(s);
	return 0;
}

struct outcome opening_relay(struct session *s)
{
	struct tunnel *t = &s->tunnel;

	if (s->opening && pass_on(s) < 0)
		return outcome_over(TG_END_RESOURCES, true);
	tunnel_begin(t, s->dial.route->idle_ms);
	t->request_waits = s->sniff;
	/* a layer may hold more than the socket */
	t->down.readable |= t->down.layer != NULL;
	t->up.readable |= t->up.layer != NULL;
	return opening_pump(s);
}
