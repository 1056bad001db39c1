/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "http/account.h"

void account_bytes(struct http_book *book, bool is_back, const struct http_end *e)
{
	for (int dir = 0; dir < TG_DIR_MAX; dir++) {
		__u64 *to = book->bytes[is_back][dir];
		const struct http_bytes *b = &e->bytes[dir];

		if (b->head)
			book_add(&to[TG_HTTP_HEAD], b->head);
		if (b->body)
			book_add(&to[TG_HTTP_BODY], b->body);
		if (b->framing)
			book_add(&to[TG_HTTP_FRAMING], b->framing);
	}
}

void account_request(struct http_book *book, const struct account_request *r)
{
	book_add(&book->requests[r->reason], 1);
	book_add(&book->methods[r->method], 1);
	if (r->status >= TG_HTTP_STATUS_MIN &&
	    r->status < TG_HTTP_STATUS_MIN + TG_HTTP_STATUSES)
		book_add(&book->statuses[r->status - TG_HTTP_STATUS_MIN], 1);
	if (r->asked)
		book_add(r->reused ? &book->pool_hits : &book->pool_misses, 1);
	if (r->retries)
		book_add(&book->retries, r->retries);
	if (r->raised)
		book_add(&book->upgrades, 1);
	writer_hist_add(&book->duration_us, TG_HTTP_SHIFT, r->duration_us);
	if (r->first_byte_us)
		writer_hist_add(&book->first_byte_us, TG_HTTP_SHIFT, r->first_byte_us);
}

void account_begin(struct http_book *book, bool is_back)
{
	book_add(&book->begun[is_back], 1);
}

void account_connection(struct http_book *book, const struct account_connection *a,
			bool is_back)
{
	const struct conn *c = a->conn;
	/* of what was written, what is dropped now is in no socket; a layer took it all
	 */
	uint64_t unsent = a->dropped + (c->layer ? 0 : conn_held(c));
	uint64_t diff = 0;

	book_add(&book->connections[is_back], 1);
	book_add(&book->unsent[is_back], unsent);
	book_add(&book->bytes[is_back][TG_RX][TG_HTTP_UNREAD], a->unread);
	for (int dir = 0; dir < TG_DIR_MAX; dir++) {
		uint64_t has = conn_carried(c, (enum tg_dir)dir);
		uint64_t told = a->told[dir] - (dir == TG_TX ? unsent : 0);

		book_add(&book->carried[is_back][dir], has);
		book_add(&book->bytes[is_back][dir][TG_HTTP_FRAMING], a->own[dir]);
		diff += has > told ? has - told : told - has;
	}
	if (!diff)
		return;
	book_add(&book->residual_bytes, diff);
	log_limited(LOG_ERROR,
		    "%llu bytes of a connection of HTTP to a %s are in no message, or in "
		    "two: a fault of this program ('tollgate audit')",
		    (unsigned long long)diff, is_back ? "backend" : "client");
}
