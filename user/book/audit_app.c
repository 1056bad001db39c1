/* SPDX-License-Identifier: Apache-2.0 */
/* What is above TCP: TLS that ended here, and HTTP. */
#include "book/audit_own.h"

/* Where all have closed: what their layers say came and left, and the book of the row. */
static uint64_t tls_sums_off(const struct proxy_slot *p)
{
	if (p->opened != p->closed || p->closed != p->tls_connections)
		return 0;
	return audit_distance(p->tls_rx_bytes, p->rx_payload_bytes) +
	       audit_distance(p->tls_tx_bytes, p->tx_payload_bytes);
}

/*
 * TLS that ended here: what its sockets carried against the records in it, and these
 * against what OpenSSL told of each.  Compared for each connection when it closed
 * (proxy/tls/stream.c).
 */
void audit_payload_app(const struct snapshot *s, struct audit *a)
{
	for (size_t i = 0; i < s->slots_n; i++) {
		const struct proxy_slot *p = &s->slots[i];
		struct audit_line *line;
		char what[160];

		if (!p->tls_connections)
			continue;
		audit_row_what(s, &p->row, what, sizeof(what));
		line = audit_line_add(a, AUDIT_PAYLOAD_APP, "%s", what);
		audit_column(line, "payload_rx", p->tls_rx_bytes);
		audit_column(line, "app_rx", p->app_rx_bytes);
		audit_column(line, "handshake_rx", p->tls_rx_handshake_bytes);
		audit_column(line, "record_rx", p->tls_rx_record_bytes);
		audit_column(line, "partial_rx", p->tls_partial_bytes);
		audit_column(line, "payload_tx", p->tls_tx_bytes);
		audit_column(line, "app_tx", p->app_tx_bytes);
		audit_column(line, "handshake_tx", p->tls_tx_handshake_bytes);
		audit_column(line, "record_tx", p->tls_tx_record_bytes);
		audit_column(line, "unsent_tx", p->tls_unsent_bytes);
		audit_column(line, "connections", p->tls_connections);
		audit_residual(a, AUDIT_PAYLOAD_APP, line,
			       p->tls_residual_bytes + tls_sums_off(p));
	}
}

/* What connections of a leg carried, and what was told of their messages. */
struct http_sums {
	uint64_t carried[TG_DIR_MAX], told[TG_DIR_MAX];
	uint64_t begun, closed, left;
	bool at_rest; /* all have closed */
};

static void add_http(const struct http_book *b, int leg, struct http_sums *x)
{
	for (int dir = 0; dir < TG_DIR_MAX; dir++) {
		x->carried[dir] += b->carried[leg][dir];
		x->carried[dir] += dir == TG_TX ? b->unsent[leg] : 0;
		for (int kind = 0; kind < TG_HTTP_KIND_MAX; kind++)
			x->told[dir] += b->bytes[leg][dir][kind];
	}
	x->begun += b->begun[leg];
	x->closed += b->connections[leg];
	x->left += b->left[leg];
}

/* Of a listener, from its first row on (they are sorted by it). */
static void sum_http(const struct snapshot *s, size_t at, int leg, struct http_sums *x)
{
	uint16_t listener = s->slots[at].row.listener;
	uint8_t row_leg = leg ? TG_LEG_UPSTREAM : TG_LEG_DOWNSTREAM;

	*x = (struct http_sums){ .at_rest = true };
	while (at > 0 && s->slots[at - 1].row.listener == listener)
		at--;
	for (; at < s->slots_n && s->slots[at].row.listener == listener; at++) {
		const struct proxy_slot *p = &s->slots[at];
		const struct http_book *b = slot_http(s, p);

		if (p->row.leg == row_leg && p->opened != p->closed)
			x->at_rest = false;
		if (b)
			add_http(b, leg, x);
	}
}

/*
 * When all have closed, each that began has been told of, and what they carried is what
 * the requests of all routes were.  Of those that a killed proxy left nobody knows what
 * they carried; what was told of their messages is there.
 */
static uint64_t sums_off(const struct http_sums *x)
{
	uint64_t off = audit_distance(x->begun, x->closed + x->left);

	for (int dir = 0; dir < TG_DIR_MAX; dir++) {
		if (!x->left || x->carried[dir] > x->told[dir])
			off += audit_distance(x->carried[dir], x->told[dir]);
	}
	return off;
}

/* The columns of both legs; how far their sums are off, where these can be compared. */
static uint64_t http_columns(const struct http_sums x[2], const struct http_book *b,
			     struct audit_line *line)
{
	uint64_t off = 0, rested = 0;

	for (int leg = 0; leg < 2; leg++) {
		static const char *const names[2][6] = {
			{ "client_rx", "client_rx_told", "client_tx", "client_tx_told",
			  "client_unread", "client_unsent" },
			{ "backend_rx", "backend_rx_told", "backend_tx",
			  "backend_tx_told", "backend_unread", "backend_unsent" },
		};

		audit_column(line, names[leg][0], x[leg].carried[TG_RX]);
		audit_column(line, names[leg][1], x[leg].told[TG_RX]);
		audit_column(line, names[leg][2], x[leg].carried[TG_TX]);
		audit_column(line, names[leg][3], x[leg].told[TG_TX]);
		audit_column(line, names[leg][4], b->bytes[leg][TG_RX][TG_HTTP_UNREAD]);
		audit_column(line, names[leg][5], b->unsent[leg]);
		off += x[leg].at_rest ? sums_off(&x[leg]) : 0;
		rested += x[leg].at_rest;
	}
	audit_column(line, "connections", b->connections[0] + b->connections[1]);
	audit_column(line, "sums_compared", rested);
	return off;
}

/*
 * HTTP: what connections carried above TLS against heads, bodies, framing and what was
 * read of none; for each when it closed (proxy/http/account.c), and, when all have, in
 * sum.  The line of a listener has the sums of its routes in it.
 */
void audit_app_http(const struct snapshot *s, struct audit *a)
{
	for (size_t i = 0; i < s->slots_n; i++) {
		const struct proxy_slot *p = &s->slots[i];
		const struct http_book *b = slot_http(s, p);
		struct http_sums x[2] = { { .at_rest = false }, { .at_rest = false } };
		struct audit_line *line;
		char what[160];

		if (!b || !(b->begun[0] + b->begun[1]))
			continue;
		audit_row_what(s, &p->row, what, sizeof(what));
		line = audit_line_add(a, AUDIT_APP_HTTP, "%s", what);
		for (int leg = 0; leg < 2; leg++) {
			if (p->row.route)
				add_http(b, leg, &x[leg]);
			else
				sum_http(s, i, leg, &x[leg]);
		}
		audit_residual(a, AUDIT_APP_HTTP, line,
			       b->residual_bytes + http_columns(x, b, line));
	}
}
