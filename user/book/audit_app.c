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

/* All connections of a listener have closed. */
static bool is_at_rest(const struct snapshot *s, uint16_t listener)
{
	for (size_t i = 0; i < s->slots_n; i++) {
		if (s->slots[i].row.listener == listener &&
		    s->slots[i].opened != s->slots[i].closed)
			return false;
	}
	return true;
}

/* Then what its connections carried is what its requests, of all its routes, were. */
static uint64_t http_sums_off(const struct snapshot *s, uint16_t listener)
{
	uint64_t carried[2][TG_DIR_MAX] = { { 0 } }, told[2][TG_DIR_MAX] = { { 0 } };
	uint64_t off = 0;

	for (size_t i = 0; i < s->slots_n; i++) {
		const struct http_book *b = slot_http(s, &s->slots[i]);

		for (int k = 0; b && s->slots[i].row.listener == listener && k < 4; k++) {
			int leg = k / 2, dir = k % 2;

			carried[leg][dir] += b->carried[leg][dir];
			carried[leg][dir] += dir == TG_TX ? b->unsent[leg] : 0;
			for (int kind = 0; kind < TG_HTTP_KIND_MAX; kind++)
				told[leg][dir] += b->bytes[leg][dir][kind];
		}
	}
	for (int k = 0; k < 4; k++)
		off += audit_distance(carried[k / 2][k % 2], told[k / 2][k % 2]);
	return off;
}

/*
 * HTTP: what connections carried above TLS against heads, bodies, framing and what was
 * read of none; for each when it closed (proxy/http/account.c), and, when all have, in
 * sum.
 */
void audit_app_http(const struct snapshot *s, struct audit *a)
{
	for (size_t i = 0; i < s->slots_n; i++) {
		const struct proxy_slot *p = &s->slots[i];
		const struct http_book *b = slot_http(s, p);
		struct audit_line *line;
		uint64_t off;
		char what[160];

		if (!b || !(b->connections[0] + b->connections[1]))
			continue;
		audit_row_what(s, &p->row, what, sizeof(what));
		line = audit_line_add(a, AUDIT_APP_HTTP, "%s", what);
		audit_column(line, "client_rx", b->carried[0][TG_RX]);
		audit_column(line, "client_tx", b->carried[0][TG_TX]);
		audit_column(line, "backend_rx", b->carried[1][TG_RX]);
		audit_column(line, "backend_tx", b->carried[1][TG_TX]);
		audit_column(line, "unsent_client", b->unsent[0]);
		audit_column(line, "unsent_backend", b->unsent[1]);
		audit_column(line, "connections", b->connections[0] + b->connections[1]);
		off = b->residual_bytes;
		if (!p->row.route && is_at_rest(s, p->row.listener))
			off += http_sums_off(s, p->row.listener);
		audit_residual(a, AUDIT_APP_HTTP, line, off);
	}
}
