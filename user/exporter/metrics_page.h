/* SPDX-License-Identifier: Apache-2.0 */
/* What the files that write metrics share: one page in the making. */
#ifndef USER_EXPORTER_METRICS_PAGE_H
#define USER_EXPORTER_METRICS_PAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "book/book.h"

struct page {
	FILE *out;
	const struct snapshot *s;
	bool openmetrics;
};

extern const char *const page_directions[TG_DIR_MAX];

/* HELP and TYPE of tollgate_<name>; a counter's samples end in _total. */
void page_family(const struct page *p, const char *name, bool counter, const char *help);

/* A label value, escaped as the format demands. */
void page_put_value(FILE *out, const char *value);

/* In the padding of a key of the host's: it stands for all ports of its role. */
#define PAGE_EVERY_PORT 1

/*
 * Rows of single ports of the host are as many as its users like: of those only what is
 * not 0 is shown.
 */
bool page_is_shown(const struct row_key *k, uint64_t value);

/* tollgate_name{labels of the row, extra} and a space; extra is "" or `key="value",...`
 */
void page_row_sample(const struct page *p, const char *name, bool counter,
		     const struct row_key *k, const char *extra);

/* A family of one sample without labels. */
void page_simple(const struct page *p, const char *name, bool counter, const char *help,
		 uint64_t value);

/* HELP and TYPE of a histogram, and then each of its rows. */
void page_histogram(const struct page *p, const char *name, const char *help);

/*
 * The buckets of the books are powers of two; two of them make one here.  The bound of
 * bucket i is 2^(i + shift) of the unit; `unit` makes it seconds or bytes.
 */
void page_histogram_row(const struct page *p, const char *name, const struct row_key *key,
			const struct tcp_hist *h, unsigned shift, double unit);

/* Requests of HTTP. */
void metrics_http(const struct page *p);

/* The proxy's own book and state. */
void metrics_proxy(const struct page *p);

/* The wire, XDP and nft books, and handshakes of listeners. */
void metrics_packets(const struct page *p);

#endif
