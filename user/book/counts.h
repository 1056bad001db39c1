/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the structs of the books count, field by field, for whoever adds, writes or reads
 * all of them; and the law of a row of the tcp book.
 */
#ifndef USER_BOOK_COUNTS_H
#define USER_BOOK_COUNTS_H

#include <stddef.h>
#include <stdint.h>

#include "bpf/abi.h"

/* A counter, or n of them side by side; name NULL ends a list. */
struct counted_field {
	const char *name; /* as in bpf/abi.h: part of a file format (totals.h) */
	size_t at;	  /* bytes from the beginning of the struct */
	size_t n;
};

extern const struct counted_field counts_tcp[];	 /* struct tcp_totals */
extern const struct counted_field counts_wire[]; /* struct wire_totals */
extern const struct counted_field counts_slot[]; /* struct proxy_slot, without gauges */
extern const struct counted_field counts_ends[]; /* struct proxy_ends */
extern const struct counted_field counts_http[]; /* struct http_book */

/* Sockets of `closed`, all reasons together. */
uint64_t tcp_closed(const struct tcp_totals *t);

/*
 * Sockets that are open, also those whose route is not known yet, by the law of struct
 * tcp_totals.  While it is read all of it grows, and may not fit: then less than 0.
 */
int64_t tcp_balance(const struct tcp_totals *t);

/* The same, at least 0. */
uint64_t tcp_live(const struct tcp_totals *t);

#endif
