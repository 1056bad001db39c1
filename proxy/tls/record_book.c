/* SPDX-License-Identifier: Apache-2.0 */
#include <openssl/ssl.h>

#include "book/writer.h"
#include "tls/record_book.h"

static uint64_t apart(uint64_t a, uint64_t b)
{
	return a > b ? a - b : b - a;
}

/*
 * What came, as the conn counted it, against the records in it, and these against what
 * OpenSSL told.  Of a stream that broke, or was left early, it may hold some unread.
 */
static uint64_t rx_residual(const struct record_book *b, const struct conn *c,
			    const struct record_end *e)
{
	const struct record_frames *f = &b->frames[TG_RX];
	uint64_t told = b->sums[TG_RX].records, off = apart(told, f->whole);

	if (e->may_hold && told < f->whole && off <= SSL3_RT_MAX_PACKET_SIZE)
		off = 0;
	return off + apart(c->rx - e->unread, f->bytes);
}

/* What it told against the records it gave, and these against what the conn sent. */
static uint64_t tx_residual(const struct record_book *b, const struct conn *c,
			    const struct record_end *e)
{
	const struct record_frames *f = &b->frames[TG_TX];
	uint64_t told = b->sums[TG_TX].records, off = apart(told, f->bytes);

	if (e->may_owe && told > f->bytes)
		off = 0;
	if (f->bytes < c->tx)
		return off + c->tx - f->bytes;
	return off + (e->failed ? 0 : apart(f->bytes - c->tx, conn_held(c)));
}

void record_book_close(struct record_book *b, const struct conn *c,
		       const struct record_end *e)
{
	struct record_sums *rx = &b->sums[TG_RX], *tx = &b->sums[TG_TX];
	struct proxy_slot *slot = c->slot;

	rx->app += e->pending;
	record_sums_end(rx);
	record_sums_end(tx);
	if (rx->records > b->frames[TG_RX].bytes)
		record_sums_undo(rx);
	book_add(&slot->tls_connections, 1);
	book_add(&slot->tls_rx_bytes, c->rx);
	book_add(&slot->tls_tx_bytes, c->tx);
	book_add(&slot->app_rx_bytes, rx->app);
	book_add(&slot->app_tx_bytes, tx->app);
	book_add(&slot->tls_rx_handshake_bytes, rx->handshake);
	book_add(&slot->tls_tx_handshake_bytes, tx->handshake);
	book_add(&slot->tls_rx_record_bytes, rx->other + rx->application - rx->app);
	book_add(&slot->tls_tx_record_bytes, tx->other + tx->application - tx->app);
	book_add(&slot->tls_partial_bytes, c->rx - rx->records);
	book_add(&slot->tls_unsent_bytes, tx->records - c->tx);
	book_add(&slot->tls_residual_bytes, rx_residual(b, c, e) + tx_residual(b, c, e));
}
