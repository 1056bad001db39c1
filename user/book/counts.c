/* SPDX-License-Identifier: Apache-2.0 */
#include "book/counts.h"

#define FIELD(type, field)                                    \
	{                                                     \
#field, offsetof(struct type, field),         \
			sizeof(((struct type *)0)->field) / 8 \
	}

const struct counted_field counts_tcp[] = {
	FIELD(tcp_totals, opened),
	FIELD(tcp_totals, adopted),
	FIELD(tcp_totals, waiting),
	FIELD(tcp_totals, waited),
	FIELD(tcp_totals, left),
	FIELD(tcp_totals, closed),
	FIELD(tcp_totals, counts),
	FIELD(tcp_totals, baseline),
	FIELD(tcp_totals, claimed),
	FIELD(tcp_totals, unclaimed),
	FIELD(tcp_totals, unclaimed_rx_bytes),
	FIELD(tcp_totals, unclaimed_tx_bytes),
	FIELD(tcp_totals, late_rx_bytes),
	FIELD(tcp_totals, late_tx_bytes),
	FIELD(tcp_totals, unread_bytes),
	FIELD(tcp_totals, unsent_bytes),
	FIELD(tcp_totals, proxy_rx_residual_bytes),
	FIELD(tcp_totals, proxy_tx_residual_bytes),
	FIELD(tcp_totals, wire_matched),
	FIELD(tcp_totals, wire_unmatched),
	FIELD(tcp_totals, wire_rx_duplicate_bytes),
	FIELD(tcp_totals, wire_rx_unaccepted_bytes),
	FIELD(tcp_totals, wire_rx_outside_bytes),
	FIELD(tcp_totals, wire_rx_parts_bytes),
	FIELD(tcp_totals, wire_tx_unseen_bytes),
	FIELD(tcp_totals, wire_rx_residual_bytes),
	FIELD(tcp_totals, wire_tx_residual_bytes),
	FIELD(tcp_totals, hist),
	{ NULL, 0, 0 },
};

const struct counted_field counts_wire[] = {
	FIELD(wire_totals, dir),
	FIELD(wire_totals, flows),
	{ NULL, 0, 0 },
};

/* Without the gauges, which the next proxy sets. */
const struct counted_field counts_slot[] = {
	FIELD(proxy_slot, opened),
	FIELD(proxy_slot, closed),
	FIELD(proxy_slot, rx_payload_bytes),
	FIELD(proxy_slot, tx_payload_bytes),
	FIELD(proxy_slot, rx_header_bytes),
	FIELD(proxy_slot, tx_header_bytes),
	FIELD(proxy_slot, undelivered_bytes),
	FIELD(proxy_slot, checks_passed),
	FIELD(proxy_slot, checks_failed),
	FIELD(proxy_slot, ejections),
	FIELD(proxy_slot, retries),
	FIELD(proxy_slot, lookups_failed),
	FIELD(proxy_slot, tls_connections),
	FIELD(proxy_slot, tls_rx_bytes),
	FIELD(proxy_slot, tls_tx_bytes),
	FIELD(proxy_slot, app_rx_bytes),
	FIELD(proxy_slot, app_tx_bytes),
	FIELD(proxy_slot, tls_rx_handshake_bytes),
	FIELD(proxy_slot, tls_tx_handshake_bytes),
	FIELD(proxy_slot, tls_rx_record_bytes),
	FIELD(proxy_slot, tls_tx_record_bytes),
	FIELD(proxy_slot, tls_partial_bytes),
	FIELD(proxy_slot, tls_unsent_bytes),
	FIELD(proxy_slot, tls_residual_bytes),
	{ NULL, 0, 0 },
};

const struct counted_field counts_ends[] = {
	{ "ends", offsetof(struct proxy_ends, n), TG_END_PLACES *TG_SIDE_MAX },
	{ NULL, 0, 0 },
};

const struct counted_field counts_http[] = {
	FIELD(http_book, requests),
	FIELD(http_book, methods),
	FIELD(http_book, statuses),
	FIELD(http_book, bytes),
	FIELD(http_book, connections),
	FIELD(http_book, begun),
	FIELD(http_book, left),
	FIELD(http_book, carried),
	FIELD(http_book, unsent),
	FIELD(http_book, residual_bytes),
	FIELD(http_book, pool_hits),
	FIELD(http_book, pool_misses),
	FIELD(http_book, retries),
	FIELD(http_book, upgrades),
	FIELD(http_book, duration_us),
	FIELD(http_book, first_byte_us),
	{ NULL, 0, 0 },
};

uint64_t tcp_closed(const struct tcp_totals *t)
{
	uint64_t n = 0;

	for (int i = 0; i < TG_CLOSE_MAX; i++)
		n += t->closed[i];
	return n;
}

int64_t tcp_balance(const struct tcp_totals *t)
{
	return (int64_t)(t->opened + t->adopted + t->waiting - tcp_closed(t) - t->waited -
			 t->left);
}

uint64_t tcp_live(const struct tcp_totals *t)
{
	int64_t n = tcp_balance(t);

	return n > 0 ? (uint64_t)n : 0;
}
